//! The merge that copies: k inputs into one buffer, with instruments renumbered.

use super::MergeInput;
use super::tournament::{EXHAUSTED, Place, Tournament, place};
use crate::source::{Advance, Feeds, Slice};
use crate::tick::{OrderBy, Tick};

/// Copies records of many inputs, in order, into a buffer that each slice uses again.
#[derive(Debug)]
pub(super) struct Interleave {
    /// Sorted by feed number, so that the index orders inputs of equal key.
    inputs: Vec<MergeInput>,
    /// `positions[i]`: the next record of input `i`.
    positions: Vec<usize>,
    tournament: Tournament,
    order: OrderBy,
    remaining: usize,
    ticks: Vec<Tick>,
    feeds: Vec<u32>,
}

impl Interleave {
    /// `inputs` are sorted by feed number, and every record has a row in its input's table.
    pub(super) fn new(inputs: Vec<MergeInput>, order: OrderBy) -> Self {
        let places: Vec<Place> = (0..inputs.len()).map(|index| place_at(&inputs[index], index, 0, order)).collect();
        Self {
            positions: vec![0; inputs.len()],
            tournament: Tournament::new(&places),
            order,
            remaining: inputs.iter().map(|input| input.block.len()).sum(),
            ticks: Vec::new(),
            feeds: Vec::new(),
            inputs,
        }
    }

    pub(super) fn advance(&mut self, max: usize) -> Advance {
        let count = max.min(self.remaining);
        self.ticks.clear();
        self.feeds.clear();
        self.ticks.reserve(count);
        self.feeds.reserve(count);
        for _ in 0..count {
            self.take_winner();
        }
        self.remaining -= count;
        if count == 0 { Advance::End } else { Advance::Ready }
    }

    #[inline(always)]
    fn take_winner(&mut self) {
        let index = self.tournament.winner();
        let input = &self.inputs[index];
        let position = self.positions[index];
        let mut tick = input.block.as_slice()[position];
        if let Some(table) = &input.instruments {
            tick.instrument = table[tick.instrument as usize];
        }
        self.ticks.push(tick);
        self.feeds.push(input.feed);
        self.positions[index] = position + 1;
        self.tournament.replace_winner(place_at(input, index, position + 1, self.order));
    }

    pub(super) fn current(&self) -> Slice<'_> {
        Slice { ticks: &self.ticks, feeds: Feeds::Each(&self.feeds), block: None }
    }

    pub(super) fn remaining(&self) -> Option<u64> {
        Some(self.remaining as u64)
    }
}

#[inline(always)]
fn place_at(input: &MergeInput, index: usize, position: usize, order: OrderBy) -> Place {
    match input.block.as_slice().get(position) {
        Some(tick) => place(tick.key(order), index as u32),
        None => EXHAUSTED,
    }
}
