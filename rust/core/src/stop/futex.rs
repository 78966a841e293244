//! Sleeping on a word, as Linux does it.

use std::time::Duration;

use super::waker::Slept;
use crate::sync::AtomicU32;

/// Nothing to keep: the kernel sleeps on the word itself.
#[derive(Debug, Default)]
pub(super) struct Bed;

impl Bed {
    /// Sleeps while `word` is `expected`, for at most `timeout`.
    pub(super) fn sleep(&self, word: &AtomicU32, expected: u32, timeout: Duration) -> Slept {
        let timeout = libc::timespec {
            tv_sec: timeout.as_secs() as libc::time_t,
            tv_nsec: timeout.subsec_nanos() as libc::c_long,
        };
        let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: the word and the time-out live through the call, and the kernel only reads them.
        let result = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, expected, &raw const timeout) };
        match (result, std::io::Error::last_os_error().raw_os_error()) {
            (-1, Some(libc::ETIMEDOUT)) => Slept::Timeout,
            (-1, Some(libc::EINTR)) => Slept::Signal,
            _ => Slept::Up,
        }
    }

    /// Ends the sleep on `word`. Leaves `errno` as it is, for the signal handler that may be the caller.
    pub(super) fn rouse(&self, word: &AtomicU32) {
        let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: FUTEX_WAKE takes an address and reads nothing behind it; it fails only for one that is no address.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 1) };
    }
}
