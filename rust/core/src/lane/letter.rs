//! What a lane is told beside its records.

use crate::dispatch::Hook;
use crate::handler::{TimerRecord, UpdateRecord};

/// Letters that wait for a lane at most: a strategy has a handful of timers and orders in flight; one that is so far behind
/// does not keep up.
pub(super) const LETTERS: usize = 4_096;

/// What one says.
#[derive(Debug)]
pub(super) enum Text {
    Hook(Hook),
    Timer(TimerRecord),
    Update(UpdateRecord),
    /// The records that came since the last such letter are a batch.
    Batch,
}
