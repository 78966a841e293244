//! What time it is for a strategy.

mod live;
mod port;

use std::cell::Cell;

pub use live::{JUMP_NS, LiveClock, Moment, instant};
pub use port::ClockPort;

/// Tells the time in ns since the Unix epoch, UTC.
pub trait Clock {
    /// The present; fixed for the length of a step, and never less than before.
    fn now_ns(&self) -> i64;
}

/// The clock of a simulation: stands still until the loop moves it.
///
/// Belongs to the dispatch thread (it is not `Sync`); handlers read it while the loop holds it.
///
/// ```
/// use tickrail_core::clock::{Clock, SimClock};
/// let clock = SimClock::new(100);
/// clock.advance_to(250);
/// clock.advance_to(200);
/// assert_eq!(clock.now_ns(), 250);
/// ```
#[derive(Debug, Default)]
pub struct SimClock {
    now_ns: Cell<i64>,
}

impl SimClock {
    /// A clock that stands at `now_ns`.
    pub const fn new(now_ns: i64) -> Self {
        Self { now_ns: Cell::new(now_ns) }
    }

    /// Moves to `now_ns`; stays where it is when that lies in the past. Gives the time it then tells.
    #[inline]
    pub fn advance_to(&self, now_ns: i64) -> i64 {
        self.now_ns.set(self.now_ns.get().max(now_ns));
        self.now_ns.get()
    }
}

impl Clock for SimClock {
    #[inline]
    fn now_ns(&self) -> i64 {
        self.now_ns.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_runs_backwards() {
        let clock = SimClock::new(i64::MIN);
        for (to, shows) in [(-5, -5), (-9, -5), (0, 0), (i64::MAX, i64::MAX), (7, i64::MAX)] {
            assert_eq!(clock.advance_to(to), shows);
            assert_eq!(clock.now_ns(), shows);
        }
    }
}
