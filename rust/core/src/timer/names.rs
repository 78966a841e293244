//! Names of timers: one of each at a time for an owner.
//!
//! Apart from the timers, of which most have none: a name costs only those that have it.

use std::collections::HashMap;
use std::sync::Arc;

/// Which timer has a name, and which name a timer has.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By owner.
    slots: HashMap<u32, HashMap<Arc<str>, u32>>,
    names: HashMap<u32, Arc<str>>,
}

impl Names {
    pub(super) fn find(&self, owner: u32, name: &str) -> Option<u32> {
        self.slots.get(&owner)?.get(name).copied()
    }

    pub(super) fn of(&self, slot: u32) -> Option<&Arc<str>> {
        self.names.get(&slot)
    }

    pub(super) fn give(&mut self, owner: u32, slot: u32, name: &Arc<str>) {
        self.slots.entry(owner).or_default().insert(Arc::clone(name), slot);
        self.names.insert(slot, Arc::clone(name));
    }

    pub(super) fn take(&mut self, owner: u32, slot: u32) {
        if let (Some(name), Some(slots)) = (self.names.remove(&slot), self.slots.get_mut(&owner)) {
            slots.remove(&name);
        }
    }
}
