//! What a feed looks at before it lets a record in.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use super::counters::Counters;
use super::plain::plain_run;
use super::policy::{Backwards, Numbering};
use super::seen::Seen;
use super::shared::FeedShared;
use crate::check::{Problem, check_record};
use crate::instrument::InstrumentInfo;
use crate::tick::{Kind, Tick};

/// Most records that wait in a reorder window: beyond that the oldest leaves early.
pub const MAX_HELD: usize = 4_096;

/// Looks at the records of one publisher, one after the other.
pub(super) struct Admission {
    instruments: Arc<[InstrumentInfo]>,
    feed: Arc<FeedShared>,
    backwards: Backwards,
    numbering: Numbering,
    /// Instruments that came by this publisher, the last one apart.
    seen: Seen,
    last_seen: u32,
    /// The latest time of a record that left; with a window, none before it may leave any more.
    last_ns: i64,
    newest_ns: i64,
    /// The latest receipt that a record bore, where they keep theirs.
    receipt_ns: i64,
    held: BinaryHeap<Reverse<Held>>,
    arrivals: u64,
    numbers: HashMap<u32, u64>,
}

/// A record in the window: by time, at equal times in the order of arrival.
#[derive(PartialEq, Eq)]
struct Held {
    ts_event: i64,
    arrival: u64,
    tick: Tick,
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.ts_event, self.arrival).cmp(&(other.ts_event, other.arrival))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Admission {
    pub fn new(instruments: Arc<[InstrumentInfo]>, feed: Arc<FeedShared>) -> Self {
        Self {
            seen: Seen::new(instruments.len()),
            last_seen: u32::MAX,
            backwards: feed.settings.backwards,
            numbering: feed.settings.numbering,
            instruments,
            feed,
            last_ns: i64::MIN,
            newest_ns: i64::MIN,
            receipt_ns: i64::MIN,
            held: BinaryHeap::new(),
            arrivals: 0,
            numbers: HashMap::new(),
        }
    }

    /// Most records that one may let out at once, the window apart.
    pub const fn most_at_once(&self) -> usize {
        match self.numbering {
            Numbering::Ignored => 1,
            Numbering::ByInstrument | Numbering::ByPublisher => 2,
        }
    }

    /// Whether [`Self::admit_plain`] may find something: an instrument has come, and neither numbers, nor a window, nor
    /// receipts of their own are looked after.
    #[inline]
    pub fn is_quick(&self) -> bool {
        let is_known = (self.last_seen as usize) < self.instruments.len();
        let is_simple = self.numbering == Numbering::Ignored && !matches!(self.backwards, Backwards::Reorder { .. });
        is_known && is_simple && !self.feed.settings.keeps_receipt
    }

    /// How many of `ticks`, from the first on, may go on to the ring as they are: of one kind, of instruments that have
    /// come, in order, right in every way. Only what [`Self::admit`] would do for each of them is not done one by one.
    #[inline]
    pub fn admit_plain(&mut self, ticks: &[Tick]) -> usize {
        if !self.is_quick() {
            return 0;
        }
        let (last_seen, seen) = (self.last_seen, &self.seen);
        let known = |ticks: &[Tick]| {
            let others = ticks.iter().fold(0, |others, tick| others | (tick.instrument ^ last_seen));
            others == 0 || ticks.iter().all(|tick| seen.contains(tick.instrument))
        };
        let (count, last_ns) = plain_run(ticks, self.last_ns, known);
        if count > 0 {
            self.last_ns = last_ns;
            self.last_seen = ticks[count - 1].instrument;
        }
        count
    }

    /// Lets `tick` in, or counts why not; what may go on to the ring is added to `out`.
    #[inline]
    pub fn admit(&mut self, tick: &Tick, counters: &Counters, out: &mut Vec<Tick>) {
        match check_record(tick, &self.instruments) {
            Ok(is_crossed) => {
                if is_crossed {
                    counters.crossed.add(1);
                }
            }
            Err(offence) => return counters.invalid[offence.problem as usize].add(1),
        }
        if self.feed.settings.keeps_receipt {
            if tick.ts_init < self.receipt_ns {
                return counters.invalid[Problem::KeyBackwards as usize].add(1);
            }
            self.receipt_ns = tick.ts_init;
        }
        if tick.instrument != self.last_seen {
            self.see(tick.instrument);
        }
        if self.numbering != Numbering::Ignored && tick.kind != Kind::Bar as u8 && tick.sequence != 0 {
            self.number(tick, counters, out);
        } else {
            self.order(tick, counters, out);
        }
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
    fn number(&mut self, tick: &Tick, counters: &Counters, out: &mut Vec<Tick>) {
        let key = if self.numbering == Numbering::ByInstrument { tick.instrument } else { u32::MAX };
        match self.numbers.get(&key) {
            Some(&last) if tick.sequence <= last => return counters.duplicates.add(1),
            Some(&last) if tick.sequence - last > 1 => {
                counters.gaps.add(1);
                counters.made.add(1);
                self.order(&gap(tick, last + 1, tick.sequence - 1), counters, out);
            }
            _ => {}
        }
        self.numbers.insert(key, tick.sequence);
        self.order(tick, counters, out);
    }

    #[inline]
    fn order(&mut self, tick: &Tick, counters: &Counters, out: &mut Vec<Tick>) {
        let is_backwards = match self.backwards {
            Backwards::Pass | Backwards::Reject => tick.ts_event < self.last_ns,
            // By the window and not by what has left, so that it does not matter how records came in batches.
            Backwards::Reorder { window_ns } => {
                tick.ts_event < self.last_ns.max(self.newest_ns.saturating_sub(window_ns))
            }
        };
        match self.backwards {
            Backwards::Pass => counters.backwards.add(u64::from(is_backwards)),
            Backwards::Reject | Backwards::Reorder { .. } if is_backwards => {
                return counters.invalid[Problem::KeyBackwards as usize].add(1);
            }
            Backwards::Reject => {}
            Backwards::Reorder { .. } => {
                counters.backwards.add(u64::from(tick.ts_event < self.newest_ns));
                self.newest_ns = self.newest_ns.max(tick.ts_event);
                self.arrivals += 1;
                self.held.push(Reverse(Held { ts_event: tick.ts_event, arrival: self.arrivals, tick: *tick }));
                counters.held.set(self.held.len() as u64);
                return;
            }
        }
        self.last_ns = self.last_ns.max(tick.ts_event);
        out.push(*tick);
    }

    /// Lets out what has waited long enough, or all, as long as `out` is shorter than `limit`.
    pub fn let_out(&mut self, all: bool, limit: usize, counters: &Counters, out: &mut Vec<Tick>) {
        let Backwards::Reorder { window_ns } = self.backwards else { return };
        let until = self.newest_ns.saturating_sub(window_ns);
        while out.len() < limit
            && let Some(Reverse(first)) = self.held.peek()
            && (all || first.ts_event <= until || self.held.len() > MAX_HELD)
        {
            self.last_ns = first.ts_event;
            out.push(first.tick);
            self.held.pop();
        }
        counters.held.set(self.held.len() as u64);
    }

    /// Whether the window takes one more.
    pub fn is_full(&self) -> bool {
        self.held.len() > MAX_HELD
    }

    /// How many records wait in the window.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Forgets what waits in the window.
    pub fn discard(&mut self, counters: &Counters) {
        self.held.clear();
        counters.held.set(0);
    }

    /// The source was gone: the records that say so. `renumbered`: it counts anew.
    pub fn reconnected(&mut self, now_ns: i64, renumbered: bool) -> Vec<Tick> {
        let now_ns = if self.feed.settings.keeps_receipt { self.receipt_ns.max(1) } else { now_ns };
        let by_instrument = self.numbering == Numbering::ByInstrument;
        let last = |instrument: u32| {
            let key = if by_instrument { instrument } else { u32::MAX };
            self.numbers.get(&key).copied().unwrap_or(0)
        };
        let marks =
            self.seen.numbers().into_iter().map(|instrument| gone(instrument, last(instrument), now_ns)).collect();
        if renumbered {
            self.numbers.clear();
        }
        marks
    }
}

/// The third value of a GAP record: how many are missing is not known. The fourth: why.
const UNKNOWN: f64 = 0.0;
const RECONNECTED: f64 = 1.0;

/// A record that says that the source was gone: what is missing is not known, only the last number before it.
fn gone(instrument: u32, last: u64, now_ns: i64) -> Tick {
    Tick {
        ts_event: now_ns,
        ts_init: now_ns,
        sequence: last,
        instrument,
        kind: Kind::Gap as u8,
        side: 0,
        flags: 0,
        values: [0.0, 0.0, UNKNOWN, RECONNECTED],
    }
}

/// A record that says which numbers are missing before `next`: first, last and how many, as `values`.
fn gap(next: &Tick, first: u64, last: u64) -> Tick {
    Tick {
        sequence: last,
        kind: Kind::Gap as u8,
        side: 0,
        flags: 0,
        values: [first as f64, last as f64, (last - first + 1) as f64, 0.0],
        ..*next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::LiveClock;
    use crate::feed::{FeedHub, FeedSettings};
    use crate::stop::Waker;
    use crate::tick::NO_SIZE;

    fn admission(backwards: Backwards, numbering: Numbering) -> Admission {
        let instruments: Arc<[InstrumentInfo]> = ["A.SIM", "B.SIM"].map(InstrumentInfo::named).into();
        let hub = FeedHub::new(Arc::new(LiveClock::new()), Arc::clone(&instruments), Arc::new(Waker::new()));
        let settings = FeedSettings { backwards, numbering, ..FeedSettings::default() };
        Admission::new(instruments, hub.open("feed", settings).unwrap())
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
            ticks.iter().for_each(|tick| slow.admit(tick, &slow_counters, &mut expected));
            while at < ticks.len() {
                let plain = quick.admit_plain(&ticks[at..]);
                found.extend_from_slice(&ticks[at..at + plain]);
                at += plain;
                if let Some(tick) = ticks.get(at) {
                    quick.admit(tick, &quick_counters, &mut found);
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
