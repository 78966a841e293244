//! Commands from outside: how they come to the loop, and how what came is kept and played again.
//!
//! Other threads, other processes and the results of coroutines reach a run by three bounded [lanes](lanes()). The loop
//! takes from them between two steps; each command becomes an input with a loop position, enters the run digest and can
//! be [recorded](ExternalRecord). A run that is given the recording takes the same commands at the same places.
//!
//! What handlers ask for on the dispatch thread does not pass here: it takes effect at the end of the step.

mod inbox;
mod lanes;
mod record;

pub use inbox::{Inbox, QUANTUM, RESERVE};
pub use lanes::{Lane, LaneSettings, LaneStats, Sender, lanes};
pub use record::{ExternalRecord, RecordError, read_records};

use std::any::Any;
use std::fmt;

use crate::lifecycle::{Operation, Transition};

/// In the place of a strategy's index: the command concerns the run, or several strategies.
pub const NO_STRATEGY: u32 = u32::MAX;

/// Longest payload: a command names things, it does not carry data.
pub const MAX_PAYLOAD: usize = 1 << 16;

/// What a command is. The codes enter the digest and never change; those from [`CommandKind::HOST`] on are the host's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandKind(pub u16);

impl CommandKind {
    /// Pause the strategy.
    pub const PAUSE: Self = Self(1);
    /// Let the strategy go on.
    pub const RESUME: Self = Self(2);
    /// Stop the strategy.
    pub const STOP: Self = Self(3);
    /// The first code that the loop hands to the host without doing anything itself: a command for a handler.
    pub const HOST: Self = Self(16);
    /// The result of a coroutine that a strategy started.
    pub const RESULT: Self = Self(17);
    /// What a strategy's handler asked for on another thread, its lane: orders among it.
    pub const ORDER: Self = Self(18);

    /// A request that came by the operator's socket; its payload is the text of it.
    pub const OPERATOR: Self = Self(19);
    /// A strategy's handler failed on its lane.
    pub const LANE_FAILED: Self = Self(22);

    /// Whether a strategy's lane sent it.
    pub(crate) const fn is_of_lane(self) -> bool {
        matches!(self, Self::ORDER | Self::LANE_FAILED)
    }

    /// The run is to stop: orders are taken back and positions closed, by each strategy's rule; or `on_stop` runs, where
    /// its payload says so.
    pub const ENDING: Self = Self(20);

    /// What another thread asks of a strategy's life.
    pub const LIFE: Self = Self(21);

    /// What a venue outside of the process says of an order, or of what is held there.
    pub const VENUE: Self = Self(23);

    /// The operation that the loop itself carries out, where it is one.
    pub const fn operation(self) -> Option<Operation> {
        match self {
            Self::PAUSE => Some(Operation::Pause),
            Self::RESUME => Some(Operation::Resume),
            Self::STOP => Some(Operation::Stop),
            _ => None,
        }
    }
}

/// One command on its way to the loop.
pub struct Command {
    /// What it is.
    pub kind: CommandKind,
    /// Index of the strategy that it concerns, or [`NO_STRATEGY`].
    pub strategy: u32,
    /// What decides its effect, as canonical bytes: enters the digest by its hash, and the recording as it is.
    pub payload: Box<[u8]>,
    /// What only this process needs, such as an object, or who waits for the answer; never decides anything.
    pub attachment: Option<Box<dyn Any + Send>>,
}

impl Command {
    /// A command without attachment.
    pub fn new(kind: CommandKind, strategy: u32, payload: impl Into<Box<[u8]>>) -> Self {
        Self { kind, strategy, payload: payload.into(), attachment: None }
    }

    /// The same with something for the host.
    #[must_use]
    pub fn with(self, attachment: impl Any + Send) -> Self {
        Self { attachment: Some(Box::new(attachment)), ..self }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command(kind {}, strategy {}, {} bytes)", self.kind.0, self.strategy, self.payload.len())
    }
}

/// What the loop has done with a command before it hands it to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Nothing: the host acts.
    ByHost,
    /// It carried out the operation, with this answer.
    Operation(Transition),
    /// The run has no such strategy: nobody acts.
    UnknownStrategy,
}

#[cfg(test)]
mod tests;
