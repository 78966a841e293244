//! The merge that copies: k inputs into one buffer, with instruments renumbered.

use super::MergeInput;
use super::tournament::{EXHAUSTED, Place, Tournament};
use crate::prefetch::prefetch;
use crate::source::{Advance, Feeds, Slice};
use crate::tick::{OrderBy, TICK_SIZE, Tick};

/// How many records ahead of its turn a record is asked for. The hardware follows a few dozen streams by itself, and
/// with a hundred feeds each record was a miss.
const PREFETCH_AHEAD: usize = 4;

/// Copies records of many inputs, in order, into a buffer that each slice uses again.
#[derive(Debug)]
pub(super) struct Interleave {
    /// Sorted by feed number, so that the index orders inputs of equal key.
    cursors: Vec<Cursor>,
    tournament: Tournament,
    order: OrderBy,
    remaining: usize,
    /// The first `filled` of `ticks` and `feeds` are the current slice.
    filled: usize,
    ticks: Vec<Tick>,
    feeds: Vec<u32>,
}

/// One input and how far it has been read.
#[derive(Debug)]
struct Cursor {
    input: MergeInput,
    next: usize,
}

impl Interleave {
    /// `inputs` are sorted by feed number, and every record has a row in its input's table.
    pub(super) fn new(inputs: Vec<MergeInput>, order: OrderBy) -> Self {
        let cursors: Vec<Cursor> = inputs.into_iter().map(|input| Cursor { input, next: 0 }).collect();
        let places: Vec<Place> = cursors.iter().enumerate().map(|(index, cursor)| cursor.place(index, order)).collect();
        Self {
            remaining: cursors.iter().map(|cursor| cursor.input.block.len()).sum(),
            cursors,
            tournament: Tournament::new(&places),
            order,
            filled: 0,
            ticks: Vec::new(),
            feeds: Vec::new(),
        }
    }

    pub(super) fn advance(&mut self, max: usize) -> Advance {
        self.filled = max.min(self.remaining);
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
        for (tick, feed) in slots {
            let index = self.tournament.winner();
            let cursor = &mut self.cursors[index];
            *feed = cursor.input.feed;
            cursor.take_into(tick);
            self.tournament.replace_winner(cursor.place(index, order));
        }
    }

    pub(super) fn current(&self) -> Slice<'_> {
        Slice { ticks: &self.ticks[..self.filled], feeds: Feeds::Each(&self.feeds[..self.filled]), block: None }
    }

    pub(super) fn remaining(&self) -> Option<u64> {
        Some(self.remaining as u64)
    }
}

impl Cursor {
    #[inline(always)]
    fn take_into(&mut self, slot: &mut Tick) {
        let records = self.input.block.as_slice();
        *slot = records[self.next];
        if let Some(table) = &self.input.instruments {
            slot.instrument = table[records[self.next].instrument as usize];
        }
        self.next += 1;
        prefetch(records.as_ptr().wrapping_add(self.next + PREFETCH_AHEAD));
    }

    #[inline(always)]
    fn place(&self, index: usize, order: OrderBy) -> Place {
        self.input.block.as_slice().get(self.next).map_or(EXHAUSTED, |tick| Place::new(tick.key(order), index))
    }
}
