//! What trading costs beside the price: fees, and slippage of whoever takes.

use crate::tick::Side;

/// Fees of one instrument. What an order owes is the sum over its fills, and at least `minimum` once it has one.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Fees {
    /// Fraction of the notional where the order waited; below zero: a rebate.
    pub maker_rate: f64,
    /// Fraction of the notional where the order matched at once.
    pub taker_rate: f64,
    /// A unit.
    pub per_unit: f64,
    /// An order.
    pub minimum: f64,
}

impl Fees {
    /// The same fraction of the notional for everybody.
    pub const fn rate(rate: f64) -> Self {
        Self { maker_rate: rate, taker_rate: rate, per_unit: 0.0, minimum: 0.0 }
    }

    /// What a fill adds to what its order owes, before the minimum.
    pub(super) fn of(&self, notional: f64, quantity: f64, is_maker: bool) -> f64 {
        let rate = if is_maker { self.maker_rate } else { self.taker_rate };
        notional * rate + quantity * self.per_unit
    }

    /// What an order costs that owes so much: without a minimum a rebate is one.
    pub(super) fn due(&self, owed: f64) -> f64 {
        if self.minimum > 0.0 { owed.max(self.minimum) } else { owed }
    }
}

/// How much worse than what it saw a taker fares.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Slippage {
    /// Fraction of the price.
    pub fraction: f64,
    /// In units of the price.
    pub amount: f64,
}

impl Slippage {
    /// The price of a taker of `side` that saw `price`; never beyond `limit`, where there is one.
    pub(super) fn apply(&self, side: Side, price: f64, limit: f64) -> f64 {
        let slipped = price + side.sign() * (price.abs() * self.fraction + self.amount);
        match side {
            Side::Sell => slipped.max(limit),
            Side::Buy | Side::None => slipped.min(limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taker_slips_away_from_its_side_and_never_beyond_its_limit() {
        let slippage = Slippage { fraction: 0.01, amount: 0.5 };
        assert_eq!(slippage.apply(Side::Buy, 100.0, f64::NAN), 101.5);
        assert_eq!(slippage.apply(Side::Sell, 100.0, f64::NAN), 98.5);
        assert_eq!(slippage.apply(Side::Buy, 100.0, 101.0), 101.0);
        assert_eq!(slippage.apply(Side::Sell, 100.0, 99.0), 99.0);
    }

    #[test]
    fn fees_by_role() {
        let fees = Fees { maker_rate: -0.001, taker_rate: 0.002, per_unit: 0.5, minimum: 0.0 };
        assert_eq!(fees.of(1_000.0, 2.0, true), 0.0);
        assert_eq!(fees.of(1_000.0, 2.0, false), 3.0);
        assert_eq!((fees.due(-0.5), Fees { minimum: 1.0, ..fees }.due(-0.5)), (-0.5, 1.0));
    }
}
