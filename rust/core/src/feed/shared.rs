//! What all publishers of a feed and the loop share.

use std::fmt;
use std::sync::Arc;

use super::policy::{FeedSettings, RatePolicy};
use super::seen::Seen;
use crate::clock::{Clock as _, LiveClock};
use crate::stop::Waker;
use crate::sync::{AtomicBool, AtomicI64, Ordering};

const SECOND_NS: i64 = 1_000_000_000;
/// Bursts of this part of a second's records pass at once; at the lowest rates, one record.
const BURST_NS: i64 = SECOND_NS / 10;

/// One feed: its name, its settings, and whether it is open.
pub struct FeedShared {
    /// The feed's name.
    pub name: String,
    /// Its number, in the order in which feeds were opened.
    pub number: u32,
    /// What was declared of it.
    pub settings: FeedSettings,
    pub(super) clock: Arc<LiveClock>,
    /// Its instruments, as far as they are known.
    pub(super) seen: Seen,
    /// Wakes the loop.
    pub(super) waker: Arc<Waker>,
    /// Relaxed: it stops later records, and orders nothing.
    closed: AtomicBool,
    /// Until when the records let through so far would last at the feed's rate (the generic cell rate algorithm, ITU-T
    /// I.371). Relaxed exchanges: it says when, and guards nothing.
    spent_until_ns: AtomicI64,
}

impl FeedShared {
    pub(super) fn new(
        name: String,
        number: u32,
        settings: FeedSettings,
        instruments: usize,
        clock: Arc<LiveClock>,
        waker: Arc<Waker>,
    ) -> Self {
        let (closed, spent_until_ns) = (AtomicBool::new(false), AtomicI64::new(i64::MIN));
        Self { name, number, settings, clock, seen: Seen::new(instruments), waker, closed, spent_until_ns }
    }

    /// Says which instruments it is about, before any of them has come: whom to tell of its silence.
    pub fn expect(&self, instruments: &[u32]) {
        instruments.iter().for_each(|&instrument| self.seen.add(instrument));
    }

    /// No publisher brings anything from now on; what is there still arrives. Idempotent, any thread.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.waker.wake();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// How many of `wanted` records the rate allows now; they count as let through.
    #[inline]
    pub(super) fn allowance(&self, wanted: usize) -> usize {
        if self.settings.rate_limit == 0 { wanted } else { self.draw(wanted) }
    }

    #[inline(never)]
    fn draw(&self, wanted: usize) -> usize {
        let now_ns = self.clock.now_ns();
        let mut granted = 0;
        let spend = |until_ns: i64| {
            let from_ns = until_ns.max(now_ns - BURST_NS.max(self.interval_ns()));
            granted = (((now_ns - from_ns).max(0) / self.interval_ns()) as usize).min(wanted);
            (granted > 0).then(|| from_ns + granted as i64 * self.interval_ns())
        };
        let _ = self.spent_until_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        granted
    }

    /// How long until the rate allows a record, ns; 0: it does now, or what is above it is not waited for.
    pub fn rate_wait_ns(&self) -> u64 {
        if self.settings.rate_limit == 0 || self.settings.rate_policy == RatePolicy::Reject {
            return 0;
        }
        let next_ns = self.spent_until_ns.load(Ordering::Relaxed).saturating_add(self.interval_ns());
        u64::try_from(next_ns.saturating_sub(self.clock.now_ns())).unwrap_or(0)
    }

    /// Some records that were allowed did not come.
    pub(super) fn give_back(&self, count: usize) {
        if self.settings.rate_limit > 0 && count > 0 {
            self.spent_until_ns.fetch_sub(count as i64 * self.interval_ns(), Ordering::Relaxed);
        }
    }

    fn interval_ns(&self) -> i64 {
        (SECOND_NS / i64::from(self.settings.rate_limit)).max(1)
    }
}

impl fmt::Debug for FeedShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Feed({}, {}, {} slots)", self.name, self.settings.policy.name(), self.settings.capacity_slots)
    }
}
