//! Between a publisher that may be at work and a loop that wants to end its stream.

use crate::sync::{AtomicU32, Ordering};

/// The publisher is outside.
const OPEN: u32 = 0;
/// The publisher is bringing records.
const BUSY: u32 = 1;
/// The stream has ended; the publisher stays outside.
const SHUT: u32 = 2;

/// Decides between a publisher that enters and a loop that shuts: one of them is first, and both know which.
///
/// Without it a record that was brought between the loop's last look at the ring and its leave would be lost, although the
/// publisher was told that it is in. All decisions are exchanges on one word.
#[derive(Debug, Default)]
pub(super) struct Latch {
    /// Acquire by `enter`, Release by `leave`, AcqRel by `shut`: who shuts after a `leave` sees what was brought before it.
    state: AtomicU32,
}

impl Latch {
    /// The publisher begins; false: the stream has ended. Followed by `leave`.
    #[inline]
    pub fn enter(&self) -> bool {
        self.state.compare_exchange(OPEN, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// The publisher is done. A plain store: while it is busy nobody else writes the word.
    #[inline]
    pub fn leave(&self) {
        self.state.store(OPEN, Ordering::Release);
    }

    /// Ends the stream unless the publisher is at work; whether it has ended. Then look once more for what it brought.
    pub fn shut(&self) -> bool {
        match self.state.compare_exchange(OPEN, SHUT, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(state) => state == SHUT,
        }
    }

    /// Whether the stream has ended. Relaxed: it says so, and guards nothing.
    pub fn is_shut(&self) -> bool {
        self.state.load(Ordering::Relaxed) == SHUT
    }
}
