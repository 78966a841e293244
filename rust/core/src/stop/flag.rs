//! One word that the loop looks at between steps: a stop was asked for, or commands wait.
//!
//! Both share a word so that the look costs the same as for a stop alone: nothing that could be measured.

use crate::sync::{AtomicU32, Ordering};

/// A stop was asked for; stays.
pub(crate) const STOP: u32 = 1;
/// A command of the first lane waits: the loop looks after it before the next tick.
pub(crate) const CONTROL: u32 = 2;
/// A command of another lane waits: the loop looks after it before the next slice.
pub(crate) const OTHERS: u32 = 4;
/// Something is asked of a strategy's life: the loop looks after it before the next tick.
pub(crate) const LIVES: u32 = 8;
/// The stop is to be quick: nothing is waited for any more; stays.
pub(crate) const HURRY: u32 = 16;

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
    /// Release by `call`, Acquire by `asks` and `answer`: who sees a call sees what was written before it.
    word: AtomicU32,
}

impl StopFlag {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a stop; idempotent, and safe in a signal handler (one atomic exchange). Wakes nobody: see
    /// [`super::Waker`].
    pub fn request_stop(&self) {
        self.call(STOP);
    }

    /// Whether a stop was asked for.
    #[inline(always)]
    pub fn is_set(&self) -> bool {
        self.asks(STOP)
    }

    /// Asks for a quick stop: what the end of the run would still wait for is given up. Idempotent, and safe in a signal handler.
    pub fn request_hurry(&self) {
        self.call(STOP | HURRY);
    }

    /// Whether the stop is to be quick.
    pub fn is_hurried(&self) -> bool {
        self.asks(HURRY)
    }

    /// Raises `bits`, Release. An exchange even where they stand already: a call then comes either before the `answer` that
    /// takes it back, whose Acquire sees what was written before the call, or after it, and stands.
    pub(crate) fn call(&self, bits: u32) {
        self.word.fetch_or(bits, Ordering::Release);
    }

    /// Whether any of `bits` stands; Acquire.
    #[inline(always)]
    pub(crate) fn asks(&self, bits: u32) -> bool {
        self.word.load(Ordering::Acquire) & bits != 0
    }

    /// Takes `bits` back, Acquire, before their causes are looked after; says which stood. Partner: `call`.
    pub(crate) fn answer(&self, bits: u32) -> u32 {
        self.word.fetch_and(!bits, Ordering::Acquire) & bits
    }
}
