//! The GIL's way from a thread that publishes to the loop that waits for what it publishes.
//!
//! The interpreter alone would let the loop wait for the publisher's next pause, or a whole switch interval of 5 ms: it does
//! not know that the loop has something to do since just now. See docs/decisions/0024.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use tickrail_core::stop::Waker;

/// Between two hand-overs by one publisher: what it publishes meanwhile is taken together.
const INTERVAL_NS: i64 = 20_000;
/// How often the loop looks whether a publisher has let the GIL go, before it asks for it: some 3 us. Who asks for a GIL that
/// is held sleeps at once, and to be woken takes twice as long as the publisher needs.
const LOOKS: u32 = 200;
/// How long a publisher waits for the loop to have had the GIL.
const PATIENCE: Duration = Duration::from_micros(200);

/// Whether the loop waits without the GIL.
///
/// Written by the dispatch thread alone, with the GIL, which orders it for all who have it. Relaxed throughout: a publisher
/// that has let the GIL go looks only for a hint that it may go on.
#[derive(Debug, Default)]
pub struct Handover {
    /// How often the loop began and ended to wait: odd while it does.
    turns: AtomicU64,
    /// Whether a publisher brings something, with the GIL, for which the loop waits. A hint, by one publisher at a time.
    is_brought: AtomicBool,
    /// Where a publisher sleeps meanwhile: to look again and again would keep its processor, on which the system mostly wakes
    /// the loop.
    done: Waker,
}

impl Handover {
    /// Runs `wait` without the GIL, on the dispatch thread.
    pub fn wait<R: Send>(&self, py: Python<'_>, wait: impl FnOnce() -> R + Send) -> R {
        let turn = self.turns.load(Ordering::Relaxed);
        self.turns.store(turn + 1, Ordering::Relaxed);
        // Not earlier: whoever handed the GIL over could do nothing without it.
        self.done.wake();
        let result = py.detach(|| {
            let result = wait();
            let mut looks = 0;
            while self.is_brought.load(Ordering::Relaxed) && looks < LOOKS {
                looks += 1;
                spin_loop();
            }
            result
        });
        self.turns.store(turn + 2, Ordering::Relaxed);
        result
    }

    /// Whether the loop waits without the GIL.
    pub fn is_waiting(&self) -> bool {
        self.turns.load(Ordering::Relaxed) % 2 == 1
    }

    /// Something comes: before it is brought, so that a loop that sees it sees this too.
    #[inline(always)]
    pub fn announce(&self) {
        if self.is_waiting() {
            self.is_brought.store(true, Ordering::Relaxed);
        }
    }

    /// The publisher keeps the GIL.
    #[inline(always)]
    pub fn keep(&self) {
        if self.is_brought.load(Ordering::Relaxed) {
            self.is_brought.store(false, Ordering::Relaxed);
        }
    }

    /// Whether the loop waits for what came at `brought_ns`, and it is time to let it go on: that was done at `before_ns`.
    #[inline(always)]
    pub fn is_due(&self, brought_ns: i64, before_ns: i64) -> bool {
        self.is_waiting() && brought_ns.wrapping_sub(before_ns) >= INTERVAL_NS
    }

    /// Looks for a moment whether the loop has let the GIL go: for whoever has its answer, without the GIL, and wants it now.
    pub fn await_wait(&self) {
        let mut looks = 0;
        while !self.is_waiting() && looks < LOOKS {
            looks += 1;
            spin_loop();
        }
    }

    /// Lets go of the GIL until the loop has had it, or has not come for it in time.
    #[cold]
    pub fn give(&self, py: Python<'_>) {
        let turn = self.turns.load(Ordering::Relaxed);
        py.detach(|| {
            self.is_brought.store(false, Ordering::Relaxed);
            let until = now() + PATIENCE;
            // The first wait may end at once, by a call of earlier.
            while self.turns.load(Ordering::Relaxed) == turn
                && let left = until.saturating_duration_since(now())
                && !left.is_zero()
            {
                self.done.wait(left);
            }
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "bounds a wait; nothing that is decided depends on it")]
fn now() -> Instant {
    Instant::now()
}
