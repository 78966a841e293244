//! Handlers in machine code: the form for strategies in Rust, and for functions that were compiled elsewhere.
//!
//! They see the records themselves, and ask for things by filling an [`Out`], which the loop reads when they have
//! returned. So they need no borrow of anything, nothing of Python, and cost a few ns a tick.

mod c_abi;
mod out;

use std::fmt;

pub use c_abi::{
    ABI_VERSION, AbiError, BatchFunction, CFunctions, CHandler, Failure, FailureSlot, REPLAYED_STATE_BYTES,
    TakeFunction, TimerFunction, UpdateFunction, abi_layout,
};
pub use out::{
    HAS_EXPIRY, HAS_LIMIT, HAS_QUANTITY, HAS_STOP, OUT_CAPACITY, Out, OutRecord, POST_ONLY, REDUCE_ONLY, Wish, zeroed,
};

use crate::dispatch::Refusal;
use crate::tick::Tick;
use crate::venue::OrderUpdate;

/// A timer that fired, as handlers in machine code see it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerRecord {
    /// When it was due, ns UTC.
    pub ts_ns: i64,
    /// What the handler called it by, or its number where Python set it.
    pub tag: i64,
    /// Which time it is, from 1.
    pub count: u64,
}

/// A change of an order, as handlers in machine code see it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateRecord {
    /// Clock of the step, ns UTC.
    pub ts_ns: i64,
    /// How much.
    pub quantity: f64,
    /// How much of it is done.
    pub filled: f64,
    /// Average price of its fills; NaN before.
    pub price: f64,
    /// Fees of its fills.
    pub fee: f64,
    /// The order's number within its strategy.
    pub order: u32,
    /// Index of its instrument.
    pub instrument: u32,
    /// 1 buy, 2 sell.
    pub side: u8,
    /// As [`crate::venue::OrderStatus`].
    pub status: u8,
    /// Zero.
    pub spare: [u8; 6],
}

impl UpdateRecord {
    /// What `update` tells at `now_ns`.
    pub fn new(update: &OrderUpdate, now_ns: i64) -> Self {
        let order = &update.order;
        Self {
            ts_ns: now_ns,
            quantity: order.quantity,
            filled: order.filled,
            price: order.price,
            fee: order.fee,
            order: order.key.number,
            instrument: order.instrument,
            side: order.side as u8,
            status: order.status as u8,
            spare: [0; 6],
        }
    }
}

/// Why a handler in machine code did not do its work: its strategy is FAILED.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum HandlerError {
    /// The handler says so.
    Failed(String),
    /// A compiled function left by an exception; what it was, whoever compiled it can tell.
    Raised,
    /// More than [`OUT_CAPACITY`] things were asked for in one call, or the count was overwritten.
    Overrun(i64),
    /// A record of `Out` means nothing.
    Unknown(u32),
    /// What it asked for was refused.
    Refused(Refusal),
    /// The loop is farther behind its feeds than the strategy's rule allows.
    Lagged {
        /// How many records waited.
        waiting: u64,
    },
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) => write!(f, "{message}"),
            Self::Raised => write!(f, "the compiled handler raised"),
            Self::Overrun(count) => {
                write!(f, "the handler asked for {count} things in one call: expected at most {OUT_CAPACITY}")
            }
            Self::Unknown(kind) => write!(f, "the handler asked for a thing of kind {kind}, which does not exist"),
            Self::Lagged { waiting } => {
                write!(f, "the loop is too far behind for this strategy: {waiting} records wait")
            }
            Self::Refused(refusal) => write!(f, "{refusal}"),
        }
    }
}

impl std::error::Error for HandlerError {}

/// A strategy in machine code. What it asks for in `out` takes effect at the end of the step.
pub trait Handler {
    /// A tick of an instrument that it subscribed to.
    ///
    /// # Errors
    /// The strategy is FAILED, and what it asked for in this step is void. The same holds for the other methods.
    fn on_tick(&mut self, tick: &Tick, out: &mut Out) -> Result<(), HandlerError>;

    /// Ticks by the batch, for strategies that registered so.
    ///
    /// # Errors
    /// See [`Self::on_tick`].
    fn on_batch(&mut self, ticks: &[Tick], out: &mut Out) -> Result<(), HandlerError> {
        ticks.iter().try_for_each(|tick| self.on_tick(tick, out))
    }

    /// A timer fired.
    ///
    /// # Errors
    /// See [`Self::on_tick`].
    fn on_timer(&mut self, _timer: &TimerRecord, _out: &mut Out) -> Result<(), HandlerError> {
        Ok(())
    }

    /// An order changed.
    ///
    /// # Errors
    /// See [`Self::on_tick`].
    fn on_order_update(&mut self, _update: &UpdateRecord, _out: &mut Out) -> Result<(), HandlerError> {
        Ok(())
    }

    /// The run begins.
    ///
    /// # Errors
    /// See [`Self::on_tick`].
    fn on_start(&mut self, _out: &mut Out) -> Result<(), HandlerError> {
        Ok(())
    }

    /// The run is over.
    ///
    /// # Errors
    /// See [`Self::on_tick`].
    fn on_stop(&mut self, _out: &mut Out) -> Result<(), HandlerError> {
        Ok(())
    }

    /// The strategy is about to be paused.
    ///
    /// # Errors
    /// See [`Self::on_tick`].
    fn on_pause(&mut self, _out: &mut Out) -> Result<(), HandlerError> {
        Ok(())
    }

    /// The strategy runs again after a pause.
    ///
    /// # Errors
    /// See [`Self::on_tick`].
    fn on_resume(&mut self, _out: &mut Out) -> Result<(), HandlerError> {
        Ok(())
    }

    /// Waits, for a bounded time, until everything that it was given is done: for handlers that only pass it on to another
    /// thread. Called before hooks of the host, and when the data has ended; false where it may still be under way.
    fn come_to_rest(&mut self) -> bool {
        true
    }

    /// Whether it only stands for a handler that is called elsewhere, and whose wishes come as external inputs.
    fn is_elsewhere(&self) -> bool {
        false
    }

    /// Takes ticks one after the other until one makes it ask for something or fails; says how many it took.
    fn take(&mut self, ticks: &[Tick], out: &mut Out) -> (usize, Result<(), HandlerError>) {
        for (index, tick) in ticks.iter().enumerate() {
            let result = self.on_tick(tick, out);
            if result.is_err() || !out.is_empty() {
                return (index + 1, result);
            }
        }
        (ticks.len(), Ok(()))
    }
}
