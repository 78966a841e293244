//! The one place where the crate takes its shared-memory primitives from.
//!
//! The model checker (`rust/models`) includes the lock-free sources by path and puts its own module in the place of this
//! one, so that it sees each access; a lock-free source that named `std::sync::atomic` itself would escape it. So does the
//! checker of schedules (`rust/models/schedules`), which runs the whole crate: there a lock that is not taken from here
//! would stop the only thread.

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};
pub(crate) use std::thread::yield_now;

/// Which of a record's eight words a seqlock carries: all of them; fewer in a model, whose time grows with each.
pub(crate) const CARRIED_WORDS: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// Tells the model checker who touches which slot of a ring; nothing here, where nobody asks.
#[derive(Debug)]
pub(crate) struct Watch;

impl Watch {
    pub(crate) fn new(_slots: usize) -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn reads(&self, _slot: usize) {}

    #[inline(always)]
    pub(crate) fn writes(&self, _slot: usize) {}
}
