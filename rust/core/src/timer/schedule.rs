//! What is asked of a timer, and why that may be refused.

use std::sync::Arc;

use thiserror::Error;

/// Most timers that may be set at once, some 100 MB of them. A strategy that comes near it sets timers and forgets them.
pub const MAX_TIMERS: usize = super::heap::MAX_SLOTS;

/// Shortest interval of a repeating timer, ns. Below it a mistake in the unit is likelier than a wish, and a silent hour of
/// data would be billions of firings.
pub const MIN_INTERVAL_NS: i64 = 1_000;

/// When a timer is to fire.
///
/// ```
/// use tickrail_core::timer::Schedule;
/// let minutely = Schedule::every(60_000_000_000).starting(1_000).until(600_000_000_000).named("minute".into());
/// assert_eq!(minutely.due_ns(0)?, 1_000);
/// assert!(Schedule::after(-1).due_ns(0).is_err());
/// # Ok::<(), tickrail_core::timer::TimerError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    first: First,
    /// Its period; `None`: it fires once.
    interval_ns: Option<i64>,
    end_ns: i64,
    name: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    At(i64),
    After(i64),
    /// As a start of repetitions, which may not lie in the past.
    From(i64),
}

impl Schedule {
    /// Once at `due_ns`; at or before now means at once.
    pub const fn at(due_ns: i64) -> Self {
        Self { first: First::At(due_ns), interval_ns: None, end_ns: i64::MAX, name: None }
    }

    /// Once, `delay_ns` from now; 0 means at once.
    pub const fn after(delay_ns: i64) -> Self {
        Self { first: First::After(delay_ns), interval_ns: None, end_ns: i64::MAX, name: None }
    }

    /// Every `interval_ns`, first one interval from now.
    pub const fn every(interval_ns: i64) -> Self {
        Self { first: First::After(interval_ns), interval_ns: Some(interval_ns), end_ns: i64::MAX, name: None }
    }

    /// First at `start_ns` instead, which may be now but not earlier.
    #[must_use]
    pub const fn starting(mut self, start_ns: i64) -> Self {
        self.first = First::From(start_ns);
        self
    }

    /// Only before `end_ns`: the first time at which it does not fire any more.
    #[must_use]
    pub const fn until(mut self, end_ns: i64) -> Self {
        self.end_ns = end_ns;
        self
    }

    /// Under a name, which no other timer of its owner has at the same time.
    #[must_use]
    pub fn named(mut self, name: Arc<str>) -> Self {
        self.name = Some(name);
        self
    }

    /// Its period; `None`: it fires once.
    pub const fn interval_ns(&self) -> Option<i64> {
        self.interval_ns
    }

    /// The first time at which it does not fire any more.
    pub const fn end_ns(&self) -> i64 {
        self.end_ns
    }

    /// Its name.
    pub const fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    /// When it fires first.
    ///
    /// # Errors
    /// It never could, or not as asked.
    pub fn due_ns(&self, now_ns: i64) -> Result<i64, TimerError> {
        if let Some(interval_ns) = self.interval_ns().filter(|&interval| interval < MIN_INTERVAL_NS) {
            return Err(TimerError::IntervalTooShort { interval_ns });
        }
        let due_ns = match self.first {
            First::At(due_ns) => due_ns,
            First::After(delay_ns) if delay_ns < 0 => return Err(TimerError::NegativeDelay { delay_ns }),
            First::After(delay_ns) => now_ns.saturating_add(delay_ns),
            First::From(start_ns) if start_ns < now_ns => {
                return Err(TimerError::StartInPast { start_ns, now_ns });
            }
            First::From(start_ns) => start_ns,
        };
        if due_ns >= self.end_ns && self.end_ns != i64::MAX {
            return Err(TimerError::EndBeforeStart { start_ns: due_ns, end_ns: self.end_ns });
        }
        Ok(due_ns)
    }
}

/// Why a timer cannot be set; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimerError {
    /// [`MAX_TIMERS`] are set already.
    #[error("{MAX_TIMERS} timers are set, the most there can be")]
    TooMany,
    /// The interval is below [`MIN_INTERVAL_NS`].
    #[error("interval_ns is {interval_ns}: expected at least {MIN_INTERVAL_NS}")]
    IntervalTooShort {
        /// What was asked for.
        interval_ns: i64,
    },
    /// A delay is below zero.
    #[error("delay_ns is {delay_ns}: expected at least 0")]
    NegativeDelay {
        /// What was asked for.
        delay_ns: i64,
    },
    /// The start lies in the past.
    #[error("start_ns is {start_ns}, which is {} ns before now ({now_ns})", now_ns.saturating_sub(*start_ns))]
    StartInPast {
        /// What was asked for.
        start_ns: i64,
        /// The clock.
        now_ns: i64,
    },
    /// It ends before it begins.
    #[error("end_ns is {end_ns}: expected a time after the first firing at {start_ns}")]
    EndBeforeStart {
        /// The first time.
        start_ns: i64,
        /// What was asked for.
        end_ns: i64,
    },
    /// Another timer of the same owner has the name.
    #[error("another timer of this name is set")]
    NameTaken,
}
