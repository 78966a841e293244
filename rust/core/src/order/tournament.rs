//! A tree of losers: which of k inputs comes next, in log2(k) comparisons without a branch on their outcome.

/// An input's place in the order as one number: the key in the upper half, the input's index in the lower.
///
/// One number, because the comparison then compiles to a conditional move; with random feeds a branch here is mistaken
/// every second time.
pub(super) type Place = u128;

/// The place of an input without further records: after every other.
pub(super) const EXHAUSTED: Place = Place::MAX;

/// The place of input `index` whose next record has `key`.
#[inline(always)]
pub(super) fn place(key: i64, index: u32) -> Place {
    let unsigned_order = (key as u64) ^ (1 << 63);
    (Place::from(unsigned_order) << 64) | Place::from(index)
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
            winners[node] = left.min(right);
            losers[node] = left.max(right);
        }
        Self { losers, winner: winners.get(1).copied().unwrap_or(EXHAUSTED) }
    }

    /// The index of the input that comes next; meaningless once all are exhausted.
    #[inline(always)]
    pub(super) fn winner(&self) -> usize {
        self.winner as u32 as usize
    }

    /// Gives the winner a new place and finds the next winner.
    #[inline(always)]
    pub(super) fn replace_winner(&mut self, next: Place) {
        let mut node = (self.losers.len() + self.winner()) / 2;
        let mut winner = next;
        while node > 0 {
            let loser = self.losers[node];
            self.losers[node] = winner.max(loser);
            winner = winner.min(loser);
            node /= 2;
        }
        self.winner = winner;
    }
}
