//! What became of lives, kept for whoever asks later.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::StateChange;

/// Steps of lives that are kept: a run has a handful a strategy; one that pauses at each tick keeps the last.
pub const MAX_CHANGES: usize = 65_536;

#[derive(Debug, Default)]
struct Kept {
    changes: VecDeque<StateChange>,
    forgotten: u64,
}

/// The last [`MAX_CHANGES`] steps of all lives of a run: written by the loop between two steps, read by any thread.
///
/// Under a lock, since a life has few steps: nobody holds it while anything is called.
#[derive(Debug, Default)]
pub struct ChangeLog {
    kept: Mutex<Kept>,
}

impl ChangeLog {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic while it is held would be one of the allocator: the list is whole at any moment.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, change: StateChange) {
        let mut kept = self.lock();
        if kept.changes.len() == MAX_CHANGES {
            kept.changes.pop_front();
            kept.forgotten += 1;
        }
        kept.changes.push_back(change);
    }

    /// The steps that are kept, in the order taken.
    pub fn changes(&self) -> Vec<StateChange> {
        self.lock().changes.iter().cloned().collect()
    }

    /// How many steps came before those.
    pub fn forgotten(&self) -> u64 {
        self.lock().forgotten
    }
}
