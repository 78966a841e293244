//! Drives a run: slices in, steps out.

use std::rc::Rc;
use std::sync::Arc;

use super::account::Account;
use super::arrival::Arrival;
use super::desk::Desk;
use super::external::{Externals, after_externals};
use super::fill::Fill;
use super::host::Host;
use super::lag::LagRule;
use super::pull::Bare;
use super::run_error::RunError;
use super::snapshot::{Snapshot, Snapshots};
use super::step::{ErrorRecord, Pass, Steps};
use super::subscriber::Subscription;
use crate::block::TickBlock;
use crate::command::Command;
use crate::digest::{DigestMode, RunFacts};
use crate::handler::Handler;
use crate::kept::Kept;
use crate::lane::LaneMeter;
use crate::lifecycle::{Ask, Cause, ChangeLog, Inbox, Transition};
use crate::prefetch::prefetch;
use crate::source::{Advance, Source};
use crate::stop::StopFlag;
use crate::tick::{OrderBy, Tick};
use crate::timer::Overdue;
use crate::venue::Venue;

/// What is fixed for a run.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// The time that orders the inputs.
    pub order: OrderBy,
    /// How inputs enter the digest.
    pub digest: DigestMode,
    /// Seed of whatever draws numbers; enters the digest.
    pub seed: u64,
    /// Hash of the decision-relevant configuration; enters the digest.
    pub configuration: Vec<u8>,
    /// Content of each source, in feed order; enters the digest in mode `events`.
    pub fingerprints: Vec<[u8; 16]>,
    /// Most ticks that the loop takes from the source at once; no result depends on it.
    pub slice_ticks: usize,
    /// How often it is looked at what strategies are worth, ns; a day is a multiple of it.
    pub worth_every_ns: i64,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            order: OrderBy::TsEvent,
            digest: DigestMode::Events,
            seed: 0,
            configuration: Vec::new(),
            fingerprints: Vec::new(),
            slice_ticks: 4096,
            worth_every_ns: super::sampler::WORTH_EVERY_NS,
        }
    }
}

/// Why [`Dispatcher::advance`] returned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// A slice is done: look after signals and progress, then go on.
    Slice,
    /// The pull subscriber has a tick (see [`Dispatcher::pulled`]); the step goes on with the next `advance`.
    Pulled,
    /// The source has nothing now.
    Idle,
    /// Everything up to the time of [`Dispatcher::advance_until`] was taken.
    Reached,
    /// All data was taken.
    End,
    /// Somebody asked to stop.
    Stopped,
    /// A handler was interrupted by the user.
    Interrupted,
    /// The run cannot go on.
    Failed(RunError),
}

/// The dispatch loop of one run. Lives on one thread.
pub struct Dispatcher<H: Host> {
    pub(super) source: Box<dyn Source>,
    pub(super) settings: RunSettings,
    pub(super) steps: Steps<H>,
    pub(super) externals: Externals,
    pub(super) index: usize,
    /// Where a run by arrival stands; `None`: the records' own times order them.
    pub(super) arrival: Option<Arrival>,
    /// What is counted of lanes, by strategy.
    pub(super) lanes: Vec<(u32, Arc<LaneMeter>)>,
    pulled: bool,
    /// What the pull subscriber was given, where that is no record of the source.
    gap: Option<Tick>,
    ahead: Ahead,
    finished: bool,
    pub(super) ended: bool,
    is_first_known: bool,
    /// What is held at venues outside when the run begins.
    pub(super) held: Vec<Command>,
    snapshots: Arc<Snapshots>,
    /// Up to which question for a snapshot was answered.
    answered: u64,
}

/// Records that were looked at before they are pulled: up to `until`, nothing but the pull itself happens.
#[derive(Default)]
struct Ahead {
    /// The slice's records, where they are not written again: found without asking the source.
    block: Option<TickBlock>,
    until: usize,
    /// The last record that is in the loop's counters.
    counted: usize,
    reach: usize,
    strategy: u32,
}

/// How many records are looked at in vain where something comes between any two pulls.
const SHORTEST_REACH: usize = 16;

/// And most: what was looked at still lies in the first cache when it is pulled (16 KB).
const LONGEST_REACH: usize = 256;

impl<H: Host> Dispatcher<H> {
    /// A run of `host`'s strategies over `source`, with orders going to `venue`.
    pub fn new(
        settings: RunSettings,
        desk: Rc<Desk>,
        mut source: Box<dyn Source>,
        venue: Box<dyn Venue>,
        stop: Arc<StopFlag>,
        host: H,
    ) -> Self {
        let mut steps = Steps::new(&settings, desk, venue, stop, host);
        steps.limit = source.cut_at().unwrap_or(u64::MAX);
        let arrival = source.taken().map(|_| Arrival::default());
        steps.spawns.is_live = arrival.is_some();
        steps.sampler.is_live = arrival.is_some();
        if arrival.is_some() {
            steps.overdue = Overdue::Merge;
        }
        Self {
            source,
            settings,
            steps,
            externals: Externals::Closed,
            index: 0,
            arrival,
            lanes: Vec::new(),
            pulled: false,
            gap: None,
            ahead: Ahead::default(),
            finished: false,
            ended: false,
            is_first_known: false,
            held: Vec::new(),
            snapshots: Arc::default(),
            answered: 0,
        }
    }

    /// Where anybody asks for the accounts, and finds them: from now on here. Before the run begins.
    pub fn report_to(&mut self, snapshots: Arc<Snapshots>) {
        self.snapshots = snapshots;
    }

    /// Makes room for `count` strategies, which are moved at each registration otherwise.
    pub fn expect(&mut self, count: usize) {
        self.steps.subscribers.reserve_exact(count);
    }

    /// Adds a strategy and says its index; ticks reach strategies in this order.
    pub fn register(&mut self, subscription: &Subscription) -> u32 {
        self.steps.register(subscription, None)
    }

    /// The same for a strategy in machine code, whose subscription is by [`super::Delivery::Records`] or by batches.
    pub fn register_handler(&mut self, subscription: &Subscription, handler: Box<dyn Handler>) -> u32 {
        self.steps.register(subscription, Some(handler))
    }

    /// Gives a strategy a rule for lag, before the run begins; it counts in runs by arrival.
    pub fn limit_lag(&mut self, strategy: u32, rule: LagRule) {
        self.steps.limit_lag(strategy, rule);
    }

    /// What handlers reach.
    pub fn desk(&self) -> &Rc<Desk> {
        &self.steps.desk
    }

    /// Who calls the handlers.
    pub fn host(&self) -> &H {
        &self.steps.host
    }

    /// The same, to change it.
    pub fn host_mut(&mut self) -> &mut H {
        &mut self.steps.host
    }

    /// Sets the clock to the first input (in a run by arrival: to the present) and starts every strategy, in order of
    /// registration.
    pub fn start(&mut self) -> Outcome {
        if !self.start_by_arrival() {
            self.finds_first();
        }
        self.serve_lives();
        self.take_held();
        self.steps.ends_as_recorded = self.source.is_recorded();
        self.steps.start(self.externals.first_at().min(self.source.started_at().unwrap_or(u64::MAX)));
        self.steps.desk.pulse().rest();
        // From now on whoever looks finds something.
        self.answer(self.snapshots.asked(), false);
        self.steps.halted().unwrap_or(Outcome::Slice)
    }

    /// Looks for the first input, to whose time the clock is set before strategies are started; whether it is known what it
    /// is. Where it still has to arrive, ask again before [`Self::start`].
    pub fn finds_first(&mut self) -> bool {
        if self.is_first_known {
            return true;
        }
        let first = self.source.advance(self.settings.slice_ticks);
        self.index = 0;
        self.is_first_known = first != Advance::Pending;
        if first == Advance::Ready {
            let key = self.source.current().ticks[0].key(self.settings.order);
            self.steps.desk.advance_clock(key);
        }
        self.is_first_known
    }

    /// Goes on to the end of the slice, or to whatever comes before.
    pub fn advance(&mut self) -> Outcome {
        self.steps.desk.pulse().turn();
        let outcome = self.go_on();
        self.steps.desk.pulse().rest();
        outcome
    }

    fn go_on(&mut self) -> Outcome {
        if let Some(outcome) = self.steps.halted() {
            self.complete_pull();
            return outcome;
        }
        if self.finished {
            return Outcome::End;
        }
        self.complete_pull();
        self.serve_lives();
        self.take_externals(false);
        if let Some(outcome) = self.steps.halted() {
            return outcome;
        }
        self.answer_questions();
        let found = match self.begin_waiting() {
            None if self.index >= self.source.current().ticks.len() => self.next_slice(),
            found => found.flatten(),
        };
        if let Some(outcome) = found {
            return outcome;
        }
        let pass = self.run_on();
        self.outcome_of(pass)
    }

    /// `None`: there is one.
    fn next_slice(&mut self) -> Option<Outcome> {
        self.leave_arrived();
        if self.steps.has_lag_rules {
            self.steps.leave_windows();
        }
        self.steps.leave_slice(&self.source.current());
        if self.arrival.is_some() {
            return self.take_arrived();
        }
        match self.source.advance(self.settings.slice_ticks) {
            Advance::Ready => {
                self.index = 0;
                None
            }
            Advance::Pending => {
                let taken = self.take_externals(true);
                Some(after_externals(self.steps.halted(), taken).unwrap_or(Outcome::Idle))
            }
            Advance::End if self.steps.until < i64::MAX => {
                self.index = 0;
                Some(self.reached())
            }
            Advance::End => Some(self.end_of_data()),
        }
    }

    /// Goes on to the end of the slice, by pieces of as many records as the digest wants to have at once.
    fn run_on(&mut self) -> Pass {
        let slice = self.source.current();
        loop {
            let reach = self.externals.reach(self.steps.inputs).min(self.steps.digest.piece());
            // Whoever ends the run looks at the time after each tick: a slice of slow handlers would take too long.
            let reach = if self.steps.is_ended() { reach.min(1) } else { reach };
            self.steps.heeds = self.externals.heeds(self.steps.halts_on);
            let pass = match self.steps.unstamped() {
                0 if reach > 0 => self.steps.stamped_step(&slice, &mut self.index),
                unstamped => {
                    let piece = slice.first(self.index.saturating_add(reach.min(unstamped)));
                    self.steps.run_slice(&piece, &mut self.index)
                }
            };
            self.steps.enter_inputs(&slice);
            self.externals.note(self.steps.inputs);
            match pass {
                Pass::Done | Pass::Called if self.index < slice.ticks.len() => {
                    self.externals.serve_lives(&mut self.steps, &slice);
                    self.externals.take(&mut self.steps, &slice, false);
                    if self.steps.halted().is_some() {
                        return Pass::Halted;
                    }
                    if self.steps.is_ended() {
                        return pass;
                    }
                }
                pass => return pass,
            }
        }
    }

    /// The next tick where [`Self::pull_quiet`] would show it, and besides the records lie in memory that is written once and
    /// nobody looks at the market. It is not taken yet.
    #[inline(always)]
    pub fn bare(&mut self) -> Option<Bare<'_, H>> {
        let next = self.index.wrapping_add(1);
        if next >= self.ahead.until || self.steps.is_disturbed() || self.steps.desk.market().is_watched() {
            return None;
        }
        let tick = self.ahead.block.as_ref()?.as_slice().get(next)?;
        // What is looked at next, while the handler works on this one.
        prefetch(std::ptr::from_ref(tick).wrapping_add(LONGEST_REACH));
        let Steps { host, desk, keys, .. } = &mut self.steps;
        Some(Bare { host, tick, desk, keys: *keys, index: &mut self.index })
    }

    /// Shows the next tick of the pull subscriber where it was looked at before, and nothing happened since: no handler
    /// is called. `None`: ask [`Self::pull_on`].
    #[inline(always)]
    pub fn pull_quiet<R>(&mut self, show: impl FnOnce(&mut H, &Tick) -> R) -> Option<R> {
        let next = self.index + 1;
        if next >= self.ahead.until || self.steps.is_disturbed() {
            return None;
        }
        self.index = next;
        let tick = match &self.ahead.block {
            Some(block) => &block.as_slice()[next],
            None => &self.source.current().ticks[next],
        };
        self.steps.quiet_pull(tick);
        Some(show(&mut self.steps.host, tick))
    }

    /// How many pulls are not in the loop's counters yet.
    fn uncounted(&self) -> usize {
        if self.ahead.until > 0 { self.index - self.ahead.counted } else { 0 }
    }

    /// Brings the loop's counters up to the last quiet pull.
    fn count_pulls(&mut self) {
        let count = self.uncounted();
        if count > 0 {
            let last = &self.source.current().ticks[self.index];
            self.steps.count_pulls(self.ahead.strategy, count, self.index, last);
            self.ahead.counted = self.index;
        }
    }

    /// The next tick of the pull subscriber, where it follows at once on the last one; `None`: only [`Self::advance`] can
    /// tell.
    pub fn pull_on(&mut self) -> Option<&Tick> {
        let is_free = self.pulled && self.gap.is_none() && !self.is_replaying();
        if !is_free || self.steps.is_disturbed() || self.steps.halted().is_some() {
            return None;
        }
        self.count_pulls();
        let next = self.index + 1;
        let slice = self.source.current();
        self.steps.enter_inputs(&slice);
        let tick = slice.ticks.get(next)?;
        let strategy = self.steps.pull_step(&slice, next, tick)?;
        let reach = if next == self.ahead.until { LONGEST_REACH.min(self.ahead.reach * 2) } else { SHORTEST_REACH };
        let until = self.steps.quiet_pulls(&slice, next + 1, reach, strategy);
        self.ahead = Ahead { block: slice.block.cloned(), until, counted: next, reach, strategy };
        self.index = next;
        Some(tick)
    }

    /// All accounts at one moment: between two steps, or within one that a pull has interrupted.
    pub fn snapshot(&mut self) -> Snapshot {
        self.count_pulls();
        let accounts = self.source.accounts();
        let seen = self.index + usize::from(self.pulled);
        let rest = self.source.current().ticks.len().saturating_sub(seen) as u64;
        self.steps.snapshot(accounts, rest)
    }

    /// Answers whoever has asked for a snapshot.
    #[inline(always)]
    fn answer_questions(&mut self) {
        let asked = self.snapshots.asked();
        if asked != self.answered {
            self.answer(asked, false);
        }
    }

    #[cold]
    fn answer(&mut self, asked: u64, is_final: bool) {
        self.answered = asked;
        let snapshot = self.snapshot();
        self.snapshots.answer(asked, snapshot, is_final);
    }

    pub(super) fn outcome_of(&mut self, pass: Pass) -> Outcome {
        match pass {
            Pass::Done | Pass::Called => Outcome::Slice,
            Pass::Pulled => {
                self.pulled = true;
                Outcome::Pulled
            }
            Pass::Reached => self.reached(),
            Pass::Gap(gap) => {
                (self.pulled, self.gap) = (true, Some(gap));
                Outcome::Pulled
            }
            // Without a reason to stop, it is the inbox that asked for attention.
            Pass::Halted => self.steps.halted().unwrap_or(Outcome::Slice),
        }
    }

    pub(super) fn complete_pull(&mut self) {
        self.count_pulls();
        self.ahead.until = 0;
        if std::mem::take(&mut self.pulled) {
            self.steps.end_tick();
            self.index += usize::from(self.gap.take().is_none());
        }
    }

    pub(super) fn end_of_data(&mut self) -> Outcome {
        self.index = 0;
        // What lanes ask for on account of the last ticks still counts.
        self.steps.rest_lanes();
        self.take_last_externals();
        if !self.source.goes_on_behind() {
            self.look_for_divergence();
        }
        if let Some(outcome) = self.steps.halted() {
            return outcome;
        }
        self.steps.end_of_data(&self.source.current());
        if self.source.goes_on_behind() && self.is_replaying() {
            return Outcome::Slice;
        }
        self.ended = true;
        self.steps.halted().unwrap_or(Outcome::End)
    }

    /// The tick that the pull subscriber was given; `None` outside [`Outcome::Pulled`].
    pub fn pulled(&self) -> Option<&Tick> {
        self.pulled.then(|| self.gap.as_ref().unwrap_or_else(|| &self.source.current().ticks[self.index]))
    }

    /// Whether the run was ended.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Ends the run: batches are flushed, `on_stop` hooks run in reverse order, states become STOPPED. Idempotent.
    pub fn finish(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            self.complete_pull();
            self.close_lanes();
            self.end_by_arrival();
            self.steps.stop_all(&self.source.current());
            self.steps.sample_last();
            self.steps.leave_slice(&self.source.current());
            self.source.finish();
            self.steps.desk.pulse().rest();
            self.answer(self.snapshots.asked(), true);
        }
    }

    /// The run goes on no more, short of its end: whoever waits for an answer gets one. Nothing else is called.
    pub fn leave(&mut self) {
        self.close_lanes();
        self.steps.close_inbox();
    }

    /// Moves a strategy along the transition table, between two steps.
    pub fn apply(&mut self, strategy: u32, ask: Ask, cause: Cause) -> Transition {
        self.count_pulls();
        self.ahead.until = 0;
        self.steps.apply_ask(strategy, ask, cause, &self.source.current())
    }

    /// Takes what other threads ask of lives.
    pub fn inbox(&self) -> &Arc<Inbox> {
        &self.steps.inbox
    }

    /// Keeps the steps of all lives.
    pub fn log(&self) -> &Arc<ChangeLog> {
        self.steps.desk.log()
    }

    /// How many ticks the loop has taken.
    pub fn input_count(&self) -> u64 {
        self.steps.inputs + self.uncounted() as u64
    }

    /// How many ticks are known to be in the source beyond those taken.
    pub fn remaining(&self) -> Option<u64> {
        let here = self.source.current().ticks.len() - self.index.min(self.source.current().ticks.len());
        self.source.remaining().map(|later| later + here as u64)
    }

    /// How many timers have fired.
    pub fn timers_fired(&self) -> u64 {
        self.steps.timers_fired
    }

    /// How many events entered the digest.
    pub fn event_count(&self) -> u64 {
        self.steps.digest.event_count()
    }

    /// Exact numbers of each strategy, in order of registration.
    pub fn accounts(&self) -> Vec<Account> {
        let uncounted = self.uncounted() as u64;
        let mut accounts = self.steps.accounts();
        for (strategy, account) in accounts.iter_mut().enumerate() {
            account.published += uncounted;
            let is_puller = strategy == self.ahead.strategy as usize;
            *(if is_puller { &mut account.delivered } else { &mut account.filtered }) += uncounted;
        }
        accounts
    }

    /// What strategies raised, in the order it happened.
    pub fn errors(&self) -> &[ErrorRecord<H::Failure>] {
        &self.steps.errors
    }

    /// What interrupted the run, if a handler did.
    pub fn interruption(&self) -> Option<&H::Failure> {
        self.steps.interruption.as_ref()
    }

    /// What the host could not show, if that ended the run.
    pub fn host_failure(&self) -> Option<&H::Failure> {
        self.steps.host_failure.as_ref()
    }

    /// All fills, in the order made.
    pub fn fills(&self) -> &Kept<Fill> {
        &self.steps.fills
    }

    /// What strategies were worth, in the order of time.
    pub fn worth_points(&self) -> &[super::sampler::WorthPoint] {
        &self.steps.sampler.points
    }

    /// The run digest; final once [`Self::finish`] was called.
    pub fn digest(&self) -> String {
        let accounts = self.accounts();
        let strategies: Vec<_> = accounts.iter().map(|account| (account.delivered, account.state)).collect();
        self.steps.digest.finish(&RunFacts {
            configuration: &self.settings.configuration,
            seed: self.settings.seed,
            order: self.arrival.is_none().then_some(self.settings.order),
            input_count: self.input_count(),
            fingerprints: &self.settings.fingerprints,
            interrupted: !self.ended,
            strategies: &strategies,
        })
    }
}
