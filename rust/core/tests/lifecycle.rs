//! Lives within the loop: pauses, stops that wait for orders, restarts, requests of other threads, what the record says.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tickrail_core::dispatch::{
    Delivery, Desk, Dispatcher, Fault, Hook, Host, Kinds, LifeAnswer, Outcome, RunSettings, Subscription,
};
use tickrail_core::handler::{Handler, HandlerError};
use tickrail_core::lifecycle::{Ask, Cause, Operation, PauseMode, State, StateChange, Ticket, Transition, by_run};
use tickrail_core::order::{Merge, MergeInput};
use tickrail_core::stop::StopFlag;
use tickrail_core::tick::OrderBy;
use tickrail_core::timer::{Fired, Schedule};
use tickrail_core::venue::{OrderStatus, OrderUpdate, SimulatedVenue};
use tickrail_core::{InstrumentInfo, Kind, Side, Tick, TickBlock};

type Answer = Result<(), Fault<String>>;
type Script = Box<dyn FnMut(&str, i64, &Desk) -> Answer>;

/// Everything that one strategy was called with: what, and the clock.
type Log = Rc<RefCell<Vec<(String, i64)>>>;

struct One {
    desk: Rc<Desk>,
    script: Script,
    log: Log,
    is_renewable: bool,
    renewed: Cell<u32>,
    changes: Vec<StateChange>,
    settled: Vec<(Ticket, LifeAnswer)>,
}

impl One {
    fn call(&mut self, what: impl Into<String>) -> Answer {
        let (what, now_ns) = (what.into(), self.desk.now_ns());
        self.log.borrow_mut().push((what.clone(), now_ns));
        (self.script)(&what, now_ns, &self.desk)
    }
}

impl Host for One {
    type Failure = String;

    fn present(&mut self, _tick: &Tick) -> Result<(), String> {
        Ok(())
    }

    fn tick(&mut self, _strategy: u32, tick: &Tick) -> Answer {
        let gap = tick.kind == Kind::Gap as u8;
        self.call(if gap { format!("gap of {}", tick.values[2]) } else { "tick".to_owned() })
    }

    fn batch(&mut self, _strategy: u32, batch: TickBlock) -> Answer {
        self.call(format!("batch of {}", batch.as_slice().len()))
    }

    fn timer(&mut self, _strategy: u32, fired: &Fired) -> Answer {
        self.call(format!("timer {} due {} ({})", fired.number, fired.due_ns, fired.count))
    }

    fn order_update(&mut self, _strategy: u32, update: &OrderUpdate) -> Answer {
        self.call(format!("order {} {}", update.order.key.number, update.order.status.name()))
    }

    fn handler_failure(&self, _strategy: u32, error: HandlerError) -> String {
        error.to_string()
    }

    fn hook(&mut self, _strategy: u32, hook: Hook) -> Answer {
        self.call(hook.name())
    }

    fn is_renewable(&self, _strategy: u32) -> bool {
        self.is_renewable
    }

    fn renew(&mut self, _strategy: u32) -> Result<Option<Box<dyn Handler>>, Fault<String>> {
        self.renewed.set(self.renewed.get() + 1);
        if self.renewed.get() > 2 { Err(Fault::Failed("no more of them".to_owned())) } else { Ok(None) }
    }

    fn changed(&mut self, change: &StateChange) {
        self.changes.push(change.clone());
    }

    fn settled(&mut self, ticket: Ticket, _strategy: u32, outcome: LifeAnswer) {
        self.settled.push((ticket, outcome));
    }
}

/// A run of one strategy over quotes at 1, 2, 3, ...
fn run_of(ticks: i64, script: impl FnMut(&str, i64, &Desk) -> Answer + 'static) -> (Dispatcher<One>, Log) {
    let desk = Desk::new(vec![InstrumentInfo::named("A.SIM".to_owned())]);
    let quotes = (1..=ticks).map(|t| Tick::quote(t, 0, 100.0, 101.0, 1.0, 1.0)).collect();
    let inputs = vec![MergeInput { block: TickBlock::from_vec(quotes), feed: 0, instruments: None }];
    let source = Box::new(Merge::new(inputs, OrderBy::TsEvent).expect("a valid feed"));
    let log = Log::default();
    let host = One {
        desk: Rc::clone(&desk),
        script: Box::new(script),
        log: Rc::clone(&log),
        is_renewable: true,
        renewed: Cell::new(0),
        changes: Vec::new(),
        settled: Vec::new(),
    };
    let venue = Box::new(SimulatedVenue::new(vec![0.0]));
    let stop = Arc::new(StopFlag::new());
    // Slices of one tick, so that a test acts between any two.
    let settings = RunSettings { slice_ticks: 1, ..RunSettings::default() };
    let mut dispatcher = Dispatcher::new(settings, desk, source, venue, stop, host);
    let delivery = Delivery::Ticks;
    dispatcher.register(&Subscription { delivery, kinds: Kinds::ALL, instruments: None, order_updates: true });
    (dispatcher, log)
}

/// Runs to the end; `between` acts after each advance, with the clock.
fn drive(dispatcher: &mut Dispatcher<One>, mut between: impl FnMut(&mut Dispatcher<One>, i64)) {
    let mut outcome = dispatcher.start();
    while outcome == Outcome::Slice {
        let now_ns = dispatcher.desk().now_ns();
        between(dispatcher, now_ns);
        outcome = dispatcher.advance();
    }
    assert_eq!(outcome, Outcome::End);
    dispatcher.finish();
}

fn quiet(_: &str, _: i64, _: &Desk) -> Answer {
    Ok(())
}

fn ask(dispatcher: &mut Dispatcher<One>, ask: Ask) -> Transition {
    dispatcher.apply(0, ask, Cause::Borrowed("a test"))
}

fn lines(log: &Log) -> Vec<String> {
    log.borrow().iter().map(|(what, now)| format!("{now} {what}")).collect()
}

#[test]
fn without_ticks_timers_are_held_and_a_gap_comes_before_the_next_tick() {
    let (mut dispatcher, log) = run_of(9, |what, now_ns, desk| {
        if what == "on_start" {
            desk.schedule(0, &Schedule::at(now_ns + 2)).expect("a timer"); // due at 3
            desk.schedule(0, &Schedule::every(1_000)).expect("a timer");
            desk.schedule(0, &Schedule::at(now_ns + 3)).expect("a timer"); // due at 4
            let cancelled = Schedule::at(now_ns + 3).named("cancelled at 2".into());
            desk.schedule(0, &cancelled).expect("a timer");
        }
        if what == "tick" && now_ns == 2 {
            let timer = desk.timer_named(0, "cancelled at 2").expect("it is set");
            assert!(desk.cancel_timer(timer));
        }
        Ok(())
    });
    drive(&mut dispatcher, |dispatcher, now_ns| match now_ns {
        2 => assert_eq!(ask(dispatcher, Ask::pause(PauseMode::NoTicks)), Transition::To(State::Paused)),
        6 => assert_eq!(ask(dispatcher, Ask::new(Operation::Resume)), Transition::To(State::Running)),
        _ => {}
    });
    let expected = [
        "1 on_start",
        "1 tick",
        "2 tick",
        "2 on_pause",
        "6 on_resume",
        "6 timer 1 due 3 (1)",
        "6 timer 3 due 4 (1)",
        "6 gap of 4",
        "7 tick",
        "8 tick",
        "9 tick",
        "9 on_stop",
    ];
    assert_eq!(lines(&log), expected);
    let account = dispatcher.accounts()[0];
    assert_eq!((account.delivered, account.skipped, account.filtered, account.pending), (5, 4, 0, 0));
}

#[test]
fn without_new_orders_only_what_reduces_a_position_passes() {
    let orders = |now_ns: i64, desk: &Desk| {
        let order = |side, quantity| desk.order(0, 0, side, quantity).expect("in the book").number;
        match now_ns {
            2 => assert_eq!(order(Side::Buy, 5.0), 1),
            5 => {
                assert_eq!(order(Side::Buy, 1.0), 2, "held back");
                assert_eq!(order(Side::Sell, 6.0), 3, "held back: it would go through zero");
                assert_eq!(order(Side::Sell, 3.0), 4, "reduces");
                assert_eq!(order(Side::Sell, 3.0), 5, "held back: with the one in flight it would go through zero");
                let targets = [4.0, 9.0, -7.0].map(|quantity| desk.target(0, 0, quantity).expect("a target"));
                assert_eq!(targets[..2], [None, None], "nothing of it reduces");
                assert_eq!(targets[2].map(|key| key.number), Some(6), "as far as zero");
            }
            7 => assert_eq!(desk.target(0, 0, -1.0), Ok(None), "flat: nothing to reduce"),
            _ => {}
        }
    };
    let (mut dispatcher, _) = run_of(9, move |what, now_ns, desk| {
        if what == "tick" {
            orders(now_ns, desk);
        }
        Ok(())
    });
    drive(&mut dispatcher, |dispatcher, now_ns| {
        if now_ns == 4 {
            ask(dispatcher, Ask::new(Operation::Pause));
        }
    });
    let (mut statuses, mut quantities) = (Vec::new(), Vec::new());
    dispatcher.desk().with_orders(|book| {
        statuses.extend(book.all().iter().map(|order| order.status));
        quantities.extend(book.all().iter().map(|order| order.side.sign() * order.quantity));
        assert_eq!(book.open_count(0), 0);
    });
    use OrderStatus::{Filled, Rejected};
    assert_eq!(statuses, [Filled, Rejected, Rejected, Filled, Rejected, Filled]);
    assert_eq!(quantities[5], -2.0);
    let position = dispatcher.desk().holding(0, 0).expect("an instrument");
    assert_eq!((position.net, position.in_flight, position.selling), (0.0, 0.0, 0.0));
    assert_eq!(dispatcher.accounts()[0].delivered, 9, "ticks flow");
}

#[test]
fn a_stop_waits_for_the_orders_in_flight_and_tells_of_them() {
    let (mut dispatcher, log) = run_of(9, |what, now_ns, desk| {
        if what == "tick" && now_ns == 2 {
            desk.order(0, 0, Side::Buy, 1.0).expect("an order");
        }
        if what == "on_stop" {
            desk.target(0, 0, 0.0).expect("a target");
        }
        Ok(())
    });
    drive(&mut dispatcher, |dispatcher, now_ns| match now_ns {
        4 => {
            ask(dispatcher, Ask::new(Operation::Stop));
            assert_eq!(dispatcher.desk().state(0), State::Running);
            assert_eq!(dispatcher.desk().inbox().state(0), Some((State::Running, None, true)));
            assert_eq!(ask(dispatcher, Ask::new(Operation::Pause)), Transition::Refused);
        }
        5 => assert_eq!(dispatcher.desk().state(0), State::Stopped),
        _ => {}
    });
    assert_eq!(
        lines(&log)[5..],
        ["3 tick", "4 tick", "4 on_stop", "4 order 2 ACCEPTED", "5 order 2 FILLED"].map(String::from)[..]
    );
    assert_eq!(dispatcher.desk().holding(0, 0).expect("an instrument").net, 0.0);
    assert_eq!(dispatcher.accounts()[0].skipped, 5);
}

#[test]
fn a_restart_puts_a_new_object_in_the_place_until_none_can_be_made() {
    let (mut dispatcher, log) = run_of(9, |what, now_ns, desk| {
        if what == "tick" && now_ns == 2 {
            desk.subscription(0, 0, false).expect("a wish");
        }
        if what == "tick" && now_ns == 6 {
            return Err(Fault::Failed("raised".to_owned()));
        }
        Ok(())
    });
    drive(&mut dispatcher, |dispatcher, now_ns| {
        if matches!(now_ns, 4 | 6 | 8) {
            assert_eq!(ask(dispatcher, Ask::new(Operation::Restart)), Transition::To(State::Created));
        }
    });
    let expected = [
        "1 on_start",
        "1 tick",
        "2 tick",
        "4 on_stop",
        "4 on_start",
        "5 tick",
        "6 tick",
        "6 on_start",
        "7 tick",
        "8 tick",
        "8 on_stop",
    ];
    assert_eq!(lines(&log), expected);
    let states: Vec<_> =
        dispatcher.log().changes().iter().map(|change| (change.from.name(), change.to.name())).collect();
    let life = |from: State, middle: &[(State, State)]| {
        let mut steps =
            vec![(from, State::Created), (State::Created, State::Initialised), (State::Initialised, State::Running)];
        steps.splice(0..0, middle.iter().copied());
        steps
    };
    use State::{Created, Failed, Initialised, Running, Stopped};
    let mut all = vec![(Created, Initialised), (Initialised, Running)];
    all.extend(life(Stopped, &[(Running, Stopped)]));
    all.extend(life(Stopped, &[(Running, Failed), (Failed, Stopped)]));
    all.extend([(Running, Stopped), (Stopped, Created), (Created, Failed)]);
    assert_eq!(states, all.iter().map(|(from, to)| (from.name(), to.name())).collect::<Vec<_>>());
    let errors: Vec<_> = dispatcher.errors().iter().map(|error| (error.handler, error.failure.as_deref())).collect();
    assert_eq!(errors, [("on_tick", Some("raised")), ("restart", Some("no more of them"))]);
    assert_eq!(dispatcher.host().changes.len(), all.len(), "the host hears of each");
}

#[test]
fn requests_of_other_threads_are_taken_between_steps_and_answered() {
    let (mut dispatcher, log) = run_of(9, quiet);
    let inbox = Arc::clone(dispatcher.desk().inbox());
    drive(&mut dispatcher, |_, now_ns| {
        let inbox = Arc::clone(&inbox);
        let asking = move || {
            let ask = |operation| inbox.ask(0, Ask::new(operation), Cause::Borrowed("another thread"));
            match now_ns {
                2 => drop((ask(Operation::Pause).unwrap(), ask(Operation::Pause).unwrap())),
                4 => drop((ask(Operation::Resume).unwrap(), ask(Operation::Fail).unwrap())),
                _ => {}
            }
        };
        std::thread::spawn(asking).join().expect("no panic");
    });
    assert_eq!(lines(&log)[..5], ["1 on_start", "1 tick", "2 tick", "2 on_pause", "3 tick"].map(String::from));
    let settled = &dispatcher.host().settled;
    assert_eq!(settled[..], [(1, LifeAnswer::Done(State::Paused)), (3, LifeAnswer::Done(State::Failed))]);
    let paused = dispatcher.log().changes().into_iter().find(|change| change.to == State::Paused).expect("a pause");
    assert_eq!((&*paused.cause, paused.now_ns, paused.position), ("another thread", 2, 4));
    assert_eq!(dispatcher.errors()[0].reason, "another thread");
}

#[test]
fn whoever_waits_at_the_end_is_answered() {
    let (mut dispatcher, _) = run_of(2, quiet);
    let inbox = Arc::clone(dispatcher.desk().inbox());
    drive(&mut dispatcher, |_, _| {});
    assert_eq!(inbox.ask(0, Ask::new(Operation::Stop), by_run()), Ok((0, vec![])));
    let (mut dispatcher, _) = run_of(2, quiet);
    let inbox = Arc::clone(dispatcher.desk().inbox());
    assert_eq!(dispatcher.start(), Outcome::Slice);
    inbox.ask(0, Ask::new(Operation::Pause), by_run()).expect("it is running");
    dispatcher.finish();
    assert_eq!(dispatcher.host().settled, [(1, LifeAnswer::Over(State::Stopped))]);
}

#[test]
fn what_a_handler_asks_for_its_life_takes_effect_when_its_step_is_over() {
    let digest = |mode: Option<PauseMode>| {
        let (mut dispatcher, log) = run_of(6, move |what, now_ns, desk| {
            if let (Some(mode), "tick", 3) = (mode, what, now_ns) {
                desk.ask(0, Ask::pause(mode), Cause::Borrowed("the strategy")).expect("it is running");
                desk.order(0, 0, Side::Buy, 1.0).expect("made before the pause");
            }
            Ok(())
        });
        drive(&mut dispatcher, |_, _| {});
        (dispatcher.digest(), lines(&log), dispatcher.fills().len())
    };
    let (flows, lines_flowing, fills) = digest(Some(PauseMode::NoNewOrders));
    assert_eq!(fills, 1);
    assert_eq!(lines_flowing[4..7], ["3 on_pause", "3 order 1 ACCEPTED", "4 order 1 FILLED"].map(String::from));
    let (held, lines_held, _) = digest(Some(PauseMode::NoTicks));
    assert_eq!(
        lines_held[4..],
        ["3 on_pause", "3 order 1 ACCEPTED", "4 order 1 FILLED", "6 on_stop"].map(String::from)
    );
    assert_eq!(digest(Some(PauseMode::NoTicks)).0, held, "the same again");
    let digests = [flows, held, digest(None).0];
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
}
