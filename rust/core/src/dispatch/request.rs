//! What handlers ask for, and why they may be refused.

use std::fmt;

use crate::lifecycle::{Ask, Cause, Operation, State};
use crate::timer::{TimerError, TimerId};
use crate::venue::{Amendment, OffGrid, OrderKey, TermsError};

/// Names a timer: by its strategy and the strategy's own count, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerKey {
    /// Index of the strategy in order of registration.
    pub strategy: u32,
    /// Number of the timer within its strategy, from 1.
    pub number: u32,
    /// Where the queue has it.
    pub id: TimerId,
}

/// Names a coroutine: by its strategy and the strategy's own count, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpawnKey {
    /// Index of the strategy in order of registration.
    pub strategy: u32,
    /// Number of the coroutine within its strategy, from 1.
    pub number: u32,
}

/// Made by a handler; takes effect at the end of the step, in the order made. Never passes through the external lanes.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Send this order, which stands in the book as pending.
    Order(OrderKey),
    /// Reject this order of the book: its strategy may only reduce positions.
    HoldBack(OrderKey),
    /// Take this order back.
    Cancel(OrderKey),
    /// Let this order stand on other terms.
    Amend(OrderKey, Amendment),
    /// A timer was set; nobody could tell yet, so that the queue has it already.
    SetTimer {
        /// Whose.
        strategy: u32,
        /// Its number.
        number: u32,
        /// When it is due, ns UTC.
        due_ns: i64,
        /// Its period; 0: it fires once.
        interval_ns: i64,
        /// When it fires no more; `i64::MAX`: never.
        end_ns: i64,
    },
    /// A timer was taken away; the queue no longer has it.
    CancelTimer {
        /// Whose.
        strategy: u32,
        /// Its number.
        number: u32,
    },
    /// Begin this coroutine.
    Spawn(SpawnKey),
    /// Cancel this coroutine.
    CancelSpawn(SpawnKey),
    /// Deliver (or no longer deliver) an instrument to a strategy.
    Subscription {
        /// Whose.
        strategy: u32,
        /// Which instrument.
        instrument: u32,
        /// Whether to deliver it.
        wanted: bool,
    },
    /// Move a life on, once the step is over.
    Life {
        /// Whose.
        strategy: u32,
        /// How.
        ask: Ask,
        /// Who asks.
        cause: Cause,
    },
    /// Tell a strategy of what a command has done to it.
    Tell {
        /// Whom.
        strategy: u32,
        /// Which event, by its number at the host.
        number: u64,
    },
    /// Handle the oldest command that was sent on the dispatch thread and waits at the host.
    Command,
}

impl Request {
    /// Who made it.
    pub const fn strategy(&self) -> u32 {
        match self {
            Self::Order(key) | Self::HoldBack(key) | Self::Cancel(key) | Self::Amend(key, _) => key.strategy,
            Self::SetTimer { strategy, .. }
            | Self::CancelTimer { strategy, .. }
            | Self::Subscription { strategy, .. }
            | Self::Tell { strategy, .. }
            | Self::Life { strategy, .. } => *strategy,
            Self::Spawn(key) | Self::CancelSpawn(key) => key.strategy,
            Self::Command => crate::command::NO_STRATEGY,
        }
    }
}

/// Why a request was refused on the spot; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The quantity is zero, negative, no number, or beyond [`MAX_QUANTITY`].
    Quantity(f64),
    /// The run has no such instrument.
    Instrument(u32),
    /// The run has no such strategy.
    Strategy(u32),
    /// The lifecycle has no such step from this state.
    Illegal(State, Operation),
    /// The strategy is in a state in which it may not act.
    State(State),
    /// The strategy never made such an order.
    Order(u32),
    /// A timer cannot be set as asked.
    Timer(TimerError),
    /// The strategy has [`MAX_ORDERS`] orders.
    TooManyOrders,
    /// Price or quantity is none of the instrument.
    OffGrid(OffGrid),
    /// The terms exclude each other.
    Terms(TermsError),
    /// The order is done already.
    Done(u32),
    /// An order of this kind has no such price to change.
    NoPrice(u32),
    /// [`MAX_SPAWNS`] coroutines of the strategy run.
    TooManySpawns,
}

/// Largest quantity of an order: from 2^53, about nine times as much, floats no longer tell lots of one apart, and no sum of
/// what a run can order overflows.
pub const MAX_QUANTITY: f64 = 1e15;

/// Orders that one strategy may make in one run: numbers are 32 bits wide, and each order is kept for the result.
pub const MAX_ORDERS: u32 = 100_000_000;

/// Coroutines of one strategy that run at once: more wait for a source that does not keep up, and each holds memory.
pub const MAX_SPAWNS: u32 = 1_024;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantity(quantity) => {
                write!(f, "quantity is {quantity}: expected a number above zero and at most 1e15")
            }
            Self::Instrument(index) => write!(f, "instrument number {index} is not in the run's table"),
            Self::Strategy(index) => write!(f, "the run has no strategy number {index}"),
            Self::Illegal(state, operation) => write!(f, "cannot {}: it is {}", operation.name(), state.name()),
            Self::State(state) => write!(f, "the strategy is {}: it may act while RUNNING or PAUSED", state.name()),
            Self::Order(number) => write!(f, "the strategy has no order number {number}"),
            Self::Timer(error) => write!(f, "{error}"),
            Self::TooManySpawns => {
                write!(f, "{MAX_SPAWNS} coroutines of the strategy run, which is the limit")
            }
            Self::TooManyOrders => {
                write!(f, "the strategy has made {MAX_ORDERS} orders in this run, which is the limit")
            }
            Self::OffGrid(off) => off.fmt(f),
            Self::Terms(terms) => terms.fmt(f),
            Self::Done(number) => write!(f, "order number {number} is done: nothing about it can change"),
            Self::NoPrice(number) => {
                write!(f, "order number {number} has no such price: a limit belongs to limit orders, a stop to stops")
            }
        }
    }
}

impl std::error::Error for Refusal {}
