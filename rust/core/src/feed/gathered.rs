//! What an inlet has taken and not yet handed over, in the order in which its publisher brought it.

use std::collections::VecDeque;

use super::counters::Counters;
use super::held::Hold;
use super::inlet::Half;
use super::sums::Sums;
use super::window::Leaving;
use crate::ring::Consumer;
use crate::source::{Advance, Source as _};
use crate::tick::Tick;

#[derive(Default)]
pub(super) struct Gathered {
    /// The current slice, where it is not in the ring's own slots: these may be written again, or it never had one.
    pub slice: Vec<Tick>,
    /// What comes before all that was not taken, the first first: where several places had something, or more than a slice.
    queue: VecDeque<Tick>,
    /// Room for what is taken first and comes last.
    behind: Vec<Tick>,
    /// How many were taken that were in no ring and no table: summed trades, and what waited beside the ring.
    pub beside: u64,
}

impl Gathered {
    pub fn has_more(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How many were taken and are in no slice yet.
    pub fn left(&self) -> u64 {
        self.queue.len() as u64
    }

    /// The next slice of what was taken already; false: there is none.
    pub fn next_slice(&mut self, max: usize) -> bool {
        if self.queue.is_empty() {
            return false;
        }
        self.slice.extend(self.queue.drain(..max.min(self.queue.len())));
        true
    }

    /// Takes what the ring, or the table, has: to the slice, or to the queue where something stands before it.
    pub fn take(&mut self, half: &mut Half, counters: &Counters, hold: &mut Hold<'_>, max: usize) -> Advance {
        match half {
            Half::Gated(ring) => ring.advance(max),
            Half::DropOldest(ring) => {
                let count = ring.take(max, &mut self.slice);
                if count > 0 && ring.has_skipped() {
                    // A GAP may have given way: it comes before all that the ring still has. Whoever took it away has had the
                    // lock since before that, so that it is found here.
                    self.take_ready(counters, hold);
                    self.queue_slice();
                }
                match count {
                    0 if ring.is_drained() => Advance::End,
                    0 => Advance::Pending,
                    _ => Advance::Ready,
                }
            }
            Half::Conflated { quotes, others, sums } => {
                let count = take_some(others, max, &mut self.slice);
                let is_drained = others.is_drained();
                while count + self.behind.len() < max
                    && let Some((_, tick)) = quotes.take()
                {
                    self.behind.push(tick);
                }
                // What came before those quotes is seen by now, and goes first.
                if count < max && (others.pending() > 0 || hold.owes() || !sums.is_empty()) {
                    self.queue.extend(self.slice.drain(..));
                    self.take_older(others, sums, counters, hold);
                    self.queue.extend(self.behind.drain(..));
                } else {
                    self.slice.append(&mut self.behind);
                }
                let is_empty = self.slice.is_empty() && self.queue.is_empty();
                match is_empty {
                    true if is_drained && quotes.is_drained() && sums.is_empty() => Advance::End,
                    true => Advance::Pending,
                    false => Advance::Ready,
                }
            }
        }
    }

    /// Takes all that came before the quotes that were taken: the ring's records, GAP records without a slot, and what was
    /// summed when the ring was full. In this order, and with both locks held: as long as something waits in one of the latter
    /// the publisher puts none that comes later into one before it.
    #[cold]
    fn take_older(&mut self, others: &mut Consumer, sums: &Sums, counters: &Counters, hold: &mut Hold<'_>) {
        hold.inside();
        sums.take(|trades| {
            let mut left = others.pending() as usize;
            while left > 0 {
                let run = others.readable();
                let count = run.len().min(left);
                self.queue.extend(&run[..count]);
                others.release(count);
                left -= count;
            }
            self.take_ready(counters, hold);
            let before = self.queue.len();
            self.queue.extend(trades);
            self.beside += (self.queue.len() - before) as u64;
        });
    }

    /// Takes what waits beside the ring for a slot.
    fn take_ready(&mut self, counters: &Counters, hold: &mut Hold<'_>) {
        hold.pay(counters, |ready| {
            self.queue.extend(ready);
            self.beside += ready.len() as u64;
            ready.len()
        });
    }

    /// The slice comes behind what is in the queue.
    fn queue_slice(&mut self) {
        if !self.queue.is_empty() {
            self.queue.extend(self.slice.drain(..));
        }
    }

    /// Takes what waits beside an empty ring: what has no slot, then what leaves the window.
    pub fn take_beside(&mut self, counters: &Counters, hold: &mut Hold<'_>, leaving: Leaving) {
        self.take_ready(counters, hold);
        hold.let_out(leaving, usize::MAX, counters, &mut self.behind);
        self.beside += self.behind.len() as u64;
        self.queue.extend(self.behind.drain(..));
    }
}

/// Copies the ring's oldest records and frees their slots; says how many.
fn take_some(ring: &mut Consumer, max: usize, into: &mut Vec<Tick>) -> usize {
    let run = ring.readable();
    let count = run.len().min(max);
    into.extend_from_slice(&run[..count]);
    ring.release(count);
    count
}
