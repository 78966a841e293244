//! What other threads ask of lives while the run goes on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Ask, Cause, Operation, PauseMode, State, StateByte, Transition, transition};
use crate::stop::{LIVES, StopFlag, Waker};

/// Requests that wait at most, of all strategies together: nobody asks for more between two steps on purpose.
pub const MAX_WAITING: usize = 1_024;

/// Names a request; equal ones that wait share it. Zero: there was nothing to do.
pub type Ticket = u64;

/// A request that waits for the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Of whom.
    pub strategy: u32,
    /// What.
    pub ask: Ask,
    /// Who asks.
    pub cause: Cause,
    /// Its name.
    pub ticket: Ticket,
    /// Whether the dispatch thread asks, within a step: what came before decides it.
    pub is_local: bool,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The table has no such step from the state that the strategy will be in by then.
    Illegal(State),
    /// The run is over.
    Over(State),
    /// The run takes what was recorded, and nothing from elsewhere.
    Replaying(State),
    /// [`MAX_WAITING`] requests wait.
    Full,
    /// There is no strategy of that number.
    Unknown,
}

#[derive(Debug, Default)]
struct Waiting {
    asked: VecDeque<Asked>,
    states: Vec<Arc<StateByte>>,
    /// Strategies that the run will have: those without a state yet are taken for INITIALISED, as they will be.
    promised: usize,
    last: Ticket,
    is_over: bool,
    /// Whether only the dispatch thread may ask.
    is_replaying: bool,
    /// Raised for whatever comes in, once there is a loop.
    flag: Option<Arc<StopFlag>>,
    /// Called for whatever comes in, where the loop may be asleep.
    waker: Option<Arc<Waker>>,
}

/// Requests of any thread, taken by the loop between two steps.
///
/// A short list under a lock, which nobody holds while anything is called; the loop looks at it when its [`StopFlag`] is
/// raised, so that an empty one costs nothing. Equal requests that follow one another share a ticket; a stop overtakes
/// what else waits for its strategy but a failure, and a failure overtakes all.
#[derive(Debug, Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
}

impl Inbox {
    /// From now on the loop that looks at `flag` takes what comes in.
    pub(crate) fn serve_by(&self, flag: Arc<StopFlag>) {
        let mut waiting = self.lock();
        if !waiting.asked.is_empty() {
            flag.call(LIVES);
        }
        waiting.flag = Some(flag);
    }

    /// From now on `waker` is called for whatever comes in: the loop may be asleep.
    pub fn wake_by(&self, waker: Arc<Waker>) {
        self.lock().waker = Some(waker);
    }

    /// One more strategy will be registered: it can be asked for already.
    pub fn promise(&self) {
        self.lock().promised += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic while it is held would be one of the allocator: the list is whole at any moment.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_strategy(&self, state: Arc<StateByte>) {
        self.lock().states.push(state);
    }

    /// Asks; says the request's name, and the names of those that it overtook.
    ///
    /// # Errors
    /// Why it was not taken; nothing has changed then.
    pub fn ask(&self, strategy: u32, ask: Ask, cause: Cause) -> Result<(Ticket, Vec<Ticket>), Refused> {
        self.ask_from(strategy, ask, cause, false)
    }

    /// The same; `is_local`: the dispatch thread asks, within a step.
    ///
    /// # Errors
    /// As above.
    pub fn ask_from(
        &self,
        strategy: u32,
        ask: Ask,
        cause: Cause,
        is_local: bool,
    ) -> Result<(Ticket, Vec<Ticket>), Refused> {
        let mut waiting = self.lock();
        let state = waiting.state(strategy).ok_or(Refused::Unknown)?;
        if waiting.is_over {
            let nothing = transition(state, ask.operation) == Transition::Already;
            return if nothing { Ok((0, Vec::new())) } else { Err(Refused::Over(state)) };
        }
        if waiting.is_replaying && !is_local {
            return Err(Refused::Replaying(state));
        }
        let overtaken = waiting.overtake(strategy, ask.operation);
        if let Some(last) = waiting.asked.iter().rfind(|asked| asked.strategy == strategy)
            && last.ask == ask
            && last.is_local == is_local
        {
            return Ok((last.ticket, overtaken));
        }
        let state = waiting.foresee(strategy, state);
        if transition(state, ask.operation) == Transition::Refused {
            return Err(Refused::Illegal(state));
        }
        if waiting.asked.len() >= MAX_WAITING {
            return Err(Refused::Full);
        }
        waiting.last += 1;
        let ticket = waiting.last;
        waiting.asked.push_back(Asked { strategy, ask, cause, ticket, is_local });
        if let Some(flag) = &waiting.flag {
            flag.call(LIVES);
        }
        if let Some(waker) = &waiting.waker {
            waker.wake();
        }
        Ok((ticket, overtaken))
    }

    /// Where a strategy stands. Any thread.
    pub fn state(&self, strategy: u32) -> Option<(State, Option<PauseMode>, bool)> {
        let waiting = self.lock();
        match waiting.states.get(strategy as usize) {
            Some(byte) => Some((byte.get(), byte.pause_mode(), byte.is_stopping())),
            None => waiting.state(strategy).map(|state| (state, None, false)),
        }
    }

    /// From now on only the dispatch thread may ask: what others asked for comes from a recording.
    pub(crate) fn take_no_others(&self) {
        self.lock().is_replaying = true;
    }

    /// The oldest request, for the loop.
    pub fn take(&self) -> Option<Asked> {
        self.lock().asked.pop_front()
    }

    /// The run is over: nothing is taken any more. What waits is still there.
    pub fn close(&self) {
        self.lock().is_over = true;
    }
}

impl Waiting {
    fn state(&self, strategy: u32) -> Option<State> {
        let promised = ((strategy as usize) < self.promised).then_some(State::Initialised);
        self.states.get(strategy as usize).map(|byte| byte.get()).or(promised)
    }

    /// Removes what `operation` makes pointless, and says the names of it.
    fn overtake(&mut self, strategy: u32, operation: Operation) -> Vec<Ticket> {
        let beats = |other: Operation| match operation {
            Operation::Fail => other != Operation::Fail,
            Operation::Stop => !matches!(other, Operation::Stop | Operation::Fail),
            _ => false,
        };
        let mut overtaken = Vec::new();
        self.asked.retain(|asked| {
            let goes = asked.strategy == strategy && beats(asked.ask.operation);
            if goes {
                overtaken.push(asked.ticket);
            }
            !goes
        });
        overtaken
    }

    /// Where `strategy` will stand once all that waits for it is done; a restart runs through to RUNNING.
    fn foresee(&self, strategy: u32, now: State) -> State {
        self.asked.iter().filter(|asked| asked.strategy == strategy).fold(now, |state, asked| {
            match (asked.ask.operation, transition(state, asked.ask.operation)) {
                (Operation::Restart, _) => State::Running,
                (_, Transition::To(next)) => next,
                _ => state,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(state: State) -> (Inbox, Arc<StopFlag>) {
        let flag = Arc::new(StopFlag::new());
        let inbox = Inbox::default();
        inbox.serve_by(Arc::clone(&flag));
        inbox.add_strategy(Arc::new(StateByte::new(state)));
        (inbox, flag)
    }

    fn ask(inbox: &Inbox, operation: Operation) -> Result<(Ticket, Vec<Ticket>), Refused> {
        inbox.ask(0, Ask::new(operation), Cause::Borrowed("a test"))
    }

    #[test]
    fn equal_requests_share_a_ticket_and_others_follow_by_the_table() {
        let (inbox, flag) = inbox(State::Running);
        assert!(!flag.asks(LIVES));
        assert_eq!(ask(&inbox, Operation::Pause), Ok((1, vec![])));
        assert!(flag.asks(LIVES) && !flag.is_set());
        assert_eq!(ask(&inbox, Operation::Pause), Ok((1, vec![])));
        assert_eq!(inbox.ask(0, Ask::pause(PauseMode::NoTicks), Cause::Borrowed("")), Ok((2, vec![])));
        assert_eq!(ask(&inbox, Operation::Resume), Ok((3, vec![])));
        assert_eq!(ask(&inbox, Operation::Initialise), Err(Refused::Illegal(State::Running)));
        assert_eq!(inbox.ask(1, Ask::new(Operation::Pause), Cause::Borrowed("")), Err(Refused::Unknown));
        let tickets: Vec<_> = std::iter::from_fn(|| inbox.take()).map(|asked| asked.ticket).collect();
        assert_eq!(tickets, [1, 2, 3]);
    }

    #[test]
    fn stop_overtakes_pause_and_fail_overtakes_all() {
        let (inbox, _) = inbox(State::Running);
        ask(&inbox, Operation::Pause).unwrap();
        ask(&inbox, Operation::Resume).unwrap();
        assert_eq!(ask(&inbox, Operation::Stop), Ok((3, vec![1, 2])));
        assert_eq!(ask(&inbox, Operation::Pause), Err(Refused::Illegal(State::Stopped)));
        assert_eq!(ask(&inbox, Operation::Restart), Ok((4, vec![])));
        assert_eq!(ask(&inbox, Operation::Fail), Ok((5, vec![3, 4])));
        assert_eq!(inbox.take().map(|asked| asked.ask.operation), Some(Operation::Fail));
        assert_eq!(inbox.take(), None);
    }

    #[test]
    fn what_is_asked_before_the_loop_is_there_waits_for_it() {
        let inbox = Inbox::default();
        assert_eq!(ask(&inbox, Operation::Stop), Err(Refused::Unknown));
        inbox.promise();
        assert_eq!(inbox.state(0), Some((State::Initialised, None, false)));
        assert_eq!(ask(&inbox, Operation::Pause), Err(Refused::Illegal(State::Initialised)));
        assert_eq!(ask(&inbox, Operation::Stop), Ok((1, vec![])));
        let flag = Arc::new(StopFlag::new());
        inbox.serve_by(Arc::clone(&flag));
        assert!(flag.answer(LIVES) != 0 && !flag.asks(LIVES));
    }

    #[test]
    fn it_is_bounded_and_closes() {
        let (inbox, _) = inbox(State::Running);
        for round in 0..MAX_WAITING {
            let operation = if round % 2 == 0 { Operation::Pause } else { Operation::Resume };
            ask(&inbox, operation).unwrap();
        }
        assert_eq!(ask(&inbox, Operation::Pause), Err(Refused::Full));
        inbox.close();
        assert_eq!(ask(&inbox, Operation::Pause), Err(Refused::Over(State::Running)));
        assert_eq!(ask(&inbox, Operation::Start), Ok((0, vec![])));
    }
}
