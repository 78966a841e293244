//! The conflation table: of each key the latest record, handed over in the order in which keys came.
//!
//! A key waits once, however often its record is replaced, so the queue of keys cannot fill and memory cannot grow. Every
//! record that was put in is handed over or counted as conflated, exactly.

use std::fmt;

use thiserror::Error;

use super::line::{Found, Line, Words};
use super::padded::Padded;
use super::sequence::{after, distance};
use crate::sync::{Arc, AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::tick::Tick;

/// Most keys: an entry takes two cache lines.
pub const MAX_KEYS: usize = 1 << 22;

/// How often a record that is being replaced is looked at before it is left for the next time.
const TRIES: usize = 4;

/// Why there is no table of the wanted size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a conflation table of {keys} keys; it takes 1 to {MAX_KEYS}")]
pub struct KeysError {
    /// What was asked for.
    pub keys: usize,
}

struct Entry {
    words: Words,
    stamp: AtomicU64,
    /// Whether the key waits to be taken.
    waits: AtomicBool,
}

impl Entry {
    fn new() -> Self {
        Self { words: Words::new(), stamp: AtomicU64::new(0), waits: AtomicBool::new(false) }
    }

    fn line(&self) -> Line<'_> {
        Line { words: &self.words, stamp: &self.stamp }
    }
}

struct Shared {
    entries: Box<[Entry]>,
    /// Keys that wait, in the order in which they came; as many places as keys, or more.
    queue: Box<[AtomicU32]>,
    /// The sequence after the last key that entered the queue; written by the writer.
    tail: Padded<AtomicU64>,
    /// The key that is taken next; written by the reader, who has it too, for a glance. Relaxed: of one thread.
    head: Padded<AtomicU64>,
    /// How many records were put in. Relaxed: a count, with which nothing else is read.
    put: AtomicU64,
    is_closed: AtomicBool,
}

impl Shared {
    fn place(&self, sequence: u64) -> &AtomicU32 {
        &self.queue[(sequence & (self.queue.len() as u64 - 1)) as usize]
    }
}

/// The half that puts records in; one thread at a time has it. Dropping it closes the table.
pub struct ConflationWriter {
    shared: Arc<Shared>,
    tail: u64,
    /// How many records each key was given.
    versions: Box<[u64]>,
    put: u64,
}

/// The half that takes them out; one thread at a time has it.
pub struct ConflationReader {
    shared: Arc<Shared>,
    head: u64,
    /// The version of each key that was handed over last.
    handed: Box<[u64]>,
    /// A key whose record was being replaced when it was looked at.
    postponed: Option<u32>,
    taken: u64,
    conflated: u64,
}

/// The two halves of a conflation table for the keys `0..keys`.
///
/// # Errors
/// No key, or more than [`MAX_KEYS`].
///
/// ```
/// use tickrail_core::{Tick, ring};
/// let (mut writer, mut reader) = ring::conflation(2)?;
/// for (time, key) in [(1, 1), (2, 0), (3, 1)] {
///     writer.put(key, &Tick::quote(time, key, 1.0, 2.0, 1.0, 1.0));
/// }
/// let times: Vec<i64> = std::iter::from_fn(|| reader.take()).map(|(_, tick)| tick.ts_event).collect();
/// assert_eq!((times, reader.conflated()), (vec![3, 2], 1));
/// # Ok::<(), ring::KeysError>(())
/// ```
pub fn conflation(keys: usize) -> Result<(ConflationWriter, ConflationReader), KeysError> {
    conflation_from(keys, 0)
}

/// The same with `first` keys and as many records of each behind it: what a table is like that has run for long.
pub(crate) fn conflation_from(keys: usize, first: u64) -> Result<(ConflationWriter, ConflationReader), KeysError> {
    if !(1..=MAX_KEYS).contains(&keys) {
        return Err(KeysError { keys });
    }
    let shared = Arc::new(Shared {
        entries: std::iter::repeat_with(Entry::new).take(keys).collect(),
        queue: std::iter::repeat_with(|| AtomicU32::new(0)).take(keys.next_power_of_two()).collect(),
        tail: Padded::new(AtomicU64::new(first)),
        head: Padded::new(AtomicU64::new(first)),
        put: AtomicU64::new(0),
        is_closed: AtomicBool::new(false),
    });
    let numbers = || vec![first; keys].into_boxed_slice();
    let writer = ConflationWriter { shared: Arc::clone(&shared), tail: first, versions: numbers(), put: 0 };
    Ok((writer, ConflationReader { shared, head: first, handed: numbers(), postponed: None, taken: 0, conflated: 0 }))
}

impl ConflationWriter {
    /// Puts the latest record of `key` in; replaces one that was not taken yet.
    ///
    /// # Panics
    /// The table has no such key.
    pub fn put(&mut self, key: u32, tick: &Tick) {
        let entry = &self.shared.entries[key as usize];
        let version = &mut self.versions[key as usize];
        *version = after(*version, 1);
        self.put += 1;
        self.shared.put.store(self.put, Ordering::Relaxed);
        entry.line().write(*version, tick);
        // AcqRel; partner: the swap in `look`. Either that reader's look comes after this and sees the record, or it came
        // before, and then the key enters the queue again. A place is free: a key stands in the queue once at most.
        if !entry.waits.swap(true, Ordering::AcqRel) {
            // Relaxed: the tail that is published next carries it.
            self.shared.place(self.tail).store(key, Ordering::Relaxed);
            self.tail = after(self.tail, 1);
            // Release; partner: the load in `take`.
            self.shared.tail.store(self.tail, Ordering::Release);
        }
    }

    /// Ends the stream after what was put in; idempotent. The reader still gets all of that, and nothing is put in later.
    pub fn close(&mut self) {
        // Release; partner: the load in `is_drained`.
        self.shared.is_closed.store(true, Ordering::Release);
    }

    /// How many records were put in since the start.
    pub fn put_count(&self) -> u64 {
        self.put
    }

    /// How many keys there are.
    pub fn keys(&self) -> usize {
        self.versions.len()
    }
}

impl Drop for ConflationWriter {
    fn drop(&mut self) {
        self.close();
    }
}

impl ConflationReader {
    /// The next key that waits, with its latest record; `None`: none now.
    pub fn take(&mut self) -> Option<(u32, Tick)> {
        // Acquire; partner: the store in `put`.
        let tail = self.shared.tail.load(Ordering::Acquire);
        loop {
            let (key, is_postponed) = match self.postponed.take() {
                Some(key) => (key, true),
                None if self.head != tail => (self.pop(), false),
                None => return None,
            };
            match self.look(key, is_postponed) {
                Found::Torn => {
                    self.postponed = Some(key);
                    return None;
                }
                // Seen already: the record that made the key wait again was read with the one before.
                Found::Whole(version, _) if version == self.handed[key as usize] => {}
                Found::Whole(version, tick) => {
                    let handed = std::mem::replace(&mut self.handed[key as usize], version);
                    self.conflated += distance(handed, version) - 1;
                    self.taken += 1;
                    return Some((key, tick));
                }
            }
        }
    }

    /// How many records were replaced before they could be taken, as far as is known from those that were taken.
    pub fn conflated(&self) -> u64 {
        self.conflated
    }

    /// How many records were taken since the start.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Conflated and waiting at one moment, those among them that were replaced and whose key still waits: with those
    /// taken they are all that were put in.
    pub fn counts(&self) -> (u64, u64) {
        let waiting = self.waiting();
        let left = self.shared.put.load(Ordering::Relaxed).saturating_sub(self.taken);
        let waiting = waiting.min(left);
        (left - waiting, waiting)
    }

    /// How many keys wait.
    pub fn waiting(&self) -> u64 {
        // Acquire; partner: the store in `put`.
        distance(self.head, self.shared.tail.load(Ordering::Acquire)) + u64::from(self.postponed.is_some())
    }

    /// Whether the writer is gone and nothing waits.
    pub fn is_drained(&self) -> bool {
        // Acquire; partner: the store in `drop`: what was put in before is then seen to wait.
        self.shared.is_closed.load(Ordering::Acquire) && self.waiting() == 0
    }

    /// By which its own thread sees whether something waits, while it has lent this half to somebody.
    pub fn glance(&self) -> ConflationGlance {
        ConflationGlance(Arc::clone(&self.shared))
    }

    fn pop(&mut self) -> u32 {
        // Relaxed: the tail that was acquired covers it.
        let key = self.shared.place(self.head).load(Ordering::Relaxed);
        self.head = after(self.head, 1);
        self.shared.head.store(self.head, Ordering::Relaxed);
        key
    }

    /// The mark goes before the record is read: a record that comes meanwhile then makes the key wait again.
    fn look(&self, key: u32, is_unmarked: bool) -> Found {
        let entry = &self.shared.entries[key as usize];
        if !is_unmarked {
            // AcqRel; partner: the swap in `put`.
            entry.waits.swap(false, Ordering::AcqRel);
        }
        (0..TRIES).map(|_| entry.line().read()).find(|found| *found != Found::Torn).unwrap_or(Found::Torn)
    }
}

/// Whether a key stands in the queue. One whose record was being replaced when it was looked at does so again once it is.
/// For the reader's own thread: elsewhere its answer is of any time.
pub struct ConflationGlance(Arc<Shared>);

impl ConflationGlance {
    /// Whether one does.
    #[inline]
    pub fn finds(&self) -> bool {
        // Acquire; partner: the store in `put`.
        self.0.tail.load(Ordering::Acquire) != self.0.head.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for ConflationWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConflationWriter({} put, {} keys)", self.put, self.keys())
    }
}

impl fmt::Debug for ConflationReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConflationReader({} waiting, {} conflated)", self.waiting(), self.conflated)
    }
}
