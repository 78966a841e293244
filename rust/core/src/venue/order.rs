//! Orders and what happens to them.

use super::status::OrderStatus;
use super::terms::Terms;
use crate::risk::Verdict;
use crate::tick::Side;

/// Names an order: by its strategy and the strategy's own count, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderKey {
    /// Index of the strategy in order of registration.
    pub strategy: u32,
    /// Number of the order within its strategy, from 1.
    pub number: u32,
}

/// One order, from the request to its end, as its owner knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// Its name.
    pub key: OrderKey,
    /// Index of its instrument.
    pub instrument: u32,
    /// Which way.
    pub side: Side,
    /// How far it got.
    pub status: OrderStatus,
    /// Kind, prices and how long it stands.
    pub terms: Terms,
    /// What the gate said of it.
    pub gate: Verdict,
    /// How much; above zero and finite.
    pub quantity: f64,
    /// How much of it is done.
    pub filled: f64,
    /// Loop position and time of the handler call that asked for it.
    pub made_position: u64,
    /// Time of the decision, ns UTC.
    pub made_ns: i64,
    /// Loop position of the last change.
    pub changed_position: u64,
    /// Time of the last change, ns UTC.
    pub changed_ns: i64,
    /// Average price of its fills; NaN while there are none.
    pub price: f64,
    /// Fees of its fills.
    pub fee: f64,
}

impl Order {
    /// What is not done, with the sign of its side.
    pub fn signed_left(&self) -> f64 {
        self.side.sign() * (self.quantity - self.filled)
    }

    /// An order as it was asked for.
    #[cfg(test)]
    pub(crate) fn asked(key: OrderKey, instrument: u32, signed: f64, terms: Terms) -> Self {
        Self {
            key,
            instrument,
            side: if signed < 0.0 { Side::Sell } else { Side::Buy },
            status: OrderStatus::Pending,
            terms,
            gate: Verdict::NotAsked,
            quantity: signed.abs(),
            filled: 0.0,
            made_position: 0,
            made_ns: 0,
            changed_position: 0,
            changed_ns: 0,
            price: f64::NAN,
            fee: 0.0,
        }
    }

    /// Enters a fill.
    pub(crate) fn fill(&mut self, quantity: f64, price: f64, fee: f64, is_done: bool) {
        let before = if self.filled == 0.0 { 0.0 } else { self.price * self.filled };
        // The last fill leaves exactly nothing, whatever the fractions were.
        let filled = if is_done { self.quantity } else { self.filled + quantity };
        self.price = if self.filled == 0.0 { price } else { (before + price * quantity) / filled };
        self.filled = filled;
        self.fee += fee;
    }
}

/// What an order is to be from now on; NaN where its kind has no such price.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amendment {
    /// How much in all, what is filled among it.
    pub quantity: f64,
    /// Worst price.
    pub limit: f64,
    /// Price that wakes it.
    pub stop: f64,
}

impl Amendment {
    /// Whether it leaves the prices as they are.
    pub fn keeps_prices(&self, terms: &Terms) -> bool {
        same(self.limit, terms.limit) && same(self.stop, terms.stop)
    }

    /// Whether it is the same change as another one.
    pub fn is(&self, other: &Self) -> bool {
        same(self.quantity, other.quantity) && same(self.limit, other.limit) && same(self.stop, other.stop)
    }

    /// The canonical bytes that enter the run digest.
    pub fn payload(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.quantity.to_bits().to_le_bytes());
        bytes[8..16].copy_from_slice(&self.limit.to_bits().to_le_bytes());
        bytes[16..].copy_from_slice(&self.stop.to_bits().to_le_bytes());
        bytes
    }
}

fn same(new: f64, old: f64) -> bool {
    new.to_bits() == old.to_bits() || (new.is_nan() && old.is_nan())
}

/// A change of an order, as its owner is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OrderUpdate {
    /// The order after the change.
    pub order: Order,
    /// How much was filled now; 0 where the change is no fill.
    pub fill_quantity: f64,
    /// At which price; NaN where the change is no fill.
    pub fill_price: f64,
    /// Why it was rejected, canceled or not amended; empty otherwise.
    pub reason: &'static str,
}

impl OrderUpdate {
    /// A change that is no fill.
    pub const fn of(order: Order, reason: &'static str) -> Self {
        Self { order, fill_quantity: 0.0, fill_price: f64::NAN, reason }
    }

    /// The canonical bytes that enter the run digest.
    pub fn payload(&self) -> [u8; 50] {
        let order = &self.order;
        let mut bytes = [0; 50];
        bytes[..4].copy_from_slice(&order.key.number.to_le_bytes());
        bytes[4..8].copy_from_slice(&order.instrument.to_le_bytes());
        bytes[8] = order.side as u8;
        bytes[9] = order.status as u8;
        let figures = [order.quantity, order.filled, order.price, order.fee, self.fill_quantity];
        for (place, figure) in bytes[10..].chunks_exact_mut(8).zip(figures) {
            place.copy_from_slice(&figure.to_bits().to_le_bytes());
        }
        bytes
    }
}
