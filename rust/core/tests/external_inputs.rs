//! External inputs in the loop: their place in the total order, their share of the steps, recording and replay.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;
use tickrail_core::command::{Command, CommandKind, ExternalRecord, Handled, Lane, LaneSettings, NO_STRATEGY, Sender};
use tickrail_core::digest::DigestMode;
use tickrail_core::dispatch::{
    BatchEdges, Delivery, Desk, Dispatcher, Fault, Hook, Host, Kinds, Outcome, RunError, RunSettings, Subscription,
};
use tickrail_core::handler::HandlerError;
use tickrail_core::lifecycle::{Ask, Cause, Operation, PauseMode, State, Transition};
use tickrail_core::order::{Merge, MergeInput};
use tickrail_core::ring::NotTaken;
use tickrail_core::stop::{StopFlag, Waker};
use tickrail_core::tick::OrderBy;
use tickrail_core::timer::{Fired, Schedule};
use tickrail_core::venue::{OrderUpdate, SimulatedVenue};
use tickrail_core::{InstrumentInfo, Side, Tick, TickBlock};

/// What was called, with the loop position of the call.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Tick(u32, i64),
    Batch(u32, usize),
    Timer(u32, i64),
    Update(u32, u32),
    External(u16, u32, Handled),
    Abandoned(u16),
}

type Log = Rc<RefCell<Vec<(u64, Seen)>>>;
type Answer = Result<(), Fault<String>>;
/// Called at each tick of strategy 0 with its time: sends what comes from outside meanwhile.
type Outside = Box<dyn FnMut(i64)>;

struct Logged {
    log: Log,
    desk: Rc<Desk>,
    outside: Outside,
}

impl Logged {
    fn note(&self, seen: Seen) -> Answer {
        self.log.borrow_mut().push((self.desk.position(), seen));
        Ok(())
    }

    /// As the handler of a command does: within a step, of the loop's own thread.
    fn ask(&self, strategy: u32, ask: Ask) -> Answer {
        let _ = self.desk.inbox().ask_from(strategy, ask, Cause::Borrowed("a command"), true);
        Ok(())
    }
}

impl Host for Logged {
    type Failure = String;

    fn present(&mut self, _tick: &Tick) -> Result<(), String> {
        Ok(())
    }

    fn tick(&mut self, strategy: u32, tick: &Tick) -> Answer {
        if strategy == 0 {
            (self.outside)(tick.ts_event);
        }
        if tick.ts_event % 7 == 0 {
            self.desk.order(strategy, tick.instrument, Side::Buy, 1.0).expect("a valid order");
        }
        if tick.ts_event % 11 == 0 {
            self.desk.schedule(strategy, &Schedule::at(tick.ts_event + 3)).expect("a valid timer");
        }
        self.note(Seen::Tick(strategy, tick.ts_event))
    }

    fn batch(&mut self, strategy: u32, batch: TickBlock) -> Answer {
        self.desk.order(strategy, 0, Side::Sell, batch.len() as f64).expect("a valid order");
        if strategy == 0 {
            batch.as_slice().iter().for_each(|tick| (self.outside)(tick.ts_event));
        }
        if self.desk.now_ns() % 3 == 0 {
            let other = if self.desk.state(strategy) == State::Running { Operation::Pause } else { Operation::Resume };
            self.ask(strategy, Ask::new(other))?;
        }
        self.note(Seen::Batch(strategy, batch.len()))
    }

    fn timer(&mut self, strategy: u32, fired: &Fired) -> Answer {
        self.note(Seen::Timer(strategy, fired.due_ns))
    }

    fn order_update(&mut self, strategy: u32, update: &OrderUpdate) -> Answer {
        self.note(Seen::Update(strategy, update.order.key.number))
    }

    fn external(&mut self, command: Command, handled: Handled) -> Answer {
        self.note(Seen::External(command.kind.0, command.strategy, handled))?;
        match command.payload.first().filter(|_| handled != Handled::UnknownStrategy) {
            Some(b'!') => Err(Fault::Failed("no".to_owned())),
            Some(b'b') if self.desk.state(command.strategy) == State::Running => {
                self.desk.order(command.strategy, 0, Side::Buy, 5.0).expect("a valid order");
                Ok(())
            }
            Some(b'p') => self.ask(command.strategy, Ask::pause(PauseMode::NoTicks)),
            Some(b'r') => self.ask(command.strategy, Ask::new(Operation::Resume)),
            _ => Ok(()),
        }
    }

    fn abandoned(&mut self, command: Command) {
        self.note(Seen::Abandoned(command.kind.0)).expect("notes never fail");
    }

    fn handler_failure(&self, _strategy: u32, error: HandlerError) -> String {
        error.to_string()
    }

    fn hook(&mut self, _strategy: u32, _hook: Hook) -> Answer {
        Ok(())
    }
}

struct Run {
    dispatcher: Dispatcher<Logged>,
    log: Log,
    records: Rc<RefCell<Vec<ExternalRecord>>>,
}

fn run_of(ticks: i64, slice_ticks: usize, forms: &[Delivery]) -> Run {
    let desk = Desk::new(vec![InstrumentInfo::named("A.SIM".to_owned())]);
    let quote = |time: i64| Tick::quote(time, 0, 100.0 + time as f64, 101.0 + time as f64, 1.0, 1.0);
    let block = TickBlock::from_vec((1..=ticks).map(quote).collect());
    let source = Merge::new(vec![MergeInput { block, feed: 0, instruments: None }], OrderBy::TsEvent).expect("valid");
    let settings = RunSettings { slice_ticks, digest: DigestMode::Full, ..RunSettings::default() };
    let log = Log::default();
    let host = Logged { log: Rc::clone(&log), desk: Rc::clone(&desk), outside: Box::new(|_| ()) };
    let (venue, stop) = (Box::new(SimulatedVenue::new(vec![0.0])), Arc::new(StopFlag::new()));
    let mut dispatcher = Dispatcher::new(settings, desk, Box::new(source), venue, stop, host);
    for &delivery in forms {
        dispatcher.register(&Subscription { delivery, kinds: Kinds::ALL, instruments: None, order_updates: true });
    }
    let records: Rc<RefCell<Vec<ExternalRecord>>> = Rc::default();
    let kept = Rc::clone(&records);
    dispatcher.record_externals(Box::new(move |record| kept.borrow_mut().push(record)));
    Run { dispatcher, log, records }
}

impl Run {
    fn lanes(&mut self) -> Sender<Command> {
        self.dispatcher.open_lanes(LaneSettings::default(), Arc::new(Waker::new())).expect("powers of two")
    }

    fn outside(&mut self, outside: impl FnMut(i64) + 'static) {
        self.dispatcher.host_mut().outside = Box::new(outside);
    }

    fn complete(&mut self) -> Outcome {
        let mut outcome = self.dispatcher.start();
        while matches!(outcome, Outcome::Slice | Outcome::Pulled) {
            outcome = self.dispatcher.advance();
        }
        self.dispatcher.finish();
        outcome
    }

    fn seen(&self) -> Vec<(u64, Seen)> {
        self.log.borrow().clone()
    }
}

fn host_command(strategy: u32, payload: &[u8]) -> Command {
    Command::new(CommandKind::HOST, strategy, payload)
}

#[test]
fn a_control_command_is_served_after_the_tick_during_which_it_came_and_others_after_the_slice() {
    let mut run = run_of(100, 10, &[Delivery::Ticks]);
    let sender = run.lanes();
    run.outside(move |time| {
        if time == 33 {
            sender.push(Lane::Normal, Command::new(CommandKind(120), NO_STRATEGY, *b"n")).expect("room");
            sender.push(Lane::Control, Command::new(CommandKind(121), NO_STRATEGY, *b"c")).expect("room");
        }
    });
    assert_eq!(run.complete(), Outcome::End);
    let seen: Vec<Seen> = run.seen().into_iter().map(|(_, seen)| seen).collect();
    let place = |wanted: &Seen| seen.iter().position(|one| one == wanted).expect("seen");
    assert_eq!(place(&Seen::External(121, NO_STRATEGY, Handled::ByHost)), place(&Seen::Tick(0, 33)) + 1);
    assert_eq!(place(&Seen::External(120, NO_STRATEGY, Handled::ByHost)), place(&Seen::Tick(0, 33)) + 2);
    let positions: Vec<u64> = run.seen().iter().map(|(position, _)| *position).collect();
    assert!(positions.is_sorted());
    assert_eq!(run.dispatcher.external_count(), 2);
}

#[test]
fn the_loop_carries_out_operations_itself_and_names_strategies_that_are_none() {
    let mut run = run_of(30, 10, &[Delivery::Ticks, Delivery::Ticks]);
    let sender = run.lanes();
    run.outside(move |time| {
        let kind = match time {
            5 | 8 => CommandKind::PAUSE,
            12 => CommandKind::RESUME,
            _ => return,
        };
        sender.push(Lane::Control, Command::new(kind, 1, [])).expect("room");
        sender.push(Lane::Control, Command::new(kind, 2, [])).expect("room");
    });
    run.complete();
    let handled: Vec<Handled> = run
        .seen()
        .iter()
        .filter_map(|(_, seen)| match seen {
            Seen::External(_, 1, handled) => Some(*handled),
            Seen::External(_, 2, handled) => {
                assert_eq!(*handled, Handled::UnknownStrategy);
                None
            }
            _ => None,
        })
        .collect();
    let answers = [Transition::To(State::Paused), Transition::Already, Transition::To(State::Running)];
    assert_eq!(handled, answers.map(Handled::Operation));
    let account = run.dispatcher.accounts()[1];
    assert_eq!((account.delivered, account.skipped), (30, 0), "paused by default, ticks flow");
}

#[test]
fn a_command_ends_the_batch_of_its_strategy() {
    let batches = Delivery::Batches(BatchEdges { max_ticks: 1_000, window_ns: 0 });
    let mut run = run_of(20, 64, &[Delivery::Ticks, batches]);
    let sender = run.lanes();
    run.outside(move |time| {
        if time == 6 {
            sender.push(Lane::Control, host_command(1, b"x")).expect("room");
        }
    });
    run.complete();
    let seen: Vec<Seen> = run.seen().into_iter().map(|(_, seen)| seen).collect();
    let place = seen.iter().position(|one| matches!(one, Seen::External(..))).expect("seen");
    assert_eq!(seen[place - 1], Seen::Batch(1, 6));
    assert_eq!(seen.last(), Some(&Seen::Update(1, 2)));
}

#[test]
fn a_failure_is_its_strategys_and_without_one_ends_the_run() {
    let mut run = run_of(20, 4, &[Delivery::Ticks, Delivery::Ticks]);
    let sender = run.lanes();
    run.outside(move |time| {
        if time == 6 {
            sender.push(Lane::Control, host_command(1, b"!")).expect("room");
        }
        if time == 15 {
            sender.push(Lane::Control, host_command(NO_STRATEGY, b"!")).expect("room");
        }
    });
    assert_eq!(run.complete(), Outcome::Failed(RunError::Host));
    assert_eq!(run.dispatcher.accounts().iter().map(|a| a.delivered).collect::<Vec<_>>(), [15, 6]);
    let error = &run.dispatcher.errors()[0];
    assert_eq!((error.strategy, error.handler, error.input), (1, "on_command", None));
    assert_eq!(run.dispatcher.host_failure().map(String::as_str), Some("no"));
}

#[test]
fn a_flood_leaves_ticks_at_least_half_of_the_steps() {
    for lane in Lane::ALL {
        let mut run = run_of(2_000, 512, &[Delivery::Ticks]);
        let sender = run.lanes();
        // Before each tick and before each command both lanes are full: outside is asked at ticks, so fill to the brim.
        run.outside(move |_| while sender.push(lane, host_command(NO_STRATEGY, b"f")).is_ok() {});
        run.complete();
        let seen = run.seen();
        let count = |part: &[(u64, Seen)], is: fn(&Seen) -> bool| part.iter().filter(|(_, seen)| is(seen)).count();
        let counts =
            |part| (count(part, |s| matches!(s, Seen::Tick(..))), count(part, |s| matches!(s, Seen::External(..))));
        let last = seen.iter().rposition(|(_, seen)| matches!(seen, Seen::Tick(..))).expect("ticks");
        for end in (200..last).step_by(97) {
            let (ticks, externals) = counts(&seen[..end]);
            assert!(ticks + 64 >= externals, "{ticks} ticks, {externals} commands, {lane:?}");
        }
        let (_, externals) = counts(&seen[..last]);
        assert!(externals > 500, "and commands theirs: {externals}, {lane:?}");
    }
}

#[test]
fn what_has_no_turn_before_the_end_is_abandoned_and_senders_are_told() {
    let mut run = run_of(3, 8, &[Delivery::Ticks]);
    let sender = run.lanes();
    run.dispatcher.start();
    sender.push(Lane::Background, host_command(NO_STRATEGY, b"")).expect("room");
    run.dispatcher.finish();
    assert_eq!(run.seen().last(), Some(&(1, Seen::Abandoned(16))));
    assert!(matches!(sender.push(Lane::Control, host_command(0, b"")), Err(NotTaken::Closed(_))));
}

#[test]
fn commands_that_came_before_the_end_of_the_data_count() {
    let mut run = run_of(3, 8, &[Delivery::Ticks]);
    let sender = run.lanes();
    run.outside(move |_| {
        (0..100).for_each(|_| sender.push(Lane::Normal, host_command(NO_STRATEGY, b"")).expect("room"));
    });
    run.complete();
    assert_eq!(run.dispatcher.external_count(), 300);
}

/// Commands that come during some ticks: (time, lane, kind, strategy, payload).
fn script() -> impl Strategy<Value = Vec<(i64, usize, u16, u32, Vec<u8>)>> {
    let kind = prop_oneof![Just(1_u16), Just(2), Just(3), Just(16), Just(16), Just(17)];
    let strategy = prop_oneof![0..4_u32, Just(NO_STRATEGY)];
    let payload = prop_oneof![
        Just(b"".to_vec()),
        Just(b"b".to_vec()),
        Just(b"p".to_vec()),
        Just(b"r".to_vec()),
        Just(b"other".to_vec())
    ];
    // Most of them anywhere, some about the end of the data.
    prop::collection::vec((prop_oneof![1..200_i64, 195..=200_i64], 0..3_usize, kind, strategy, payload), 0..60)
}

fn forms() -> [Delivery; 4] {
    let batches = |max_ticks, window_ns| Delivery::Batches(BatchEdges { max_ticks, window_ns });
    [Delivery::Ticks, batches(13, 0), batches(1_000, 10), Delivery::Ticks]
}

/// Of what was taken, the numbers by lane and strategy; a command's kind is its number.
fn taken_by_lane_and_strategy(run: &Run, sent: &[(usize, u32)]) -> BTreeMap<(usize, u32), Vec<u16>> {
    let mut taken: BTreeMap<(usize, u32), Vec<u16>> = BTreeMap::new();
    for (_, seen) in run.seen() {
        if let Seen::External(kind, strategy, _) = seen {
            let (lane, wanted) = sent[usize::from(kind - FIRST_NUMBER)];
            assert_eq!(strategy, wanted);
            taken.entry((lane, strategy)).or_default().push(kind);
        }
    }
    taken
}

/// Codes from here on are the numbers of commands.
const FIRST_NUMBER: u16 = 1_000;

proptest! {
    /// Whatever else is sent, and whatever they do to each other: of one lane a strategy has its commands in the order sent,
    /// and all of them. More come at once than a lane's quantum.
    #[test]
    fn each_strategy_has_its_commands_in_the_order_sent(
        script in prop::collection::vec((1..60_i64, 0..3_usize, 0..4_u32, 0..4_usize), 1..400), slice in 1..70_usize
    ) {
        let mut script = script;
        script.sort_by_key(|(time, ..)| *time);
        let sent: Vec<(usize, u32)> = script.iter().map(|(_, lane, strategy, _)| (*lane, *strategy)).collect();
        let mut run = run_of(2_000, slice, &[Delivery::Ticks, forms()[1], forms()[2], Delivery::Ticks]);
        let sender = run.lanes();
        run.outside(move |time| {
            for (number, (_, lane, strategy, act)) in script.iter().enumerate().filter(|(_, (at, ..))| *at == time) {
                // The first strategy is not paused: it is the one that sends.
                let payload: &[u8] = [b"" as &[u8], b"b", b"p", b"r"][if *strategy == 0 { act % 2 } else { *act }];
                let command = Command::new(CommandKind(FIRST_NUMBER + number as u16), *strategy, payload);
                sender.push(Lane::ALL[*lane], command).expect("room");
            }
        });
        run.complete();
        let taken = taken_by_lane_and_strategy(&run, &sent);
        prop_assert_eq!(taken.values().map(Vec::len).sum::<usize>(), sent.len());
        for (key, numbers) in taken {
            prop_assert!(numbers.is_sorted(), "{key:?}: {numbers:?}");
        }
    }

    /// What a run took from its lanes, fed again, makes the same calls and the same digest, however it is sliced.
    #[test]
    fn a_replay_makes_the_same_run(script in script(), first in 1..70_usize, second in 1..70_usize, sole in 0..8_usize) {
        let forms = forms();
        let forms = forms.get(sole..=sole).unwrap_or(&forms);
        let mut run = run_of(200, first, forms);
        let sender = run.lanes();
        run.outside(move |time| {
            for (_, lane, kind, strategy, payload) in script.iter().filter(|(at, ..)| *at == time) {
                let payload = if *kind == 16 && *strategy == NO_STRATEGY { Vec::new() } else { payload.clone() };
                let payload = if *strategy > 3 { Vec::new() } else { payload };
                let command = Command::new(CommandKind(*kind), *strategy, payload);
                sender.push(Lane::ALL[*lane], command).expect("room");
            }
        });
        let outcome = run.complete();
        let mut bytes = ExternalRecord::header().to_vec();
        run.records.borrow().iter().for_each(|record| record.append_to(&mut bytes));
        let records = tickrail_core::command::read_records(&bytes).expect("just written");

        let mut again = run_of(200, second, forms);
        again.dispatcher.replay(records);
        prop_assert_eq!(again.complete(), outcome);
        // What a last batch has sent comes too late in the run, and not at all in a replay.
        let mut seen = run.seen();
        seen.retain(|(_, seen)| !matches!(seen, Seen::Abandoned(_)));
        prop_assert_eq!(again.seen(), seen);
        prop_assert_eq!(again.dispatcher.digest(), run.dispatcher.digest());
        prop_assert_eq!(&*again.records.borrow(), &*run.records.borrow());
    }
}

#[test]
fn commands_enter_the_digest() {
    let digest_of = |payload: &'static [u8], at: i64, strategy: u32| {
        let mut run = run_of(30, 8, &[Delivery::Ticks]);
        let sender = run.lanes();
        run.outside(move |time| {
            if time == at {
                sender.push(Lane::Control, host_command(strategy, payload)).expect("room");
            }
        });
        run.complete();
        run.dispatcher.digest()
    };
    let digest = digest_of(b"x", 5, 0);
    assert_eq!(digest, digest_of(b"x", 5, 0));
    for other in [digest_of(b"y", 5, 0), digest_of(b"x", 6, 0), digest_of(b"x", 5, NO_STRATEGY)] {
        assert_ne!(digest, other);
    }
}

#[test]
fn a_replay_over_other_data_says_so() {
    let record = |inputs, position| ExternalRecord {
        position,
        inputs,
        turn: 0,
        now_ns: 5,
        lane: Lane::Normal,
        kind: CommandKind::HOST,
        strategy: 0,
        payload: Box::default(),
    };
    // One strategy started at position 1, so tick 5 is at position 6.
    for (record, is_sound) in
        [(record(5, 7), true), (record(5, 8), false), (record(5, 6), false), (record(50, 51), false)]
    {
        let mut run = run_of(20, 8, &[Delivery::Ticks]);
        run.dispatcher.replay([record.clone()]);
        let expected =
            if is_sound { Outcome::End } else { Outcome::Failed(RunError::Diverged { position: record.position }) };
        assert_eq!(run.complete(), expected, "{record:?}");
    }
}

#[test]
fn pulled_runs_take_commands_between_two_pulls() {
    let mut run = run_of(300, 64, &[Delivery::Pull]);
    let sender = run.lanes();
    assert_eq!(run.dispatcher.start(), Outcome::Slice);
    let (mut pulled, mut after) = (0, Vec::new());
    loop {
        if run.dispatcher.pull_quiet(|_, _| ()).is_none() && run.dispatcher.pull_on().is_none() {
            let outcome =
                std::iter::repeat_with(|| run.dispatcher.advance()).find(|&outcome| outcome != Outcome::Slice);
            if outcome != Some(Outcome::Pulled) {
                assert_eq!(outcome, Some(Outcome::End));
                break;
            }
        }
        after.push(run.dispatcher.external_count());
        pulled += 1;
        if pulled % 50 == 0 {
            sender.push(Lane::Control, host_command(NO_STRATEGY, b"")).expect("room");
        }
    }
    run.dispatcher.finish();
    assert_eq!(pulled, 300);
    assert_eq!(after, (0..300).map(|pull| pull / 50).collect::<Vec<u64>>());
}
