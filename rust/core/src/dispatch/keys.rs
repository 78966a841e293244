//! The time of an input.

use crate::tick::{OrderBy, Tick};

/// Where the time of an input comes from; it orders inputs, and the clock of their steps shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// The venue's time in each record.
    TsEvent,
    /// The receipt time in each record.
    TsInit,
    /// By arrival: when the loop took the slice, the same for all of its records.
    Taken(i64),
}

impl Keys {
    pub const fn of_records(order: OrderBy) -> Self {
        match order {
            OrderBy::TsEvent => Self::TsEvent,
            OrderBy::TsInit => Self::TsInit,
        }
    }

    #[inline(always)]
    pub const fn of(self, tick: &Tick) -> i64 {
        match self {
            Self::TsEvent => tick.ts_event,
            Self::TsInit => tick.ts_init,
            Self::Taken(now_ns) => now_ns,
        }
    }
}
