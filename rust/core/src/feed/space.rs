//! How a publisher that found no slot learns that there is one.

use std::fmt;
use std::sync::OnceLock;

use crate::stop::Waker;
use crate::sync::{AtomicBool, Ordering};

/// Calls whoever waits for slots: a thread that sleeps, or an event loop that must not.
#[derive(Default)]
pub struct Space {
    /// The publisher's thread sleeps on it.
    pub waker: Waker,
    /// Whether `call` is wanted. AcqRel exchanges on both sides: either the publisher's comes first, and then the loop calls,
    /// or the loop's does, and then the publisher's look at the ring, which follows, sees the slots.
    armed: AtomicBool,
    call: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Space {
    /// Sets what is called, once each time it was armed; from the dispatch thread. The first setting stays.
    pub fn on_free(&self, call: impl Fn() + Send + Sync + 'static) {
        let _ = self.call.set(Box::new(call));
    }

    /// Asks for one call. Look for slots after this, and wait only if there are none.
    pub fn arm(&self) {
        self.armed.swap(true, Ordering::AcqRel);
    }

    /// The loop has freed slots, or will free none any more.
    pub(super) fn announce(&self) {
        self.waker.wake();
        if self.armed.swap(false, Ordering::AcqRel)
            && let Some(call) = self.call.get()
        {
            call();
        }
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Space")
    }
}
