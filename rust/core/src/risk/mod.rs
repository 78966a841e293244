//! The risk gate: every order and every amendment passes it on its way to a venue, or is refused here.
//!
//! A venue takes orders only with a [`Pass`], and nothing but this module makes one: there is no way around. Cancels need none,
//! are never refused and count nowhere. Whatever is refused counts as an order all the same, so that a strategy which runs away
//! does not get through between two refusals.
//!
//! Reading order: [`Limits`] and [`Rule`], [`Verdict`], [`Risk::check`].

mod limits;
mod verdict;
mod window;

use std::collections::VecDeque;

pub use limits::{LimitError, LimitKey, Limits, MAX_WINDOW, Rule};
pub use verdict::{LimitChange, Refused, Verdict};
use window::Window;

use crate::trading::{Stopped, Trading, TradingGate};
use crate::venue::{Amendment, Order, OrderKey, OrderKind, Portfolio, Position};

/// What lets an order leave; made by the gate alone.
#[derive(Debug)]
pub struct Pass(());

impl Pass {
    /// For tests of venues, which have no gate before them.
    #[cfg(test)]
    pub(crate) const TEST: Self = Self(());
}

/// Refusals and changes of limits that are kept: the last ones.
pub const MAX_RECORDS: usize = 65_536;

/// Fractions by which a sum of quantities may lie above a limit: what arithmetic on decimals leaves behind.
const TOLERANCE: f64 = 1e-9;

/// What the gate looks at beside the order.
#[derive(Debug)]
pub struct Look<'a> {
    /// Halted, or restricted, by an operator.
    pub gate: &'a TradingGate,
    /// Positions, prices and worth.
    pub portfolio: &'a Portfolio,
    /// Loop position of the step.
    pub position: u64,
    /// Its time, ns UTC.
    pub now_ns: i64,
}

/// What is known of one strategy.
#[derive(Debug, Default)]
struct Bound {
    /// Whether too many of its orders were refused.
    is_halted: bool,
    /// The last order, as far as orders are equal, and how many like it there were.
    last: Option<Likeness>,
    repeats: u64,
    /// Times of orders and of refusals, by rule.
    sent: Vec<Window>,
    refused: Vec<Window>,
    /// How often each verdict was given, by discriminant.
    counts: Vec<u64>,
}

type Likeness = (u32, u8, u8, [u64; 3]);

fn likeness(order: &Order) -> Likeness {
    let terms = &order.terms;
    let figures = [order.quantity, terms.limit, terms.stop].map(f64::to_bits);
    (order.instrument, order.side as u8, terms.kind as u8, figures)
}

/// What is found where a limit is.
type Found = (Verdict, f64, f64);

/// The gate of a run.
#[derive(Debug, Default)]
pub struct Risk {
    rules: Vec<Rule>,
    strategies: Vec<Bound>,
    refusals: VecDeque<Refused>,
    changes: VecDeque<LimitChange>,
}

impl Risk {
    /// Adds a rule, before the run begins.
    pub fn add_rule(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Makes room for one more strategy.
    pub fn add_strategy(&mut self) {
        let counts = vec![0; Verdict::Drawdown as usize + 1];
        self.strategies.push(Bound { counts, ..Bound::default() });
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The last refusals, the oldest first.
    pub fn refusals(&self) -> impl ExactSizeIterator<Item = &Refused> {
        self.refusals.iter()
    }

    /// Limits that were changed, the oldest first.
    pub fn changes(&self) -> impl Iterator<Item = &LimitChange> {
        self.changes.iter()
    }

    /// How often `verdict` was given to orders of `strategy`.
    pub fn count(&self, strategy: u32, verdict: Verdict) -> u64 {
        self.strategies[strategy as usize].counts[verdict as usize]
    }

    /// Why `order` was refused the last time, where that is still known.
    pub fn refusal(&self, order: OrderKey) -> Option<&Refused> {
        self.refusals.iter().rev().find(|refused| refused.order == order)
    }

    /// Whether a strategy is halted, for too many refusals.
    pub fn is_halted(&self, strategy: u32) -> bool {
        self.strategies[strategy as usize].is_halted
    }

    /// Lets halted strategies go on; what they have done before is forgotten. Says how many there were.
    pub fn resume(&mut self) -> usize {
        let halted = self.strategies.iter_mut().filter(|bound| bound.is_halted);
        halted.map(|bound| *bound = Bound { counts: std::mem::take(&mut bound.counts), ..Bound::default() }).count()
    }

    /// Sets a limit of a rule while the run goes on; infinite: none. The change is kept.
    ///
    /// # Errors
    /// There is no such rule, or the value cannot be; nothing has changed then.
    pub fn set(&mut self, rule: &str, key: LimitKey, value: f64, position: u64, ts_ns: i64) -> Result<f64, LimitError> {
        let known = self.rules.iter_mut().find(|known| known.name == rule);
        let known = known.ok_or_else(|| LimitError::Rule(rule.to_owned()))?;
        let before = known.limits.of(key);
        known.limits = known.limits.with(key, value)?;
        keep(&mut self.changes, LimitChange { rule: rule.to_owned(), key, before, after: value, position, ts_ns });
        Ok(before)
    }

    /// Whether a new order may leave.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&mut self, order: &Order, look: &Look<'_>) -> Result<Pass, Verdict> {
        let found = self.judge(order, look);
        self.note(order, look, found)
    }

    /// Whether an order may be changed; what `change` makes less, at its price, is not judged again. `order` has the largest
    /// quantity that it may have by now.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check_change(&mut self, order: &Order, change: Amendment, look: &Look<'_>) -> Result<Pass, Verdict> {
        let found = self.judge_change(order, change, look);
        self.note(order, look, found)
    }

    /// Counts what was found, and keeps what was refused.
    fn note(&mut self, order: &Order, look: &Look<'_>, found: Result<(), Found>) -> Result<Pass, Verdict> {
        let bound = &mut self.strategies[order.key.strategy as usize];
        let Err((verdict, found, limit)) = found else {
            bound.counts[Verdict::Passed as usize] += 1;
            return Ok(Pass(()));
        };
        bound.counts[verdict as usize] += 1;
        for (place, rule) in self.rules.iter().enumerate() {
            if rule.limits.has(LimitKey::RefusedPerS) && rule.binds(order.key.strategy, order.instrument) {
                let window = window(&mut bound.refused, place);
                bound.is_halted |= window.is_full(rule.limits.of(LimitKey::RefusedPerS), look.now_ns);
                window.push(rule.limits.of(LimitKey::RefusedPerS), look.now_ns);
            }
        }
        let (order, position, ts_ns) = (order.key, look.position, look.now_ns);
        keep(&mut self.refusals, Refused { order, verdict, position, ts_ns, found, limit });
        Err(verdict)
    }

    fn judge(&mut self, order: &Order, look: &Look<'_>) -> Result<(), Found> {
        let rows = look.portfolio.position(order.key.strategy, order.instrument);
        let reduces = reduces(order, rows, order.quantity);
        // Counted first, whatever comes of it.
        let rate = self.count_order(order, look.now_ns);
        let repeats = self.count_repeat(order);
        pass(look, order.quantity, reduces)?;
        if self.strategies[order.key.strategy as usize].is_halted {
            return Err((Verdict::StrategyHalted, f64::NAN, f64::NAN));
        }
        rate?;
        for rule in self.rules.iter().filter(|rule| rule.binds(order.key.strategy, order.instrument)) {
            let limits = &rule.limits;
            above(limits, LimitKey::Repeats, repeats as f64, Verdict::Repeats)?;
            above(limits, LimitKey::OrderQuantity, order.quantity, Verdict::OrderQuantity)?;
            notional(limits, order, order.quantity, look)?;
            position(limits, rows, order, order.quantity)?;
            if limits.has(LimitKey::OpenOrders) {
                let open = open_orders(rule, order.key.strategy, look.portfolio);
                above(limits, LimitKey::OpenOrders, open as f64 + 1.0, Verdict::OpenOrders)?;
            }
            prices(limits, order, [order.terms.limit, order.terms.stop], look)?;
            if !reduces {
                losses(limits, order.key.strategy, look)?;
            }
        }
        Ok(())
    }

    fn judge_change(&mut self, order: &Order, change: Amendment, look: &Look<'_>) -> Result<(), Found> {
        let rate = self.count_order(order, look.now_ns);
        let more = change.quantity - order.quantity;
        let rows = look.portfolio.position(order.key.strategy, order.instrument);
        // At another price an order that has waited may fill.
        let shrinks = more <= 0.0 && change.keeps_prices(&order.terms);
        let reduces = shrinks || reduces(order, rows, more);
        pass(look, if shrinks { 0.0 } else { change.quantity }, reduces)?;
        if self.strategies[order.key.strategy as usize].is_halted {
            return Err((Verdict::StrategyHalted, f64::NAN, f64::NAN));
        }
        rate?;
        if shrinks {
            // Whatever the market has come to: refused, all of it would go on to stand there.
            return Ok(());
        }
        let mut changed = *order;
        (changed.terms.limit, changed.terms.stop) = (change.limit, change.stop);
        for rule in self.rules.iter().filter(|rule| rule.binds(order.key.strategy, order.instrument)) {
            let limits = &rule.limits;
            notional(limits, &changed, change.quantity, look)?;
            prices(limits, &changed, [change.limit, change.stop], look)?;
            if more > 0.0 {
                above(limits, LimitKey::OrderQuantity, change.quantity, Verdict::OrderQuantity)?;
            }
            if more > 0.0 {
                position(limits, rows, order, more)?;
            }
            if !reduces {
                losses(limits, order.key.strategy, look)?;
            }
        }
        Ok(())
    }

    /// Takes the order's time into every window that it belongs to, and says whether one was full.
    fn count_order(&mut self, order: &Order, now_ns: i64) -> Result<(), Found> {
        let bound = &mut self.strategies[order.key.strategy as usize];
        let mut found = Ok(());
        for (place, rule) in self.rules.iter().enumerate() {
            if !rule.limits.has(LimitKey::OrdersPerS) || !rule.binds(order.key.strategy, order.instrument) {
                continue;
            }
            let most = rule.limits.of(LimitKey::OrdersPerS);
            let window = window(&mut bound.sent, place);
            if window.is_full(most, now_ns) {
                found = Err((Verdict::OrdersPerS, most + 1.0, most));
            }
            window.push(most, now_ns);
        }
        found
    }

    fn count_repeat(&mut self, order: &Order) -> u64 {
        let bound = &mut self.strategies[order.key.strategy as usize];
        let like = Some(likeness(order));
        bound.repeats = if bound.last == like { bound.repeats + 1 } else { 0 };
        bound.last = like;
        bound.repeats
    }

    /// What orders of `strategy` may do: as the operator says, and as its own conduct and losses allow.
    pub fn state(&self, strategy: u32, look: &Look<'_>) -> Trading {
        let gate = look.gate.state();
        if gate == Trading::Halted || self.is_halted(strategy) {
            return Trading::Halted;
        }
        let binds = |rule: &&Rule| rule.strategies.as_ref().is_none_or(|list| list.contains(&strategy));
        let has_lost = self.rules.iter().filter(binds).any(|rule| losses(&rule.limits, strategy, look).is_err());
        if has_lost { Trading::Reducing } else { gate }
    }
}

fn window(windows: &mut Vec<Window>, place: usize) -> &mut Window {
    if windows.len() <= place {
        windows.resize_with(place + 1, Window::default);
    }
    &mut windows[place]
}

fn keep<T>(records: &mut VecDeque<T>, record: T) {
    if records.len() == MAX_RECORDS {
        records.pop_front();
    }
    records.push_back(record);
}

/// What the operator's own gate says, with its figures where it has some.
fn pass(look: &Look<'_>, quantity: f64, reduces: bool) -> Result<(), Found> {
    look.gate.check(quantity, reduces).map_err(|stopped| match stopped {
        Stopped::TooLarge => (stopped.into(), quantity, look.gate.max_order_quantity()),
        Stopped::Halted | Stopped::NotReducing => (stopped.into(), f64::NAN, f64::NAN),
    })
}

fn above(limits: &Limits, key: LimitKey, found: f64, verdict: Verdict) -> Result<(), Found> {
    let limit = limits.of(key);
    if found > limit * (1.0 + TOLERANCE) { Err((verdict, found, limit)) } else { Ok(()) }
}

/// At the worst price that is known to be possible: the last one, or the order's own.
fn notional(limits: &Limits, order: &Order, quantity: f64, look: &Look<'_>) -> Result<(), Found> {
    if !limits.has(LimitKey::OrderNotional) {
        return Ok(());
    }
    let mark = look.portfolio.mark(order.instrument).price.abs();
    let price = [order.terms.limit.abs(), order.terms.stop.abs()].into_iter().fold(mark, f64::max);
    if price.is_nan() || (mark.is_nan() && matches!(order.terms.kind, OrderKind::Market)) {
        return Err((Verdict::NoPrice, f64::NAN, limits.of(LimitKey::OrderNotional)));
    }
    let value = price * quantity * look.portfolio.books().multiplier(order.instrument);
    above(limits, LimitKey::OrderNotional, value, Verdict::OrderNotional)
}

/// Whether `more` units of an order reduce the position for sure: by what else may fill, or as the venue lets it do nothing else.
fn reduces(order: &Order, rows: &Position, more: f64) -> bool {
    rows.surely_reduces(order.side, more) || (order.terms.reduce_only && order.side.sign() * rows.net < 0.0)
}

/// The largest position that can come of what has left and of `more` units of this order.
///
/// One that may only reduce takes no more than is held, and by that much all else that has left then goes further: what it
/// passed by counted on the position that this one takes away.
fn position(limits: &Limits, rows: &Position, order: &Order, more: f64) -> Result<(), Found> {
    if !limits.has(LimitKey::PositionQuantity) {
        return Ok(());
    }
    let is_held = order.side.sign() * rows.net < 0.0;
    let reached = if is_held && order.terms.reduce_only {
        rows.reach_reducing(order.side, more)
    } else {
        rows.reach_with(order.side, more)
    };
    if is_held && reached * rows.net >= 0.0 {
        return Ok(()); // it reduces for sure, however much is held
    }
    let reached = reached.abs();
    above(limits, LimitKey::PositionQuantity, reached, Verdict::PositionQuantity)
}

fn open_orders(rule: &Rule, strategy: u32, portfolio: &Portfolio) -> u64 {
    let rows = portfolio.of_strategy(strategy);
    match &rule.instruments {
        Some(list) => list.iter().map(|&index| u64::from(rows[index as usize].open)).sum(),
        None => rows.iter().map(|row| u64::from(row.open)).sum(),
    }
}

fn prices(limits: &Limits, order: &Order, given: [f64; 2], look: &Look<'_>) -> Result<(), Found> {
    let mark = look.portfolio.mark(order.instrument);
    if limits.has(LimitKey::TickAgeNs) {
        let age_ns = if mark.price.is_nan() { f64::INFINITY } else { (look.now_ns - mark.ts_ns) as f64 };
        let limit = limits.of(LimitKey::TickAgeNs);
        if age_ns > limit {
            return Err((Verdict::TickAge, age_ns, limit));
        }
    }
    if !limits.has(LimitKey::PriceCollar) {
        return Ok(());
    }
    for price in given.into_iter().filter(|price| !price.is_nan()) {
        if mark.price.is_nan() {
            return Err((Verdict::NoPrice, f64::NAN, limits.of(LimitKey::PriceCollar)));
        }
        let apart = (price - mark.price).abs() / mark.price.abs();
        above(limits, LimitKey::PriceCollar, apart, Verdict::PriceCollar)?;
    }
    Ok(())
}

fn losses(limits: &Limits, strategy: u32, look: &Look<'_>) -> Result<(), Found> {
    if !limits.has(LimitKey::DailyLoss) && !limits.has(LimitKey::Drawdown) {
        return Ok(());
    }
    if look.portfolio.worth(Some(strategy)).equity().is_nan() {
        return Err((Verdict::NoPrice, f64::NAN, f64::NAN));
    }
    let seen = look.portfolio.watermark(Some(strategy), look.now_ns);
    reached(limits, LimitKey::DailyLoss, seen.day_deepest, Verdict::DailyLoss)?;
    reached(limits, LimitKey::Drawdown, seen.deepest, Verdict::Drawdown)
}

fn reached(limits: &Limits, key: LimitKey, found: f64, verdict: Verdict) -> Result<(), Found> {
    let limit = limits.of(key);
    if limits.has(key) && found > 0.0 && found >= limit { Err((verdict, found, limit)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
