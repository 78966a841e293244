//! Where records come from: the trait behind which files, arrays, merges and rings hand contiguous slices to the loop.

mod array;

pub use array::ArraySource;

use std::ops::Range;

use crate::block::TickBlock;
use crate::feed::FeedAccount;
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

    /// Whether the feeds behind it have accounts, and each slice comes from one of them.
    fn keeps_accounts(&self) -> bool {
        false
    }

    /// The exact accounts of the feeds behind it, where they have any.
    fn accounts(&mut self) -> Vec<FeedAccount> {
        Vec::new()
    }
}
