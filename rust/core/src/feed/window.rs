//! The window of [`super::Backwards::Reorder`]: records wait for earlier ones, and leave in order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::counters::Counters;
use crate::check::Problem;
use crate::tick::Tick;

/// Most records that wait in a reorder window: beyond that the oldest leaves early.
pub const MAX_HELD: usize = 4_096;

#[derive(Debug)]
pub(super) struct Window {
    window_ns: i64,
    /// The latest time of a record that left: none before it may leave any more.
    last_ns: i64,
    newest_ns: i64,
    waiting: BinaryHeap<Reverse<Waiting>>,
    arrivals: u64,
}

/// A record in the window: by time, at equal times in the order of arrival.
#[derive(Debug, PartialEq, Eq)]
struct Waiting {
    place: Place,
    tick: Tick,
}

type Place = (i64, u64);

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place.cmp(&other.place)
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Which records leave.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leaving {
    /// Those behind which one has come that is later by the window.
    Passed,
    /// And those that have waited for the window, by the run's clock, with all before them.
    Overdue(i64),
    All,
}

impl Window {
    pub fn new(window_ns: i64) -> Self {
        let waiting = BinaryHeap::new();
        Self { window_ns, last_ns: i64::MIN, newest_ns: i64::MIN, waiting, arrivals: 0 }
    }

    /// A record comes; one that is too late is refused.
    pub fn enter(&mut self, tick: &Tick, counters: &Counters) {
        // By the window and not by what has left, so that it does not matter how records came in batches.
        if tick.ts_event < self.last_ns.max(self.newest_ns.saturating_sub(self.window_ns)) {
            return counters.invalid[Problem::KeyBackwards as usize].add(1);
        }
        counters.backwards.add(u64::from(tick.ts_event < self.newest_ns));
        self.newest_ns = self.newest_ns.max(tick.ts_event);
        self.arrivals += 1;
        self.waiting.push(Reverse(Waiting { place: (tick.ts_event, self.arrivals), tick: *tick }));
    }

    /// The place up to which records leave.
    pub fn until(&self, leaving: Leaving) -> Place {
        let passed = (self.newest_ns.saturating_sub(self.window_ns), u64::MAX);
        match leaving {
            Leaving::Passed => passed,
            Leaving::Overdue(now_ns) => {
                let is_overdue = |one: &&Reverse<Waiting>| self.due_ns(&one.0) <= now_ns;
                self.waiting
                    .iter()
                    .filter(is_overdue)
                    .map(|one| one.0.place)
                    .max()
                    .map_or(passed, |place| place.max(passed))
            }
            Leaving::All => (i64::MAX, u64::MAX),
        }
    }

    /// The next record to leave, if it stands before that place.
    pub fn next(&mut self, until: Place) -> Option<Tick> {
        let first = self.waiting.peek()?;
        if first.0.place > until && self.waiting.len() <= MAX_HELD {
            return None;
        }
        let Reverse(first) = self.waiting.pop()?;
        self.last_ns = first.place.0;
        Some(first.tick)
    }

    /// When the first record will have waited for the window, ns UTC; `i64::MAX`: none waits.
    pub fn next_due_ns(&self) -> i64 {
        self.waiting.iter().map(|one| self.due_ns(&one.0)).min().unwrap_or(i64::MAX)
    }

    const fn due_ns(&self, one: &Waiting) -> i64 {
        one.tick.ts_init.saturating_add(self.window_ns)
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}
