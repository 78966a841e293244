//! What a publisher has let in and its ring does not have: records in a reorder window, and GAP records without a slot.
//!
//! Either end may have to move on with them. A publisher that is quiet brings nothing, and then the loop takes what has
//! waited long enough; one that finds its ring full cannot leave a GAP behind, and so owes it. They are behind a lock, which
//! is taken by feeds with a window and, by others, only where a GAP found no slot; who has nothing to do with either looks at
//! one word.
//!
//! Order: as long as something is *ready* here the publisher puts nothing behind it into the ring (`drop_oldest` apart, where
//! what is ready has stood before all that the ring still has). The loop takes it when, under the lock, the ring is empty.

use std::collections::{HashMap, VecDeque};

use super::counters::Counters;
use super::gap;
use super::numbers::{Numbers, Said};
use super::policy::{Backwards, FeedSettings};
use super::window::{Leaving, Window};
use crate::sync::{Arc, AtomicBool, AtomicI64, Mutex, MutexGuard, Ordering, PoisonError};
use crate::tick::Tick;

/// Shared by a publisher and its inlet.
#[derive(Debug)]
pub(super) struct Held {
    inside: Mutex<Inside>,
    /// Whether something is ready; written under the lock. Relaxed: who sees it takes the lock, and what must be seen together
    /// with it is published, and acquired, by the ring or the table.
    owes: AtomicBool,
    /// When the loop has to look, ns UTC; may be early. Relaxed: as above, and the loop is woken when it is set.
    due_ns: AtomicI64,
    reorders: bool,
    /// Whether records keep their own receipts, or the run goes by their time: nothing leaves the window by the clock. Relaxed: set
    /// before there are records, and orders nothing.
    keeps_receipt: bool,
    ignores_clock: Arc<AtomicBool>,
}

#[derive(Debug)]
pub(super) struct Inside {
    /// Next for the ring, or the loop: the first first.
    ready: VecDeque<Tick>,
    /// How many have left `ready` since the start, and where in it each instrument's last GAP stands, counted from there.
    left: u64,
    gaps: HashMap<u32, u64>,
    reorder: Option<Reorder>,
}

/// Records are numbered when they leave the window: before that a late one would be a gap, and then come again.
#[derive(Debug)]
struct Reorder {
    window: Window,
    numbers: Numbers,
}

impl Held {
    pub fn new(settings: &FeedSettings, ignores_clock: Arc<AtomicBool>) -> Self {
        let reorder = match settings.backwards {
            Backwards::Reorder { window_ns } => {
                Some(Reorder { window: Window::new(window_ns), numbers: Numbers::new(settings.numbering) })
            }
            Backwards::Pass | Backwards::Reject => None,
        };
        let reorders = reorder.is_some();
        let inside = Inside { ready: VecDeque::new(), left: 0, gaps: HashMap::new(), reorder };
        let (owes, due_ns) = (AtomicBool::new(false), AtomicI64::new(i64::MAX));
        let keeps_receipt = settings.keeps_receipt;
        Self { inside: Mutex::new(inside), owes, due_ns, reorders, keeps_receipt, ignores_clock }
    }

    /// Whether something is ready.
    #[inline]
    pub fn owes(&self) -> bool {
        self.owes.load(Ordering::Relaxed)
    }

    /// Whether records wait for earlier ones.
    pub const fn reorders(&self) -> bool {
        self.reorders
    }

    /// When the first record in the window has waited long enough, or earlier; `i64::MAX`: never.
    #[inline]
    pub fn due_ns(&self) -> i64 {
        self.due_ns.load(Ordering::Relaxed)
    }

    pub fn lock(&self) -> Hold<'_> {
        Hold { held: self, inside: Some(self.open()) }
    }

    /// The same where it is needed only.
    pub const fn lazily(&self) -> Hold<'_> {
        Hold { held: self, inside: None }
    }

    /// Whether the clock says when records leave the window, and which times cannot be.
    pub fn goes_by_clock(&self) -> bool {
        !self.keeps_receipt && !self.ignores_clock.load(Ordering::Relaxed)
    }

    fn open(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the lock, or takes it when it is first needed.
pub(super) struct Hold<'a> {
    held: &'a Held,
    inside: Option<MutexGuard<'a, Inside>>,
}

impl Hold<'_> {
    /// Has the lock from now on.
    pub fn inside(&mut self) -> &mut Inside {
        let held = self.held;
        self.inside.get_or_insert_with(|| held.open())
    }

    pub fn owes(&self) -> bool {
        self.held.owes()
    }

    fn note(&mut self, counters: &Counters) {
        let held = self.held;
        let inside = self.inside();
        counters.held.set(inside.len() as u64);
        held.owes.store(!inside.ready.is_empty(), Ordering::Relaxed);
    }

    /// `gap` found no slot: it comes before the next record, with others of its instrument as one.
    #[cold]
    pub fn owe(&mut self, gap: &Tick, counters: &Counters) {
        let inside = self.inside();
        let place = inside.gaps.get(&gap.instrument).and_then(|place| place.checked_sub(inside.left));
        match place {
            Some(place) => inside.ready[place as usize] = gap::merged(&inside.ready[place as usize], gap),
            None => {
                inside.gaps.insert(gap.instrument, inside.left + inside.ready.len() as u64);
                inside.ready.push_back(*gap);
                counters.made.add(1);
            }
        }
        self.note(counters);
    }

    /// Gives what is ready to `take`, which says how many it took, from the first on; whether nothing is left.
    pub fn pay(&mut self, counters: &Counters, take: impl FnOnce(&[Tick]) -> usize) -> bool {
        let inside = self.inside();
        if !inside.ready.is_empty() {
            let taken = take(inside.ready.make_contiguous());
            inside.ready.drain(..taken);
            inside.left += taken as u64;
        }
        self.note(counters);
        !self.owes()
    }

    /// A record comes to the window.
    pub fn enter(&mut self, tick: &Tick, counters: &Counters) {
        let held = self.held;
        let Some(reorder) = &mut self.inside().reorder else { return };
        reorder.window.enter(tick, counters);
        if held.due_ns() == i64::MAX && held.goes_by_clock() {
            held.due_ns.store(reorder.window.next_due_ns(), Ordering::Relaxed);
        }
        self.note(counters);
    }

    /// Lets records out of the window to the end of `out`, numbered, as long as it is shorter than `limit`.
    pub fn let_out(&mut self, leaving: Leaving, limit: usize, counters: &Counters, out: &mut Vec<Tick>) {
        let held = self.held;
        let Some(reorder) = &mut self.inside().reorder else { return };
        reorder.let_out(leaving, limit, counters, out);
        if !matches!(leaving, Leaving::Passed) && held.goes_by_clock() {
            held.due_ns.store(reorder.window.next_due_ns(), Ordering::Relaxed);
        }
        self.note(counters);
    }

    /// What leaves by now: by the clock too, where that is asked.
    pub fn leaving(&self, now_ns: i64) -> Leaving {
        if now_ns >= self.held.due_ns() { Leaving::Overdue(now_ns) } else { Leaving::Passed }
    }

    /// What waits in the window is ready, whether there are slots or not: what comes now comes behind it.
    pub fn empty_window(&mut self, counters: &Counters) {
        let inside = self.inside();
        let Some(reorder) = &mut inside.reorder else { return };
        let mut rest = Vec::new();
        reorder.let_out(Leaving::All, usize::MAX, counters, &mut rest);
        inside.ready.extend(rest);
        self.note(counters);
    }

    /// The numbers of the records that leave the window.
    pub fn numbers(&mut self) -> Option<&Numbers> {
        self.inside().reorder.as_ref().map(|reorder| &reorder.numbers)
    }

    /// The source counts anew.
    pub fn forget_numbers(&mut self) {
        if let Some(reorder) = &mut self.inside().reorder {
            reorder.numbers.forget();
        }
    }
}

impl Reorder {
    fn let_out(&mut self, leaving: Leaving, limit: usize, counters: &Counters, out: &mut Vec<Tick>) {
        let until = self.window.until(leaving);
        let most = self.numbers.most_at_once();
        while out.len().saturating_add(most) <= limit
            && let Some(tick) = self.window.next(until)
        {
            match self.numbers.look(&tick) {
                Said::Again => counters.duplicates.add(1),
                said => self.numbers.accept(&tick, said, counters, out),
            }
        }
    }
}

impl Inside {
    fn len(&self) -> usize {
        self.ready.len() + self.reorder.as_ref().map_or(0, |reorder| reorder.window.len())
    }
}
