//! The ring that never refuses: where it is full, the oldest records give way to the newest.
//!
//! Which records go is decided on one word, `head`: the consumer claims the records that it is about to copy, the
//! producer takes away the oldest that nobody has claimed, and both do so by exchanging it. The producer writes only slots
//! whose records it has taken away itself, or which the consumer has copied; so no record is ever read while it is
//! written, and the gap in the sequence says exactly how many went.

use std::fmt;

use super::padded::Padded;
use super::sequence::{after, distance, reach};
use super::slots::Slots;
use super::{CapacityError, check_capacity};
use crate::sync::{Arc, AtomicBool, AtomicU64, Ordering};
use crate::tick::Tick;

/// `closed_at` of an open ring; no sequence.
const OPEN: u64 = u64::MAX;

struct Shared {
    slots: Slots,
    /// The sequence after the last record that is published; written by the producer. Release; partner: the Acquire loads of the consumer.
    tail: Padded<AtomicU64>,
    /// The oldest record that nobody has claimed or taken away. Relaxed: it decides who has a record, and hands over none;
    /// what was written is carried by `tail`, what was read by `copied`.
    head: Padded<AtomicU64>,
    /// Where the consumer's last copy ended. Release; partner: the Acquire load in `make_room`.
    copied: Padded<AtomicU64>,
    /// The tail with which the ring was closed, or `OPEN`. Release; partner: the load in `is_drained`.
    closed_at: Padded<AtomicU64>,
    /// Whether the consumer is gone. Release by its drop, Acquire by `is_abandoned`.
    abandoned: AtomicBool,
}

/// The publishing half; one thread at a time has it. Dropping it closes the ring.
pub struct DropOldestProducer {
    shared: Arc<Shared>,
    tail: u64,
    published: u64,
    /// Records before this are copied or were taken away: their slots may be written.
    free: u64,
    dropped: u64,
    /// Whoever watches is told of records before this that give way.
    watched: u64,
    is_closed: bool,
}

/// The reading half; one thread at a time has it.
pub struct DropOldestConsumer {
    shared: Arc<Shared>,
    /// The first record's sequence.
    first: u64,
    taken: u64,
    /// The sequence after the last record that was taken.
    next: u64,
    has_skipped: bool,
}

/// The two halves of a ring whose oldest records give way.
///
/// # Errors
/// The capacity is no power of two, or out of range.
///
/// ```
/// use tickrail_core::{Tick, ring};
/// let (mut producer, mut consumer) = ring::drop_oldest(2)?;
/// let ticks: Vec<Tick> = (1..=5).map(|time| Tick::quote(time, 0, 1.0, 2.0, 1.0, 1.0)).collect();
/// assert_eq!(producer.publish(&ticks), 5);
/// let mut into = Vec::new();
/// assert_eq!(consumer.take(8, &mut into), 2);
/// assert_eq!((into[0].ts_event, consumer.dropped()), (4, 3));
/// # Ok::<(), ring::CapacityError>(())
/// ```
pub fn drop_oldest(capacity_slots: usize) -> Result<(DropOldestProducer, DropOldestConsumer), CapacityError> {
    drop_oldest_from(capacity_slots, 0)
}

/// The same with `first` as the first record's sequence: what a ring is like that has run for long.
pub(crate) fn drop_oldest_from(
    capacity_slots: usize,
    first: u64,
) -> Result<(DropOldestProducer, DropOldestConsumer), CapacityError> {
    check_capacity(capacity_slots)?;
    let start = || Padded::new(AtomicU64::new(first));
    let shared = Arc::new(Shared {
        slots: Slots::new(capacity_slots),
        tail: start(),
        head: start(),
        copied: start(),
        closed_at: Padded::new(AtomicU64::new(OPEN)),
        abandoned: AtomicBool::new(false),
    });
    let producer = DropOldestProducer {
        shared: Arc::clone(&shared),
        tail: first,
        published: 0,
        free: first,
        dropped: 0,
        watched: first,
        is_closed: false,
    };
    Ok((producer, DropOldestConsumer { shared, first, taken: 0, next: first, has_skipped: false }))
}

impl DropOldestProducer {
    /// Publishes `ticks`, from the first on, and says how many: fewer than all only where the consumer is copying the
    /// very slots that come next (try again: a copy is short), and none after `close` or once the consumer is gone.
    pub fn publish(&mut self, ticks: &[Tick]) -> usize {
        self.publish_telling(ticks, |_| {})
    }

    /// The same, and tells `gone` of each [watched](Self::watch) record that gives way, the oldest first.
    pub fn publish_telling(&mut self, ticks: &[Tick], mut gone: impl FnMut(&Tick)) -> usize {
        let mut done = 0;
        while done < ticks.len() && !self.is_closed && !self.is_abandoned() {
            let count = self.make_room(ticks.len() - done, &mut gone);
            if count == 0 {
                break;
            }
            // SAFETY: `make_room` saw that these slots' records are copied, or took them away; only this half writes.
            unsafe { self.shared.slots.write(self.tail, &ticks[done..done + count]) };
            self.tail = after(self.tail, count as u64);
            self.shared.tail.store(self.tail, Ordering::Release);
            done += count;
        }
        self.published += done as u64;
        done
    }

    /// How many slots from the tail on may be written, of `wanted`; takes the oldest records away where it must.
    fn make_room(&mut self, wanted: usize, gone: &mut impl FnMut(&Tick)) -> usize {
        let capacity = self.shared.slots.capacity() as u64;
        let count = (wanted as u64).min(capacity);
        let end = after(self.tail, count);
        loop {
            let excess = distance(self.free, end).saturating_sub(capacity);
            if excess == 0 {
                break;
            }
            let oldest = self.shared.head.load(Ordering::Relaxed);
            if oldest != self.free {
                // The records up to `oldest` are claimed: their slots are free as soon as they are copied.
                let copied = self.shared.copied.load(Ordering::Acquire);
                if reach(self.free, copied) == 0 {
                    break;
                }
                self.free = copied;
                continue;
            }
            let needed = after(oldest, excess);
            if self.shared.head.compare_exchange(oldest, needed, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                self.dropped += excess;
                self.tell(oldest, excess, gone);
                self.free = needed;
            }
        }
        count.min(capacity - distance(self.free, self.tail)) as usize
    }

    /// Tells of the `count` records from `oldest` on, as far as they are watched.
    fn tell(&self, oldest: u64, count: u64, gone: &mut impl FnMut(&Tick)) {
        let count = count.min(reach(oldest, self.watched)) as usize;
        let mut told = 0;
        while told < count {
            // SAFETY: these records were taken away just now, and only this half writes their slots.
            let run = unsafe { self.shared.slots.read(after(oldest, told as u64), count - told) };
            run.iter().for_each(&mut *gone);
            told += run.len();
        }
    }

    /// Watches all records published so far.
    pub fn watch(&mut self) {
        self.watched = self.tail;
    }

    /// Whether a watched record may still give way.
    pub fn is_watching(&self) -> bool {
        reach(self.free, self.watched) > 0
    }

    /// Ends the stream after what has been published; idempotent. The consumer still gets what is there.
    pub fn close(&mut self) {
        if !self.is_closed {
            self.is_closed = true;
            self.shared.closed_at.store(self.tail, Ordering::Release);
        }
    }

    /// Whether the consumer is gone.
    pub fn is_abandoned(&self) -> bool {
        self.shared.abandoned.load(Ordering::Acquire)
    }

    /// How many records were published since the start.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// How many of them gave way.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many slots the ring has.
    pub fn capacity_slots(&self) -> usize {
        self.shared.slots.capacity()
    }
}

impl Drop for DropOldestProducer {
    fn drop(&mut self) {
        self.close();
    }
}

impl DropOldestConsumer {
    /// Copies the oldest records, at most `max`, to the end of `into`; says how many.
    pub fn take(&mut self, max: usize, into: &mut Vec<Tick>) -> usize {
        let Some((from, count)) = self.claim(max) else { return 0 };
        let mut copied = 0;
        while copied < count {
            // SAFETY: these records are published (the Acquire load of `tail` in `claim` saw it) and claimed: the producer
            // writes their slots only after `copied` is moved beyond them.
            let run = unsafe { self.shared.slots.read(after(from, copied as u64), count - copied) };
            into.extend_from_slice(run);
            copied += run.len();
        }
        self.taken += count as u64;
        self.has_skipped = from != self.next;
        self.next = after(from, count as u64);
        self.shared.copied.store(after(from, count as u64), Ordering::Release);
        count
    }

    /// Whether records gave way just before those that were taken last.
    pub const fn has_skipped(&self) -> bool {
        self.has_skipped
    }

    /// The first record that is now this half's, and how many.
    fn claim(&mut self, max: usize) -> Option<(u64, usize)> {
        let mut from = self.shared.head.load(Ordering::Relaxed);
        loop {
            let tail = self.shared.tail.load(Ordering::Acquire);
            let count = reach(from, tail).min(max as u64);
            if count == 0 {
                return None;
            }
            let claimed = after(from, count);
            match self.shared.head.compare_exchange(from, claimed, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some((from, count as usize)),
                Err(now) => from = now,
            }
        }
    }

    /// How many records were taken since the start.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// How many gave way before they could be taken, as far as the producer has gone by now.
    pub fn dropped(&self) -> u64 {
        self.counts().0
    }

    /// How many wait.
    pub fn pending(&self) -> u64 {
        self.counts().1
    }

    /// Dropped and pending at one moment: with those taken they are all that were published.
    pub fn counts(&self) -> (u64, u64) {
        let head = self.shared.head.load(Ordering::Relaxed);
        (distance(self.first, head) - self.taken, reach(head, self.shared.tail.load(Ordering::Acquire)))
    }

    /// Whether the producer has closed the ring and nothing waits.
    pub fn is_drained(&self) -> bool {
        self.shared.closed_at.load(Ordering::Acquire) == self.shared.head.load(Ordering::Relaxed)
    }

    /// How many slots the ring has.
    pub fn capacity_slots(&self) -> usize {
        self.shared.slots.capacity()
    }

    /// By which its own thread sees whether something waits, while it has lent this half to somebody.
    pub fn glance(&self) -> DropOldestGlance {
        DropOldestGlance(Arc::clone(&self.shared))
    }
}

/// Whether records wait that nobody has claimed. For the consumer's own thread: elsewhere its answer is of any time.
pub struct DropOldestGlance(Arc<Shared>);

impl DropOldestGlance {
    /// Whether some do.
    #[inline]
    pub fn finds(&self) -> bool {
        self.0.tail.load(Ordering::Acquire) != self.0.head.load(Ordering::Relaxed)
    }
}

impl Drop for DropOldestConsumer {
    fn drop(&mut self) {
        self.shared.abandoned.store(true, Ordering::Release);
    }
}

impl fmt::Debug for DropOldestProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DropOldestProducer({} published, {} dropped)", self.published, self.dropped)
    }
}

impl fmt::Debug for DropOldestConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dropped, pending) = self.counts();
        write!(f, "DropOldestConsumer({} taken, {dropped} dropped, {pending} pending)", self.taken)
    }
}
