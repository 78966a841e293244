//! Rules for lag: what becomes of a strategy's records when the loop is behind its feeds.
//!
//! All strategies of the loop share its lag, and a slow one makes it; so each may declare what it does without. The lag is
//! looked at when a slice is taken. Where it is beyond the strategy's limit, a *window* begins, which ends with the newest
//! record that its publisher had brought by then: what is in it is skipped, or waits as the latest of its instrument and kind.
//! Nothing is looked at per tick: a strategy in a window takes its ticks by another way (`Delivery::Lagging`).
//!
//! A window is counted in records and seen from the order taken, so a replay finds it again.

use std::collections::HashMap;

use super::arrival::NOTHING;
use super::host::{Host, LagEpisode};
use super::pulse::Doing;
use super::step::Steps;
use super::subscriber::Delivery;
use crate::block::TickBlock;
use crate::digest::EventKind;
use crate::handler::HandlerError;
use crate::lifecycle::Cause;
use crate::source::{Slice, Taken};
use crate::tick::{Kind, Tick};

/// How far behind is too far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxLag {
    /// More records than this wait in the ring of a publisher.
    Records(u64),
    /// The record that is taken next has waited longer than this, ns.
    Time(i64),
}

/// What happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenLagging {
    /// Records up to the newest are skipped; GAP and STALE come before it.
    SkipToLatest,
    /// Of each instrument and kind only the latest record up to the newest is delivered, in order of first arrival.
    Conflate,
    /// The strategy fails.
    Fail,
}

impl WhenLagging {
    /// The treatment named `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "skip_to_latest" => Some(Self::SkipToLatest),
            "conflate" => Some(Self::Conflate),
            "fail" => Some(Self::Fail),
            _ => None,
        }
    }
}

/// A strategy's rule for lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LagRule {
    /// How far behind is too far.
    pub max: MaxLag,
    /// What happens then.
    pub then: WhenLagging,
}

/// A record that waits as the latest, and the feed that it came from.
type Waiting = (Tick, usize);

/// One strategy's rule, and where it stands.
#[derive(Debug)]
pub(super) struct Lagger {
    rule: LagRule,
    /// How the strategy takes its ticks otherwise.
    usual: Delivery,
    /// How many records are left of each publisher's window.
    windows: HashMap<u32, u64>,
    /// The present slice's records before this index are in the window.
    until: usize,
    /// What waits, in order of first arrival, and where each instrument and kind stands in it.
    latest: Vec<Waiting>,
    places: HashMap<(u32, u8), usize>,
    episode: Option<LagEpisode>,
}

impl Lagger {
    pub fn new(rule: LagRule, usual: Delivery) -> Self {
        let (windows, places) = (HashMap::new(), HashMap::new());
        Self { rule, usual, windows, until: 0, latest: Vec::new(), places, episode: None }
    }

    /// How the strategy takes its ticks outside windows.
    pub const fn usual(&self) -> Delivery {
        self.usual
    }

    /// Whether a window has begun whose end nobody was told.
    pub const fn is_at_work(&self) -> bool {
        self.episode.is_some()
    }

    /// How many records wait.
    pub fn waiting(&self) -> u64 {
        self.latest.len() as u64
    }

    /// How many records of `feed` wait.
    pub fn waiting_of(&self, feed: usize) -> u64 {
        self.latest.iter().filter(|(_, of)| *of == feed).count() as u64
    }

    fn is_beyond(&self, taken: &Taken, first: &Tick) -> bool {
        match self.rule.max {
            MaxLag::Records(most) => taken.waiting > most,
            MaxLag::Time(most_ns) => taken.now_ns.saturating_sub(first.ts_init) > most_ns,
        }
    }

    /// How much of a window that reaches to the newest record is not delivered at once.
    fn reach(&self, taken: &Taken) -> u64 {
        match self.rule.then {
            WhenLagging::SkipToLatest => taken.waiting.saturating_sub(1),
            WhenLagging::Conflate | WhenLagging::Fail => taken.waiting,
        }
    }

    /// Keeps `tick` as the latest; gives the one that it replaces.
    fn keep(&mut self, tick: &Tick, feed: usize) -> Option<Waiting> {
        let is_latest = is_of_market(tick);
        let place = self.latest.len();
        if is_latest && let Some(&place) = self.places.get(&(tick.instrument, tick.kind)) {
            return Some(std::mem::replace(&mut self.latest[place], (*tick, feed)));
        }
        if is_latest {
            self.places.insert((tick.instrument, tick.kind), place);
        }
        self.latest.push((*tick, feed));
        None
    }

    fn take(&mut self) -> Vec<Waiting> {
        self.places.clear();
        std::mem::take(&mut self.latest)
    }
}

/// Each record of another kind says something of its own: nothing replaces it, and it is not skipped.
fn is_of_market(tick: &Tick) -> bool {
    [Kind::Quote, Kind::Trade, Kind::Bar].iter().any(|&kind| kind as u8 == tick.kind)
}

impl<H: Host> Steps<H> {
    /// Gives a strategy a rule for lag.
    pub(super) fn limit_lag(&mut self, strategy: u32, rule: LagRule) {
        let subscriber = &mut self.subscribers[strategy as usize];
        subscriber.lagger = Some(Box::new(Lagger::new(rule, subscriber.delivery)));
        self.has_lag_rules = true;
    }

    /// A slice was taken: who is too far behind, and who still is.
    #[cold]
    pub(super) fn look_at_lag(&mut self, slice: &Slice<'_>, taken: &Taken) {
        for strategy in 0..self.subscribers.len() as u32 {
            let subscriber = &mut self.subscribers[strategy as usize];
            let (takes_ticks, count) = (subscriber.state.takes_ticks(), slice.ticks.len() as u64);
            let Some(lagger) = subscriber.lagger.as_deref_mut() else { continue };
            if !takes_ticks {
                lagger.windows.clear();
                (lagger.until, subscriber.delivery) = (0, lagger.usual);
                continue;
            }
            let reach = lagger.reach(taken);
            let window = lagger.windows.get(&taken.publisher).copied().unwrap_or(0).min(reach);
            let begins = window == 0 && reach > 0 && lagger.is_beyond(taken, &slice.ticks[0]);
            let window = if begins { reach } else { window };
            lagger.until = window.min(count) as usize;
            lagger.windows.insert(taken.publisher, window - lagger.until as u64);
            // What waits, of another publisher's window too, comes before the first tick of this slice that is in none.
            let is_lagging = lagger.until > 0 || lagger.waiting() > 0;
            subscriber.delivery = if is_lagging { Delivery::Lagging } else { lagger.usual };
            if begins {
                self.begin_window(strategy, taken);
            }
        }
    }

    fn begin_window(&mut self, strategy: u32, taken: &Taken) {
        let position = self.desk.position();
        let mut payload = [0; 12];
        payload[..4].copy_from_slice(&taken.publisher.to_le_bytes());
        payload[4..].copy_from_slice(&taken.waiting.to_le_bytes());
        self.digest.event(position, strategy, EventKind::Lag, &payload);
        let Some(lagger) = self.subscribers[strategy as usize].lagger.as_deref_mut() else { return };
        if lagger.rule.then == WhenLagging::Fail {
            (lagger.until, self.subscribers[strategy as usize].delivery) = (0, lagger.usual);
            let failure = self.host.handler_failure(strategy, HandlerError::Lagged { waiting: taken.waiting });
            self.record_error(strategy, "max_lag", None, Some(failure));
            self.fail(strategy, Cause::Borrowed("max_lag"));
            self.judge(strategy);
            return;
        }
        lagger.episode.get_or_insert(LagEpisode { from_ns: taken.now_ns, ..LagEpisode::default() });
    }

    /// A tick of a strategy that was in a window when the slice was taken.
    #[cold]
    pub(super) fn lagging_tick(&mut self, slice: &Slice<'_>, index: usize, key: i64, strategy: u32) {
        let feed = self.by_feed.feed();
        let subscriber = &mut self.subscribers[strategy as usize];
        let Some(lagger) = subscriber.lagger.as_deref_mut() else { return };
        if index >= lagger.until {
            self.leave_window(strategy);
            return self.deliver_now(slice, index, key, strategy);
        }
        if lagger.rule.then == WhenLagging::SkipToLatest && is_of_market(&slice.ticks[index]) {
            lagger.episode.get_or_insert_default().skipped += 1;
            subscriber.tallies.now.max_lag += 1;
        } else if let Some((_, of)) = lagger.keep(&slice.ticks[index], feed) {
            lagger.episode.get_or_insert_default().conflated += 1;
            subscriber.tallies.of(of).conflated += 1;
        }
    }

    fn deliver_now(&mut self, slice: &Slice<'_>, index: usize, key: i64, strategy: u32) {
        let tick = &slice.ticks[index];
        let subscriber = &mut self.subscribers[strategy as usize];
        if !subscriber.state.takes_ticks() {
            return self.miss(strategy, tick.instrument);
        }
        if matches!(subscriber.delivery, Delivery::Batches(_)) {
            return self.collect(slice, index, key, strategy);
        }
        subscriber.tallies.now.delivered += 1;
        self.hand_over(strategy, tick);
    }

    fn hand_over(&mut self, strategy: u32, tick: &Tick) {
        if self.subscribers[strategy as usize].handler.is_some() {
            self.record(strategy, tick);
        } else if let Err(failure) = self.host.present(tick) {
            self.cannot_show(failure);
        } else if let Err(fault) = self.called_with(strategy, tick) {
            let handler = self.host.tick_handler(strategy, tick);
            self.fault(strategy, handler, Some(*tick), fault);
        }
    }

    /// The slice is done: windows that end with it are left.
    #[cold]
    pub(super) fn leave_windows(&mut self) {
        for strategy in 0..self.subscribers.len() as u32 {
            let subscriber = &self.subscribers[strategy as usize];
            let Some(lagger) = subscriber.lagger.as_deref() else { continue };
            let is_within = lagger.windows.values().any(|&left| left > 0);
            if lagger.is_at_work() && !is_within {
                self.leave_window(strategy);
                self.apply_requests();
                self.tell_episode(strategy);
            }
        }
    }

    /// The strategy takes its ticks as usual again, what waits first.
    fn leave_window(&mut self, strategy: u32) {
        let subscriber = &mut self.subscribers[strategy as usize];
        if let Some(lagger) = subscriber.lagger.as_deref_mut() {
            (lagger.until, subscriber.delivery) = (0, lagger.usual);
        }
        self.hand_over_latest(strategy);
    }

    /// Hands over what waits as the latest, behind a batch that was begun before it.
    pub(super) fn hand_over_latest(&mut self, strategy: u32) {
        let subscriber = &self.subscribers[strategy as usize];
        let waits = subscriber.lagger.as_deref().is_some_and(|lagger| lagger.waiting() > 0);
        if waits && subscriber.batcher.len() > 0 {
            // Nothing of the present slice is in it: what waits has come instead.
            self.flush_batch(&NOTHING, strategy);
        }
        let subscriber = &mut self.subscribers[strategy as usize];
        let Some(lagger) = subscriber.lagger.as_deref_mut().filter(|lagger| lagger.waiting() > 0) else { return };
        let (waiting, usual) = (lagger.take(), lagger.usual);
        if let Delivery::Batches(edges) = usual {
            return waiting.chunks(edges.max_ticks).for_each(|chunk| self.hand_over_batch(strategy, chunk));
        }
        for (tick, feed) in waiting {
            if self.count_delivered(strategy, feed) {
                self.hand_over(strategy, &tick);
            }
        }
    }

    fn hand_over_batch(&mut self, strategy: u32, waiting: &[Waiting]) {
        let mut takes_ticks = false;
        for (_, feed) in waiting {
            takes_ticks = self.count_delivered(strategy, *feed);
        }
        if !takes_ticks {
            return;
        }
        let ticks: Vec<Tick> = waiting.iter().map(|(tick, _)| *tick).collect();
        let last = ticks.last().copied();
        if self.subscribers[strategy as usize].handler.is_some() {
            return self.machine_batch(strategy, &ticks, last);
        }
        self.desk.pulse().enter(strategy, Doing::Batch);
        if let Err(fault) = self.host.batch(strategy, TickBlock::from_vec(ticks)) {
            self.fault(strategy, "on_batch", last, fault);
        }
    }

    /// Counts a record that waited, as delivered where the strategy still takes ticks.
    fn count_delivered(&mut self, strategy: u32, feed: usize) -> bool {
        let subscriber = &mut self.subscribers[strategy as usize];
        let (state, tally) = (subscriber.state.get(), subscriber.tallies.of(feed));
        if subscriber.state.takes_ticks() {
            tally.delivered += 1;
            return true;
        }
        tally.skip(state, 1);
        false
    }

    /// A strategy that fails loses what waits.
    pub(super) fn discard_latest(&mut self, strategy: u32) {
        let subscriber = &mut self.subscribers[strategy as usize];
        let Some(lagger) = subscriber.lagger.as_deref_mut() else { return };
        for (_, feed) in lagger.take() {
            subscriber.tallies.of(feed).failed += 1;
        }
        (lagger.until, subscriber.delivery, lagger.episode) = (0, lagger.usual, None);
        lagger.windows.clear();
    }

    /// Nothing waits anywhere: whatever was left of windows is over.
    #[cold]
    pub(super) fn end_windows(&mut self) {
        let laggers = self.subscribers.iter_mut().filter_map(|subscriber| subscriber.lagger.as_deref_mut());
        laggers.for_each(|lagger| lagger.windows.clear());
        self.leave_windows();
    }

    fn tell_episode(&mut self, strategy: u32) {
        let until_ns = self.desk.now_ns();
        let lagger = self.subscribers[strategy as usize].lagger.as_deref_mut();
        let Some(episode) = lagger.and_then(|lagger| lagger.episode.take()) else { return };
        if self.subscribers[strategy as usize].state.takes_ticks() {
            self.next_position();
            self.desk.pulse().enter(strategy, Doing::Event);
            if let Err(fault) = self.host.lagged(strategy, &LagEpisode { until_ns, ..episode }) {
                self.fault(strategy, "on_event", None, fault);
            }
            self.apply_requests();
        }
    }
}
