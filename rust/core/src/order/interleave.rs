//! The merge that copies: k inputs into one buffer, with instruments renumbered.

use std::fmt;

use super::MergeInput;
use super::tournament::{EXHAUSTED, Place, Tournament};
use crate::block::TickBlock;
use crate::prefetch::prefetch;
use crate::source::{Advance, Feeds, Slice};
use crate::tick::{OrderBy, TICK_SIZE, Tick};

/// How many records ahead of its turn a record is asked for. The hardware follows a few dozen streams by itself, and
/// with a hundred feeds each record was a miss.
const PREFETCH_AHEAD: usize = 6;

/// And where there are more feeds than [`MANY`], whose records would fill the second cache: what is asked for too early is
/// out again when its turn comes.
const PREFETCH_AHEAD_OF_MANY: usize = 3;
const MANY: usize = 256;

/// Most records of a slice. With 4,096 the buffer alone would be half of a second cache of 512 KB, and records that were asked
/// for would be out of it when their turn comes: a tenth slower, whatever the number of feeds.
const MOST_AT_ONCE: usize = 1_024;

/// In the place of a first row: the input's instruments are the run's.
const SAME: u32 = u32::MAX;

/// Copies records of many inputs, in order, into a buffer that each slice uses again.
pub(super) struct Interleave {
    /// Sorted by feed number, so that the index orders inputs of equal key.
    cursors: Vec<Cursor>,
    /// What the cursors read.
    blocks: Vec<TickBlock>,
    /// The instruments of all inputs, one after the other: a table for each would be a cache line for each.
    rows: Vec<u32>,
    tournament: Tournament,
    order: OrderBy,
    ahead: usize,
    remaining: usize,
    /// The first `filled` of `ticks` and `feeds` are the current slice.
    filled: usize,
    ticks: Vec<Tick>,
    feeds: Vec<u32>,
}

/// One input and how far it has been read: half a cache line, since with a thousand feeds all of them lie in the second
/// cache, and what stands there is what is waited for. Measured with 1,000 feeds: 14 to 25 million records a second by
/// the host's hour, and 6 to 10 where the cursor had the whole input and looked the next key up in the record.
///
/// `next..end` are records of the block that `Interleave::blocks` keeps.
struct Cursor {
    next: *const Tick,
    end: *const Tick,
    /// The key of the record after `next`, if there is one: looked up one turn early, so that no record is waited for.
    key_after: i64,
    /// Where the input's instruments begin in `rows`, or [`SAME`].
    row: u32,
    feed: u32,
}

// SAFETY: a cursor only reads records that never change, of a block that may itself go to any thread, and goes with it.
unsafe impl Send for Cursor {}

impl Interleave {
    /// `inputs` are sorted by feed number, and every record has a row in its input's table.
    pub(super) fn new(inputs: Vec<MergeInput>, order: OrderBy) -> Self {
        let ahead = if inputs.len() > MANY { PREFETCH_AHEAD_OF_MANY } else { PREFETCH_AHEAD };
        let (mut cursors, mut blocks, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        let mut places = Vec::new();
        for (index, MergeInput { block, feed, instruments }) in inputs.into_iter().enumerate() {
            let row = instruments.as_ref().map_or(SAME, |_| rows.len() as u32);
            rows.extend(instruments.into_iter().flatten());
            let key = |number: usize| block.as_slice().get(number).map(|tick| tick.key(order));
            places.push(key(0).map_or(EXHAUSTED, |key| Place::new(key, index)));
            let records = block.as_slice().as_ptr_range();
            let key_after = key(1).unwrap_or(i64::MAX);
            cursors.push(Cursor { next: records.start, end: records.end, key_after, row, feed });
            blocks.push(block);
        }
        assert!(rows.len() < SAME as usize, "{} instruments in the tables of a merge", rows.len());
        Self {
            remaining: blocks.iter().map(TickBlock::len).sum(),
            cursors,
            blocks,
            rows,
            tournament: Tournament::new(&places),
            order,
            ahead,
            filled: 0,
            ticks: Vec::new(),
            feeds: Vec::new(),
        }
    }

    pub(super) fn advance(&mut self, max: usize) -> Advance {
        self.filled = max.min(self.remaining).min(MOST_AT_ONCE);
        self.remaining -= self.filled;
        if self.ticks.len() < self.filled {
            self.ticks.resize(self.filled, Tick::from_bytes(&[0; TICK_SIZE]));
            self.feeds.resize(self.filled, 0);
        }
        match self.order {
            OrderBy::TsEvent => self.fill(OrderBy::TsEvent),
            OrderBy::TsInit => self.fill(OrderBy::TsInit),
        }
        if self.filled == 0 { Advance::End } else { Advance::Ready }
    }

    /// `order` is `self.order`, as a constant in each of the two callers.
    #[inline(always)]
    fn fill(&mut self, order: OrderBy) {
        let slots = self.ticks[..self.filled].iter_mut().zip(&mut self.feeds[..self.filled]);
        for (slot, feed) in slots {
            let index = self.tournament.winner();
            let cursor = &mut self.cursors[index];
            // Before its record is copied: the next winner follows from this alone.
            self.tournament.replace_winner(cursor.place_after(index));
            *feed = cursor.feed;
            *slot = cursor.take(order);
            if cursor.row != SAME {
                slot.instrument = self.rows[cursor.row as usize + slot.instrument as usize];
            }
            prefetch(cursor.next.wrapping_add(self.ahead - 1));
        }
    }

    pub(super) fn current(&self) -> Slice<'_> {
        Slice { ticks: &self.ticks[..self.filled], feeds: Feeds::Each(&self.feeds[..self.filled]), block: None }
    }

    pub(super) fn remaining(&self) -> Option<u64> {
        Some(self.remaining as u64)
    }
}

impl fmt::Debug for Interleave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interleave({} feeds, {} ticks left)", self.blocks.len(), self.remaining)
    }
}

impl Cursor {
    /// Where the input stands once its next record is taken.
    #[inline(always)]
    fn place_after(&self, index: usize) -> Place {
        let is_last = self.next.wrapping_add(1) == self.end;
        if is_last { EXHAUSTED } else { Place::new(self.key_after, index) }
    }

    /// The next record; there is one, as its input has won.
    #[inline(always)]
    fn take(&mut self, order: OrderBy) -> Tick {
        assert!(self.next < self.end, "an input without records has won");
        // SAFETY: `next` is before `end`, and so a record of the block, which `Interleave::blocks` keeps.
        let tick = unsafe { *self.next };
        self.next = self.next.wrapping_add(1);
        let after = self.next.wrapping_add(1);
        if after < self.end {
            // SAFETY: as above, for the record after the one that is next now.
            self.key_after = unsafe { &*after }.key(order);
        }
        tick
    }
}
