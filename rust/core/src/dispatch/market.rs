//! What strategies can look up of the market: the last records of each instrument.
//!
//! Nothing is kept before somebody watches: a run in which nobody looks pays one predicted branch a tick.

use std::cell::{Cell, RefCell};

use crate::tick::{Kind, Tick};

/// Records of an instrument that are kept where nobody asked for more: 64 KB each.
pub const DEFAULT_KEPT: usize = 1_024;

/// The most that can be asked for: 64 MB an instrument.
pub const MAX_KEPT: usize = 1 << 20;

/// The last records of one instrument, and its last bar.
#[derive(Debug, Default)]
struct Shelf {
    /// Grows up to what is kept; from then on `oldest` goes round.
    ring: Vec<Tick>,
    oldest: usize,
    bar: Option<Tick>,
}

impl Shelf {
    fn put(&mut self, tick: &Tick, kept: usize) {
        if tick.kind == Kind::Bar as u8 {
            self.bar = Some(*tick);
        }
        if self.ring.len() < kept {
            self.ring.push(*tick);
            return;
        }
        self.ring[self.oldest] = *tick;
        self.oldest += 1;
        if self.oldest == self.ring.len() {
            self.oldest = 0;
        }
    }

    fn latest(&self) -> Option<&Tick> {
        let newer = self.oldest.checked_sub(1).map_or(self.ring.last(), |place| self.ring.get(place));
        newer.or(self.ring.last())
    }

    /// Those before `oldest` are newer than those from it on.
    fn parts(&self) -> (&[Tick], &[Tick]) {
        let (newer, older) = self.ring.split_at(self.oldest);
        (older, newer)
    }

    /// Puts the oldest first, so that the ring can grow.
    fn straighten(&mut self) {
        self.ring.rotate_left(self.oldest);
        self.oldest = 0;
    }
}

/// The last records of every instrument of a run, as of the present step.
///
/// GAP and STALE records tell of a feed and not of the market: they are not kept.
#[derive(Debug)]
pub struct Market {
    watched: Cell<bool>,
    kept: Cell<usize>,
    shelves: RefCell<Vec<Shelf>>,
}

impl Market {
    /// Of `instruments`, not watched yet.
    pub(super) fn new(instruments: usize) -> Self {
        let shelves = std::iter::repeat_with(Shelf::default).take(instruments).collect();
        Self { watched: Cell::new(false), kept: Cell::new(DEFAULT_KEPT), shelves: RefCell::new(shelves) }
    }

    /// From the next input on records are kept. Idempotent.
    pub fn watch(&self) {
        self.watched.set(true);
    }

    /// Whether records are kept.
    #[inline(always)]
    pub(super) fn is_watched(&self) -> bool {
        self.watched.get()
    }

    /// How many records of an instrument are kept.
    pub fn kept(&self) -> usize {
        self.kept.get()
    }

    /// Keeps at least `records` of each instrument, from 1 to [`MAX_KEPT`]; says whether that is possible.
    pub fn keep(&self, records: usize) -> bool {
        if !(1..=MAX_KEPT).contains(&records) {
            return false;
        }
        if records > self.kept.get() {
            self.kept.set(records);
            self.shelves.borrow_mut().iter_mut().for_each(Shelf::straighten);
        }
        true
    }

    /// The step's tick.
    #[inline(always)]
    pub(super) fn note(&self, tick: &Tick) {
        if self.watched.get() {
            self.put(std::slice::from_ref(tick));
        }
    }

    /// Ticks that are taken together, as nobody can look in between.
    #[inline(always)]
    pub(super) fn note_all(&self, ticks: &[Tick]) {
        if self.watched.get() {
            self.put(ticks);
        }
    }

    #[inline(never)]
    fn put(&self, ticks: &[Tick]) {
        let kept = self.kept.get();
        let mut shelves = self.shelves.borrow_mut();
        for tick in ticks {
            let tells_of_feed = tick.kind == Kind::Gap as u8 || tick.kind == Kind::Stale as u8;
            if let Some(shelf) = shelves.get_mut(tick.instrument as usize).filter(|_| !tells_of_feed) {
                shelf.put(tick, kept);
            }
        }
    }

    /// The last record of `instrument`.
    #[inline]
    pub fn latest(&self, instrument: u32) -> Option<Tick> {
        self.shelves.borrow().get(instrument as usize)?.latest().copied()
    }

    /// The last bar of `instrument`, however long ago.
    #[inline]
    pub fn latest_bar(&self, instrument: u32) -> Option<Tick> {
        self.shelves.borrow().get(instrument as usize)?.bar
    }

    /// Shows the last `count` records of `instrument`, or as many as there are, oldest first, in two parts.
    pub fn with_last<R>(&self, instrument: u32, count: usize, look: impl FnOnce(&[Tick], &[Tick]) -> R) -> R {
        let shelves = self.shelves.borrow();
        let Some(shelf) = shelves.get(instrument as usize) else { return look(&[], &[]) };
        let (older, newer) = shelf.parts();
        let newer = &newer[newer.len().saturating_sub(count)..];
        let older = &older[older.len().saturating_sub(count - newer.len())..];
        look(older, newer)
    }

    /// The last `count` records of one kind among those that are kept, or as many as there are, oldest first.
    pub fn last_of_kind(&self, instrument: u32, count: usize, kind: Kind) -> Vec<Tick> {
        self.with_last(instrument, usize::MAX, |older, newer| {
            let backwards = newer.iter().rev().chain(older.iter().rev());
            let mut found: Vec<Tick> = backwards.filter(|tick| tick.kind == kind as u8).take(count).copied().collect();
            found.reverse();
            found
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(ts_event: i64, instrument: u32) -> Tick {
        Tick::quote(ts_event, instrument, 1.0, 2.0, 1.0, 1.0)
    }

    fn times(market: &Market, instrument: u32, count: usize) -> Vec<i64> {
        market
            .with_last(instrument, count, |older, newer| older.iter().chain(newer).map(|tick| tick.ts_event).collect())
    }

    #[test]
    fn nothing_is_kept_before_somebody_watches() {
        let market = Market::new(1);
        market.note(&quote(1, 0));
        assert_eq!(market.latest(0), None);
        market.watch();
        market.note_all(&[quote(2, 0), quote(3, 0)]);
        assert_eq!(market.latest(0).map(|tick| tick.ts_event), Some(3));
        assert_eq!(times(&market, 0, 9), [2, 3]);
    }

    #[test]
    fn windows_equal_a_list_at_any_size_and_moment_of_growth() {
        for kept in [1, 2, 3, 7] {
            for grows_at in 0..20 {
                let market = Market { kept: Cell::new(kept), ..Market::new(2) };
                market.watch();
                let mut list = Vec::new();
                for time in 0..20 {
                    if time == grows_at {
                        assert!(market.keep(kept + 3));
                    }
                    market.note(&quote(time, 1));
                    list.push(time);
                    list.drain(..list.len().saturating_sub(market.kept()));
                    for count in 0..=list.len() {
                        assert_eq!(times(&market, 1, count), list[list.len() - count..]);
                    }
                    assert_eq!(market.latest(1).map(|tick| tick.ts_event), Some(time));
                }
                assert_eq!(market.latest(0), None);
            }
        }
    }

    #[test]
    fn bars_are_found_behind_other_records_and_what_tells_of_feeds_is_none() {
        let market = Market { kept: Cell::new(3), ..Market::new(1) };
        market.watch();
        market.note(&Tick::bar(1, 0, [1.0; 4], 5.0));
        market.note(&Tick::bar(2, 0, [1.0; 4], 5.0));
        (3..5).for_each(|time| market.note(&quote(time, 0)));
        market.note(&Tick { kind: Kind::Gap as u8, ..quote(9, 0) });
        market.note(&Tick { kind: Kind::Stale as u8, ..quote(9, 0) });
        let of_kind = |kind| -> Vec<i64> { market.last_of_kind(0, 5, kind).iter().map(|tick| tick.ts_event).collect() };
        assert_eq!(of_kind(Kind::Bar), [2]);
        assert_eq!(of_kind(Kind::Quote), [3, 4]);
        (5..9).for_each(|time| market.note(&quote(time, 0)));
        assert_eq!(market.latest_bar(0).map(|tick| tick.ts_event), Some(2));
        assert_eq!(market.latest(0).map(|tick| tick.ts_event), Some(8));
    }

    #[test]
    fn what_can_be_kept_has_bounds() {
        let market = Market::new(1);
        assert!(!market.keep(0) && !market.keep(MAX_KEPT + 1));
        assert!(market.keep(10));
        assert_eq!(market.kept(), DEFAULT_KEPT);
    }
}
