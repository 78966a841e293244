//! The simulated venue by itself: each rule of matching, messages that take time, and a model of the simplest kind.

use crate::risk::{Pass, Verdict};
use proptest::prelude::*;

use super::*;
use crate::tick::Side;

mod bars;
mod fractions;
mod model;
mod outages;

/// A venue of one instrument, and what it reported.
struct Sim {
    venue: SimulatedVenue,
    now_ns: i64,
    made: u32,
    reports: Vec<VenueReport>,
}

impl Sim {
    fn new(settings: VenueSettings) -> Self {
        Self::with(InstrumentTerms::default(), settings)
    }

    fn with(terms: InstrumentTerms, settings: VenueSettings) -> Self {
        Self { venue: SimulatedVenue::with(vec![terms], vec![settings], 1), now_ns: 0, made: 0, reports: Vec::new() }
    }

    fn order(&mut self, side: Side, quantity: f64, terms: Terms) -> OrderKey {
        self.made += 1;
        let key = OrderKey { strategy: 0, number: self.made };
        let order = Order {
            key,
            instrument: 0,
            side,
            status: OrderStatus::Pending,
            gate: Verdict::Passed,
            terms,
            quantity,
            filled: 0.0,
            made_position: 0,
            made_ns: self.now_ns,
            changed_position: 0,
            changed_ns: self.now_ns,
            price: f64::NAN,
            fee: 0.0,
        };
        self.venue.submit(&order, Pass::TEST, self.now_ns, &mut self.reports);
        key
    }

    fn buy(&mut self, quantity: f64, terms: Terms) -> u32 {
        self.order(Side::Buy, quantity, terms).number
    }

    fn sell(&mut self, quantity: f64, terms: Terms) -> u32 {
        self.order(Side::Sell, quantity, terms).number
    }

    /// What a tick leads to, accepted orders left out.
    fn tick(&mut self, tick: Tick) -> Vec<VenueReport> {
        self.now_ns = tick.ts_event;
        while self.venue.take_due(self.now_ns - 1, &mut self.reports).is_some() {}
        if self.venue.is_waiting(0) {
            let (leaves, before) = (self.venue.leaves(&tick), self.reports.len());
            self.venue.match_tick(&tick, self.now_ns, &mut self.reports);
            assert!(!leaves || self.reports.len() == before, "nobody would have asked: {:?}", self.reports);
        }
        let told = std::mem::take(&mut self.reports);
        told.into_iter().filter(|report| !matches!(report, VenueReport::Accepted(_))).collect()
    }

    fn quote(&mut self, bid: f64, ask: f64) -> Vec<VenueReport> {
        self.tick(Tick::quote(self.now_ns + 1, 0, bid, ask, f64::NAN, f64::NAN))
    }

    fn sized(&mut self, bid: f64, ask: f64, bid_size: f64, ask_size: f64) -> Vec<VenueReport> {
        self.tick(Tick::quote(self.now_ns + 1, 0, bid, ask, bid_size, ask_size))
    }

    fn trade(&mut self, price: f64, size: f64, side: Side) -> Vec<VenueReport> {
        self.tick(Tick::trade(self.now_ns + 1, 0, price, size, side))
    }

    fn bar(&mut self, prices: [f64; 4]) -> Vec<VenueReport> {
        self.tick(Tick::bar(self.now_ns + 1, 0, prices, 1_000.0))
    }
}

/// Fills as (order, quantity, price, maker).
fn fills(reports: &[VenueReport]) -> Vec<(u32, f64, f64, bool)> {
    let fill = |report: &VenueReport| match report {
        VenueReport::Fill(fill) => Some((fill.order.number, fill.quantity, fill.price, fill.is_maker)),
        _ => None,
    };
    reports.iter().filter_map(fill).collect()
}

fn gone(reports: &[VenueReport]) -> Vec<(u32, &'static str)> {
    let canceled = |report: &VenueReport| match report {
        VenueReport::Canceled(key, reason) | VenueReport::Rejected(key, reason) => Some((key.number, *reason)),
        VenueReport::Expired(key) => Some((key.number, "expired")),
        _ => None,
    };
    reports.iter().filter_map(canceled).collect()
}

fn sizes() -> VenueSettings {
    VenueSettings { fill_model: FillModel::Size, ..VenueSettings::default() }
}

#[test]
fn a_market_order_takes_the_other_side_of_the_next_tick() {
    let mut sim = Sim::new(VenueSettings::default());
    sim.buy(2.0, Terms::MARKET);
    sim.sell(1.0, Terms::MARKET);
    assert_eq!(fills(&sim.quote(9.0, 10.0)), [(1, 2.0, 10.0, false), (2, 1.0, 9.0, false)]);
    assert!(!sim.venue.is_waiting(0));
}

#[test]
fn a_trade_fills_who_was_on_its_aggressors_side() {
    let mut sim = Sim::new(VenueSettings::default());
    sim.buy(1.0, Terms::MARKET);
    sim.sell(1.0, Terms::MARKET);
    assert_eq!(fills(&sim.trade(9.0, 1.0, Side::Sell)), [(2, 1.0, 9.0, false)]);
    assert_eq!(fills(&sim.trade(10.0, 1.0, Side::Buy)), [(1, 1.0, 10.0, false)]);
}

#[test]
fn a_limit_that_is_marketable_takes_and_one_that_is_not_waits_at_its_price() {
    let mut sim = Sim::new(VenueSettings::default());
    sim.buy(1.0, Terms::limit(11.0));
    sim.buy(1.0, Terms::limit(9.5));
    assert_eq!(fills(&sim.quote(9.0, 10.0)), [(1, 1.0, 10.0, false)]);
    assert_eq!(fills(&sim.quote(9.0, 9.6)), []);
    assert_eq!(fills(&sim.quote(8.0, 9.0)), [(2, 1.0, 9.5, true)], "whoever came to it paid its price");
}

#[test]
fn a_limit_beyond_the_market_takes_where_a_tick_tells_and_never_at_itself_by_a_trade_that_does_not() {
    let mut sim = Sim::new(VenueSettings::default());
    sim.buy(1.0, Terms::limit(15.0));
    sim.sell(1.0, Terms::limit(5.0));
    assert_eq!(
        fills(&sim.trade(9.0, 1.0, Side::Sell)),
        [(2, 1.0, 9.0, false)],
        "of what buys take at it tells nothing"
    );
    assert_eq!(fills(&sim.quote(9.0, 10.0)), [(1, 1.0, 10.0, false)]);
    // Where the market has come to it meanwhile that is no gain.
    sim.buy(1.0, Terms::limit(15.0));
    sim.trade(9.0, 1.0, Side::Sell);
    sim.trade(8.0, 1.0, Side::Sell);
    assert_eq!(fills(&sim.quote(6.0, 7.0)), [(3, 1.0, 9.0, false)], "no better than the trade that it was there at");
    // One that is at the price of the trade, or wants to wait, waits.
    sim.buy(1.0, Terms::limit(9.0));
    sim.buy(1.0, Terms { post_only: true, ..Terms::limit(9.5) });
    assert_eq!(fills(&sim.trade(9.0, 1.0, Side::Sell)), [(5, 1.0, 9.5, true), (4, 1.0, 9.0, true)]);
    // A change of its price is another order.
    let key = sim.order(Side::Buy, 1.0, Terms::limit(15.0));
    sim.trade(9.0, 1.0, Side::Sell);
    let change = Amendment { quantity: 1.0, limit: 14.0, stop: f64::NAN };
    sim.venue.amend(key, 0, change, Pass::TEST, sim.now_ns, &mut sim.reports);
    assert_eq!(fills(&sim.quote(6.0, 7.0)), [(6, 1.0, 7.0, false)]);
}

#[test]
fn a_stop_that_was_woken_has_no_other_stop_any_more_but_another_limit() {
    let mut sim = Sim::new(VenueSettings::default());
    let key = sim.order(Side::Buy, 1.0, Terms::stop_limit(10.0, 8.0));
    let amend = |sim: &mut Sim, limit: f64, stop: f64| {
        sim.venue.amend(key, 0, Amendment { quantity: 1.0, limit, stop }, Pass::TEST, sim.now_ns, &mut sim.reports);
        sim.reports.pop()
    };
    assert!(matches!(amend(&mut sim, 8.0, 9.0), Some(VenueReport::Amended(..))), "it sleeps");
    assert_eq!(sim.quote(9.0, 9.5), [], "woken, and not marketable");
    assert!(
        matches!(amend(&mut sim, 8.0, 20.0), Some(VenueReport::NotAmended(.., reason)) if reason.contains("its stop")),
        "it would look as if it slept again"
    );
    assert!(matches!(amend(&mut sim, 12.0, 9.0), Some(VenueReport::Amended(..))));
    assert_eq!(fills(&sim.quote(9.0, 9.5)), [(1, 1.0, 9.5, false)]);
}

#[test]
fn touch_fills_at_the_price_and_through_only_beyond_it() {
    for (fill_model, at_touch) in [(FillModel::Touch, 1), (FillModel::Through, 0), (FillModel::Size, 1)] {
        let mut sim = Sim::new(VenueSettings { fill_model, ..VenueSettings::default() });
        sim.sell(1.0, Terms::limit(11.0));
        sim.quote(9.0, 10.0);
        assert_eq!(sim.quote(11.0, 12.0).len(), at_touch, "{fill_model:?}");
        assert_eq!(sim.quote(11.5, 12.0).len(), 1 - at_touch, "{fill_model:?}");
    }
}

#[test]
fn waiting_orders_fill_best_price_first_then_oldest_and_share_the_size_on_offer() {
    let mut sim = Sim::new(sizes());
    for price in [9.0, 9.5, 9.0] {
        sim.buy(4.0, Terms::limit(price));
    }
    sim.sized(9.6, 10.0, 1.0, 1.0);
    assert_eq!(fills(&sim.sized(8.0, 9.0, 1.0, 5.0)), [(2, 4.0, 9.5, true), (1, 1.0, 9.0, true)]);
    assert_eq!(fills(&sim.sized(8.0, 9.0, 1.0, 5.0)), [(1, 3.0, 9.0, true), (3, 2.0, 9.0, true)]);
    assert_eq!(fills(&sim.sized(8.0, 9.0, 1.0, f64::NAN)), [(3, 2.0, 9.0, true)], "a missing size is unlimited");
}

#[test]
fn a_market_order_takes_what_is_there_and_waits_for_the_rest() {
    let mut sim = Sim::new(sizes());
    sim.buy(5.0, Terms::MARKET);
    assert_eq!(fills(&sim.sized(9.0, 10.0, 1.0, 2.0)), [(1, 2.0, 10.0, false)]);
    assert_eq!(fills(&sim.sized(9.0, 10.0, 1.0, 0.0)), [], "a side of size zero has no liquidity");
    assert_eq!(fills(&sim.sized(9.0, 10.5, 1.0, 9.0)), [(1, 3.0, 10.5, false)]);
}

#[test]
fn ioc_takes_back_the_rest_and_fok_wants_all_or_nothing() {
    let mut sim = Sim::new(sizes());
    sim.buy(5.0, Terms::MARKET.standing(TimeInForce::Ioc));
    sim.buy(5.0, Terms::limit(10.0).standing(TimeInForce::Fok));
    sim.buy(1.0, Terms::limit(9.0).standing(TimeInForce::Ioc));
    let told = sim.sized(9.0, 10.0, 1.0, 2.0);
    assert_eq!(fills(&told), [(1, 2.0, 10.0, false)]);
    let reasons = gone(&told);
    assert_eq!(reasons.iter().map(|&(number, _)| number).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(reasons[0].1.starts_with("IOC") && reasons[1].1.starts_with("FOK"));
    sim.sell(2.0, Terms::limit(9.0).standing(TimeInForce::Fok));
    assert_eq!(fills(&sim.sized(9.0, 10.0, 2.0, 2.0)), [(4, 2.0, 9.0, false)]);
}

#[test]
fn an_immediate_order_waits_for_a_trade_that_tells_of_its_side() {
    let mut sim = Sim::new(VenueSettings::default());
    sim.buy(1.0, Terms::MARKET.standing(TimeInForce::Ioc));
    assert_eq!(sim.trade(9.0, 1.0, Side::Sell), []);
    assert_eq!(fills(&sim.trade(10.0, 1.0, Side::Buy)), [(1, 1.0, 10.0, false)]);
}

#[test]
fn post_only_never_takes() {
    let mut sim = Sim::new(VenueSettings::default());
    sim.buy(1.0, Terms { post_only: true, ..Terms::limit(10.0) });
    sim.buy(1.0, Terms { post_only: true, ..Terms::limit(9.0) });
    let told = sim.quote(9.0, 10.0);
    assert_eq!(gone(&told), [(1, "post_only: it would have matched at once")]);
    assert_eq!(fills(&sim.quote(8.0, 9.0)), [(2, 1.0, 9.0, true)]);
}

#[test]
fn reduce_only_ends_where_the_position_does() {
    let mut sim = Sim::new(VenueSettings::default());
    let reducing = Terms { reduce_only: true, ..Terms::MARKET };
    sim.sell(1.0, reducing);
    assert_eq!(gone(&sim.quote(9.0, 10.0)).len(), 1, "nothing to reduce");
    sim.buy(2.0, Terms::MARKET);
    sim.quote(9.0, 10.0);
    sim.sell(5.0, reducing);
    let told = sim.quote(9.0, 10.0);
    assert_eq!((fills(&told), gone(&told).len()), (vec![(3, 2.0, 9.0, false)], 1));
}

#[test]
fn a_stop_wakes_at_its_price_and_takes_what_is_there() {
    let mut sim = Sim::new(VenueSettings::default());
    sim.buy(1.0, Terms::stop(11.0));
    sim.sell(1.0, Terms::stop(8.0));
    assert_eq!(sim.quote(9.0, 10.0), []);
    assert_eq!(fills(&sim.quote(10.0, 11.5)), [(1, 1.0, 11.5, false)]);
    assert_eq!(fills(&sim.quote(7.0, 11.5)), [(2, 1.0, 7.0, false)], "a gap costs what it costs");
}

#[test]
fn a_stop_limit_wakes_and_then_waits_at_its_limit() {
    let mut sim = Sim::new(VenueSettings::default());
    sim.buy(1.0, Terms::stop_limit(11.0, 11.2));
    assert_eq!(fills(&sim.quote(11.0, 11.5)), [], "woken, and beyond its limit");
    assert_eq!(fills(&sim.quote(11.0, 11.2)), [(1, 1.0, 11.2, true)]);
    sim.buy(1.0, Terms::stop_limit(12.0, 12.5));
    assert_eq!(fills(&sim.quote(11.9, 12.1)), [(2, 1.0, 12.1, false)]);
}

#[test]
fn gtd_matches_up_to_its_time_and_day_to_midnight() {
    let mut sim = Sim::new(VenueSettings::default());
    sim.buy(1.0, Terms::limit(9.0).until(3));
    sim.buy(1.0, Terms::limit(9.0).until(2));
    sim.sell(1.0, Terms::limit(20.0).standing(TimeInForce::Day));
    sim.quote(9.0, 10.0);
    assert_eq!(sim.quote(9.0, 10.0), []);
    let told = sim.quote(8.0, 9.0);
    assert_eq!((fills(&told), gone(&told)), (vec![(1, 1.0, 9.0, true)], vec![(2, "expired")]));
    sim.now_ns = DAY_NS - 1;
    assert_eq!(sim.quote(9.0, 10.0), [], "midnight is of the day");
    assert_eq!(gone(&sim.quote(9.0, 10.0)), [(3, "expired")]);
    assert!(!sim.venue.is_waiting(0));
}

/// Changes that were refused: which order, the quantity that it was to have, and why.
fn refused(sim: &mut Sim) -> Vec<(OrderKey, f64, &'static str)> {
    let one = |report| match report {
        VenueReport::NotAmended(key, change, reason) => Some((key, change.quantity, reason)),
        _ => None,
    };
    std::mem::take(&mut sim.reports).into_iter().filter_map(one).collect()
}

#[test]
fn what_decimals_leave_of_an_order_is_nothing_to_be_changed() {
    let mut sim = Sim::new(sizes());
    let key = sim.order(Side::Buy, 0.7, Terms::limit(9.0));
    assert_eq!(fills(&sim.sized(8.0, 9.0, 1.0, 0.1)), [(1, 0.1, 9.0, false)]);
    // By floats 0.1 less what is filled of it, 0.7 - (0.7 - 0.1), is above zero.
    let change = Amendment { quantity: 0.1, limit: 9.0, stop: f64::NAN };
    sim.venue.amend(key, 0, change, Pass::TEST, 1, &mut sim.reports);
    assert_eq!(refused(&mut sim), [(key, 0.1, "the new quantity is filled already")]);
}

#[test]
fn an_amended_order_keeps_its_turn_only_where_it_shrinks() {
    let mut sim = Sim::new(sizes());
    let first = sim.order(Side::Buy, 2.0, Terms::limit(9.0));
    let second = sim.order(Side::Buy, 2.0, Terms::limit(9.0));
    sim.sized(8.0, 10.0, 1.0, 1.0);
    let smaller = Amendment { quantity: 1.0, limit: 9.0, stop: f64::NAN };
    sim.venue.amend(first, 0, smaller, Pass::TEST, 1, &mut sim.reports);
    assert_eq!(fills(&sim.sized(8.0, 9.0, 1.0, 1.5)), [(1, 1.0, 9.0, true), (2, 0.5, 9.0, true)]);
    let third = sim.order(Side::Buy, 1.0, Terms::limit(9.0));
    sim.sized(8.0, 10.0, 1.0, 1.0);
    let larger = Amendment { quantity: 3.0, ..smaller };
    sim.venue.amend(second, 0, larger, Pass::TEST, 2, &mut sim.reports);
    sim.sized(8.0, 10.0, 1.0, 1.0);
    assert_eq!(fills(&sim.sized(8.0, 9.0, 1.0, 2.0)), [(third.number, 1.0, 9.0, true), (2, 1.0, 9.0, true)]);
    let too_small = Amendment { quantity: 1.0, ..smaller };
    sim.venue.amend(second, 0, too_small, Pass::TEST, 3, &mut sim.reports);
    sim.venue.amend(first, 0, larger, Pass::TEST, 3, &mut sim.reports);
    assert_eq!(
        refused(&mut sim),
        [(second, 1.0, "the new quantity is filled already"), (first, 3.0, "too late: the venue has it no more")]
    );
}

#[test]
fn fees_by_role_with_a_minimum_an_order() {
    let fees = Fees { maker_rate: 0.001, taker_rate: 0.002, per_unit: 0.0, minimum: 1.0 };
    let terms = InstrumentTerms { fees, multiplier: 10.0, ..InstrumentTerms::default() };
    let mut sim = Sim::with(terms, sizes());
    sim.buy(20.0, Terms::MARKET);
    let fee = |reports: Vec<VenueReport>| match reports[..] {
        [VenueReport::Fill(fill)] => fill.fee,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(fee(sim.sized(9.0, 10.0, 1.0, 1.0)), 1.0, "0.2, at least 1");
    assert_eq!(fee(sim.sized(9.0, 10.0, 1.0, 1.0)), 0.0, "0.4 of 1");
    assert!((fee(sim.sized(9.0, 10.0, 1.0, 18.0)) - 3.0).abs() < 1e-12, "4.0 in all");
    sim.sell(100.0, Terms::limit(20.0));
    sim.sized(9.0, 10.0, 1.0, 1.0);
    assert_eq!(fee(sim.sized(20.0, 21.0, 100.0, 1.0)), 20.0);
}

#[test]
fn messages_take_time_and_never_overtake_each_other() {
    let settings = VenueSettings {
        order_latency: Latency::Series(vec![(0, 10), (2, 1)]),
        report_latency: Latency::Constant(5),
        ..VenueSettings::default()
    };
    let mut sim = Sim::new(settings);
    sim.now_ns = 1;
    let key = sim.order(Side::Buy, 1.0, Terms::MARKET);
    assert_eq!(std::mem::take(&mut sim.reports), [VenueReport::Submitted(key)]);
    // Sent later and faster, it still arrives after the order: at 11.
    sim.venue.cancel(key, 0, 3, &mut sim.reports);
    sim.now_ns = 10;
    assert_eq!(sim.quote(9.0, 10.0), [], "at 11 the order arrives, after the tick of that time");
    let mut told = Vec::new();
    let mut dues = Vec::new();
    while let Some(due_ns) = sim.venue.take_due(i64::MAX, &mut told) {
        dues.push(due_ns);
    }
    assert_eq!(dues, [11, 11, 16, 16]);
    assert_eq!(told, [VenueReport::Accepted(key), VenueReport::Canceled(key, "asked for")]);
}

#[test]
fn a_fill_is_reported_late_and_priced_when_it_happened() {
    let mut sim = Sim::new(VenueSettings { report_latency: Latency::Constant(3), ..VenueSettings::default() });
    let key = sim.order(Side::Buy, 1.0, Terms::MARKET);
    assert_eq!(sim.quote(9.0, 10.0), [VenueReport::Submitted(key)], "it has left, and is not heard of yet");
    let told: Vec<_> = (0..4).flat_map(|_| sim.quote(19.0, 20.0)).collect();
    assert_eq!(fills(&told), [(1, 1.0, 10.0, false)]);
}

#[test]
fn rejects_outages_and_sessions_on_purpose() {
    let rejecting = VenueSettings { reject_rate: 0.5, ..VenueSettings::default() };
    let rejected = |seed| {
        let terms = vec![InstrumentTerms::default()];
        let mut sim =
            Sim { venue: SimulatedVenue::with(terms, vec![rejecting.clone()], seed), ..Sim::new(rejecting.clone()) };
        for _ in 0..100 {
            sim.buy(1.0, Terms::limit(1.0));
        }
        gone(&sim.reports)
    };
    assert_eq!(rejected(3), rejected(3));
    assert_ne!(rejected(3), rejected(4));
    assert!((30..70).contains(&rejected(3).len()));

    let mut sim = Sim::new(VenueSettings { outages: vec![(5, 8)], ..VenueSettings::default() });
    for now_ns in [4, 5, 7, 8] {
        sim.now_ns = now_ns;
        sim.buy(1.0, Terms::MARKET);
    }
    assert_eq!(gone(&sim.reports).iter().map(|&(number, _)| number).collect::<Vec<_>>(), [2, 3]);

    let session = Session { open_ns: 10, close_ns: 20, weekdays: 0x7F };
    let sessions = Sessions::new(vec![session]).unwrap();
    let mut sim = Sim::new(VenueSettings { sessions, ..VenueSettings::default() });
    sim.now_ns = 9;
    sim.buy(1.0, Terms::MARKET);
    assert_eq!(gone(&sim.reports), [(1, "the venue is closed (sessions)")]);
    sim.reports.clear();
    sim.now_ns = 10;
    sim.buy(1.0, Terms::limit(9.0).standing(TimeInForce::Day));
    sim.buy(1.0, Terms::limit(9.0));
    sim.now_ns = 19;
    assert_eq!(sim.quote(8.0, 9.0), [], "at 20 nothing trades");
    assert_eq!(gone(&sim.quote(8.0, 9.0)), [(2, "expired")]);
    assert!(sim.venue.is_waiting(0));
}

#[test]
fn a_trade_at_the_very_price_reaches_who_waits_there() {
    let mut sim = Sim::new(VenueSettings::default());
    let (low, high) = (sim.buy(1.0, Terms::limit(10.0)), sim.sell(1.0, Terms::limit(12.0)));
    assert_eq!(sim.quote(10.5, 11.5), [], "both wait");
    assert!(!sim.venue.leaves(&Tick::trade(9, 0, 10.0, 1.0, Side::Sell)));
    assert!(sim.venue.leaves(&Tick::trade(9, 0, 11.0, 1.0, Side::Sell)));
    assert_eq!(fills(&sim.trade(10.0, 1.0, Side::Sell))[0].0, low);
    assert_eq!(fills(&sim.trade(12.0, 1.0, Side::Buy))[0].0, high);
}

#[test]
fn many_orders_are_taken_back_without_moving_the_others() {
    let mut sim = Sim::new(VenueSettings::default());
    // A failed strategy's orders are all taken back, and 200,000 that each moved those behind would take minutes.
    let numbers: Vec<u32> = (0..200_000).map(|_| sim.buy(1.0, Terms::limit(5.0))).collect();
    for &number in &numbers[..numbers.len() - 1] {
        sim.venue.cancel(OrderKey { strategy: 0, number }, 0, sim.now_ns, &mut sim.reports);
    }
    assert_eq!(fills(&sim.quote(3.0, 4.0)).iter().map(|fill| fill.0).collect::<Vec<_>>(), [*numbers.last().unwrap()]);
    assert!(!sim.venue.is_waiting(0));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Order { is_buy: bool, price: u8, kind: u8 },
    Quote { bid: u8 },
}

fn side_of(is_buy: bool) -> Side {
    if is_buy { Side::Buy } else { Side::Sell }
}

fn terms_of(kind: u8, price: u8) -> Terms {
    match kind {
        0 => Terms::MARKET,
        1 => Terms::limit(f64::from(price)),
        _ => Terms::stop(f64::from(price)),
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<bool>(), 1_u8..20, 0_u8..3).prop_map(|(is_buy, price, kind)| Step::Order { is_buy, price, kind }),
        (1_u8..20).prop_map(|bid| Step::Quote { bid }),
    ]
}

proptest! {
    /// Whatever happens, an order is filled for its quantity at most, within its limit, and ends once.
    #[test]
    fn no_order_gets_more_than_it_asked_for(
        steps in prop::collection::vec(step(), 1..60),
        sizes_on_offer in prop::collection::vec(0_u8..4, 60),
        cancels in prop::collection::vec(0_u32..40, 0..20),
    ) {
        let mut sim = Sim::new(sizes());
        let mut left = std::collections::BTreeMap::new();
        for (place, step) in steps.iter().enumerate() {
            let told = match *step {
                Step::Order { is_buy, price, kind } => {
                    let terms = terms_of(kind, price);
                    let number = sim.order(side_of(is_buy), 3.0, terms).number;
                    left.insert(number, (3.0, terms, is_buy));
                    Vec::new()
                }
                Step::Quote { bid } => {
                    let size = f64::from(sizes_on_offer[place]);
                    sim.sized(f64::from(bid), f64::from(bid) + 1.0, size, size)
                }
            };
            for (number, quantity, price, _) in fills(&told) {
                let (open, terms, is_buy) = left.get_mut(&number).expect("an open order");
                *open -= quantity;
                prop_assert!(*open >= 0.0 && quantity > 0.0);
                let limit = terms.limit;
                let is_within = if *is_buy { price <= limit } else { price >= limit };
                prop_assert!(limit.is_nan() || is_within);
            }
            if let Some(&number) = cancels.get(place) {
                sim.venue.cancel(OrderKey { strategy: 0, number }, 0, sim.now_ns, &mut sim.reports);
                let was_open = left.get(&number).is_some_and(|&(open, ..)| open > 0.0);
                let canceled = sim.reports.iter().filter(|report| matches!(report, VenueReport::Canceled(..))).count();
                prop_assert_eq!(canceled == 1, was_open);
                sim.reports.clear();
                left.remove(&number);
            }
        }
        prop_assert_eq!(sim.venue.is_waiting(0), left.values().any(|&(open, ..)| open > 0.0));
    }
}
