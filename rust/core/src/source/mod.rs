//! Where records come from: the trait behind which files, arrays, merges and rings hand contiguous slices to the loop.

mod array;

pub use array::ArraySource;

use std::ops::Range;

use crate::block::TickBlock;
use crate::feed::{FeedAccount, FeedEvent};
use crate::tick::Tick;

/// Which feed each record of a slice came from.
#[derive(Clone, Copy, Debug)]
pub enum Feeds<'a> {
    /// All from this one.
    One(u32),
    /// `feeds[i]` for record `i`; as long as the slice.
    Each(&'a [u32]),
}

impl Feeds<'_> {
    /// The feed of record `index`.
    #[inline]
    pub fn at(&self, index: usize) -> u32 {
        match self {
            Self::One(feed) => *feed,
            Self::Each(feeds) => feeds[index],
        }
    }
}

impl<'a> Feeds<'a> {
    fn part(self, range: Range<usize>) -> Self {
        match self {
            Self::One(feed) => Self::One(feed),
            Self::Each(feeds) => Self::Each(&feeds[range]),
        }
    }
}

/// A contiguous run of records in loop order.
#[derive(Clone, Copy, Debug)]
pub struct Slice<'a> {
    /// The records.
    pub ticks: &'a [Tick],
    /// Where they came from.
    pub feeds: Feeds<'a>,
    /// The block that begins with these records, where they may be shown to users as a view. `None`: the memory will
    /// be written again, and whoever wants to keep records copies them.
    pub block: Option<&'a TickBlock>,
}

impl<'a> Slice<'a> {
    /// Its first `count` records, or all; they keep their places.
    #[inline]
    pub fn first(&self, count: usize) -> Self {
        let count = count.min(self.ticks.len());
        Self { ticks: &self.ticks[..count], feeds: self.feeds.part(0..count), block: self.block }
    }
}

/// What [`Source::advance`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// `current` holds a new slice of at least one record.
    Ready,
    /// Nothing now; there may be later (rings).
    Pending,
    /// Nothing ever again.
    End,
}

/// When and whence the loop took a slice, in a run that goes by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The clock, ns UTC; never less than before.
    pub now_ns: i64,
    /// Which publisher the slice is from; 0 where there is no slice.
    pub publisher: u32,
    /// How many records of that publisher wait, the slice among them.
    pub waiting: u64,
}

/// Hands the loop its records, slice by slice.
///
/// A slice stays valid and unchanged from the `advance` that made it to the next call of `advance`.
pub trait Source: Send {
    /// Leaves the current slice and finds the next, of at most `max` (> 0) records.
    fn advance(&mut self, max: usize) -> Advance;

    /// The slice that the last `advance` found; empty before the first and after the end.
    fn current(&self) -> Slice<'_>;

    /// How many records are still to come, the current slice not among them, where that is known.
    fn remaining(&self) -> Option<u64>;

    /// When its current slice was taken, or what time it is where there is none; asked at the start and after each
    /// `advance`. `None`: its records bear the time that orders them.
    fn taken(&mut self) -> Option<Taken> {
        None
    }

    /// What time it is when the run ends; asked once, last.
    fn end_ns(&mut self) -> Option<i64> {
        self.taken().map(|taken| taken.now_ns)
    }

    /// The run is over: whoever brings it records is told. Called once.
    fn finish(&mut self) {}

    /// When it has something of its own to bring where nothing arrives; ns UTC, `i64::MAX`: never.
    fn next_due_ns(&self) -> i64 {
        i64::MAX
    }

    /// Whether it is what a live run has taken: a run over it ends where that one did, and by nothing else.
    fn is_recorded(&self) -> bool {
        false
    }

    /// Whether the run that it was recorded of had a turn without a slice here, whatever that had to do.
    fn is_turn(&self) -> bool {
        false
    }

    /// The loop position of a recorded run when it had started its strategies, or was stopped before it had started them all.
    fn started_at(&self) -> Option<u64> {
        None
    }

    /// Whether something of a recorded run stands behind the end of its data: a live run goes on for orders that have left.
    fn goes_on_behind(&self) -> bool {
        false
    }

    /// At which loop position the run was stopped that it brings again; `None`: its end is that of its data.
    fn cut_at(&self) -> Option<u64> {
        None
    }

    /// What the feeds behind it have to tell, the first first; asked after each `advance`.
    fn event(&mut self) -> Option<FeedEvent> {
        None
    }

    /// The exact accounts of the feeds behind it, where they have any.
    fn accounts(&mut self) -> Vec<FeedAccount> {
        Vec::new()
    }
}
