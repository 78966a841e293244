//! The loop by arrival: order, clock, timers, waiting, ending, and that a recording of it runs again.

#![expect(clippy::disallowed_methods, reason = "feeds of a test have pauses")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use tickrail_core::clock::{LiveClock, Moment};
use tickrail_core::command::{Command, CommandKind, ExternalRecord, Handled, Lane, LaneSettings};
use tickrail_core::digest::DigestMode;
use tickrail_core::dispatch::{
    BatchEdges, Delivery, Desk, Dispatcher, Fault, Hook, Host, Kinds, LiveWait, Outcome, RunSettings, Subscription,
    run_live,
};
use tickrail_core::feed::{FeedHub, FeedSettings, Publisher};
use tickrail_core::handler::HandlerError;
use tickrail_core::lifecycle::{Ask, Cause, Operation, State};
use tickrail_core::replay::{Entry, Mark, Recorder, Recording, Replay};
use tickrail_core::source::Source;
use tickrail_core::stop::{StopFlag, WaitStrategy, Waker};
use tickrail_core::timer::{Fired, Schedule};
use tickrail_core::venue::{OrderUpdate, SimulatedVenue};
use tickrail_core::{InstrumentInfo, Kind, Side, Tick, TickBlock};

const INSTRUMENTS: usize = 3;

/// What a strategy is called with, and at what time.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    Start,
    Tick(Tick),
    Batch(Vec<Tick>),
    Timer(u32),
    Command(Vec<u8>),
    Stop,
}

type Log = Rc<RefCell<Vec<(Call, i64)>>>;
type Act = Box<dyn FnMut(&Call, &Desk)>;

struct Scripted {
    desk: Rc<Desk>,
    log: Log,
    act: Act,
}

impl Scripted {
    fn call(&mut self, call: Call) -> Result<(), Fault<String>> {
        (self.act)(&call, &self.desk);
        self.log.borrow_mut().push((call, self.desk.now_ns()));
        Ok(())
    }
}

impl Host for Scripted {
    type Failure = String;

    fn present(&mut self, _tick: &Tick) -> Result<(), String> {
        Ok(())
    }

    fn tick(&mut self, _strategy: u32, tick: &Tick) -> Result<(), Fault<String>> {
        self.call(Call::Tick(*tick))
    }

    fn batch(&mut self, _strategy: u32, batch: TickBlock) -> Result<(), Fault<String>> {
        self.call(Call::Batch(batch.as_slice().to_vec()))
    }

    fn timer(&mut self, _strategy: u32, fired: &Fired) -> Result<(), Fault<String>> {
        self.call(Call::Timer(fired.number))
    }

    fn order_update(&mut self, _strategy: u32, _update: &OrderUpdate) -> Result<(), Fault<String>> {
        Ok(())
    }

    fn external(&mut self, command: Command, _handled: Handled) -> Result<(), Fault<String>> {
        self.call(Call::Command(command.payload.to_vec()))
    }

    fn handler_failure(&self, _strategy: u32, error: HandlerError) -> String {
        error.to_string()
    }

    fn hook(&mut self, _strategy: u32, hook: Hook) -> Result<(), Fault<String>> {
        self.call(if hook == Hook::Start { Call::Start } else { Call::Stop })
    }
}

struct Live {
    hub: Arc<FeedHub>,
    stop: Arc<StopFlag>,
    run: Dispatcher<Scripted>,
    log: Log,
}

fn instruments() -> Vec<InstrumentInfo> {
    (0..INSTRUMENTS).map(|number| InstrumentInfo::named(format!("I{number}.SIM"))).collect()
}

fn build(
    source: Box<dyn Source>,
    digest: DigestMode,
    delivery: Delivery,
    act: impl FnMut(&Call, &Desk) + 'static,
) -> (Dispatcher<Scripted>, Arc<StopFlag>, Log) {
    let (desk, stop, log) = (Desk::new(instruments()), Arc::new(StopFlag::new()), Log::default());
    let host = Scripted { desk: Rc::clone(&desk), log: Rc::clone(&log), act: Box::new(act) };
    let venue = Box::new(SimulatedVenue::new(vec![0.0; INSTRUMENTS]));
    let settings = RunSettings { digest, slice_ticks: 256, ..RunSettings::default() };
    let mut run = Dispatcher::new(settings, desk, source, venue, Arc::clone(&stop), host);
    run.register(&Subscription { delivery, kinds: Kinds::ALL, instruments: None, order_updates: false });
    (run, stop, log)
}

fn live(delivery: Delivery, act: impl FnMut(&Call, &Desk) + 'static) -> Live {
    live_by(LiveClock::new(), delivery, act)
}

fn live_by(clock: LiveClock, delivery: Delivery, act: impl FnMut(&Call, &Desk) + 'static) -> Live {
    let hub = FeedHub::new(Arc::new(clock), instruments().into(), Arc::new(Waker::new()));
    let (run, stop, log) = build(Box::new(hub.arrivals()), DigestMode::Events, delivery, act);
    Live { hub, stop, run, log }
}

impl Live {
    fn publisher(&self, name: &str) -> Publisher {
        let settings = FeedSettings { block_timeout: Duration::from_secs(60), ..FeedSettings::default() };
        self.hub.publisher(&self.hub.open(name, settings).unwrap()).unwrap()
    }

    fn drive(&mut self) -> Outcome {
        run_live(&mut self.run, &LiveWait::new(&self.hub, WaitStrategy::default()), |_| true)
    }

    fn calls(&self) -> Vec<Call> {
        self.log.borrow().iter().map(|(call, _)| call.clone()).collect()
    }

    fn ticks(&self) -> Vec<u64> {
        self.calls()
            .iter()
            .filter_map(|call| if let Call::Tick(tick) = call { Some(tick.sequence) } else { None })
            .collect()
    }
}

fn quote(number: u64, instrument: u32) -> Tick {
    let price = 1.0 + number as f64 / 1_000.0;
    Tick { sequence: number, ..Tick::quote(number as i64 + 1, instrument, price, price, 1.0, 1.0) }
}

fn quotes(range: std::ops::Range<u64>, instrument: u32) -> Vec<Tick> {
    range.map(|number| quote(number, instrument)).collect()
}

#[test]
fn records_are_taken_by_arrival_in_turn_and_the_clock_never_runs_backwards() {
    let mut live = live(Delivery::Ticks, |_, _| {});
    let (mut early, mut late) = (live.publisher("early"), live.publisher("late"));
    // Times that a merge would put the other way round: they do not matter here.
    late.publish(&quotes(500..900, 1), || true).unwrap();
    early.publish(&quotes(0..400, 0), || true).unwrap();
    live.hub.seal();
    drop((early, late));
    assert_eq!(live.drive(), Outcome::End);
    let expected: Vec<u64> = (0..256).chain(500..756).chain(256..400).chain(756..900).collect();
    assert_eq!(live.ticks(), expected);
    let times: Vec<i64> = live.log.borrow().iter().map(|(_, now_ns)| *now_ns).collect();
    assert!(times.is_sorted() && times[0] > 1_700_000_000_000_000_000);
    assert!(!live.run.digest().is_empty());
}

/// The steady clock of a machine that sleeps. Relaxed, of one thread.
static STEADY_NS: AtomicI64 = AtomicI64::new(0);

#[test]
fn a_machine_that_slept_finds_its_timers_due_once_each_its_feeds_silent_and_no_burst() {
    const MS: i64 = 1_000_000;
    const HOUR: i64 = 3_600_000 * MS;
    let clock = LiveClock::by(|| HOUR, || Moment::at_ns(STEADY_NS.load(Ordering::Relaxed)));
    let mut live = live_by(clock, Delivery::Ticks, |call, desk| {
        if *call == Call::Start {
            desk.schedule(0, &Schedule::every(10 * MS)).unwrap();
            desk.schedule(0, &Schedule::every(15 * MS)).unwrap();
        }
    });
    let settings = FeedSettings { stale_after_ns: 1_000 * MS, rate_limit: 100, ..FeedSettings::default() };
    let feed = live.hub.open("limited", settings).unwrap();
    let mut publisher = live.hub.publisher(&feed).unwrap();
    let mut outcome = live.run.start();
    let mut until_idle = |live: &mut Live| {
        loop {
            outcome = live.run.advance();
            if outcome == Outcome::Idle {
                return live.calls();
            }
            assert_eq!(outcome, Outcome::Slice);
        }
    };
    publisher.publish(&[quote(0, 1)], || true).unwrap();
    STEADY_NS.store(16 * MS, Ordering::Relaxed);
    assert_eq!(until_idle(&mut live), [Call::Start, Call::Timer(1), Call::Timer(2), live.calls()[3].clone()]);
    assert_eq!(live.ticks(), [0]);
    STEADY_NS.fetch_add(HOUR, Ordering::Relaxed);
    let after = until_idle(&mut live)[4..].to_vec();
    assert_eq!(after[..2], [Call::Timer(1), Call::Timer(2)], "one firing each, in order");
    let stale =
        |call: &Call| matches!(call, Call::Tick(tick) if tick.kind == Kind::Stale as u8 && tick.instrument == 1);
    assert!(after.len() == 3 && stale(&after[2]), "{after:?}");
    assert!(publisher.publish(&quotes(1..1_000, 1), || true).is_ok());
    let came = until_idle(&mut live).len() - 7;
    assert!((1..=11).contains(&came), "a burst of a tenth of a second's: {came}");
}

#[test]
fn a_timer_is_never_early_fires_where_nothing_arrives_and_shortens_slices() {
    const WAIT_NS: i64 = 3_000_000;
    let mut live = live(Delivery::Ticks, |call, desk| {
        if *call == Call::Start {
            desk.schedule(0, &Schedule::at(desk.now_ns() + WAIT_NS)).unwrap();
            desk.schedule(0, &Schedule::at(i64::MAX - 1)).unwrap();
        }
    });
    let mut publishers = [live.publisher("a"), live.publisher("b")];
    let closer = thread::spawn({
        let hub = Arc::clone(&live.hub);
        move || {
            hub.seal();
            thread::sleep(Duration::from_millis(30));
            for (publisher, from) in publishers.iter_mut().zip([0, 1_000]) {
                publisher.publish(&quotes(from..from + 100, 0), || true).unwrap();
            }
        }
    });
    assert_eq!(live.drive(), Outcome::End);
    closer.join().unwrap();
    let log = live.log.borrow();
    assert_eq!(log[1].0, Call::Timer(1), "nothing had arrived before");
    assert!(log[1].1 >= log[0].1 + WAIT_NS, "never early");
    drop(log);
    // The other timer is still pending: slices of 64, so that it would not have to wait for 200 records. Which of the two
    // publishers is seen first, and when, is theirs.
    let ticks = live.ticks();
    let of_b = ticks.iter().position(|&number| number >= 1_000).unwrap();
    assert_eq!(ticks.len(), 200);
    assert!(of_b == 64 || of_b == 100, "{of_b}");
}

#[test]
fn a_stop_ends_a_wait_and_marks_the_run() {
    let mut waiting = live(Delivery::Ticks, |_, _| {});
    let publisher = waiting.publisher("quiet");
    let stopper = thread::spawn({
        let (stop, waker) = (Arc::clone(&waiting.stop), Arc::clone(waiting.hub.waker()));
        move || {
            thread::sleep(Duration::from_millis(20));
            stop.request_stop();
            waker.wake();
        }
    });
    assert_eq!(waiting.drive(), Outcome::Stopped);
    stopper.join().unwrap();
    assert_eq!(waiting.calls(), [Call::Start, Call::Stop]);
    drop(publisher);

    let mut ended = live(Delivery::Ticks, |_, _| {});
    ended.hub.seal();
    assert_eq!(ended.drive(), Outcome::End);
    assert_ne!(waiting.run.digest(), ended.run.digest(), "a run that was stopped is marked");
}

#[test]
fn a_batch_waits_for_its_edge_only_as_long_as_something_arrives() {
    let mut live = live(Delivery::Batches(BatchEdges { max_ticks: 150, window_ns: 0 }), |_, _| {});
    let mut publisher = live.publisher("a");
    let feeder = thread::spawn({
        let hub = Arc::clone(&live.hub);
        move || {
            publisher.publish(&quotes(0..200, 0), || true).unwrap();
            hub.seal();
            thread::sleep(Duration::from_millis(30));
            publisher.publish(&quotes(200..210, 0), || true).unwrap();
        }
    });
    assert_eq!(live.drive(), Outcome::End);
    feeder.join().unwrap();
    let sizes: Vec<usize> = live
        .calls()
        .iter()
        .filter_map(|call| if let Call::Batch(ticks) = call { Some(ticks.len()) } else { None })
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 210);
    assert!(sizes.iter().all(|&size| size <= 150) && sizes.len() >= 2, "{sizes:?}");
}

/// Decides by what it sees and when: orders by price, timers by the clock.
fn decisions() -> impl FnMut(&Call, &Desk) + 'static {
    let mut seen = 0_u64;
    move |call, desk| match call {
        Call::Tick(tick) => {
            seen += 1;
            if tick.sequence.is_multiple_of(7) {
                let side = if desk.now_ns() % 2 == 0 { Side::Buy } else { Side::Sell };
                desk.order(0, tick.instrument, side, 1.0 + (seen % 5) as f64).unwrap();
            }
            if seen.is_multiple_of(50) {
                desk.schedule(0, &Schedule::at(desk.now_ns() + 100_000)).unwrap();
            }
            if seen.is_multiple_of(90) {
                desk.schedule(0, &Schedule::at(desk.now_ns())).unwrap();
            }
        }
        Call::Timer(_) => {
            desk.order(0, 1, Side::Buy, (1 + desk.now_ns() % 9) as f64).unwrap();
        }
        _ => {}
    }
}

/// Runs `live` with two publishers in threads of their own, and records it.
fn recorded(live: &mut Live) -> (Outcome, Recording) {
    let observer = live.run.observe(1 << 12, true).unwrap().unwrap();
    let recorder = thread::spawn(move || {
        let mut recorder = Recorder::new(observer, usize::MAX);
        while !recorder.is_done() {
            if recorder.look() == 0 {
                thread::yield_now();
            }
        }
        recorder.finish()
    });
    let publishers: Vec<_> = (0..2)
        .map(|number| {
            let mut publisher = live.publisher(["a", "b"][number as usize]);
            thread::spawn(move || {
                for from in (0..20_000).step_by(40) {
                    let batch = quotes(from..from + 40, number);
                    if publisher.publish(&batch, || true).is_err() {
                        return;
                    }
                    if from % 4_000 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            })
        })
        .collect();
    live.hub.seal();
    let outcome = live.drive();
    live.hub.close();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    (outcome, recorder.join().unwrap().unwrap())
}

fn replayed(recording: Recording, digest: DigestMode, delivery: Delivery) -> (Outcome, Dispatcher<Scripted>, Log) {
    let source = Box::new(Replay::new(Arc::new(recording)));
    let (mut run, _, log) = build(source, digest, delivery, decisions());
    let mut outcome = run.start();
    while matches!(outcome, Outcome::Slice | Outcome::Idle) {
        outcome = run.advance();
    }
    run.finish();
    (outcome, run, log)
}

#[test]
fn a_recording_of_a_live_run_gives_the_same_calls_at_the_same_times_and_the_same_digest() {
    for delivery in [Delivery::Ticks, Delivery::Batches(BatchEdges { max_ticks: 77, window_ns: 500_000 })] {
        let mut live = live(delivery, decisions());
        let (outcome, recording) = recorded(&mut live);
        assert_eq!((outcome, recording.is_complete(), recording.ticks().len()), (Outcome::End, true, 40_000));
        let publisher_of =
            |entry: &Entry| if let Mark::Taken { publisher, .. } = entry.mark { Some(publisher) } else { None };
        let publishers: BTreeSet<u32> = recording.entries().filter_map(publisher_of).collect();
        assert_eq!(publishers, BTreeSet::from([0, 1]));
        assert!(recording.entries().zip(recording.entries().skip(1)).all(|(a, b)| a.now_ns <= b.now_ns));

        let again = Recording::from_records(&recording.to_records()).unwrap();
        let (outcome, run, log) = replayed(again, DigestMode::Events, delivery);
        assert_eq!(outcome, Outcome::End);
        assert_eq!(*log.borrow(), *live.log.borrow());
        assert_eq!((run.digest(), run.event_count()), (live.run.digest(), live.run.event_count()));
        assert_eq!(run.fills(), live.run.fills());
        assert!(delivery != Delivery::Ticks || run.fills().len() > 100);
    }
}

#[test]
fn a_run_that_was_stopped_within_a_slice_is_cut_there_when_it_runs_again() {
    for stop_after in [0, 1, 1_000, 7_777] {
        let (stop, mut decide, mut calls) = (Rc::new(RefCell::new(None::<Arc<StopFlag>>)), decisions(), 0);
        let flag = Rc::clone(&stop);
        let mut stopped = live(Delivery::Ticks, move |call, desk| {
            decide(call, desk);
            calls += u64::from(*call != Call::Start);
            if calls > stop_after {
                flag.borrow().as_ref().unwrap().request_stop();
            }
        });
        *stop.borrow_mut() = Some(Arc::clone(&stopped.stop));
        let (outcome, recording) = recorded(&mut stopped);
        assert_eq!((outcome, recording.is_complete()), (Outcome::Stopped, false));
        assert_eq!(recording.ticks().len() as u64, stopped.run.input_count());
        let (outcome, run, log) = replayed(recording, DigestMode::Events, Delivery::Ticks);
        assert_eq!(outcome, Outcome::Stopped);
        assert_eq!(*log.borrow(), *stopped.log.borrow());
        assert_eq!(run.digest(), stopped.run.digest());
    }
}

#[test]
fn records_that_are_no_recording_are_refused() {
    let entry = |mark, now_ns| Entry { mark, position: 0, now_ns }.to_record();
    let end = Mark::End { taken: u32::MAX, is_complete: true };
    let taken = Mark::Taken { feed: 0, publisher: 0, count: 2, waiting: 2 };
    let start = entry(Mark::Start, 5);
    let good = [start, entry(taken, 6), quote(1, 0), quote(2, 0), entry(end, 7)];
    assert_eq!(Recording::from_records(&good).unwrap().ticks().len(), 2);
    let bad: [&[Tick]; 8] = [
        &[],
        &good[..4],
        &good[1..],
        &[start, start, entry(end, 7)],
        &[start, entry(taken, 6), quote(1, 0), entry(end, 7)],
        &[start, quote(1, 0), entry(end, 7)],
        &[start, entry(end, 4)],
        &[start, entry(end, 7), quote(1, 0)],
    ];
    for records in bad {
        assert!(Recording::from_records(records).is_err(), "{records:?}");
    }
}

/// Orders from commands and timers, so that their times and places show in the digest.
fn trade(call: &Call, desk: &Desk) {
    match call {
        Call::Command(payload) => {
            desk.order(0, 0, Side::Buy, f64::from(payload[0]) + 1.0).unwrap();
            desk.schedule(0, &Schedule::after(300_000)).unwrap();
        }
        Call::Timer(_) => drop(desk.order(0, 1, Side::Sell, 1.0).unwrap()),
        _ => {}
    }
}

/// The same where each command, within its step, asks of its strategy's life.
fn trade_and_pause(call: &Call, desk: &Desk) {
    trade(call, desk);
    if matches!(call, Call::Command(_)) {
        let operation = if desk.state(0) == State::Running { Operation::Pause } else { Operation::Resume };
        desk.inbox().ask_from(0, Ask::new(operation), Cause::Borrowed("a command"), true).unwrap();
    }
}

#[test]
fn commands_are_taken_while_nothing_arrives_and_among_ticks_and_run_again() {
    type Acts = fn(&Call, &Desk);
    let forms = [Delivery::Ticks, Delivery::Batches(BatchEdges { max_ticks: 7, window_ns: 0 })];
    for (delivery, act) in forms.into_iter().flat_map(|form| [(form, trade as Acts), (form, trade_and_pause)]) {
        let mut live = live(delivery, act);
        let sender = live.run.open_lanes(LaneSettings::default(), Arc::clone(live.hub.waker())).unwrap();
        let records: Rc<RefCell<Vec<ExternalRecord>>> = Rc::default();
        let kept = Rc::clone(&records);
        live.run.record_externals(Box::new(move |record| kept.borrow_mut().push(record)));
        let mut recorder = Recorder::new(live.run.observe(1 << 16, true).unwrap().unwrap(), usize::MAX);
        let (mut publisher, hub) = (live.publisher("quotes"), Arc::clone(&live.hub));
        let outside = thread::spawn(move || {
            for round in 0..100_u8 {
                if round % 3 == 0 {
                    thread::sleep(Duration::from_micros(500));
                }
                let lane = Lane::ALL[usize::from(round % 3)];
                sender.push(lane, Command::new(CommandKind::HOST, 0, [round])).unwrap();
                let quotes = [Tick::quote(1_700_000_000_000_000_000, 0, 1.0, 1.1, 1.0, 1.0); 20];
                publisher.publish(&quotes[..usize::from(round % 20)], || true).unwrap();
            }
            while sender.stats().iter().any(|lane| lane.pending > 0) {
                thread::yield_now();
            }
            drop(publisher);
            hub.seal();
        });
        assert_eq!(live.drive(), Outcome::End);
        outside.join().unwrap();
        recorder.look();
        let recording = Arc::new(recorder.finish().unwrap());
        assert_eq!(records.borrow().len(), 100);

        let (mut again, _, log) = build(Box::new(Replay::new(recording)), DigestMode::Events, delivery, act);
        again.replay(records.borrow().iter().cloned());
        let mut outcome = again.start();
        while matches!(outcome, Outcome::Slice | Outcome::Idle) {
            outcome = again.advance();
        }
        again.finish();
        assert_eq!(outcome, Outcome::End);
        assert_eq!(*log.borrow(), *live.log.borrow());
        assert_eq!(again.digest(), live.run.digest());
    }
}
