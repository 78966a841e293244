//! What happens between slices by wall time, which no decision sees: progress for a person, a look at signals.

use std::time::{Duration, Instant};

/// How often `progress` is called: a terminal shows no more.
pub const PROGRESS: Duration = Duration::from_millis(50);

/// Longest time without the GIL, and so without a look at signals.
pub const STRETCH: Duration = Duration::from_millis(5);

/// Says when something is due again.
pub struct Pace {
    interval: Duration,
    last: Instant,
}

impl Pace {
    /// First due one interval from now.
    pub fn every(interval: Duration) -> Self {
        Self { interval, last: now() }
    }

    /// Whether it is due; if so, the next time is one interval later.
    pub fn is_due(&mut self) -> bool {
        let due = self.last.elapsed() >= self.interval;
        if due {
            self.last = now();
        }
        due
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "paces what surrounds the loop; nothing that a strategy decides depends on it"
)]
fn now() -> Instant {
    Instant::now()
}
