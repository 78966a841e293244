//! Whole runs under random schedules: whatever the order in which threads move, nobody hangs, accounts are exact, and what
//! a publisher brought stays in order.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use tickrail_core::clock::LiveClock;
use tickrail_core::dispatch::{
    Delivery, Desk, Dispatcher, Fault, Hook, Host, Kinds, Outcome, RunSettings, Snapshot, Subscription,
};
use tickrail_core::feed::{FeedAccount, FeedHub, FeedSettings, NotPublished, Numbering, Policy, Publisher, Trades};
use tickrail_core::handler::HandlerError;
use tickrail_core::lifecycle::{Ask, Operation, PauseMode, by_run};
use tickrail_core::stop::{StopFlag, Waker};
use tickrail_core::tick::Side;
use tickrail_core::timer::Fired;
use tickrail_core::venue::{OrderUpdate, SimulatedVenue};
use tickrail_core::{InstrumentInfo, Kind, Tick, TickBlock};

/// Of each publisher.
const INSTRUMENTS: u32 = 3;
const PUBLISHERS: u32 = 2;
const RECORDS: u64 = 12;
const CAPACITY: usize = 4;

/// What the source leaves out.
const MISSING: [u64; 2] = [5, 11];

/// A strategy that checks what it sees: by publisher, numbers rise, what is missing was told, and nothing is torn.
struct Checks {
    policy: Policy,
    /// By publisher; under `conflate` by kind and instrument too.
    latest: RefCell<BTreeMap<(u32, u8, u32), u64>>,
    /// Up to which number GAP records have told, by publisher.
    told: RefCell<[u64; PUBLISHERS as usize]>,
    seen: Cell<u64>,
    fails_at: u64,
}

impl Checks {
    fn look(&self, tick: &Tick) {
        let (publisher, number) = (tick.instrument / INSTRUMENTS, tick.sequence);
        let told = &mut self.told.borrow_mut()[publisher as usize];
        if tick.kind == Kind::Gap as u8 {
            *told = number.max(*told);
            return;
        }
        // Conflated quotes and trades pass each other; within either, order is kept by instrument alone.
        let conflates = matches!(self.policy, Policy::Conflate { .. });
        let place = if conflates { (publisher, tick.kind, tick.instrument) } else { (publisher, 0, 0) };
        let before = self.latest.borrow_mut().insert(place, number);
        assert!(before.is_none_or(|before| number > before), "out of order: {number} after {before:?}");
        let missing = MISSING.into_iter().filter(|&one| one < number).max();
        assert!(missing.is_none_or(|missing| missing <= *told), "{missing:?} is missing before {number}, told {told}");
        assert_eq!(tick.values[0], number as f64 + 1.0, "torn");
    }
}

type Answer = Result<(), Fault<String>>;

struct Looks(Rc<Checks>);

impl Host for Looks {
    type Failure = String;

    fn present(&mut self, _tick: &Tick) -> Result<(), String> {
        Ok(())
    }

    fn tick(&mut self, strategy: u32, tick: &Tick) -> Answer {
        if strategy == 1 {
            return if self.0.seen.get() == self.0.fails_at {
                Err(Fault::Failed("as planned".to_owned()))
            } else {
                Ok(())
            };
        }
        self.0.look(tick);
        self.0.seen.set(self.0.seen.get() + 1);
        Ok(())
    }

    fn batch(&mut self, _strategy: u32, _batch: TickBlock) -> Answer {
        Ok(())
    }

    fn timer(&mut self, _strategy: u32, _fired: &Fired) -> Answer {
        Ok(())
    }

    fn order_update(&mut self, _strategy: u32, _update: &OrderUpdate) -> Answer {
        Ok(())
    }

    fn handler_failure(&self, _strategy: u32, error: HandlerError) -> String {
        error.to_string()
    }

    fn hook(&mut self, _strategy: u32, _hook: Hook) -> Answer {
        Ok(())
    }
}

/// A publisher has instruments of its own, and each fifth number is missing before it.
fn record(publisher: u32, number: u64) -> Tick {
    let instrument = publisher * INSTRUMENTS + number as u32 % INSTRUMENTS;
    let number = number + number / 5;
    let value = number as f64 + 1.0;
    let tick = if number.is_multiple_of(4) {
        Tick::trade(number as i64 + 1, instrument, value, value, Side::Buy)
    } else {
        Tick::quote(number as i64 + 1, instrument, value, value, value, value)
    };
    Tick { sequence: number, ..tick }
}

/// Brings all its records in batches; says how many were dealt with before it was refused for good.
fn publish(mut publisher: Publisher, number: u32) -> u64 {
    let mut dealt = 0;
    while dealt < RECORDS {
        let until = (dealt + thread_rng().gen_range(1..6)).min(RECORDS);
        let batch: Vec<Tick> = (dealt..until).map(|sequence| record(number, sequence + 1)).collect();
        match publisher.publish(&batch, || true) {
            Ok(()) => {}
            Err(NotPublished::Closed { .. }) => return until,
            Err(NotPublished::Full { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        dealt = until;
    }
    dealt
}

#[derive(Clone, Copy)]
enum End {
    /// Publishers are done, then the run is sealed.
    AfterAll,
    /// Sealed while they publish.
    Sealed,
    /// Stopped while they publish: the loop leaves, whatever waits.
    Stopped,
    /// The same, but nobody finishes the loop: it is dropped, as by a panic.
    Dropped,
}

fn run(policy: Policy, end: End) {
    let instruments: Arc<[InstrumentInfo]> =
        (0..PUBLISHERS * INSTRUMENTS).map(|number| InstrumentInfo::named(format!("I{number}.SIM"))).collect();
    let (waker, stop) = (Arc::new(Waker::new()), Arc::new(StopFlag::new()));
    let hub = FeedHub::new(Arc::new(LiveClock::new()), Arc::clone(&instruments), Arc::clone(&waker));
    let settings = FeedSettings {
        policy,
        capacity_slots: CAPACITY,
        numbering: Numbering::ByPublisher,
        block_timeout: Duration::from_secs(3_600),
        ..FeedSettings::default()
    };
    let feed = hub.open("feed", settings).unwrap();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| {
            let publisher = hub.publisher(&feed).unwrap();
            thread::spawn(move || publish(publisher, number))
        })
        .collect();
    let ender = {
        let (hub, waker, stop) = (Arc::clone(&hub), Arc::clone(&waker), Arc::clone(&stop));
        thread::spawn(move || {
            let brought =
                |all: Vec<thread::JoinHandle<u64>>| all.into_iter().map(|one| one.join().unwrap()).sum::<u64>();
            match end {
                End::AfterAll => {
                    let offered = brought(publishers);
                    hub.seal();
                    offered
                }
                End::Sealed => {
                    hub.seal();
                    brought(publishers)
                }
                End::Stopped | End::Dropped => {
                    stop.request_stop();
                    waker.wake();
                    brought(publishers)
                }
            }
        })
    };
    let mut looped = Looped::new(&hub, instruments, &stop, policy);
    looped.run(&hub);
    match end {
        // Those that wait are told by the one, while the loop is there, or by the other.
        End::Stopped => drop(looped.finish()),
        End::Dropped => {
            drop(looped);
            ender.join().unwrap();
            return;
        }
        End::AfterAll | End::Sealed => {}
    }
    let offered = ender.join().unwrap();
    let account = looped.finish();
    if matches!(end, End::Stopped) {
        return;
    }
    assert_eq!(account.offered(), offered);
    let known = account.dropped_newest + account.dropped_oldest + account.conflated + account.pending;
    assert_eq!(account.published, account.taken + known);
    assert_eq!((account.taken, account.pending), (looped.dispatcher.input_count(), 0));
    if matches!((policy, end), (Policy::Block, End::AfterAll)) {
        let brought = account.taken - account.made;
        assert_eq!((brought, account.rejected), (u64::from(PUBLISHERS) * RECORDS, 0), "nothing is lost");
        assert_eq!(account.gaps, u64::from(PUBLISHERS) * MISSING.len() as u64);
    }
}

/// A loop with a strategy that looks and is paused once, and one that fails.
struct Looped {
    dispatcher: Dispatcher<Looks>,
    checks: Rc<Checks>,
}

impl Looped {
    fn new(hub: &Arc<FeedHub>, instruments: Arc<[InstrumentInfo]>, stop: &Arc<StopFlag>, policy: Policy) -> Self {
        let fails_at = thread_rng().gen_range(0..2 * RECORDS);
        let (latest, told) = (RefCell::default(), RefCell::default());
        let checks = Rc::new(Checks { policy, latest, told, seen: Cell::new(0), fails_at });
        let desk = Desk::new(instruments.to_vec());
        let venue = Box::new(SimulatedVenue::new(vec![0.0; (PUBLISHERS * INSTRUMENTS) as usize]));
        let settings = RunSettings { slice_ticks: 3, ..RunSettings::default() };
        let (source, host) = (Box::new(hub.arrivals()), Looks(Rc::clone(&checks)));
        let mut dispatcher = Dispatcher::new(settings, desk, source, venue, Arc::clone(stop), host);
        let subscription =
            Subscription { delivery: Delivery::Ticks, kinds: Kinds::ALL, instruments: None, order_updates: false };
        dispatcher.register(&subscription);
        dispatcher.register(&subscription);
        Self { dispatcher, checks }
    }

    /// To the end, or to the stop.
    fn run(&mut self, hub: &FeedHub) {
        let pause_at = thread_rng().gen_range(0..RECORDS);
        let mut outcome = self.dispatcher.start();
        let mut idle = 0;
        loop {
            match outcome {
                Outcome::Slice => idle = 0,
                Outcome::Idle => {
                    idle += 1;
                    if idle > 1 {
                        // What a publisher is just putting into a table is seen, and cannot be taken yet: it has to go on.
                        thread::yield_now();
                    }
                    // As a live run waits: publishers tell only a loop that sleeps.
                    hub.waker().wait_for(Duration::MAX, hub.look());
                }
                Outcome::End | Outcome::Stopped => return,
                other => panic!("{other:?}"),
            }
            if self.checks.seen.get() == pause_at {
                self.dispatcher.apply(0, Ask::pause(PauseMode::NoTicks), by_run());
                self.dispatcher.apply(0, Ask::new(Operation::Resume), by_run());
            }
            outcome = self.dispatcher.advance();
        }
    }

    /// Ends the run and looks at all accounts; the feed's.
    fn finish(&mut self) -> FeedAccount {
        self.dispatcher.finish();
        let Snapshot { mut feeds, strategies, by_feed, inputs, .. } = self.dispatcher.snapshot();
        for account in strategies.iter().chain(&by_feed[0]) {
            assert_eq!(account.published, account.explained(), "{account:?}");
            assert_eq!(account.published, feeds[0].published, "{account:?}");
        }
        assert_eq!(inputs, self.dispatcher.input_count());
        feeds.pop().expect("an account")
    }
}

/// Under half of the schedules threads change at any moment, and then the loop, which has most to do, hardly ever gets to sleep:
/// publishers always find it awake. Under the others each thread runs until it waits, but for [`CHANGES`] (probabilistic
/// concurrency testing), so that the loop sleeps before every record.
fn check(policy: Policy, end: End) {
    shuttle::check_random(move || run(policy, end), schedules() / 2);
    shuttle::check_pct(move || run(policy, end), schedules() / 2, CHANGES);
}

/// Of threads, that need not be.
const CHANGES: usize = 3;

/// `SCHEDULES=100000 make models` for a long look.
fn schedules() -> usize {
    std::env::var("SCHEDULES").ok().map_or(300, |count| count.parse().expect("a number"))
}

macro_rules! runs {
    ($($name:ident: $policy:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn to_the_end() {
                check($policy, End::AfterAll);
            }

            #[test]
            fn sealed_while_it_publishes() {
                check($policy, End::Sealed);
            }

            #[test]
            fn stopped_while_it_publishes() {
                check($policy, End::Stopped);
            }

            #[test]
            fn dropped_while_it_publishes() {
                check($policy, End::Dropped);
            }
        }
    )*};
}

runs! {
    block: Policy::Block;
    reject: Policy::Reject;
    drop_newest: Policy::DropNewest;
    drop_oldest: Policy::DropOldest;
    conflate_and_keep: Policy::Conflate { trades: Trades::Keep };
    conflate_and_sum: Policy::Conflate { trades: Trades::Sum };
    conflate_and_drop: Policy::Conflate { trades: Trades::Drop };
}
