//! Rings that have run for long: two records before their sequences wrap, so that every model that takes one crosses it.

use crate::ring::{self, CapacityError, KeysError, LAST};

const FIRST: u64 = LAST - 1;

/// As [`ring::ingress`].
pub fn ingress(feed: u32, capacity_slots: usize) -> Result<(ring::Producer, ring::Consumer), CapacityError> {
    ring::ingress_from(feed, capacity_slots, FIRST)
}

/// As [`ring::drop_oldest`].
pub fn drop_oldest(
    capacity_slots: usize,
) -> Result<(ring::DropOldestProducer, ring::DropOldestConsumer), CapacityError> {
    ring::drop_oldest_from(capacity_slots, FIRST)
}

/// As [`ring::observer`].
pub fn observer(capacity_slots: usize) -> Result<ring::ObserverWriter, CapacityError> {
    ring::observer_from(capacity_slots, FIRST)
}

/// As [`ring::conflation`].
pub fn conflation(keys: usize) -> Result<(ring::ConflationWriter, ring::ConflationReader), KeysError> {
    ring::conflation_from(keys, FIRST)
}

/// As [`ring::commands`].
pub fn commands<T: Send>(
    capacity_slots: usize,
) -> Result<(ring::CommandProducer<T>, ring::CommandConsumer<T>), CapacityError> {
    ring::commands_from(capacity_slots, FIRST / capacity_slots as u64)
}
