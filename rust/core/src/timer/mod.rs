//! Timers: who wants to be called when.

mod heap;
mod names;
mod schedule;

use std::sync::Arc;

use heap::{Heap, Turn};
use names::Names;

pub use schedule::{MAX_TIMERS, MIN_INTERVAL_NS, Schedule, TimerError};

/// Names one timer; the name of a timer that is gone is never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId {
    slot: u32,
    rank: u64,
}

impl TimerId {
    /// How many timers the same queue had been asked for before this one: the same in every run of the same inputs.
    pub const fn rank(self) -> u64 {
        self.rank
    }

    /// Its place among those that are set, below [`MAX_TIMERS`]; another timer's once this one is gone.
    pub const fn slot(self) -> u32 {
        self.slot
    }
}

/// What becomes of firings whose time has passed before the loop could see to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// Each takes place (a simulation, where nothing is ever late).
    Each,
    /// Those of one timer become one, the last of them, which counts the others as missed (live).
    Merge,
}

/// A timer that went off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Which timer.
    pub id: TimerId,
    /// Who set it.
    pub owner: u32,
    /// What its owner calls it.
    pub number: u32,
    /// The time it was set for.
    pub due_ns: i64,
    /// Which of its times that is, from 1: `due_ns = first + (count - 1) * interval`, whatever was missed.
    pub count: u64,
    /// How many of its times have gone by since it last fired, and are merged into this firing.
    pub missed: u64,
    /// Whether it is gone now.
    pub is_last: bool,
    /// Its name.
    pub name: Option<Arc<str>>,
}

/// A timer that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerInfo {
    /// Which timer.
    pub id: TimerId,
    /// What its owner calls it.
    pub number: u32,
    /// When it fires next.
    pub due_ns: i64,
    /// Its period; `None`: it fires once.
    pub interval_ns: Option<i64>,
    /// The first time at which it does not fire any more; `i64::MAX`: there is none.
    pub end_ns: i64,
    /// How often it has fired.
    pub fired: u64,
    /// How many of its times were merged into a later one.
    pub missed: u64,
    /// Its name.
    pub name: Option<Arc<str>>,
}

/// One timer: a cache line.
#[derive(Clone, Copy, Debug)]
struct Timer {
    /// Its number of registration; [`FREE`] where there is no timer.
    rank: u64,
    due_ns: i64,
    /// 0: it fires once.
    interval_ns: i64,
    end_ns: i64,
    fired: u64,
    missed: u64,
    owner: u32,
    number: u32,
    is_named: bool,
}

const FREE: u64 = u64::MAX;

impl Timer {
    /// Its next time after `due_ns`, if there is one.
    fn following(&self, due_ns: i64) -> Option<i64> {
        // A repetition beyond the end of time never comes.
        let next_ns = due_ns.checked_add(self.interval_ns)?;
        (self.interval_ns > 0 && next_ns < self.end_ns).then_some(next_ns)
    }

    /// How many of its times after `due_ns` have come by `now_ns`.
    fn overdue(&self, now_ns: i64) -> u64 {
        let by_ns = now_ns.min(self.end_ns.saturating_sub(1));
        if self.interval_ns == 0 || by_ns < self.due_ns {
            return 0;
        }
        by_ns.abs_diff(self.due_ns) / self.interval_ns as u64
    }
}

/// Timers in the order in which they fire: by time, at equal times in order of registration.
///
/// A timer set for the present or the past is due at once: it goes before all that wait for a time, so that the loop
/// fires it in its next step whatever that step's tick says, and several such go in order of registration. A repeating
/// timer keeps its registration rank and never drifts: each time is the last plus the interval.
/// Setting, cancelling and firing take O(log n) and, once the queue has had as many timers, no allocation but for names.
///
/// ```
/// use tickrail_core::timer::{Overdue, Schedule, TimerQueue};
/// let mut timers = TimerQueue::new();
/// timers.schedule(7, 1, &Schedule::every(500_000).starting(1_000_000), 0)?;
/// assert_eq!(timers.next_due(), 1_000_000);
/// assert_eq!(timers.pop_due(999_999, Overdue::Each), None);
/// let fired = timers.pop_due(1_200_000, Overdue::Each).unwrap();
/// assert_eq!((fired.owner, fired.due_ns, fired.count), (7, 1_000_000, 1));
/// let late = timers.pop_due(2_700_000, Overdue::Merge).unwrap();
/// assert_eq!((late.due_ns, late.count, late.missed), (2_500_000, 4, 2));
/// assert_eq!(timers.next_due(), 3_000_000);
/// assert!(timers.cancel(fired.id));
/// assert!(!timers.cancel(fired.id));
/// # Ok::<(), tickrail_core::timer::TimerError>(())
/// ```
#[derive(Debug)]
pub struct TimerQueue {
    heap: Heap,
    timers: Vec<Timer>,
    free: Vec<u32>,
    names: Names,
    next_rank: u64,
}

impl Default for TimerQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl TimerQueue {
    /// No timers.
    pub fn new() -> Self {
        Self { heap: Heap::new(), timers: Vec::new(), free: Vec::new(), names: Names::default(), next_rank: 0 }
    }

    /// Sets a timer of `owner`, who calls it `number`. Gives its id and the time it is due.
    ///
    /// # Errors
    /// Too many timers, or a schedule that cannot be kept.
    pub fn schedule(
        &mut self,
        owner: u32,
        number: u32,
        schedule: &Schedule,
        now_ns: i64,
    ) -> Result<(TimerId, i64), TimerError> {
        let due_ns = schedule.due_ns(now_ns)?;
        if self.len() >= MAX_TIMERS || self.next_rank >= heap::MAX_RANK {
            return Err(TimerError::TooMany);
        }
        if schedule.name().is_some_and(|name| self.names.find(owner, name).is_some()) {
            return Err(TimerError::NameTaken);
        }
        let rank = self.next_rank;
        self.next_rank += 1;
        let slot = self.put(Timer {
            rank,
            due_ns,
            interval_ns: schedule.interval_ns().unwrap_or(0),
            end_ns: schedule.end_ns(),
            fired: 0,
            missed: 0,
            owner,
            number,
            is_named: schedule.name().is_some(),
        });
        if let Some(name) = schedule.name() {
            self.names.give(owner, slot, name);
        }
        self.heap.push(Turn::new(if due_ns <= now_ns { i64::MIN } else { due_ns }, rank, slot));
        Ok((TimerId { slot, rank }, due_ns))
    }

    /// Takes a timer away; false if it is gone already, by firing or by an earlier call.
    pub fn cancel(&mut self, id: TimerId) -> bool {
        let is_set = self.get(id).is_some();
        if is_set {
            self.heap.remove(id.slot);
            self.forget(id.slot);
        }
        is_set
    }

    /// Takes away all timers of `owner`, and says how many there were. Looks at every timer.
    pub fn cancel_owner(&mut self, owner: u32) -> usize {
        let slots = self.slots_of(owner);
        for &slot in &slots {
            self.heap.remove(slot);
            self.forget(slot);
        }
        slots.len()
    }

    /// When the next timer fires: `i64::MAX` if there is none, `i64::MIN` if one is due at once.
    #[inline]
    pub fn next_due(&self) -> i64 {
        self.heap.first().map_or(i64::MAX, Turn::at_ns)
    }

    /// The first timer that is due at `now_ns` or was before; a repeating one is set for its next time.
    pub fn pop_due(&mut self, now_ns: i64, overdue: Overdue) -> Option<Fired> {
        let slot = self.heap.first().filter(|turn| turn.at_ns() <= now_ns)?.slot();
        let name = if self.timers[slot as usize].is_named { self.names.of(slot).cloned() } else { None };
        let timer = &mut self.timers[slot as usize];
        let missed = if overdue == Overdue::Merge { timer.overdue(now_ns) } else { 0 };
        // Not beyond `now_ns`, as `overdue` counts.
        let due_ns = timer.due_ns + missed as i64 * timer.interval_ns;
        timer.fired += 1;
        timer.missed += missed;
        let next_ns = timer.following(due_ns);
        let fired = Fired {
            id: TimerId { slot, rank: timer.rank },
            owner: timer.owner,
            number: timer.number,
            due_ns,
            count: timer.fired + timer.missed,
            missed,
            is_last: next_ns.is_none(),
            name,
        };
        match next_ns {
            Some(next_ns) => {
                timer.due_ns = next_ns;
                self.heap.replace_first(Turn::new(next_ns, fired.id.rank, slot));
            }
            None => {
                self.heap.remove(slot);
                self.forget(slot);
            }
        }
        Some(fired)
    }

    /// What is known of a timer; `None`: it is gone.
    pub fn info(&self, id: TimerId) -> Option<TimerInfo> {
        self.get(id).map(|timer| self.describe(id.slot, timer))
    }

    /// The timer of `owner` that has this name.
    pub fn find(&self, owner: u32, name: &str) -> Option<TimerInfo> {
        self.names.find(owner, name).map(|slot| self.describe(slot, &self.timers[slot as usize]))
    }

    /// All timers of `owner`, in the order in which they will fire. Looks at every timer.
    pub fn of_owner(&self, owner: u32) -> Vec<TimerInfo> {
        self.slots_of(owner).into_iter().map(|slot| self.describe(slot, &self.timers[slot as usize])).collect()
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn get(&self, id: TimerId) -> Option<&Timer> {
        self.timers.get(id.slot as usize).filter(|timer| timer.rank == id.rank)
    }

    /// In the order in which they will fire.
    fn slots_of(&self, owner: u32) -> Vec<u32> {
        let is_owned = |turn: &&Turn| self.timers[turn.slot() as usize].owner == owner;
        let mut turns: Vec<Turn> = self.heap.turns().iter().filter(is_owned).copied().collect();
        turns.sort_unstable();
        turns.into_iter().map(Turn::slot).collect()
    }

    fn describe(&self, slot: u32, timer: &Timer) -> TimerInfo {
        TimerInfo {
            id: TimerId { slot, rank: timer.rank },
            number: timer.number,
            due_ns: timer.due_ns,
            interval_ns: (timer.interval_ns > 0).then_some(timer.interval_ns),
            end_ns: timer.end_ns,
            fired: timer.fired,
            missed: timer.missed,
            name: self.names.of(slot).cloned(),
        }
    }

    fn put(&mut self, timer: Timer) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.timers[slot as usize] = timer;
                slot
            }
            None => {
                self.timers.push(timer);
                (self.timers.len() - 1) as u32
            }
        }
    }

    fn forget(&mut self, slot: u32) {
        let timer = &mut self.timers[slot as usize];
        timer.rank = FREE;
        if timer.is_named {
            self.names.take(timer.owner, slot);
        }
        self.free.push(slot);
    }
}

#[cfg(test)]
mod tests;
