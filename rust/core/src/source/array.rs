//! One block of records, in its own order: an array in memory or a mapped file.

use super::{Advance, Feeds, Slice, Source};
use crate::block::TickBlock;

/// Hands out one block without copying.
#[derive(Debug)]
pub struct ArraySource {
    block: TickBlock,
    feed: u32,
    next: usize,
    current: TickBlock,
}

impl ArraySource {
    /// The records of `block` as feed number `feed`.
    pub fn new(block: TickBlock, feed: u32) -> Self {
        let current = block.slice(0..0);
        Self { block, feed, next: 0, current }
    }
}

impl Source for ArraySource {
    fn advance(&mut self, max: usize) -> Advance {
        let end = self.next.saturating_add(max).min(self.block.len());
        self.current = self.block.slice(self.next..end);
        self.next = end;
        if self.current.is_empty() { Advance::End } else { Advance::Ready }
    }

    fn current(&self) -> Slice<'_> {
        Slice { ticks: self.current.as_slice(), feeds: Feeds::One(self.feed), block: Some(&self.current) }
    }

    fn remaining(&self) -> Option<u64> {
        Some((self.block.len() - self.next) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tick::Tick;

    #[test]
    fn hands_out_every_record_once_at_any_slice_length() {
        let ticks: Vec<Tick> = (0..10).map(|t| Tick::quote(t, 0, 1.0, 2.0, 1.0, 1.0)).collect();
        for max in [1, 3, 10, 99] {
            let mut source = ArraySource::new(TickBlock::from_vec(ticks.clone()), 7);
            let mut seen = Vec::new();
            while source.advance(max) == Advance::Ready {
                assert!(source.current().ticks.len() <= max);
                seen.extend_from_slice(source.current().ticks);
            }
            assert_eq!(seen, ticks);
            assert!(source.current().ticks.is_empty());
        }
    }
}
