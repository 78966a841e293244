//! The trading gate: one byte that every order passes, set from any thread, whatever the loop is doing.
//!
//! It needs neither the loop nor the interpreter: a strategy may hang in native code, and its next order is still refused.

mod file;

pub use file::{Change, GateFile, GateFileError};

use std::collections::BTreeMap;
use std::fmt;

use crate::sync::{AtomicU8, AtomicU64, Mutex, Ordering, PoisonError};

/// What orders may do. The discriminants are written to files and never change.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trading {
    /// All may leave.
    Active = 0,
    /// Only those that reduce a position.
    Reducing = 1,
    /// None.
    Halted = 2,
}

impl Trading {
    /// All states, in the order of their discriminants.
    pub const ALL: [Trading; 3] = [Trading::Active, Trading::Reducing, Trading::Halted];

    /// The name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Reducing => "REDUCING",
            Self::Halted => "HALTED",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Why an order may not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Trading is halted.
    Halted,
    /// The order would not reduce the position, and only such may leave.
    NotReducing,
    /// The order is larger than the limit.
    TooLarge,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl Stopped {
    /// The reason as the order's owner is told.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Halted => "trading is halted",
            Self::NotReducing => "trading is restricted to orders that reduce a position",
            Self::TooLarge => "the quantity is above the limit max_order_quantity",
        }
    }
}

/// The gate of a run.
///
/// ```
/// use tickrail_core::trading::{Stopped, Trading, TradingGate};
/// let gate = TradingGate::default();
/// assert_eq!(gate.check(5.0, false), Ok(()));
/// gate.set(Trading::Reducing);
/// assert_eq!(gate.check(5.0, true), Ok(()));
/// assert_eq!(gate.check(5.0, false), Err(Stopped::NotReducing));
/// gate.set(Trading::Halted);
/// assert_eq!(gate.check(5.0, true), Err(Stopped::Halted));
/// ```
pub struct TradingGate {
    /// Release by `set`, Acquire by `state`: who is refused sees what was written before.
    state: AtomicU8,
    /// Bits of the largest quantity of one order. Relaxed: the number is the whole message.
    max_order_quantity: AtomicU64,
    /// Who takes open orders back without the loop.
    takers: Mutex<Vec<Taker>>,
    /// Who knows what has not reached the venues yet.
    senders: Mutex<Vec<Sender>>,
    /// What else outlives the process.
    kept: Mutex<Kept>,
}

/// What is kept beside the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Why the state was set.
    pub reason: String,
    /// Limits that were changed while the run went on, by table and key; infinite: none.
    pub limits: BTreeMap<(String, String), f64>,
}

/// Which open orders are taken back without the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeBack {
    /// All: trading is halted.
    All,
    /// Those of strategies whose rule says so: the run is to stop, and its loop does not come to it.
    AtTheEnd,
}

/// Takes open orders back; whether it can.
type Taker = Box<dyn Fn(TakeBack) -> bool + Send + Sync>;

/// Says what waits to be sent.
type Sender = Box<dyn Fn() -> Unsent + Send + Sync>;

/// What has left the loop and has not reached its venue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsent {
    /// Cancels of which no venue has heard.
    pub cancels: usize,
    /// Orders that nobody has begun to send.
    pub orders: usize,
    /// Whether the request to take all orders back waits too, whose orders are not among those.
    pub all: bool,
}

impl Unsent {
    /// Whether open orders are still to be taken back.
    pub const fn has_cancels(self) -> bool {
        self.cancels > 0 || self.all
    }
}

impl std::ops::Add for Unsent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { cancels: self.cancels + other.cancels, orders: self.orders + other.orders, all: self.all || other.all }
    }
}

impl fmt::Debug for TradingGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TradingGate({}, at most {})", self.state().name(), self.max_order_quantity())
    }
}

impl Default for TradingGate {
    /// Everything may leave.
    fn default() -> Self {
        Self {
            state: AtomicU8::new(Trading::Active as u8),
            max_order_quantity: AtomicU64::new(f64::INFINITY.to_bits()),
            takers: Mutex::default(),
            senders: Mutex::default(),
            kept: Mutex::default(),
        }
    }
}

impl TradingGate {
    /// Sets what orders may do, from the next order on.
    pub fn set(&self, state: Trading) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// From now on `taker` is asked to take open orders back where the loop may not answer. It must not wait.
    pub fn taken_back_by(&self, taker: impl Fn(TakeBack) -> bool + Send + Sync + 'static) {
        self.takers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(taker));
    }

    /// Takes back what can be without the loop; whether there is anybody who can. Any thread.
    pub fn take_back(&self, which: TakeBack) -> bool {
        let takers = self.takers.lock().unwrap_or_else(PoisonError::into_inner);
        // All of them are asked.
        takers.iter().filter(|taker| taker(which)).count() > 0
    }

    /// From now on `sender` is asked what waits to be sent. It must not wait itself.
    pub fn sent_by(&self, sender: impl Fn() -> Unsent + Send + Sync + 'static) {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(sender));
    }

    /// What waits to be sent. Any thread.
    pub fn unsent(&self) -> Unsent {
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.iter().fold(Unsent::default(), |all, sender| all + sender())
    }

    /// Changes what is kept beside the state.
    pub fn keep(&self, change: impl FnOnce(&mut Kept)) {
        change(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What is kept beside the state.
    pub fn kept(&self) -> Kept {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What orders may do.
    #[inline]
    pub fn state(&self) -> Trading {
        Trading::ALL[usize::from(self.state.load(Ordering::Acquire)).min(2)]
    }

    /// Sets the largest quantity of one order; infinite: any.
    pub fn set_max_order_quantity(&self, quantity: f64) {
        self.max_order_quantity.store(quantity.to_bits(), Ordering::Relaxed);
    }

    /// The largest quantity of one order.
    pub fn max_order_quantity(&self) -> f64 {
        f64::from_bits(self.max_order_quantity.load(Ordering::Relaxed))
    }

    /// Whether an order of `quantity` may leave, or be changed to that; `reduces`: whatever becomes of its owner's other
    /// orders, it takes a position nearer to zero, or makes nothing worse.
    ///
    /// # Errors
    /// Why it may not.
    #[inline]
    pub fn check(&self, quantity: f64, reduces: bool) -> Result<(), Stopped> {
        match self.state() {
            Trading::Halted => Err(Stopped::Halted),
            Trading::Reducing if !reduces => Err(Stopped::NotReducing),
            _ if quantity > self.max_order_quantity() => Err(Stopped::TooLarge),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_in_every_state_that_lets_orders_pass() {
        let gate = TradingGate::default();
        gate.set_max_order_quantity(3.0);
        assert_eq!(gate.check(3.0, true), Ok(()));
        assert_eq!(gate.check(3.5, true), Err(Stopped::TooLarge));
        gate.set(Trading::Reducing);
        assert_eq!(gate.check(3.5, true), Err(Stopped::TooLarge));
    }
}
