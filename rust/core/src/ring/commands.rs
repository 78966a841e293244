//! The ring of commands: bounded, many producers, one consumer, first come first served.
//!
//! Commands are rare and come from anywhere, so they share one ring, where ticks have one a publisher. Each slot has a
//! stamp, which says whose turn it is: `position` - a producer may claim it, `position + 1` - the command is there,
//! `position + capacity` - free for the next lap. Nothing of a caller's runs between the claim and the stamp, so that no
//! producer can die in between and leave a hole that nobody gets past.

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::MaybeUninit;

use super::padded::Padded;
use super::sequence::{LAST, after, reach};
use super::{CapacityError, check_capacity};
use crate::sync::{Arc, AtomicU64, Ordering, Watch};

/// Set in `tail` once the ring is closed or its consumer is gone; no sequence has it.
const CLOSED: u64 = !LAST;

/// Why a command was not taken; it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken<T> {
    /// No slot is free; the consumer may free some.
    Full(T),
    /// The ring is closed, or nobody reads it any more.
    Closed(T),
}

impl<T> NotTaken<T> {
    /// The command.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(command) | Self::Closed(command) => command,
        }
    }
}

struct Slot<T> {
    stamp: AtomicU64,
    command: UnsafeCell<MaybeUninit<T>>,
}

struct Shared<T> {
    slots: Box<[Slot<T>]>,
    /// How many slots were claimed, and `CLOSED`. Relaxed exchanges: the stamps carry what is written.
    tail: Padded<AtomicU64>,
    watch: Watch,
}

// SAFETY: a command is written by the producer that claimed its slot and read by the one consumer; the stamp (Release,
// Acquire) keeps the two apart, and commands themselves may go to another thread.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above; all else is plain.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    fn slot(&self, position: u64) -> (usize, &Slot<T>) {
        let index = (position & (self.slots.len() as u64 - 1)) as usize;
        (index, &self.slots[index])
    }
}

/// A sending half: any number of them, each may go to another thread.
pub struct CommandProducer<T> {
    shared: Arc<Shared<T>>,
}

/// The reading half; one thread at a time has it. Dropping it drops the commands that nobody took.
pub struct CommandConsumer<T> {
    shared: Arc<Shared<T>>,
    next: u64,
}

/// A ring of commands, by its halves.
///
/// # Errors
/// The capacity is no power of two, or out of range.
///
/// ```
/// use tickrail_core::ring;
/// let (producer, mut consumer) = ring::commands(2)?;
/// let other = producer.clone();
/// std::thread::spawn(move || other.push("halt")).join().unwrap().unwrap();
/// producer.push("resume").unwrap();
/// assert_eq!(producer.push("too many").unwrap_err().into_inner(), "too many");
/// assert_eq!([consumer.pop(), consumer.pop(), consumer.pop()], [Some("halt"), Some("resume"), None]);
/// # Ok::<(), ring::CapacityError>(())
/// ```
pub fn commands<T: Send>(capacity_slots: usize) -> Result<(CommandProducer<T>, CommandConsumer<T>), CapacityError> {
    commands_from(capacity_slots, 0)
}

/// The same with `lap` laps of the ring behind it: what one is like that has run for long.
pub(crate) fn commands_from<T: Send>(
    capacity_slots: usize,
    lap: u64,
) -> Result<(CommandProducer<T>, CommandConsumer<T>), CapacityError> {
    check_capacity(capacity_slots)?;
    let first = lap * capacity_slots as u64;
    let slot = |stamp| Slot { stamp: AtomicU64::new(stamp), command: UnsafeCell::new(MaybeUninit::uninit()) };
    let shared = Arc::new(Shared {
        slots: (0..capacity_slots as u64).map(|index| slot(after(first, index))).collect(),
        tail: Padded::new(AtomicU64::new(first)),
        watch: Watch::new(capacity_slots),
    });
    Ok((CommandProducer { shared: Arc::clone(&shared) }, CommandConsumer { shared, next: first }))
}

impl<T: Send> CommandProducer<T> {
    /// Sends a command. Any thread, without a lock.
    ///
    /// # Errors
    /// The ring is full, closed, or its consumer is gone; the command comes back.
    pub fn push(&self, command: T) -> Result<(), NotTaken<T>> {
        let mut position = self.shared.tail.load(Ordering::Relaxed);
        loop {
            if position & CLOSED != 0 {
                return Err(NotTaken::Closed(command));
            }
            let (index, slot) = self.shared.slot(position);
            // Acquire; partner: the store in `pop`: the slot's last command was read before it is written again.
            let stamp = slot.stamp.load(Ordering::Acquire);
            if stamp != position {
                let now = self.shared.tail.load(Ordering::Relaxed);
                if now == position {
                    return Err(NotTaken::Full(command));
                }
                position = now;
                continue;
            }
            let next = after(position, 1);
            match self.shared.tail.compare_exchange_weak(position, next, Ordering::Relaxed, Ordering::Relaxed) {
                Err(now) => position = now,
                Ok(_) => {
                    self.shared.watch.writes(index);
                    // SAFETY: the claim made the slot this call's until the stamp says otherwise, and its last command was
                    // taken out (the stamp says so).
                    unsafe { (*slot.command.get()).write(command) };
                    // Release; partner: the load in `pop`.
                    slot.stamp.store(next, Ordering::Release);
                    return Ok(());
                }
            }
        }
    }

    /// Ends the ring after what has been claimed; idempotent. The consumer still gets all of that.
    pub fn close(&self) {
        self.shared.tail.fetch_or(CLOSED, Ordering::Relaxed);
    }
}

impl<T> Clone for CommandProducer<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> CommandConsumer<T> {
    /// The oldest command; `None`: none now.
    pub fn pop(&mut self) -> Option<T> {
        let (index, slot) = self.shared.slot(self.next);
        // Acquire; partner: the store in `push`.
        let after_it = after(self.next, 1);
        if slot.stamp.load(Ordering::Acquire) != after_it {
            return None;
        }
        self.shared.watch.writes(index);
        // SAFETY: the stamp says that the command is written and not yet taken, and only this half takes.
        let command = unsafe { (*slot.command.get()).assume_init_read() };
        // Release; partner: the load in `push`.
        slot.stamp.store(after(self.next, self.shared.slots.len() as u64), Ordering::Release);
        self.next = after_it;
        Some(command)
    }

    /// Ends the ring after what has been claimed; idempotent. All of that can still be taken.
    pub fn close(&self) {
        self.shared.tail.fetch_or(CLOSED, Ordering::Relaxed);
    }

    /// Whether the ring is closed and every command was taken.
    pub fn is_drained(&self) -> bool {
        // Relaxed: a claimed command that is not yet written keeps the count above `next`.
        self.shared.tail.load(Ordering::Relaxed) == self.next | CLOSED
    }

    /// How many commands wait, those that are being written among them.
    pub fn pending(&self) -> u64 {
        reach(self.next, self.shared.tail.load(Ordering::Relaxed) & LAST)
    }
}

impl<T> Drop for CommandConsumer<T> {
    fn drop(&mut self) {
        self.shared.tail.fetch_or(CLOSED, Ordering::Relaxed);
        while self.pop().is_some() {}
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // A producer that had claimed when the consumer left wrote its command after the last `pop`.
        let mask = self.slots.len() as u64 - 1;
        for (index, slot) in self.slots.iter().enumerate() {
            // Relaxed: this is the last owner, and the counter of owners has ordered all that the others did.
            if slot.stamp.load(Ordering::Relaxed) & mask == (index as u64 + 1) & mask {
                // SAFETY: a stamp one beyond the slot's own place says that a command is written and not taken.
                unsafe { (*slot.command.get()).assume_init_drop() };
            }
        }
    }
}

impl<T> fmt::Debug for CommandProducer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandProducer({} slots)", self.shared.slots.len())
    }
}

impl<T> fmt::Debug for CommandConsumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandConsumer({} taken, {} pending)", self.next, self.pending())
    }
}
