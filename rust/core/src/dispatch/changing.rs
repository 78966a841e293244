//! Changes of orders that were asked for and not answered yet.
//!
//! What a change leaves out is as the change before it said, answered or not; and what an order may have become counts against
//! limits from the moment on at which the change passes the gate: its venue may fill that much before it says so.

use std::collections::HashMap;

use super::desk::Desk;
use crate::venue::{Amendment, Order, OrderKey, OrderKind};

/// What is asked of one order.
#[derive(Clone, Debug)]
struct Changing {
    /// The last change that was asked for.
    asked: Amendment,
    /// Those that have left and are not answered, the first one first.
    left: Vec<Amendment>,
}

/// By order, as long as an answer is out.
#[derive(Debug, Default)]
pub(super) struct Changes(HashMap<OrderKey, Changing>);

impl Changes {
    /// What `order` is to be once all is answered that was asked for.
    pub fn wanted(&self, order: &Order) -> Amendment {
        let stands = Amendment { quantity: order.quantity, limit: order.terms.limit, stop: order.terms.stop };
        self.0.get(&order.key).map_or(stands, |one| one.asked)
    }

    /// The largest quantity that `order` may have at its venue.
    pub fn counted(&self, order: &Order) -> f64 {
        let left = self.0.get(&order.key).map_or(&[][..], |one| &one.left);
        left.iter().map(|change| change.quantity).fold(order.quantity, f64::max)
    }

    /// A change is asked for.
    pub fn ask(&mut self, key: OrderKey, change: Amendment) {
        self.0.entry(key).or_insert(Changing { asked: change, left: Vec::new() }).asked = change;
    }

    /// A change leaves.
    fn leave(&mut self, key: OrderKey, change: Amendment) {
        self.0.entry(key).or_insert(Changing { asked: change, left: Vec::new() }).left.push(change);
    }

    /// A change does not leave: what left before it is what counts.
    pub fn refuse(&mut self, key: OrderKey, change: Amendment) {
        let Some(one) = self.0.get_mut(&key).filter(|one| one.asked.is(&change)) else { return };
        match one.left.last() {
            Some(left) => one.asked = *left,
            None => _ = self.0.remove(&key),
        }
    }

    /// The venue has answered a change, and with it all before it. Of several alike it is the first: what is taken for out
    /// and is not counts for too much until the next answer, and never for too little.
    fn answer(&mut self, key: OrderKey, change: Amendment) {
        let Some(one) = self.0.get_mut(&key) else { return };
        let Some(place) = one.left.iter().position(|left| left.is(&change)) else { return };
        one.left.drain(..=place);
        if one.left.is_empty() && one.asked.is(&change) {
            self.0.remove(&key);
        }
    }

    fn forget(&mut self, key: OrderKey) {
        self.0.remove(&key);
    }
}

impl Desk {
    /// A change of `order` has passed the gate.
    pub(super) fn change_leaves(&self, order: &Order, change: Amendment) {
        self.recount(order, |changes| changes.leave(order.key, change));
    }

    /// The venue has answered it, one way or the other.
    pub(super) fn change_answered(&self, order: &Order, change: Amendment) {
        if self.has_changes() {
            self.recount(order, |changes| changes.answer(order.key, change));
        }
    }

    /// The order is about to end: no change of it counts any more. Mostly there is none of any order, and nothing is looked up.
    pub(super) fn changes_end(&self, key: OrderKey) {
        if !self.has_changes() {
            return;
        }
        let order = self.with_orders(|book| book.get(key).copied());
        if let Some(order) = order {
            self.recount(&order, |changes| changes.forget(key));
        }
    }

    fn has_changes(&self) -> bool {
        !self.changes.borrow().0.is_empty()
    }

    /// What is in flight follows what an order may have become.
    fn recount(&self, order: &Order, what: impl FnOnce(&mut Changes)) {
        let mut changes = self.changes.borrow_mut();
        let before = changes.counted(order);
        what(&mut changes);
        self.count_more(order, changes.counted(order) - before);
    }

    /// `more` units of `order` are in flight, or less.
    pub(super) fn count_more(&self, order: &Order, more: f64) {
        if more != 0.0 {
            let mut portfolio = self.portfolio.borrow_mut();
            let row = portfolio.position_mut(order.key.strategy, order.instrument);
            row.grow_in_flight(order.side.sign() * more, order.side, order.terms.kind == OrderKind::Market);
            row.send_more(order.side.sign(), more, order.terms.reduce_only);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::Terms;

    fn change(quantity: f64, limit: f64) -> Amendment {
        Amendment { quantity, limit, stop: f64::NAN }
    }

    #[test]
    fn what_an_order_may_have_become_counts_until_the_last_change_is_answered() {
        let key = OrderKey { strategy: 0, number: 1 };
        let mut order = Order::asked(key, 0, 2.0, Terms::limit(5.0));
        let mut changes = Changes::default();
        assert_eq!((changes.wanted(&order).quantity, changes.counted(&order)), (2.0, 2.0));
        let (grown, dearer, less) = (change(8.0, 5.0), change(8.0, 6.0), change(3.0, 6.0));
        for one in [grown, dearer] {
            changes.ask(key, one);
        }
        assert!(changes.wanted(&order).is(&dearer));
        assert_eq!(changes.counted(&order), 2.0, "the gate has not seen them");
        changes.leave(key, grown);
        changes.refuse(key, dearer);
        assert!(changes.wanted(&order).is(&grown), "as if the refused one had not been");
        changes.ask(key, less);
        changes.leave(key, less);
        changes.answer(key, grown);
        order.quantity = 8.0;
        assert_eq!((changes.wanted(&order).quantity, changes.counted(&order)), (3.0, 8.0));
        changes.answer(key, less);
        order.quantity = 3.0;
        assert_eq!(changes.counted(&order), 3.0);
        assert!(changes.0.is_empty(), "nothing is kept of what was answered");
    }

    #[test]
    fn of_changes_that_are_alike_the_first_is_answered_first() {
        let key = OrderKey { strategy: 0, number: 1 };
        let mut order = Order::asked(key, 0, 1.0, Terms::limit(5.0));
        let mut changes = Changes::default();
        let (grown, less) = (change(8.0, 5.0), change(1.0, 5.0));
        for one in [grown, less, grown] {
            changes.ask(key, one);
            changes.leave(key, one);
        }
        for (answered, counted) in [(grown, 8.0), (less, 8.0), (grown, 8.0)] {
            order.quantity = answered.quantity;
            changes.answer(key, answered);
            assert_eq!(changes.counted(&order), counted);
        }
        assert!(changes.0.is_empty());
    }

    #[test]
    fn a_change_that_is_asked_for_while_one_is_answered_builds_on_it() {
        let key = OrderKey { strategy: 0, number: 1 };
        let order = Order::asked(key, 0, 2.0, Terms::limit(5.0));
        let mut changes = Changes::default();
        changes.ask(key, change(8.0, 5.0));
        changes.leave(key, change(8.0, 5.0));
        changes.ask(key, change(8.0, 6.0));
        changes.answer(key, change(8.0, 5.0));
        assert!(changes.wanted(&order).is(&change(8.0, 6.0)));
        changes.refuse(key, change(8.0, 6.0));
        assert!(changes.0.is_empty());
        changes.refuse(key, change(8.0, 6.0));
        changes.answer(key, change(8.0, 6.0));
        assert!(changes.0.is_empty(), "what is not known changes nothing");
    }
}
