//! A futex as its contract tells: the look at the word and the falling asleep are one step for `rouse`.

use std::time::Duration;

use shuttle::sync::{Condvar, Mutex};

use super::waker::Slept;
use crate::sync::{AtomicU32, Ordering};

#[derive(Debug, Default)]
pub(super) struct Bed {
    kernel: Mutex<()>,
    roused: Condvar,
}

impl Bed {
    /// Without a time-out: where a wake-up is lost nobody can go on, which shuttle reports.
    pub(super) fn sleep(&self, word: &AtomicU32, expected: u32, _timeout: Duration) -> Slept {
        let held = self.kernel.lock().unwrap();
        if word.load(Ordering::Relaxed) == expected {
            drop(self.roused.wait(held).unwrap());
        }
        Slept::Up
    }

    pub(super) fn rouse(&self, _word: &AtomicU32) {
        let _held = self.kernel.lock().unwrap();
        self.roused.notify_one();
    }
}
