//! How a run is told to stop, and how a thread that waits is woken.

#[cfg(target_os = "linux")]
mod futex;
#[cfg(any(not(target_os = "linux"), test))]
mod pipe;
mod wait;
mod waker;

pub use wait::WaitStrategy;
pub use waker::{MAX_SLICE, WakeReason, Waker};

use crate::sync::{AtomicBool, Ordering};

/// A request to stop that stays: any thread or signal handler makes it, the loop looks at it between steps.
///
/// ```
/// use std::sync::Arc;
/// use tickrail_core::stop::StopFlag;
/// let flag = Arc::new(StopFlag::new());
/// let other = Arc::clone(&flag);
/// std::thread::spawn(move || other.request_stop()).join().unwrap();
/// assert!(flag.is_set());
/// ```
#[derive(Debug, Default)]
pub struct StopFlag {
    /// Release by `request_stop`, Acquire by `is_set`: who sees the request sees what was written before it.
    requested: AtomicBool,
}

impl StopFlag {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a stop; idempotent, and safe in a signal handler (one atomic store). Wakes nobody: see [`Waker`].
    pub fn request_stop(&self) {
        self.requested.store(true, Ordering::Release);
    }

    /// Whether a stop was asked for.
    #[inline(always)]
    pub fn is_set(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests measure how long a wait took")]
mod tests;
