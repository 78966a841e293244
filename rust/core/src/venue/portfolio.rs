//! Positions, money made and money paid, by strategy and instrument.

use crate::tick::Side;

/// What one strategy has of one instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Position {
    /// Units held; below zero when short.
    pub net: f64,
    /// Signed units of orders that were asked for and are not done.
    pub in_flight: f64,
    /// Units of those orders that sell.
    pub selling: f64,
    /// Average price of what is held; 0 when flat.
    pub average_price: f64,
    /// Made by closing, fees apart, in the currency of the price.
    pub realised: f64,
    /// Fees paid.
    pub fees: f64,
    /// How many fills.
    pub fills: u64,
}

/// Below this fraction of the larger of two quantities their difference is rounding, and the position is flat.
const FLAT_FRACTION: f64 = 1e-12;

impl Position {
    /// Takes a fill of `signed` units (below zero: sold) at `price`; one unit at a price of 1 is worth `multiplier`.
    ///
    /// ```
    /// let mut position = tickrail_core::venue::Position::default();
    /// position.fill(2.0, 10.0, 0.0, 1.0);
    /// position.fill(-1.0, 13.0, 0.0, 1.0);
    /// assert_eq!((position.net, position.realised, position.average_price), (1.0, 3.0, 10.0));
    /// ```
    pub fn fill(&mut self, signed: f64, price: f64, fee: f64, multiplier: f64) {
        self.fees += fee;
        self.fills += 1;
        let before = self.net;
        let mut after = before + signed;
        if after.abs() <= FLAT_FRACTION * before.abs().max(signed.abs()) {
            after = 0.0;
        }
        if before == 0.0 || (before > 0.0) == (signed > 0.0) {
            self.average_price = (self.average_price * before.abs() + price * signed.abs()) / after.abs();
        } else {
            let closed = before.abs().min(signed.abs());
            self.realised += closed * (price - self.average_price) * before.signum() * multiplier;
            if after == 0.0 {
                self.average_price = 0.0;
            } else if (after > 0.0) != (before > 0.0) {
                self.average_price = price;
            }
        }
        self.net = after;
    }

    /// Notes an order of `signed` units that was asked for.
    pub fn send(&mut self, signed: f64) {
        self.in_flight += signed;
        self.selling += (-signed).max(0.0);
    }

    /// What is in flight on `side` has become `signed` units more, or less.
    pub(crate) fn change_in_flight(&mut self, signed: f64, side: Side) {
        self.in_flight += signed;
        if side == Side::Sell {
            self.selling -= signed;
        }
    }

    /// The signed units that one more order may have and reduce the position for sure: whatever of the orders in flight
    /// fills, it does not go through zero.
    ///
    /// ```
    /// let mut position = tickrail_core::venue::Position { net: 3.0, ..Default::default() };
    /// position.send(-1.0);
    /// assert_eq!(position.reducible(), -2.0);
    /// ```
    pub fn reducible(&self) -> f64 {
        if self.net > 0.0 {
            -(self.net - self.selling).max(0.0)
        } else {
            (-self.net - (self.in_flight + self.selling)).max(0.0)
        }
    }

    /// Of what was in flight, `signed` units have landed; after the last fill of the only order nothing is left of it, whatever
    /// fractions did to the sum.
    pub(crate) fn land(&mut self, signed: f64, is_done: bool) {
        let (before, selling) = (self.in_flight, self.selling);
        self.in_flight -= signed;
        if is_done && self.in_flight.abs() <= FLAT_FRACTION * before.abs().max(signed.abs()) {
            self.in_flight = 0.0;
        }
        if signed < 0.0 {
            self.selling += signed;
            if is_done && self.selling <= FLAT_FRACTION * selling {
                self.selling = 0.0;
            }
        }
    }

    /// What closing at `mark` would make.
    pub fn unrealised(&self, mark: f64, multiplier: f64) -> f64 {
        if self.net == 0.0 { 0.0 } else { self.net * (mark - self.average_price) * multiplier }
    }
}

/// The positions of all strategies, a dense table.
#[derive(Debug)]
pub struct Portfolio {
    instruments: usize,
    rows: Vec<Position>,
    marks: Vec<f64>,
}

impl Portfolio {
    /// A table for `instruments` instruments and no strategy yet.
    pub fn new(instruments: usize) -> Self {
        Self { instruments, rows: Vec::new(), marks: vec![f64::NAN; instruments] }
    }

    /// Makes room for one more strategy.
    pub fn add_strategy(&mut self) {
        self.rows.resize(self.rows.len() + self.instruments, Position::default());
    }

    /// What `strategy` has of `instrument`.
    #[inline]
    pub fn position(&self, strategy: u32, instrument: u32) -> &Position {
        &self.rows[strategy as usize * self.instruments + instrument as usize]
    }

    /// The same, to change it.
    #[inline]
    pub fn position_mut(&mut self, strategy: u32, instrument: u32) -> &mut Position {
        &mut self.rows[strategy as usize * self.instruments + instrument as usize]
    }

    /// Everything that `strategy` has, by instrument index.
    pub fn of_strategy(&self, strategy: u32) -> &[Position] {
        let start = strategy as usize * self.instruments;
        &self.rows[start..start + self.instruments]
    }

    /// Notes what one unit of `instrument` is worth now.
    #[inline]
    pub fn set_mark(&mut self, instrument: u32, price: f64) {
        self.marks[instrument as usize] = price;
    }

    /// What one unit was worth by the last tick seen while an order or a position was open; NaN before.
    pub fn mark(&self, instrument: u32) -> f64 {
        self.marks[instrument as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn crossing_zero_closes_the_old_and_opens_the_new() {
        let mut position = Position::default();
        position.fill(1.0, 10.0, 0.5, 1.0);
        position.fill(-3.0, 11.0, 0.5, 1.0);
        assert_eq!((position.net, position.realised, position.average_price), (-2.0, 1.0, 11.0));
        assert_eq!((position.fees, position.unrealised(12.0, 1.0)), (1.0, -2.0));
    }

    proptest! {
        /// Realised plus unrealised is what the cash flows and the value of the rest make.
        #[test]
        fn money_reconciles_to_fills(
            fills in prop::collection::vec((-5_i32..=5, 1_u32..100), 1..40),
            mark in 1_u32..100,
            multiplier in prop_oneof![Just(1.0), Just(50.0), Just(0.1)],
        ) {
            let mut position = Position::default();
            let mut cash = 0.0;
            for (signed, price) in fills {
                if signed != 0 {
                    position.fill(f64::from(signed), f64::from(price), 0.0, multiplier);
                    cash -= f64::from(signed) * f64::from(price) * multiplier;
                }
            }
            let mark = f64::from(mark);
            let worth = cash + position.net * mark * multiplier;
            prop_assert!((position.realised + position.unrealised(mark, multiplier) - worth).abs() < 1e-5);
        }
    }
}
