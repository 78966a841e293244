//! A run's order and its records.

use thiserror::Error;

use super::entry::{Entry, Mark};
use crate::pages::room_for;
use crate::tick::Tick;

/// Why records are no recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// Some were not kept.
    #[error("{count} records of the run were not kept: the recorder was overtaken, or its limit was reached")]
    Lost {
        /// How many.
        count: u64,
    },
    /// They do not begin with the start of a run, or do not end with its end.
    #[error("record {row} is not what a recording has there: {expected}")]
    OutOfPlace {
        /// Which record.
        row: usize,
        /// What would have been right.
        expected: &'static str,
    },
}

/// A slice, or a moment without one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub entry: Entry,
    /// Where its records begin.
    pub start: usize,
    /// How many there are.
    pub count: usize,
}

/// All that a live run took, in the order taken.
#[derive(Debug)]
pub struct Recording {
    pub(super) pieces: Vec<Piece>,
    pub(super) ticks: Vec<Tick>,
}

impl Recording {
    /// Of the stream that a run has written: entries, each slice's records behind its own.
    ///
    /// # Errors
    /// The records do not add up to a run.
    pub fn from_records(records: &[Tick]) -> Result<Self, RecordingError> {
        let wrong = |row, expected| Err(RecordingError::OutOfPlace { row, expected });
        let (mut pieces, mut ticks) = (Vec::new(), Vec::with_capacity(records.len()));
        let (mut row, mut now_ns) = (0, i64::MIN);
        while row < records.len() {
            let Some(entry) = Entry::from_record(&records[row]) else { return wrong(row, "an entry") };
            let is_first = pieces.is_empty();
            if is_first != (entry.mark == Mark::Start) {
                return wrong(row, "the start of the run, once and first");
            }
            if entry.now_ns < now_ns {
                return wrong(row, "a time that does not run backwards");
            }
            now_ns = entry.now_ns;
            let count = if let Mark::Taken { count, .. } = entry.mark { count as usize } else { 0 };
            let Some(slice) = records.get(row + 1..row + 1 + count) else { return wrong(row, "all of the slice") };
            if slice.iter().any(|tick| Entry::from_record(tick).is_some()) {
                return wrong(row, "records of feeds within a slice");
            }
            pieces.push(Piece { entry, start: ticks.len(), count });
            ticks.extend_from_slice(slice);
            row += 1 + count;
            if let Mark::End { taken, .. } = entry.mark {
                if row != records.len() {
                    return wrong(row, "nothing behind the end of the run");
                }
                Self::cut_last(&mut pieces, &mut ticks, taken as usize);
                return Ok(Self { pieces, ticks });
            }
        }
        wrong(row, "the end of the run")
    }

    /// The loop stopped within the last slice: what it did not get to is no input.
    fn cut_last(pieces: &mut Vec<Piece>, ticks: &mut Vec<Tick>, taken: usize) {
        let is_slice = |piece: &&mut Piece| matches!(piece.entry.mark, Mark::Taken { .. });
        if let Some(last) = pieces.iter_mut().rev().find(is_slice)
            && taken < last.count
        {
            last.count = taken;
            if let Mark::Taken { count, .. } = &mut last.entry.mark {
                *count = taken as u32;
            }
            ticks.truncate(last.start + taken);
        }
        pieces.iter_mut().for_each(|piece| piece.start = piece.start.min(ticks.len()));
        pieces.retain(|piece| piece.count > 0 || !matches!(piece.entry.mark, Mark::Taken { .. }));
    }

    /// The records, in the order taken.
    pub fn ticks(&self) -> &[Tick] {
        &self.ticks
    }

    /// The order: every slice with its feed and publisher, and what came between.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.pieces.iter().map(|piece| &piece.entry)
    }

    /// Whether the run ended because its feeds had.
    pub fn is_complete(&self) -> bool {
        let last = self.pieces.last().map(|piece| piece.entry.mark);
        matches!(last, Some(Mark::End { is_complete: true, .. }))
    }

    /// The stream it was made of, but for what the loop did not get to.
    pub fn to_records(&self) -> Vec<Tick> {
        let mut records = room_for(self.pieces.len() + self.ticks.len());
        for piece in &self.pieces {
            records.push(piece.entry.to_record());
            records.extend_from_slice(&self.ticks[piece.start..piece.start + piece.count]);
        }
        records
    }
}
