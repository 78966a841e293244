//! Which instruments a feed is about: those that it was opened with, and those that have come.

use crate::sync::{AtomicU64, Ordering};

/// A set that only grows, shared by the publishers of a feed and the loop.
#[derive(Debug)]
pub(super) struct Seen {
    /// Relaxed, all of it: who looks wants the set as far as it has come, and nothing with it.
    words: Box<[AtomicU64]>,
}

impl Seen {
    /// None of `instruments`.
    pub fn new(instruments: usize) -> Self {
        Self { words: std::iter::repeat_with(|| AtomicU64::new(0)).take(instruments.div_ceil(64)).collect() }
    }

    /// One that the run does not have is left out.
    pub fn add(&self, instrument: u32) {
        if let Some(word) = self.words.get(instrument as usize / 64) {
            word.fetch_or(1 << (instrument % 64), Ordering::Relaxed);
        }
    }

    pub fn contains(&self, instrument: u32) -> bool {
        let word = self.words.get(instrument as usize / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) & 1 << (instrument % 64) != 0)
    }

    /// All of them, by number.
    pub fn numbers(&self) -> Vec<u32> {
        (0..self.words.len() as u32 * 64).filter(|&instrument| self.contains(instrument)).collect()
    }
}
