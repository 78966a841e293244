//! In steady state the loop allocates nothing: 10 million ticks, counted by the allocator itself; nor do feeds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tickrail_core::clock::LiveClock;
use tickrail_core::dispatch::{
    Delivery, Desk, Dispatcher, Fault, Hook, Host, Kinds, Outcome, RunSettings, Subscription,
};
use tickrail_core::feed::{FeedHub, FeedSettings, Policy, Trades};
use tickrail_core::handler::{Handler, HandlerError, Out, TimerRecord};
use tickrail_core::source::{Advance, Feeds, Slice, Source};
use tickrail_core::stop::{StopFlag, Waker};
use tickrail_core::timer::Fired;
use tickrail_core::venue::{OrderUpdate, SimulatedVenue};
use tickrail_core::{InstrumentInfo, Side, Tick, TickBlock};

thread_local!(static ALLOCATIONS: Cell<u64> = const { Cell::new(0) });

/// The system's allocator, with a count a thread.
struct Counting;

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: all is done by the system's allocator; the count is a plain cell of the thread that needs no allocation itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TICKS: u64 = 10_000_000;

/// Writes one buffer again and again, as a ring does.
struct Endless {
    slice: Vec<Tick>,
    made: u64,
}

impl Source for Endless {
    fn advance(&mut self, max: usize) -> Advance {
        let count = max.min((TICKS - self.made) as usize);
        self.slice.truncate(count);
        for (place, tick) in self.slice.iter_mut().enumerate() {
            tick.ts_event = 1_000 * (self.made as i64 + place as i64 + 1);
            tick.instrument = (self.made + place as u64) as u32 / 1_000 % 2;
        }
        self.made += count as u64;
        if count == 0 { Advance::End } else { Advance::Ready }
    }

    fn current(&self) -> Slice<'_> {
        Slice { ticks: &self.slice, feeds: Feeds::One(0), block: None }
    }

    fn remaining(&self) -> Option<u64> {
        Some(TICKS - self.made)
    }
}

#[derive(Default)]
struct Counts(u64);

impl Handler for Counts {
    fn on_start(&mut self, out: &mut Out) -> Result<(), HandlerError> {
        out.schedule_every(1_000_000, 1, 0);
        Ok(())
    }

    fn on_tick(&mut self, _tick: &Tick, _out: &mut Out) -> Result<(), HandlerError> {
        self.0 += 1;
        Ok(())
    }

    fn on_timer(&mut self, _timer: &TimerRecord, _out: &mut Out) -> Result<(), HandlerError> {
        Ok(())
    }
}

/// Calls nothing but counters.
#[derive(Default)]
struct Called {
    ticks: u64,
}

impl Host for Called {
    type Failure = String;

    fn present(&mut self, _tick: &Tick) -> Result<(), String> {
        Ok(())
    }

    fn tick(&mut self, _strategy: u32, _tick: &Tick) -> Result<(), Fault<String>> {
        self.ticks += 1;
        Ok(())
    }

    fn batch(&mut self, _strategy: u32, _batch: TickBlock) -> Result<(), Fault<String>> {
        Ok(())
    }

    fn timer(&mut self, _strategy: u32, _fired: &Fired) -> Result<(), Fault<String>> {
        Ok(())
    }

    fn order_update(&mut self, _strategy: u32, _update: &OrderUpdate) -> Result<(), Fault<String>> {
        Ok(())
    }

    fn handler_failure(&self, _strategy: u32, error: HandlerError) -> String {
        error.to_string()
    }

    fn hook(&mut self, _strategy: u32, _hook: Hook) -> Result<(), Fault<String>> {
        Ok(())
    }
}

/// Allocations between the tenth slice and the end.
fn allocations_with(called: usize, machine: usize) -> u64 {
    let desk = Desk::new((0..2).map(|index| InstrumentInfo::named(format!("I{index}.SIM"))).collect());
    let source = Endless { slice: vec![Tick::quote(0, 0, 1.0, 2.0, 1.0, 1.0); 4_096], made: 0 };
    let venue = Box::new(SimulatedVenue::new(vec![0.0; 2]));
    let stop = Arc::new(StopFlag::new());
    let mut run = Dispatcher::new(RunSettings::default(), desk, Box::new(source), venue, stop, Called::default());
    let subscription = |delivery| Subscription { delivery, kinds: Kinds::ALL, instruments: None, order_updates: false };
    for _ in 0..called {
        run.register(&subscription(Delivery::Ticks));
    }
    for _ in 0..machine {
        run.register_handler(&subscription(Delivery::Records), Box::new(Counts::default()));
    }
    let (mut outcome, mut slices, mut before) = (run.start(), 0, 0);
    while outcome == Outcome::Slice {
        outcome = run.advance();
        slices += 1;
        if slices == 10 {
            before = ALLOCATIONS.with(Cell::get);
        }
    }
    let made = ALLOCATIONS.with(Cell::get) - before;
    assert_eq!((outcome, run.input_count()), (Outcome::End, TICKS));
    assert!(run.accounts().iter().all(|account| account.delivered == TICKS));
    made
}

#[test]
fn nothing_is_allocated_in_steady_state() {
    assert_eq!(allocations_with(1, 0), 0, "one strategy: stretches of ticks");
    assert_eq!(allocations_with(0, 1), 0, "one in machine code, with a timer");
    assert_eq!(allocations_with(2, 2), 0, "several: the general step");
}

/// Allocations while records go through a feed: published in batches that now and then do not fit, taken in slices.
fn allocations_of_a_feed(policy: Policy) -> u64 {
    const INSTRUMENTS: u32 = 8;
    let infos = (0..INSTRUMENTS).map(|index| InstrumentInfo::named(format!("I{index}.SIM"))).collect();
    let hub = FeedHub::new(Arc::new(LiveClock::new()), infos, Arc::new(Waker::new()));
    let settings =
        FeedSettings { policy, capacity_slots: 256, block_timeout: Duration::ZERO, ..FeedSettings::default() };
    let mut publisher = hub.publisher(&hub.open("feed", settings).unwrap()).unwrap();
    let mut arrivals = hub.arrivals();
    let batch: Vec<Tick> = (0..100)
        .map(|number| match number % 4 {
            0 => Tick::trade(number + 1, number as u32 % INSTRUMENTS, 1.0, 1.0, Side::Buy),
            _ => Tick::quote(number + 1, number as u32 % INSTRUMENTS, 1.0, 2.0, 1.0, 1.0),
        })
        .collect();
    let (mut before, mut taken) = (0, 0);
    for round in 0..2_000 {
        if round == 200 {
            before = ALLOCATIONS.with(Cell::get);
        }
        let full = publisher.publish(&batch, || true);
        assert!(full.is_ok() || matches!(policy, Policy::Block | Policy::Reject | Policy::Conflate { .. }));
        while round % 5 > 1 && arrivals.advance(64) == Advance::Ready {
            taken += arrivals.current().ticks.len();
            while arrivals.event().is_some() {} // as the loop does after each slice
        }
    }
    let made = ALLOCATIONS.with(Cell::get) - before;
    assert!(taken > 1_000, "{policy:?}: {taken}");
    made
}

#[test]
fn nothing_is_allocated_by_publishing_and_taking() {
    let conflating = [Trades::Keep, Trades::Sum, Trades::Drop].map(|trades| Policy::Conflate { trades });
    let policies = [Policy::Block, Policy::Reject, Policy::DropNewest, Policy::DropOldest];
    for policy in policies.into_iter().chain(conflating) {
        assert_eq!(allocations_of_a_feed(policy), 0, "{policy:?}");
    }
}
