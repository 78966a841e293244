//! Collects the ticks of one batch subscriber until an edge.

use std::ops::Range;

use crate::block::TickBlock;
use crate::source::Slice;
use crate::tick::Tick;

/// Where a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchEdges {
    /// After this many ticks (at least 1).
    pub max_ticks: usize,
    /// At each multiple of this many ns since the Unix epoch; 0: never.
    pub window_ns: i64,
}

/// The ticks collected since the last edge.
///
/// While they are contiguous in the present slice only their range is noted; what lies in slices that are gone was
/// copied out. A batch within one slice of a file or an array is handed over as a view.
#[derive(Debug)]
pub struct Batcher {
    edges: BatchEdges,
    run: Range<usize>,
    copied: Vec<Tick>,
    /// How many of them the loop made itself: they are in no account.
    made: usize,
    window_end: i64,
}

impl Batcher {
    /// Nothing collected.
    pub fn new(edges: BatchEdges) -> Self {
        Self { edges, run: 0..0, copied: Vec::new(), made: 0, window_end: i64::MAX }
    }

    /// How many ticks are collected.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.run.len() + self.copied.len()
    }

    /// The first key that is beyond the window of what is collected; `i64::MAX` where there is none.
    #[inline]
    pub fn window_end(&self) -> i64 {
        self.window_end
    }

    /// Takes record `index` of `slice`, whose key is `key`. `true`: the batch is full.
    #[inline(always)]
    pub fn push(&mut self, slice: &Slice<'_>, index: usize, key: i64) -> bool {
        if self.run.end == index && !self.run.is_empty() {
            self.run.end = index + 1;
        } else {
            self.begin_run(slice, index, key);
        }
        self.len() >= self.edges.max_ticks
    }

    /// Whether the next tick cannot open a window: there are none, or one is open.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.edges.window_ns == 0 || self.window_end < i64::MAX
    }

    /// How many of the ticks collected came by a feed.
    pub fn input_count(&self) -> usize {
        self.len() - self.made
    }

    /// Takes a record that the loop made, with the time of its input before. `true`: the batch is full.
    pub fn push_made(&mut self, slice: &Slice<'_>, tick: &Tick) -> bool {
        self.leave_slice(slice);
        self.copied.push(*tick);
        self.made += 1;
        self.len() >= self.edges.max_ticks
    }

    /// How many ticks fill the batch.
    #[inline]
    pub fn room(&self) -> usize {
        self.edges.max_ticks - self.len()
    }

    /// Takes the records `range` of `slice`, at most [`Self::room`], while [`Self::is_open`]. `true`: the batch is full.
    pub fn push_run(&mut self, slice: &Slice<'_>, range: Range<usize>) -> bool {
        if self.run.end == range.start && !self.run.is_empty() {
            self.run.end = range.end;
        } else {
            self.leave_slice(slice);
            self.run = range;
        }
        self.len() >= self.edges.max_ticks
    }

    fn begin_run(&mut self, slice: &Slice<'_>, index: usize, key: i64) {
        if self.window_end == i64::MAX && self.edges.window_ns > 0 {
            let start = key.div_euclid(self.edges.window_ns).saturating_mul(self.edges.window_ns);
            self.window_end = start.saturating_add(self.edges.window_ns);
        }
        self.leave_slice(slice);
        self.run = index..index + 1;
    }

    /// Copies out what is collected of `slice`, which is about to go.
    pub fn leave_slice(&mut self, slice: &Slice<'_>) {
        if !self.run.is_empty() {
            self.copied.extend_from_slice(&slice.ticks[self.run.clone()]);
        }
        self.run = 0..0;
    }

    /// Hands over what is collected, `slice` being the present one, and begins anew.
    pub fn take(&mut self, slice: &Slice<'_>) -> TickBlock {
        self.window_end = i64::MAX;
        self.made = 0;
        if let (true, Some(block)) = (self.copied.is_empty(), slice.block) {
            return block.slice(std::mem::replace(&mut self.run, 0..0));
        }
        self.leave_slice(slice);
        TickBlock::from_vec(std::mem::take(&mut self.copied))
    }

    /// Drops what is collected and says how much of it came by a feed.
    pub fn discard(&mut self) -> usize {
        let count = self.input_count();
        (self.run, self.window_end, self.made) = (0..0, i64::MAX, 0);
        self.copied.clear();
        count
    }
}
