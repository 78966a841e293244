//! The numbers that a source gives its records: what comes again, what was left out, and a source that counts anew.

use std::collections::HashMap;

use super::counters::Counters;
use super::gap;
use super::policy::Numbering;
use crate::tick::{Kind, Tick};

/// Who is further behind than this does not repeat itself, but counts anew: repetitions after a lost connection are some
/// thousands of records at most.
pub const MAX_BEHIND: u64 = 1 << 16;

/// Nor does who has been behind so often without a break: it would be silent until it has caught up.
pub const MAX_REPEATED: u32 = 1 << 10;

/// The last numbers of one publisher's source, by instrument or all together.
#[derive(Debug)]
pub(super) struct Numbers {
    numbering: Numbering,
    counted: HashMap<u32, Counted>,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    last: u64,
    /// How many in a row were behind it.
    behind: u32,
}

/// What the number of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing is missing before it.
    Next,
    /// The record was there.
    Again,
    /// Those between are missing.
    Jump { first: u64, last: u64 },
    /// The source counts anew.
    Anew { last: u64 },
}

impl Numbers {
    pub fn new(numbering: Numbering) -> Self {
        Self { numbering, counted: HashMap::new() }
    }

    /// Most records that become of one.
    pub const fn most_at_once(&self) -> usize {
        match self.numbering {
            Numbering::Ignored => 1,
            Numbering::ByInstrument | Numbering::ByPublisher => 2,
        }
    }

    fn key(&self, instrument: u32) -> u32 {
        if self.numbering == Numbering::ByInstrument { instrument } else { u32::MAX }
    }

    /// Whether `tick` has a number that says something. A bar has its volume there, and 0 is none.
    fn is_numbered(&self, tick: &Tick) -> bool {
        self.numbering != Numbering::Ignored && tick.kind != Kind::Bar as u8 && tick.sequence != 0
    }

    /// What the number of `tick` says, which counts as seen only by [`Self::accept`]; that it comes again is counted at once.
    #[inline]
    pub fn look(&mut self, tick: &Tick) -> Said {
        if !self.is_numbered(tick) {
            return Said::Next;
        }
        let key = self.key(tick.instrument);
        let Some(counted) = self.counted.get_mut(&key) else { return Said::Next };
        let said = said(counted.last, tick.sequence);
        if said != Said::Again {
            return said;
        }
        counted.behind += 1;
        if counted.behind > MAX_REPEATED { Said::Anew { last: counted.last } } else { Said::Again }
    }

    /// `tick` goes on, behind a GAP where one is due.
    #[inline]
    pub fn accept(&mut self, tick: &Tick, said: Said, counters: &Counters, out: &mut Vec<Tick>) {
        let gap = match said {
            Said::Next | Said::Again => None,
            Said::Jump { first, last } => Some(gap::jumped(tick, first, last)),
            Said::Anew { last } => Some(gap::renumbered(tick, last)),
        };
        if let Some(gap) = gap {
            counters.gaps.add(1);
            counters.made.add(1);
            out.push(gap);
        }
        if self.is_numbered(tick) {
            self.counted.insert(self.key(tick.instrument), Counted { last: tick.sequence, behind: 0 });
        }
        out.push(*tick);
    }

    /// The last number of an instrument; 0: none has come.
    pub fn last(&self, instrument: u32) -> u64 {
        self.counted.get(&self.key(instrument)).map_or(0, |counted| counted.last)
    }

    /// The source counts anew, as it says itself.
    pub fn forget(&mut self) {
        self.counted.clear();
    }
}

/// What `number` says after `last`. Numbers go round at 2^64, and leave out 0, which is none.
fn said(last: u64, number: u64) -> Said {
    if number > last {
        return if number - last == 1 { Said::Next } else { Said::Jump { first: last + 1, last: number - 1 } };
    }
    let behind = last - number;
    if behind <= MAX_BEHIND {
        return Said::Again;
    }
    match number.wrapping_sub(last) {
        2 if number == 1 => Said::Next,
        _ => Said::Anew { last },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(numbers: impl IntoIterator<Item = u64>) -> (Vec<(u8, u64)>, u64, u64) {
        let (counters, mut all, mut out) = (Counters::default(), Numbers::new(Numbering::ByPublisher), Vec::new());
        for sequence in numbers {
            let tick = Tick { sequence, ..Tick::quote(1, 0, 1.0, 2.0, 1.0, 1.0) };
            match all.look(&tick) {
                Said::Again => counters.duplicates.add(1),
                said => all.accept(&tick, said, &counters, &mut out),
            }
        }
        (out.iter().map(|tick| (tick.kind, tick.sequence)).collect(), counters.duplicates.get(), counters.gaps.get())
    }

    #[test]
    fn a_source_that_counts_anew_is_heard_and_one_that_repeats_itself_is_not() {
        let far = MAX_BEHIND + 10;
        assert_eq!(run([far, 9, 10]), (vec![(1, far), (4, far), (1, 9), (1, 10)], 0, 1));
        assert_eq!(run([far, 10, 11]), (vec![(1, far)], 2, 0), "as far behind as a repetition may be");
        let (seen, duplicates, gaps) = run((1..=2_000).chain(1..=1_500));
        assert_eq!((duplicates, gaps), (u64::from(MAX_REPEATED), 1), "behind for too long");
        assert_eq!(seen[2_000..2_002], [(4, 2_000), (1, 1_025)]);
        let (seen, duplicates, gaps) = run((1..=2_000).chain(1_500..=2_001));
        assert_eq!((seen.len(), duplicates, gaps), (2_001, 501, 0), "a connection that was lost repeats, and goes on");
    }

    #[test]
    fn numbers_go_round() {
        const END: u64 = u64::MAX;
        assert_eq!(run([END - 1, END, 0, 1, 2]), (vec![(1, END - 1), (1, END), (1, 0), (1, 1), (1, 2)], 0, 0));
        assert_eq!(run([END, 1]).2, 0);
        assert_eq!(run([END - 3, 3, 4]), (vec![(1, END - 3), (4, END - 3), (1, 3), (1, 4)], 0, 1));
        assert_eq!(
            run([5, 1 << 63, 6, 7]).0[3..],
            [(4, 1 << 63), (1, 6), (1, 7)],
            "one that is absurd does no lasting harm"
        );
    }
}
