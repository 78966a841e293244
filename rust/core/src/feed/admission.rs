//! What a feed looks at before it lets a record in.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use super::counters::Counters;
use super::policy::{Backwards, Numbering};
use super::seen::Seen;
use super::shared::FeedShared;
use crate::check::check_record;
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
                return counters.invalid[crate::check::Problem::KeyBackwards as usize].add(1);
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
