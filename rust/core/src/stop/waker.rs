//! Waking one waiting thread, without losing a wake-up that comes before the wait.

use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use super::futex::Bed;
#[cfg(not(target_os = "linux"))]
use super::pipe::Bed;
use crate::sync::{AtomicU32, Ordering, fence};

/// Longest single sleep. A signal that comes just before the sleep does not end it; this bounds how late it is seen.
pub const MAX_SLICE: Duration = Duration::from_millis(100);

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeReason {
    /// Somebody called [`Waker::wake`], during the wait or since the last one that ended so, or what was waited for is there.
    Woken,
    /// The time-out is over.
    TimedOut,
    /// A signal handler ran on this thread, or (`wait_while`) the caller did not want to go on.
    Interrupted,
    /// One [`MAX_SLICE`] is over and the time-out is not: look at signals, and wait again.
    SliceOver,
}

/// Why a sleep ended, as the system tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slept {
    /// Woken, or for no reason: the word tells.
    Up,
    Timeout,
    Signal,
}

/// Nobody waits and nobody has called.
const IDLE: u32 = 0;
/// Somebody has called and nobody has taken note.
const CALLED: u32 = 1;
/// The waiter sleeps, or is about to.
const ASLEEP: u32 = 2;

/// Wakes the one thread that waits on it. A call that comes before the wait is kept, several are one.
///
/// Not `std::thread::park`, a condition variable or a channel: they go back to sleep after a signal, so that Ctrl-C was
/// seen 495 ms late in slices of 500 ms, and after 35-120 us with a futex of our own.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tickrail_core::stop::{WakeReason, Waker};
/// let waker = Arc::new(Waker::new());
/// assert_eq!(waker.wait(Duration::from_millis(1)), WakeReason::TimedOut);
/// let other = Arc::clone(&waker);
/// std::thread::spawn(move || other.wake());
/// assert_eq!(waker.wait_while(Duration::from_secs(10), || true), WakeReason::Woken);
/// ```
#[derive(Debug, Default)]
pub struct Waker {
    /// `IDLE`, `CALLED` or `ASLEEP`. Release by `wake`, Acquire by `stand_up`; all changes are exchanges on this one word,
    /// so that no fence is needed between the caller's data and the waiter's last look.
    state: AtomicU32,
    bed: Bed,
}

impl Waker {
    /// A waker that nobody has called.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the present wait or the next one. Safe in a signal handler; a system call only if the waiter sleeps.
    ///
    /// What the caller wrote before is visible to the thread that it wakes.
    pub fn wake(&self) {
        if self.state.swap(CALLED, Ordering::Release) == ASLEEP {
            self.bed.rouse(&self.state);
        }
    }

    /// Wakes the waiter if it sleeps, and does nothing else: for what [`Self::wait_for`] looks at before it lies down. While
    /// the waiter is awake this reads a word that nobody writes, so that what the caller wrote is all that has to travel.
    ///
    /// The fence keeps what the caller wrote before the look at the word; partner: that in `lie_down`. Of the two looks, the
    /// caller's at the word and the waiter's at what it waits for, at least one finds something.
    pub fn notify(&self) {
        fence(Ordering::SeqCst);
        // Relaxed: the fence orders it.
        if self.state.load(Ordering::Relaxed) == ASLEEP {
            self.wake();
        }
    }

    /// Whether there was a call since the last wait that ended by one. Relaxed: who sees one takes note of it by `wait`,
    /// which brings what the caller wrote.
    pub fn is_called(&self) -> bool {
        self.state.load(Ordering::Relaxed) == CALLED
    }

    /// Whether the waiter sleeps, and has to be woken. Relaxed: a hint.
    pub fn is_asleep(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ASLEEP
    }

    /// Takes note of a call, if there was one.
    pub(super) fn answer(&self) -> bool {
        self.is_called() && self.stand_up()
    }

    /// Waits for a call, for `timeout` or [`MAX_SLICE`], whichever is shorter.
    ///
    /// One thread waits at a time. Of two, each call wakes one, and the other sleeps for its time.
    pub fn wait(&self, timeout: Duration) -> WakeReason {
        self.wait_for(timeout, || false)
    }

    /// The same, also for what `is_there` finds: callers that bring that may [notify](Self::notify) in place of a call.
    #[expect(clippy::disallowed_methods, reason = "measures how long a thread slept; no decision sees it")]
    pub fn wait_for(&self, timeout: Duration, mut is_there: impl FnMut() -> bool) -> WakeReason {
        let end = Instant::now() + timeout.min(MAX_SLICE);
        loop {
            let slept = match self.lie_down() {
                true if is_there() => {
                    self.stand_up();
                    return WakeReason::Woken;
                }
                true => self.bed.sleep(&self.state, ASLEEP, end.saturating_duration_since(Instant::now())),
                false => Slept::Up,
            };
            if self.stand_up() {
                return WakeReason::Woken;
            }
            match slept {
                Slept::Signal => return WakeReason::Interrupted,
                Slept::Timeout if timeout > MAX_SLICE => return WakeReason::SliceOver,
                Slept::Timeout => return WakeReason::TimedOut,
                Slept::Up => {}
            }
        }
    }

    /// Waits for a call for up to `timeout`, slice by slice, as long as `go_on` agrees after each slice and signal.
    #[expect(clippy::disallowed_methods, reason = "measures how long a thread slept; no decision sees it")]
    pub fn wait_while(&self, timeout: Duration, mut go_on: impl FnMut() -> bool) -> WakeReason {
        let started = Instant::now();
        loop {
            match self.wait(timeout.saturating_sub(started.elapsed())) {
                WakeReason::SliceOver | WakeReason::Interrupted if go_on() => {}
                WakeReason::SliceOver => return WakeReason::Interrupted,
                reason => return reason,
            }
        }
    }

    /// `IDLE` to `ASLEEP`; false if there was a call. Relaxed: nothing is read on its word before `stand_up`. The fence keeps
    /// the last look at what is waited for behind it; partner: that in `notify`.
    fn lie_down(&self) -> bool {
        let lies = self.state.compare_exchange(IDLE, ASLEEP, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        fence(Ordering::SeqCst);
        lies
    }

    /// Back to `IDLE`, Acquire; whether there was a call. Partner: the swap in `wake`.
    fn stand_up(&self) -> bool {
        self.state.swap(IDLE, Ordering::Acquire) == CALLED
    }
}
