//! The venue slot of the loop: what an order may be, where it goes, and what comes back.
//!
//! Reading order: [`Terms`] and [`OrderStatus`], [`Order`], [`Venue`] (the slot), [`SimulatedVenue`] with its settings,
//! `matching` (what fills when), `book` (the orders that stand), [`Portfolio`], `worth` (what it is all worth).

mod answer;
mod book;
mod costs;
mod latency;
mod matching;
mod offer;
mod order;
mod outbox;
mod portfolio;
mod random;
mod sessions;
mod simulated;
mod specification;
mod status;
mod terms;
mod worth;

pub(crate) use answer::kept;
pub use answer::{Answer, AnswerKind, LONGEST_REASON};
pub use costs::{Fees, Slippage};
pub use latency::{Latency, LatencyError};
pub use order::{Amendment, Order, OrderKey, OrderUpdate};
pub use outbox::{Leaving, Outbox, RoutedVenue};
pub use portfolio::{Held, Mark, Portfolio, Position};
pub(crate) use random::Random;
pub use sessions::{DAY_NS, Session, SessionError, Sessions};
pub use simulated::{BarPath, FillModel, InstrumentTerms, SimulatedVenue, VenueFill, VenueReport, VenueSettings};
pub use specification::{GRID_TOLERANCE, OffGrid, Specification};
pub use status::OrderStatus;
pub use terms::{OrderKind, Terms, TermsError, TimeInForce};
pub use worth::{Account, Books, Rate, RateError, Watermark, Worth};

use crate::risk::Pass;
use crate::tick::Tick;

/// Takes orders, and matches them against the ticks that follow.
///
/// The loop asks `is_waiting` once a tick; everything else costs only while orders are open. Reports are appended to a
/// list that the caller owns, so that a venue allocates nothing per tick. What a venue reports later than it was asked
/// waits until the loop comes to its time ([`Self::next_due_ns`]): after the ticks of that time, before its timers.
pub trait Venue: Send {
    /// Takes an order that the gate has let pass. It can match from the next input tick of its instrument on.
    fn submit(&mut self, order: &Order, pass: Pass, now_ns: i64, out: &mut Vec<VenueReport>);

    /// Whether orders of an instrument leave the process, so that what becomes of them does not end with it.
    fn is_away(&self, _instrument: u32) -> bool {
        false
    }

    /// Takes an order back; one that is done already stays as it is, and nothing is reported.
    fn cancel(&mut self, order: OrderKey, instrument: u32, now_ns: i64, out: &mut Vec<VenueReport>);

    /// Lets an order stand on other terms, which the gate has let pass.
    fn amend(
        &mut self,
        order: OrderKey,
        instrument: u32,
        change: Amendment,
        pass: Pass,
        now_ns: i64,
        out: &mut Vec<VenueReport>,
    );

    /// Whether an order waits for ticks of `instrument`.
    fn is_waiting(&self, instrument: u32) -> bool;

    /// Whether matching against `tick` would change nothing; may say no where it would not.
    fn leaves(&self, tick: &Tick) -> bool {
        !self.is_waiting(tick.instrument)
    }

    /// The bar that is matched next follows on one that came at `before_ns`; `i64::MIN`: that is not known.
    fn bar_follows(&mut self, _instrument: u32, _before_ns: i64) {}

    /// Matches open orders against `tick`.
    fn match_tick(&mut self, tick: &Tick, now_ns: i64, out: &mut Vec<VenueReport>);

    /// When something is due of itself, ns UTC; `i64::MAX`: nothing is.
    fn next_due_ns(&self) -> i64 {
        i64::MAX
    }

    /// Does the first thing that is due by `until_ns` and says when it was due; `None`: there is none.
    fn take_due(&mut self, _until_ns: i64, _out: &mut Vec<VenueReport>) -> Option<i64> {
        None
    }
}

#[cfg(test)]
mod tests;
