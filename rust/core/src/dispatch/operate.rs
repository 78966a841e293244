//! What an operator does to orders and positions, of whatever strategy and in whatever state: at the end of the step.

use super::desk::Desk;
use super::request::{Refusal, Request};
use crate::tick::Side;
use crate::venue::{Order, OrderKey, Terms};

impl Desk {
    /// Takes back every open order of `strategy` and of `instrument`, where one is named; says how many.
    pub fn cancel_all(&self, strategy: Option<u32>, instrument: Option<u32>) -> usize {
        let is_meant = |order: &&&Order| instrument.is_none_or(|instrument| order.instrument == instrument);
        let open: Vec<OrderKey> = self
            .with_orders(|book| book.open_orders(strategy).iter().filter(is_meant).map(|order| order.key).collect());
        self.requests.borrow_mut().extend(open.iter().map(|&key| Request::Cancel(key)));
        open.len()
    }

    /// Takes back one order; whether it was open.
    ///
    /// # Errors
    /// There is no such order.
    pub fn cancel_one(&self, strategy: u32, number: u32) -> Result<bool, Refusal> {
        let key = OrderKey { strategy, number };
        let order = self.with_orders(|book| book.get(key).copied()).ok_or(Refusal::Order(number))?;
        if !order.status.is_final() {
            self.requests.borrow_mut().push(Request::Cancel(key));
        }
        Ok(!order.status.is_final())
    }

    /// Orders what brings positions of `strategy` and in `instrument`, where one is named, to zero, counting what is on its
    /// way; gives the orders that takes.
    ///
    /// # Errors
    /// A strategy has made as many orders as it may.
    pub fn flatten(&self, strategy: Option<u32>, instrument: Option<u32>) -> Result<Vec<OrderKey>, Refusal> {
        let missing = self.missing(strategy, instrument).into_iter();
        let closing = missing.map(|(owner, index, missing)| {
            let side = if missing > 0.0 { Side::Buy } else { Side::Sell };
            self.place(owner, index, side, missing.abs(), Terms::MARKET)
        });
        closing.collect()
    }

    /// The last order of a strategy in an instrument, where the gate has refused it: its number and why.
    pub fn last_refusal(&self, strategy: u32, instrument: u32) -> Option<(u32, String)> {
        let is_meant = |order: &&Order| order.key.strategy == strategy && order.instrument == instrument;
        let last = self.with_orders(|book| book.all().iter().rfind(is_meant).map(|order| order.key))?;
        self.with_risk(|risk| risk.refusal(last).map(|refused| (last.number, refused.told())))
    }

    fn missing(&self, strategy: Option<u32>, instrument: Option<u32>) -> Vec<(u32, u32, f64)> {
        let (strategies, instruments) = (self.strategy_count(), self.instruments().len() as u32);
        let portfolio = self.portfolio.borrow();
        let mut missing = Vec::new();
        for owner in (0..strategies).filter(|&owner| strategy.is_none_or(|one| one == owner)) {
            for index in (0..instruments).filter(|&index| instrument.is_none_or(|one| one == index)) {
                let position = portfolio.position(owner, index);
                let net = position.expected();
                if net != 0.0 {
                    missing.push((owner, index, -net));
                }
            }
        }
        missing
    }
}
