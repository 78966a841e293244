//! How a run is told to stop, and how a thread that waits is woken.

mod flag;
#[cfg(target_os = "linux")]
#[cfg_attr(shuttle, path = "../../../models/schedules/src/futex.rs")]
mod futex;
#[cfg(unix)]
mod last_words;
#[cfg(any(not(target_os = "linux"), test))]
mod pipe;
mod wait;
mod waker;
#[cfg(unix)]
mod watchdog;

pub use flag::StopFlag;
pub(crate) use flag::{CONTROL, HURRY, LIVES, OTHERS, STOP};
#[cfg(unix)]
pub use last_words::{LastWords, Stands};
pub use wait::{Pace, WaitStrategy};
pub use waker::{MAX_SLICE, WakeReason, Waker};
#[cfg(unix)]
pub use watchdog::{DEADLINE_EXCEEDED, Sight, Target, Watchdog, WatchdogSettings};

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests measure how long a wait took")]
mod tests;
