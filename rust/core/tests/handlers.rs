//! Strategies in machine code take the same steps as those that a host calls: compared with one another on random feeds.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;
use tickrail_core::digest::DigestMode;
use tickrail_core::dispatch::{
    BatchEdges, Delivery, Desk, Dispatcher, Fault, Hook, Host, Kinds, NoHost, Outcome, RunSettings, Subscription,
    TimerKey,
};
use tickrail_core::handler::{Handler, HandlerError, OUT_CAPACITY, Out, TimerRecord, UpdateRecord};
use tickrail_core::lifecycle::State;
use tickrail_core::order::{Merge, MergeInput};
use tickrail_core::stop::StopFlag;
use tickrail_core::tick::OrderBy;
use tickrail_core::timer::{Fired, Schedule};
use tickrail_core::venue::{OrderUpdate, SimulatedVenue};
use tickrail_core::{InstrumentInfo, Side, Tick, TickBlock};

/// What a strategy saw, in order.
type Log = Rc<RefCell<Vec<(char, i64, u32)>>>;

/// Decides from what it saw alone, so that two of them decide alike.
#[derive(Clone)]
struct Mind {
    seed: u64,
    log: Log,
    fail_at: usize,
}

#[derive(Clone, Copy, Debug)]
enum Decision {
    Nothing,
    Target(u32, f64),
    Buy(u32, f64),
    Cancel(u32),
    At(i64),
    Every(i64),
    ForgetTimers,
    Switch(u32, bool),
    Fail,
    Stop,
}

impl Mind {
    fn sees(&self, what: char, ts_ns: i64, number: u32) -> Decision {
        let mut log = self.log.borrow_mut();
        log.push((what, ts_ns, number));
        let seen = log.len();
        if seen == self.fail_at {
            return if self.seed.is_multiple_of(2) { Decision::Fail } else { Decision::Stop };
        }
        let mut draw = self.seed ^ (seen as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        draw ^= draw >> 29;
        draw = draw.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        draw ^= draw >> 32;
        let instrument = (draw >> 8) as u32 % 2;
        match draw % 24 {
            0 | 1 => Decision::Target(instrument, (draw >> 16 & 3) as f64 - 1.0),
            2 => Decision::Buy(instrument, 1.0),
            3 => Decision::Cancel(1),
            4 => Decision::At(ts_ns + (draw >> 16 & 7) as i64),
            5 => Decision::Every(1_000 + (draw >> 16 & 7) as i64),
            6 => Decision::ForgetTimers,
            7 => Decision::Switch(instrument, draw >> 16 & 1 == 0),
            _ => Decision::Nothing,
        }
    }
}

/// In machine code.
struct Machine(Mind);

impl Machine {
    fn ask(decision: Decision, out: &mut Out) -> Result<(), HandlerError> {
        match decision {
            Decision::Nothing => {}
            Decision::Target(instrument, quantity) => out.target(instrument, quantity),
            Decision::Buy(instrument, quantity) => out.buy(instrument, quantity),
            Decision::Cancel(order) => out.cancel(order),
            Decision::At(ts_ns) => out.schedule_at(ts_ns, 5),
            Decision::Every(interval_ns) => out.schedule_every(interval_ns, 5, 0),
            Decision::ForgetTimers => out.cancel_timer(5),
            Decision::Switch(instrument, true) => out.subscribe(instrument),
            Decision::Switch(instrument, false) => out.unsubscribe(instrument),
            Decision::Fail => return Err(HandlerError::Failed("as planned".to_owned())),
            Decision::Stop => out.stop(),
        }
        Ok(())
    }
}

impl Handler for Machine {
    fn on_tick(&mut self, tick: &Tick, out: &mut Out) -> Result<(), HandlerError> {
        Self::ask(self.0.sees('t', tick.ts_event, tick.instrument), out)
    }

    fn on_timer(&mut self, timer: &TimerRecord, out: &mut Out) -> Result<(), HandlerError> {
        assert_eq!(timer.tag, 5);
        Self::ask(self.0.sees('c', timer.ts_ns, 0), out)
    }

    fn on_order_update(&mut self, update: &UpdateRecord, out: &mut Out) -> Result<(), HandlerError> {
        Self::ask(self.0.sees('o', update.ts_ns, update.order), out)
    }
}

/// The same minds, called by a host.
struct Called {
    minds: Vec<Mind>,
    desk: Rc<Desk>,
    /// Those that may still fire, and whether they repeat.
    timers: BTreeMap<u32, Vec<(TimerKey, bool)>>,
}

impl Called {
    fn act(&mut self, strategy: u32, decision: Decision) -> Result<(), Fault<String>> {
        let desk = Rc::clone(&self.desk);
        let timers = self.timers.entry(strategy).or_default();
        let refused = |refusal: tickrail_core::dispatch::Refusal| Fault::Failed(refusal.to_string());
        match decision {
            Decision::Nothing => {}
            Decision::Target(instrument, quantity) => {
                desk.target(strategy, instrument, quantity).map_err(refused)?;
            }
            Decision::Buy(instrument, quantity) => {
                desk.order(strategy, instrument, Side::Buy, quantity).map_err(refused)?;
            }
            Decision::Cancel(order) => desk.cancel(strategy, order).map_err(refused)?,
            Decision::At(ts_ns) => {
                timers.push((desk.schedule(strategy, &Schedule::at(ts_ns)).map_err(refused)?, false))
            }
            Decision::Every(interval_ns) => {
                timers.push((desk.schedule(strategy, &Schedule::every(interval_ns)).map_err(refused)?, true));
            }
            Decision::ForgetTimers => {
                timers.drain(..).for_each(|(timer, _)| {
                    desk.cancel_timer(timer);
                });
            }
            Decision::Switch(instrument, wanted) => {
                desk.subscription(strategy, instrument, wanted).map_err(refused)?;
            }
            Decision::Fail => return Err(Fault::Failed("as planned".to_owned())),
            Decision::Stop => return Err(Fault::Ended),
        }
        Ok(())
    }
}

impl Host for Called {
    type Failure = String;

    fn present(&mut self, _tick: &Tick) -> Result<(), String> {
        Ok(())
    }

    fn tick(&mut self, strategy: u32, tick: &Tick) -> Result<(), Fault<String>> {
        let decision = self.minds[strategy as usize].sees('t', tick.ts_event, tick.instrument);
        self.act(strategy, decision)
    }

    fn batch(&mut self, _strategy: u32, _batch: TickBlock) -> Result<(), Fault<String>> {
        unreachable!("nobody takes batches here")
    }

    fn timer(&mut self, strategy: u32, fired: &Fired) -> Result<(), Fault<String>> {
        let known = self.timers.get_mut(&strategy).expect("it was set");
        known.retain(|&(other, repeats)| repeats || other.id != fired.id);
        let decision = self.minds[strategy as usize].sees('c', fired.due_ns, 0);
        self.act(strategy, decision)
    }

    fn order_update(&mut self, strategy: u32, update: &OrderUpdate) -> Result<(), Fault<String>> {
        let decision = self.minds[strategy as usize].sees('o', self.desk.now_ns(), update.order.key.number);
        self.act(strategy, decision)
    }

    fn handler_failure(&self, _strategy: u32, error: HandlerError) -> String {
        error.to_string()
    }

    fn hook(&mut self, _strategy: u32, _hook: Hook) -> Result<(), Fault<String>> {
        Ok(())
    }
}

fn quotes(steps: &[(u8, bool)]) -> Vec<Tick> {
    let mut at = 1_000;
    let quote = |&(step, second): &(u8, bool)| {
        at += i64::from(step) * 100;
        let mut tick = Tick::quote(at, 0, 1.0 + f64::from(step), 2.0 + f64::from(step), 1.0, 1.0);
        tick.instrument = u32::from(second);
        tick
    };
    steps.iter().map(quote).collect()
}

fn parts(ticks: Vec<Tick>) -> (Rc<Desk>, Box<Merge>, Box<SimulatedVenue>) {
    let desk = Desk::new((0..2).map(|index| InstrumentInfo::named(format!("I{index}.SIM"))).collect());
    let input = MergeInput { block: TickBlock::from_vec(ticks), feed: 0, instruments: None };
    let source = Merge::new(vec![input], OrderBy::TsEvent).expect("a valid feed");
    (desk, Box::new(source), Box::new(SimulatedVenue::new(vec![0.001; 2])))
}

fn settings(slice_ticks: usize) -> RunSettings {
    RunSettings { slice_ticks, digest: DigestMode::Full, ..RunSettings::default() }
}

fn drive<H: Host>(dispatcher: &mut Dispatcher<H>) -> Outcome {
    let mut outcome = dispatcher.start();
    while matches!(outcome, Outcome::Slice) {
        outcome = dispatcher.advance();
    }
    dispatcher.finish();
    outcome
}

fn subscription(delivery: Delivery) -> Subscription {
    Subscription { delivery, kinds: Kinds::ALL, instruments: None, order_updates: true }
}

fn minds(seeds: &[(u64, usize)]) -> (Vec<Mind>, Vec<Log>) {
    let logs: Vec<Log> = seeds.iter().map(|_| Log::default()).collect();
    let mind = |(&(seed, fail_at), log): (&(u64, usize), &Log)| Mind { seed, log: Rc::clone(log), fail_at };
    (seeds.iter().zip(&logs).map(mind).collect(), logs)
}

fn taken(logs: &[Log]) -> Vec<Vec<(char, i64, u32)>> {
    logs.iter().map(|log| log.borrow().clone()).collect()
}

/// Steps in time, and which of two instruments: hardly ever the second, or as often as the first.
fn mixed() -> impl Strategy<Value = Vec<(u8, bool)>> {
    let chances = prop_oneof![Just(0.0), Just(0.02), Just(0.5)];
    chances.prop_flat_map(|chance| prop::collection::vec((0_u8..4, prop::bool::weighted(chance)), 1..400))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn machine_code_takes_the_same_steps(
        steps in mixed(),
        seeds in prop::collection::vec((any::<u64>(), prop_oneof![Just(usize::MAX), 1_usize..200]), 1..4),
        slice_ticks in prop_oneof![Just(1_usize), Just(7), Just(4_096)],
    ) {
        let (called, called_logs) = minds(&seeds);
        let (desk, source, venue) = parts(quotes(&steps));
        let host = Called { minds: called, desk: Rc::clone(&desk), timers: BTreeMap::new() };
        let mut expected =
            Dispatcher::new(settings(slice_ticks), desk, source, venue, Arc::new(StopFlag::new()), host);
        seeds.iter().for_each(|_| { expected.register(&subscription(Delivery::Ticks)); });
        let expected_outcome = drive(&mut expected);

        let (machine, machine_logs) = minds(&seeds);
        let (desk, source, venue) = parts(quotes(&steps));
        let mut found =
            Dispatcher::new(settings(slice_ticks), desk, source, venue, Arc::new(StopFlag::new()), NoHost);
        for mind in machine {
            found.register_handler(&subscription(Delivery::Records), Box::new(Machine(mind)));
        }
        prop_assert_eq!(drive(&mut found), expected_outcome);
        prop_assert_eq!(taken(&machine_logs), taken(&called_logs));
        prop_assert_eq!(found.fills(), expected.fills());
        prop_assert_eq!(found.accounts(), expected.accounts());
        prop_assert_eq!(found.digest(), expected.digest());
        let told = |strategy: u32, position: u64, handler: &str| (strategy, position, handler.to_owned());
        let expected_errors: Vec<_> =
            expected.errors().iter().map(|error| told(error.strategy, error.position, error.handler)).collect();
        let found_errors: Vec<_> =
            found.errors().iter().map(|error| told(error.strategy, error.position, error.handler)).collect();
        prop_assert_eq!(found_errors, expected_errors);
    }
}

struct Asks<F: FnMut(&[Tick], &mut Out)>(F);

impl<F: FnMut(&[Tick], &mut Out)> Handler for Asks<F> {
    fn on_tick(&mut self, tick: &Tick, out: &mut Out) -> Result<(), HandlerError> {
        (self.0)(std::slice::from_ref(tick), out);
        Ok(())
    }

    fn on_batch(&mut self, ticks: &[Tick], out: &mut Out) -> Result<(), HandlerError> {
        (self.0)(ticks, out);
        Ok(())
    }
}

fn run_one(delivery: Delivery, asks: impl FnMut(&[Tick], &mut Out) + 'static) -> Dispatcher<NoHost> {
    let (desk, source, venue) = parts(quotes(&[(1, false); 10]));
    let mut run = Dispatcher::new(settings(4_096), desk, source, venue, Arc::new(StopFlag::new()), NoHost);
    run.register_handler(&subscription(delivery), Box::new(Asks(asks)));
    assert_eq!(drive(&mut run), Outcome::End);
    run
}

#[test]
fn wishes_that_make_no_sense_fail_the_strategy_with_the_tick() {
    type Case = (fn(&mut Out), &'static str);
    let cases: [Case; 3] = [
        (|out| out.buy(9, 1.0), "instrument number 9 is not in the run's table"),
        (|out| out.sell(0, f64::NAN), "quantity is NaN: expected a number above zero and at most 1e15"),
        (|out| (0..=OUT_CAPACITY).for_each(|_| out.buy(0, 1.0)), "asked for 1026 things in one call"),
    ];
    for (wish, message) in cases {
        let mut seen = 0;
        let run = run_one(Delivery::Records, move |_, out| {
            seen += 1;
            out.target(0, 1.0);
            if seen == 3 {
                wish(out);
            }
        });
        let [error] = run.errors() else { panic!("one error") };
        assert!(error.failure.as_ref().expect("a failure").to_string().contains(message), "{error:?}");
        assert_eq!((error.handler, error.input.expect("a tick").ts_event), ("on_tick", 1_300));
        assert_eq!((run.accounts()[0].state, run.accounts()[0].delivered), (State::Failed, 3));
    }
}

#[test]
fn batches_go_to_machine_code_too() {
    let sizes = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&sizes);
    let edges = BatchEdges { max_ticks: 4, window_ns: 0 };
    let run = run_one(Delivery::Batches(edges), move |ticks, out| {
        seen.borrow_mut().push(ticks.len());
        out.target(0, ticks.len() as f64);
    });
    assert_eq!(*sizes.borrow(), [4, 4, 2], "nobody asked for updates in between");
    assert_eq!(run.fills().len(), 1);
}
