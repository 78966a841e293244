//! A record that one thread writes while others read it: a seqlock over relaxed words, never torn.
//!
//! After Boehm, *Can seqlocks get along with programming language memory models?* (MSPC 2012).

use crate::sync::{AtomicU64, CARRIED_WORDS, Ordering, fence};
use crate::tick::{TICK_SIZE, Tick};

const WORD: usize = size_of::<u64>();

/// The 64 bytes of a record, and apart from them the stamp that says which record they are.
///
/// Version `v` has the stamp `2 * v` when it is whole and `2 * v - 1` while it is written; 0 stands for nothing yet.
/// Versions wrap as sequences do, at 2^63.
pub(super) struct Line {
    words: Words,
    stamp: AtomicU64,
}

/// On a cache line of its own.
#[repr(align(64))]
struct Words([AtomicU64; CARRIED_WORDS.len()]);

/// What a reader found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found {
    /// Version and record.
    Whole(u64, Tick),
    /// It is being written, or was while it was read.
    Torn,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { words: Words(CARRIED_WORDS.map(|_| AtomicU64::new(0))), stamp: AtomicU64::new(0) }
    }

    /// Writes `tick` as `version`. Only ever called by one thread, with versions that go on.
    pub(super) fn write(&self, version: u64, tick: &Tick) {
        // Relaxed, and kept before the words by the fence; partner: the second look of `read`.
        let whole = version.wrapping_mul(2);
        self.stamp.store(whole.wrapping_sub(1), Ordering::Relaxed);
        fence(Ordering::Release);
        let bytes = tick.as_bytes();
        for (word, &place) in self.words.0.iter().zip(&CARRIED_WORDS) {
            let part = bytes[place * WORD..][..WORD].try_into().expect("a word is eight bytes");
            // Relaxed: the stamps say whether what was read belongs together.
            word.store(u64::from_ne_bytes(part), Ordering::Relaxed);
        }
        // Release; partner: the first look of `read`.
        self.stamp.store(whole, Ordering::Release);
    }

    /// The record as it stands, if nobody writes it meanwhile.
    pub(super) fn read(&self) -> Found {
        // Acquire; partner: the last store of `write`.
        let before = self.stamp.load(Ordering::Acquire);
        if !before.is_multiple_of(2) {
            return Found::Torn;
        }
        let mut bytes = [0; TICK_SIZE];
        for (word, &place) in self.words.0.iter().zip(&CARRIED_WORDS) {
            bytes[place * WORD..][..WORD].copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        fence(Ordering::Acquire);
        // Relaxed, and kept behind the words by the fence; partner: the first store of `write`.
        if self.stamp.load(Ordering::Relaxed) != before {
            return Found::Torn;
        }
        Found::Whole(before / 2, Tick::from_bytes(&bytes))
    }
}
