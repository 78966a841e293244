//! What a tick says about the prices at which orders could trade.

use super::book::index;
use super::portfolio::less;
use super::simulated::FillModel;
use crate::tick::{Kind, Side, Tick};

/// The market at one moment, in pairs: for buys, for sells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Offer {
    /// Price at which somebody who takes could trade; NaN: none.
    pub taker: [f64; 2],
    /// Price that orders which wait are held against; NaN: none.
    pub maker: [f64; 2],
    /// Whether the tick says anything about the side.
    pub tells: [bool; 2],
    /// How much is there; infinite where nobody says or the fill model does not ask.
    pub left: [f64; 2],
    /// Whether both sides trade against the same quantity.
    pub shared: bool,
    /// The first price after a gap: orders that wait fill at it, and not at their limit.
    pub is_open: bool,
}

impl Offer {
    /// The same price for both sides, without a limit to quantities.
    pub const fn at(price: f64, left: f64, is_open: bool) -> Self {
        Self { taker: [price; 2], maker: [price; 2], tells: [true; 2], left: [left; 2], shared: true, is_open }
    }

    /// What a quote or a trade offers; `None`: neither.
    pub fn of(tick: &Tick, model: FillModel) -> Option<Self> {
        let [a, b, a_size, b_size] = tick.values;
        match Kind::from_code(tick.kind)? {
            Kind::Quote => Some(Self::quote([b, a], [b_size, a_size], model)),
            Kind::Trade => Some(Self::trade(a, a_size, tick.side, model)),
            _ => None,
        }
    }

    fn quote(prices: [f64; 2], sizes: [f64; 2], model: FillModel) -> Self {
        let price = |side: usize| if sizes[side] == 0.0 { f64::NAN } else { finite(prices[side]) };
        let prices = [price(0), price(1)];
        let left = [model.quantity(sizes[0]), model.quantity(sizes[1])];
        Self { taker: prices, maker: prices, tells: [true; 2], left, shared: false, is_open: false }
    }

    /// A trade at the bid says nothing about the ask, to somebody who takes; an order that waits at a better price
    /// would have been there first either way.
    fn trade(price: f64, size: f64, aggressor: u8, model: FillModel) -> Self {
        let price = finite(price);
        let tells = [aggressor != Side::Sell as u8, aggressor != Side::Buy as u8];
        let taker = tells.map(|tells| if tells { price } else { f64::NAN });
        Self { taker, maker: [price; 2], tells, left: [model.quantity(size); 2], shared: true, is_open: false }
    }

    /// Takes at most `wanted` of what is there for `side`.
    pub fn take(&mut self, side: Side, wanted: f64) -> f64 {
        let side = index(side);
        let taken = wanted.min(self.left[side]);
        self.left[side] = less(self.left[side], taken);
        if self.shared {
            self.left[1 - side] = self.left[side];
        }
        taken
    }
}

const fn finite(price: f64) -> f64 {
    if price.is_finite() { price } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_offers_its_sides_and_a_side_of_size_zero_nothing() {
        let quote = Offer::of(&Tick::quote(0, 0, 1.0, 2.0, 5.0, 7.0), FillModel::Size).unwrap();
        assert_eq!((quote.taker, quote.left, quote.shared), ([2.0, 1.0], [7.0, 5.0], false));
        let one_sided = Offer::of(&Tick::quote(0, 0, 1.0, 2.0, 5.0, 0.0), FillModel::Touch).unwrap();
        assert!(one_sided.taker[0].is_nan() && one_sided.maker[0].is_nan());
        assert_eq!((one_sided.taker[1], one_sided.left[1]), (1.0, f64::INFINITY));
        let without = Offer::of(&Tick::quote(0, 0, 1.0, 2.0, f64::NAN, f64::NAN), FillModel::Size).unwrap();
        assert_eq!(without.left, [f64::INFINITY; 2]);
        let broken = Offer::of(&Tick::quote(0, 0, 1.0, f64::INFINITY, 5.0, 5.0), FillModel::Touch).unwrap();
        assert!(broken.taker[0].is_nan());
    }

    #[test]
    fn a_trade_offers_the_side_of_its_aggressor_and_shares_its_size() {
        let mut seller = Offer::of(&Tick::trade(0, 0, 3.0, 4.0, Side::Sell), FillModel::Size).unwrap();
        assert!(seller.taker[0].is_nan());
        assert_eq!((seller.taker[1], seller.maker, seller.tells), (3.0, [3.0; 2], [false, true]));
        assert_eq!((seller.take(Side::Sell, 3.0), seller.take(Side::Buy, 3.0)), (3.0, 1.0));
        let nobody = Offer::of(&Tick::trade(0, 0, 3.0, 4.0, Side::None), FillModel::Touch).unwrap();
        assert_eq!(nobody.taker, [3.0; 2]);
    }
}
