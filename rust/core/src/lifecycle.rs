//! The life of a strategy: six states, one table for both languages, one atomic byte a strategy.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where a strategy stands. The discriminants enter the run digest and never change.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The object exists.
    Created = 0,
    /// Services injected, ports checked.
    Initialised = 1,
    /// Receives ticks.
    Running = 2,
    /// Receives order updates, but no ticks.
    Paused = 3,
    /// Over; the object is never used again.
    Stopped = 4,
    /// A handler raised.
    Failed = 5,
}

impl State {
    /// All states, in the order of their discriminants.
    pub const ALL: [State; 6] =
        [State::Created, State::Initialised, State::Running, State::Paused, State::Stopped, State::Failed];

    /// The name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Initialised => "INITIALISED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
            Self::Failed => "FAILED",
        }
    }
}

/// What can be asked of a strategy's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `CREATED` to `INITIALISED`.
    Initialise,
    /// `INITIALISED` to `RUNNING`.
    Start,
    /// `RUNNING` to `PAUSED`.
    Pause,
    /// `PAUSED` to `RUNNING`.
    Resume,
    /// Any but `STOPPED` to `STOPPED`.
    Stop,
    /// Any but `STOPPED` to `FAILED`; the first cause is kept.
    Fail,
}

impl Operation {
    /// All operations.
    pub const ALL: [Operation; 6] = [
        Operation::Initialise,
        Operation::Start,
        Operation::Pause,
        Operation::Resume,
        Operation::Stop,
        Operation::Fail,
    ];

    /// The name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialise => "initialise",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Fail => "fail",
        }
    }
}

/// What the table answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Go there.
    To(State),
    /// Already there: nothing to do, no error.
    Already,
    /// Not from this state.
    Refused,
}

/// The one transition table.
///
/// ```
/// use tickrail_core::lifecycle::{Operation, State, Transition, transition};
/// assert_eq!(transition(State::Running, Operation::Pause), Transition::To(State::Paused));
/// assert_eq!(transition(State::Stopped, Operation::Start), Transition::Refused);
/// ```
pub const fn transition(from: State, operation: Operation) -> Transition {
    use State::{Created, Failed, Initialised, Paused, Running, Stopped};
    match (operation, from) {
        (Operation::Initialise, Created) => Transition::To(Initialised),
        (Operation::Start, Initialised) | (Operation::Resume, Paused) => Transition::To(Running),
        (Operation::Pause, Running) => Transition::To(Paused),
        (Operation::Stop, Created | Initialised | Running | Paused | Failed) => Transition::To(Stopped),
        (Operation::Fail, Created | Initialised | Running | Paused) => Transition::To(Failed),
        (Operation::Initialise, Initialised)
        | (Operation::Start | Operation::Resume, Running)
        | (Operation::Pause, Paused)
        | (Operation::Stop, Stopped)
        | (Operation::Fail, Failed) => Transition::Already,
        _ => Transition::Refused,
    }
}

/// One strategy's state: written by the dispatch thread only, read by anybody.
///
/// Relaxed throughout: the byte is the whole message and publishes no other memory.
#[derive(Debug)]
pub struct StateByte(AtomicU8);

impl StateByte {
    /// A strategy in `state`.
    pub const fn new(state: State) -> Self {
        Self(AtomicU8::new(state as u8))
    }

    /// The state now (relaxed).
    #[inline(always)]
    pub fn get(&self) -> State {
        State::ALL[self.0.load(Ordering::Relaxed) as usize]
    }

    /// Whether ticks are delivered: the one test a tick costs (relaxed).
    #[inline(always)]
    pub fn is_running(&self) -> bool {
        self.0.load(Ordering::Relaxed) == State::Running as u8
    }

    /// Applies `operation` by the table (relaxed); the dispatch thread is the only writer.
    pub fn apply(&self, operation: Operation) -> Transition {
        let answer = transition(self.get(), operation);
        if let Transition::To(state) = answer {
            self.0.store(state as u8, Ordering::Relaxed);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_stopped_and_every_state_can_stop() {
        for operation in Operation::ALL {
            let answer = transition(State::Stopped, operation);
            assert_eq!(answer == Transition::Already, operation == Operation::Stop, "{operation:?}");
            assert!(!matches!(answer, Transition::To(_)));
        }
        for state in State::ALL {
            assert_ne!(transition(state, Operation::Stop), Transition::Refused);
        }
    }

    #[test]
    fn the_byte_follows_the_table() {
        for from in State::ALL {
            for operation in Operation::ALL {
                let byte = StateByte::new(from);
                let expected = match byte.apply(operation) {
                    Transition::To(state) => state,
                    _ => from,
                };
                assert_eq!(byte.get(), expected);
                assert_eq!(byte.is_running(), expected == State::Running);
            }
        }
    }
}
