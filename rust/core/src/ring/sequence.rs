//! Sequences: which record of a ring it is, counted from its start.
//!
//! They wrap at 2^63, so that the highest bit is free for what is no sequence: open, closed, left. Nothing compares two of
//! them by size; what counts is how far they are apart, which is never more than the capacity and a batch.

/// The last one before 0.
pub(crate) const LAST: u64 = u64::MAX >> 1;

/// From here on a distance is one backwards.
const HALF: u64 = 1 << 62;

/// The sequence `count` after `sequence`.
#[inline(always)]
pub(super) const fn after(sequence: u64, count: u64) -> u64 {
    sequence.wrapping_add(count) & LAST
}

/// The sequence `count` before `sequence`.
#[inline(always)]
pub(super) const fn before(sequence: u64, count: u64) -> u64 {
    sequence.wrapping_sub(count) & LAST
}

/// How far `to` is after `from`, where it is known not to be before it.
#[inline(always)]
pub(super) const fn distance(from: u64, to: u64) -> u64 {
    to.wrapping_sub(from) & LAST
}

/// How far `to` is after `from`; 0 where it is before it.
#[inline(always)]
pub(super) const fn reach(from: u64, to: u64) -> u64 {
    let distance = distance(from, to);
    if distance < HALF { distance } else { 0 }
}
