//! Rings: bounded, lock-free ways for records between threads.
//!
//! The ingress ring carries the records of one publisher to the dispatch thread. One ring a publisher and not one for
//! all: measured, 121 million records a second against 16-19 for a shared queue, each feed feels its own backpressure,
//! and the order within a publisher is kept by itself.
//!
//! It refuses what it has no slot for. Two others never do: the [drop-oldest ring](drop_oldest) lets the oldest records
//! give way, the [conflation table](conflation) keeps the latest record of each key.
//!
//! The [observer ring](observer) goes the other way: from the dispatch thread to any number of others that look on.
//! [Commands](commands) come from any thread, seldom, and share one ring.
//!
//! Reading order: `sequence` (which record it is), `shared` (what both halves see, and every memory order), `slots`, [`Producer`], [`Consumer`],
//! [`DropOldestProducer`]; `line` (a record that is read while it is written), [`ObserverWriter`], [`ConflationWriter`];
//! [`CommandProducer`].

mod commands;
mod conflation;
mod consumer;
mod drop_oldest;
mod line;
mod observer;
mod padded;
mod producer;
mod sequence;
mod shared;
mod slots;

use thiserror::Error;

pub use commands::{CommandConsumer, CommandProducer, NotTaken, commands};
pub use conflation::{ConflationGlance, ConflationReader, ConflationWriter, KeysError, MAX_KEYS, conflation};
pub use consumer::{Consumer, Glance};
pub use drop_oldest::{DropOldestConsumer, DropOldestGlance, DropOldestProducer, drop_oldest};
pub use observer::{Observer, ObserverWriter, Seen, observer};
pub use producer::{Producer, Refused};

#[allow(unused_imports, reason = "tests and models begin near the wrap; nobody else does")]
pub(crate) use self::{
    commands::commands_from, conflation::conflation_from, drop_oldest::drop_oldest_from, observer::observer_from,
    sequence::LAST,
};
use crate::sync::Arc;
use shared::Shared;

/// Fewest slots: with one, the producer could never write while the consumer reads.
pub const MIN_CAPACITY_SLOTS: usize = 2;

/// Most slots: 1 GiB. Beyond that data belongs into a file.
pub const MAX_CAPACITY_SLOTS: usize = 1 << 24;

/// Why there is no ring of the wanted capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CapacityError {
    /// Below [`MIN_CAPACITY_SLOTS`] or above [`MAX_CAPACITY_SLOTS`].
    #[error("a ring of {capacity_slots} slots; it takes {MIN_CAPACITY_SLOTS} to {MAX_CAPACITY_SLOTS}")]
    OutOfRange {
        /// What was asked for.
        capacity_slots: usize,
    },
    /// Not a power of two. Nothing is rounded, since a capacity decides what is refused and what is waited for.
    #[error("a ring of {capacity_slots} slots; the capacity is a power of two, the nearest are {below} and {above}")]
    NotPowerOfTwo {
        /// What was asked for.
        capacity_slots: usize,
        /// The next smaller capacity.
        below: usize,
        /// The next larger capacity.
        above: usize,
    },
}

/// The two halves of an ingress ring for feed number `feed`.
///
/// # Errors
/// The capacity is no power of two, or out of range.
///
/// ```
/// use tickrail_core::{Tick, ring};
/// let (mut producer, mut consumer) = ring::ingress(0, 4)?;
/// let ticks = [Tick::quote(1, 0, 1.0, 2.0, 1.0, 1.0); 6];
/// assert_eq!(producer.try_publish(&ticks), 4);
/// assert_eq!(consumer.readable().len(), 4);
/// consumer.release(3);
/// assert_eq!(producer.try_publish(&ticks[4..]), 2);
/// # Ok::<(), ring::CapacityError>(())
/// ```
pub fn ingress(feed: u32, capacity_slots: usize) -> Result<(Producer, Consumer), CapacityError> {
    ingress_from(feed, capacity_slots, 0)
}

/// The same with `first` as the first record's sequence: what a ring is like that has run for long.
pub(crate) fn ingress_from(
    feed: u32,
    capacity_slots: usize,
    first: u64,
) -> Result<(Producer, Consumer), CapacityError> {
    check_capacity(capacity_slots)?;
    let shared = Arc::new(Shared::new(capacity_slots, first));
    Ok((Producer::new(Arc::clone(&shared), first), Consumer::new(shared, feed, first)))
}

fn check_capacity(capacity_slots: usize) -> Result<(), CapacityError> {
    if !(MIN_CAPACITY_SLOTS..=MAX_CAPACITY_SLOTS).contains(&capacity_slots) {
        return Err(CapacityError::OutOfRange { capacity_slots });
    }
    if !capacity_slots.is_power_of_two() {
        let above = capacity_slots.next_power_of_two();
        return Err(CapacityError::NotPowerOfTwo { capacity_slots, below: above / 2, above });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
