//! A live run's feeds, and how its loop waits for them.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use tickrail_core::InstrumentInfo;
use tickrail_core::clock::LiveClock;
use tickrail_core::dispatch::LiveWait;
use tickrail_core::feed::FeedHub;
use tickrail_core::stop::{WaitStrategy, Waker};

use super::handover::Handover;

/// What a live run has that a backtest has not.
#[derive(Clone)]
pub struct LiveFeeds {
    /// Where feeds are opened.
    pub hub: Arc<FeedHub>,
    wait: LiveWait,
    /// Whether records are taken by the times that they bear, and the clock is theirs.
    pub is_in_time: bool,
    /// How long the loop looks for something to do before it lets go of the GIL.
    held: Duration,
    /// By which publishers let the loop have the GIL.
    pub handover: Arc<Handover>,
}

impl LiveFeeds {
    /// For a run over `instruments`, whose dispatch thread `waker` wakes.
    pub fn new(
        instruments: &[InstrumentInfo],
        waker: &Arc<Waker>,
        (strategy, held): (WaitStrategy, Duration),
        is_in_time: bool,
    ) -> Self {
        let hub = FeedHub::new(Arc::new(LiveClock::new()), instruments.into(), Arc::clone(waker));
        let wait = LiveWait::new(&hub, strategy);
        if is_in_time {
            hub.ignore_clock();
        }
        Self { hub, wait, is_in_time, held, handover: Arc::default() }
    }

    /// Waits until there is something to do, at most a slice; without the GIL, so that publishers have it.
    pub fn wait(&self, py: Python<'_>, due_ns: i64) {
        // On the clock of the records nothing is due before the next of them has come.
        let due_ns = if self.is_in_time { i64::MAX } else { due_ns };
        let found = !self.held.is_zero() && self.wait.spin(due_ns, self.held);
        if !found {
            self.handover.wait(py, || self.wait.wait(due_ns));
        }
    }
}
