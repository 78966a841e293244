//! How long handlers take, and how long ticks and timers wait for them: measured on every so many ticks.
//!
//! A stamp costs some 25 ns, more than many a handler; so only each Nth tick is stamped, in a step of its own, and the ticks
//! between are taken as if nobody measured. What was seen stands in histograms that any thread reads while the loop goes on.

use std::sync::{Arc, Mutex, PoisonError};

use super::dispatcher::Dispatcher;
use super::host::Host;
use super::step::{Pass, Steps};
use crate::clock::{LiveClock, Moment, instant};
use crate::histogram::Histogram;
use crate::source::Slice;
use crate::tick::Tick;

/// Ticks between two that are stamped, live and where nobody says otherwise: then measuring costs below 0.5 ns a tick.
pub const SAMPLE_EVERY: u32 = 256;

/// What was measured of one strategy, ns.
#[derive(Debug, Default)]
pub struct StrategyMeter {
    /// A call of a handler with a tick or a batch.
    pub handler_ns: Histogram,
    /// From the tick's `ts_init` to the call, by the live clock; nothing in a backtest.
    pub latency_ns: Histogram,
    /// From the time a timer was set for to its call; nothing in a backtest.
    pub lateness_ns: Histogram,
}

/// What was measured in a run; shared by the loop and whoever looks.
#[derive(Debug, Default)]
pub struct Meters {
    /// In order of registration.
    strategies: Mutex<Vec<Arc<StrategyMeter>>>,
    /// By number of the feed: how long its records wait for the loop, ns; one of each slice.
    feeds: Mutex<Vec<Arc<Histogram>>>,
}

impl Meters {
    /// Of every strategy, in order of registration.
    pub fn strategies(&self) -> Vec<Arc<StrategyMeter>> {
        self.strategies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Of every feed that brought something, by its number: how long records wait for the loop, ns.
    pub fn feeds(&self) -> Vec<Arc<Histogram>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The loop's end of [`Meters`].
pub(super) struct Meter {
    meters: Arc<Meters>,
    every: u64,
    /// The input that is stamped next.
    next: u64,
    clock: Option<Arc<LiveClock>>,
    strategies: Vec<Arc<StrategyMeter>>,
    feeds: Vec<Arc<Histogram>>,
}

impl Meter {
    /// Stamps each `every`th input, rounded up to a power of two; by `clock` how long it was under way.
    pub fn new(meters: Arc<Meters>, every: u32, clock: Option<Arc<LiveClock>>) -> Self {
        let every = u64::from(every).next_power_of_two();
        Self { meters, every, next: every - 1, clock, strategies: Vec::new(), feeds: Vec::new() }
    }

    /// How many ticks from the input `inputs` on are not stamped.
    #[inline]
    pub fn reach(&self, inputs: u64) -> usize {
        self.next.saturating_sub(inputs) as usize
    }

    /// An input was stamped: the next is on the same grid, however many came in between.
    pub fn stamped(&mut self, inputs: u64) {
        self.next = (inputs / self.every + 1) * self.every - 1;
    }

    /// Whether one of the batch's ticks would have been stamped, `delivered` being those before it.
    pub fn is_batch_due(&self, delivered: u64, length: u64) -> bool {
        delivered / self.every != (delivered + length) / self.every
    }

    /// `tick` is about to be handed to `strategy`.
    pub fn begin(&mut self, strategy: u32, tick: &Tick) -> Moment {
        let began = instant();
        if let Some(now_ns) = self.clock.as_ref().map(|clock| clock.at(began)) {
            self.of(strategy).latency_ns.record(waited(tick.ts_init, now_ns));
        }
        began
    }

    /// The handler of `strategy` has returned.
    pub fn end(&mut self, strategy: u32, began: Moment) {
        let taken_ns = began.elapsed().as_nanos() as u64;
        self.of(strategy).handler_ns.record(taken_ns);
    }

    /// A timer of `strategy` set for `due_ns` is about to be called; nothing in a simulation, where it is never late.
    pub fn timer(&mut self, strategy: u32, due_ns: i64) {
        if let Some(now_ns) = self.clock.as_ref().map(|clock| clock.at(instant())) {
            self.of(strategy).lateness_ns.record(waited(due_ns, now_ns));
        }
    }

    /// The loop took a slice that begins with `tick` from `feed`.
    pub fn slice(&mut self, feed: u32, tick: &Tick, now_ns: i64) {
        let index = feed as usize;
        if self.feeds.len() <= index {
            let mut all = self.meters.feeds.lock().unwrap_or_else(PoisonError::into_inner);
            all.resize_with(index + 1, Arc::default);
            self.feeds.clone_from(&all);
        }
        self.feeds[index].record(waited(tick.ts_init, now_ns));
    }

    fn of(&mut self, strategy: u32) -> &StrategyMeter {
        let index = strategy as usize;
        if self.strategies.len() <= index {
            let mut all = self.meters.strategies.lock().unwrap_or_else(PoisonError::into_inner);
            all.resize_with(index + 1, Arc::default);
            self.strategies.clone_from(&all);
        }
        &self.strategies[index]
    }
}

impl<H: Host> Dispatcher<H> {
    /// Measures on each `every`th tick from now on, rounded up to a power of two, into `meters`; live by the run's `clock`.
    pub fn measure(&mut self, meters: Arc<Meters>, every: u32, clock: Option<Arc<LiveClock>>) {
        self.steps.meter = Some(Box::new(Meter::new(meters, every, clock)));
    }
}

impl<H: Host> Steps<H> {
    /// How many ticks may be taken before one is to be stamped.
    #[inline(always)]
    pub(super) fn unstamped(&self) -> usize {
        self.meter.as_ref().map_or(usize::MAX, |meter| meter.reach(self.inputs))
    }

    /// One tick, in the general step, with stamps.
    pub(super) fn stamped_step(&mut self, slice: &Slice<'_>, index: &mut usize) -> Pass {
        let Some(tick) = slice.ticks.get(*index) else { return Pass::Done };
        let before = self.inputs;
        let pass = self.general_step::<true>(slice, index, tick);
        if let Some(meter) = self.meter.as_mut().filter(|_| self.inputs > before) {
            meter.stamped(self.inputs);
        }
        pass.unwrap_or(Pass::Done)
    }

    #[inline]
    pub(super) fn stamp(&mut self, strategy: u32, tick: &Tick) -> Option<Moment> {
        self.meter.as_mut().map(|meter| meter.begin(strategy, tick))
    }

    pub(super) fn stamp_batch(&mut self, strategy: u32, batch: &[Tick]) -> Option<Moment> {
        let (inputs, length) = (self.inputs, batch.len() as u64);
        let meter = self.meter.as_mut()?;
        let is_due = meter.is_batch_due(inputs.saturating_sub(length), length);
        is_due.then(|| meter.begin(strategy, &batch[0]))
    }

    #[inline(always)]
    pub(super) fn stamp_end(&mut self, strategy: u32, stamp: Option<Moment>) {
        if let (Some(began), Some(meter)) = (stamp, &mut self.meter) {
            meter.end(strategy, began);
        }
    }
}

fn waited(from_ns: i64, to_ns: i64) -> u64 {
    to_ns.saturating_sub(from_ns).max(0).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamped_inputs_lie_on_a_grid_whatever_came_in_between() {
        let mut meter = Meter::new(Arc::default(), 100, None);
        assert_eq!((meter.reach(0), meter.reach(127), meter.reach(500)), (127, 0, 0));
        meter.stamped(128);
        assert_eq!(meter.reach(128), 127);
        meter.stamped(1_000);
        assert_eq!(meter.reach(1_000), 23);
        let mut each = Meter::new(Arc::default(), 1, None);
        assert_eq!(each.reach(0), 0);
        each.stamped(1);
        assert_eq!(each.reach(1), 0);
    }

    #[test]
    fn a_batch_is_stamped_where_one_of_its_ticks_would_be() {
        let meter = Meter::new(Arc::default(), 8, None);
        let stamped: Vec<u64> = (0..20).filter(|&delivered| meter.is_batch_due(delivered, 3)).collect();
        assert_eq!(stamped, [5, 6, 7, 13, 14, 15]);
        assert!((0..20).all(|delivered| meter.is_batch_due(delivered, 8)));
    }

    #[test]
    fn strategies_and_feeds_are_found_by_their_numbers() {
        let meters = Arc::new(Meters::default());
        let mut meter = Meter::new(Arc::clone(&meters), 1, Some(Arc::new(LiveClock::new())));
        let tick = Tick { ts_init: 400, ..Tick::quote(0, 0, 1.0, 2.0, 1.0, 1.0) };
        let began = meter.begin(2, &tick);
        meter.end(2, began);
        meter.timer(1, 0);
        meter.slice(3, &tick, 1_000);
        let counts: Vec<_> = meters
            .strategies()
            .iter()
            .map(|m| [&m.handler_ns, &m.latency_ns, &m.lateness_ns].map(|h| h.snapshot().count()))
            .collect();
        assert_eq!(counts, [[0, 0, 0], [0, 0, 1], [1, 1, 0]]);
        assert_eq!(meters.feeds()[3].snapshot().max(), 600);
    }
}
