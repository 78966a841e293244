//! Orders at the gate: what it looks at, and what becomes of its verdict.

use super::desk::Desk;
use super::host::Host;
use super::step::Steps;
use crate::risk::{LimitError, LimitKey, Look, Pass, Risk, Rule, Verdict};
use crate::trading::Trading;
use crate::venue::{Amendment, Order, OrderKey};

impl<H: Host> Steps<H> {
    /// Asks the gate for a new order; what it says stands with the order from then on.
    pub(super) fn pass_gate(&mut self, order: &Order) -> Result<Pass, Verdict> {
        let result = self.desk.ask_gate(|risk, look| risk.check(order, look));
        let verdict = result.as_ref().err().copied().unwrap_or(Verdict::Passed);
        self.desk.book.borrow_mut().update(order.key, |order| order.gate = verdict);
        if verdict == Verdict::Passed {
            let mut portfolio = self.desk.portfolio.borrow_mut();
            portfolio
                .position_mut(order.key.strategy, order.instrument)
                .leave(order.signed_left(), order.terms.reduce_only);
        }
        result
    }

    /// Asks the gate for a change of an order, which counts from then on.
    pub(super) fn pass_change(&self, order: &Order, change: Amendment) -> Result<Pass, Verdict> {
        // What changes on their way may have made of it is known to the gate already.
        let counted = Order { quantity: self.desk.changes.borrow().counted(order), ..*order };
        let result = self.desk.ask_gate(|risk, look| risk.check_change(&counted, change, look));
        match result {
            Ok(_) => self.desk.change_leaves(order, change),
            Err(_) => self.desk.changes.borrow_mut().refuse(order.key, change),
        }
        result
    }
}

impl Desk {
    fn ask_gate<R>(&self, ask: impl FnOnce(&mut Risk, &Look<'_>) -> R) -> R {
        let portfolio = self.portfolio.borrow();
        let look = Look { gate: self.gate(), portfolio: &portfolio, position: self.position(), now_ns: self.now_ns() };
        ask(&mut self.risk.borrow_mut(), &look)
    }

    /// Binds orders by a rule, before the run begins.
    pub fn add_rule(&self, rule: Rule) {
        self.risk.borrow_mut().add_rule(rule);
    }

    /// Looks at the gate: limits, verdicts, refusals.
    pub fn with_risk<R>(&self, look: impl FnOnce(&Risk) -> R) -> R {
        look(&self.risk.borrow())
    }

    /// Sets a limit while the run goes on, and gives what it was; infinite: none. The change is kept.
    ///
    /// # Errors
    /// There is no such rule, or the value cannot be.
    pub fn set_limit(&self, rule: &str, key: LimitKey, value: f64) -> Result<f64, LimitError> {
        self.risk.borrow_mut().set(rule, key, value, self.position(), self.now_ns())
    }

    /// Lets strategies go on that are halted for their conduct; how many there were.
    pub fn resume_strategies(&self) -> usize {
        self.risk.borrow_mut().resume()
    }

    /// What orders of a strategy may do now.
    pub fn trading_of(&self, strategy: u32) -> Trading {
        self.ask_gate(|risk, look| risk.state(strategy, look))
    }

    /// The order named `key` as the gate saw it.
    pub fn verdict(&self, key: OrderKey) -> Option<Verdict> {
        self.book.borrow().get(key).map(|order| order.gate)
    }
}
