//! The clock port: time and timers, the same in a simulation and live.

use super::Clock;
use crate::dispatch::{Refusal, TimerKey};
use crate::timer::{Schedule, TimerInfo};

/// Time and timers of one strategy.
///
/// Belongs to the dispatch thread. What is set or taken away within a step shows at once in [`Self::timers`]; a timer
/// fires in a later step, at its own time in a simulation and never before it live.
pub trait ClockPort: Clock {
    /// Sets a timer.
    ///
    /// # Errors
    /// The schedule cannot be kept, or the strategy may not act; nothing has changed then.
    fn schedule(&self, schedule: &Schedule) -> Result<TimerKey, Refusal>;

    /// Takes a timer away; false if it is gone already.
    fn cancel(&self, timer: TimerKey) -> bool;

    /// The timer of this name.
    fn find(&self, name: &str) -> Option<TimerKey>;

    /// The timers that are set, in the order in which they will fire.
    fn timers(&self) -> Vec<TimerInfo>;

    /// Once, at `due_ns` or, if that has passed, in the next step.
    ///
    /// # Errors
    /// See [`Self::schedule`].
    fn schedule_at(&self, due_ns: i64) -> Result<TimerKey, Refusal> {
        self.schedule(&Schedule::at(due_ns))
    }

    /// Once, `delay_ns` from now.
    ///
    /// # Errors
    /// See [`Self::schedule`].
    fn schedule_after(&self, delay_ns: i64) -> Result<TimerKey, Refusal> {
        self.schedule(&Schedule::after(delay_ns))
    }

    /// Every `interval_ns`, first one interval from now.
    ///
    /// # Errors
    /// See [`Self::schedule`].
    fn schedule_every(&self, interval_ns: i64) -> Result<TimerKey, Refusal> {
        self.schedule(&Schedule::every(interval_ns))
    }
}
