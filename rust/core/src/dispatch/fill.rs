//! What is kept of a fill.

use crate::tick::Side;
use crate::venue::OrderKey;

/// A fill as the result tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fill {
    /// Whose order.
    pub order: OrderKey,
    /// Which instrument.
    pub instrument: u32,
    /// Which way.
    pub side: Side,
    /// How much.
    pub quantity: f64,
    /// At which price.
    pub price: f64,
    /// Fee paid.
    pub fee: f64,
    /// Whether the order waited, and somebody else came to it.
    pub is_maker: bool,
    /// Loop position of the step in which the strategy heard of it: the tick that filled it, or the report's.
    pub position: u64,
    /// Time of that tick, ns UTC.
    pub ts_ns: i64,
    /// Loop position of the decision; always before `position`.
    pub made_position: u64,
    /// What the strategy had realised in this instrument after the fill, fees apart.
    pub realised: f64,
    /// What one unit of the instrument's currency was worth in the run's; NaN: that is not known.
    pub rate: f64,
}
