//! How often a person is told how far the run is: wall time, which no decision sees.

use std::time::{Duration, Instant};

/// A terminal shows no more than this.
const INTERVAL: Duration = Duration::from_millis(50);

/// Says when it is time to report progress again.
pub struct Pace(Instant);

impl Pace {
    /// The first report is due one interval from now.
    pub fn new() -> Self {
        Self(now())
    }

    /// Whether a report is due; if so, the next is due one interval later.
    pub fn is_due(&mut self) -> bool {
        let due = self.0.elapsed() >= INTERVAL;
        if due {
            self.0 = now();
        }
        due
    }
}

#[expect(clippy::disallowed_methods, reason = "paces a progress bar; nothing that a strategy decides depends on it")]
fn now() -> Instant {
    Instant::now()
}
