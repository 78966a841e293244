//! What both halves of a ring see. Every atomic of the ring is read and written here, each with its order and partner.

use super::padded::Padded;
use super::slots::Slots;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// `closed_at` of an open ring; no sequence.
const OPEN: u64 = u64::MAX;

pub(super) struct Shared {
    pub(super) slots: Slots,
    /// The sequence after the last record that is published; written by the producer.
    tail: Padded<AtomicU64>,
    /// The sequence after the last that is released, so that its slot may be written again; written by the consumer.
    head: Padded<AtomicU64>,
    /// The tail with which the ring was closed, or `OPEN`; written once, by the producer.
    closed_at: Padded<AtomicU64>,
    /// Whether the consumer is gone; written once, by it. With `closed_at` on lines that nobody writes in operation.
    abandoned: AtomicBool,
}

impl Shared {
    pub(super) fn new(capacity: usize, first: u64) -> Self {
        Self {
            slots: Slots::new(capacity),
            tail: Padded::new(AtomicU64::new(first)),
            head: Padded::new(AtomicU64::new(first)),
            closed_at: Padded::new(AtomicU64::new(OPEN)),
            abandoned: AtomicBool::new(false),
        }
    }

    /// Release; partner `tail_acquire`: who sees the count sees the records.
    pub(super) fn publish_release(&self, tail: u64) {
        self.tail.store(tail, Ordering::Release);
    }

    /// Acquire; partner `publish_release`.
    pub(super) fn tail_acquire(&self) -> u64 {
        self.tail.load(Ordering::Acquire)
    }

    /// Release; partner `head_acquire`: the reads of a slot end before it is written again.
    pub(super) fn free_release(&self, head: u64) {
        self.head.store(head, Ordering::Release);
    }

    /// Acquire; partner `free_release`.
    pub(super) fn head_acquire(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Release; partner `closed_at_acquire`: who sees the end sees the tail that was published before it.
    pub(super) fn close_release(&self, tail: u64) {
        self.closed_at.store(tail, Ordering::Release);
    }

    /// Acquire; partner `close_release`. `None` while the ring is open.
    pub(super) fn closed_at_acquire(&self) -> Option<u64> {
        Some(self.closed_at.load(Ordering::Acquire)).filter(|&at| at != OPEN)
    }

    /// Release; partner `is_abandoned_acquire`: what the consumer did last is done.
    pub(super) fn abandon_release(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// Acquire; partner `abandon_release`.
    pub(super) fn is_abandoned_acquire(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}
