//! The accounts of all feeds and strategies at one moment, readable from anywhere while the loop goes on.
//!
//! The loop takes them at the end of a slice, between two steps, and only when somebody has asked: a run that nobody looks at
//! pays one load a slice. Who asks waits for the answer, but never longer than it wants to: where a handler keeps the loop,
//! it gets the last one, and sees by [`Snapshot::position`] how old that is.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::account::Account;
use crate::feed::FeedAccount;
use crate::sync::{Arc, AtomicU64, Ordering};

/// What a strategy has ordered, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traded {
    /// Orders that it ever made.
    pub orders: u32,
    /// Those that are not done.
    pub open_orders: u32,
    /// Realised and not, less fees, in the run's currency; `None`: it has none, or a price is missing.
    pub pnl: Option<f64>,
}

/// One consistent set of accounts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Loop position of the last step that counts in it.
    pub position: u64,
    /// Clock of that step, ns UTC.
    pub now_ns: i64,
    /// Ticks that the loop had taken.
    pub inputs: u64,
    /// Of every feed, in the order opened; none in a backtest, whose files offer and publish what is taken.
    pub feeds: Vec<FeedAccount>,
    /// Of every strategy over all feeds, in order of registration.
    pub strategies: Vec<Account>,
    /// Likewise, what it traded.
    pub traded: Vec<Traded>,
    /// Of every strategy, feed by feed: `by_feed[feed][strategy]`.
    pub by_feed: Vec<Vec<Account>>,
}

/// Where snapshots are asked for, and found.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// How often one was asked for. Relaxed: the loop answers some later slice, and the lock carries the snapshot.
    asked: AtomicU64,
    latest: Mutex<Latest>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct Latest {
    /// Up to which question it answers.
    answered: u64,
    snapshot: Arc<Snapshot>,
    is_final: bool,
}

impl Snapshots {
    /// The latest, as it is; empty before the first.
    pub fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.lock().snapshot)
    }

    /// Asks for a new one, which the loop makes at the end of its slice; gives the question's number for [`Self::wait`].
    /// Whoever asks wakes the loop, if it may be waiting.
    pub fn ask(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Waits at most `patience` for the answer to question `number`, and takes the latest there is then. Any thread but the
    /// loop's.
    #[expect(clippy::disallowed_methods, reason = "measures how long somebody waited; no decision sees it")]
    pub fn wait(&self, number: u64, patience: Duration) -> Arc<Snapshot> {
        let end = Instant::now() + patience;
        let mut latest = self.lock();
        while latest.answered < number && !latest.is_final {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            latest = self.told.wait_timeout(latest, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Arc::clone(&latest.snapshot)
    }

    /// How many were asked for; the loop compares it with what it has answered.
    #[inline(always)]
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// The loop's answer to all questions up to `number`; after the final one nobody waits any more.
    pub(super) fn answer(&self, number: u64, snapshot: Snapshot, is_final: bool) {
        *self.lock() = Latest { answered: number, snapshot: Arc::new(snapshot), is_final };
        self.told.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn at(position: u64) -> Snapshot {
        Snapshot { position, ..Snapshot::default() }
    }

    #[test]
    fn who_asks_gets_what_was_taken_after_the_question() {
        let snapshots = Arc::new(Snapshots::default());
        snapshots.answer(0, at(1), false);
        let question = snapshots.ask();
        let asked = Arc::clone(&snapshots);
        let asking = thread::spawn(move || asked.wait(question, PATIENCE).position);
        snapshots.answer(0, at(2), false);
        snapshots.answer(snapshots.asked(), at(3), false);
        assert_eq!(asking.join().unwrap(), 3);
    }

    #[test]
    fn a_loop_that_does_not_answer_keeps_nobody() {
        let snapshots = Snapshots::default();
        assert_eq!(*snapshots.wait(snapshots.ask(), Duration::ZERO), Snapshot::default());
        snapshots.answer(1, at(7), true);
        assert_eq!(snapshots.wait(snapshots.ask(), PATIENCE).position, 7, "after the final one nobody waits");
    }
}
