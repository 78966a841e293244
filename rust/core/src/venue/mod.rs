//! The venue slot of the loop: where orders go, and what comes back.

mod order;
mod portfolio;
mod simulated;

pub use order::{Order, OrderKey, OrderStatus, OrderUpdate};
pub use portfolio::{Portfolio, Position};
pub use simulated::SimulatedVenue;

use crate::tick::Tick;

/// A fill that the venue made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VenueFill {
    /// Whose order.
    pub order: OrderKey,
    /// At which price.
    pub price: f64,
    /// What it cost beside the price, in the currency of the price.
    pub fee: f64,
}

/// Takes orders, and matches them against the ticks that follow.
///
/// The loop asks `is_waiting` once a tick; everything else costs only while orders are open. Fills are appended to a
/// list that the caller owns, so that a venue allocates nothing in steady state.
pub trait Venue: Send {
    /// Takes an order. It can match from the next input tick of its instrument on.
    ///
    /// # Errors
    /// The reason why the venue does not take it.
    fn submit(&mut self, order: &Order) -> Result<(), &'static str>;

    /// Forgets an open order; `false` where there is none.
    fn cancel(&mut self, order: OrderKey, instrument: u32) -> bool;

    /// Whether an order waits for ticks of `instrument`.
    fn is_waiting(&self, instrument: u32) -> bool;

    /// Matches open orders against `tick`, oldest first.
    fn match_tick(&mut self, tick: &Tick, fills: &mut Vec<VenueFill>);
}
