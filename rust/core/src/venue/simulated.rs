//! The simulated venue: market orders against the next tick of their instrument.
//!
//! - A quote fills a buy at its ask and a sell at its bid; a side of size zero has no liquidity and fills nothing.
//! - A trade fills a buy where the buyer was aggressive (or nobody says), a sell where the seller was: a trade at the bid
//!   says nothing of the ask.
//! - A bar fills at its open, the earliest price after the decision.
//! - Orders of one instrument fill oldest first, in full; quantities beyond the size on offer come with a later fill model.

use super::{Order, OrderKey, Venue, VenueFill};
use crate::tick::{Kind, Side, Tick};

#[derive(Clone, Copy, Debug)]
struct Waiting {
    order: OrderKey,
    side: Side,
    quantity: f64,
}

/// Fills market orders from ticks.
#[derive(Debug)]
pub struct SimulatedVenue {
    waiting: Vec<Vec<Waiting>>,
    fee_rates: Vec<f64>,
}

impl SimulatedVenue {
    /// A venue for as many instruments as there are fee rates (fraction of price times quantity).
    pub fn new(fee_rates: Vec<f64>) -> Self {
        Self { waiting: fee_rates.iter().map(|_| Vec::new()).collect(), fee_rates }
    }
}

impl Venue for SimulatedVenue {
    fn submit(&mut self, order: &Order) -> Result<(), &'static str> {
        let waiting = self.waiting.get_mut(order.instrument as usize).ok_or("unknown instrument")?;
        waiting.push(Waiting { order: order.key, side: order.side, quantity: order.quantity });
        Ok(())
    }

    fn cancel(&mut self, order: OrderKey, instrument: u32) -> bool {
        let Some(waiting) = self.waiting.get_mut(instrument as usize) else { return false };
        let before = waiting.len();
        waiting.retain(|entry| entry.order != order);
        waiting.len() < before
    }

    #[inline(always)]
    fn is_waiting(&self, instrument: u32) -> bool {
        !self.waiting[instrument as usize].is_empty()
    }

    fn match_tick(&mut self, tick: &Tick, fills: &mut Vec<VenueFill>) {
        let fee_rate = self.fee_rates[tick.instrument as usize];
        self.waiting[tick.instrument as usize].retain(|entry| match price_for(tick, entry.side) {
            Some(price) => {
                fills.push(VenueFill { order: entry.order, price, fee: price.abs() * entry.quantity * fee_rate });
                false
            }
            None => true,
        });
    }
}

/// The price at which `tick` fills a market order of `side`, if it does.
fn price_for(tick: &Tick, side: Side) -> Option<f64> {
    let [a, b, a_size, b_size] = tick.values;
    let price = match (Kind::from_code(tick.kind)?, side) {
        (Kind::Quote, Side::Buy) if b_size != 0.0 => b,
        (Kind::Quote, Side::Sell) if a_size != 0.0 => a,
        (Kind::Trade, Side::Buy) if tick.side != Side::Sell as u8 => a,
        (Kind::Trade, Side::Sell) if tick.side != Side::Buy as u8 => a,
        (Kind::Bar, _) => a,
        _ => return None,
    };
    price.is_finite().then_some(price)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_by_kind_and_side() {
        let quote = Tick::quote(0, 0, 1.0, 2.0, 5.0, 5.0);
        assert_eq!((price_for(&quote, Side::Buy), price_for(&quote, Side::Sell)), (Some(2.0), Some(1.0)));
        let one_sided = Tick::quote(0, 0, 1.0, 2.0, 5.0, 0.0);
        assert_eq!((price_for(&one_sided, Side::Buy), price_for(&one_sided, Side::Sell)), (None, Some(1.0)));
        let unsized_quote = Tick::quote(0, 0, 1.0, 2.0, f64::NAN, f64::NAN);
        assert_eq!(price_for(&unsized_quote, Side::Buy), Some(2.0));
        let seller = Tick::trade(0, 0, 3.0, 1.0, Side::Sell);
        assert_eq!((price_for(&seller, Side::Buy), price_for(&seller, Side::Sell)), (None, Some(3.0)));
        let bar = Tick::bar(0, 0, [4.0, 6.0, 3.0, 5.0], 1.0);
        assert_eq!(price_for(&bar, Side::Buy), Some(4.0));
        let broken = Tick::quote(0, 0, 1.0, f64::NAN, 5.0, 5.0);
        assert_eq!(price_for(&broken, Side::Buy), None);
    }
}
