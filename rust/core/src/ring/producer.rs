//! The half that publishes.

use std::fmt;

use thiserror::Error;

use super::sequence::{after, distance};
use super::shared::Shared;
use crate::sync::Arc;
use crate::tick::Tick;

/// Why a record was not taken; it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// No slot is free; the consumer may free some.
    #[error("the ring is full")]
    Full(Tick),
    /// The producer closed the ring itself.
    #[error("the ring is closed")]
    Closed(Tick),
    /// The consumer is gone: nobody would ever read the record.
    #[error("the ring's consumer is gone")]
    Abandoned(Tick),
}

impl Refused {
    /// The record.
    pub fn into_tick(self) -> Tick {
        match self {
            Self::Full(tick) | Self::Closed(tick) | Self::Abandoned(tick) => tick,
        }
    }
}

/// The publishing half of a ring: one thread at a time has it. Dropping it closes the ring.
pub struct Producer {
    shared: Arc<Shared>,
    /// The tail as published: nobody else writes it.
    tail: u64,
    /// The head as last seen; may be stale, and then shows fewer free slots than there are.
    head_seen: u64,
    is_closed: bool,
}

impl Producer {
    pub(super) fn new(shared: Arc<Shared>, first: u64) -> Self {
        Self { shared, tail: first, head_seen: first, is_closed: false }
    }

    /// Publishes as many of `ticks`, from the first on, as there are free slots, and says how many that were.
    ///
    /// They become visible at once. Batches are worth far more than lock freedom (measured: 54 million single records a
    /// second between two cores, 100 million in batches of 64). None are taken after `close` or once the consumer is
    /// gone.
    pub fn try_publish(&mut self, ticks: &[Tick]) -> usize {
        if self.is_closed || self.is_abandoned() {
            return 0;
        }
        let count = self.claim(ticks.len());
        if count > 0 {
            // SAFETY: `claim` saw that the consumer has released these slots, and only this half writes.
            unsafe { self.shared.slots.write(self.tail, &ticks[..count]) };
            self.tail = after(self.tail, count as u64);
            self.shared.publish_release(self.tail);
        }
        count
    }

    /// Publishes one record.
    ///
    /// # Errors
    /// The ring is full or closed, or its consumer is gone; the record comes back.
    ///
    /// ```
    /// use tickrail_core::ring::{self, Refused};
    /// use tickrail_core::Tick;
    /// let (mut producer, consumer) = ring::ingress(0, 2)?;
    /// let tick = Tick::quote(1, 0, 1.0, 2.0, 1.0, 1.0);
    /// assert_eq!(producer.try_push(tick), Ok(()));
    /// drop(consumer);
    /// assert_eq!(producer.try_push(tick), Err(Refused::Abandoned(tick)));
    /// # Ok::<(), ring::CapacityError>(())
    /// ```
    pub fn try_push(&mut self, tick: Tick) -> Result<(), Refused> {
        if self.is_closed {
            return Err(Refused::Closed(tick));
        }
        if self.is_abandoned() {
            return Err(Refused::Abandoned(tick));
        }
        if self.claim(1) == 0 {
            return Err(Refused::Full(tick));
        }
        // SAFETY: `claim` saw that the consumer has released the slot, and only this half writes.
        unsafe { self.shared.slots.write_one(self.tail, tick) };
        self.tail = after(self.tail, 1);
        self.shared.publish_release(self.tail);
        Ok(())
    }

    /// The free slots that come next, in one piece and at most `wanted`, to be filled in place; then
    /// [`publish_filled`](Self::publish_filled). What is in them is whatever was there before. None after `close` or once
    /// the consumer is gone.
    ///
    /// ```
    /// use tickrail_core::{Tick, ring};
    /// let (mut producer, mut consumer) = ring::ingress(0, 4)?;
    /// let slots = producer.slots(9);
    /// assert_eq!(slots.len(), 4);
    /// slots[..2].fill(Tick::quote(1, 0, 1.0, 2.0, 1.0, 1.0));
    /// assert!(consumer.readable().is_empty());
    /// producer.publish_filled(2);
    /// assert_eq!(consumer.readable().len(), 2);
    /// # Ok::<(), ring::CapacityError>(())
    /// ```
    pub fn slots(&mut self, wanted: usize) -> &mut [Tick] {
        let count = self.free(wanted);
        // SAFETY: `claim` saw that the consumer has released these slots; only this half writes, and it is borrowed.
        unsafe { self.shared.slots.fill(self.tail, count) }
    }

    /// Publishes the first `count` of the slots that [`slots`](Self::slots) gave last.
    ///
    /// # Panics
    /// `count` is more than those were.
    pub fn publish_filled(&mut self, count: usize) {
        let free = self.free_slots();
        assert!(count <= free, "{count} records to publish, {free} slots are free");
        if count > 0 {
            self.tail = after(self.tail, count as u64);
            self.shared.publish_release(self.tail);
        }
    }

    /// Ends the stream after what has been published; idempotent. The consumer still gets all of that.
    pub fn close(&mut self) {
        if !self.is_closed {
            self.is_closed = true;
            self.shared.close_release(self.tail);
        }
    }

    /// Whether the consumer is gone.
    pub fn is_abandoned(&self) -> bool {
        self.shared.is_abandoned_acquire()
    }

    /// How many records were published since the start.
    pub fn published(&self) -> u64 {
        self.tail
    }

    /// How many published records the consumer has not released.
    pub fn pending(&self) -> u64 {
        distance(self.shared.head_acquire(), self.tail)
    }

    /// How many slots the ring has.
    pub fn capacity_slots(&self) -> usize {
        self.shared.slots.capacity()
    }

    /// How many of `wanted` records would be taken now; the consumer may free slots at any time, and nobody takes any.
    pub fn free(&mut self, wanted: usize) -> usize {
        if self.is_closed || self.is_abandoned() { 0 } else { self.claim(wanted) }
    }

    /// How many of `wanted` slots may be written; looks at the consumer's cursor only when the last look is not enough.
    fn claim(&mut self, wanted: usize) -> usize {
        if self.free_slots() < wanted {
            self.head_seen = self.shared.head_acquire();
        }
        self.free_slots().min(wanted)
    }

    fn free_slots(&self) -> usize {
        self.shared.slots.capacity() - distance(self.head_seen, self.tail) as usize
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Producer({} published, {} slots)", self.tail, self.capacity_slots())
    }
}
