//! The clock of a live run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Clock;
use crate::sync::{AtomicI64, AtomicU64, Ordering};

/// A step of the wall clock counts as one from here on; a clock kept by NTP is slewed, and stays far below.
pub const JUMP_NS: i64 = 100_000_000;

const SECOND_NS: i64 = 1_000_000_000;

/// How often both clocks are read for one difference.
const READINGS: u32 = 3;

/// The clock of a live run: set once by the wall clock, and from then on moved by the [steady one](instant) alone.
///
/// So it never runs backwards, timers do not see the wall clock being set, and a leap second is what the system makes of
/// it: a slightly longer second. While the machine sleeps it goes on. How far the wall clock has gone away from it meanwhile
/// is [`Self::drift_ns`]; that it was set is counted by [`Self::look`]. Any thread.
///
/// ```
/// use tickrail_core::clock::{Clock, LiveClock};
/// let clock = LiveClock::new();
/// let before = clock.now_ns();
/// assert!(clock.now_ns() >= before);
/// ```
#[derive(Debug)]
pub struct LiveClock {
    wall: fn() -> i64,
    steady: fn() -> Moment,
    wall_ns: i64,
    set_at: Moment,
    /// The drift at the last look. Relaxed, as `jumps`: figures for people, which guard nothing.
    seen_ns: AtomicI64,
    jumps: AtomicU64,
}

impl Default for LiveClock {
    fn default() -> Self {
        Self::new()
    }
}

impl LiveClock {
    /// A clock that shows the wall clock's time.
    pub fn new() -> Self {
        Self::by(wall_ns, instant)
    }

    /// A clock by others than the machine's: set by `wall`, moved by `steady`, which never runs backwards.
    pub fn by(wall: fn() -> i64, steady: fn() -> Moment) -> Self {
        let (wall_ns, set_at) = (wall(), steady());
        Self { wall, steady, wall_ns, set_at, seen_ns: AtomicI64::new(0), jumps: AtomicU64::new(0) }
    }

    /// What it shows at `when`.
    pub fn at(&self, when: Moment) -> i64 {
        self.wall_ns.saturating_add(when.0.saturating_sub(self.set_at.0))
    }

    /// Whether `ts_ns` lies more than `most_ns` ahead, by this clock and by the wall clock: a clock that was set wrongly when the
    /// run began is no reason to call all that comes wrong.
    pub fn is_ahead(&self, ts_ns: i64, most_ns: i64) -> bool {
        let from_ns = ts_ns.saturating_sub(most_ns);
        from_ns > self.now_ns() && from_ns > (self.wall)()
    }

    /// How far ahead of this clock the wall clock is; far from zero once that was set, or the machine slept.
    ///
    /// Two clocks are read, and the thread may have to wait in between: the best of a few readings counts.
    pub fn drift_ns(&self) -> i64 {
        let read = || {
            let (before_ns, wall_ns, after_ns) = (self.now_ns(), (self.wall)(), self.now_ns());
            (after_ns - before_ns, wall_ns.saturating_sub(before_ns))
        };
        let (_, drift_ns) = (0..READINGS).map(|_| read()).min().unwrap_or_default();
        drift_ns
    }

    /// Looks whether the wall clock was set by [`JUMP_NS`] or more since the last look, and counts it. One thread at a time.
    pub fn look(&self) {
        let drift_ns = self.drift_ns();
        let before_ns = self.seen_ns.swap(drift_ns, Ordering::Relaxed);
        if drift_ns.abs_diff(before_ns) >= JUMP_NS.unsigned_abs() {
            self.jumps.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often the wall clock was found to have been set.
    pub fn jumps(&self) -> u64 {
        self.jumps.load(Ordering::Relaxed)
    }
}

impl Clock for LiveClock {
    fn now_ns(&self) -> i64 {
        self.at((self.steady)())
    }
}

/// A moment on the steady clock, ns since some time before the program began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// That many ns after that time.
    pub const fn at_ns(ns: i64) -> Self {
        Self(ns)
    }

    /// How long ago it was.
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(instant().0.saturating_sub(self.0).max(0).unsigned_abs())
    }
}

/// Goes on while the machine sleeps, as that of `std` does not: [`LiveClock`] would fall behind by as much, for good.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STEADY: libc::clockid_t = libc::CLOCK_BOOTTIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const STEADY: libc::clockid_t = libc::CLOCK_MONOTONIC;

/// The steady clock, which nobody sets: to measure how long something took, never to decide.
#[inline]
pub fn instant() -> Moment {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that outlives the call.
    let failed = unsafe { libc::clock_gettime(STEADY, &raw mut time) };
    assert!(failed == 0, "the system has no clock that counts from its start");
    Moment(time.tv_sec * SECOND_NS + time.tv_nsec)
}

/// A wall clock before the epoch or after the year 2262 is a wrong one: it shows the nearest time there is.
#[expect(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
fn wall_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const HOUR_NS: i64 = 3_600_000_000_000;

    thread_local!(static SET_BY_NS: Cell<i64> = const { Cell::new(0) });

    /// The wall clock of a machine on which somebody sets it.
    fn unsteady() -> i64 {
        wall_ns() + SET_BY_NS.get()
    }

    #[test]
    fn it_shows_the_wall_clocks_time_and_goes_on() {
        let clock = LiveClock::new();
        assert!(clock.drift_ns().abs() < 1_000_000_000);
        let readings: Vec<i64> = (0..1_000).map(|_| clock.now_ns()).collect();
        assert!(readings.is_sorted());
        assert!(readings[999] > readings[0]);
    }

    #[test]
    fn setting_the_wall_clock_moves_nothing_and_is_counted() {
        let clock = LiveClock::by(unsteady, instant);
        let began = clock.now_ns();
        for (by_ns, jumps) in [(0, 0), (HOUR_NS, 1), (HOUR_NS, 1), (-HOUR_NS, 2), (1_000_000_000, 3), (0, 4)] {
            SET_BY_NS.set(by_ns);
            clock.look();
            assert!((clock.now_ns() - began) < HOUR_NS / 2, "the clock itself went on as before");
            assert!(clock.drift_ns().abs_diff(by_ns) < HOUR_NS as u64 / 2);
            assert_eq!(clock.jumps(), jumps);
        }
    }

    #[test]
    fn a_time_is_ahead_where_both_clocks_say_so() {
        let clock = LiveClock::by(unsteady, instant);
        let soon_ns = clock.now_ns() + HOUR_NS;
        assert!(!clock.is_ahead(soon_ns, HOUR_NS));
        assert!(clock.is_ahead(soon_ns, HOUR_NS / 2));
        assert!(clock.is_ahead(i64::MAX, i64::MAX / 4) && !clock.is_ahead(i64::MIN, 0));
        SET_BY_NS.set(HOUR_NS);
        assert!(!clock.is_ahead(soon_ns, HOUR_NS / 2), "the wall clock was an hour behind when the run began");
    }

    #[test]
    fn a_second_that_the_system_says_twice_is_one_step_and_no_time_twice() {
        let clock = LiveClock::by(unsteady, instant);
        let mut readings = vec![clock.now_ns()];
        for (by_ns, jumps) in [(0, 0), (-SECOND_NS, 1), (-SECOND_NS, 1)] {
            SET_BY_NS.set(by_ns);
            clock.look();
            readings.extend((0..100).map(|_| clock.now_ns()));
            assert!((clock.drift_ns() - by_ns).abs() < JUMP_NS, "that many seconds behind this clock");
            assert_eq!(clock.jumps(), jumps);
        }
        assert!(readings.is_sorted(), "timers are due by this clock: none fires again, none a second late");
    }
}
