//! Strategies on threads of their own: order, accounts, faults and the end, and that a recording of it runs again.

#![expect(clippy::disallowed_methods, reason = "handlers of a test are slow, and what takes too long is measured")]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tickrail_core::clock::LiveClock;
use tickrail_core::command::{ExternalRecord, LaneSettings};
use tickrail_core::dispatch::{
    BatchEdges, Delivery, Desk, Dispatcher, Kinds, LiveWait, NoHost, Outcome, RunSettings, Subscription, run_live,
};
use tickrail_core::feed::{FeedHub, FeedSettings};
use tickrail_core::handler::{Handler, HandlerError, Out, TimerRecord, UpdateRecord};
use tickrail_core::lane::{LaneCounts, LaneError, LanePolicy, LaneRules, Silent, allowed_processors};
use tickrail_core::lifecycle::State;
use tickrail_core::order::{Merge, MergeInput};
use tickrail_core::replay::{Recorder, Recording, Replay};
use tickrail_core::stop::{StopFlag, WaitStrategy, Waker};
use tickrail_core::tick::OrderBy;
use tickrail_core::venue::SimulatedVenue;
use tickrail_core::{InstrumentInfo, Tick, TickBlock};

/// What a handler saw, in its order.
#[derive(Clone, Debug, PartialEq)]
enum Saw {
    Tick(u64),
    Batch(Vec<u64>),
    Timer(i64),
    Update(u32, u8),
    Start,
    Stop,
}

type Act = Box<dyn FnMut(&Saw, &mut Out) -> Result<(), HandlerError> + Send>;

/// Notes what it sees, and does as it is told.
struct Scripted {
    saw: Arc<Mutex<Vec<Saw>>>,
    act: Act,
}

impl Scripted {
    fn see(&mut self, saw: Saw, out: &mut Out) -> Result<(), HandlerError> {
        self.saw.lock().unwrap().push(saw.clone());
        (self.act)(&saw, out)
    }
}

impl Handler for Scripted {
    fn on_tick(&mut self, tick: &Tick, out: &mut Out) -> Result<(), HandlerError> {
        self.see(Saw::Tick(tick.sequence), out)
    }

    fn on_batch(&mut self, ticks: &[Tick], out: &mut Out) -> Result<(), HandlerError> {
        self.see(Saw::Batch(ticks.iter().map(|tick| tick.sequence).collect()), out)
    }

    fn on_timer(&mut self, timer: &TimerRecord, out: &mut Out) -> Result<(), HandlerError> {
        self.see(Saw::Timer(timer.tag), out)
    }

    fn on_order_update(&mut self, update: &UpdateRecord, out: &mut Out) -> Result<(), HandlerError> {
        self.see(Saw::Update(update.order, update.status), out)
    }

    fn on_start(&mut self, out: &mut Out) -> Result<(), HandlerError> {
        self.see(Saw::Start, out)
    }

    fn on_stop(&mut self, out: &mut Out) -> Result<(), HandlerError> {
        self.see(Saw::Stop, out)
    }
}

/// Counts on the loop's thread: whoever has a lane must not harm it.
struct Neighbour(Rc<RefCell<u64>>);

impl Handler for Neighbour {
    fn on_tick(&mut self, _tick: &Tick, _out: &mut Out) -> Result<(), HandlerError> {
        *self.0.borrow_mut() += 1;
        Ok(())
    }
}

fn instruments() -> Vec<InstrumentInfo> {
    vec![InstrumentInfo::named("A.SIM"), InstrumentInfo::named("B.SIM")]
}

/// The price tells the number, so that a fill tells at which tick it was made.
fn quotes(range: std::ops::Range<u64>) -> Vec<Tick> {
    let quote = |number: u64| {
        let price = 1.0 + number as f64;
        Tick { sequence: number, ..Tick::quote(number as i64 + 1, 0, price, price, 1e9, 1e9) }
    };
    range.map(quote).collect()
}

fn subscription(delivery: Delivery) -> Subscription {
    Subscription { delivery, kinds: Kinds::ALL, instruments: None, order_updates: true }
}

struct Live {
    run: Dispatcher<NoHost>,
    hub: Arc<FeedHub>,
    stop: Arc<StopFlag>,
    saw: Arc<Mutex<Vec<Saw>>>,
    neighbour: Rc<RefCell<u64>>,
    externals: Rc<RefCell<Vec<ExternalRecord>>>,
    recorder: Recorder,
}

fn live(
    delivery: Delivery,
    rules: LaneRules,
    act: impl FnMut(&Saw, &mut Out) -> Result<(), HandlerError> + Send + 'static,
) -> Live {
    let (stop, hub) = (
        Arc::new(StopFlag::new()),
        FeedHub::new(Arc::new(LiveClock::new()), instruments().into(), Arc::new(Waker::new())),
    );
    let venue = Box::new(SimulatedVenue::new(vec![0.0; 2]));
    let arrivals = Box::new(hub.arrivals());
    let mut run =
        Dispatcher::new(RunSettings::default(), Desk::new(instruments()), arrivals, venue, Arc::clone(&stop), NoHost);
    let sender = run.open_lanes(LaneSettings::default(), Arc::clone(hub.waker())).unwrap();
    let (saw, neighbour, externals) = (Arc::default(), Rc::default(), Rc::<RefCell<Vec<ExternalRecord>>>::default());
    let handler = Scripted { saw: Arc::clone(&saw), act: Box::new(act) };
    let clock = Some(Arc::clone(hub.clock()));
    run.register_on_lane(&subscription(delivery), Box::new(handler), rules, sender, clock).unwrap();
    run.register_handler(&subscription(Delivery::Records), Box::new(Neighbour(Rc::clone(&neighbour))));
    let kept = Rc::clone(&externals);
    run.record_externals(Box::new(move |record| kept.borrow_mut().push(record)));
    let recorder = Recorder::new(run.observe(1 << 16, false).unwrap().unwrap(), usize::MAX);
    Live { run, hub, stop, saw, neighbour, externals, recorder }
}

impl Live {
    /// Publishes `count` quotes, `at_once` at a time with a pause of `pause` between, and runs to the end of that.
    fn drive(&mut self, count: u64, at_once: usize, pause: Duration) -> Outcome {
        let settings = FeedSettings { block_timeout: Duration::from_secs(60), ..FeedSettings::default() };
        let mut publisher = self.hub.publisher(&self.hub.open("quotes", settings).unwrap()).unwrap();
        self.hub.seal();
        let source = thread::spawn(move || {
            for some in quotes(0..count).chunks(at_once) {
                if publisher.publish(some, || true).is_err() {
                    return; // the run was stopped
                }
                thread::sleep(pause);
            }
        });
        let (wait, recorder) = (LiveWait::new(&self.hub, WaitStrategy::default()), &mut self.recorder);
        let outcome = run_live(&mut self.run, &wait, |_| {
            recorder.look();
            true
        });
        source.join().unwrap();
        outcome
    }

    fn counts(&self) -> LaneCounts {
        self.run.lanes()[0].1.counts()
    }

    /// A thread that stops the run once the lane has come so far, and says when it did.
    fn stop_when(&self, is_there: fn(&LaneCounts) -> bool) -> thread::JoinHandle<Instant> {
        let (stop, waker) = (Arc::clone(&self.stop), Arc::clone(self.hub.waker()));
        let meter = Arc::clone(&self.run.lanes()[0].1);
        thread::spawn(move || {
            while !is_there(&meter.counts()) {
                thread::sleep(Duration::from_millis(1));
            }
            stop.request_stop();
            waker.wake();
            Instant::now()
        })
    }

    fn seen_ticks(&self) -> Vec<u64> {
        let saw = self.saw.lock().unwrap();
        saw.iter().filter_map(|one| if let Saw::Tick(number) = one { Some(*number) } else { None }).collect()
    }

    fn recording(&mut self) -> Arc<Recording> {
        self.recorder.look();
        let recorder = std::mem::replace(&mut self.recorder, Recorder::new(unused(), 0));
        Arc::new(recorder.finish().unwrap())
    }

    /// The recording with what came from outside, run again: its digest, the lane's strategy being silent.
    fn again(&mut self, delivery: Delivery) -> Dispatcher<NoHost> {
        let source = Box::new(Replay::new(self.recording()));
        let venue = Box::new(SimulatedVenue::new(vec![0.0; 2]));
        let stop = Arc::new(StopFlag::new());
        let mut run = Dispatcher::new(RunSettings::default(), Desk::new(instruments()), source, venue, stop, NoHost);
        run.register_handler(&subscription(delivery), Box::new(Silent));
        run.register_handler(&subscription(Delivery::Records), Box::new(Neighbour(Rc::default())));
        run.replay(self.externals.borrow().iter().cloned());
        let mut outcome = run.start();
        while matches!(outcome, Outcome::Slice | Outcome::Idle) {
            outcome = run.advance();
        }
        run.finish();
        run
    }
}

fn unused() -> tickrail_core::ring::Observer {
    tickrail_core::ring::observer(2).unwrap().observer()
}

/// Orders now and then, timers, and more orders by those.
fn trades(saw: &Saw, out: &mut Out) -> Result<(), HandlerError> {
    match saw {
        Saw::Start => out.schedule_every(200_000, 7, 0),
        Saw::Tick(number) if number.is_multiple_of(50) => out.buy(0, 1.0),
        Saw::Timer(7) => out.sell(0, 1.0),
        _ => {}
    }
    Ok(())
}

#[test]
fn a_lane_sees_everything_in_order_trades_without_look_ahead_and_runs_again() {
    let rules = LaneRules { capacity_slots: 256, ..LaneRules::default() };
    let decided = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&decided);
    let mut live = live(Delivery::Records, rules, move |saw, out| {
        if let Saw::Tick(number) = saw {
            noted.lock().unwrap().push(*number);
        }
        trades(saw, out)
    });
    assert_eq!(live.drive(20_000, 100, Duration::from_micros(200)), Outcome::End);
    assert_eq!(live.seen_ticks(), (0..20_000).collect::<Vec<_>>());
    assert_eq!(*live.neighbour.borrow(), 20_000);
    let saw = live.saw.lock().unwrap().clone();
    assert_eq!((saw.first(), saw.last()), (Some(&Saw::Start), Some(&Saw::Stop)));
    assert!(saw.contains(&Saw::Timer(7)), "timers reach the lane");
    assert!(saw.iter().any(|one| matches!(one, Saw::Update(..))), "order updates reach the lane");
    let counts = live.counts();
    assert_eq!((counts.offered, counts.handled, counts.lost, counts.pending()), (20_000, 20_000, 0, 0));
    assert!(counts.asked > 400, "{counts:?}");

    // Buys are made at 0, 50, 100, ... and told apart by their side: each fills at a later tick than its own.
    let buys: Vec<u64> = live
        .run
        .fills()
        .iter()
        .filter(|fill| fill.side == tickrail_core::Side::Buy)
        .map(|fill| fill.price as u64 - 1)
        .collect();
    assert!(buys.len() > 300, "{}", buys.len());
    assert!(buys.iter().enumerate().all(|(number, &filled)| filled > 50 * number as u64), "a fill before its decision");

    let again = live.again(Delivery::Records);
    assert_eq!(again.fills(), live.run.fills());
    assert_eq!(again.digest(), live.run.digest());
}

#[test]
fn batches_keep_their_edges_on_a_lane() {
    let delivery = Delivery::Batches(BatchEdges { max_ticks: 64, window_ns: 0 });
    let mut live = live(delivery, LaneRules::default(), |saw, out| {
        if let Saw::Batch(numbers) = saw
            && numbers.contains(&100)
        {
            out.buy(0, 2.0);
        }
        Ok(())
    });
    assert_eq!(live.drive(1_000, 1_000, Duration::ZERO), Outcome::End);
    let saw = live.saw.lock().unwrap().clone();
    let batches: Vec<&Vec<u64>> =
        saw.iter().filter_map(|one| if let Saw::Batch(numbers) = one { Some(numbers) } else { None }).collect();
    assert_eq!(batches.iter().copied().flatten().copied().collect::<Vec<_>>(), (0..1_000).collect::<Vec<_>>());
    assert_eq!(batches[0].len(), 64);
    assert_eq!(live.again(delivery).digest(), live.run.digest());
}

#[test]
fn a_lossy_lane_keeps_nobody_waiting_and_counts_what_it_lost() {
    let rules = LaneRules { policy: LanePolicy::Lossy, capacity_slots: 64, ..LaneRules::default() };
    let mut live = live(Delivery::Records, rules, |saw, _| {
        if matches!(saw, Saw::Tick(number) if number.is_multiple_of(10)) {
            thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    });
    assert_eq!(live.drive(50_000, 1_000, Duration::ZERO), Outcome::End);
    assert_eq!(*live.neighbour.borrow(), 50_000);
    let (counts, seen) = (live.counts(), live.seen_ticks());
    assert!(seen.is_sorted_by(|a, b| a < b), "never out of order, never twice");
    assert_eq!(counts.handled, seen.len() as u64);
    assert_eq!(counts.offered, 50_000);
    assert_eq!(counts.handled + counts.lost, 50_000, "{counts:?}");
    assert!(counts.lost > 1_000 && counts.gaps > 0 && counts.waits == 0, "{counts:?}");
    assert_eq!(live.again(Delivery::Records).digest(), live.run.digest());
}

#[test]
fn a_gating_lane_makes_the_loop_wait_and_loses_nothing() {
    let rules = LaneRules { capacity_slots: 2, ..LaneRules::default() };
    let mut live = live(Delivery::Records, rules, |saw, _| {
        if matches!(saw, Saw::Tick(number) if number.is_multiple_of(500)) {
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    });
    assert_eq!(live.drive(5_000, 500, Duration::ZERO), Outcome::End);
    let counts = live.counts();
    assert_eq!((counts.handled, counts.lost), (5_000, 0));
    assert!(counts.waits > 0, "{counts:?}");
}

#[test]
fn a_handler_that_fails_or_panics_fails_its_strategy_alone_with_the_tick() {
    for panics in [false, true] {
        let mut live = live(Delivery::Records, LaneRules::default(), move |saw, out| match saw {
            // Without the hook: the names of a stack are put together in longer than a run waits for its lanes at its end.
            Saw::Tick(300) if panics => std::panic::resume_unwind(Box::new("of course")),
            Saw::Tick(300) => Err(HandlerError::Failed("of course".to_owned())),
            Saw::Tick(299) => {
                out.buy(0, 1.0);
                Ok(())
            }
            _ => Ok(()),
        });
        assert_eq!(live.drive(10_000, 100, Duration::from_micros(100)), Outcome::End);
        assert_eq!(*live.neighbour.borrow(), 10_000);
        let errors = live.run.errors();
        assert_eq!(errors.len(), 1);
        assert_eq!((errors[0].strategy, errors[0].handler), (0, "on_tick"));
        assert_eq!(errors[0].input.map(|tick| tick.sequence), Some(300));
        let said = errors[0].failure.as_ref().unwrap().to_string();
        assert_eq!(said, if panics { "the handler panicked: of course" } else { "of course" });
        assert_eq!(live.run.accounts()[0].state, State::Failed);
        assert_eq!(live.seen_ticks(), (0..=300).collect::<Vec<_>>());
        assert_eq!(live.counts().asked, 1, "what it asked for before went out");
        let again = live.again(Delivery::Records);
        assert_eq!(again.errors()[0].input.map(|tick| tick.sequence), Some(300));
        assert_eq!(again.digest(), live.run.digest());
    }
}

#[test]
fn what_is_refused_fails_the_strategy_with_the_tick_that_asked() {
    let mut live = live(Delivery::Records, LaneRules::default(), |saw, out| {
        if *saw == Saw::Tick(40) {
            out.buy(9, 1.0);
        }
        Ok(())
    });
    live.drive(200, 10, Duration::from_micros(100));
    let errors = live.run.errors();
    assert_eq!((errors.len(), errors[0].input.map(|tick| tick.sequence)), (1, Some(40)));
    assert!(errors[0].failure.as_ref().unwrap().to_string().contains("instrument number 9"));
}

/// Is in a call that does not return until it is let go.
fn stuck(at: u64) -> (Arc<AtomicBool>, impl FnMut(&Saw, &mut Out) -> Result<(), HandlerError> + Send + 'static) {
    let free = Arc::new(AtomicBool::new(false));
    let waits = Arc::clone(&free);
    let act = move |saw: &Saw, _: &mut Out| {
        while *saw == Saw::Tick(at) && !waits.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    };
    (free, act)
}

#[test]
fn a_gating_lane_that_stands_still_fails_and_the_others_go_on() {
    let timeout = Duration::from_millis(150);
    let rules = LaneRules { capacity_slots: 64, timeout, ..LaneRules::default() };
    let (free, act) = stuck(10);
    let mut live = live(Delivery::Records, rules, act);
    let began = Instant::now();
    assert_eq!(live.drive(5_000, 500, Duration::ZERO), Outcome::End);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(*live.neighbour.borrow(), 5_000);
    let said = live.run.errors()[0].failure.as_ref().unwrap().to_string();
    assert!(said.contains("made no room for 0.15 s"), "{said}");
    assert_eq!(live.run.accounts()[0].state, State::Failed);
    assert_eq!(live.again(Delivery::Records).digest(), live.run.digest());
    free.store(true, Ordering::Relaxed);
}

#[test]
fn a_stop_is_bounded_whatever_the_lane_does() {
    let (free, act) = stuck(10);
    let mut live = live(Delivery::Records, LaneRules::default(), act);
    let stopper = live.stop_when(|counts| counts.handled >= 10 && counts.offered >= 100);
    assert_eq!(live.drive(50_000, 100, Duration::from_millis(1)), Outcome::Stopped);
    let took = stopper.join().unwrap().elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    let counts = live.counts();
    assert!(counts.is_abandoned && counts.pending() > 0, "{counts:?}");
    free.store(true, Ordering::Relaxed);
}

#[test]
fn a_stop_leaves_what_waits_and_still_tells_the_lane() {
    let mut live = live(Delivery::Records, LaneRules { capacity_slots: 1 << 14, ..LaneRules::default() }, |saw, _| {
        if matches!(saw, Saw::Tick(_)) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    });
    let stopper = live.stop_when(|counts| counts.handled >= 1 && counts.offered >= 5_000);
    assert_eq!(live.drive(50_000, 1_000, Duration::from_millis(10)), Outcome::Stopped);
    let took = stopper.join().unwrap().elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(live.saw.lock().unwrap().last(), Some(&Saw::Stop));
    let counts = live.counts();
    assert!(!counts.is_abandoned && counts.pending() > 0, "{counts:?}");
}

#[test]
fn a_lane_is_kept_on_its_processor() {
    let allowed = allowed_processors();
    let Some(&wanted) = allowed.last() else { return };
    let found = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&found);
    let rules = LaneRules { processor: Some(wanted), ..LaneRules::default() };
    let mut live = live(Delivery::Records, rules, move |_, _| {
        *noted.lock().unwrap() = allowed_processors();
        Ok(())
    });
    live.drive(10, 10, Duration::ZERO);
    assert_eq!(*found.lock().unwrap(), [wanted]);
    assert_eq!(allowed_processors(), allowed, "the loop's thread is left alone");
}

#[test]
fn a_lane_that_cannot_be_is_refused_and_a_backtest_has_none() {
    let block = TickBlock::from_vec(quotes(0..100));
    let merge = Merge::new(vec![MergeInput { block, feed: 0, instruments: None }], OrderBy::TsEvent).unwrap();
    let venue = Box::new(SimulatedVenue::new(vec![0.0; 2]));
    let stop = Arc::new(StopFlag::new());
    let mut run =
        Dispatcher::new(RunSettings::default(), Desk::new(instruments()), Box::new(merge), venue, stop, NoHost);
    let sender = run.open_lanes(LaneSettings::default(), Arc::new(Waker::new())).unwrap();
    let here = thread::current().id();
    let threads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&threads);
    let act: Act = Box::new(move |_, _| {
        noted.lock().unwrap().push(thread::current().id());
        Ok(())
    });
    let handler = Box::new(Scripted { saw: Arc::default(), act });
    run.register_on_lane(&subscription(Delivery::Records), handler, LaneRules::default(), sender, None).unwrap();
    let mut outcome = run.start();
    while matches!(outcome, Outcome::Slice | Outcome::Idle) {
        outcome = run.advance();
    }
    run.finish();
    assert!(threads.lock().unwrap().iter().all(|&thread| thread == here));
    assert!(run.lanes().is_empty());

    let mut live = live(Delivery::Records, LaneRules::default(), |_, _| Ok(()));
    let sender = live.run.open_lanes(LaneSettings::default(), Arc::new(Waker::new())).unwrap();
    for (rules, said) in [
        (LaneRules { processor: Some(100_000), ..LaneRules::default() }, "processor 100000 cannot be had"),
        (LaneRules { capacity_slots: 3, ..LaneRules::default() }, "power of two"),
    ] {
        let refused: LaneError = live
            .run
            .register_on_lane(&subscription(Delivery::Records), Box::new(Silent), rules, sender.clone(), None)
            .unwrap_err();
        assert!(refused.to_string().contains(said), "{refused}");
    }
}
