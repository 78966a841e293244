//! Stop flag (interim until the leaf branch lands).
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once.
#[derive(Debug, Default)]
pub struct StopFlag(AtomicBool);

impl StopFlag {
    /// Clear.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }
    /// Sets it.
    pub fn request_stop(&self) {
        self.0.store(true, Ordering::Release);
    }
    /// Whether it is set.
    #[inline(always)]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
