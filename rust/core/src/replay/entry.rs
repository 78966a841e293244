//! What a live run did next, as a record among its records.

use crate::tick::Tick;

/// The kind code of an entry: no record that a feed lets in has it.
pub const ENTRY_KIND: u8 = 0xF0;

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
    },
    /// The loop had nothing to take, and did what was due: timers, batches.
    Turn,
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
    /// the publisher and the count.
    pub fn to_record(self) -> Tick {
        let (side, feed, values) = match self.mark {
            Mark::Start => (0, 0, [0.0, 0.0]),
            Mark::Taken { feed, publisher, count } => (1, feed, [f64::from(publisher), f64::from(count)]),
            Mark::Turn => (2, 0, [0.0, 0.0]),
            Mark::Drained => (3, 0, [0.0, 0.0]),
            Mark::End { taken, is_complete } => (4, 0, [f64::from(u8::from(is_complete)), f64::from(taken)]),
        };
        Tick {
            ts_event: self.now_ns,
            ts_init: self.now_ns,
            sequence: self.position,
            instrument: feed,
            kind: ENTRY_KIND,
            side,
            flags: 0,
            values: [values[0], values[1], 0.0, 0.0],
        }
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
            1 => Mark::Taken { feed: record.instrument, publisher: first, count },
            2 => Mark::Turn,
            3 => Mark::Drained,
            4 => Mark::End { taken: count, is_complete: first == 1 },
            _ => return None,
        };
        Some(Self { mark, position: record.sequence, now_ns: record.ts_event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_being_a_record() {
        let marks = [
            Mark::Start,
            Mark::Taken { feed: u32::MAX, publisher: 7, count: 1 << 24 },
            Mark::Turn,
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
