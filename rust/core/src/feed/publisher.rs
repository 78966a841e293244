//! The half of a feed that brings records.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::admission::Admission;
use super::counters::Counters;
use super::held::{Held, Hold};
use super::hub::Ends;
use super::latch::Latch;
use super::outlet::{CHUNK, Outlet};
use super::policy::{Policy, RatePolicy};
use super::shared::FeedShared;
use super::space::Space;
use super::window::{Leaving, MAX_HELD};
use crate::clock::Clock as _;
use crate::stop::MAX_SLICE;
use crate::tick::{TICK_SIZE, Tick};

/// Why a publisher could not bring all that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotPublished {
    /// No slot is free, and the feed's policy is to say so.
    #[error("the ring of the feed is full: {taken} of {offered} records were taken")]
    Full {
        /// How many records were dealt with, from the first on.
        taken: usize,
        /// How many there were.
        offered: usize,
    },
    /// No slot became free in time.
    #[error("the ring of the feed stayed full: {taken} of {offered} records were taken")]
    TimedOut {
        /// How many records were dealt with, from the first on.
        taken: usize,
        /// How many there were.
        offered: usize,
    },
    /// The feed's rate did not let them through in time.
    #[error("the rate of the feed let {taken} of {offered} records through in time")]
    RateTimedOut {
        /// How many records were dealt with, from the first on.
        taken: usize,
        /// How many there were.
        offered: usize,
    },
    /// The feed or the publisher is closed, or the run is over.
    #[error("the feed is closed: {taken} of {offered} records were taken")]
    Closed {
        /// How many records were dealt with, from the first on.
        taken: usize,
        /// How many there were.
        offered: usize,
    },
    /// The caller did not want to wait any longer.
    #[error("the wait for a slot was interrupted: {taken} of {offered} records were taken")]
    Interrupted {
        /// How many records were dealt with, from the first on.
        taken: usize,
        /// How many there were.
        offered: usize,
    },
}

/// Brings the records of one source into a feed; one thread at a time has it. Dropping it ends its stream.
pub struct Publisher {
    outlet: Outlet,
    admission: Admission,
    counters: Arc<Counters>,
    space: Arc<Space>,
    latch: Arc<Latch>,
    feed: Arc<FeedShared>,
    /// Records that cannot be looked at in the ring's own slots: [`CHUNK`] of them.
    piece: Box<[Tick]>,
    /// Records that were looked at one by one, on their way to the ring.
    staged: Vec<Tick>,
    /// When this call began.
    now_ns: i64,
    brought_ns: i64,
    /// What waits beside the ring.
    held: Arc<Held>,
    is_closed: bool,
}

impl Publisher {
    pub(super) fn new(outlet: Outlet, admission: Admission, ends: Ends) -> Self {
        let Ends { feed, counters, space, latch, held } = ends;
        Self {
            outlet,
            admission,
            counters,
            space,
            latch,
            feed,
            piece: vec![Tick::from_bytes(&[0; TICK_SIZE]); CHUNK].into(),
            staged: Vec::with_capacity(2 * CHUNK),
            now_ns: 0,
            brought_ns: 0,
            held,
            is_closed: false,
        }
    }

    /// Brings `ticks`, by the feed's policy: waits for slots under `block`, as long as `go_on` agrees after each slice of
    /// at most [`MAX_SLICE`].
    ///
    /// # Errors
    /// What could not be brought was counted as refused; records before it are published, or were rejected and counted.
    pub fn publish(&mut self, ticks: &[Tick], go_on: impl FnMut() -> bool) -> Result<(), NotPublished> {
        let taken = self.offer(ticks);
        if taken == ticks.len() {
            return Ok(());
        }
        let result = self.insist(ticks, taken, go_on);
        if let Err(refusal) = result {
            self.give_up(ticks.len() - refusal.taken());
        }
        result
    }

    /// Deals with as many of `ticks` as there are slots for, without waiting, and says how many, from the first on.
    /// Records that break a rule are dealt with too: they are counted.
    #[inline]
    pub fn offer(&mut self, ticks: &[Tick]) -> usize {
        self.offer_from(ticks.len(), |from, into| into.copy_from_slice(&ticks[from..from + into.len()]))
    }

    /// The same for `count` records that lie elsewhere: `copy` brings those from a number on, as many as there is place. They
    /// are copied once, mostly to the slots that the loop will read, and looked at there, where nobody else can change them.
    #[inline]
    pub fn offer_from(&mut self, count: usize, copy: impl FnMut(usize, &mut [Tick])) -> usize {
        self.offer_at(self.now_ns(), count, copy)
    }

    /// The same for one record that came at `now_ns`, by [`Self::now_ns`]; whether it was dealt with.
    #[inline]
    pub fn offer_one(&mut self, tick: &Tick, now_ns: i64) -> bool {
        self.offer_at(now_ns, 1, |_, into| into.copy_from_slice(std::slice::from_ref(tick))) == 1
    }

    #[inline]
    fn offer_at(&mut self, now_ns: i64, count: usize, copy: impl FnMut(usize, &mut [Tick])) -> usize {
        if !self.latch.enter() {
            return 0;
        }
        self.now_ns = now_ns;
        let due_ns = self.held.due_ns();
        let done = self.bring(count, copy);
        self.latch.leave();
        if self.brought_ns == self.now_ns {
            self.feed.waker.notify();
        }
        if self.held.due_ns() != due_ns {
            // It has to look by itself, should nothing come any more.
            self.feed.waker.wake();
        }
        done
    }

    #[inline]
    fn bring(&mut self, count: usize, mut copy: impl FnMut(usize, &mut [Tick])) -> usize {
        let mut done = 0;
        if self.held.owes() && self.outlet.may_owe() && !self.pay() && self.outlet.waits_for_debts() {
            return 0;
        }
        while done < count && !self.is_closed() {
            let allowed = self.feed.allowance(count - done);
            if allowed == 0 && self.feed.settings.rate_policy == RatePolicy::Wait {
                break;
            }
            if allowed == 0 {
                self.counters.rate_limited.add((count - done) as u64);
                done = count;
                break;
            }
            let used = self.bring_some(allowed.min(CHUNK), |into| copy(done, into));
            self.feed.give_back(allowed - used);
            if used == 0 {
                break;
            }
            done += used;
        }
        done
    }

    /// The next records, `wanted` of them or as many as there are slots for; says how many.
    #[inline]
    fn bring_some(&mut self, wanted: usize, copy: impl FnOnce(&mut [Tick])) -> usize {
        let now_ns = self.now_ns;
        if self.admission.is_quick()
            && !self.held.owes()
            && let Some(slots) = self.outlet.slots(wanted)
        {
            copy(slots);
            let (count, plain) = (slots.len(), self.admission.admit_plain(slots, now_ns));
            slots[..plain].iter_mut().for_each(|tick| tick.ts_init = now_ns);
            self.piece[plain..count].copy_from_slice(&slots[plain..]);
            self.outlet.publish_filled(plain);
            if plain > 0 {
                self.brought_ns = now_ns;
            }
            return if plain == count { plain } else { plain + self.bring_piece(plain, count) };
        }
        copy(&mut self.piece[..wanted]);
        self.bring_piece(0, wanted)
    }

    /// Looks at the records of the piece and publishes them, as far as there are slots; says how many.
    fn bring_piece(&mut self, from: usize, to: usize) -> usize {
        let mut piece = std::mem::take(&mut self.piece);
        let ticks = &mut piece[from..to];
        let mut used = 0;
        if ticks.first().is_some_and(|first| !self.outlet.is_bounded_for(first.kind)) {
            used = self.admission.admit_plain(ticks, self.now_ns);
            ticks[..used].iter_mut().for_each(|tick| tick.ts_init = self.now_ns);
            self.push(&ticks[..used], Outlet::push_plain);
        }
        if used < ticks.len() {
            let room = self.outlet.room(self.held.owes());
            used += self.stage(&ticks[used..], room);
            self.push_staged();
            if self.held.reorders() {
                self.let_out(false);
            }
        }
        self.piece = piece;
        used
    }

    /// Counts `count` records of the caller's as refused: it will not offer them again.
    pub fn give_up(&mut self, count: usize) {
        self.counters.refused.add(count as u64);
    }

    /// Lets out what waits in the window of [`super::Backwards::Reorder`], as far as there are slots; how many are left, which
    /// the loop takes by itself once it has all of the ring and this publisher is closed.
    pub fn flush(&mut self) -> usize {
        if !self.latch.enter() {
            return self.held();
        }
        self.now_ns = self.feed.clock.now_ns();
        if self.held.owes() {
            self.pay();
        }
        self.let_out(true);
        self.latch.leave();
        self.feed.waker.wake();
        self.held()
    }

    fn held(&self) -> usize {
        self.counters.held.get() as usize
    }

    /// Lets out of the window what has waited long enough, or all, as long as there is room. Under one lock with what becomes of
    /// it: the loop, which finds the ring empty and takes the lock, must not take what comes behind that.
    fn let_out(&mut self, all: bool) {
        let mut hold = self.held.lock();
        let leaving = if all { Leaving::All } else { hold.leaving(self.now_ns) };
        loop {
            let room = self.outlet.room(hold.owes()).min(CHUNK);
            hold.let_out(leaving, room, &self.counters, &mut self.staged);
            if self.staged.is_empty() {
                return;
            }
            push(&mut self.outlet, &self.staged, &self.counters, self.now_ns, &mut hold);
            self.brought_ns = self.now_ns;
            self.staged.clear();
        }
    }

    /// The source was gone for a while: before the next record come GAP records, one for each instrument that this
    /// publisher has brought. `renumbered`: its numbers begin anew, and are not compared with those before.
    pub fn reconnected(&mut self, renumbered: bool) {
        if !self.latch.enter() {
            return;
        }
        self.now_ns = self.feed.clock.now_ns();
        if self.held.reorders() {
            self.let_out(true);
        }
        let mut hold = self.held.lock();
        hold.empty_window(&self.counters);
        let marks = self.admission.marks(hold.numbers(), self.now_ns);
        if renumbered {
            hold.forget_numbers();
            self.admission.forget_numbers();
        }
        self.counters.gaps.add(u64::from(!marks.is_empty()));
        if self.outlet.may_owe() {
            marks.iter().for_each(|mark| hold.owe(mark, &self.counters));
            self.outlet.pay(&self.counters, &mut hold);
        } else {
            self.counters.made.add(marks.len() as u64);
            push(&mut self.outlet, &marks, &self.counters, self.now_ns, &mut hold);
        }
        drop(hold);
        self.brought_ns = self.now_ns;
        self.latch.leave();
        self.feed.waker.wake();
    }

    /// Whether all that waits beside the ring is in.
    #[cold]
    fn pay(&mut self) -> bool {
        let is_paid = self.outlet.pay(&self.counters, &mut self.held.lock());
        // What was in may be all that the loop is woken for.
        self.brought_ns = self.now_ns;
        is_paid
    }

    /// The run's clock, ns UTC.
    pub fn now_ns(&self) -> i64 {
        self.feed.clock.now_ns()
    }

    /// When it last brought something, by that clock; 0: it has not.
    pub const fn brought_ns(&self) -> i64 {
        self.brought_ns
    }

    /// Counts a wait for slots that the caller made by itself.
    pub fn count_wait(&mut self, waited: Duration) {
        self.counters.waits.add(1);
        self.counters.waited_ns.add(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Ends this publisher's stream after what has been published; idempotent. What waits in a reorder window goes first, and
    /// what finds no slot then the loop takes behind all that has one.
    pub fn close(&mut self) {
        if !self.is_closed {
            self.flush();
            self.is_closed = true;
            self.outlet.close();
            self.feed.waker.wake();
        }
    }

    /// Whether nothing can be published any more.
    pub fn is_closed(&self) -> bool {
        self.is_closed || self.feed.is_closed() || self.outlet.is_abandoned() || self.latch.is_shut()
    }

    /// What calls when slots are free.
    pub const fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// The feed.
    pub const fn feed(&self) -> &Arc<FeedShared> {
        &self.feed
    }

    /// Stages records from the first on until the room is taken, and says how many were looked at.
    fn stage(&mut self, ticks: &[Tick], room: usize) -> usize {
        let now_ns = self.now_ns;
        let keeps = self.feed.settings.keeps_receipt;
        let most = self.admission.most_at_once();
        let mut bounded = 0;
        let mut used = 0;
        while let Some(tick) = ticks.get(used) {
            let is_bounded = self.outlet.is_bounded_for(tick.kind);
            let fitting = if is_bounded { room.saturating_sub(bounded) } else { usize::MAX };
            let until = used.saturating_add(fitting).min(ticks.len());
            let plain = self.admission.admit_plain(&ticks[used..until], now_ns);
            if plain > 0 {
                let from = self.staged.len();
                self.staged.extend_from_slice(&ticks[used..used + plain]);
                self.staged[from..].iter_mut().for_each(|tick| tick.ts_init = now_ns);
                bounded += if is_bounded { plain } else { 0 };
                used += plain;
                continue;
            }
            if (is_bounded && bounded + most > room) || self.held() > MAX_HELD {
                break;
            }
            let before = self.staged.len();
            let ts_init = if keeps { tick.ts_init } else { now_ns };
            self.admission.admit(&Tick { ts_init, ..*tick }, now_ns, &self.counters, &mut self.staged);
            // A GAP takes a slot, whatever it stands before.
            bounded += self.staged[before..].iter().filter(|tick| self.outlet.is_bounded_for(tick.kind)).count();
            used += 1;
        }
        used
    }

    fn push_staged(&mut self) {
        let staged = std::mem::take(&mut self.staged);
        self.push(&staged, Outlet::push);
        self.staged = staged;
        self.staged.clear();
    }

    #[inline]
    fn push(&mut self, ticks: &[Tick], how: impl Fn(&mut Outlet, &[Tick], &Counters, &mut Hold<'_>)) {
        if !ticks.is_empty() {
            let before = self.outlet.lost(&self.counters);
            how(&mut self.outlet, ticks, &self.counters, &mut self.held.lazily());
            note_loss(&self.outlet, before, &self.counters, self.now_ns);
            self.brought_ns = self.now_ns;
        }
    }

    /// The rest of `ticks` from `taken` on: waits, or says why not.
    #[cold]
    #[expect(clippy::disallowed_methods, reason = "measures how long a publisher waited; no decision sees it")]
    fn insist(
        &mut self,
        ticks: &[Tick],
        mut taken: usize,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<(), NotPublished> {
        let offered = ticks.len();
        let started = Instant::now();
        let timeout = self.feed.settings.block_timeout;
        let is_blocking = self.feed.settings.policy == Policy::Block;
        let is_waiting = is_blocking || self.feed.settings.rate_policy == RatePolicy::Wait;
        self.counters.waits.add(u64::from(is_waiting && !self.is_closed()));
        let result = loop {
            taken += self.offer(&ticks[taken..]);
            let left = timeout.saturating_sub(started.elapsed());
            if taken == offered {
                break Ok(());
            } else if self.is_closed() {
                break Err(NotPublished::Closed { taken, offered });
            } else if !is_blocking && self.feed.rate_wait_ns() == 0 {
                break Err(NotPublished::Full { taken, offered });
            } else if left == Duration::ZERO && self.feed.rate_wait_ns() > 0 {
                break Err(NotPublished::RateTimedOut { taken, offered });
            } else if left == Duration::ZERO {
                break Err(NotPublished::TimedOut { taken, offered });
            } else if !go_on() {
                break Err(NotPublished::Interrupted { taken, offered });
            }
            let turn = match self.feed.rate_wait_ns() {
                0 => MAX_SLICE,
                ns => Duration::from_nanos(ns),
            };
            self.space.waker.wait(left.min(MAX_SLICE).min(turn));
        };
        if is_waiting {
            self.counters.waited_ns.add(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        result
    }

    /// As if its thread had ended in the middle of a call.
    #[cfg(test)]
    pub(super) fn stick(&self) {
        self.latch.enter();
    }
}

#[inline]
fn push(outlet: &mut Outlet, ticks: &[Tick], counters: &Counters, now_ns: i64, hold: &mut Hold<'_>) {
    let before = outlet.lost(counters);
    outlet.push(ticks, counters, hold);
    note_loss(outlet, before, counters, now_ns);
}

/// When records began to be lost, which were `before` so many, is told once the loss is over.
#[inline]
fn note_loss(outlet: &Outlet, before: u64, counters: &Counters, now_ns: i64) {
    if outlet.lost(counters) != before {
        counters.lost_since_ns.set_once(now_ns);
    }
}

impl NotPublished {
    /// How many records were dealt with, from the first on.
    pub const fn taken(&self) -> usize {
        match *self {
            Self::Full { taken, .. }
            | Self::TimedOut { taken, .. }
            | Self::RateTimedOut { taken, .. }
            | Self::Closed { taken, .. }
            | Self::Interrupted { taken, .. } => taken,
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publisher({}, {})", self.feed.name, self.outlet.policy().name())
    }
}
