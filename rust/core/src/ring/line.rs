//! A record that one thread writes while others read it: a seqlock over relaxed words, never torn.
//!
//! After Boehm, *Can seqlocks get along with programming language memory models?* (MSPC 2012).

use std::mem::MaybeUninit;

use crate::sync::{AtomicU64, CARRIED_WORDS, Ordering, fence};
use crate::tick::{TICK_SIZE, Tick};

const WORD: usize = size_of::<u64>();

/// A record's 64 bytes, on a cache line of their own.
#[repr(align(64))]
pub(super) struct Words([AtomicU64; CARRIED_WORDS.len()]);

impl Words {
    pub(super) fn new() -> Self {
        Self(CARRIED_WORDS.map(|_| AtomicU64::new(0)))
    }
}

/// The 64 bytes of a record, and apart from them the stamp that says which record they are.
///
/// Version `v` has the stamp `2 * v` when it is whole and `2 * v - 1` while it is written; 0 stands for nothing yet.
/// Versions wrap as sequences do, at 2^63.
pub(super) struct Line<'a> {
    pub words: &'a Words,
    pub stamp: &'a AtomicU64,
}

/// What a reader found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found {
    /// Version and record.
    Whole(u64, Tick),
    /// It is being written, or was while it was read.
    Torn,
}

impl Line<'_> {
    /// Writes `tick` as `version`. Only ever called by one thread, with versions that go on.
    pub(super) fn write(&self, version: u64, tick: &Tick) {
        // Relaxed, and kept before the words by the fence; partner: the second look of `read_into`.
        let whole = version.wrapping_mul(2);
        self.stamp.store(whole.wrapping_sub(1), Ordering::Relaxed);
        fence(Ordering::Release);
        let bytes = tick.as_bytes();
        for (word, &place) in self.words.0.iter().zip(&CARRIED_WORDS) {
            let part = bytes[place * WORD..][..WORD].try_into().expect("a word is eight bytes");
            // Relaxed: the stamps say whether what was read belongs together.
            word.store(u64::from_ne_bytes(part), Ordering::Relaxed);
        }
        // Release; partner: the first look of `read_into`.
        self.stamp.store(whole, Ordering::Release);
    }

    /// The record as it stands, if nobody writes it meanwhile.
    pub(super) fn read(&self) -> Found {
        let mut tick = MaybeUninit::uninit();
        match self.read_into(&mut tick) {
            // SAFETY: it was written, as there is a version.
            Some(version) => Found::Whole(version, unsafe { tick.assume_init() }),
            None => Found::Torn,
        }
    }

    /// The same to `into`, which is initialised where this gives the record's version.
    ///
    /// Word by word to where the record is wanted: a copy in between, written by words and read by larger pieces, made the
    /// processor wait for its own stores, twice a record.
    #[inline(always)]
    pub(super) fn read_into(&self, into: &mut MaybeUninit<Tick>) -> Option<u64> {
        // Acquire; partner: the last store of `write`.
        let before = self.stamp.load(Ordering::Acquire);
        if !before.is_multiple_of(2) {
            return None;
        }
        if CARRIED_WORDS.len() * WORD < TICK_SIZE {
            into.write(Tick::from_bytes(&[0; TICK_SIZE]));
        }
        let words = into.as_mut_ptr().cast::<u64>();
        for (word, &place) in self.words.0.iter().zip(&CARRIED_WORDS) {
            // SAFETY: a record is eight aligned words, of which `place` is one, and any bytes are a record.
            unsafe { words.add(place).write(word.load(Ordering::Relaxed)) };
        }
        fence(Ordering::Acquire);
        // Relaxed, and kept behind the words by the fence; partner: the first store of `write`.
        if self.stamp.load(Ordering::Relaxed) != before {
            return None;
        }
        Some(before / 2)
    }
}

const _: () = assert!(TICK_SIZE == 8 * WORD && align_of::<Tick>() >= align_of::<u64>(), "a record is eight words");
