//! Orders and what happens to them.

use crate::tick::Side;

/// Names an order: by its strategy and the strategy's own count, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderKey {
    /// Index of the strategy in order of registration.
    pub strategy: u32,
    /// Number of the order within its strategy, from 1.
    pub number: u32,
}

/// How far an order got. The discriminants enter the run digest and never change.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderStatus {
    /// Asked for in this step; not yet at the venue.
    Pending = 0,
    /// The venue has it.
    Accepted = 1,
    /// Done in full.
    Filled = 2,
    /// Taken back.
    Canceled = 3,
    /// The venue did not take it.
    Rejected = 4,
}

impl OrderStatus {
    /// The name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Accepted => "ACCEPTED",
            Self::Filled => "FILLED",
            Self::Canceled => "CANCELED",
            Self::Rejected => "REJECTED",
        }
    }

    /// Whether nothing more can happen to the order.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Filled | Self::Canceled | Self::Rejected)
    }
}

/// One market order, from the request to its end.
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
    /// How much; above zero and finite.
    pub quantity: f64,
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
    /// Its quantity with the sign of its side.
    pub fn signed(&self) -> f64 {
        self.side.sign() * self.quantity
    }
}

/// A change of an order, as its owner is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OrderUpdate {
    /// The order after the change.
    pub order: Order,
    /// Why it was rejected or canceled; empty otherwise.
    pub reason: &'static str,
}

impl OrderUpdate {
    /// The canonical bytes that enter the run digest.
    pub fn payload(&self) -> [u8; 34] {
        let order = &self.order;
        let mut bytes = [0; 34];
        bytes[..4].copy_from_slice(&order.key.number.to_le_bytes());
        bytes[4..8].copy_from_slice(&order.instrument.to_le_bytes());
        bytes[8] = order.side as u8;
        bytes[9] = order.status as u8;
        bytes[10..18].copy_from_slice(&order.quantity.to_bits().to_le_bytes());
        bytes[18..26].copy_from_slice(&order.price.to_bits().to_le_bytes());
        bytes[26..34].copy_from_slice(&order.fee.to_bits().to_le_bytes());
        bytes
    }
}
