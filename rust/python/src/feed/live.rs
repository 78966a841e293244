//! A live run's feeds, and how its loop waits for them.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use tickrail_core::InstrumentInfo;
use tickrail_core::clock::{Clock as _, LiveClock};
use tickrail_core::dispatch::LiveWait;
use tickrail_core::feed::FeedHub;
use tickrail_core::stop::{WaitStrategy, Waker};

use super::handover::Handover;
use crate::turn;

/// How long the loop keeps the GIL from others at most while it looks for something to do.
const HELD: Duration = Duration::from_micros(50);

/// What a live run has that a backtest has not.
#[derive(Clone)]
pub struct LiveFeeds {
    /// Where feeds are opened.
    pub hub: Arc<FeedHub>,
    wait: LiveWait,
    /// Whether records are taken by the times that they bear, and the clock is theirs.
    pub is_in_time: bool,
    /// How often the loop looks for something to do, for [`HELD`] each, before it lets go of the GIL; whoever has asked for the
    /// GIL has it in between.
    held_turns: u32,
    /// By which publishers let the loop have the GIL.
    pub handover: Arc<Handover>,
}

impl LiveFeeds {
    /// For a run over `instruments`, whose dispatch thread `waker` wakes.
    pub fn new(
        instruments: &[InstrumentInfo],
        waker: &Arc<Waker>,
        (strategy, held_turns): (WaitStrategy, u32),
        is_in_time: bool,
    ) -> Self {
        let hub = FeedHub::new(Arc::new(LiveClock::new()), instruments.into(), Arc::clone(waker));
        let wait = LiveWait::new(&hub, strategy);
        if is_in_time {
            hub.ignore_clock();
        }
        // With one processor whoever looks keeps those from running that it looks for.
        let held_turns = if strategy.fitted() == strategy { held_turns } else { 0 };
        Self { hub, wait, is_in_time, held_turns, handover: Arc::default() }
    }

    /// Waits until there is something to do, at most a slice; without the GIL, so that publishers have it.
    ///
    /// # Errors
    /// A signal handler has raised.
    pub fn wait(&self, py: Python<'_>, due_ns: i64) -> PyResult<()> {
        // On the clock of the records nothing is due before the next of them has come.
        let due_ns = if self.is_in_time { i64::MAX } else { due_ns };
        for _ in 0..self.held_turns {
            if self.wait.spin(due_ns, HELD) || self.hub.clock().now_ns() >= due_ns {
                return Ok(());
            }
            turn::offer(py)?;
        }
        self.handover.wait(py, || self.wait.wait(due_ns));
        Ok(())
    }
}
