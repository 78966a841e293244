//! The half that reads, and gates the producer: a slot is not written again before it is released.

use std::fmt;

use super::sequence::{after, distance};
use super::shared::Shared;
use crate::source::{Advance, Feeds, Slice, Source};
use crate::sync::Arc;
use crate::tick::Tick;

/// The reading half of a ring: one thread at a time has it. Dropping it tells the producer that nobody reads any more.
///
/// Read by [`readable`](Self::readable) and [`release`](Self::release), or as a [`Source`]; `advance` releases the slice
/// before, so that a slice from it ends with the next call as any source's does.
pub struct Consumer {
    shared: Arc<Shared>,
    feed: u32,
    /// The head as released: nobody else writes it.
    head: u64,
    /// The tail as last seen; may be stale, and then shows fewer records than there are.
    tail_seen: u64,
    /// How many records from `head` on the source's current slice has.
    current: usize,
}

impl Consumer {
    pub(super) fn new(shared: Arc<Shared>, feed: u32, first: u64) -> Self {
        Self { shared, feed, head: first, tail_seen: first, current: 0 }
    }

    /// The oldest records that are not released, in one piece: what lies beyond the ring's last slot comes next time.
    ///
    /// ```
    /// use tickrail_core::{Tick, ring};
    /// let (mut producer, mut consumer) = ring::ingress(0, 2)?;
    /// let tick = Tick::quote(1, 0, 1.0, 2.0, 1.0, 1.0);
    /// assert!(consumer.readable().is_empty());
    /// producer.try_push(tick).unwrap();
    /// producer.close();
    /// assert_eq!(consumer.readable(), [tick]);
    /// assert!(!consumer.is_drained());
    /// consumer.release(1);
    /// assert!(consumer.is_drained());
    /// # Ok::<(), ring::CapacityError>(())
    /// ```
    pub fn readable(&mut self) -> &[Tick] {
        if self.head == self.tail_seen {
            self.tail_seen = self.shared.tail_acquire();
        }
        self.seen()
    }

    /// Gives the slots of the `count` oldest records back to the producer.
    ///
    /// # Panics
    /// `count` is more than [`readable`](Self::readable) showed.
    pub fn release(&mut self, count: usize) {
        assert!(count <= self.seen().len(), "release of {count} records, {} were readable", self.seen().len());
        if count > 0 {
            self.head = after(self.head, count as u64);
            self.shared.free_release(self.head);
        }
        self.current = 0;
    }

    /// Whether the producer has closed the ring and all its records are released.
    pub fn is_drained(&self) -> bool {
        self.shared.closed_at_acquire() == Some(self.head)
    }

    /// Whether the producer has closed the ring or is gone; records may still be there.
    pub fn is_closed(&self) -> bool {
        self.shared.closed_at_acquire().is_some()
    }

    /// How many records were released since the start.
    pub fn released(&self) -> u64 {
        self.head
    }

    /// How many published records are not released.
    pub fn pending(&self) -> u64 {
        distance(self.head, self.shared.tail_acquire())
    }

    /// How many slots the ring has.
    pub fn capacity_slots(&self) -> usize {
        self.shared.slots.capacity()
    }

    /// By which its own thread sees whether something waits, while it has lent this half to somebody.
    pub fn glance(&self) -> Glance {
        Glance(Arc::clone(&self.shared))
    }

    fn seen(&self) -> &[Tick] {
        // SAFETY: the producer published these records (tail_acquire saw it) and writes their slots only after this half
        // releases them, which takes `&mut self` and so the end of the slice.
        unsafe { self.shared.slots.read(self.head, distance(self.head, self.tail_seen) as usize) }
    }
}

impl Source for Consumer {
    fn advance(&mut self, max: usize) -> Advance {
        self.release(self.current);
        self.current = self.readable().len().min(max);
        match self.current {
            0 if self.is_drained() => Advance::End,
            0 => Advance::Pending,
            _ => Advance::Ready,
        }
    }

    fn current(&self) -> Slice<'_> {
        Slice { ticks: &self.seen()[..self.current], feeds: Feeds::One(self.feed), block: None }
    }

    fn remaining(&self) -> Option<u64> {
        self.shared.closed_at_acquire().map(|end| distance(self.head, end) - self.current as u64)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.abandon_release();
    }
}

/// Whether records wait in a ring that are not released. For the consumer's own thread: elsewhere its answer is of any time.
pub struct Glance(Arc<Shared>);

impl Glance {
    /// Whether some do.
    #[inline]
    pub fn finds(&self) -> bool {
        self.0.tail_acquire() != self.0.head_acquire()
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consumer(feed {}, {} released, {} slots)", self.feed, self.head, self.capacity_slots())
    }
}
