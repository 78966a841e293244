//! What a publisher counts, and the account of a feed.

use crate::check::Problem;
use crate::sync::{AtomicI64, AtomicU64, Ordering};

/// A count with one writer, readable from anywhere.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// Relaxed, both: one writer at a time, and a reader needs nothing else with it. Only that writer may call this.
    pub fn add(&self, more: u64) {
        self.0.store(self.get() + more, Ordering::Relaxed);
    }

    pub fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A time that the publisher sets once, until the loop takes it.
#[derive(Debug, Default)]
pub(super) struct Moment(AtomicI64);

impl Moment {
    /// Relaxed exchanges, both: it says when, and guards nothing.
    #[cold]
    pub fn set_once(&self, now_ns: i64) {
        let _ = self.0.compare_exchange(0, now_ns, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn take(&self) -> i64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// What one publisher has seen beyond what its ring knows.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Records that broke a rule, by [`Problem`].
    pub invalid: [Count; Problem::ALL.len()],
    /// Records that came again, by the source's number.
    pub duplicates: Count,
    /// Records that the publisher gave up on, as there was no slot.
    pub refused: Count,
    /// Records above the feed's rate.
    pub rate_limited: Count,
    /// Records that went, as there was no slot.
    pub dropped_newest: Count,
    /// Trades that were summed into another, or bars and trades that `conflate` lets go.
    pub merged: Count,
    /// Records whose time ran backwards, and that passed.
    pub backwards: Count,
    /// Crossed quotes, which pass.
    pub crossed: Count,
    /// Jumps in the source's numbers, and reconnections.
    pub gaps: Count,
    /// Records that the feed itself made: GAP.
    pub made: Count,
    /// Records that wait in the window of `Backwards::Reorder`, and GAP records without a slot: no sum, what there is now.
    /// Written under the lock of `Held`, by either end; so are `duplicates`, `gaps` and `made` where a feed has a window.
    pub held: Count,
    /// When the first record went that nobody was told of, ns UTC; 0: none has.
    pub lost_since_ns: Moment,
    /// How often the publisher waited for a slot.
    pub waits: Count,
    /// How long, ns.
    pub waited_ns: Count,
}

/// The exact account of a feed at one moment, all of its publishers together.
///
/// `offered + made = rejected + published`, and `published = taken + dropped_newest + dropped_oldest + conflated +
/// pending`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedAccount {
    /// The feed's name.
    pub name: String,
    /// Publishers that are open.
    pub publishers: u64,
    /// Records that were refused, for whatever reason.
    pub rejected: u64,
    /// Those of them that broke a rule, by [`Problem`].
    pub invalid: [u64; Problem::ALL.len()],
    /// Those of them that came again.
    pub duplicates: u64,
    /// Those of them for which there was no slot.
    pub refused: u64,
    /// Those of them that were above the feed's rate.
    pub rate_limited: u64,
    /// Records that were accepted, or made by the feed itself.
    pub published: u64,
    /// Those of them that the feed made itself: GAP and STALE.
    pub made: u64,
    /// Records that the loop took.
    pub taken: u64,
    /// Records that went, as there was no slot.
    pub dropped_newest: u64,
    /// Records that gave way to later ones.
    pub dropped_oldest: u64,
    /// Records that a later one of their instrument replaced.
    pub conflated: u64,
    /// Records that wait.
    pub pending: u64,
    /// Most records that ever waited when the loop looked.
    pub high_water: u64,
    /// Accepted records whose time ran backwards.
    pub backwards: u64,
    /// Accepted crossed quotes.
    pub crossed: u64,
    /// Jumps in the source's numbers, and reconnections.
    pub gaps: u64,
    /// How often it was silent for too long.
    pub stale: u64,
    /// Publishers that were in the middle of a call when their feed was closed, and did not come out of it.
    pub abandoned: u64,
    /// How often publishers waited for a slot.
    pub waits: u64,
    /// How long, ns.
    pub waited_ns: u64,
}

impl FeedAccount {
    /// Records that publishers brought.
    pub const fn offered(&self) -> u64 {
        self.rejected + self.published - self.made
    }

    pub(super) fn add_counters(&mut self, counters: &Counters) {
        for (sum, count) in self.invalid.iter_mut().zip(&counters.invalid) {
            *sum += count.get();
            self.rejected += count.get();
        }
        let rejections = [
            (&mut self.duplicates, &counters.duplicates),
            (&mut self.refused, &counters.refused),
            (&mut self.rate_limited, &counters.rate_limited),
        ];
        for (sum, count) in rejections {
            *sum += count.get();
            self.rejected += count.get();
        }
        let others = [
            (&mut self.backwards, &counters.backwards),
            (&mut self.crossed, &counters.crossed),
            (&mut self.gaps, &counters.gaps),
            (&mut self.made, &counters.made),
            (&mut self.waits, &counters.waits),
            (&mut self.waited_ns, &counters.waited_ns),
        ];
        for (sum, count) in others {
            *sum += count.get();
        }
        let dropped = counters.dropped_newest.get();
        let merged = counters.merged.get();
        self.dropped_newest += dropped;
        self.conflated += merged;
        self.pending += counters.held.get();
        self.published += dropped + merged + counters.held.get();
    }

    pub(super) fn add_ring(&mut self, taken: u64, dropped_oldest: u64, conflated: u64, pending: u64) {
        self.taken += taken;
        self.dropped_oldest += dropped_oldest;
        self.conflated += conflated;
        self.pending += pending;
        self.published += taken + dropped_oldest + conflated + pending;
    }
}
