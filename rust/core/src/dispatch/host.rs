//! The host: whoever holds the handlers. The Python binding is one, a Rust program with its own strategies another.

use crate::block::TickBlock;
use crate::tick::Tick;
use crate::venue::OrderUpdate;

use super::request::TimerKey;

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
    /// The run is over.
    Stop,
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

    /// A timer of `strategy` fired: due at `due_ns`, for the `count`th time (from 1).
    ///
    /// # Errors
    /// What the handler raised.
    fn timer(&mut self, timer: TimerKey, due_ns: i64, count: u64) -> Result<(), Fault<Self::Failure>>;

    /// An order of `strategy` changed.
    ///
    /// # Errors
    /// What the handler raised.
    fn order_update(&mut self, strategy: u32, update: &OrderUpdate) -> Result<(), Fault<Self::Failure>>;

    /// The strategy's life goes on.
    ///
    /// # Errors
    /// What the hook raised.
    fn hook(&mut self, strategy: u32, hook: Hook) -> Result<(), Fault<Self::Failure>>;
}
