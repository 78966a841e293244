//! Stretches: records that concern one strategy at most, one step each as everywhere, but with what stays the same between
//! them looked up once.
//!
//! A run with one strategy is made of them, and so is any run whose strategies have instruments of their own. The general
//! step looks up route, subscriber and counters anew for every tick: 248 instructions of our own a Python handler,
//! against 181 here, and about 20 where ticks are only collected for a batch.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use super::bars::NO_MARK;
use super::host::{Fault, Host};
use super::keys::Keys;
use super::pulse::Doing;
use super::step::Steps;
use super::subscriber::{Delivery, NOBODY};
use crate::prefetch::streamed;
use crate::source::Slice;
use crate::stop::LIVES;
use crate::tick::{SORT, Tick};

/// Instrument and kind of no record: see [`Tick::sort`].
const NOTHING: u64 = u64::MAX;

/// Records that are looked at together, which takes half the time where they are alike.
const AT_ONCE: usize = 8;

/// Whether all of `ticks` are of the sort `seen`, and keys from `last_key` to `gate` in order.
#[inline(always)]
fn alike(ticks: &[Tick; AT_ONCE], seen: u64, mut last_key: i64, gate: i64, key: impl Fn(&Tick) -> i64) -> bool {
    let (mut goes_back, mut others) = (false, 0);
    for tick in streamed(ticks) {
        let key = key(tick);
        // Without a branch: they are alike nearly always.
        goes_back |= key < last_key;
        others |= tick.head() ^ seen;
        last_key = key;
    }
    !goes_back && others & SORT == 0 && last_key <= gate
}

/// The beginning of a range of records in which nothing but delivery happens.
pub(super) struct Quiet {
    pub count: usize,
    /// Whether some of them have an instrument with an open position.
    pub marks: bool,
    /// Whether all are of one instrument and kind.
    pub is_uniform: bool,
}

/// What the prices of an instrument matter to.
struct Concern {
    /// A position is open, or an order waits.
    marked: bool,
    /// An order waits.
    waits: bool,
}

impl<H: Host> Steps<H> {
    /// Takes records from `index` on as long as they are for the same strategy alone and nothing is due between them;
    /// says how many. 0: the next record needs the general step.
    #[inline]
    pub(super) fn stretch(&mut self, slice: &Slice<'_>, index: usize) -> usize {
        // What waits for no tick comes before the next one, in the general step, and so does telling whoever has missed ticks;
        // what is called for likewise, also where a batch is collected without a look at the flag a tick.
        let is_awaited = self.gate == i64::MIN || self.returning > 0;
        if is_awaited || self.halted().is_some() || self.stop.asks(self.heeds | LIVES) {
            return 0;
        }
        let Some(strategy) = self.routes.sole(slice.ticks[index].instrument) else { return 0 };
        if strategy == NOBODY {
            return self.unwanted_stretch(slice, index);
        }
        match self.subscribers[strategy as usize].delivery {
            Delivery::Ticks => self.tick_stretch(slice, index, strategy),
            Delivery::Records => self.record_stretch(slice, index, strategy),
            Delivery::Batches(_) => self.batch_stretch(slice, index, strategy),
            Delivery::Pull | Delivery::Lagging => 0,
        }
    }

    /// Hands the tick that was presented to `strategy`.
    #[inline(always)]
    pub(super) fn called_with(&mut self, strategy: u32, tick: &Tick) -> Result<(), Fault<H::Failure>> {
        self.desk.pulse().enter(strategy, Doing::Tick);
        self.host.tick(strategy, tick)
    }

    /// Records of instruments without subscribers.
    fn unwanted_stretch(&mut self, slice: &Slice<'_>, index: usize) -> usize {
        let (gate, mut last_key) = (self.gate, self.last_key);
        let ends = |tick: &Tick| {
            let key = self.keys.of(tick);
            let is_due = key > gate || key < std::mem::replace(&mut last_key, key);
            is_due || self.routes.sole(tick.instrument) != Some(NOBODY) || self.watched[tick.instrument as usize]
        };
        let ticks = &slice.ticks[index..];
        let count = ticks.iter().position(ends).unwrap_or(ticks.len());
        if count > 0 {
            self.pass(slice, index, count, &Quiet { count, marks: false, is_uniform: false });
        }
        count
    }

    fn tick_stretch(&mut self, slice: &Slice<'_>, index: usize, strategy: u32) -> usize {
        let subscriber = &self.subscribers[strategy as usize];
        let (kinds, state) = (subscriber.kinds, Arc::clone(&subscriber.state));
        let (desk, stop, keys) = (Rc::clone(&self.desk), Arc::clone(&self.stop), self.keys);
        let heeds = self.heeds | LIVES;
        let before = desk.position();
        let (mut count, mut delivered) = (0, 0);
        desk.pulse().enter(strategy, Doing::Tick);
        for tick in &slice.ticks[index..] {
            let key = keys.of(tick);
            let is_due = key > self.gate || key < self.last_key;
            let route = self.routes.sole(tick.instrument);
            let is_wanted = route == Some(strategy);
            if is_due || !(is_wanted || route == Some(NOBODY)) || stop.asks(heeds) {
                break;
            }
            count += 1;
            self.last_key = key;
            desk.set_position(before.wrapping_add(count));
            if self.watched[tick.instrument as usize] {
                self.match_tick(slice, tick, key);
            } else {
                desk.market().note(tick);
            }
            desk.advance_clock(key);
            if is_wanted && kinds.wants(tick.kind) {
                if state.takes_ticks() {
                    delivered += 1;
                    if let Err(failure) = self.host.present(tick) {
                        self.cannot_show(failure);
                    } else if let Err(fault) = self.host.tick(strategy, tick) {
                        let handler = self.host.tick_handler(strategy, tick);
                        self.fault(strategy, handler, Some(*tick), fault);
                    }
                } else {
                    self.miss(strategy, tick.instrument);
                }
            }
            if self.has_requests() {
                self.apply_requests();
                desk.pulse().enter(strategy, Doing::Tick); // others may have been called meanwhile
            }
            if self.run_error.is_some() || self.interruption.is_some() {
                break;
            }
        }
        self.count_stretch(index, count);
        self.subscribers[strategy as usize].tallies.now.delivered += delivered;
        count as usize
    }

    fn batch_stretch(&mut self, slice: &Slice<'_>, index: usize, strategy: u32) -> usize {
        let subscriber = &self.subscribers[strategy as usize];
        if !subscriber.state.takes_ticks() || !subscriber.batcher.is_open() {
            return 0;
        }
        let most = subscriber.batcher.room().min(slice.ticks.len() - index);
        let quiet = self.quiet(slice, index..index + most, strategy);
        if quiet.count == 0 {
            return 0;
        }
        self.pass(slice, index, quiet.count, &quiet);
        if self.subscribers[strategy as usize].batcher.push_run(slice, index..index + quiet.count) {
            self.flush(slice, strategy);
        }
        if self.has_requests() {
            self.apply_requests();
        }
        quiet.count
    }

    /// How many records of `range` concern nobody but `strategy`, with nothing due between them.
    pub(super) fn quiet(&self, slice: &Slice<'_>, range: Range<usize>, strategy: u32) -> Quiet {
        match self.keys {
            Keys::TsEvent => self.quiet_by(slice, range, strategy, |tick| tick.ts_event),
            Keys::TsInit => self.quiet_by(slice, range, strategy, |tick| tick.ts_init),
            Keys::Taken(now_ns) => self.quiet_by(slice, range, strategy, |_| now_ns),
        }
    }

    #[inline(always)]
    fn quiet_by(&self, slice: &Slice<'_>, range: Range<usize>, strategy: u32, key: impl Fn(&Tick) -> i64) -> Quiet {
        let (gate, mut last_key, mut marks, mut changes) = (self.gate, self.last_key, false, 0_u32);
        // What instrument and kind mean is looked up when they change.
        let mut seen = NOTHING;
        let ticks = &slice.ticks[range];
        let (mut count, mut is_steady, mut waits) = (0, false, false);
        while count < ticks.len() {
            if is_steady
                && let Some(some) = ticks[count..].first_chunk::<AT_ONCE>()
                && alike(some, seen, last_key, gate, &key)
            {
                last_key = key(&some[AT_ONCE - 1]);
                count += AT_ONCE;
                continue;
            }
            let before = changes;
            for tick in ticks[count..].iter().take(AT_ONCE) {
                let key = key(tick);
                if tick.sort() != seen {
                    seen = tick.sort();
                    changes = changes.saturating_add(1);
                    match self.concerns(tick, strategy) {
                        Some(concern) => {
                            marks |= concern.marked;
                            waits = concern.waits;
                        }
                        None => return Quiet { count, marks, is_uniform: changes <= 1 },
                    }
                }
                if key > gate || key < last_key || (waits && !self.venue.leaves(tick)) {
                    return Quiet { count, marks, is_uniform: changes <= 1 };
                }
                last_key = key;
                count += 1;
            }
            is_steady = changes - before <= 1 && !waits;
        }
        Quiet { count, marks, is_uniform: changes <= 1 }
    }

    /// The beginning of `alike`, whose records are of one instrument and kind with times in order, in which nothing is due.
    /// `None`: each has to be looked at.
    #[inline]
    pub(super) fn quiet_of(&self, alike: &[Tick], strategy: u32) -> Option<Quiet> {
        let ([first, ..], Some(last)) = (alike, alike.last()) else { return None };
        let concern = self.concerns(first, strategy)?;
        if concern.waits || self.keys.of(first) < self.last_key {
            return None;
        }
        let is_due = |tick: &Tick| self.keys.of(tick) > self.gate;
        let count = if is_due(last) { alike.partition_point(|tick| !is_due(tick)) } else { alike.len() };
        Some(Quiet { count, marks: concern.marked, is_uniform: true })
    }

    /// What the price of such a tick matters to; `None`: not only `strategy` is concerned.
    #[inline]
    fn concerns(&self, tick: &Tick, strategy: u32) -> Option<Concern> {
        let kinds = self.subscribers[strategy as usize].kinds;
        if self.routes.sole(tick.instrument) != Some(strategy) || !kinds.wants(tick.kind) {
            return None;
        }
        let marked = self.watched[tick.instrument as usize];
        Some(Concern { marked, waits: marked && self.venue.is_waiting(tick.instrument) })
    }

    /// Takes `count` records of a quiet stretch: position and clock are those of the last, prices of open positions are noted.
    #[inline]
    pub(super) fn pass(&mut self, slice: &Slice<'_>, index: usize, count: usize, quiet: &Quiet) {
        let ticks = &slice.ticks[index..index + count];
        self.desk.market().note_all(ticks);
        if quiet.marks {
            self.mark(ticks, quiet);
        }
        self.last_key = self.keys.of(&ticks[count - 1]);
        self.desk.set_position(self.desk.position() + count as u64);
        self.desk.advance_clock(self.last_key);
        self.count_stretch(index, count as u64);
    }

    /// Notes prices of open positions; nobody sees any but the last of an instrument.
    fn mark(&mut self, ticks: &[Tick], quiet: &Quiet) {
        let first = if quiet.is_uniform { ticks.len() - 1 } else { 0 };
        let mut portfolio = self.desk.portfolio.borrow_mut();
        for tick in &ticks[first..] {
            let is_watched = &mut self.watched[tick.instrument as usize];
            if *is_watched && let Some(mark) = tick.mark() {
                let key = self.keys.of(tick);
                *is_watched = !self.bars.note(tick, key);
                let (mark, key) = if *is_watched { (mark, key) } else { NO_MARK };
                portfolio.set_mark(tick.instrument, mark, key);
            }
        }
    }

    pub(super) fn count_stretch(&mut self, index: usize, count: u64) {
        self.inputs += count;
        self.taken = self.taken.max(index + count as usize);
        self.steps_at_one_time = 0;
    }
}
