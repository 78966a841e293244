//! What the core's `sync` module offers, with a scheduler that changes threads at each of them.

pub(crate) use std::sync::Arc;

pub(crate) use shuttle::hint::spin_loop;
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
pub(crate) use shuttle::sync::{Mutex, MutexGuard, PoisonError};
pub(crate) use shuttle::thread::yield_now;

/// All words of a record.
pub(crate) const CARRIED_WORDS: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// Under shuttle threads change at atomics alone, so that accesses to slots cannot meet: that is loom's to find.
#[derive(Debug)]
pub(crate) struct Watch;

impl Watch {
    pub(crate) fn new(_slots: usize) -> Self {
        Self
    }

    pub(crate) fn reads(&self, _slot: usize) {}

    pub(crate) fn writes(&self, _slot: usize) {}
}
