//! The loop's end of the lanes: whose turn it is.
//!
//! A command costs a credit and a tick earns one. So a flood of commands, whatever its lane, leaves ticks at least half
//! of the steps, and a few commands among many ticks are served at once. The last of the credit is the first lane's.

use std::fmt;

use super::lanes::{Counts, Lane};
use crate::ring::CommandConsumer;
use crate::stop::{CONTROL, OTHERS, StopFlag};
use crate::sync::{Arc, Ordering};

/// Most commands in a row while ticks wait, and most ticks in a row while commands wait that have used up their credit:
/// at a microsecond each, either side waits for less than the 100 us within which a command of the first lane is served.
pub const QUANTUM: u32 = 64;

/// Credit that only the first lane may use: whatever floods the others, a command that stops something waits for no tick.
pub const RESERVE: u32 = 8;

/// One in so many goes to the last lane before the middle one, so that a flood there does not stop it for good.
const BACKGROUND_TURN: u32 = 8;

/// The reading half; the dispatch thread has it.
pub struct Inbox<T> {
    lanes: [CommandConsumer<T>; 3],
    counts: Arc<Counts>,
    attention: Arc<StopFlag>,
    /// Which calls were answered while their commands were left.
    owed: u32,
    credit: u32,
    turn: u32,
    /// Ticks that have earned their credit.
    noted: u64,
}

impl<T: Send> Inbox<T> {
    pub(super) fn new(lanes: [CommandConsumer<T>; 3], counts: Arc<Counts>, attention: Arc<StopFlag>) -> Self {
        Self { lanes, counts, attention, owed: 0, credit: QUANTUM, turn: 0, noted: 0 }
    }

    /// Whether something waits: one load, where nothing does.
    #[inline(always)]
    pub fn is_called(&self) -> bool {
        self.owed != 0 || self.attention.asks(CONTROL | OTHERS)
    }

    /// Whether commands of whatever lane wait that ticks go before.
    pub fn is_spent(&self) -> bool {
        self.credit == 0 && self.is_called()
    }

    /// Whether commands wait that ticks go before, be it only those behind the first lane.
    pub fn is_short(&self) -> bool {
        self.credit <= RESERVE && self.is_called()
    }

    /// `ticks` were taken since the run began.
    pub fn note(&mut self, ticks: u64) {
        let earned = u32::try_from(ticks - self.noted).unwrap_or(u32::MAX);
        self.noted = ticks;
        self.credit = self.credit.saturating_add(earned).min(QUANTUM);
    }

    /// Nothing else waits: commands need no credit now.
    pub fn refill(&mut self) {
        self.credit = QUANTUM;
    }

    /// The next command that may be taken now.
    pub fn take(&mut self) -> Option<(Lane, T)> {
        if self.credit == 0 {
            return None;
        }
        // First the call is taken back, then the lanes are looked at: what comes later calls again.
        self.owed |= self.attention.answer(CONTROL | OTHERS);
        let found = self.first();
        if found.is_some() {
            self.credit -= 1;
        }
        found
    }

    /// The next command, whatever the credit: for the end of a run.
    pub fn drain(&mut self) -> Option<(Lane, T)> {
        self.refill();
        self.owed = CONTROL | OTHERS;
        self.first()
    }

    fn first(&mut self) -> Option<(Lane, T)> {
        if self.owed & CONTROL != 0 {
            if let Some(command) = self.pop(Lane::Control) {
                return Some((Lane::Control, command));
            }
            self.owed &= !CONTROL;
        }
        if self.owed & OTHERS == 0 || self.credit <= RESERVE {
            return None;
        }
        self.turn = (self.turn + 1) % BACKGROUND_TURN;
        let order = if self.turn == 0 { [Lane::Background, Lane::Normal] } else { [Lane::Normal, Lane::Background] };
        let found = order.into_iter().find_map(|lane| self.pop(lane).map(|command| (lane, command)));
        if found.is_none() {
            self.owed &= !OTHERS;
        }
        found
    }

    fn pop(&mut self, lane: Lane) -> Option<T> {
        let command = self.lanes[lane as usize].pop()?;
        self.counts.taken[lane as usize].fetch_add(1, Ordering::Relaxed);
        Some(command)
    }

    /// How many commands wait.
    pub fn pending(&self) -> u64 {
        self.lanes.iter().map(CommandConsumer::pending).sum()
    }

    /// Takes no more commands; what was sent can still be taken.
    pub fn close(&self) {
        self.lanes.iter().for_each(CommandConsumer::close);
    }

    /// Whether the lanes are closed and everything was taken.
    pub fn is_drained(&self) -> bool {
        self.lanes.iter().all(CommandConsumer::is_drained)
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbox(credit {})", self.credit)
    }
}
