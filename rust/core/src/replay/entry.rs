//! What a live run did next, as a record among its records.

use crate::feed::{FeedEvent, FeedEventKind, Loss};
use crate::tick::Tick;

/// The kind code of an entry: no record that a feed lets in has it.
pub const ENTRY_KIND: u8 = 0xF0;

/// The code of what a feed tells.
const TOLD: u8 = 5;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The run began.
    Start,
    /// The loop took a slice; its records follow.
    Taken {
        /// From which feed.
        feed: u32,
        /// From which of its publishers.
        publisher: u32,
        /// How many records.
        count: u32,
        /// How many records of the publisher waited then, the slice among them.
        waiting: u64,
    },
    /// The loop had nothing to take, and did what was due: timers, batches.
    Turn,
    /// A feed told something of itself.
    Told(FeedEvent),
    /// Every feed had ended.
    Drained,
    /// The run was over.
    End {
        /// How many records of the last slice the loop got to.
        taken: u32,
        /// Whether it ended because its feeds had, and not by a stop.
        is_complete: bool,
    },
}

/// A mark with its place and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What happened.
    pub mark: Mark,
    /// The loop position before it.
    pub position: u64,
    /// The clock, ns UTC.
    pub now_ns: i64,
}

impl Entry {
    /// As a record: `ts_event` the clock, `sequence` the position, `instrument` the feed, `side` which mark, and in `values`
    /// the publisher, the count and how many records waited.
    ///
    /// What a feed tells has its kind in `flags`, the start of a loss in `ts_init`, and its counts in `values` beside the
    /// publisher.
    pub fn to_record(self) -> Tick {
        if let Mark::Told(event) = self.mark {
            return self.told_record(&event);
        }
        let (side, feed, values) = match self.mark {
            Mark::Start => (0, 0, [0.0; 3]),
            Mark::Taken { feed, publisher, count, waiting } => {
                (1, feed, [f64::from(publisher), f64::from(count), waiting as f64])
            }
            Mark::Turn | Mark::Told(_) => (2, 0, [0.0; 3]),
            Mark::Drained => (3, 0, [0.0; 3]),
            Mark::End { taken, is_complete } => (4, 0, [f64::from(u8::from(is_complete)), f64::from(taken), 0.0]),
        };
        Tick {
            ts_event: self.now_ns,
            ts_init: self.now_ns,
            sequence: self.position,
            instrument: feed,
            kind: ENTRY_KIND,
            side,
            flags: 0,
            values: [values[0], values[1], values[2], 0.0],
        }
    }

    fn told_record(self, event: &FeedEvent) -> Tick {
        let (flags, from_ns, counts) = match event.kind {
            FeedEventKind::High { waiting } => (0, 0, [waiting, 0, 0]),
            FeedEventKind::Low { waiting } => (1, 0, [waiting, 0, 0]),
            FeedEventKind::Lossy(loss) => (2, loss.from_ns, [loss.dropped_newest, loss.dropped_oldest, loss.conflated]),
        };
        let [first, second, third] = counts.map(|count| count as f64);
        Tick {
            ts_event: self.now_ns,
            ts_init: from_ns,
            sequence: self.position,
            instrument: event.feed,
            kind: ENTRY_KIND,
            side: TOLD,
            flags,
            values: [f64::from(event.publisher), first, second, third],
        }
    }

    fn told(record: &Tick) -> Option<Mark> {
        let [publisher, first, second, third] = record.values.map(|value| value as u64);
        let kind = match record.flags {
            0 => FeedEventKind::High { waiting: first },
            1 => FeedEventKind::Low { waiting: first },
            2 => FeedEventKind::Lossy(Loss {
                from_ns: record.ts_init,
                dropped_newest: first,
                dropped_oldest: second,
                conflated: third,
            }),
            _ => return None,
        };
        let publisher = u32::try_from(publisher).ok()?;
        Some(Mark::Told(FeedEvent { feed: record.instrument, publisher, now_ns: record.ts_event, kind }))
    }

    /// What `record` says, if it is an entry.
    pub fn from_record(record: &Tick) -> Option<Self> {
        if record.kind != ENTRY_KIND {
            return None;
        }
        // A number that is none, or is too large, becomes the nearest there is; the recording then does not add up.
        let [first, count] = [record.values[0] as u32, record.values[1] as u32];
        let mark = match record.side {
            0 => Mark::Start,
            1 => {
                let waiting = record.values[2] as u64;
                Mark::Taken { feed: record.instrument, publisher: first, count, waiting }
            }
            2 => Mark::Turn,
            3 => Mark::Drained,
            4 => Mark::End { taken: count, is_complete: first == 1 },
            TOLD => Self::told(record)?,
            _ => return None,
        };
        Some(Self { mark, position: record.sequence, now_ns: record.ts_event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: FeedEventKind) -> FeedEvent {
        FeedEvent { feed: 3, publisher: 4, now_ns: 1_700_000_000_000_000_001, kind }
    }

    #[test]
    fn an_entry_survives_being_a_record() {
        let marks = [
            Mark::Start,
            Mark::Taken { feed: u32::MAX, publisher: 7, count: 1 << 24, waiting: 1 << 30 },
            Mark::Turn,
            Mark::Told(told(FeedEventKind::High { waiting: 9 })),
            Mark::Told(told(FeedEventKind::Low { waiting: 1 })),
            Mark::Told(told(FeedEventKind::Lossy(Loss {
                from_ns: 1_699_999_999_999_999_999,
                dropped_newest: 1,
                dropped_oldest: 2,
                conflated: 3,
            }))),
            Mark::Drained,
            Mark::End { taken: 63, is_complete: true },
            Mark::End { taken: 0, is_complete: false },
        ];
        for mark in marks {
            let entry = Entry { mark, position: u64::MAX, now_ns: 1_700_000_000_000_000_001 };
            assert_eq!(Entry::from_record(&entry.to_record()), Some(entry));
        }
        assert_eq!(Entry::from_record(&Tick::quote(1, 0, 1.0, 2.0, 1.0, 1.0)), None);
    }
}
