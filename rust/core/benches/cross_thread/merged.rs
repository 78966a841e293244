//! The merge of a backtest, on one thread: ticks a second.
//!
//! `cargo bench --bench merge` has the same by criterion.

use std::hint::black_box;
use std::time::Instant;

use tickrail_core::order::{Merge, MergeInput};
use tickrail_core::source::{Advance, Source as _};
use tickrail_core::tick::OrderBy;
use tickrail_core::{Tick, TickBlock};

/// 64 MB, far beyond the caches, as data from a file is.
const TICKS: u32 = 1_000_000;

/// Steps of 0 to 2047 ns by a linear congruence: the same in each run, and no pattern that a branch could be guessed by.
fn input(feed: u32, ticks: u32) -> MergeInput {
    let (mut state, mut now) = (u64::from(feed) + 1, 0);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        now += (state >> 53) as i64;
        Tick::quote(now, 0, 1.0, 2.0, 1.0, 1.0)
    };
    let block = TickBlock::from_vec((0..ticks).map(|_| next()).collect());
    MergeInput { block, feed, instruments: (feed > 0).then(|| vec![feed]) }
}

/// So many feeds; a single one is handed out without a copy. Each tick is looked at, as a handler would.
pub fn rate(feeds: u32) -> f64 {
    let inputs: Vec<MergeInput> = (0..feeds).map(|number| input(number, TICKS / feeds)).collect();
    let mut merge = Merge::new(inputs, OrderBy::TsEvent).expect("the feeds have numbers of their own");
    let (start, mut sum) = (Instant::now(), 0_i64);
    while merge.advance(4096) == Advance::Ready {
        sum = merge.current().ticks.iter().fold(sum, |sum, tick| sum.wrapping_add(tick.ts_event));
    }
    black_box(sum);
    f64::from(TICKS) / start.elapsed().as_secs_f64()
}
