//! Positions, money made and money paid, by strategy and instrument. What it all is worth: see `worth`.

use super::order::Order;
use super::specification::Specification;
use super::terms::OrderKind;
use super::worth::{Account, Books, Watermark};
use crate::instrument::InstrumentInfo;
use crate::tick::Side;

/// What one strategy has of one instrument.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Position {
    /// Units held; below zero when short.
    pub net: f64,
    /// The most that was held, long or short, since it was flat.
    pub largest: f64,
    /// Signed units of orders that were asked for and are not done.
    pub in_flight: f64,
    /// Units of those orders that sell.
    pub selling: f64,
    /// Of `in_flight`, what is at the market and needs no price to come: see [`Position::expected`].
    pub at_market: f64,
    /// How many orders that is.
    pub market_orders: u32,
    /// Units of orders that have passed the gate and are not done: of buys, of sells.
    pub sent: [f64; 2],
    /// Of those, what may only reduce.
    pub sent_reducing: [f64; 2],
    /// How many orders have passed the gate and are not done.
    pub open: u32,
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
pub(super) const FLAT_FRACTION: f64 = 1e-12;

/// `most` without `part`; nothing where the difference is rounding. What is without end stays so.
pub(super) fn less(most: f64, part: f64) -> f64 {
    let left = most - part;
    if left.abs() < FLAT_FRACTION * most.abs().max(part.abs()) { 0.0 } else { left }
}

/// What is held after a fill of `signed` units. A sum of many fills keeps the rounding of each, which goes by the largest of them
/// all: what is left of the most that was held since it was flat is nothing below [`FLAT_FRACTION`] of that.
pub(super) fn held_after(net: f64, signed: f64, largest: &mut f64) -> f64 {
    let after = net + signed;
    if after.abs() < FLAT_FRACTION * largest.max(net.abs()).max(signed.abs()) {
        *largest = 0.0;
        return 0.0;
    }
    let is_turned = after * net < 0.0;
    *largest = if is_turned { after.abs() } else { largest.max(after.abs()) };
    after
}

/// Of an order of `signed` units among [`Position::sent`].
fn place(signed: f64) -> usize {
    usize::from(signed.is_sign_negative())
}

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
        let after = held_after(before, signed, &mut self.largest);
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

    /// Notes an order of `signed` units that was asked for, at the market or at a price of its own.
    pub fn send(&mut self, signed: f64, is_market: bool) {
        self.in_flight += signed;
        self.selling += (-signed).max(0.0);
        if is_market {
            self.at_market += signed;
            self.market_orders += 1;
        }
    }

    /// Units held once the market orders on their way are done. What waits for a price does not count: it may never come, and
    /// what was ordered against it would be held for good.
    ///
    /// ```
    /// let mut position = tickrail_core::venue::Position { net: 1.0, ..Default::default() };
    /// position.send(2.0, true);
    /// position.send(-5.0, false);
    /// assert_eq!(position.expected(), 3.0);
    /// ```
    pub fn expected(&self) -> f64 {
        self.net + self.at_market
    }

    /// Of a market order `signed` units are no more to come; whether it is done.
    fn market_lands(&mut self, signed: f64, is_done: bool) {
        self.at_market -= signed;
        self.market_orders -= u32::from(is_done);
        if self.market_orders == 0 {
            // Whatever fractions did to the sum.
            self.at_market = 0.0;
        }
    }

    /// An order that was in flight is done, with `signed` units of it left.
    pub(crate) fn drop_in_flight(&mut self, signed: f64, is_market: bool) {
        self.change_in_flight(-signed, if signed.is_sign_negative() { Side::Sell } else { Side::Buy });
        if is_market {
            self.market_lands(signed, true);
        }
    }

    /// An order on its way has become `signed` units more, or less.
    pub(crate) fn grow_in_flight(&mut self, signed: f64, side: Side, is_market: bool) {
        self.change_in_flight(signed, side);
        if is_market {
            self.at_market += signed;
        }
    }

    /// An order of `signed` units, which is in flight already, has passed the gate.
    pub(crate) fn leave(&mut self, signed: f64, only_reduces: bool) {
        self.send_more(signed, signed.abs(), only_reduces);
        self.open += 1;
    }

    /// An order that had passed the gate is done, with `signed` units of it left.
    pub(crate) fn end(&mut self, signed: f64, only_reduces: bool) {
        self.send_more(signed, -signed.abs(), only_reduces);
        self.open -= 1;
        if self.open == 0 {
            // Whatever fractions did to the sums.
            (self.sent, self.sent_reducing) = ([0.0; 2], [0.0; 2]);
        }
    }

    /// Of what has passed the gate there are `more` units, or less, on the side of `signed`.
    pub(crate) fn send_more(&mut self, signed: f64, more: f64, only_reduces: bool) {
        self.sent[place(signed)] += more;
        if only_reduces {
            self.sent_reducing[place(signed)] += more;
        }
    }

    /// The largest position, in the direction of `side`, that orders which have passed the gate and `more` units of it make.
    pub fn reach_with(&self, side: Side, more: f64) -> f64 {
        if side == Side::Sell { self.net - self.sent[1] - more } else { self.net + self.sent[0] + more }
    }

    /// The same of an order that may only reduce: all such orders of its side take no more than is held, and the others go on
    /// from there.
    pub fn reach_reducing(&self, side: Side, more: f64) -> f64 {
        let at = usize::from(side == Side::Sell);
        let only = (self.sent_reducing[at] + more).min(self.net.abs());
        self.net + side.sign() * (only + less(self.sent[at], self.sent_reducing[at]).max(0.0))
    }

    /// Whether `more` units on `side` reduce the position, whatever of the orders that have passed the gate fills.
    pub fn surely_reduces(&self, side: Side, more: f64) -> bool {
        side.sign() * self.net < 0.0 && self.reach_with(side, more) * self.net >= 0.0
    }

    /// What is in flight on `side` has become `signed` units more, or less.
    fn change_in_flight(&mut self, signed: f64, side: Side) {
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
    /// position.send(-1.0, false);
    /// assert_eq!(position.reducible(), -2.0);
    /// ```
    pub fn reducible(&self) -> f64 {
        if self.net > 0.0 {
            -(self.net - self.selling).max(0.0)
        } else {
            (-self.net - (self.in_flight + self.selling)).max(0.0)
        }
    }

    /// Units of the largest position, long or short, that the orders in flight can make of this one.
    pub fn reach(&self) -> f64 {
        let (most, least) = (self.net + self.in_flight + self.selling, self.net - self.selling);
        if most.abs() >= least.abs() { most } else { least }
    }

    /// Of what was in flight, `signed` units have landed; after the last fill of the only order nothing is left of it, whatever
    /// fractions did to the sum.
    pub(crate) fn land(&mut self, signed: f64, is_market: bool, is_done: bool, only_reduces: bool) {
        if is_market {
            self.market_lands(signed, is_done);
        }
        let (before, selling) = (self.in_flight, self.selling);
        self.in_flight -= signed;
        if is_done && self.in_flight.abs() <= FLAT_FRACTION * before.abs().max(signed.abs()) {
            self.in_flight = 0.0;
        }
        self.send_more(signed, -signed.abs(), only_reduces);
        if is_done {
            self.end(0.0 * signed, only_reduces);
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

/// The positions and the cash of all strategies, a dense table.
#[derive(Debug)]
pub struct Portfolio {
    rows: Vec<Position>,
    /// Strategy by strategy, what it took in less what it paid, by currency.
    cash: Vec<f64>,
    /// Instruments that a strategy has traded, in the order in which it began to: what holds anything is among them.
    traded: Vec<Vec<u32>>,
    marks: Vec<Mark>,
    held: Vec<Held>,
    pub(super) books: Books,
    pub(super) accounts: Vec<Account>,
    pub(super) whole: Watermark,
}

/// What a strategy held before the run began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// Who.
    pub strategy: u32,
    /// Index of the instrument.
    pub instrument: u32,
    /// Units; below zero when short.
    pub net: f64,
    /// At which they were bought, as the venue says.
    pub price: f64,
    /// When the run heard of it, ns UTC.
    pub ts_ns: i64,
}

/// What one unit was worth last, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// NaN where no tick was seen.
    pub price: f64,
    /// Time of that tick, ns UTC; `i64::MIN` where there was none.
    pub ts_ns: i64,
}

impl Portfolio {
    /// A table for these instruments and no strategy yet.
    pub fn new(instruments: &[InstrumentInfo], rules: &[Specification]) -> Self {
        Self {
            rows: Vec::new(),
            cash: Vec::new(),
            traded: Vec::new(),
            held: Vec::new(),
            marks: vec![Mark { price: f64::NAN, ts_ns: i64::MIN }; instruments.len()],
            books: Books::new(instruments, rules),
            accounts: Vec::new(),
            whole: Watermark::default(),
        }
    }

    /// Makes room for one more strategy.
    pub fn add_strategy(&mut self) {
        self.rows.resize(self.rows.len() + self.marks.len(), Position::default());
        self.cash.resize(self.cash.len() + self.books.currencies().len(), 0.0);
        self.traded.push(Vec::new());
        self.accounts.push(Account::default());
    }

    fn place(&self, strategy: u32, instrument: u32) -> usize {
        strategy as usize * self.marks.len() + instrument as usize
    }

    /// What `strategy` has of `instrument`.
    #[inline]
    pub fn position(&self, strategy: u32, instrument: u32) -> &Position {
        &self.rows[self.place(strategy, instrument)]
    }

    /// The same, to change what is in flight.
    #[inline]
    pub(crate) fn position_mut(&mut self, strategy: u32, instrument: u32) -> &mut Position {
        let place = self.place(strategy, instrument);
        &mut self.rows[place]
    }

    /// Enters a fill of `signed` units of `order`, which is done with it or not: position and cash move by the same figures.
    pub fn fill(&mut self, order: &Order, signed: f64, price: f64, fee: f64, is_done: bool) -> Position {
        let (strategy, instrument) = (order.key.strategy, order.instrument);
        let multiplier = self.books.multiplier(instrument);
        let place = self.place(strategy, instrument);
        let row = &mut self.rows[place];
        if row.fills == 0 && !self.traded[strategy as usize].contains(&instrument) {
            self.traded[strategy as usize].push(instrument);
        }
        row.land(signed, order.terms.kind == OrderKind::Market, is_done, order.terms.reduce_only);
        row.fill(signed, price, fee, multiplier);
        let currency = self.books.currency_of(instrument);
        self.cash[strategy as usize * self.books.currencies().len() + currency] -= signed * price * multiplier + fee;
        *row
    }

    /// Enters `net` units that are held already, as if they were bought at `price` before anything else happened.
    pub(crate) fn hold(&mut self, held: Held) {
        let Held { strategy, instrument, net, price, .. } = held;
        self.held.push(held);
        let place = self.place(strategy, instrument);
        let row = &mut self.rows[place];
        (row.net, row.largest, row.average_price) = (net, net.abs(), if net == 0.0 { 0.0 } else { price });
        let currency = self.books.currency_of(instrument);
        let cost = net * price * self.books.multiplier(instrument);
        self.cash[strategy as usize * self.books.currencies().len() + currency] -= cost;
        if !self.traded[strategy as usize].contains(&instrument) {
            self.traded[strategy as usize].push(instrument);
        }
    }

    /// What was held before the run began.
    pub fn held(&self) -> &[Held] {
        &self.held
    }

    /// Everything that `strategy` has, by instrument index.
    pub fn of_strategy(&self, strategy: u32) -> &[Position] {
        let start = self.place(strategy, 0);
        &self.rows[start..start + self.marks.len()]
    }

    /// What `strategy` took in by sales less purchases and fees, by the currencies of [`Books::currencies`].
    pub fn cash(&self, strategy: u32) -> &[f64] {
        let count = self.books.currencies().len();
        &self.cash[strategy as usize * count..(strategy as usize + 1) * count]
    }

    /// Instruments that `strategy` has traded.
    pub fn traded(&self, strategy: u32) -> &[u32] {
        &self.traded[strategy as usize]
    }

    /// Whether any strategy holds anything.
    pub fn is_open(&self) -> bool {
        (0..self.traded.len()).any(|strategy| {
            let holds = |&instrument: &u32| self.position(strategy as u32, instrument).net != 0.0;
            self.traded[strategy].iter().any(holds)
        })
    }

    /// Notes what one unit of `instrument` is worth at `ts_ns`.
    #[inline]
    pub fn set_mark(&mut self, instrument: u32, price: f64, ts_ns: i64) {
        self.marks[instrument as usize] = Mark { price, ts_ns };
    }

    /// What one unit was worth by the last tick seen while an order or a position was open, or somebody needed its price.
    #[inline]
    pub fn mark(&self, instrument: u32) -> Mark {
        self.marks[instrument as usize]
    }

    /// Currencies, multipliers and rates.
    pub fn books(&self) -> &Books {
        &self.books
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

    #[test]
    fn what_rounding_leaves_of_many_fills_is_flat_and_the_least_quantity_is_not() {
        let mut position = Position::default();
        let sizes: Vec<f64> = (0..2_000).map(|n| f64::from(n * 7 % 9 + 1) / 10.0).collect();
        sizes.iter().for_each(|&size| position.fill(size, 1.0, 0.0, 1.0));
        // The largest first: another order, and other rounding.
        let mut sorted = sizes;
        sorted.sort_by(|a, b| b.total_cmp(a));
        let by_sum = sorted.iter().fold(position.net, |net, size| net - size);
        assert!(by_sum != 0.0 && by_sum.abs() > 1e-12 * 0.1, "by the last fill alone it is not flat: {by_sum}");
        sorted.iter().for_each(|&size| position.fill(-size, 1.0, 0.0, 1.0));
        assert_eq!((position.net, position.largest, position.average_price), (0.0, 0.0, 0.0));
        position.fill(2e9, 1.0, 0.0, 1.0);
        position.fill(-2e9, 1.0, 0.0, 1.0);
        position.fill(1e-8, 1.0, 0.0, 1.0);
        assert_eq!(position.net, 1e-8, "of what was held before it was flat nobody knows any more");
        position.fill(-3e-8, 1.0, 0.0, 1.0);
        assert_eq!(position.largest, position.net.abs(), "turned");
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
