//! The loop's semantics, driven by strategies written in Rust: order, timers, batches, failures, pull, digest.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;
use tickrail_core::digest::DigestMode;
use tickrail_core::dispatch::{
    BatchEdges, Delivery, Desk, Dispatcher, Fault, Hook, Host, Kinds, Outcome, RunError, RunSettings, Subscription,
};
use tickrail_core::handler::HandlerError;
use tickrail_core::lifecycle::{Ask, Operation, PauseMode, State, Transition, by_run};
use tickrail_core::order::{Merge, MergeInput};
use tickrail_core::stop::StopFlag;
use tickrail_core::tick::OrderBy;
use tickrail_core::timer::{Fired, Schedule};
use tickrail_core::venue::{OrderStatus, OrderUpdate, SimulatedVenue};
use tickrail_core::{InstrumentInfo, Side, Tick, TickBlock};

/// What a scripted strategy is called with.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    Tick(Tick),
    Batch(Vec<Tick>),
    Timer { number: u32, due_ns: i64 },
    Update { number: u32, status: OrderStatus, price: f64 },
    Start,
    Stop,
    Pause,
    Resume,
}

type Answer = Result<(), Fault<String>>;
type Script = Box<dyn FnMut(&Event, &Desk, u32) -> Answer>;

struct Scripted {
    scripts: Vec<Script>,
    desk: Rc<Desk>,
    presented: Option<Tick>,
}

impl Scripted {
    fn call(&mut self, strategy: u32, event: &Event) -> Answer {
        (self.scripts[strategy as usize])(event, &self.desk, strategy)
    }
}

impl Host for Scripted {
    type Failure = String;

    fn present(&mut self, tick: &Tick) -> Result<(), String> {
        self.presented = Some(*tick);
        Ok(())
    }

    fn tick(&mut self, strategy: u32, tick: &Tick) -> Answer {
        assert_eq!(self.presented, Some(*tick), "a tick is presented before it is delivered");
        self.call(strategy, &Event::Tick(*tick))
    }

    fn batch(&mut self, strategy: u32, batch: TickBlock) -> Answer {
        self.call(strategy, &Event::Batch(batch.as_slice().to_vec()))
    }

    fn timer(&mut self, strategy: u32, fired: &Fired) -> Answer {
        self.call(strategy, &Event::Timer { number: fired.number, due_ns: fired.due_ns })
    }

    fn order_update(&mut self, strategy: u32, update: &OrderUpdate) -> Answer {
        let order = &update.order;
        self.call(strategy, &Event::Update { number: order.key.number, status: order.status, price: order.price })
    }

    fn handler_failure(&self, _strategy: u32, error: HandlerError) -> String {
        error.to_string()
    }

    fn hook(&mut self, strategy: u32, hook: Hook) -> Answer {
        let event = match hook {
            Hook::Start => Event::Start,
            Hook::Stop => Event::Stop,
            Hook::Pause => Event::Pause,
            Hook::Resume => Event::Resume,
        };
        self.call(strategy, &event)
    }
}

/// A run in the making.
struct Bench {
    feeds: Vec<Vec<Tick>>,
    instruments: usize,
    strategies: Vec<(Subscription, Script)>,
    slice_ticks: usize,
    digest: DigestMode,
    stop: Arc<StopFlag>,
}

impl Bench {
    fn new(feeds: Vec<Vec<Tick>>, instruments: usize) -> Self {
        Self {
            feeds,
            instruments,
            strategies: Vec::new(),
            slice_ticks: 4096,
            digest: DigestMode::Full,
            stop: Arc::new(StopFlag::new()),
        }
    }

    fn with(mut self, delivery: Delivery, script: impl FnMut(&Event, &Desk, u32) -> Answer + 'static) -> Self {
        let subscription = Subscription { delivery, kinds: Kinds::ALL, instruments: None, order_updates: true };
        self.strategies.push((subscription, Box::new(script)));
        self
    }

    fn only(mut self, instruments: &[u32]) -> Self {
        self.strategies.last_mut().expect("a strategy").0.instruments = Some(instruments.to_vec());
        self
    }

    fn build(self) -> Dispatcher<Scripted> {
        let names = (0..self.instruments).map(|index| InstrumentInfo::named(format!("I{index}.SIM"))).collect();
        let desk = Desk::new(names);
        let block = |(feed, ticks): (usize, Vec<Tick>)| MergeInput {
            block: TickBlock::from_vec(ticks),
            feed: feed as u32,
            instruments: None,
        };
        let inputs = self.feeds.into_iter().enumerate().map(block).collect();
        let source = Box::new(Merge::new(inputs, OrderBy::TsEvent).expect("valid feeds"));
        let venue = Box::new(SimulatedVenue::new(vec![0.001; self.instruments]));
        let settings = RunSettings { slice_ticks: self.slice_ticks, digest: self.digest, ..RunSettings::default() };
        let (subscriptions, scripts): (Vec<_>, Vec<_>) = self.strategies.into_iter().unzip();
        let host = Scripted { scripts, desk: Rc::clone(&desk), presented: None };
        let mut dispatcher = Dispatcher::new(settings, desk, source, venue, self.stop, host);
        for subscription in &subscriptions {
            dispatcher.register(subscription);
        }
        dispatcher
    }

    fn run(self) -> (Dispatcher<Scripted>, Outcome) {
        let mut dispatcher = self.build();
        let mut outcome = dispatcher.start();
        while matches!(outcome, Outcome::Slice | Outcome::Pulled) {
            outcome = dispatcher.advance();
        }
        dispatcher.finish();
        (dispatcher, outcome)
    }
}

type Log = Rc<RefCell<Vec<(u64, i64, Event)>>>;

fn recorder(log: &Log) -> impl FnMut(&Event, &Desk, u32) -> Answer + 'static {
    let log = Rc::clone(log);
    move |event, desk, _| {
        log.borrow_mut().push((desk.position(), desk.now_ns(), event.clone()));
        Ok(())
    }
}

fn quotes(times: impl IntoIterator<Item = i64>, instrument: u32) -> Vec<Tick> {
    let quote = |t: i64| Tick::quote(t, instrument, 100.0 + t as f64, 101.0 + t as f64, 1.0, 1.0);
    times.into_iter().map(quote).collect()
}

fn batches(max_ticks: usize, window_ns: i64) -> Delivery {
    Delivery::Batches(BatchEdges { max_ticks, window_ns })
}

#[test]
fn an_order_fills_at_the_next_tick_of_its_instrument_and_its_owner_hears_of_both_changes() {
    let log = Log::default();
    let record = recorder(&log);
    let trade = {
        let mut record = record;
        move |event: &Event, desk: &Desk, me: u32| {
            if matches!(event, Event::Tick(tick) if tick.ts_event == 2 && tick.instrument == 0) {
                desk.order(me, 0, Side::Buy, 2.0).expect("a valid order");
            }
            record(event, desk, me)
        }
    };
    let feeds = vec![quotes([1, 2, 5], 0), quotes([3, 4], 1)];
    let (dispatcher, outcome) = Bench::new(feeds, 2).with(Delivery::Ticks, trade).run();
    assert_eq!(outcome, Outcome::End);
    let fill = dispatcher.fills()[0];
    assert_eq!((fill.price, fill.ts_ns, fill.quantity), (106.0, 5, 2.0));
    assert!((fill.fee - 106.0 * 2.0 * 0.001).abs() < 1e-12);
    assert!(fill.made_position < fill.position);
    let updates: Vec<_> = log.borrow().iter().filter(|(_, _, e)| matches!(e, Event::Update { .. })).cloned().collect();
    let told: Vec<_> = updates.iter().map(|(_, now, event)| (*now, event.clone())).collect();
    let accepted = |event: &Event| matches!(event, Event::Update { number: 1, status: OrderStatus::Accepted, .. });
    assert!(accepted(&told[0].1) && told[0].0 == 2, "{told:?}");
    assert_eq!(told[1], (5, Event::Update { number: 1, status: OrderStatus::Filled, price: 106.0 }));
    let positions: Vec<u64> = log.borrow().iter().map(|(position, ..)| *position).collect();
    assert!(positions.is_sorted(), "one total order: {positions:?}");
}

#[test]
fn a_timer_follows_every_tick_at_its_time_and_precedes_the_next() {
    let log = Log::default();
    let mut record = recorder(&log);
    let script = move |event: &Event, desk: &Desk, me: u32| {
        if *event == Event::Start {
            desk.schedule(me, &Schedule::every(1_000)).expect("a timer");
            desk.schedule(me, &Schedule::at(2_000)).expect("a timer");
        }
        record(event, desk, me)
    };
    Bench::new(vec![quotes([1_000, 2_000, 2_000, 4_500], 0)], 1).with(Delivery::Ticks, script).run();
    let seen: Vec<(i64, i32)> = log
        .borrow()
        .iter()
        .filter_map(|(_, now, event)| match event {
            Event::Tick(_) => Some((*now, 0)),
            Event::Timer { number, due_ns } => {
                assert_eq!(due_ns, now, "the clock stands at the time that was due");
                Some((*now, *number as i32))
            }
            _ => None,
        })
        .collect();
    assert_eq!(seen, [(1_000, 0), (2_000, 0), (2_000, 0), (2_000, 1), (2_000, 2), (3_000, 1), (4_000, 1), (4_500, 0)]);
}

#[test]
fn a_failing_strategy_harms_no_other_and_its_orders_are_taken_back() {
    let (log, seen) = (Log::default(), Log::default());
    let fails = |event: &Event, desk: &Desk, me: u32| match event {
        Event::Tick(tick) if tick.ts_event == 2 => {
            desk.order(me, 1, Side::Buy, 1.0).expect("a valid order");
            Ok(())
        }
        Event::Tick(tick) if tick.ts_event == 3 => {
            desk.order(me, 0, Side::Sell, 9.0).expect("a valid order");
            desk.schedule(me, &Schedule::at(4)).expect("a timer");
            Err(Fault::Failed("boom".to_owned()))
        }
        _ => Ok(()),
    };
    let bench = Bench::new(vec![quotes(1..=6, 0), quotes([7], 1)], 2);
    let bench = bench.with(Delivery::Ticks, recorder(&log)).with(Delivery::Ticks, fails);
    let (dispatcher, outcome) = bench.with(Delivery::Ticks, recorder(&seen)).run();
    assert_eq!(outcome, Outcome::End);
    for log in [&log, &seen] {
        assert_eq!(log.borrow().iter().filter(|(_, _, event)| matches!(event, Event::Tick(_))).count(), 7);
    }
    let error = &dispatcher.errors()[0];
    assert_eq!((error.strategy, error.handler, error.failure.as_deref()), (1, "on_tick", Some("boom")));
    assert_eq!(error.input.map(|tick| tick.ts_event), Some(3));
    assert!(dispatcher.fills().is_empty());
    let statuses: Vec<_> = dispatcher.desk().with_orders(|book| book.all().iter().map(|o| o.status).collect());
    assert_eq!(statuses, [OrderStatus::Canceled; 2]);
    let account = dispatcher.accounts()[1];
    assert_eq!((account.state, account.delivered, account.skipped), (State::Failed, 3, 4));
    assert_eq!(dispatcher.desk().holding(1, 0).expect("known").in_flight, 0.0);
}

#[test]
fn batches_end_at_their_edges() {
    let log = Log::default();
    let mut record = recorder(&log);
    let script = move |event: &Event, desk: &Desk, me: u32| {
        match event {
            Event::Start => drop(desk.schedule(me, &Schedule::at(13))),
            Event::Batch(batch) if batch.len() == 3 => drop(desk.order(me, 0, Side::Buy, 1.0)),
            _ => {}
        }
        record(event, desk, me)
    };
    let feed = quotes([1, 2, 3, 8, 11, 12, 14, 15, 21], 0);
    let (dispatcher, _) = Bench::new(vec![feed], 1).with(batches(3, 10), script).run();
    let seen: Vec<(i64, String)> = log
        .borrow()
        .iter()
        .map(|(_, now, event)| match event {
            Event::Batch(batch) => (*now, format!("{:?}", batch.iter().map(|t| t.ts_event).collect::<Vec<_>>())),
            Event::Timer { .. } => (*now, "timer".to_owned()),
            Event::Update { status, .. } => (*now, status.name().to_owned()),
            _ => (*now, "hook".to_owned()),
        })
        .collect();
    let expected = [
        (1, "hook"),
        (3, "[1, 2, 3]"),
        (3, "ACCEPTED"),
        (8, "FILLED"),
        (8, "[8]"),
        (12, "[11, 12]"),
        (13, "timer"),
        (15, "[14, 15]"),
        (21, "[21]"),
        (21, "hook"),
    ];
    assert_eq!(seen, expected.map(|(now, what)| (now, what.to_owned())));
    assert_eq!(dispatcher.accounts()[0].delivered, 9);
}

#[test]
fn paused_strategies_skip_ticks_and_the_accounts_add_up() {
    let log = Log::default();
    let bench =
        Bench::new(vec![quotes(1..=9, 0), quotes(1..=5, 1)], 2).with(Delivery::Ticks, recorder(&log)).only(&[0]);
    let mut dispatcher = bench.with(Delivery::Pull, |_, _, _| Ok(())).build();
    let mut outcome = dispatcher.start();
    while !matches!(outcome, Outcome::End) {
        outcome = dispatcher.advance();
        match dispatcher.pulled().map(|tick| tick.ts_event) {
            Some(4) => drop(dispatcher.apply(0, Ask::pause(PauseMode::NoTicks), by_run())),
            Some(7) => {
                assert_eq!(dispatcher.apply(0, Ask::new(Operation::Resume), by_run()), Transition::To(State::Running))
            }
            _ => {}
        }
    }
    dispatcher.finish();
    let account = dispatcher.accounts()[0];
    assert_eq!(account.published, 14);
    assert_eq!(account.delivered + account.filtered + account.skipped + account.pending, 14);
    assert_eq!((account.filtered, account.delivered, account.skipped), (5, 6, 3));
    assert_eq!(dispatcher.accounts()[1].delivered, 14);
}

#[test]
fn pulls_in_quiet_are_in_the_accounts_between_any_two_of_them() {
    let bench = Bench::new(vec![quotes(1..=700, 0)], 1).with(Delivery::Pull, |_, _, _| Ok(()));
    let mut dispatcher = bench.with(Delivery::Ticks, |_, _, _| Ok(())).only(&[]).build();
    let (mut pulls, mut quiet) = (0, 0);
    let mut outcome = dispatcher.start();
    while !matches!(outcome, Outcome::End) {
        if let Some(now) = dispatcher.pull_quiet(|host, tick| (tick.ts_event, host.desk.now_ns(), host.desk.position()))
        {
            quiet += 1;
            let starts = 2;
            assert_eq!(
                now,
                (pulls + 1, pulls + 1, starts + pulls as u64 + 1),
                "handlers see the step of this very tick"
            );
        } else if let Some(tick) = dispatcher.pull_on() {
            assert_eq!(tick.ts_event, pulls + 1);
        } else {
            outcome = dispatcher.advance();
            if dispatcher.pulled().is_none() {
                continue;
            }
        }
        pulls += 1;
        let accounts = dispatcher.accounts();
        assert_eq!(dispatcher.input_count(), pulls as u64);
        assert_eq!(
            (accounts[0].published, accounts[0].delivered, accounts[0].filtered),
            (pulls as u64, pulls as u64, 0)
        );
        assert_eq!(
            (accounts[1].published, accounts[1].delivered, accounts[1].filtered),
            (pulls as u64, 0, pulls as u64)
        );
        if pulls == 300 {
            assert_eq!(dispatcher.apply(1, Ask::pause(PauseMode::NoTicks), by_run()), Transition::To(State::Paused));
        }
    }
    dispatcher.finish();
    assert_eq!((pulls, dispatcher.input_count()), (700, 700));
    assert!(quiet > 600, "only {quiet} pulls went the short way");
    assert_eq!(dispatcher.accounts()[0].delivered, 700);
}

#[test]
fn what_runs_backwards_or_names_an_unknown_instrument_ends_the_run_loudly() {
    let (dispatcher, outcome) = Bench::new(vec![quotes([1, 5, 4], 0)], 1).with(Delivery::Ticks, |_, _, _| Ok(())).run();
    let expected = RunError::Unordered { feed: 0, input: 2, before_ns: 5, found_ns: 4 };
    assert_eq!(outcome, Outcome::Failed(expected));
    assert_eq!(dispatcher.accounts()[0].delivered, 2);
    let (_, outcome) = Bench::new(vec![quotes([1], 3)], 1).with(Delivery::Ticks, |_, _, _| Ok(())).run();
    assert_eq!(outcome, Outcome::Failed(RunError::UnknownInstrument { feed: 0, input: 0, instrument: 3 }));
}

#[test]
fn an_interrupted_handler_completes_the_step_and_ends_the_run() {
    let log = Log::default();
    let interrupts = |event: &Event, _: &Desk, _: u32| match event {
        Event::Tick(tick) if tick.ts_event == 3 => Err(Fault::Interrupted("ctrl-c".to_owned())),
        _ => Ok(()),
    };
    let bench = Bench::new(vec![quotes(1..=9, 0)], 1).with(Delivery::Ticks, interrupts);
    let (dispatcher, outcome) = bench.with(Delivery::Ticks, recorder(&log)).run();
    assert_eq!(outcome, Outcome::Interrupted);
    assert_eq!(dispatcher.interruption().map(String::as_str), Some("ctrl-c"));
    assert_eq!(dispatcher.accounts().map_states(), [State::Stopped; 2]);
    assert_eq!(log.borrow().iter().filter(|(_, _, event)| matches!(event, Event::Tick(_))).count(), 3);
}

trait MapStates {
    fn map_states(&self) -> Vec<State>;
}

impl MapStates for Vec<tickrail_core::dispatch::Account> {
    fn map_states(&self) -> Vec<State> {
        self.iter().map(|account| account.state).collect()
    }
}

#[test]
fn a_strategy_that_goes_round_in_circles_is_stopped_and_the_run_goes_on() {
    let circles = |event: &Event, desk: &Desk, me: u32| {
        if matches!(event, Event::Tick(_) | Event::Timer { .. }) {
            desk.schedule(me, &Schedule::at(desk.now_ns())).expect("a timer");
        }
        Ok(())
    };
    let (dispatcher, outcome) = Bench::new(vec![quotes([1, 2], 0)], 1).with(Delivery::Ticks, circles).run();
    assert_eq!(outcome, Outcome::End);
    assert_eq!((dispatcher.errors()[0].handler, dispatcher.errors()[0].failure.clone()), ("loop", None));
    assert_eq!(dispatcher.accounts()[0].state, State::Failed);
}

#[test]
fn a_stop_from_outside_takes_effect_between_two_ticks() {
    let bench = Bench::new(vec![quotes(1..=1_000, 0)], 1);
    let stop = Arc::clone(&bench.stop);
    let asks = move |event: &Event, _: &Desk, _: u32| {
        if matches!(event, Event::Tick(tick) if tick.ts_event == 500) {
            stop.request_stop();
        }
        Ok(())
    };
    let (dispatcher, outcome) = bench.with(Delivery::Ticks, asks).run();
    assert_eq!((outcome, dispatcher.input_count()), (Outcome::Stopped, 500));
}

#[test]
fn late_subscriptions_take_effect_with_the_next_step() {
    let log = Log::default();
    let mut record = recorder(&log);
    let script = move |event: &Event, desk: &Desk, me: u32| {
        if let Event::Tick(tick) = event {
            match tick.ts_event {
                2 => desk.subscription(me, 1, true).expect("known"),
                4 => desk.subscription(me, 0, false).expect("known"),
                _ => {}
            }
        }
        record(event, desk, me)
    };
    let feeds = vec![quotes([1, 2, 4, 6], 0), quotes([2, 5, 7], 1)];
    Bench::new(feeds, 2).with(Delivery::Ticks, script).only(&[0]).run();
    let seen: Vec<(i64, u32)> = log
        .borrow()
        .iter()
        .filter_map(|(_, _, event)| if let Event::Tick(t) = event { Some((t.ts_event, t.instrument)) } else { None })
        .collect();
    assert_eq!(seen, [(1, 0), (2, 0), (2, 1), (4, 0), (5, 1), (7, 1)]);
}

/// Trades, sets timers and cancels by a rule of its own, the same for any delivery that hands over one tick at a time.
fn busy_trader(seed: u64) -> impl FnMut(&Event, &Desk, u32) -> Answer {
    let mut state = seed;
    move |event, desk, me| {
        let ticks = match event {
            Event::Tick(tick) => std::slice::from_ref(tick).len(),
            Event::Batch(batch) => batch.len(),
            _ => return Ok(()),
        };
        for _ in 0..ticks {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match state >> 60 {
                0 => drop(desk.order(me, 0, Side::Buy, 1.0)),
                1 => drop(desk.order(me, 1, Side::Sell, 2.0)),
                2 => drop(desk.target(me, 0, 0.0)),
                3 => drop(desk.schedule(me, &Schedule::after(3))),
                4 => drop(desk.cancel(me, 1)),
                5 => drop(desk.schedule(me, &Schedule::at(desk.now_ns()))),
                _ => {}
            }
        }
        Ok(())
    }
}

fn feed(steps: &[(u8, bool)]) -> Vec<Vec<Tick>> {
    let (mut feeds, mut time) = (vec![Vec::new(), Vec::new()], 1_000);
    for (gap, second) in steps {
        time += i64::from(*gap % 4);
        let instrument = u32::from(*second);
        feeds[instrument as usize].push(Tick::quote(
            time,
            instrument,
            10.0 + f64::from(*gap),
            11.0 + f64::from(*gap),
            1.0,
            1.0,
        ));
    }
    feeds
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Slices are internal: orders, fills and digest do not depend on their length, in any form.
    #[test]
    fn no_result_depends_on_the_slice_length(
        steps in prop::collection::vec((any::<u8>(), any::<bool>()), 1..200), seed in any::<u64>(), max_ticks in 1_usize..9, window in 0_i64..12,
    ) {
        for delivery in [Delivery::Ticks, batches(max_ticks, window)] {
            let runs: Vec<_> = [1, 7, 4096].map(|slice_ticks| {
                let bench = Bench { slice_ticks, ..Bench::new(feed(&steps), 2) };
                let (run, _) = bench.with(delivery, busy_trader(seed)).with(Delivery::Ticks, busy_trader(!seed)).run();
                (run.fills().iter().copied().collect::<Vec<_>>(), run.digest(), run.accounts())
            }).into_iter().collect();
            prop_assert_eq!(&runs[0], &runs[1]);
            prop_assert_eq!(&runs[0], &runs[2]);
        }
    }

    /// A batch of one tick is a tick: the same decisions give the same digest.
    #[test]
    fn batches_of_one_equal_ticks(steps in prop::collection::vec((any::<u8>(), any::<bool>()), 1..200), seed in any::<u64>()) {
        let digest_of = |delivery| Bench::new(feed(&steps), 2).with(delivery, busy_trader(seed)).run().0.digest();
        prop_assert_eq!(digest_of(Delivery::Ticks), digest_of(batches(1, 0)));
    }

    /// No fill precedes its decision, positions and money reconcile to fills, nothing stays in flight but open orders.
    #[test]
    fn fills_follow_their_decisions_and_reconcile(
        steps in prop::collection::vec((any::<u8>(), any::<bool>()), 1..300), seed in any::<u64>(), max_ticks in 1_usize..9,
    ) {
        for delivery in [Delivery::Ticks, batches(max_ticks, 0), Delivery::Pull] {
            let (run, _) = Bench::new(feed(&steps), 2).with(delivery, busy_trader(seed)).run();
            for fill in run.fills() {
                prop_assert!(fill.made_position < fill.position);
            }
            for instrument in 0..2 {
                let held = run.desk().holding(0, instrument).expect("known");
                let signed: f64 = run.fills().iter().filter(|f| f.instrument == instrument).map(|f| f.side.sign() * f.quantity).sum();
                prop_assert_eq!(held.net, signed);
                let open: f64 = run.desk().with_orders(|book| book.all().iter()
                    .filter(|order| order.instrument == instrument && !order.status.is_final()).map(tickrail_core::venue::Order::signed_left).sum());
                prop_assert_eq!(held.in_flight, open);
                prop_assert_eq!(held.expected(), held.net + open, "all of its orders are market orders");
            }
        }
    }
}

/// Found by fuzzing tick files: the loop never came back.
#[test]
fn a_tick_at_the_last_of_all_times_ends_no_window_for_ever() {
    for delivery in [
        Delivery::Ticks,
        Delivery::Batches(BatchEdges { max_ticks: 10, window_ns: 0 }),
        Delivery::Batches(BatchEdges { max_ticks: 10, window_ns: 1_000 }),
    ] {
        let ticks = [1, i64::MAX].map(|time| Tick::quote(time, 0, 1.0, 2.0, 1.0, 1.0)).to_vec();
        let (dispatcher, outcome) = Bench::new(vec![ticks], 1).with(delivery, |_, _, _| Ok(())).run();
        assert_eq!((outcome, dispatcher.accounts()[0].delivered), (Outcome::End, 2), "{delivery:?}");
    }
}
