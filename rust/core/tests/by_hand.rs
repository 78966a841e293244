//! A simulation by hand: wherever it is cut, and whether by time or by step, it comes to the same.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;
use tickrail_core::digest::DigestMode;
use tickrail_core::dispatch::{
    BatchEdges, Delivery, Desk, Dispatcher, Kinds, NoHost, Outcome, RunSettings, Step, Subscription,
};
use tickrail_core::handler::{Handler, HandlerError, Out, TimerRecord, UpdateRecord};
use tickrail_core::order::{Merge, MergeInput};
use tickrail_core::stop::StopFlag;
use tickrail_core::tick::OrderBy;
use tickrail_core::venue::SimulatedVenue;
use tickrail_core::{InstrumentInfo, Tick, TickBlock};

/// What was called, with which time of the input.
type Log = Rc<RefCell<Vec<(char, i64)>>>;

/// Sets timers, also for the present, and trades; decides by how often it was called.
struct Busy {
    log: Log,
    calls: u64,
}

impl Busy {
    fn act(&mut self, what: char, ts_ns: i64, out: &mut Out) -> Result<(), HandlerError> {
        self.log.borrow_mut().push((what, ts_ns));
        self.calls += 1;
        match self.calls % 7 {
            0 => out.target(0, (self.calls % 3) as f64),
            1 => out.schedule_at(ts_ns + 1_500, 1),
            3 => out.schedule_at(ts_ns, 2),
            5 if self.calls < 50 => out.schedule_every(3_000, 3, 0),
            6 if self.calls.is_multiple_of(5) => out.cancel_timer(3),
            _ => {}
        }
        Ok(())
    }
}

impl Handler for Busy {
    fn on_start(&mut self, out: &mut Out) -> Result<(), HandlerError> {
        self.act('s', 0, out)
    }

    fn on_tick(&mut self, tick: &Tick, out: &mut Out) -> Result<(), HandlerError> {
        self.act('t', tick.ts_event, out)
    }

    fn on_batch(&mut self, ticks: &[Tick], _out: &mut Out) -> Result<(), HandlerError> {
        // Sets no timers: by the clock of a batch, which a cut may move, they would be other ones.
        self.log.borrow_mut().extend(ticks.iter().map(|tick| ('b', tick.ts_event)));
        Ok(())
    }

    fn on_timer(&mut self, timer: &TimerRecord, out: &mut Out) -> Result<(), HandlerError> {
        self.act('c', timer.ts_ns, out)
    }

    fn on_order_update(&mut self, update: &UpdateRecord, out: &mut Out) -> Result<(), HandlerError> {
        self.act('o', i64::from(update.order), out)
    }
}

fn run_of(times: &[i64], slice_ticks: usize, delivery: Delivery) -> (Dispatcher<NoHost>, Log) {
    let (desk, log) = (Desk::new(vec![InstrumentInfo::named("I.SIM")]), Log::default());
    let ticks = times.iter().map(|&time| Tick::quote(time, 0, 1.0, 2.0, 1.0, 1.0)).collect();
    let input = MergeInput { block: TickBlock::from_vec(ticks), feed: 0, instruments: None };
    let feeds = if times.is_empty() { Vec::new() } else { vec![input] };
    let source = Box::new(Merge::new(feeds, OrderBy::TsEvent).expect("one feed"));
    let settings = RunSettings { slice_ticks, digest: DigestMode::Full, ..RunSettings::default() };
    let venue = Box::new(SimulatedVenue::new(vec![0.0]));
    let mut run = Dispatcher::new(settings, desk, source, venue, Arc::new(StopFlag::new()), NoHost);
    for delivery in [delivery, Delivery::Records] {
        let subscription = Subscription { delivery, kinds: Kinds::ALL, instruments: None, order_updates: true };
        run.register_handler(&subscription, Box::new(Busy { log: Rc::clone(&log), calls: 0 }));
    }
    assert_eq!(run.start(), Outcome::Slice);
    (run, log)
}

fn up_to(run: &mut Dispatcher<NoHost>, until_ns: i64) {
    let outcome = (0..1_000_000).map(|_| run.advance_until(until_ns)).find(|&outcome| outcome != Outcome::Slice);
    assert_eq!(outcome, Some(Outcome::Reached));
}

fn to_the_end(run: &mut Dispatcher<NoHost>) {
    while run.advance() == Outcome::Slice {}
    run.finish();
}

#[test]
fn up_to_a_time_means_everything_of_that_time_and_the_clock_stands_there() {
    let (mut run, log) = run_of(&[1_000, 2_000, 2_000, 9_000], 2, Delivery::Records);
    up_to(&mut run, 1_999);
    assert_eq!((run.input_count(), run.desk().now_ns()), (1, 1_999));
    up_to(&mut run, 2_000);
    assert_eq!((run.input_count(), run.desk().now_ns()), (3, 2_000));
    assert!(log.borrow().iter().all(|&(what, time)| what == 'o' || time <= 2_000), "{log:?}");
    up_to(&mut run, 2_000);
    assert_eq!(run.input_count(), 3, "nothing is left of that time");
    up_to(&mut run, 20_000);
    assert_eq!((run.input_count(), run.desk().now_ns()), (4, 20_000));
    assert!(
        log.borrow().contains(&('c', 19_000)) || log.borrow().iter().any(|&(what, time)| what == 'c' && time > 9_000)
    );
}

#[test]
fn without_any_data_timers_fire_at_their_times() {
    let (mut run, log) = run_of(&[], 8, Delivery::Records);
    up_to(&mut run, 4_000);
    let timers: Vec<_> = log.borrow().iter().copied().filter(|&(what, _)| what == 'c').collect();
    assert_eq!(timers[..2], [('c', 1_500), ('c', 1_500)], "both strategies set one for then");
    assert_eq!(run.desk().now_ns(), 4_000);
    assert!(matches!(run.step(), Step::Timer | Step::Nothing));
    to_the_end(&mut run);
}

#[test]
fn steps_say_what_they_were_and_end_with_nothing() {
    let (mut run, _) = run_of(&[1_000, 2_000], 8, Delivery::Records);
    let mut steps = Vec::new();
    while steps.len() < 8 {
        steps.push(run.step());
    }
    let ticks = steps.iter().filter(|&&step| step == Step::Tick).count();
    assert_eq!((ticks, run.input_count()), (2, 2), "{steps:?}");
    assert!(steps.contains(&Step::Timer), "{steps:?}");
    run.finish();
    assert_eq!(run.step(), Step::Ended(Outcome::End));
}

/// What is done by hand before the run goes on to its end.
#[derive(Clone, Debug)]
enum Cut {
    Until(i64),
    Steps(usize),
}

fn any_cut() -> impl Strategy<Value = Cut> {
    prop_oneof![(0..4_000i64).prop_map(Cut::Until), (1..9usize).prop_map(Cut::Steps)]
}

proptest! {
    #[test]
    fn where_it_is_cut_makes_no_difference(
        gaps in prop::collection::vec(0..3_000i64, 1..40),
        cuts in prop::collection::vec(any_cut(), 0..12),
        slice_ticks in 1..9usize,
        batches in prop::option::of((1..6usize, prop::sample::select(vec![0, 2_500]))),
    ) {
        let times: Vec<i64> = gaps.iter().scan(0, |now, gap| { *now += gap; Some(*now) }).collect();
        let edges = batches.map(|(max_ticks, window_ns)| BatchEdges { max_ticks, window_ns });
        let delivery = edges.map_or(Delivery::Records, Delivery::Batches);
        let (mut whole, log) = run_of(&times, 4_096, delivery);
        to_the_end(&mut whole);
        let (mut cut, cut_log) = run_of(&times, slice_ticks, delivery);
        // Up to the last tick: beyond it a run ends, and by hand timers still fire.
        let last = times[times.len() - 1];
        for one in cuts {
            match one {
                Cut::Until(by_ns) => {
                    let until_ns = (cut.desk().now_ns() + by_ns).min(last - 1);
                    if until_ns >= cut.desk().now_ns() { up_to(&mut cut, until_ns) }
                }
                Cut::Steps(count) => {
                    for _ in 0..count {
                        if cut.input_count() + 1 < times.len() as u64 { cut.step(); }
                    }
                }
            }
        }
        to_the_end(&mut cut);
        prop_assert_eq!(&*cut_log.borrow(), &*log.borrow());
        prop_assert_eq!(cut.digest(), whole.digest());
    }
}
