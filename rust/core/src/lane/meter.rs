//! What is counted and measured of a lane.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::histogram::Histogram;

/// Numbers of one lane, over all lives of its strategy; any thread reads them while it goes on.
///
/// `offered = handled + lost + pending`; what is pending when a life ends stays so.
#[derive(Debug, Default)]
pub struct LaneMeter {
    /// Relaxed, as all that follow: each has one writer at a time, and nobody reads other data on their word. The end of
    /// one life's thread comes before the beginning of the next one's, by the loop.
    pub(super) by_loop: ByLoop,
    pub(super) handled: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) asked: AtomicU64,
    pub(super) high_water: AtomicU64,
    /// How long its handler takes with a record or a batch, ns; of one in [`super::LaneRules::sample_every`] records.
    pub handler_ns: Histogram,
    /// From the record's `ts_init` to the call, ns; likewise.
    pub latency_ns: Histogram,
}

/// What the loop writes, on a cache line of its own: the lane writes the rest.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct ByLoop {
    pub offered: AtomicU64,
    pub waits: AtomicU64,
    /// Set once.
    pub abandoned: AtomicBool,
}

/// One number each, read one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneCounts {
    /// Records that the loop wrote for it.
    pub offered: u64,
    /// Records that its handler was given.
    pub handled: u64,
    /// Records that were written over before it had them.
    pub lost: u64,
    /// How often it was overtaken.
    pub gaps: u64,
    /// Calls that asked for something.
    pub asked: u64,
    /// Most records that ever waited.
    pub high_water: u64,
    /// How often the loop waited for it.
    pub waits: u64,
    /// Whether its thread was left behind, as it did not come to rest in time.
    pub is_abandoned: bool,
}

impl LaneCounts {
    /// Records that wait for it: its lag.
    pub const fn pending(&self) -> u64 {
        self.offered.saturating_sub(self.handled + self.lost)
    }
}

impl LaneMeter {
    /// The counts as they stand.
    pub fn counts(&self) -> LaneCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // What was taken is read before what was offered, so that no more seems taken than there was.
        let (handled, lost) = (read(&self.handled), read(&self.lost));
        LaneCounts {
            handled,
            lost,
            gaps: read(&self.gaps),
            asked: read(&self.asked),
            high_water: read(&self.high_water),
            waits: read(&self.by_loop.waits),
            is_abandoned: self.by_loop.abandoned.load(Ordering::Relaxed),
            offered: read(&self.by_loop.offered),
        }
    }

    /// Adds to a count that this thread alone writes.
    pub(super) fn add(count: &AtomicU64, more: u64) {
        count.store(count.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }
}
