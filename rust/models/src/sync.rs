//! What the core's `sync` module offers, seen by loom.

pub(crate) use loom::sync::Arc;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

/// Two words are enough to be torn: the time and the sequence.
pub(crate) const CARRIED_WORDS: [usize; 2] = [0, 2];

use loom::cell::UnsafeCell;

/// One cell a slot, which is touched whenever the slot is: loom then finds each access that nothing orders.
pub(crate) struct Watch(Vec<UnsafeCell<()>>);

impl Watch {
    pub(crate) fn new(slots: usize) -> Self {
        Self(std::iter::repeat_with(|| UnsafeCell::new(())).take(slots).collect())
    }

    pub(crate) fn reads(&self, slot: usize) {
        self.0[slot].with(|_| ());
    }

    pub(crate) fn writes(&self, slot: usize) {
        self.0[slot].with_mut(|_| ());
    }
}
