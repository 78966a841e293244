//! How a run is told to stop, and how a thread that waits is woken.

#[cfg(target_os = "linux")]
mod futex;
#[cfg(any(not(target_os = "linux"), test))]
mod pipe;
mod wait;
mod waker;

pub use wait::WaitStrategy;
pub use waker::{MAX_SLICE, WakeReason, Waker};

use crate::sync::{AtomicU8, Ordering};

/// Bit of the flag: the run is to stop.
const STOP: u8 = 1;
/// Bit of the flag: something waits that the loop has to look after between two steps.
const ATTENTION: u8 = 2;

/// A request to stop that stays: any thread or signal handler makes it, the loop looks at it between steps. Beside it, a
/// request for attention, which the loop takes.
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
    /// Release by `request_stop` and `request_attention`, Acquire by the others: who sees the request sees what was written
    /// before it.
    raised: AtomicU8,
}

impl StopFlag {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a stop; idempotent, and safe in a signal handler (one atomic instruction). Wakes nobody: see [`Waker`].
    pub fn request_stop(&self) {
        self.raised.fetch_or(STOP, Ordering::Release);
    }

    /// Whether a stop was asked for.
    #[inline(always)]
    pub fn is_set(&self) -> bool {
        self.raised.load(Ordering::Acquire) & STOP != 0
    }

    /// Asks the loop to look at what waits for it after the present step; as safe as a stop. Wakes nobody.
    pub fn request_attention(&self) {
        self.raised.fetch_or(ATTENTION, Ordering::Release);
    }

    /// Whether the loop has to leave its run of steps, for a stop or for attention: the one test a tick costs.
    #[inline(always)]
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire) != 0
    }

    /// Whether attention was asked for since the last time (Acquire); the loop looks at what waits afterwards.
    pub fn take_attention(&self) -> bool {
        self.is_raised() && self.raised.fetch_and(!ATTENTION, Ordering::AcqRel) & ATTENTION != 0
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests measure how long a wait took")]
mod tests;
