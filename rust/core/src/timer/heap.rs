//! A heap of slot numbers that know their place in it, so that one in the middle can be taken out.
//!
//! `std::collections::BinaryHeap` cannot do that: cancelled timers would stay in it as dead entries until their time, and
//! clearing them out now and then would stop the loop for as long as that takes. Four children a node: with a million
//! timers ten levels instead of twenty, and the children of a node lie in one cache line.

const CHILDREN: usize = 4;
const SLOT_BITS: u32 = 20;
const SLOT_MASK: u128 = (1 << SLOT_BITS) - 1;
/// Numbers of registration that fit beside the slot: at a million timers a second, half a year.
const RANK_BITS: u32 = 64 - SLOT_BITS;

/// From here on there are none left.
pub(super) const MAX_RANK: u64 = 1 << RANK_BITS;

/// How many slots there can be.
pub(super) const MAX_SLOTS: usize = 1 << SLOT_BITS;

/// A timer's time, its number of registration and its slot, as one number in the order in which timers fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn(u128);

impl Turn {
    pub(super) fn new(at_ns: i64, rank: u64, slot: u32) -> Self {
        // The sign bit turned over: then unsigned numbers have the order of the signed ones.
        let time = u128::from(at_ns as u64 ^ 1 << 63);
        Self(time << 64 | u128::from(rank) << SLOT_BITS | u128::from(slot))
    }

    pub(super) fn at_ns(self) -> i64 {
        ((self.0 >> 64) as u64 ^ 1 << 63) as i64
    }

    pub(super) fn slot(self) -> u32 {
        (self.0 & SLOT_MASK) as u32
    }
}

/// The turns that wait, the first on top.
#[derive(Debug)]
pub(super) struct Heap {
    turns: Vec<Turn>,
    /// By slot: where its turn stands in `turns`. Apart from the timers: four bytes a timer stay in the caches.
    places: Vec<u32>,
}

impl Heap {
    pub(super) const fn new() -> Self {
        Self { turns: Vec::new(), places: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.turns.len()
    }

    pub(super) fn first(&self) -> Option<Turn> {
        self.turns.first().copied()
    }

    pub(super) fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Puts in a turn whose slot is not in the heap.
    pub(super) fn push(&mut self, turn: Turn) {
        let slot = turn.slot() as usize;
        if slot >= self.places.len() {
            self.places.resize(slot + 1, 0);
        }
        self.turns.push(turn);
        self.rise(self.turns.len() - 1, turn);
    }

    /// Gives the first turn's timer a later one.
    pub(super) fn replace_first(&mut self, turn: Turn) {
        self.sink(0, turn);
    }

    /// Takes out the turn of `slot`, which is in the heap.
    pub(super) fn remove(&mut self, slot: u32) {
        let place = self.places[slot as usize] as usize;
        let Some(last) = self.turns.pop() else { return };
        if place < self.turns.len() {
            if place > 0 && last < self.turns[(place - 1) / CHILDREN] {
                self.rise(place, last);
            } else {
                self.sink(place, last);
            }
        }
    }

    #[inline]
    fn put(&mut self, place: usize, turn: Turn) {
        self.turns[place] = turn;
        self.places[turn.slot() as usize] = place as u32;
    }

    /// Finds a place for `turn` at `place` or above it.
    fn rise(&mut self, mut place: usize, turn: Turn) {
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if self.turns[parent] < turn {
                break;
            }
            self.put(place, self.turns[parent]);
            place = parent;
        }
        self.put(place, turn);
    }

    /// Finds a place for `turn` at `place` or below it.
    fn sink(&mut self, mut place: usize, turn: Turn) {
        loop {
            let first = CHILDREN * place + 1;
            let end = (first + CHILDREN).min(self.turns.len());
            let Some(child) = (first..end).min_by_key(|&child| self.turns[child]) else { break };
            if turn < self.turns[child] {
                break;
            }
            self.put(place, self.turns[child]);
            place = child;
        }
        self.put(place, turn);
    }
}
