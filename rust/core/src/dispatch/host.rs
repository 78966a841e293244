//! The host: whoever holds the handlers. The Python binding is one, a Rust program with its own strategies another.

use crate::block::TickBlock;
use crate::command::{Command, CommandKind, Handled};
use crate::feed::FeedEvent;
use crate::handler::{Handler, HandlerError};
use crate::lifecycle::{State, StateChange, Ticket};
use crate::tick::Tick;
use crate::timer::Fired;
use crate::venue::OrderUpdate;

use super::request::SpawnKey;

/// Why a handler did not return in peace.
#[derive(Debug)]
pub enum Fault<F> {
    /// The handler raised: its strategy is FAILED, and nobody else is touched.
    Failed(F),
    /// The user wants the run to end (Ctrl-C, `sys.exit`): the step is completed, then the loop stops.
    Interrupted(F),
    /// The handler wants no more ticks (a generator returned): its strategy is STOPPED, what it asked for stands.
    Ended,
}

/// A hook of a strategy's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The run begins.
    Start,
    /// The strategy, or the run, is over.
    Stop,
    /// The strategy is about to be paused.
    Pause,
    /// The strategy runs again.
    Resume,
}

impl Hook {
    /// All hooks, in the order of their discriminants.
    pub const ALL: [Hook; 4] = [Hook::Start, Hook::Stop, Hook::Pause, Hook::Resume];

    /// The hook's name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "on_start",
            Self::Stop => "on_stop",
            Self::Pause => "on_pause",
            Self::Resume => "on_resume",
        }
    }
}

/// What became of a request of the inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeAnswer {
    /// It was done; the strategy stands there now, which is `FAILED` where a hook raised.
    Done(State),
    /// The table has no such step from this state.
    Refused(State),
    /// The run ended before.
    Over(State),
}

/// How a coroutine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It has not ended, and the run is to stop.
    Pending,
    /// It has ended.
    Ended {
        /// By an exception.
        failed: bool,
    },
}

/// A time during which a strategy's rule for lag was at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LagEpisode {
    /// When the lag was seen, ns UTC.
    pub from_ns: i64,
    /// When the loop had caught up, ns UTC.
    pub until_ns: i64,
    /// Records that were skipped.
    pub skipped: u64,
    /// Records that a later one replaced.
    pub conflated: u64,
}

/// Calls handlers. All calls come from the dispatch thread, one at a time; none holds a borrow of the [`super::Desk`].
pub trait Host {
    /// What a handler raises.
    type Failure;

    /// A tick is about to be delivered to at least one strategy; called once, before the first.
    ///
    /// # Errors
    /// The tick cannot be shown: the run cannot go on.
    fn present(&mut self, tick: &Tick) -> Result<(), Self::Failure>;

    /// Hands the tick that was presented to `strategy`.
    ///
    /// # Errors
    /// What the handler raised.
    fn tick(&mut self, strategy: u32, tick: &Tick) -> Result<(), Fault<Self::Failure>>;

    /// What the handler that gets `tick` is called in records of errors.
    fn tick_handler(&self, _strategy: u32, _tick: &Tick) -> &'static str {
        "on_tick"
    }

    /// Hands a batch to `strategy`; the block may be kept.
    ///
    /// # Errors
    /// What the handler raised.
    fn batch(&mut self, strategy: u32, batch: TickBlock) -> Result<(), Fault<Self::Failure>>;

    /// A timer of `strategy` fired.
    ///
    /// # Errors
    /// What the handler raised.
    fn timer(&mut self, strategy: u32, fired: &Fired) -> Result<(), Fault<Self::Failure>>;

    /// A fill was booked, and `strategy` has asked to hear of it: of its own, or of somebody else's.
    ///
    /// # Errors
    /// What a listener raised.
    fn filled(&mut self, _strategy: u32, _is_own: bool) -> Result<(), Fault<Self::Failure>> {
        Ok(())
    }

    /// A timer of the run itself fired: a command is sent by the clock.
    ///
    /// # Errors
    /// The user wants the run to end; what the command's handler raised is told elsewhere.
    fn run_timer(&mut self, _fired: &Fired) -> Result<(), Fault<Self::Failure>> {
        Ok(())
    }

    /// An order of `strategy` changed.
    ///
    /// # Errors
    /// What the handler raised.
    fn order_update(&mut self, strategy: u32, update: &OrderUpdate) -> Result<(), Fault<Self::Failure>>;

    /// Whether a command that could be taken is still wanted: one that was taken back or came too late is none, and gets no
    /// loop position. In a replay its answer decides nothing.
    ///
    /// # Errors
    /// The user wants the run to end, or nobody handles what was recorded.
    fn admits(&mut self, _command: &Command) -> Result<bool, Fault<Self::Failure>> {
        Ok(true)
    }

    /// The oldest command that a handler has sent on the dispatch thread, at the end of that step.
    ///
    /// # Errors
    /// The user wants the run to end; what the command's handler raised is its sender's.
    fn local_command(&mut self) -> Result<(), Fault<Self::Failure>> {
        Ok(())
    }

    /// An external input has its turn: a command from another thread, the result of a coroutine. It has its loop position;
    /// what is asked for here takes effect at the end of the step. Its attachment is absent in a replay.
    ///
    /// # Errors
    /// What the strategy's handler raised. A failure of an input that concerns no strategy ends the run: whoever handles
    /// commands answers their senders instead.
    fn external(&mut self, command: Command, _handled: Handled) -> Result<(), Fault<Self::Failure>> {
        drop(command);
        Ok(())
    }

    /// What the handler of external inputs of `kind` is called in records of errors.
    fn external_handler(&self, _kind: CommandKind) -> &'static str {
        "on_command"
    }

    /// The run ended before this command had its turn.
    fn abandoned(&mut self, command: Command) {
        drop(command);
    }

    /// What a handler in machine code could not do, as this host shows it.
    fn handler_failure(&self, strategy: u32, error: HandlerError) -> Self::Failure;

    /// A feed tells something of itself: for whoever runs the feed, before strategies are told.
    ///
    /// # Errors
    /// The user wants the run to end; a failure ends it too.
    fn feed_event(&mut self, _event: &FeedEvent) -> Result<(), Fault<Self::Failure>> {
        Ok(())
    }

    /// Whether the strategy wants to be told of events.
    fn hears(&self, _strategy: u32) -> bool {
        false
    }

    /// Tells the strategy what a feed tells of itself.
    ///
    /// # Errors
    /// What the handler raised.
    fn told(&mut self, _strategy: u32, _event: &FeedEvent) -> Result<(), Fault<Self::Failure>> {
        Ok(())
    }

    /// Tells the strategy of what a command has done to it: event `number`, which the host keeps.
    ///
    /// # Errors
    /// What the handler raised.
    fn commanded(&mut self, _strategy: u32, _number: u64) -> Result<(), Fault<Self::Failure>> {
        Ok(())
    }

    /// The strategy's rule for lag was at work, and is no longer.
    ///
    /// # Errors
    /// What the handler raised.
    fn lagged(&mut self, _strategy: u32, _episode: &LagEpisode) -> Result<(), Fault<Self::Failure>> {
        Ok(())
    }

    /// The coroutine `key` begins, at the end of the step that asked for it.
    ///
    /// # Errors
    /// It cannot begin.
    fn spawn(&mut self, _key: SpawnKey) -> Result<(), Fault<Self::Failure>> {
        Ok(())
    }

    /// Waits until the coroutine `key` has ended, in a simulation.
    ///
    /// # Errors
    /// It takes too long, or the user wants the run to end.
    fn settle(&mut self, _key: SpawnKey) -> Result<Settled, Fault<Self::Failure>> {
        Ok(Settled::Ended { failed: false })
    }

    /// Hands the result of the coroutine `key` to its owner.
    ///
    /// # Errors
    /// What the handler raised.
    fn spawned(&mut self, _key: SpawnKey) -> Result<(), Fault<Self::Failure>> {
        Ok(())
    }

    /// Nobody wants the result of the coroutine `key` any more: it is cancelled, or never begins.
    fn forget(&mut self, _key: SpawnKey) {}

    /// The strategy's life goes on.
    ///
    /// # Errors
    /// What the hook raised.
    fn hook(&mut self, strategy: u32, hook: Hook) -> Result<(), Fault<Self::Failure>>;

    /// The strategy has been told of its orders after its [`Hook::Stop`]: what it keeps for its next life is to be kept again.
    ///
    /// # Errors
    /// What could not be kept.
    fn keep(&mut self, _strategy: u32) -> Result<(), Fault<Self::Failure>> {
        Ok(())
    }

    /// Whether [`Self::renew`] can make a new object for `strategy`.
    fn is_renewable(&self, _strategy: u32) -> bool {
        false
    }

    /// Makes a new object in the place of `strategy`, which is over; with its handler, where that is machine code.
    ///
    /// # Errors
    /// What making it raised: the strategy is FAILED then.
    fn renew(&mut self, _strategy: u32) -> Result<Option<Box<dyn Handler>>, Fault<Self::Failure>> {
        Ok(None)
    }

    /// A life went on.
    fn changed(&mut self, _change: &StateChange) {}

    /// The request `ticket` of the inbox is done with.
    fn settled(&mut self, _ticket: Ticket, _strategy: u32, _outcome: LifeAnswer) {}
}

/// The host of programs whose strategies are all handlers in machine code: it has nothing to call.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    type Failure = HandlerError;

    fn present(&mut self, _tick: &Tick) -> Result<(), HandlerError> {
        Ok(())
    }

    fn tick(&mut self, _strategy: u32, _tick: &Tick) -> Result<(), Fault<HandlerError>> {
        Ok(())
    }

    fn batch(&mut self, _strategy: u32, _batch: TickBlock) -> Result<(), Fault<HandlerError>> {
        Ok(())
    }

    fn timer(&mut self, _strategy: u32, _fired: &Fired) -> Result<(), Fault<HandlerError>> {
        Ok(())
    }

    fn order_update(&mut self, _strategy: u32, _update: &OrderUpdate) -> Result<(), Fault<HandlerError>> {
        Ok(())
    }

    fn handler_failure(&self, _strategy: u32, error: HandlerError) -> HandlerError {
        error
    }

    fn hook(&mut self, _strategy: u32, _hook: Hook) -> Result<(), Fault<HandlerError>> {
        Ok(())
    }
}
