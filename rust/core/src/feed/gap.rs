//! GAP records: what is missing before the next record of an instrument.
//!
//! Their values are the first and the last number that are missing, how many the source left out of them (0: not known), and
//! why. Where that many are not known, `sequence` is the last number before them.

use crate::tick::{Kind, Tick};

/// The third value: how many are missing is not known.
const UNKNOWN: f64 = 0.0;

/// The fourth: the source was gone.
pub(super) const RECONNECTED: f64 = 1.0;
/// It counts anew.
pub(super) const RENUMBERED: f64 = 2.0;

pub(super) const fn is_gap(tick: &Tick) -> bool {
    tick.kind == Kind::Gap as u8
}

/// The numbers from `first` to `last` are missing before `next`.
pub(super) fn jumped(next: &Tick, first: u64, last: u64) -> Tick {
    let count = last.wrapping_sub(first).wrapping_add(1);
    mark(next, last, [first as f64, last as f64, count as f64, 0.0])
}

/// The source counts anew with `next`; `last` was the number before.
pub(super) fn renumbered(next: &Tick, last: u64) -> Tick {
    mark(next, last, [0.0, 0.0, UNKNOWN, RENUMBERED])
}

const fn mark(next: &Tick, sequence: u64, values: [f64; 4]) -> Tick {
    Tick { sequence, kind: Kind::Gap as u8, side: 0, flags: 0, values, ..*next }
}

/// The source was gone: what is missing is not known, only the last number before it.
pub(super) const fn gone(instrument: u32, last: u64, now_ns: i64) -> Tick {
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

/// One for both, of one instrument: from the first number that is missing to the last, as many as the source left out. Where
/// one of them does not know, or the numbers do not go on, neither does it.
pub(super) fn merged(earlier: &Tick, later: &Tick) -> Tick {
    let [first, end, count, why] = earlier.values;
    let [next, last, more, other_why] = later.values;
    if count > UNKNOWN && more > UNKNOWN && next > end {
        return Tick { values: [first, last, count + more, why.max(other_why)], ..*later };
    }
    let before = if count > UNKNOWN { (first as u64).saturating_sub(1) } else { earlier.sequence };
    let known_why = why.max(other_why);
    let why = if known_why > 0.0 { known_why } else { RENUMBERED };
    Tick { sequence: before, values: [0.0, 0.0, UNKNOWN, why], ..*later }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_gaps_are_one_as_far_as_that_is_honest() {
        let next = Tick::quote(9, 1, 1.0, 2.0, 1.0, 1.0);
        let (first, second) = (jumped(&next, 5, 6), jumped(&next, 9, 9));
        assert_eq!((merged(&first, &second).values, merged(&first, &second).sequence), ([5.0, 9.0, 3.0, 0.0], 9));
        let anew = merged(&second, &first);
        assert_eq!((anew.values, anew.sequence), ([0.0, 0.0, 0.0, RENUMBERED], 8), "its numbers go back");
        let lost = merged(&first, &gone(1, 7, 20));
        assert_eq!((lost.values, lost.sequence, lost.ts_event), ([0.0, 0.0, 0.0, RECONNECTED], 4, 20));
        assert_eq!(merged(&gone(1, 7, 20), &second).sequence, 7);
    }
}
