//! What a feed looks at before it lets a record in.

use std::sync::Arc;

use super::counters::Counters;
use super::gap;
use super::held::Held;
use super::numbers::{Numbers, Said};
use super::plain::plain_run;
use super::policy::{Backwards, Numbering};
use super::seen::Seen;
use super::shared::FeedShared;
use crate::check::{Problem, check_record};
use crate::instrument::InstrumentInfo;
use crate::tick::{Kind, Tick};

/// Farthest that a live record's time may lie ahead of the clock; a bar's, beyond its duration, as some are sent while they are
/// still open. A wrong clock or time zone is not the record's fault, and what follows it is late by a day at the most; behind a
/// time years ahead everything would be, for as long as the feed is open.
pub const MAX_AHEAD_NS: i64 = 86_400_000_000_000;

/// Looks at the records of one publisher, one after the other.
pub(super) struct Admission {
    instruments: Arc<[InstrumentInfo]>,
    feed: Arc<FeedShared>,
    /// Has the window, where records wait for earlier ones, and then their numbers too.
    held: Arc<Held>,
    backwards: Backwards,
    numbers: Numbers,
    /// Instruments that came by this publisher, the last one apart.
    seen: Seen,
    last_seen: u32,
    /// The latest time of a record that went on.
    last_ns: i64,
    /// The latest receipt that a record bore, where they keep theirs.
    receipt_ns: i64,
}

impl Admission {
    pub fn new(instruments: Arc<[InstrumentInfo]>, feed: Arc<FeedShared>, held: Arc<Held>) -> Self {
        Self {
            seen: Seen::new(instruments.len()),
            last_seen: u32::MAX,
            backwards: feed.settings.backwards,
            numbers: Numbers::new(feed.settings.numbering),
            instruments,
            feed,
            held,
            last_ns: i64::MIN,
            receipt_ns: i64::MIN,
        }
    }

    /// Most records that one may let out at once, the window apart.
    pub const fn most_at_once(&self) -> usize {
        self.numbers.most_at_once()
    }

    /// Whether [`Self::admit_plain`] may find something: an instrument has come, and neither numbers, nor a window, nor
    /// receipts of their own are looked after.
    #[inline]
    pub fn is_quick(&self) -> bool {
        let is_known = (self.last_seen as usize) < self.instruments.len();
        let settings = &self.feed.settings;
        is_known && settings.numbering == Numbering::Ignored && !self.held.reorders() && !settings.keeps_receipt
    }

    /// How many of `ticks`, from the first on, may go on to the ring as they are: of one kind, of instruments that have
    /// come, in order, right in every way. Only what [`Self::admit`] would do for each of them is not done one by one.
    #[inline]
    pub fn admit_plain(&mut self, ticks: &[Tick], now_ns: i64) -> usize {
        let until_ns = self.until_ns(now_ns);
        if !self.is_quick() || ticks.first().is_none_or(|tick| tick.ts_event > until_ns) {
            return 0;
        }
        let (last_seen, seen) = (self.last_seen, &self.seen);
        let known = |ticks: &[Tick]| {
            let others = ticks.iter().fold(0, |others, tick| others | (tick.instrument ^ last_seen));
            others == 0 || ticks.iter().all(|tick| seen.contains(tick.instrument))
        };
        let (mut count, mut last_ns) = plain_run(ticks, self.last_ns, known);
        if last_ns > until_ns && count > 0 {
            // In order, as they are plain.
            count = ticks[..count].partition_point(|tick| tick.ts_event <= until_ns);
            last_ns = ticks[count - 1].ts_event;
        }
        if count > 0 {
            self.last_ns = last_ns;
            self.last_seen = ticks[count - 1].instrument;
        }
        count
    }

    /// Up to which time nobody has to ask whether it can be.
    #[inline]
    fn until_ns(&self, now_ns: i64) -> i64 {
        if self.held.goes_by_clock() { now_ns.saturating_add(MAX_AHEAD_NS) } else { i64::MAX }
    }

    #[cold]
    fn is_ahead(&self, tick: &Tick) -> bool {
        let lasts_ns = match Kind::from_code(tick.kind) {
            Some(Kind::Bar) => self.instruments[tick.instrument as usize].bar_duration_ns,
            _ => 0,
        };
        self.feed.clock.is_ahead(tick.ts_event, MAX_AHEAD_NS.saturating_add(lasts_ns))
    }

    /// Lets `tick` in, which came at `now_ns`, or counts why not; what may go on to the ring is added to `out`.
    #[inline]
    pub fn admit(&mut self, tick: &Tick, now_ns: i64, counters: &Counters, out: &mut Vec<Tick>) {
        let is_crossed = match check_record(tick, &self.instruments) {
            Ok(is_crossed) => is_crossed,
            Err(offence) => return counters.invalid[offence.problem as usize].add(1),
        };
        if tick.ts_event > self.until_ns(now_ns) && self.is_ahead(tick) {
            return counters.invalid[Problem::TimeAhead as usize].add(1);
        }
        if self.feed.settings.keeps_receipt {
            if tick.ts_init < self.receipt_ns {
                return counters.invalid[Problem::KeyBackwards as usize].add(1);
            }
            self.receipt_ns = tick.ts_init;
        }
        if is_crossed {
            counters.crossed.add(1);
        }
        if tick.instrument != self.last_seen {
            self.see(tick.instrument);
        }
        self.order(tick, counters, out);
    }

    /// Which is new: most records have the instrument of the one before, or one that is known.
    fn see(&mut self, instrument: u32) {
        self.last_seen = instrument;
        if !self.seen.contains(instrument) {
            self.seen.add(instrument);
            self.feed.seen.add(instrument);
        }
    }

    /// A number that was there before is a record that comes again; one that was left out is a gap before this record.
    #[inline]
    fn order(&mut self, tick: &Tick, counters: &Counters, out: &mut Vec<Tick>) {
        if matches!(self.backwards, Backwards::Reorder { .. }) {
            return self.held.lazily().enter(tick, counters);
        }
        let said = self.numbers.look(tick);
        if said == Said::Again {
            return counters.duplicates.add(1);
        }
        let is_backwards = tick.ts_event < self.last_ns;
        if is_backwards && self.backwards == Backwards::Reject {
            return counters.invalid[Problem::KeyBackwards as usize].add(1);
        }
        counters.backwards.add(u64::from(is_backwards));
        self.last_ns = self.last_ns.max(tick.ts_event);
        self.numbers.accept(tick, said, counters, out);
    }

    /// The source was gone: one record for each instrument that has come, with the last of its numbers; `numbers`, where it is
    /// not this that counts.
    pub fn marks(&self, numbers: Option<&Numbers>, now_ns: i64) -> Vec<Tick> {
        let numbers = numbers.unwrap_or(&self.numbers);
        let now_ns = if self.feed.settings.keeps_receipt { self.receipt_ns.max(1) } else { now_ns };
        let seen = self.seen.numbers().into_iter();
        seen.map(|instrument| gap::gone(instrument, numbers.last(instrument), now_ns)).collect()
    }

    /// The source counts anew.
    pub fn forget_numbers(&mut self) {
        self.numbers.forget();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{LiveClock, Moment};
    use crate::feed::{FeedHub, FeedSettings};
    use crate::stop::Waker;
    use crate::tick::NO_SIZE;

    /// Times above 35 lie too far ahead.
    const NOW_NS: i64 = 35 - MAX_AHEAD_NS;

    fn admission(backwards: Backwards, numbering: Numbering) -> Admission {
        let instruments: Arc<[InstrumentInfo]> = ["A.SIM", "B.SIM"].map(InstrumentInfo::named).into();
        let clock = LiveClock::by(|| NOW_NS, || Moment::at_ns(0));
        let hub = FeedHub::new(Arc::new(clock), Arc::clone(&instruments), Arc::new(Waker::new()));
        let settings = FeedSettings { backwards, numbering, ..FeedSettings::default() };
        let held = Arc::new(Held::new(&settings, Arc::default()));
        Admission::new(instruments, hub.open("feed", settings).unwrap(), held)
    }

    fn any_tick() -> impl Strategy<Value = Tick> {
        let value = prop_oneof![8 => 1.0..3.0f64, 1 => prop::sample::select(vec![0.0, -1.0, f64::NAN, f64::INFINITY])];
        let instrument = prop_oneof![8 => Just(0u32), 2 => Just(1), 1 => Just(2), 1 => Just(u32::MAX)];
        let kind = prop_oneof![8 => Just(1u8), 3 => Just(2), 1 => 0..9u8];
        let flags = prop_oneof![Just(0), Just(NO_SIZE)];
        let side = prop_oneof![8 => 0..3u8, 1 => Just(3)];
        (-1..40i64, instrument, kind, side, flags, prop::array::uniform4(value)).prop_map(
            |(ts_event, instrument, kind, side, flags, values)| Tick {
                ts_event,
                ts_init: 1,
                sequence: ts_event as u64 % 3,
                instrument,
                kind,
                side,
                flags,
                values,
            },
        )
    }

    fn counted(counters: &Counters) -> Vec<u64> {
        let rest = [&counters.crossed, &counters.backwards, &counters.duplicates, &counters.gaps, &counters.made];
        counters.invalid.iter().chain(rest).map(|count| count.get()).collect()
    }

    proptest! {
        /// Whatever comes: what goes on and what is counted is the same, with and without the quick way.
        #[test]
        fn the_quick_way_does_what_the_other_does(
            ticks in prop::collection::vec(any_tick(), 0..60),
            backwards in prop::sample::select(vec![Backwards::Pass, Backwards::Reject, Backwards::Reorder { window_ns: 3 }]),
            numbering in prop::sample::select(vec![Numbering::Ignored, Numbering::ByInstrument]),
            is_sorted in any::<bool>(),
        ) {
            let mut ticks = ticks;
            if is_sorted {
                ticks.sort_by_key(|tick| tick.ts_event);
            }
            let (mut slow, mut quick) = (admission(backwards, numbering), admission(backwards, numbering));
            let (slow_counters, quick_counters) = (Counters::default(), Counters::default());
            let (mut expected, mut found, mut at) = (Vec::new(), Vec::new(), 0);
            ticks.iter().for_each(|tick| slow.admit(tick, NOW_NS, &slow_counters, &mut expected));
            while at < ticks.len() {
                let plain = quick.admit_plain(&ticks[at..], NOW_NS);
                found.extend_from_slice(&ticks[at..at + plain]);
                at += plain;
                if let Some(tick) = ticks.get(at) {
                    quick.admit(tick, NOW_NS, &quick_counters, &mut found);
                    at += 1;
                }
            }
            let bits = |ticks: &[Tick]| -> Vec<_> {
                ticks.iter().map(|tick| (tick.ts_event, tick.instrument, tick.kind, tick.values.map(f64::to_bits))).collect()
            };
            prop_assert_eq!(bits(&found), bits(&expected));
            prop_assert_eq!(counted(&quick_counters), counted(&slow_counters));
            prop_assert_eq!((quick.last_ns, quick.last_seen), (slow.last_ns, slow.last_seen));
        }
    }
}
