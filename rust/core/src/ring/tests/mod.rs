use proptest::prelude::*;

use super::sequence::LAST;
use crate::tick::Tick;

mod commands;
mod conflation;
mod drop_oldest;
mod ingress;
mod observer;

fn tick(sequence: u64) -> Tick {
    let value = sequence as f64;
    Tick { sequence, ..Tick::quote(sequence as i64, 0, value, value, value, value) }
}

/// First sequences: of a new ring, and of rings that are about to wrap or to pass what a comparison could trip over.
const FIRSTS: [u64; 4] = [0, (1 << 62) - 3, LAST - 3, LAST];

fn any_first() -> impl Strategy<Value = u64> {
    prop::sample::select(&FIRSTS)
}

fn ticks(range: std::ops::Range<u64>) -> Vec<Tick> {
    range.map(tick).collect()
}
