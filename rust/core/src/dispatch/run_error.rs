//! Why a run ends before its data.

use std::fmt;

/// Why a run cannot go on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RunError {
    /// The key of a feed went back.
    Unordered {
        /// Which feed.
        feed: u32,
        /// Input number, from 0.
        input: u64,
        /// The key before.
        before_ns: i64,
        /// The key found.
        found_ns: i64,
    },
    /// A record names an instrument that the run does not have.
    UnknownInstrument {
        /// Which feed.
        feed: u32,
        /// Input number, from 0.
        input: u64,
        /// The index found.
        instrument: u32,
    },
    /// The host could not show a tick.
    Host,
    /// A replay did not come to the place where this external input was recorded: data, configuration or strategies differ.
    Diverged {
        /// Where it was recorded.
        position: u64,
    },
}

impl RunError {
    /// The feed whose data ended the run, if one did.
    pub const fn feed(&self) -> Option<u32> {
        match self {
            Self::Unordered { feed, .. } | Self::UnknownInstrument { feed, .. } => Some(*feed),
            Self::Host | Self::Diverged { .. } => None,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unordered { input, before_ns, found_ns, .. } => write!(
                f,
                "input {input} runs backwards: its time is {found_ns} ns, after {before_ns} ns; \
                 expected times that never decrease"
            ),
            Self::UnknownInstrument { input, instrument, .. } => {
                write!(f, "input {input} has the instrument number {instrument}, which does not exist")
            }
            Self::Host => write!(f, "a tick could not be shown to Python"),
            Self::Diverged { position } => write!(
                f,
                "the replay does not come to loop position {position} as it was recorded: data, configuration or \
                 strategies are other ones"
            ),
        }
    }
}

impl std::error::Error for RunError {}
