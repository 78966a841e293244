//! Merge of 1, 10, 100 and 1,000 feeds with random times, in ticks a second. `cargo bench -p tickrail-core --bench merge`
//!
//! A single feed is handed out without a copy, so that its figure is that of slicing, not of merging.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickrail_core::order::{Merge, MergeInput};
use tickrail_core::source::{Advance, Source};
use tickrail_core::tick::OrderBy;
use tickrail_core::{Tick, TickBlock};

/// 64 MB, far beyond the caches, as data from a file is.
const TICKS: u32 = 1_000_000;

/// Steps of 0 to 2047 ns by a linear congruence: the same in each run, and no pattern that a branch could be guessed by.
fn feed(feed: u32, ticks: u32) -> MergeInput {
    let (mut state, mut now) = (u64::from(feed) + 1, 0);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        now += (state >> 53) as i64;
        Tick::quote(now, 0, 1.0, 2.0, 1.0, 1.0)
    };
    let block = TickBlock::from_vec((0..ticks).map(|_| next()).collect());
    MergeInput { block, feed, instruments: (feed > 0).then(|| vec![feed]) }
}

fn drain(mut merge: Merge) {
    while merge.advance(4096) == Advance::Ready {
        black_box(merge.current().ticks);
    }
}

fn merge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge");
    group.throughput(Throughput::Elements(u64::from(TICKS))).sample_size(10);
    for feeds in [1, 10, 100, 1_000] {
        let inputs: Vec<MergeInput> = (0..feeds).map(|number| feed(number, TICKS / feeds)).collect();
        let fresh = || Merge::new(inputs.clone(), OrderBy::TsEvent).expect("the feeds have numbers of their own");
        group.bench_function(BenchmarkId::from_parameter(feeds), |bencher| {
            bencher.iter_batched(fresh, drain, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, merge);
criterion_main!(benches);
