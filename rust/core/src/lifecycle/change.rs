//! What is asked of a life, and what became of it.

use std::borrow::Cow;

use super::{Operation, State};

/// What a paused strategy is spared.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PauseMode {
    /// Ticks and timers flow, so that a stop-loss stays armed; only orders that reduce a position pass.
    #[default]
    NoNewOrders = 0,
    /// Ticks are skipped and timers held; a GAP record precedes the first tick afterwards.
    NoTicks = 1,
}

impl PauseMode {
    /// The name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoNewOrders => "no_new_orders",
            Self::NoTicks => "no_ticks",
        }
    }

    /// The mode of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::NoNewOrders, Self::NoTicks].into_iter().find(|mode| mode.name() == name)
    }
}

/// An operation and, for a pause, its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// What.
    pub operation: Operation,
    /// How to pause; without meaning for the others.
    pub mode: PauseMode,
}

impl Ask {
    /// `operation`, in the default mode.
    pub const fn new(operation: Operation) -> Self {
        Self { operation, mode: PauseMode::NoNewOrders }
    }

    /// A pause in `mode`.
    pub const fn pause(mode: PauseMode) -> Self {
        Self { operation: Operation::Pause, mode }
    }
}

/// Who or what moved a life, in a few words.
pub type Cause = Cow<'static, str>;

/// The run itself, as it begins or ends.
pub const fn by_run() -> Cause {
    Cow::Borrowed("the run")
}

/// The strategy asked for it.
pub const fn by_strategy() -> Cause {
    Cow::Borrowed("the strategy")
}

/// One step of a life; enters the run digest as a state event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Whose.
    pub strategy: u32,
    /// Loop position.
    pub position: u64,
    /// Clock of the loop, ns UTC.
    pub now_ns: i64,
    /// What was done.
    pub ask: Ask,
    /// Where it stood.
    pub from: State,
    /// Where it stands now; the same where only the mode of a pause changed.
    pub to: State,
    /// Who asked.
    pub cause: Cause,
}
