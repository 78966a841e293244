//! A tree of losers: which of k inputs comes next, in log2(k) comparisons without a branch on their outcome.

use std::hint::select_unpredictable;

/// An input's place in the order: by key, then by index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    key: i64,
    /// The input's number in the merge; of an exhausted one more than any other's.
    index: u64,
}

/// The place of an input without further records: after every other.
pub(super) const EXHAUSTED: Place = Place { key: i64::MAX, index: u64::MAX };

impl Place {
    /// The place of input `index` whose next record has `key`.
    #[inline(always)]
    pub(super) fn new(key: i64, index: usize) -> Self {
        Self { key, index: index as u64 }
    }

    #[inline(always)]
    fn goes_before(self, other: Self) -> bool {
        (self.key < other.key) | ((self.key == other.key) & (self.index < other.index))
    }

    /// `yes` or `no`, by conditional moves: with random feeds a branch here is mistaken every second time.
    #[inline(always)]
    fn select(condition: bool, yes: Self, no: Self) -> Self {
        Self {
            key: select_unpredictable(condition, yes.key, no.key),
            index: select_unpredictable(condition, yes.index, no.index),
        }
    }
}

/// Inner nodes hold the loser of their match, so that replacing the winner replays one path and looks at no siblings.
#[derive(Debug)]
pub(super) struct Tournament {
    /// `losers[1..k]`; node `n` has the children `2n` and `2n + 1`, and input `i` is node `k + i`.
    losers: Vec<Place>,
    winner: Place,
}

impl Tournament {
    /// Plays all matches; `places[i]` belongs to input `i`.
    pub(super) fn new(places: &[Place]) -> Self {
        let count = places.len();
        let mut winners = vec![EXHAUSTED; count];
        winners.extend_from_slice(places);
        let mut losers = vec![EXHAUSTED; count];
        for node in (1..count).rev() {
            let (left, right) = (winners[2 * node], winners[2 * node + 1]);
            (winners[node], losers[node]) = if right.goes_before(left) { (right, left) } else { (left, right) };
        }
        Self { losers, winner: winners.get(1).copied().unwrap_or(EXHAUSTED) }
    }

    /// The index of the input that comes next; meaningless once all are exhausted.
    #[inline(always)]
    pub(super) fn winner(&self) -> usize {
        self.winner.index as usize
    }

    /// Gives the winner a new place and finds the next winner.
    #[inline(always)]
    pub(super) fn replace_winner(&mut self, next: Place) {
        let losers = self.losers.as_mut_slice();
        let mut node = losers.len().wrapping_add(self.winner.index as usize) / 2;
        let mut winner = next;
        while node > 0 {
            let loser = losers[node];
            let loses = loser.goes_before(winner);
            losers[node] = Place::select(loses, winner, loser);
            winner = Place::select(loses, loser, winner);
            node /= 2;
        }
        self.winner = winner;
    }
}
