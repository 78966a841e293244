//! How a thread waits for a call: hot, warm, cold.

use std::time::{Duration, Instant};

use super::waker::{MAX_SLICE, WakeReason, Waker};
use crate::sync::{AtomicU32, Ordering, spin_loop, yield_now};

/// Looks that are made between two readings of the clock; one costs as much as some four of them.
const LOOKS: u32 = 16;

/// Pauses between two looks of the warm stage.
const WARM_PAUSES: u32 = 16;

/// Longest mean of the last waits for which it pays to stay awake: to be woken takes 15-30 us on another processor, and who
/// is called 10,000 times a second and more would pay that each time.
const LIVELY_NS: u32 = 100_000;
/// Waits of which the mean is held, about.
const WAITS: u32 = 8;

/// How long the last waits of one waiter took, so that one who is called often stays awake in between, and one who is not
/// costs no processor.
#[derive(Debug)]
pub struct Pace {
    /// The mean, ns. Relaxed, without a partner: the waiter alone reads and writes it.
    mean_ns: AtomicU32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { mean_ns: AtomicU32::new(u32::MAX) }
    }
}

impl Pace {
    /// How long to look before a sleep, beyond what a strategy does anyway: twice the mean.
    fn patience(&self) -> Duration {
        match self.mean_ns.load(Ordering::Relaxed) {
            lively @ ..=LIVELY_NS => Duration::from_nanos(2 * u64::from(lively)),
            _ => Duration::ZERO,
        }
    }

    /// A long wait ends the mean, a short one brings it near in a few.
    fn note(&self, waited: Duration) {
        let waited_ns = u32::try_from(waited.as_nanos()).unwrap_or(u32::MAX);
        let mean_ns = self.mean_ns.load(Ordering::Relaxed).min(16 * LIVELY_NS);
        let after_ns = mean_ns - mean_ns / WAITS + waited_ns.min(16 * LIVELY_NS) / WAITS;
        self.mean_ns.store(after_ns, Ordering::Relaxed);
    }
}

/// The stages of a wait, each for as long as it says: looking all the time, looking with pauses, giving the processor up
/// between looks, and then sleep.
///
/// Measured one way, from one thread to another: 70-95 ns hot, 215 ns with 16 pauses, 310 ns yielding, and 15-30 us asleep
/// on another processor, which then has to be woken. So a feed that brings something every few us should find the loop
/// awake, and one that does not should not cost a processor.
///
/// ```
/// use std::time::Duration;
/// use tickrail_core::stop::{WaitStrategy, WakeReason, Waker};
/// let waker = Waker::new();
/// waker.wake();
/// assert_eq!(WaitStrategy::default().wait(&waker, Duration::from_secs(1)), WakeReason::Woken);
/// assert_eq!(WaitStrategy::PARK.wait(&waker, Duration::from_millis(1)), WakeReason::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitStrategy {
    /// How long to look all the time.
    pub spin: Duration,
    /// How long then to look with pauses in between.
    pub pause: Duration,
    /// How long then to give the processor up between looks.
    pub r#yield: Duration,
    /// Whether to sleep then; if not, the last stage goes on.
    pub parks: bool,
}

impl WaitStrategy {
    /// Sleeps at once.
    pub const PARK: Self = Self::for_each(0, 0, 0, true);
    /// Never sleeps: a processor of its own is wanted.
    pub const SPIN: Self = Self::for_each(u64::MAX, 0, 0, false);
    /// Never sleeps, but gives the processor up.
    pub const YIELD: Self = Self::for_each(0, 0, u64::MAX, false);

    const fn for_each(spin_us: u64, pause_us: u64, yield_us: u64, parks: bool) -> Self {
        Self {
            spin: Duration::from_micros(spin_us),
            pause: Duration::from_micros(pause_us),
            r#yield: Duration::from_micros(yield_us),
            parks,
        }
    }

    /// The same, fitted to the processors that this process may use: with one, whoever looks keeps those from running
    /// that it waits for, and a sleep is the fastest way to them (2.6 us).
    #[must_use]
    pub fn fitted(self) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if processors == 1 { Self::PARK } else { self }
    }

    /// Waits for a call of `waker`, for `timeout` or [`MAX_SLICE`], whichever is shorter.
    pub fn wait(&self, waker: &Waker, timeout: Duration) -> WakeReason {
        self.wait_for(waker, timeout, || false)
    }

    /// The same, also for what `is_there` finds; whoever brings that may [notify](Waker::notify) in place of a call.
    ///
    /// What is waited for is looked at itself, and first: a call would be a second line that has to travel from the other
    /// processor (measured, there and half of back: 2.8 times a bare word's by calls, 1.5 by looks).
    #[expect(clippy::disallowed_methods, reason = "measures how long a thread waited; no decision sees it")]
    pub fn wait_for(&self, waker: &Waker, timeout: Duration, mut is_there: impl FnMut() -> bool) -> WakeReason {
        if is_there() || waker.answer() {
            return WakeReason::Woken;
        }
        let started = Instant::now();
        let end = timeout.min(MAX_SLICE);
        let stages: [(Duration, fn()); 3] = [(self.spin, spin_loop), (self.pause, rest), (self.r#yield, yield_now)];
        let mut until = Duration::ZERO;
        for (length, between) in stages {
            until = until.saturating_add(length);
            while started.elapsed() < until.min(end) {
                for _ in 0..LOOKS {
                    if is_there() || waker.answer() {
                        return WakeReason::Woken;
                    }
                    between();
                }
            }
        }
        match timeout.saturating_sub(started.elapsed()) {
            left if self.parks => waker.wait_for(left, is_there),
            Duration::ZERO => waker.wait_for(Duration::ZERO, is_there),
            _ => WakeReason::SliceOver,
        }
    }

    /// The same as [`Self::wait_for`], by one waiter who is called again and again: where calls come often, it gives the processor
    /// up between looks for a while before it sleeps.
    #[expect(clippy::disallowed_methods, reason = "measures how long a thread waited; no decision sees it")]
    pub fn wait_by(&self, pace: &Pace, waker: &Waker, timeout: Duration, is_there: impl FnMut() -> bool) -> WakeReason {
        if !self.parks || *self == Self::PARK {
            return self.wait_for(waker, timeout, is_there);
        }
        let started = Instant::now();
        let lively = Self { r#yield: self.r#yield.max(pace.patience()), ..*self };
        let reason = lively.wait_for(waker, timeout, is_there);
        pace.note(started.elapsed());
        reason
    }
}

impl Default for WaitStrategy {
    /// Looks for 20 us, then sleeps.
    fn default() -> Self {
        Self::for_each(5, 15, 0, true)
    }
}

fn rest() {
    for _ in 0..WARM_PAUSES {
        spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_called_often_stays_awake_for_twice_as_long_and_who_is_not_sleeps_at_once() {
        let pace = Pace::default();
        assert_eq!(pace.patience(), Duration::ZERO, "nothing is known yet");
        for _ in 0..80 {
            pace.note(Duration::from_micros(50));
        }
        let often = pace.patience();
        assert!((Duration::from_micros(95)..=Duration::from_micros(105)).contains(&often), "{often:?}");
        pace.note(MAX_SLICE);
        assert_eq!(pace.patience(), Duration::ZERO, "one long wait, and it is over");
        (0..12).for_each(|_| pace.note(Duration::from_micros(50)));
        assert!(pace.patience() > Duration::ZERO);
        (0..40).for_each(|_| pace.note(Duration::from_micros(150)));
        assert_eq!(pace.patience(), Duration::ZERO, "that seldom it does not pay");
    }

    #[test]
    fn a_wait_by_a_pace_sees_a_call_and_keeps_to_its_time() {
        let (pace, waker) = (Pace::default(), Waker::new());
        (0..40).for_each(|_| pace.note(Duration::from_micros(50)));
        for strategy in [WaitStrategy::default(), WaitStrategy::PARK, WaitStrategy::SPIN] {
            waker.wake();
            assert_eq!(
                strategy.wait_by(&pace, &waker, Duration::from_secs(30), || false),
                WakeReason::Woken,
                "{strategy:?}"
            );
            let short = Duration::from_millis(2);
            assert_ne!(strategy.wait_by(&pace, &waker, short, || false), WakeReason::Woken, "{strategy:?}");
        }
    }
}
