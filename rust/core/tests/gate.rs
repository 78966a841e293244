//! No path reaches a venue without a record of the gate: whatever strategies and operators do, what a venue is given has
//! passed, and what has passed keeps every limit by figures of our own.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tickrail_core::dispatch::{
    Delivery, Desk, Dispatcher, Fault, Hook, Host, Kinds, Outcome, Refusal, RunSettings, Subscription,
};
use tickrail_core::handler::HandlerError;
use tickrail_core::order::{Merge, MergeInput};
use tickrail_core::risk::{LimitKey, Limits, Pass, Rule, Verdict};
use tickrail_core::stop::StopFlag;
use tickrail_core::tick::OrderBy;
use tickrail_core::timer::Fired;
use tickrail_core::trading::{Trading, TradingGate};
use tickrail_core::venue::{
    Amendment, InstrumentTerms, Latency, Order, OrderKey, OrderStatus, OrderUpdate, SimulatedVenue, Terms, Venue,
    VenueReport, VenueSettings,
};
use tickrail_core::{InstrumentInfo, Side, Tick, TickBlock};

const SECOND_NS: i64 = 1_000_000_000;

/// What a venue was given, and when.
#[derive(Clone, Copy, Debug)]
enum Given {
    /// When, and how many orders of its owner were open.
    Order(Order, i64, usize),
    /// An order, what it had and what it is to have.
    Change(OrderKey, [f64; 2], i64),
}

/// The simulated venue, and a list of all that it was given. Keeps accounts of its own, by which it holds the gate to its state.
struct Spy {
    inner: SimulatedVenue,
    given: Arc<Mutex<Vec<Given>>>,
    gate: Arc<TradingGate>,
    open: BTreeMap<OrderKey, Order>,
    nets: BTreeMap<(u32, u32), f64>,
}

impl Spy {
    /// What `order` can make of what its owner holds, with everything else that may fill on its side before it.
    fn must_reduce(&self, order: &Order, what: &str) {
        let place = (order.key.strategy, order.instrument);
        let net = self.nets.get(&place).copied().unwrap_or(0.0);
        let others = self.open.values().filter(|other| {
            other.key != order.key && (other.key.strategy, other.instrument) == place && other.side == order.side
        });
        let reach = net + others.map(Order::signed_left).sum::<f64>() + order.signed_left();
        let is_towards_zero = order.side.sign() * net < 0.0;
        assert!(is_towards_zero && (order.terms.reduce_only || reach * net >= 0.0), "{what} of {order:?} on {net}");
    }

    /// Takes note of what the venue reports from place `from` on.
    fn note(&mut self, out: &[VenueReport], from: usize) {
        for report in &out[from..] {
            let Some(order) = self.open.get_mut(&report.order()) else { continue };
            match *report {
                VenueReport::Fill(fill) => {
                    order.filled += fill.quantity;
                    let place = (order.key.strategy, order.instrument);
                    *self.nets.entry(place).or_default() += order.side.sign() * fill.quantity;
                    if fill.is_done {
                        self.open.remove(&fill.order);
                    }
                }
                VenueReport::Amended(_, change) => {
                    (order.quantity, order.terms.limit) = (change.quantity, change.limit)
                }
                VenueReport::Rejected(..) | VenueReport::Canceled(..) | VenueReport::Expired(..) => {
                    self.open.remove(&report.order());
                }
                _ => {}
            }
        }
    }
}

impl Venue for Spy {
    fn submit(&mut self, order: &Order, pass: Pass, now_ns: i64, out: &mut Vec<VenueReport>) {
        match self.gate.state() {
            Trading::Halted => panic!("{order:?} has left, and trading is halted"),
            Trading::Reducing => self.must_reduce(order, "an order"),
            Trading::Active => {}
        }
        let open = self.open.keys().filter(|key| key.strategy == order.key.strategy).count();
        self.given.lock().expect("one thread").push(Given::Order(*order, now_ns, open));
        self.open.insert(order.key, *order);
        let from = out.len();
        self.inner.submit(order, pass, now_ns, out);
        self.note(out, from);
    }

    fn cancel(&mut self, order: OrderKey, instrument: u32, now_ns: i64, out: &mut Vec<VenueReport>) {
        let from = out.len();
        self.inner.cancel(order, instrument, now_ns, out);
        self.note(out, from);
    }

    fn amend(
        &mut self,
        order: OrderKey,
        instrument: u32,
        change: Amendment,
        pass: Pass,
        now_ns: i64,
        out: &mut Vec<VenueReport>,
    ) {
        let known = self.open.get(&order).copied();
        let shrinks = known.is_some_and(|known| change.quantity <= known.quantity && change.keeps_prices(&known.terms));
        match self.gate.state() {
            Trading::Halted => panic!("{change:?} has left, and trading is halted"),
            Trading::Reducing if !shrinks => {
                let changed = known.map(|known| Order { quantity: change.quantity, ..known });
                changed.iter().for_each(|changed| self.must_reduce(changed, "a change"));
            }
            _ => {}
        }
        let had = known.map_or(f64::INFINITY, |known| known.quantity);
        self.given.lock().expect("one thread").push(Given::Change(order, [had, change.quantity], now_ns));
        let from = out.len();
        self.inner.amend(order, instrument, change, pass, now_ns, out);
        self.note(out, from);
    }

    fn is_waiting(&self, instrument: u32) -> bool {
        self.inner.is_waiting(instrument)
    }

    fn match_tick(&mut self, tick: &Tick, now_ns: i64, out: &mut Vec<VenueReport>) {
        let from = out.len();
        self.inner.match_tick(tick, now_ns, out);
        self.note(out, from);
    }

    fn next_due_ns(&self) -> i64 {
        self.inner.next_due_ns()
    }

    fn take_due(&mut self, until_ns: i64, out: &mut Vec<VenueReport>) -> Option<i64> {
        let from = out.len();
        let due_ns = self.inner.take_due(until_ns, out);
        self.note(out, from);
        due_ns
    }
}

/// What is done at a tick.
#[derive(Clone, Debug)]
enum Act {
    Order { signed: f64, limit: Option<f64>, instrument: u32, reduce_only: bool },
    Target { units: f64, instrument: u32 },
    Amend { number: u32, quantity: Option<f64>, limit: Option<f64> },
    Cancel { number: u32 },
    Flatten,
    CancelAll,
    Trading(Trading),
    SetQuantity(f64),
}

struct Acts {
    desk: Rc<Desk>,
    script: Vec<Vec<(u32, Act)>>,
    at: usize,
}

/// What is refused on the spot never gets to the gate.
fn done(_: Result<(), Refusal>) {}

impl Acts {
    fn act(&self, strategy: u32, act: &Act) {
        let desk = &self.desk;
        match *act {
            Act::Order { signed, limit, instrument, reduce_only } => {
                let side = if signed > 0.0 { Side::Buy } else { Side::Sell };
                let terms = Terms { reduce_only, ..limit.map_or(Terms::MARKET, Terms::limit) };
                done(desk.order_on(strategy, instrument, side, signed.abs(), terms).map(drop));
            }
            Act::Target { units, instrument } => done(desk.target(strategy, instrument, units).map(drop)),
            Act::Amend { number, quantity, limit } => done(desk.amend(strategy, number, quantity, limit, None)),
            Act::Cancel { number } => done(desk.cancel(strategy, number)),
            Act::Flatten => done(desk.flatten(None, None).map(drop)),
            Act::CancelAll => drop(desk.cancel_all(None, None)),
            Act::Trading(state) => desk.gate().set(state),
            Act::SetQuantity(value) => drop(desk.set_limit("size", LimitKey::OrderQuantity, value)),
        }
    }
}

impl Host for Acts {
    type Failure = String;

    fn present(&mut self, _tick: &Tick) -> Result<(), String> {
        Ok(())
    }

    fn tick(&mut self, strategy: u32, _tick: &Tick) -> Result<(), Fault<String>> {
        if strategy == 1 {
            if let Some(acts) = self.script.get(self.at) {
                acts.iter().for_each(|(strategy, act)| self.act(*strategy, act));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn batch(&mut self, _strategy: u32, _batch: TickBlock) -> Result<(), Fault<String>> {
        Ok(())
    }

    fn timer(&mut self, _strategy: u32, _fired: &Fired) -> Result<(), Fault<String>> {
        Ok(())
    }

    fn order_update(&mut self, _strategy: u32, _update: &OrderUpdate) -> Result<(), Fault<String>> {
        Ok(())
    }

    fn hook(&mut self, _strategy: u32, _hook: Hook) -> Result<(), Fault<String>> {
        Ok(())
    }

    fn handler_failure(&self, _strategy: u32, error: HandlerError) -> String {
        error.to_string()
    }
}

fn rule(name: &str, limits: &[(LimitKey, f64)]) -> Rule {
    let with = |limits: Limits, &(key, value): &(LimitKey, f64)| limits.with(key, value).expect("a limit");
    let limits = limits.iter().fold(Limits::default(), with);
    Rule { name: name.to_owned(), strategies: None, instruments: None, limits }
}

/// A run of two strategies over two instruments; a tick is `step_ns` after the other, and messages take `latency_ns` either way.
fn run(script: Vec<Vec<(u32, Act)>>, rules: Vec<Rule>, step_ns: i64, latency_ns: i64) -> (Rc<Desk>, Vec<Given>) {
    let desk = Desk::new(vec![InstrumentInfo::named("A.SIM"), InstrumentInfo::named("B.SIM")]);
    rules.into_iter().for_each(|rule| desk.add_rule(rule));
    let quote =
        |n: i64| Tick::quote(n * step_ns, (n % 2) as u32, 100.0 + (n % 7) as f64, 101.0 + (n % 7) as f64, 1.0, 1.0);
    let quotes = (1..=script.len() as i64 + 3).map(quote).collect();
    let inputs = vec![MergeInput { block: TickBlock::from_vec(quotes), feed: 0, instruments: None }];
    let source = Box::new(Merge::new(inputs, OrderBy::TsEvent).expect("a valid feed"));
    let given = Arc::<Mutex<Vec<Given>>>::default();
    let latency = || if latency_ns == 0 { Latency::None } else { Latency::Constant(latency_ns) };
    let settings = VenueSettings { order_latency: latency(), report_latency: latency(), ..VenueSettings::default() };
    let spy = Spy {
        inner: SimulatedVenue::with(vec![InstrumentTerms::default(); 2], vec![settings], 0),
        given: Arc::clone(&given),
        gate: Arc::clone(desk.gate()),
        open: BTreeMap::new(),
        nets: BTreeMap::new(),
    };
    let host = Acts { desk: Rc::clone(&desk), script, at: 0 };
    let venue: Box<dyn Venue> = Box::new(spy);
    let mut dispatcher =
        Dispatcher::new(RunSettings::default(), Rc::clone(&desk), source, venue, Arc::new(StopFlag::new()), host);
    for _ in 0..2 {
        let delivery = Delivery::Ticks;
        dispatcher.register(&Subscription { delivery, kinds: Kinds::ALL, instruments: None, order_updates: false });
    }
    let mut outcome = dispatcher.start();
    while outcome == Outcome::Slice {
        outcome = dispatcher.advance();
    }
    assert_eq!(outcome, Outcome::End);
    dispatcher.finish();
    let given = given.lock().expect("one thread").clone();
    (desk, given)
}

fn act() -> impl Strategy<Value = (u32, Act)> {
    let units = prop_oneof![(1_i32..12).prop_map(f64::from), (1_i32..12).prop_map(|n| -f64::from(n))];
    let limit = prop::option::of((95_i32..110).prop_map(f64::from));
    let act = prop_oneof![
        8 => (units.clone(), limit.clone(), 0_u32..2, any::<bool>()).prop_map(|(signed, limit, instrument, reduce_only)| {
            Act::Order { signed, limit, instrument, reduce_only }
        }),
        3 => (units, 0_u32..2).prop_map(|(units, instrument)| Act::Target { units, instrument }),
        8 => (1_u32..9, prop::option::of((1_i32..12).prop_map(f64::from)), limit)
            .prop_map(|(number, quantity, limit)| Act::Amend { number, quantity, limit }),
        2 => (1_u32..30).prop_map(|number| Act::Cancel { number }),
        1 => Just(Act::Flatten),
        1 => Just(Act::CancelAll),
        3 => prop::sample::select(vec![Trading::Active, Trading::Reducing, Trading::Reducing, Trading::Halted]).prop_map(Act::Trading),
        1 => (1_i32..12).prop_map(|units| Act::SetQuantity(f64::from(units))),
    ];
    (0_u32..2, act)
}

/// What the limit of quantities was at the end of the step at `now_ns`.
fn most_at(desk: &Desk, now_ns: i64) -> f64 {
    desk.with_risk(|risk| {
        let known = risk.changes().filter(|change| change.ts_ns <= now_ns).last();
        known.map_or(QUANTITY, |change| change.after)
    })
}

/// The last mid of `instrument` at `now_ns`, of the quotes of `run`.
fn mid_at(instrument: u32, now_ns: i64, step_ns: i64) -> Option<f64> {
    let at = now_ns / step_ns;
    let last = if at % 2 == i64::from(instrument) { at } else { at - 1 };
    (last >= 1).then_some(100.5 + (last % 7) as f64)
}

/// Limits that hold throughout, by which what a venue was given is judged anew.
const OPEN: usize = 2;
const PER_S: usize = 4;
const QUANTITY: f64 = 8.0;
const COLLAR: f64 = 0.05;
const POSITION: f64 = 9.0;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn nothing_reaches_a_venue_without_a_record_of_the_gate(
        script in prop::collection::vec(prop::collection::vec(act(), 0..5), 1..40),
        latency_ns in prop::sample::select(vec![0, SECOND_NS / 9, SECOND_NS / 2]),
    ) {
        let rules = vec![
            rule("size", &[(LimitKey::OrderQuantity, QUANTITY)]),
            rule("rest", &[
                (LimitKey::OpenOrders, OPEN as f64),
                (LimitKey::OrdersPerS, PER_S as f64),
                (LimitKey::PositionQuantity, POSITION),
                (LimitKey::PriceCollar, COLLAR),
            ]),
        ];
        let (desk, given) = run(script, rules, SECOND_NS / 5, latency_ns);
        let orders: Vec<(Order, i64)> = given.iter().filter_map(|one| match one {
            Given::Order(order, now_ns, open) => {
                assert!(*open < OPEN, "{open} were open before {order:?}");
                Some((*order, *now_ns))
            }
            Given::Change(..) => None,
        }).collect();
        for (place, (order, now_ns)) in orders.iter().enumerate() {
            prop_assert_eq!(desk.verdict(order.key), Some(Verdict::Passed));
            let own = orders[..place].iter().filter(|(other, _)| other.key.strategy == order.key.strategy);
            let recent = own.filter(|(_, then)| now_ns - then < SECOND_NS).count();
            prop_assert!(recent < PER_S, "{} orders within a second before {:?}", recent, order.key);
            // Those that were refused count as well.
            let asked = desk.with_orders(|book| {
                let before = book.all().iter().take_while(|other| other.key != order.key);
                let recent = |other: &&Order| {
                    other.key.strategy == order.key.strategy
                        && other.gate != Verdict::NotAsked
                        && now_ns - other.made_ns < SECOND_NS
                };
                before.filter(recent).count()
            });
            prop_assert!(asked < PER_S, "{} were asked for within a second before {:?}", asked, order.key);
            if !order.terms.limit.is_nan() {
                let mid = mid_at(order.instrument, *now_ns, SECOND_NS / 5).expect("a collar needs a price");
                prop_assert!((order.terms.limit / mid - 1.0).abs() < COLLAR + 1e-9, "{:?} at {}", order.terms, mid);
            }
            prop_assert!(order.quantity <= most_at(&desk, *now_ns), "{:?}", order);
        }
        for one in &given {
            if let Given::Change(key, [had, has], now_ns) = *one {
                prop_assert!(has <= had || has <= most_at(&desk, now_ns), "{:?} from {} to {}", key, had, has);
            }
        }
        // What the venue was not given was refused, with its reason, and what it was given is all that has passed.
        let mut names: Vec<OrderKey> = orders.iter().map(|(order, _)| order.key).collect();
        names.sort_unstable();
        desk.with_orders(|book| {
            let mut passed: Vec<OrderKey> =
                book.all().iter().filter(|order| order.gate == Verdict::Passed).map(|order| order.key).collect();
            passed.sort_unstable();
            assert_eq!(passed, names);
            for order in book.all().iter().filter(|order| order.gate != Verdict::Passed) {
                assert_eq!((order.status, order.filled), (OrderStatus::Rejected, 0.0), "{:?}", order.key);
                assert_ne!(order.gate, Verdict::NotAsked, "{:?} has no record", order.key);
            }
        });
        for strategy in 0..2 {
            let count = names.iter().filter(|key| key.strategy == strategy).count() as u64;
            let changes = given.iter().filter(|one| matches!(one, Given::Change(key, ..) if key.strategy == strategy));
            let passed = desk.with_risk(|risk| risk.count(strategy, Verdict::Passed));
            prop_assert_eq!(passed, count + changes.count() as u64);
            for instrument in 0..2 {
                let position = desk.holding(strategy, instrument).unwrap();
                prop_assert!(position.net.abs() <= POSITION, "{:?}", position);
                let open = desk.with_orders(|book| {
                    let is_open = |order: &&Order| {
                        order.key.strategy == strategy && order.instrument == instrument && !order.status.is_final()
                    };
                    let all: Vec<Order> = book.all().iter().filter(is_open).copied().collect();
                    (all.len() as u32, all.iter().map(|order| order.signed_left().abs()).sum::<f64>())
                });
                let sent = position.sent[0] + position.sent[1];
                prop_assert_eq!(position.open, open.0);
                // Changes that are on their way when the data ends count too.
                prop_assert!(sent == open.1 || (latency_ns > 0 && sent > open.1), "{:?} for {:?}", position, open);
            }
            let found: Vec<OrderKey> =
                desk.with_orders(|book| book.open_orders(Some(strategy)).iter().map(|order| order.key).collect());
            let mine = |order: &&Order| order.key.strategy == strategy && !order.status.is_final();
            let expected: Vec<OrderKey> =
                desk.with_orders(|book| book.all().iter().filter(mine).map(|order| order.key).collect());
            prop_assert_eq!(found, expected);
            let open: u32 = (0..2).map(|instrument| desk.holding(strategy, instrument).unwrap().open).sum();
            prop_assert!(open as usize <= OPEN);
        }
    }
}

/// A million orders of a strategy that has lost its mind: none above a limit leaves, and it is halted.
#[test]
fn of_a_million_orders_of_a_runaway_strategy_none_above_its_limits_leaves() {
    let mad = |n: u32| {
        let signed = if n.is_multiple_of(3) { 1e9 } else { 1.0 + f64::from(n % 2) };
        (n % 2, Act::Order { signed, limit: None, instrument: n % 2, reduce_only: false })
    };
    let script: Vec<Vec<(u32, Act)>> =
        (0..1_000).map(|tick| (0..1_000).map(|n| mad(tick * 1_000 + n)).collect()).collect();
    let rules = vec![rule(
        "all",
        &[
            (LimitKey::OrderQuantity, 5.0),
            (LimitKey::OrdersPerS, 10.0),
            (LimitKey::PositionQuantity, 50.0),
            (LimitKey::RefusedPerS, 1_000.0),
        ],
    )];
    let (desk, given) = run(script, rules, SECOND_NS / 100, 0);
    let mut per_strategy = [0.0; 2];
    let mut times: [Vec<i64>; 2] = Default::default();
    for one in &given {
        let Given::Order(order, now_ns, _) = one else { panic!("nobody has amended") };
        assert!(order.quantity <= 5.0);
        per_strategy[order.key.strategy as usize] += order.quantity;
        times[order.key.strategy as usize].push(*now_ns);
    }
    for strategy in 0..2_u32 {
        let times = &times[strategy as usize];
        assert!(!times.is_empty() && times.windows(11).all(|eleven| eleven[10] - eleven[0] >= SECOND_NS));
        assert!(per_strategy[strategy as usize] <= 100.0, "of two instruments");
        assert!(desk.with_risk(|risk| risk.is_halted(strategy)));
        assert_eq!(desk.trading_of(strategy), Trading::Halted);
    }
    let made = desk.with_orders(|book| book.all().len());
    let refused: u64 = desk.with_risk(|risk| {
        let all = (0..2).flat_map(|strategy| Verdict::ALL.map(|verdict| (verdict, risk.count(strategy, verdict))));
        all.filter(|(verdict, _)| *verdict != Verdict::Passed).map(|(_, count)| count).sum()
    });
    assert_eq!((made, refused + given.len() as u64), (1_000_000, 1_000_000));
}
