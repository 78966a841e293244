//! Each limit at its edge, what counts and what does not, and changes while the run goes on.

use super::*;
use crate::instrument::InstrumentInfo;
use crate::venue::{OrderKey, Specification, Terms};

const SECOND_NS: i64 = 1_000_000_000;

struct Desk {
    risk: Risk,
    gate: TradingGate,
    portfolio: Portfolio,
    made: u32,
    now_ns: i64,
}

impl Desk {
    fn with(limits: &[(LimitKey, f64)]) -> Self {
        let limits = limits.iter().fold(Limits::default(), |limits, &(key, value)| limits.with(key, value).unwrap());
        let mut risk = Risk::default();
        risk.add_rule(Rule { name: "all".to_owned(), strategies: None, instruments: None, limits });
        risk.add_strategy();
        let rules = Specification { multiplier: 10.0, ..Specification::default() };
        let mut portfolio = Portfolio::new(&[InstrumentInfo::named("A.X")], &[rules]);
        portfolio.add_strategy();
        Self { risk, gate: TradingGate::default(), portfolio, made: 0, now_ns: 0 }
    }

    fn mark(&mut self, price: f64) {
        self.portfolio.set_mark(0, price, self.now_ns);
    }

    fn order(&mut self, signed: f64, terms: Terms) -> Order {
        self.made += 1;
        Order::asked(OrderKey { strategy: 0, number: self.made }, 0, signed, terms)
    }

    /// Sends an order, which then stands; `None`: it has left.
    fn send(&mut self, signed: f64, terms: Terms) -> Option<Verdict> {
        let order = self.order(signed, terms);
        let look = Look { gate: &self.gate, portfolio: &self.portfolio, position: 7, now_ns: self.now_ns };
        let result = self.risk.check(&order, &look);
        if result.is_ok() {
            self.portfolio.position_mut(0, 0).send(signed, terms.kind == OrderKind::Market);
            self.portfolio.position_mut(0, 0).leave(signed, false);
        }
        result.err()
    }

    fn buy(&mut self, quantity: f64) -> Option<Verdict> {
        self.send(quantity, Terms::MARKET)
    }

    fn fill(&mut self, signed: f64, price: f64) {
        let order = self.order(signed, Terms::limit(price));
        self.portfolio.fill(&order, signed, price, 0.0, true);
    }
}

#[test]
fn without_limits_all_leaves_and_counts() {
    let mut desk = Desk::with(&[]);
    assert_eq!((desk.buy(1e9), desk.send(-1.0, Terms::limit(5.0))), (None, None));
    assert_eq!(desk.risk.count(0, Verdict::Passed), 2);
    desk.gate.set(Trading::Halted);
    assert_eq!(desk.buy(1.0), Some(Verdict::Halted));
    assert_eq!((desk.risk.count(0, Verdict::Halted), desk.risk.refusals().count()), (1, 1));
}

#[test]
fn sizes_are_held_to_their_edge() {
    let mut desk = Desk::with(&[(LimitKey::OrderQuantity, 5.0)]);
    assert_eq!((desk.buy(5.0), desk.buy(5.1), desk.buy(5.0 + 1e-12)), (None, Some(Verdict::OrderQuantity), None));
    let refused = *desk.risk.refusals().last().unwrap();
    assert_eq!((refused.found, refused.limit, refused.position), (5.1, 5.0, 7));
    let mut desk = Desk::with(&[(LimitKey::OrderNotional, 1_000.0)]);
    assert_eq!(desk.buy(1.0), Some(Verdict::NoPrice));
    desk.mark(20.0);
    assert_eq!((desk.buy(5.0), desk.buy(5.1)), (None, Some(Verdict::OrderNotional)));
    // Whichever is worse: the limit, or the market that a low limit sells at.
    assert_eq!(desk.send(5.0, Terms::limit(21.0)), Some(Verdict::OrderNotional));
    assert_eq!(desk.send(-5.1, Terms::limit(1.0)), Some(Verdict::OrderNotional));
}

#[test]
fn the_position_that_orders_can_make_counts_and_not_the_one_that_is() {
    let mut desk = Desk::with(&[(LimitKey::PositionQuantity, 10.0)]);
    assert_eq!((desk.buy(6.0), desk.buy(5.0), desk.buy(4.0)), (None, Some(Verdict::PositionQuantity), None));
    // Buys that stand do not make room for sells: they may never fill.
    assert_eq!(
        (desk.send(-10.0, Terms::MARKET), desk.send(-1.0, Terms::MARKET)),
        (None, Some(Verdict::PositionQuantity))
    );
    let mut desk = Desk::with(&[(LimitKey::PositionQuantity, 10.0)]);
    desk.buy(10.0);
    desk.fill(10.0, 1.0);
    desk.risk.set("all", LimitKey::PositionQuantity, 2.0, 1, 1).unwrap();
    assert_eq!(desk.send(-4.0, Terms::MARKET), None, "what reduces leaves, above a limit too");
    assert_eq!(desk.send(-9.0, Terms::MARKET), Some(Verdict::PositionQuantity), "and what turns it too far does not");
    assert_eq!(desk.buy(1.0), Some(Verdict::PositionQuantity));
}

#[test]
fn open_orders_are_those_that_have_left_and_are_not_done() {
    let mut desk = Desk::with(&[(LimitKey::OpenOrders, 2.0)]);
    assert_eq!((desk.buy(1.0), desk.buy(1.0), desk.buy(1.0)), (None, None, Some(Verdict::OpenOrders)));
    desk.fill(1.0, 5.0);
    assert_eq!((desk.buy(1.0), desk.buy(1.0)), (None, Some(Verdict::OpenOrders)));
}

#[test]
fn within_any_second_and_refused_ones_count() {
    let mut desk = Desk::with(&[(LimitKey::OrdersPerS, 2.0)]);
    assert_eq!((desk.buy(1.0), desk.buy(1.0), desk.buy(1.0)), (None, None, Some(Verdict::OrdersPerS)));
    desk.now_ns = SECOND_NS - 1;
    assert_eq!(desk.buy(1.0), Some(Verdict::OrdersPerS));
    desk.now_ns = SECOND_NS;
    assert_eq!((desk.buy(1.0), desk.buy(1.0)), (None, Some(Verdict::OrdersPerS)), "the refused one of before counts");
    let mut none = Desk::with(&[(LimitKey::OrdersPerS, 0.0)]);
    assert_eq!(none.buy(1.0), Some(Verdict::OrdersPerS));
}

#[test]
fn prices_lie_near_the_market_and_the_market_is_fresh() {
    let mut desk = Desk::with(&[(LimitKey::PriceCollar, 0.1)]);
    assert_eq!(desk.send(1.0, Terms::limit(5.0)), Some(Verdict::NoPrice));
    desk.mark(100.0);
    assert_eq!((desk.buy(1.0), desk.send(1.0, Terms::limit(110.0))), (None, None));
    assert_eq!(desk.send(1.0, Terms::limit(111.0)), Some(Verdict::PriceCollar));
    assert_eq!(desk.send(-1.0, Terms::stop(89.0)), Some(Verdict::PriceCollar));
    assert_eq!(desk.send(-1.0, Terms::stop_limit(95.0, 80.0)), Some(Verdict::PriceCollar));
    let mut desk = Desk::with(&[(LimitKey::TickAgeNs, 50.0)]);
    assert_eq!(desk.buy(1.0), Some(Verdict::TickAge));
    desk.mark(1.0);
    desk.now_ns = 50;
    assert_eq!(desk.buy(1.0), None);
    desk.now_ns = 51;
    assert_eq!(desk.buy(1.0), Some(Verdict::TickAge));
    assert_eq!(desk.risk.refusals().last().unwrap().found, 51.0);
}

#[test]
fn the_same_order_again_and_again_is_no_strategy() {
    let mut desk = Desk::with(&[(LimitKey::Repeats, 1.0)]);
    assert_eq!((desk.buy(1.0), desk.buy(1.0), desk.buy(1.0)), (None, None, Some(Verdict::Repeats)));
    assert_eq!((desk.buy(2.0), desk.buy(1.0)), (None, None));
    assert_eq!((desk.send(1.0, Terms::limit(5.0)), desk.send(1.0, Terms::limit(6.0))), (None, None));
}

#[test]
fn after_a_loss_only_what_reduces_leaves() {
    for (key, verdict) in [(LimitKey::DailyLoss, Verdict::DailyLoss), (LimitKey::Drawdown, Verdict::Drawdown)] {
        let mut desk = Desk::with(&[(key, 100.0)]);
        desk.portfolio.fund(0, 1_000.0, 1.0);
        desk.mark(20.0);
        desk.buy(2.0);
        desk.fill(2.0, 20.0);
        desk.portfolio.observe(Some(0), 0);
        desk.mark(15.1);
        assert_eq!(desk.buy(1.0), None);
        desk.fill(1.0, 15.1);
        desk.mark(15.0);
        desk.portfolio.observe(Some(0), 1);
        assert_eq!(desk.buy(1.0), Some(verdict), "{key:?}");
        let look = Look { gate: &desk.gate, portfolio: &desk.portfolio, position: 0, now_ns: 0 };
        assert_eq!(desk.risk.state(0, &look), Trading::Reducing);
        desk.mark(30.0);
        assert_eq!(desk.buy(1.0), Some(verdict), "it was there");
        assert_eq!((desk.send(-4.0, Terms::MARKET), desk.send(-3.0, Terms::MARKET)), (Some(verdict), None));
        desk.fill(-3.0, 30.0);
        desk.now_ns = 86_400 * SECOND_NS;
        let next_day = desk.buy(1.0);
        assert_eq!(next_day, if key == LimitKey::DailyLoss { None } else { Some(verdict) }, "{key:?}");
        desk.risk.set("all", key, 1_000.0, 3, 4).unwrap();
        assert_eq!(desk.buy(1.0), None);
    }
}

#[test]
fn restricted_to_reducing_nothing_leaves_that_might_not() {
    let mut desk = Desk::with(&[]);
    desk.mark(10.0);
    desk.buy(10.0);
    desk.fill(10.0, 10.0);
    assert_eq!(desk.send(20.0, Terms::limit(5.0)), None, "waits far below, and may never fill");
    desk.gate.set(Trading::Reducing);
    let refused = Some(Verdict::NotReducing);
    for (signed, expected) in
        [(-11.0, refused), (1.0, refused), (-6.0, None), (-5.0, refused), (-4.0, None), (-1.0, refused)]
    {
        assert_eq!(desk.send(signed, Terms::MARKET), expected, "{signed}");
    }
    // Ten are on their way out: one that cannot turn the position may go all the same.
    assert_eq!(desk.send(-10.0, Terms { reduce_only: true, ..Terms::MARKET }), None);
    assert_eq!(desk.send(1.0, Terms { reduce_only: true, ..Terms::MARKET }), refused);
    desk.gate.set(Trading::Halted);
    assert_eq!(desk.send(-1.0, Terms { reduce_only: true, ..Terms::MARKET }), Some(Verdict::Halted));
}

#[test]
fn an_order_that_waits_is_moved_only_where_a_new_one_could_go() {
    let mut desk = Desk::with(&[(LimitKey::RefusedPerS, 4.0), (LimitKey::DailyLoss, 100.0)]);
    desk.portfolio.fund(0, 1_000.0, 1.0);
    desk.mark(10.0);
    let entry = desk.order(4.0, Terms::limit(9.0));
    let exit = desk.order(-4.0, Terms::limit(12.0));
    desk.portfolio.position_mut(0, 0).send(4.0, false);
    desk.portfolio.position_mut(0, 0).leave(4.0, false);
    let change = |desk: &mut Desk, order: &Order, quantity, limit| {
        let look = Look { gate: &desk.gate, portfolio: &desk.portfolio, position: 0, now_ns: 0 };
        desk.risk.check_change(order, Amendment { quantity, limit, stop: f64::NAN }, &look).err()
    };
    desk.gate.set(Trading::Reducing);
    assert_eq!(change(&mut desk, &entry, 4.0, 11.0), Some(Verdict::NotReducing), "it would fill at once");
    assert_eq!(change(&mut desk, &entry, 3.0, 9.0), None, "less of the same");
    desk.gate.set(Trading::Active);
    desk.buy(4.0);
    desk.fill(4.0, 10.0);
    desk.gate.set(Trading::Reducing);
    desk.portfolio.position_mut(0, 0).send(-4.0, false);
    desk.portfolio.position_mut(0, 0).leave(-4.0, false);
    assert_eq!(change(&mut desk, &exit, 4.0, 9.5), None, "an exit may come nearer");
    assert_eq!(change(&mut desk, &exit, 5.0, 9.5), Some(Verdict::NotReducing));
    desk.gate.set(Trading::Active);
    desk.mark(7.0);
    desk.portfolio.observe(Some(0), 1);
    assert_eq!(change(&mut desk, &exit, 4.0, 6.5), None);
    for _ in 0..3 {
        assert_eq!(change(&mut desk, &entry, 4.0, 11.0), Some(Verdict::DailyLoss));
    }
    assert_eq!(change(&mut desk, &entry, 3.0, 9.0), Some(Verdict::StrategyHalted), "halted is halted");
}

#[test]
fn too_many_refusals_halt_a_strategy_until_somebody_lets_it_go_on() {
    let mut desk = Desk::with(&[(LimitKey::OrderQuantity, 1.0), (LimitKey::RefusedPerS, 2.0)]);
    assert!([desk.buy(2.0), desk.buy(2.0)].iter().all(|verdict| *verdict == Some(Verdict::OrderQuantity)));
    assert_eq!(
        (desk.buy(1.0), desk.buy(2.0), desk.buy(1.0)),
        (None, Some(Verdict::OrderQuantity), Some(Verdict::StrategyHalted))
    );
    let look = Look { gate: &desk.gate, portfolio: &desk.portfolio, position: 0, now_ns: 0 };
    assert_eq!(desk.risk.state(0, &look), Trading::Halted);
    assert_eq!((desk.risk.resume(), desk.risk.resume()), (1, 0));
    assert_eq!(desk.buy(1.0), None);
}

#[test]
fn a_change_is_judged_by_what_it_adds() {
    let mut desk =
        Desk::with(&[(LimitKey::OrderQuantity, 5.0), (LimitKey::PositionQuantity, 6.0), (LimitKey::OrdersPerS, 9.0)]);
    desk.mark(10.0);
    let order = desk.order(4.0, Terms::limit(9.0));
    desk.portfolio.position_mut(0, 0).send(4.0, false);
    desk.portfolio.position_mut(0, 0).leave(4.0, false);
    let change = |desk: &mut Desk, quantity| {
        let look = Look { gate: &desk.gate, portfolio: &desk.portfolio, position: 0, now_ns: 0 };
        desk.risk.check_change(&order, Amendment { quantity, limit: 9.0, stop: f64::NAN }, &look).err()
    };
    assert_eq!((change(&mut desk, 5.0), change(&mut desk, 5.5)), (None, Some(Verdict::OrderQuantity)));
    desk.risk.set("all", LimitKey::OrderQuantity, 2.0, 0, 0).unwrap();
    assert_eq!((change(&mut desk, 3.0), change(&mut desk, 4.5)), (None, Some(Verdict::OrderQuantity)));
    desk.risk.set("all", LimitKey::OrderQuantity, 100.0, 0, 0).unwrap();
    assert_eq!((change(&mut desk, 6.0), change(&mut desk, 6.5)), (None, Some(Verdict::PositionQuantity)));
    assert!((0..3).all(|_| change(&mut desk, 4.0).is_none()));
    assert_eq!(change(&mut desk, 4.0), Some(Verdict::OrdersPerS));
}

#[test]
fn a_change_of_a_limit_is_kept_with_what_it_was() {
    let mut desk = Desk::with(&[(LimitKey::OrderQuantity, 1.0)]);
    assert_eq!(desk.risk.set("all", LimitKey::OrderQuantity, 4.0, 5, 6), Ok(1.0));
    assert_eq!(desk.risk.set("none", LimitKey::OrderQuantity, 4.0, 5, 6), Err(LimitError::Rule("none".to_owned())));
    assert!(desk.risk.set("all", LimitKey::OrderQuantity, -4.0, 5, 6).is_err());
    let kept: Vec<_> =
        desk.risk.changes().map(|one| (one.key, one.before, one.after, one.position, one.ts_ns)).collect();
    assert_eq!(kept, [(LimitKey::OrderQuantity, 1.0, 4.0, 5, 6)]);
}

#[test]
fn a_rule_binds_whom_it_names() {
    let rule =
        |strategies, instruments| Rule { name: String::new(), strategies, instruments, limits: Limits::default() };
    assert!(rule(None, None).binds(3, 4));
    assert!(rule(Some(vec![3]), Some(vec![4, 5])).binds(3, 5));
    assert!(!rule(Some(vec![2]), None).binds(3, 5) && !rule(None, Some(vec![2])).binds(3, 5));
}

/// A desk at 100 with 10 units a contract, funded, and the last order of what `act` does: whether it leaves.
fn leaves(key: LimitKey, limit: f64, act: &dyn Fn(&mut Desk) -> Option<Verdict>) -> Option<Verdict> {
    let mut desk = Desk::with(&[(key, limit)]);
    desk.portfolio.fund(0, 1e6, 1.0);
    desk.mark(100.0);
    desk.portfolio.observe(Some(0), 0);
    act(&mut desk)
}

#[test]
fn each_limit_lets_pass_what_is_just_below_and_at_it_and_not_what_is_just_above() {
    let quantity = |by: f64| move |desk: &mut Desk| desk.buy(5.0 * by);
    let limit_at = |price: f64| move |desk: &mut Desk| desk.send(1.0, Terms::limit(price));
    let after = |count: usize| move |desk: &mut Desk| (0..count).map(|_| desk.buy(1.0)).last().unwrap();
    let aged = |age_ns: i64| {
        move |desk: &mut Desk| {
            desk.now_ns = age_ns;
            desk.buy(1.0)
        }
    };
    // One contract bought at 100 and marked lower: each point down is 10.
    let lost = |price: f64| {
        move |desk: &mut Desk| {
            desk.buy(1.0);
            desk.fill(1.0, 100.0);
            desk.mark(price);
            desk.portfolio.observe(Some(0), 1);
            desk.buy(1.0)
        }
    };
    type Act = Box<dyn Fn(&mut Desk) -> Option<Verdict>>;
    let three = |below: Act, at: Act, above: Act| [below, at, above];
    let cases: Vec<(LimitKey, f64, Verdict, [Act; 3])> = vec![
        (
            LimitKey::OrderQuantity,
            5.0,
            Verdict::OrderQuantity,
            three(Box::new(quantity(0.999)), Box::new(quantity(1.0)), Box::new(quantity(1.000_001))),
        ),
        (
            LimitKey::OrderNotional,
            5_000.0,
            Verdict::OrderNotional,
            three(Box::new(quantity(0.999)), Box::new(quantity(1.0)), Box::new(quantity(1.000_001))),
        ),
        (
            LimitKey::PositionQuantity,
            5.0,
            Verdict::PositionQuantity,
            three(Box::new(quantity(0.999)), Box::new(quantity(1.0)), Box::new(quantity(1.000_001))),
        ),
        (
            LimitKey::PriceCollar,
            0.1,
            Verdict::PriceCollar,
            three(Box::new(limit_at(109.99)), Box::new(limit_at(110.0)), Box::new(limit_at(110.01))),
        ),
        (
            LimitKey::OpenOrders,
            3.0,
            Verdict::OpenOrders,
            three(Box::new(after(2)), Box::new(after(3)), Box::new(after(4))),
        ),
        (
            LimitKey::OrdersPerS,
            3.0,
            Verdict::OrdersPerS,
            three(Box::new(after(2)), Box::new(after(3)), Box::new(after(4))),
        ),
        // The first of them repeats nothing.
        (LimitKey::Repeats, 3.0, Verdict::Repeats, three(Box::new(after(3)), Box::new(after(4)), Box::new(after(5)))),
        (
            LimitKey::TickAgeNs,
            50.0,
            Verdict::TickAge,
            three(Box::new(aged(49)), Box::new(aged(50)), Box::new(aged(51))),
        ),
    ];
    for (key, limit, verdict, [below, at, above]) in cases {
        assert_eq!(leaves(key, limit, &below), None, "{key:?}, below");
        assert_eq!(leaves(key, limit, &at), None, "{key:?}, at");
        assert_eq!(leaves(key, limit, &above), Some(verdict), "{key:?}, above");
    }
    // A loss is one once it is there: at the limit no more may be risked.
    for (key, verdict) in [(LimitKey::DailyLoss, Verdict::DailyLoss), (LimitKey::Drawdown, Verdict::Drawdown)] {
        assert_eq!(leaves(key, 50.0, &lost(95.01)), None, "{key:?}, below");
        assert_eq!(leaves(key, 50.0, &lost(95.0)), Some(verdict), "{key:?}, at");
        assert_eq!(leaves(key, 50.0, &lost(94.99)), Some(verdict), "{key:?}, above");
    }
}
