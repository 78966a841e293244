//! What time it is for a strategy.

mod port;

use std::cell::Cell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

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

/// The clock of a live run: set once by the wall clock, and from then on moved by the monotonic one alone.
///
/// So it never runs backwards, timers do not see the wall clock being set, and a leap second is what the system makes of
/// it: a slightly longer second. How far the wall clock has gone away from it meanwhile is [`Self::drift_ns`]. Any thread.
///
/// ```
/// use tickrail_core::clock::{Clock, LiveClock};
/// let clock = LiveClock::new();
/// let before = clock.now_ns();
/// assert!(clock.now_ns() >= before);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LiveClock {
    wall_ns: i64,
    set_at: Instant,
}

impl Default for LiveClock {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
impl LiveClock {
    /// A clock that shows the wall clock's time.
    pub fn new() -> Self {
        Self { wall_ns: wall_ns(), set_at: Instant::now() }
    }

    /// How far ahead of this clock the wall clock is; far from zero once that was set, or the machine slept.
    pub fn drift_ns(&self) -> i64 {
        wall_ns().saturating_sub(self.now_ns())
    }
}

impl Clock for LiveClock {
    fn now_ns(&self) -> i64 {
        self.wall_ns.saturating_add(i64::try_from(self.set_at.elapsed().as_nanos()).unwrap_or(i64::MAX))
    }
}

/// A wall clock before the epoch or after the year 2262 is a wrong one: it shows the nearest time there is.
#[expect(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
fn wall_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_clock_shows_the_wall_clocks_time_and_goes_on() {
        let clock = LiveClock::new();
        assert!(clock.drift_ns().abs() < 1_000_000_000);
        let readings: Vec<i64> = (0..1_000).map(|_| clock.now_ns()).collect();
        assert!(readings.is_sorted());
        assert!(readings[999] > readings[0]);
    }

    #[test]
    fn never_runs_backwards() {
        let clock = SimClock::new(i64::MIN);
        for (to, shows) in [(-5, -5), (-9, -5), (0, 0), (i64::MAX, i64::MAX), (7, i64::MAX)] {
            assert_eq!(clock.advance_to(to), shows);
            assert_eq!(clock.now_ns(), shows);
        }
    }
}
