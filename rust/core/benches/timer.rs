//! Timers: set and fire, among 1, 100 and 10,000 others. `cargo bench -p tickrail-core --bench timer`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tickrail_core::timer::TimerQueue;

const INTERVAL_NS: i64 = 1_000_000;

fn crowd(others: i64) -> TimerQueue {
    let mut timers = TimerQueue::new();
    for other in 0..others {
        timers.schedule(0, 1 + other, Some(INTERVAL_NS), 0).expect("below the limit");
    }
    timers
}

fn schedule_and_pop(criterion: &mut Criterion) {
    let mut once = criterion.benchmark_group("timer/schedule+pop");
    for others in [1, 100, 10_000] {
        let mut timers = crowd(others);
        once.bench_function(BenchmarkId::from_parameter(others), |bencher| {
            bencher.iter(|| {
                timers.schedule(1, black_box(0), None, 0).expect("below the limit");
                black_box(timers.pop_due(0));
            });
        });
    }
    once.finish();
    let mut repeating = criterion.benchmark_group("timer/pop a repeating one");
    for others in [1, 100, 10_000] {
        let mut timers = crowd(others);
        repeating.bench_function(BenchmarkId::from_parameter(others), |bencher| {
            bencher.iter(|| black_box(timers.pop_due(timers.next_due())));
        });
    }
    repeating.finish();
}

criterion_group!(benches, schedule_and_pop);
criterion_main!(benches);
