//! The life of a strategy: six states, one table for both languages, one atomic byte a strategy.
//!
//! What is asked of a life from other threads waits in the [`Inbox`]; what became of it is told as [`StateChange`]s,
//! which a [`ChangeLog`] keeps.

mod byte;
mod change;
mod inbox;
mod log;

pub use byte::StateByte;
pub use change::{Ask, Cause, PauseMode, StateChange, by_run, by_strategy};
pub use inbox::{Asked, Inbox, MAX_WAITING, Refused, Ticket};
pub use log::{ChangeLog, MAX_CHANGES};

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
    /// Receives order updates and, by [`PauseMode`], ticks; its orders may only reduce positions.
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
    /// Any to `CREATED`: a new object takes the place, after the old one was stopped.
    Restart,
}

impl Operation {
    /// All operations.
    pub const ALL: [Operation; 7] = [
        Operation::Initialise,
        Operation::Start,
        Operation::Pause,
        Operation::Resume,
        Operation::Stop,
        Operation::Fail,
        Operation::Restart,
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
            Self::Restart => "restart",
        }
    }

    /// The operation of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
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
        (Operation::Restart, Created | Initialised | Running | Paused | Stopped | Failed) => Transition::To(Created),
        (Operation::Initialise, Initialised)
        | (Operation::Start | Operation::Resume, Running)
        | (Operation::Pause, Paused)
        | (Operation::Stop, Stopped)
        | (Operation::Fail, Failed) => Transition::Already,
        _ => Transition::Refused,
    }
}

/// The operations that would lead out of `from`, in the order of [`Operation::ALL`].
pub fn allowed(from: State) -> impl Iterator<Item = Operation> {
    Operation::ALL.into_iter().filter(move |&operation| matches!(transition(from, operation), Transition::To(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_object_leaves_stopped_and_every_state_can_stop() {
        for operation in Operation::ALL {
            let answer = transition(State::Stopped, operation);
            assert_eq!(answer == Transition::Already, operation == Operation::Stop, "{operation:?}");
            assert_eq!(matches!(answer, Transition::To(_)), operation == Operation::Restart, "{operation:?}");
        }
        for state in State::ALL {
            assert_ne!(transition(state, Operation::Stop), Transition::Refused);
        }
    }

    #[test]
    fn names_and_what_is_allowed() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_name(operation.name()), Some(operation));
        }
        let names = |state| allowed(state).map(Operation::name).collect::<Vec<_>>();
        assert_eq!(names(State::Paused), ["resume", "stop", "fail", "restart"]);
        assert_eq!(names(State::Stopped), ["restart"]);
    }
}
