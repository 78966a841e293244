//! One step after the other: the semantics of the loop, and nothing else.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::absence::Gaps;
use super::account::InputsByFeed;
use super::bars::Bars;
use super::desk::Desk;
use super::dispatcher::{Outcome, RunSettings};
use super::external::ExternalSink;
use super::fill::Fill;
use super::host::Host;
use super::keys::Keys;
use super::meter::Meter;
use super::pulse::Doing;
use super::request::Request;
use super::run_error::RunError;
use super::sampler::Sampler;
use super::spawns::Spawns;
use super::subscriber::{Delivery, Routes, Subscriber, Subscription};
use crate::digest::{EventKind, RunDigest};
use crate::handler::{Handler, Out};
use crate::kept::Kept;
use crate::lifecycle::{Ask, Asked, Cause, Inbox, Operation, by_run};
use crate::source::Slice;
use crate::stop::{LIVES, STOP, StopFlag};
use crate::tick::Tick;
use crate::timer::Overdue;
use crate::venue::{OrderUpdate, Venue, VenueReport};

/// Steps without a tick and without the clock moving, after which a strategy is held to go round in circles.
pub(super) const MAX_STEPS_AT_ONE_TIME: u32 = 100_000;

/// What a strategy raised, and what it was given.
#[derive(Debug)]
pub struct ErrorRecord<F> {
    /// Who raised.
    pub strategy: u32,
    /// Loop position of the step.
    pub position: u64,
    /// Clock of the step, ns UTC.
    pub now_ns: i64,
    /// Which handler.
    pub handler: &'static str,
    /// The tick that it was given; the last of a batch; `None` where the input was no tick.
    pub input: Option<Tick>,
    /// What it raised; `None`: nothing was raised.
    pub failure: Option<F>,
    /// Why it failed, where nothing was raised.
    pub reason: Cause,
}

/// How far a pass over a slice got.
pub(super) enum Pass {
    Done,
    Pulled,
    /// The next record is later than `Steps::until`.
    Reached,
    /// A command or a request for a life waits that goes before the next tick.
    Called,
    /// The pull subscriber has a record that the loop made.
    Gap(Tick),
    Halted,
}

/// The state of the loop, the source apart.
pub(super) struct Steps<H: Host> {
    pub(super) desk: Rc<Desk>,
    pub(super) host: H,
    pub(super) digest: RunDigest,
    pub(super) errors: Vec<ErrorRecord<H::Failure>>,
    /// What others ask of lives.
    pub(super) inbox: Arc<Inbox>,
    /// What is to be done with lives before the next input.
    pub(super) asked: VecDeque<Asked>,
    /// How many strategies have ticks again and were not told of all that they missed.
    pub(super) returning: u32,
    pub(super) interruption: Option<H::Failure>,
    pub(super) host_failure: Option<H::Failure>,
    pub(super) fills: Kept<Fill>,
    pub(super) inputs: u64,
    /// Inputs by feed, in a run by arrival.
    pub(super) by_feed: InputsByFeed,
    /// Whether some strategy has a rule for lag.
    pub(super) has_lag_rules: bool,
    pub(super) timers_fired: u64,
    pub(super) keys: Keys,
    pub(super) venue: Box<dyn Venue>,
    pub(super) stop: Arc<StopFlag>,
    /// Which of its bits halts the loop: a stop, or once the end has begun a hurried one.
    pub(super) halts_on: u32,
    /// Which of its bits end a stretch of ticks.
    pub(super) heeds: u32,
    /// Whether all feeds have ended and everything was taken.
    pub(super) is_drained: bool,
    pub(super) sink: Option<ExternalSink>,
    pub(super) externals_taken: u64,
    /// Slices and moments without one, in a run by arrival.
    pub(super) turns: u64,
    pub(super) subscribers: Vec<Subscriber>,
    pub(super) routes: Routes,
    /// Per instrument: whether an order waits, a position is open or a rate is its price: the venue and the mark matter.
    pub(super) watched: Vec<bool>,
    pub(super) bars: Bars,
    /// What strategies were worth, and when they are looked at next.
    pub(super) sampler: Sampler,
    /// The next key that needs more than a plain step: a timer, a window's end, a pending update.
    pub(super) gate: i64,
    /// No input later than this is taken now.
    pub(super) until: i64,
    pub(super) last_key: i64,
    /// How many records of the present slice were taken.
    pub(super) taken: usize,
    /// How many of them are in the digest.
    pub(super) entered: usize,
    /// The slice's records from the present one up to this are known to be of one instrument and kind, their times in order.
    pub(super) alike_until: usize,
    /// What becomes of timers that are late.
    pub(super) overdue: Overdue,
    pub(super) updates: VecDeque<OrderUpdate>,
    pub(super) spawns: Spawns,
    pub(super) applying: Vec<Request>,
    pub(super) reports: Vec<VenueReport>,
    /// What the owners of changed orders are told; like the reports, kept for its memory.
    pub(super) told: Vec<OrderUpdate>,
    /// Whether reports of the venue are being booked, and who failed meanwhile: their orders are taken back afterwards.
    pub(super) is_reporting: bool,
    pub(super) fallen: Vec<u32>,
    pub(super) steps_at_one_time: u32,
    /// What the handler in machine code that is being called asks for.
    pub(super) out: Option<Box<Out>>,
    pub(super) run_error: Option<RunError>,
    /// Measures, where somebody wants to know.
    pub(super) meter: Option<Box<Meter>>,
    pub(super) seed: u64,
    /// When the first restart is due, or the first end of a wait for orders; `i64::MAX`: none is.
    pub(super) life_ns: i64,
    /// Whose failure has stopped the run.
    pub(super) stopped_by: Option<u32>,
    /// Whether this runs what a live run has recorded, its end with it.
    pub(super) ends_as_recorded: bool,
    /// Whether the run is being ended: nobody is restarted any more.
    pub(super) is_ending: bool,
    /// The loop position at which a run was stopped that is run again; what comes between ticks goes no further.
    pub(super) limit: u64,
}

impl<H: Host> Steps<H> {
    pub fn new(settings: &RunSettings, desk: Rc<Desk>, venue: Box<dyn Venue>, stop: Arc<StopFlag>, host: H) -> Self {
        let (instruments, needed) = (desk.instruments().len(), desk.needed_prices());
        desk.inbox().serve_by(Arc::clone(&stop));
        Self {
            host,
            digest: RunDigest::new(settings.digest),
            errors: Vec::new(),
            inbox: Arc::clone(desk.inbox()),
            asked: VecDeque::new(),
            returning: 0,
            interruption: None,
            host_failure: None,
            fills: Kept::default(),
            inputs: 0,
            by_feed: InputsByFeed::default(),
            has_lag_rules: false,
            timers_fired: 0,
            keys: Keys::of_records(settings.order),
            venue,
            stop,
            halts_on: STOP,
            heeds: STOP,
            is_drained: false,
            sink: None,
            externals_taken: 0,
            turns: 0,
            subscribers: Vec::new(),
            routes: Routes::new(instruments),
            watched: vec![true; instruments],
            bars: Bars::new(&needed),
            sampler: Sampler::new(settings.worth_every_ns),
            gate: i64::MAX,
            until: i64::MAX,
            last_key: i64::MIN,
            taken: 0,
            entered: 0,
            alike_until: 0,
            overdue: Overdue::Each,
            updates: VecDeque::new(),
            spawns: Spawns::default(),
            applying: Vec::new(),
            reports: Vec::new(),
            told: Vec::new(),
            is_reporting: false,
            fallen: Vec::new(),
            steps_at_one_time: 0,
            out: None,
            run_error: None,
            meter: None,
            seed: settings.seed,
            life_ns: i64::MAX,
            stopped_by: None,
            ends_as_recorded: false,
            is_ending: false,
            limit: u64::MAX,
            desk,
        }
    }

    pub fn register(&mut self, subscription: &Subscription, handler: Option<Box<dyn Handler>>) -> u32 {
        let strategy = u32::try_from(self.subscribers.len()).expect("far fewer strategies than 2^32");
        let state = self.desk.add_strategy();
        self.subscribers.push(Subscriber::new(state, subscription, handler));
        self.routes.add(strategy, subscription.instruments.as_deref());
        self.operate(strategy, Ask::new(Operation::Initialise), by_run());
        strategy
    }

    /// Why the loop must not go on, if so.
    pub fn halted(&self) -> Option<Outcome> {
        if let Some(error) = self.run_error {
            return Some(Outcome::Failed(error));
        }
        // What has interrupted a run that is being ended already changes nothing.
        if self.interruption.is_some() && !self.is_ended() {
            return Some(Outcome::Interrupted);
        }
        self.stop.asks(self.halts_on).then_some(Outcome::Stopped)
    }

    // ---- ticks -------------------------------------------------------------------------------------------------

    /// Takes the records of `slice` from `index` on, one step each, with whatever is due between them.
    #[inline]
    pub fn run_slice(&mut self, slice: &Slice<'_>, index: &mut usize) -> Pass {
        self.alike_until = 0; // was said of another slice
        while let Some(tick) = slice.ticks.get(*index) {
            let taken = self.stretch(slice, *index);
            if taken > 0 {
                *index += taken;
                continue;
            }
            // Before anything that comes before the tick: an external input follows the last tick's step at once, so
            // that a replay finds its place again.
            if self.stop.asks((self.heeds & !self.halts_on) | LIVES) {
                return Pass::Called;
            }
            if let Some(pass) = self.general_step::<false>(slice, index, tick) {
                return pass;
            }
        }
        Pass::Done
    }

    /// Takes one record, with whatever is due before it; `STAMPED`: and measures how long handlers take. Gives the reason
    /// not to go on.
    #[inline(always)]
    pub(super) fn general_step<const STAMPED: bool>(
        &mut self,
        slice: &Slice<'_>,
        index: &mut usize,
        tick: &Tick,
    ) -> Option<Pass> {
        let key = self.keys.of(tick);
        if key > self.gate {
            self.before_key(slice, key.min(self.until.saturating_add(1)));
            if key > self.until {
                return Some(if self.halted().is_some() { Pass::Halted } else { Pass::Reached });
            }
        }
        if self.halted().is_some() {
            return Some(Pass::Halted);
        }
        if key < self.last_key || tick.instrument as usize >= self.watched.len() {
            self.run_error = Some(self.refuse(slice, *index, key));
            return Some(Pass::Halted);
        }
        if self.returning > 0 {
            match self.tell_gaps(slice, tick) {
                Gaps::None => {}
                Gaps::Told => return None,
                Gaps::Pulled(gap) => return Some(Pass::Gap(gap)),
            }
        }
        self.last_key = key;
        self.taken = *index + 1;
        if self.tick_step::<STAMPED>(slice, *index, tick, key) {
            return Some(Pass::Pulled);
        }
        if self.has_requests() {
            self.apply_requests();
        }
        *index += 1;
        None
    }

    #[cold]
    pub(super) fn refuse(&self, slice: &Slice<'_>, index: usize, key: i64) -> RunError {
        let (feed, input) = (slice.feeds.at(index), self.inputs);
        if key < self.last_key {
            return RunError::Unordered { feed, input, before_ns: self.last_key, found_ns: key };
        }
        RunError::UnknownInstrument { feed, input, instrument: slice.ticks[index].instrument }
    }

    /// Venue, order updates, handlers. `true`: the pull subscriber has the tick, and the step is not over.
    #[inline(always)]
    pub(super) fn tick_step<const STAMPED: bool>(
        &mut self,
        slice: &Slice<'_>,
        index: usize,
        tick: &Tick,
        key: i64,
    ) -> bool {
        self.inputs += 1;
        self.steps_at_one_time = 0;
        let position = self.desk.position() + 1;
        self.desk.set_position(position);
        self.enter_tick(slice, tick, key);
        let mut presented = false;
        for place in 0..self.routes.of(tick.instrument).len() {
            let strategy = self.routes.of(tick.instrument)[place];
            let subscriber = &mut self.subscribers[strategy as usize];
            if !subscriber.kinds.wants(tick.kind) {
                continue;
            }
            if !subscriber.state.takes_ticks() {
                self.miss(strategy, tick.instrument);
                continue;
            }
            match subscriber.delivery {
                Delivery::Ticks => {
                    subscriber.tallies.now.delivered += 1;
                    if !presented {
                        presented = true;
                        if let Err(failure) = self.host.present(tick) {
                            self.cannot_show(failure);
                            return false;
                        }
                    }
                    let stamp = if STAMPED { self.stamp(strategy, tick) } else { None };
                    self.desk.pulse().enter(strategy, Doing::Tick);
                    let result = self.host.tick(strategy, tick);
                    self.stamp_end(strategy, stamp);
                    if let Err(fault) = result {
                        let handler = self.host.tick_handler(strategy, tick);
                        self.fault(strategy, handler, Some(*tick), fault);
                    }
                }
                Delivery::Records => {
                    subscriber.tallies.now.delivered += 1;
                    let stamp = if STAMPED { self.stamp(strategy, tick) } else { None };
                    self.record(strategy, tick);
                    self.stamp_end(strategy, stamp);
                }
                Delivery::Batches(_) => self.collect(slice, index, key, strategy),
                Delivery::Lagging => {
                    self.lagging_tick(slice, index, key, strategy);
                    presented = false;
                }
                Delivery::Pull => {
                    subscriber.tallies.now.delivered += 1;
                    return true;
                }
            }
        }
        false
    }

    /// Completes the step of a tick that was pulled.
    pub fn end_tick(&mut self) {
        if self.has_requests() {
            self.apply_requests();
        }
    }

    #[cold]
    pub(super) fn cannot_show(&mut self, failure: H::Failure) {
        self.host_failure = Some(failure);
        self.run_error = Some(RunError::Host);
    }

    #[inline(always)]
    pub(super) fn has_requests(&self) -> bool {
        self.desk.requests.try_borrow().map_or(true, |requests| !requests.is_empty())
    }

    // ---- batches -----------------------------------------------------------------------------------------------

    #[inline(always)]
    pub(super) fn collect(&mut self, slice: &Slice<'_>, index: usize, key: i64, strategy: u32) {
        let batcher = &mut self.subscribers[strategy as usize].batcher;
        if batcher.push(slice, index, key) {
            self.flush(slice, strategy);
        } else if batcher.window_end() <= self.gate {
            self.gate = self.gate.min(batcher.window_end() - 1);
        }
    }

    /// Hands over what is collected for `strategy`, at the clock of now.
    pub(super) fn flush(&mut self, slice: &Slice<'_>, strategy: u32) {
        self.flush_batch(slice, strategy);
        if self.has_lag_rules {
            self.hand_over_latest(strategy);
        }
    }

    pub(super) fn flush_batch(&mut self, slice: &Slice<'_>, strategy: u32) {
        let subscriber = &mut self.subscribers[strategy as usize];
        if subscriber.batcher.len() == 0 {
            return;
        }
        let collected = subscriber.batcher.input_count() as u64;
        let batch = subscriber.batcher.take(slice);
        subscriber.tallies.settle(collected, |tally, count| tally.delivered += count);
        let last = batch.as_slice().last().copied();
        let is_machine = subscriber.handler.is_some();
        let stamp = self.stamp_batch(strategy, batch.as_slice());
        if is_machine {
            self.machine_batch(strategy, batch.as_slice(), last);
            self.stamp_end(strategy, stamp);
        } else {
            self.desk.pulse().enter(strategy, Doing::Batch);
            let result = self.host.batch(strategy, batch);
            self.stamp_end(strategy, stamp);
            if let Err(fault) = result {
                self.fault(strategy, "on_batch", last, fault);
            }
        }
    }

    pub(super) fn flush_window(&mut self, slice: &Slice<'_>, key: i64) -> bool {
        // Looked for by what is collected: at the last of all times an empty window would end again and again.
        let ended = |subscriber: &Subscriber| subscriber.batcher.len() > 0 && subscriber.batcher.window_end() <= key;
        let next = self.subscribers.iter().position(ended);
        if let Some(strategy) = next {
            self.flush(slice, strategy as u32);
            self.apply_requests();
        }
        next.is_some()
    }

    /// What was taken of `slice` since the last time enters the digest, once that is a piece.
    #[inline]
    pub fn enter_inputs(&mut self, slice: &Slice<'_>) {
        if self.taken - self.entered >= self.digest.piece() {
            self.digest.inputs(slice, self.entered..self.taken);
            self.entered = self.taken;
        }
    }

    /// `slice` is about to go: what was taken of it enters the digest, and what is collected of it is copied.
    pub fn leave_slice(&mut self, slice: &Slice<'_>) {
        self.digest.inputs(slice, self.entered..self.taken);
        (self.entered, self.taken) = (0, 0);
        for subscriber in &mut self.subscribers {
            subscriber.batcher.leave_slice(slice);
            subscriber.tallies.carry(subscriber.batcher.input_count() as u64);
        }
    }

    pub(super) fn next_position(&mut self) -> u64 {
        let position = self.desk.position() + 1;
        self.desk.set_position(position);
        position
    }

    pub(super) fn update_step(&mut self, slice: &Slice<'_>, update: &OrderUpdate) {
        self.next_position();
        self.tell(slice, update);
        if self.has_requests() {
            self.apply_requests();
        }
        self.count_step(update.order.key.strategy);
    }

    /// A strategy that keeps the clock from moving is stopped.
    pub(super) fn count_step(&mut self, strategy: u32) {
        self.steps_at_one_time += 1;
        if self.steps_at_one_time > MAX_STEPS_AT_ONE_TIME {
            self.steps_at_one_time = 0;
            if self.desk.acting(strategy).is_err() {
                return; // it has failed already: these are the updates of its orders, which are taken back
            }
            self.record_error(strategy, "loop", None, None);
            self.fail(strategy, Cause::Borrowed("no progress"));
            self.judge(strategy);
        }
    }

    /// Enters an order's change into the digest and tells its owner.
    pub(super) fn tell(&mut self, slice: &Slice<'_>, update: &OrderUpdate) {
        let strategy = update.order.key.strategy;
        self.digest.event(self.desk.position(), strategy, EventKind::OrderUpdate, &update.payload());
        self.tell_owner(slice, update);
        if update.fill_quantity > 0.0 && self.desk.has_listeners.get() {
            self.tell_listeners(slice, update);
        }
        self.look_at_end(strategy);
    }

    fn tell_owner(&mut self, slice: &Slice<'_>, update: &OrderUpdate) {
        let strategy = update.order.key.strategy;
        let subscriber = &self.subscribers[strategy as usize];
        if !subscriber.order_updates || !subscriber.state.takes_updates() {
            return;
        }
        self.flush(slice, strategy);
        if self.subscribers[strategy as usize].handler.is_some() {
            return self.machine_order_update(strategy, update);
        }
        self.desk.pulse().enter(strategy, Doing::OrderUpdate);
        if let Err(fault) = self.host.order_update(strategy, update) {
            self.fault(strategy, "on_order_update", None, fault);
        }
    }
}
