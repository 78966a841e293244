//! Timers of a simulation: who wants to be called when.

mod heap;

use thiserror::Error;

use heap::{Heap, Slot};

/// Most timers that may be set at once: some 16 MiB. A strategy that comes near it sets timers and forgets them.
pub const MAX_TIMERS: usize = 1 << 18;

/// Shortest interval of a repeating timer, ns. With less, a silent hour of data would be billions of firings.
pub const MIN_INTERVAL_NS: i64 = 1_000;

/// Names one timer; the name of a timer that is gone is never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    slot: u32,
    rank: u64,
}

impl TimerId {
    /// How many timers the same queue had been asked for before this one: the same in every run of the same inputs.
    pub const fn rank(self) -> u64 {
        self.rank
    }
}

/// A timer that went off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Which timer.
    pub id: TimerId,
    /// Who set it.
    pub owner: u32,
    /// The time it was set for; before the present only if it was set for the past.
    pub due_ns: i64,
    /// How often it has fired, this time included.
    pub number: u64,
}

/// Why a timer cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimerError {
    /// [`MAX_TIMERS`] are set already.
    #[error("{MAX_TIMERS} timers are set, the most there can be; cancel those that are no longer needed")]
    TooMany,
    /// The interval is below [`MIN_INTERVAL_NS`].
    #[error("an interval of {interval_ns} ns; a repeating timer needs at least {MIN_INTERVAL_NS} ns")]
    IntervalTooShort {
        /// What was asked for.
        interval_ns: i64,
    },
}

/// Timers in the order in which they fire: by time, at equal times in order of registration.
///
/// A timer set for the present or the past is due at once: it goes before all that wait for a time, so that the loop
/// fires it in its next step whatever that step's tick says, and several such go in order of registration. A repeating
/// timer keeps its registration rank and never drifts: each time is the last plus the interval, and none is left out.
/// Setting, cancelling and firing take O(log n) and, once the queue has had as many timers, no allocation.
///
/// ```
/// use tickrail_core::timer::TimerQueue;
/// let mut timers = TimerQueue::new();
/// timers.schedule(7, 1_000_000, Some(500_000), 0)?;
/// assert_eq!(timers.next_due(), 1_000_000);
/// assert_eq!(timers.pop_due(999_999), None);
/// let fired = timers.pop_due(1_200_000).unwrap();
/// assert_eq!((fired.owner, fired.due_ns, fired.number), (7, 1_000_000, 1));
/// assert_eq!(timers.next_due(), 1_500_000);
/// assert!(timers.cancel(fired.id));
/// assert!(!timers.cancel(fired.id));
/// # Ok::<(), tickrail_core::timer::TimerError>(())
/// ```
#[derive(Debug)]
pub struct TimerQueue {
    heap: Heap,
    /// The time of the first timer, kept apart because the loop reads it per tick.
    next_due: i64,
    next_rank: u64,
}

impl Default for TimerQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl TimerQueue {
    /// No timers.
    pub const fn new() -> Self {
        Self { heap: Heap::new(), next_due: i64::MAX, next_rank: 0 }
    }

    /// Sets a timer for `due_ns`, and with `interval_ns` again each interval after that.
    ///
    /// # Errors
    /// Too many timers, or too short an interval.
    pub fn schedule(
        &mut self,
        owner: u32,
        due_ns: i64,
        interval_ns: Option<i64>,
        now_ns: i64,
    ) -> Result<TimerId, TimerError> {
        if let Some(interval_ns) = interval_ns.filter(|&interval| interval < MIN_INTERVAL_NS) {
            return Err(TimerError::IntervalTooShort { interval_ns });
        }
        if self.heap.len() >= MAX_TIMERS {
            return Err(TimerError::TooMany);
        }
        let rank = self.next_rank;
        self.next_rank += 1;
        let at_ns = if due_ns <= now_ns { i64::MIN } else { due_ns };
        let slot = self.heap.insert(Slot { at_ns, rank, due_ns, interval_ns, owner, fired: 0 });
        self.refresh();
        Ok(TimerId { slot, rank })
    }

    /// Takes a timer away; false if it is gone already, by firing or by an earlier call.
    pub fn cancel(&mut self, id: TimerId) -> bool {
        let is_set = self.heap.get(id.slot).is_some_and(|slot| slot.rank == id.rank);
        if is_set {
            self.heap.remove(id.slot);
            self.refresh();
        }
        is_set
    }

    /// Takes away all timers of `owner`, and says how many there were. Looks at every timer.
    pub fn cancel_owner(&mut self, owner: u32) -> usize {
        let removed = self.heap.remove_where(|slot| slot.owner == owner);
        self.refresh();
        removed
    }

    /// When the next timer fires: `i64::MAX` if there is none, `i64::MIN` if one is due at once.
    #[inline(always)]
    pub fn next_due(&self) -> i64 {
        self.next_due
    }

    /// The first timer that is due at `now_ns` or was before; a repeating one is set for its next time.
    pub fn pop_due(&mut self, now_ns: i64) -> Option<Fired> {
        if self.next_due > now_ns {
            return None;
        }
        let (index, slot) = self.heap.first()?;
        slot.fired += 1;
        let fired = Fired {
            id: TimerId { slot: index, rank: slot.rank },
            owner: slot.owner,
            due_ns: slot.due_ns,
            number: slot.fired,
        };
        // A repetition beyond the end of time never comes.
        match slot.interval_ns.and_then(|interval| slot.due_ns.checked_add(interval)) {
            Some(due_ns) => {
                (slot.due_ns, slot.at_ns) = (due_ns, due_ns);
                self.heap.settle_first();
            }
            None => self.heap.remove(index),
        }
        self.refresh();
        Some(fired)
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn refresh(&mut self) {
        self.next_due = self.heap.first().map_or(i64::MAX, |(_, slot)| slot.at_ns);
    }
}

#[cfg(test)]
mod tests;
