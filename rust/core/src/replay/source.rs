//! A recording as a source: the same slices, at the same times.

use std::collections::VecDeque;
use std::sync::Arc;

use super::entry::Mark;
use super::recording::{Piece, Recording};
use crate::feed::FeedEvent;
use crate::source::{Advance, Feeds, Slice, Source, Taken};
use crate::tick::Tick;

/// Brings what a live run took, in its order and by its clock.
#[derive(Debug)]
pub struct Replay {
    recording: Arc<Recording>,
    /// Which piece is the current one.
    at: usize,
    /// What feeds told before it.
    told: VecDeque<FeedEvent>,
}

impl Replay {
    /// From the start of `recording`.
    pub const fn new(recording: Arc<Recording>) -> Self {
        Self { recording, at: 0, told: VecDeque::new() }
    }

    fn piece(&self) -> &Piece {
        &self.recording.pieces[self.at]
    }

    fn ticks(&self) -> &[Tick] {
        &self.recording.ticks[self.piece().start..self.piece().start + self.piece().count]
    }

    fn is_last(&self) -> bool {
        self.at + 1 == self.recording.pieces.len()
    }
}

impl Source for Replay {
    /// A slice is brought as it was taken, whatever `max` is: where it ended, the clock went on.
    fn advance(&mut self, _max: usize) -> Advance {
        while !self.is_last() {
            self.at += 1;
            let Mark::Told(event) = self.piece().entry.mark else { break };
            self.told.push_back(event);
        }
        match self.piece().entry.mark {
            Mark::Taken { .. } => Advance::Ready,
            Mark::Start | Mark::Turn | Mark::Told(_) => Advance::Pending,
            Mark::Drained | Mark::End { .. } => Advance::End,
        }
    }

    fn current(&self) -> Slice<'_> {
        let feed = if let Mark::Taken { feed, .. } = self.piece().entry.mark { feed } else { 0 };
        Slice { ticks: self.ticks(), feeds: Feeds::One(feed), block: None }
    }

    fn remaining(&self) -> Option<u64> {
        Some((self.recording.ticks.len() - self.piece().start - self.piece().count) as u64)
    }

    fn taken(&mut self) -> Option<Taken> {
        let entry = self.piece().entry;
        let (publisher, waiting) =
            if let Mark::Taken { publisher, waiting, .. } = entry.mark { (publisher, waiting) } else { (0, 0) };
        Some(Taken { now_ns: entry.now_ns, publisher, waiting })
    }

    fn event(&mut self) -> Option<FeedEvent> {
        self.told.pop_front()
    }

    fn end_ns(&mut self) -> Option<i64> {
        self.at = self.recording.pieces.len() - 1;
        Some(self.piece().entry.now_ns)
    }

    fn is_recorded(&self) -> bool {
        true
    }

    fn is_turn(&self) -> bool {
        matches!(self.piece().entry.mark, Mark::Turn)
    }

    fn started_at(&self) -> Option<u64> {
        let first = self.recording.pieces.iter().find(|piece| piece.entry.mark != Mark::Start);
        first.map(|piece| piece.entry.position)
    }

    fn goes_on_behind(&self) -> bool {
        matches!(self.piece().entry.mark, Mark::Drained) && !self.is_last()
    }

    fn cut_at(&self) -> Option<u64> {
        let last = self.recording.pieces.last()?;
        (!self.recording.is_complete()).then_some(last.entry.position)
    }
}
