//! Sleeping on a pipe, for systems without a futex; a byte in it ends the sleep.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::waker::Slept;
use crate::sync::AtomicU32;

/// The pipe; without one, where no descriptor was left, a sleeper wakes at the end of its slice.
#[derive(Debug)]
pub(super) struct Bed {
    pipe: Option<(PipeReader, PipeWriter)>,
}

impl Default for Bed {
    fn default() -> Self {
        Self { pipe: pipe().ok() }
    }
}

impl Bed {
    /// Sleeps until `rouse` for at most `timeout`. A byte from a `rouse` that came too late for its sleep ends the next
    /// one for no reason, which the waiter takes for what it is; there is never more than one byte a sleep.
    pub(super) fn sleep(&self, _word: &AtomicU32, _expected: u32, timeout: Duration) -> Slept {
        let descriptor = self.pipe.as_ref().map_or(-1, |(reader, _)| reader.as_raw_fd());
        let mut watched = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
        let timeout_ms = timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32;
        // SAFETY: one entry, which lives through the call; a negative descriptor is skipped.
        let result = unsafe { libc::poll(&raw mut watched, 1, timeout_ms) };
        match (result, &self.pipe) {
            (0, _) => Slept::Timeout,
            (-1, _) => Slept::Signal,
            (_, Some((reader, _))) => {
                // What was read does not matter, and a failure shows at the next sleep.
                let _ = (&*reader).read(&mut [0; 64]);
                Slept::Up
            }
            (_, None) => Slept::Up,
        }
    }

    /// Ends the sleep.
    pub(super) fn rouse(&self, _word: &AtomicU32) {
        if let Some((_, writer)) = &self.pipe {
            // Full is impossible, and a closed reader is our own.
            let _ = (&*writer).write(&[1]);
        }
    }
}
