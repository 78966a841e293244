//! Ten times as many records as the loop takes, under every policy: memory stays flat, and the accounts are exact.
//!
//! Some five seconds in all; `make soak` gives each policy a minute (`SOAK_SECONDS`).
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "an overload lasts for some time")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use tickrail_core::clock::LiveClock;
use tickrail_core::dispatch::{
    Delivery, Desk, Dispatcher, Kinds, LiveWait, NoHost, Outcome, RunSettings, Subscription, run_live,
};
use tickrail_core::feed::{FeedAccount, FeedHub, FeedSettings, NotPublished, Policy, Publisher, Trades};
use tickrail_core::handler::{Handler, HandlerError, Out};
use tickrail_core::stop::{StopFlag, WaitStrategy, Waker};
use tickrail_core::venue::SimulatedVenue;
use tickrail_core::{InstrumentInfo, Side, Tick};

const INSTRUMENTS: u32 = 64;
const PUBLISHERS: u32 = 2;
const CAPACITY_SLOTS: usize = 1_024;
const BATCH: usize = 256;
const SLICE_TICKS: usize = 64;
/// How many records are offered for each that is taken.
const OVERLOAD: u64 = 10;
/// What may come on top: arenas of threads, tables of feeds.
const MOST_GROWTH_KB: u64 = 2 * 1_024;
/// Slices between two looks at memory and accounts.
const SLICES_PER_LOOK: u64 = 512;

/// What the two sides tell each other.
#[derive(Default)]
struct Pace {
    offered: AtomicU64,
    is_over: AtomicBool,
}

struct Counts;

impl Handler for Counts {
    fn on_tick(&mut self, tick: &Tick, _out: &mut Out) -> Result<(), HandlerError> {
        if tick.values[0].is_nan() { Err(HandlerError::Failed("torn".to_owned())) } else { Ok(()) }
    }
}

fn resident_kb() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find(|line| line.starts_with("VmRSS")).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Quotes, and every eighth a trade.
fn records(from: u64) -> Vec<Tick> {
    (from..from + BATCH as u64)
        .map(|number| {
            let instrument = number as u32 % INSTRUMENTS;
            match number % 8 {
                0 => Tick::trade(number as i64 + 1, instrument, 1.0, 1.0, Side::Buy),
                _ => Tick::quote(number as i64 + 1, instrument, 1.0, 2.0, 1.0, 1.0),
            }
        })
        .collect()
}

/// Brings records until it is over; what it was refused it does not bring again.
fn press(mut publisher: Publisher, pace: &Pace) -> u64 {
    let batch = records(0);
    let mut offered = 0;
    while !pace.is_over.load(Relaxed) {
        match publisher.publish(&batch, || !pace.is_over.load(Relaxed)) {
            Ok(()) | Err(NotPublished::Full { .. } | NotPublished::Interrupted { .. }) => {}
            Err(NotPublished::Closed { .. }) if pace.is_over.load(Relaxed) => {}
            Err(error) => panic!("{error}"),
        }
        offered += BATCH as u64;
        pace.offered.fetch_add(BATCH as u64, Relaxed);
    }
    offered
}

/// The loop lets as many records come as its pace asks for. Under `block` they wait: there the rings are always full.
fn linger(policy: Policy, pace: &Pace, taken: u64) {
    if policy == Policy::Block {
        thread::yield_now();
        return;
    }
    while pace.offered.load(Relaxed) < taken * OVERLOAD && !pace.is_over.load(Relaxed) {
        thread::yield_now();
    }
}

fn check(account: &FeedAccount, taken: u64) {
    let gone = account.dropped_newest + account.dropped_oldest + account.conflated;
    assert_eq!(account.published, account.taken + gone + account.pending, "{account:?}");
    assert_eq!(account.offered() + account.made, account.rejected + account.published, "{account:?}");
    assert!(account.taken.abs_diff(taken) <= SLICE_TICKS as u64, "{} {taken}", account.taken);
    let most = u64::from(PUBLISHERS) * (CAPACITY_SLOTS as u64 + 3 * u64::from(INSTRUMENTS));
    assert!(account.pending <= most, "bounded: {account:?}");
}

fn overload(policy: Policy, time: Duration) {
    let instruments: Vec<InstrumentInfo> =
        (0..INSTRUMENTS).map(|number| InstrumentInfo::named(format!("I{number}.SIM"))).collect();
    let hub = FeedHub::new(Arc::new(LiveClock::new()), instruments.clone().into(), Arc::new(Waker::new()));
    let settings = FeedSettings {
        policy,
        capacity_slots: CAPACITY_SLOTS,
        block_timeout: Duration::from_secs(3_600),
        ..FeedSettings::default()
    };
    let feed = hub.open("feed", settings).unwrap();
    let pace = Arc::new(Pace::default());
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|_| {
            let (publisher, pace) = (hub.publisher(&feed).unwrap(), Arc::clone(&pace));
            thread::spawn(move || press(publisher, &pace))
        })
        .collect();

    let (desk, venue) = (Desk::new(instruments), Box::new(SimulatedVenue::new(vec![0.0; INSTRUMENTS as usize])));
    let settings = RunSettings { slice_ticks: SLICE_TICKS, ..RunSettings::default() };
    let stop = Arc::new(StopFlag::new());
    let mut run = Dispatcher::new(settings, desk, Box::new(hub.arrivals()), venue, stop, NoHost);
    let subscription =
        Subscription { delivery: Delivery::Records, kinds: Kinds::ALL, instruments: None, order_updates: false };
    run.register_handler(&subscription, Box::new(Counts));

    let (started, mut slices, mut warm_kb, mut most_kb) = (Instant::now(), 0, None, 0);
    let outcome = run_live(&mut run, &LiveWait::new(&hub, WaitStrategy::default()), |run| {
        slices += 1;
        linger(policy, &pace, run.input_count());
        if slices % SLICES_PER_LOOK == 0 {
            check(&run.snapshot().feeds[0], run.input_count());
            let elapsed = started.elapsed();
            if elapsed > time / 4 {
                most_kb = most_kb.max(resident_kb());
                warm_kb.get_or_insert(most_kb);
            }
            if elapsed > time && !pace.is_over.swap(true, Relaxed) {
                hub.seal();
            }
        }
        true
    });
    let offered: u64 = publishers.into_iter().map(|publisher| publisher.join().unwrap()).sum();
    assert_eq!(outcome, Outcome::End);
    let account = run.snapshot().feeds.remove(0);
    check(&account, run.input_count());
    assert_eq!((account.offered(), account.taken, account.pending), (offered, run.input_count(), 0));
    if policy == Policy::Block {
        assert!(account.waits > 0, "the rings were full: {account:?}");
    } else {
        assert!(offered >= account.taken * (OVERLOAD - 1), "an overload: {account:?}");
    }
    let (strategy, grown_kb) = (&run.accounts()[0], most_kb - warm_kb.expect("long enough"));
    assert_eq!((strategy.published, strategy.delivered), (account.taken, account.taken));
    println!("{:22} offered {offered:>12}, taken {:>11}, grown by {grown_kb} kB", format!("{policy:?}"), account.taken);
    assert!(grown_kb <= MOST_GROWTH_KB, "{policy:?}: {grown_kb} kB more");
}

#[test]
fn memory_is_flat_and_the_accounts_are_exact_in_an_overload() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(0.7, |seconds| seconds.parse().expect("a number"));
    let conflate = |trades| Policy::Conflate { trades };
    let policies = [Policy::Block, Policy::Reject, Policy::DropNewest, Policy::DropOldest];
    let conflating = [Trades::Keep, Trades::Sum, Trades::Drop].map(conflate);
    for policy in policies.into_iter().chain(conflating) {
        overload(policy, Duration::from_secs_f64(seconds));
    }
}
