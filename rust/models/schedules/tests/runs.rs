//! Whole runs under random schedules: whatever the order in which threads move, nobody hangs, accounts are exact, and what
//! a publisher brought stays in order.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use tickrail_core::clock::LiveClock;
use tickrail_core::dispatch::{
    Delivery, Desk, Dispatcher, Fault, Hook, Host, Kinds, Outcome, RunSettings, Snapshot, Subscription,
};
use tickrail_core::feed::{FeedAccount, FeedHub, FeedSettings, NotPublished, Policy, Publisher, Trades};
use tickrail_core::handler::HandlerError;
use tickrail_core::lifecycle::{Ask, Operation, PauseMode, by_run};
use tickrail_core::stop::{StopFlag, Waker};
use tickrail_core::tick::Side;
use tickrail_core::timer::Fired;
use tickrail_core::venue::{OrderUpdate, SimulatedVenue};
use tickrail_core::{InstrumentInfo, Tick, TickBlock};

const INSTRUMENTS: u32 = 3;
const PUBLISHERS: u32 = 2;
const RECORDS: u64 = 12;
const CAPACITY: usize = 4;

/// A strategy that checks what it sees: by publisher, numbers rise, and nothing is torn.
struct Checks {
    latest: RefCell<[u64; PUBLISHERS as usize]>,
    seen: Cell<u64>,
    fails_at: u64,
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
        let (publisher, number) = ((tick.flags >> 8) as usize, tick.sequence);
        // Conflated quotes and trades pass each other; within either, order is kept by instrument alone.
        if tick.flags & 1 == 0 {
            let latest = &mut self.0.latest.borrow_mut()[publisher];
            assert!(number > *latest, "out of order: {number} after {latest}");
            *latest = number;
        }
        assert_eq!(tick.values[0], number as f64 + 1.0, "torn");
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

/// The publisher's number stands in the upper half of the flags; in the lower, whether the policy reorders.
fn record(publisher: u32, number: u64, reorders: bool) -> Tick {
    let instrument = number as u32 % INSTRUMENTS;
    let value = number as f64 + 1.0;
    let tick = if number.is_multiple_of(4) {
        Tick::trade(number as i64 + 1, instrument, value, value, Side::Buy)
    } else {
        Tick::quote(number as i64 + 1, instrument, value, value, value, value)
    };
    Tick { sequence: number, flags: (publisher as u16) << 8 | u16::from(reorders), ..tick }
}

/// Brings all its records in batches; says how many were dealt with before it was refused for good.
fn publish(mut publisher: Publisher, number: u32, policy: Policy) -> u64 {
    let reorders = matches!(policy, Policy::Conflate { .. });
    let mut dealt = 0;
    while dealt < RECORDS {
        let until = (dealt + thread_rng().gen_range(1..6)).min(RECORDS);
        let batch: Vec<Tick> = (dealt..until).map(|sequence| record(number, sequence + 1, reorders)).collect();
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
}

fn run(policy: Policy, end: End) {
    let instruments: Arc<[InstrumentInfo]> =
        (0..INSTRUMENTS).map(|number| InstrumentInfo::named(format!("I{number}.SIM"))).collect();
    let (waker, stop) = (Arc::new(Waker::new()), Arc::new(StopFlag::new()));
    let hub = FeedHub::new(Arc::new(LiveClock::new()), Arc::clone(&instruments), Arc::clone(&waker));
    let settings = FeedSettings {
        policy,
        capacity_slots: CAPACITY,
        block_timeout: Duration::from_secs(3_600),
        ..FeedSettings::default()
    };
    let feed = hub.open("feed", settings).unwrap();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| {
            let publisher = hub.publisher(&feed).unwrap();
            thread::spawn(move || publish(publisher, number, policy))
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
                End::Stopped => {
                    stop.request_stop();
                    waker.wake();
                    brought(publishers)
                }
            }
        })
    };
    let mut looped = Looped::new(&hub, instruments, &stop);
    looped.run(&waker);
    if matches!(end, End::Stopped) {
        looped.finish();
        drop(looped);
        ender.join().unwrap();
        return;
    }
    let offered = ender.join().unwrap();
    let account = looped.finish();
    assert_eq!(account.offered(), offered);
    let known = account.dropped_newest + account.dropped_oldest + account.conflated + account.pending;
    assert_eq!(account.published, account.taken + known);
    assert_eq!((account.taken, account.pending), (looped.dispatcher.input_count(), 0));
    if matches!((policy, end), (Policy::Block, End::AfterAll)) {
        assert_eq!((account.taken, account.rejected), (u64::from(PUBLISHERS) * RECORDS, 0), "nothing is lost");
    }
}

/// A loop with a strategy that looks and is paused once, and one that fails.
struct Looped {
    dispatcher: Dispatcher<Looks>,
    checks: Rc<Checks>,
}

impl Looped {
    fn new(hub: &Arc<FeedHub>, instruments: Arc<[InstrumentInfo]>, stop: &Arc<StopFlag>) -> Self {
        let fails_at = thread_rng().gen_range(0..2 * RECORDS);
        let checks = Rc::new(Checks { latest: RefCell::default(), seen: Cell::new(0), fails_at });
        let desk = Desk::new(instruments.to_vec());
        let venue = Box::new(SimulatedVenue::new(vec![0.0; INSTRUMENTS as usize]));
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
    fn run(&mut self, waker: &Waker) {
        let pause_at = thread_rng().gen_range(0..RECORDS);
        let mut outcome = self.dispatcher.start();
        loop {
            match outcome {
                Outcome::Slice => {}
                Outcome::Idle => {
                    waker.wait(Duration::MAX);
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

fn check(policy: Policy, end: End) {
    shuttle::check_random(move || run(policy, end), schedules());
}

/// `SCHEDULES=100000 make race` for a long look.
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
