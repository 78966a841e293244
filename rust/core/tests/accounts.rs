//! Accounts of feeds and strategies in runs by arrival: exact after every step, whatever policy, rule and fate.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tickrail_core::clock::LiveClock;
use tickrail_core::dispatch::{
    Account, BatchEdges, Delivery, Desk, Dispatcher, Fault, Hook, Host, Kinds, LagEpisode, LagRule, MaxLag, Outcome,
    RunSettings, Snapshot, Subscription, WhenLagging,
};
use tickrail_core::feed::{
    FeedEvent, FeedEventKind, FeedHub, FeedSettings, Loss, Numbering, OpenError, Policy, Publisher, Trades,
};
use tickrail_core::handler::HandlerError;
use tickrail_core::lifecycle::{Ask, Operation, PauseMode, State, by_run};
use tickrail_core::replay::{Recorder, Replay};
use tickrail_core::source::Source;
use tickrail_core::stop::{StopFlag, Waker};
use tickrail_core::timer::Fired;
use tickrail_core::venue::{OrderUpdate, SimulatedVenue};
use tickrail_core::{InstrumentInfo, Kind, Side, Tick, TickBlock};

const INSTRUMENTS: u32 = 3;
const CAPACITY: usize = 16;

/// What strategies were handed, and which of them fail at their next record.
#[derive(Default)]
struct Seen {
    ticks: Vec<Vec<Tick>>,
    /// GAP records: whose, their number, and how many ticks it had before.
    gaps: Vec<(u32, u64, usize)>,
    doomed: BTreeSet<u32>,
    episodes: Vec<(u32, LagEpisode)>,
    told: Vec<(u32, FeedEventKind)>,
}

#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Seen>>);

impl Notes {
    fn take(&self, strategy: u32, ticks: &[Tick]) -> Result<(), Fault<String>> {
        let mut seen = self.0.borrow_mut();
        let place = strategy as usize;
        if seen.ticks.len() <= place {
            seen.ticks.resize(place + 1, Vec::new());
        }
        let gaps: Vec<_> = ticks.iter().filter(|tick| tick.kind == Kind::Gap as u8).collect();
        let had = seen.ticks[place].len();
        seen.gaps.extend(gaps.into_iter().map(|gap| (strategy, gap.sequence, had)));
        // What the loop itself has made, to tell of ticks that were missed, is no record of a feed.
        seen.ticks[place].extend(ticks.iter().filter(|tick| tick.kind != Kind::Gap as u8));
        if seen.doomed.remove(&strategy) { Err(Fault::Failed("by design".to_owned())) } else { Ok(()) }
    }

    fn of(&self, strategy: usize) -> Vec<Tick> {
        self.0.borrow().ticks.get(strategy).cloned().unwrap_or_default()
    }
}

impl Host for Notes {
    type Failure = String;

    fn present(&mut self, _tick: &Tick) -> Result<(), String> {
        Ok(())
    }

    fn tick(&mut self, strategy: u32, tick: &Tick) -> Result<(), Fault<String>> {
        self.take(strategy, std::slice::from_ref(tick))
    }

    fn batch(&mut self, strategy: u32, batch: TickBlock) -> Result<(), Fault<String>> {
        self.take(strategy, batch.as_slice())
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

    fn hears(&self, _strategy: u32) -> bool {
        true
    }

    fn told(&mut self, strategy: u32, event: &FeedEvent) -> Result<(), Fault<String>> {
        self.0.borrow_mut().told.push((strategy, event.kind));
        Ok(())
    }

    fn lagged(&mut self, strategy: u32, episode: &LagEpisode) -> Result<(), Fault<String>> {
        self.0.borrow_mut().episodes.push((strategy, *episode));
        Ok(())
    }
}

struct Run {
    hub: Arc<FeedHub>,
    run: Dispatcher<Notes>,
    notes: Notes,
}

fn instruments() -> Vec<InstrumentInfo> {
    (0..INSTRUMENTS).map(|number| InstrumentInfo::named(format!("I{number}.SIM"))).collect()
}

fn build(source: Box<dyn Source>, slice_ticks: usize) -> (Dispatcher<Notes>, Notes) {
    let (desk, stop, notes) = (Desk::new(instruments()), Arc::new(StopFlag::new()), Notes::default());
    let venue = Box::new(SimulatedVenue::new(vec![0.0; INSTRUMENTS as usize]));
    let settings = RunSettings { slice_ticks, ..RunSettings::default() };
    (Dispatcher::new(settings, desk, source, venue, stop, notes.clone()), notes)
}

impl Run {
    fn new(slice_ticks: usize) -> Self {
        let hub = FeedHub::new(Arc::new(LiveClock::new()), instruments().into(), Arc::new(Waker::new()));
        let (run, notes) = build(Box::new(hub.arrivals()), slice_ticks);
        Self { hub, run, notes }
    }

    fn publisher(&self, name: &str, policy: Policy) -> Publisher {
        let settings =
            FeedSettings { policy, capacity_slots: CAPACITY, block_timeout: Duration::ZERO, ..FeedSettings::default() };
        self.hub.publisher(&self.hub.open(name, settings).unwrap()).unwrap()
    }

    fn strategy(&mut self, delivery: Delivery, instruments: Option<Vec<u32>>, rule: Option<LagRule>) -> u32 {
        let strategy =
            self.run.register(&Subscription { delivery, kinds: Kinds::ALL, instruments, order_updates: false });
        if let Some(rule) = rule {
            self.run.limit_lag(strategy, rule);
        }
        strategy
    }

    fn drain(&mut self) {
        while self.run.advance() == Outcome::Slice {}
    }

    fn account(&mut self, strategy: u32) -> Account {
        balanced(&self.run.snapshot()).strategies[strategy as usize]
    }
}

fn quote(number: u64) -> Tick {
    let price = 1.0 + number as f64 / 1_000.0;
    let instrument = (number % u64::from(INSTRUMENTS)) as u32;
    Tick { sequence: number, ..Tick::quote(number as i64 + 1, instrument, price, price, 1.0, 1.0) }
}

fn quotes(range: std::ops::Range<u64>) -> Vec<Tick> {
    range.map(quote).collect()
}

fn numbers(ticks: &[Tick]) -> Vec<u64> {
    ticks.iter().map(|tick| tick.sequence).collect()
}

fn rule(max: MaxLag, then: WhenLagging) -> Option<LagRule> {
    Some(LagRule { max, then })
}

/// Every equation of every account, and that the parts are the whole.
fn balanced(snapshot: &Snapshot) -> &Snapshot {
    for feed in &snapshot.feeds {
        let known = feed.taken + feed.dropped_newest + feed.dropped_oldest + feed.conflated + feed.pending;
        assert_eq!(feed.published, known, "{feed:?}");
        assert_eq!(feed.offered() + feed.made, feed.rejected + feed.published);
    }
    for (strategy, whole) in snapshot.strategies.iter().enumerate() {
        let mut sum = Account::new(whole.state);
        for feed in &snapshot.by_feed {
            let part = &feed[strategy];
            assert_eq!(part.published, part.explained(), "{part:?}");
            sum.published += part.published;
            sum.delivered += part.delivered;
            sum.filtered += part.filtered;
            sum.skipped += part.skipped;
            sum.paused += part.paused;
            sum.failed += part.failed;
            sum.stopped += part.stopped;
            sum.max_lag += part.max_lag;
            sum.dropped_newest += part.dropped_newest;
            sum.dropped_oldest += part.dropped_oldest;
            sum.conflated += part.conflated;
            sum.pending += part.pending;
        }
        assert_eq!(whole.published, whole.explained(), "{whole:?}");
        assert_eq!(whole.skipped, whole.paused + whole.failed + whole.stopped + whole.max_lag);
        if !snapshot.by_feed.is_empty() {
            assert_eq!(sum, *whole);
        }
    }
    snapshot
}

#[test]
fn a_strategy_that_skips_goes_on_with_the_newest_record_and_others_miss_nothing() {
    let mut run = Run::new(4);
    let mut publisher = run.publisher("feed", Policy::Block);
    let skips = run.strategy(Delivery::Ticks, None, rule(MaxLag::Records(5), WhenLagging::SkipToLatest));
    let patient = run.strategy(Delivery::Ticks, None, None);
    run.run.start();
    publisher.publish(&quotes(0..5), || true).unwrap();
    run.drain();
    publisher.publish(&quotes(5..15), || true).unwrap();
    run.drain();
    publisher.publish(&quotes(15..17), || true).unwrap();
    run.drain();
    assert_eq!(numbers(&run.notes.of(0)), [0, 1, 2, 3, 4, 14, 15, 16]);
    assert_eq!(numbers(&run.notes.of(1)), (0..17).collect::<Vec<_>>());
    let account = run.account(skips);
    assert_eq!((account.published, account.delivered, account.max_lag, account.skipped), (17, 8, 9, 9));
    assert_eq!(run.account(patient).delivered, 17);
    let episodes = run.notes.0.borrow().episodes.clone();
    assert_eq!(episodes.len(), 1, "one event for the whole of it");
    let (strategy, episode) = episodes[0];
    assert_eq!((strategy, episode.skipped, episode.conflated), (skips, 9, 0));
    assert!(episode.from_ns > 0 && episode.from_ns <= episode.until_ns);
}

#[test]
fn a_strategy_that_skips_is_told_of_gaps_in_what_it_skips() {
    let batches = Delivery::Batches(BatchEdges { max_ticks: 9, window_ns: 0 });
    for delivery in [Delivery::Ticks, batches] {
        let mut run = Run::new(4);
        let settings = FeedSettings { numbering: Numbering::ByPublisher, ..FeedSettings::default() };
        let mut publisher = run.hub.publisher(&run.hub.open("feed", settings).unwrap()).unwrap();
        let skips = run.strategy(delivery, None, rule(MaxLag::Records(5), WhenLagging::SkipToLatest));
        run.run.start();
        publisher.publish(&quotes(1..5), || true).unwrap();
        run.drain();
        publisher.publish(&quotes(5..9), || true).unwrap();
        publisher.publish(&quotes(12..19), || true).unwrap();
        run.drain();
        assert_eq!(numbers(&run.notes.of(0)), [1, 2, 3, 4, 18]);
        let gaps = run.notes.0.borrow().gaps.clone();
        assert_eq!(gaps, [(skips, 11, 4)], "before the newest record");
        let account = run.account(skips);
        assert_eq!((account.published, account.delivered, account.max_lag), (16, 6, 10));
    }
}

#[test]
fn a_strategy_that_conflates_gets_the_latest_of_each_instrument_and_kind_in_order_of_first_arrival() {
    let mut run = Run::new(4);
    let mut publisher = run.publisher("feed", Policy::Block);
    let latest = run.strategy(Delivery::Ticks, Some(vec![0, 1]), rule(MaxLag::Records(5), WhenLagging::Conflate));
    run.run.start();
    let mut ticks = quotes(0..9);
    ticks[3] = Tick { sequence: 3, ..Tick::trade(4, 0, 1.0, 2.0, Side::Buy) };
    publisher.publish(&ticks, || true).unwrap();
    run.drain();
    // 0 and 6 are of instrument 0, 3 is a trade of it; 1, 4 and 7 are of instrument 1; 2, 5 and 8 nobody wants.
    assert_eq!(numbers(&run.notes.of(0)), [6, 7, 3]);
    let account = run.account(latest);
    assert_eq!((account.delivered, account.conflated, account.filtered, account.pending), (3, 3, 3, 0));
    publisher.publish(&quotes(9..11), || true).unwrap();
    run.drain();
    assert_eq!(numbers(&run.notes.of(0))[3..], [9, 10]);
    assert_eq!(run.notes.0.borrow().episodes[0].1.conflated, 3);
}

#[test]
fn a_strategy_that_must_not_lag_fails_alone() {
    let mut run = Run::new(4);
    let mut publisher = run.publisher("feed", Policy::Block);
    let strict = run.strategy(Delivery::Ticks, None, rule(MaxLag::Records(5), WhenLagging::Fail));
    let other = run.strategy(Delivery::Ticks, None, None);
    run.run.start();
    publisher.publish(&quotes(0..5), || true).unwrap();
    run.drain();
    publisher.publish(&quotes(5..11), || true).unwrap();
    run.drain();
    let account = run.account(strict);
    assert_eq!((account.state, account.delivered, account.failed), (State::Failed, 5, 6));
    assert_eq!(run.account(other).delivered, 11);
    let error = &run.run.errors()[0];
    assert_eq!((error.strategy, error.handler), (strict, "max_lag"));
    assert!(error.failure.as_ref().unwrap().contains("6 records wait"));
}

#[test]
fn batches_conflate_and_a_rule_by_time_counts_from_the_feed() {
    let mut run = Run::new(64);
    let mut publisher = run.publisher("feed", Policy::Block);
    let edges = BatchEdges { max_ticks: 2, window_ns: 0 };
    let rules = [(MaxLag::Time(-1), WhenLagging::Conflate), (MaxLag::Time(i64::MAX), WhenLagging::SkipToLatest)];
    let [late, never] = rules.map(|(max, then)| run.strategy(Delivery::Batches(edges), None, rule(max, then)));
    run.run.start();
    publisher.publish(&quotes(0..9), || true).unwrap();
    run.drain();
    assert_eq!(numbers(&run.notes.of(late as usize)), [6, 7, 8]);
    assert_eq!(run.account(late).conflated, 6);
    assert_eq!(run.account(never).delivered, 9);
}

#[test]
fn a_replay_finds_the_lag_again() {
    let mut run = Run::new(4);
    let mut publisher = run.publisher("feed", Policy::Block);
    let rules = [WhenLagging::SkipToLatest, WhenLagging::Conflate, WhenLagging::Fail];
    let register = |run: &mut Dispatcher<Notes>| {
        for then in rules {
            let subscription =
                Subscription { delivery: Delivery::Ticks, kinds: Kinds::ALL, instruments: None, order_updates: false };
            let strategy = run.register(&subscription);
            run.limit_lag(strategy, LagRule { max: MaxLag::Records(5), then });
        }
    };
    register(&mut run.run);
    let mut recorder = Recorder::new(run.run.observe(1_024, true).unwrap().unwrap(), usize::MAX);
    run.run.start();
    for (from, to) in [(0, 4), (4, 14), (14, 15), (15, 31)] {
        publisher.publish(&quotes(from..to), || true).unwrap();
        run.drain();
    }
    run.run.finish();
    recorder.look();
    let recording = Arc::new(recorder.finish().unwrap());
    let (mut again, notes) = build(Box::new(Replay::new(recording)), 4);
    register(&mut again);
    again.start();
    while matches!(again.advance(), Outcome::Slice | Outcome::Idle) {}
    again.finish();
    for strategy in 0..rules.len() {
        assert_eq!(numbers(&notes.of(strategy)), numbers(&run.notes.of(strategy)));
    }
    assert_eq!(again.digest(), run.run.digest());
}

#[test]
fn watermarks_and_losses_are_inputs_that_a_replay_finds_again() {
    let mut run = Run::new(4);
    let settings = FeedSettings {
        policy: Policy::DropNewest,
        capacity_slots: CAPACITY,
        high_watermark: 12,
        low_watermark: 3,
        ..FeedSettings::default()
    };
    let mut publisher = run.hub.publisher(&run.hub.open("feed", settings).unwrap()).unwrap();
    run.strategy(Delivery::Ticks, None, None);
    let mut recorder = Recorder::new(run.run.observe(1_024, true).unwrap().unwrap(), usize::MAX);
    run.run.start();
    for (from, to) in [(0, 5), (5, 25), (25, 27), (27, 50)] {
        publisher.publish(&quotes(from..to), || true).unwrap();
        run.drain();
    }
    run.run.finish();
    let told = run.notes.0.borrow().told.clone();
    let kinds: Vec<_> = told
        .iter()
        .map(|(_, kind)| match kind {
            FeedEventKind::High { waiting } => ("high", *waiting),
            FeedEventKind::Low { waiting } => ("low", *waiting),
            FeedEventKind::Lossy(Loss { dropped_newest, from_ns, .. }) => {
                assert!(*from_ns > 1_700_000_000_000_000_000);
                ("lossy", *dropped_newest)
            }
        })
        .collect();
    // Slices end at the end of the ring: 4, 4, 3, 4 and 1 records, and the lag is looked at when each is taken.
    let expected = [("high", 16), ("low", 1), ("lossy", 4), ("high", 16), ("low", 3), ("lossy", 7)];
    assert_eq!(kinds, expected);
    recorder.look();
    let (mut again, notes) = build(Box::new(Replay::new(Arc::new(recorder.finish().unwrap()))), 4);
    again.register(&Subscription {
        delivery: Delivery::Ticks,
        kinds: Kinds::ALL,
        instruments: None,
        order_updates: false,
    });
    again.start();
    while matches!(again.advance(), Outcome::Slice | Outcome::Idle) {}
    again.finish();
    assert_eq!(notes.0.borrow().told, told);
    assert_eq!(again.digest(), run.run.digest());
}

#[test]
fn watermarks_that_cannot_be_are_refused() {
    let run = Run::new(4);
    for (low_watermark, high_watermark) in [(3, 3), (5, 3), (1, 0), (0, CAPACITY + 1)] {
        let settings =
            FeedSettings { capacity_slots: CAPACITY, high_watermark, low_watermark, ..FeedSettings::default() };
        let error = run.hub.open("feed", settings).unwrap_err();
        assert_eq!(error, OpenError::Watermarks { low: low_watermark, high: high_watermark, capacity_slots: CAPACITY });
    }
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Block),
        Just(Policy::Reject),
        Just(Policy::DropNewest),
        Just(Policy::DropOldest),
        Just(Policy::Conflate { trades: Trades::Keep }),
        Just(Policy::Conflate { trades: Trades::Sum }),
        Just(Policy::Conflate { trades: Trades::Drop }),
    ]
}

fn any_rule() -> impl Strategy<Value = Option<LagRule>> {
    let max = prop_oneof![
        (0..2 * CAPACITY as u64).prop_map(MaxLag::Records),
        Just(MaxLag::Time(-1)),
        Just(MaxLag::Time(20_000)),
    ];
    let then = prop_oneof![
        4 => Just(WhenLagging::SkipToLatest),
        4 => Just(WhenLagging::Conflate),
        1 => Just(WhenLagging::Fail),
    ];
    prop_oneof![1 => Just(None), 3 => (max, then).prop_map(|(max, then)| Some(LagRule { max, then }))]
}

fn any_delivery() -> impl Strategy<Value = Delivery> {
    prop_oneof![
        Just(Delivery::Ticks),
        (1..9usize).prop_map(|max_ticks| Delivery::Batches(BatchEdges { max_ticks, window_ns: 0 })),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Publish { publisher: usize, count: u64, trades: bool },
    Advance(usize),
    Operate { strategy: u32, operation: Operation },
    Doom(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    let operation = prop_oneof![
        8 => Just(Operation::Pause),
        8 => Just(Operation::Resume),
        1 => Just(Operation::Stop),
        1 => Just(Operation::Fail),
    ];
    prop_oneof![
        8 => (0..2usize, 0..24u64, any::<bool>())
            .prop_map(|(publisher, count, trades)| Step::Publish { publisher, count, trades }),
        8 => (1..6usize).prop_map(Step::Advance),
        2 => (0..4u32, operation).prop_map(|(strategy, operation)| Step::Operate { strategy, operation }),
        1 => (0..4u32).prop_map(Step::Doom),
    ]
}

/// How many cases: with 20 to 80 steps each, more than 100,000 steps in all.
const CASES: u32 = 2_500;

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    /// Two publishers, a loop that is behind, strategies that pause, resume, fail and stop: all accounts add up after every
    /// step, say what was really handed over and offered, and nobody gets a record twice or out of its publisher's order.
    #[test]
    fn every_policy_and_rule_accounts_exactly_after_every_step(
        policies in prop::array::uniform2(any_policy()),
        strategies in prop::collection::vec((any_delivery(), any_rule(), any::<bool>()), 1..5),
        slice_ticks in 1..20usize,
        steps in prop::collection::vec(any_step(), 20..80),
    ) {
        let mut run = Run::new(slice_ticks);
        let mut publishers = [run.publisher("a", policies[0]), run.publisher("b", policies[1])];
        for &(delivery, rule, all) in &strategies {
            run.strategy(delivery, (!all).then(|| vec![0, 2]), rule);
        }
        run.run.start();
        let (mut offered, mut operated) = ([0u64; 2], false);
        for step in steps {
            match step {
                Step::Publish { publisher, count, trades } => {
                    let from = offered[publisher];
                    let mut ticks = quotes(from..from + count);
                    for tick in ticks.iter_mut().filter(|tick| trades && tick.sequence % 2 == 0) {
                        *tick = Tick { sequence: tick.sequence, instrument: tick.instrument,
                            ..Tick::trade(tick.ts_event, 0, 1.0, 1.0, Side::Buy) };
                    }
                    ticks.iter_mut().for_each(|tick| tick.sequence |= (publisher as u64) << PUBLISHER_SHIFT);
                    offered[publisher] += count;
                    // Refusals are counted, and that is what is looked at.
                    let _ = publishers[publisher].publish(&ticks, || true);
                }
                Step::Advance(times) => (0..times).for_each(|_| { run.run.advance(); }),
                Step::Operate { strategy, operation } if (strategy as usize) < strategies.len() => {
                    operated = true;
                    let ask = if operation == Operation::Pause { Ask::pause(PauseMode::NoTicks) } else { Ask::new(operation) };
                    run.run.apply(strategy, ask, by_run());
                }
                Step::Doom(strategy) => { run.notes.0.borrow_mut().doomed.insert(strategy); }
                Step::Operate { .. } => {}
            }
            let snapshot = run.run.snapshot();
            balanced(&snapshot);
            for (feed, &count) in snapshot.feeds.iter().zip(&offered) {
                prop_assert_eq!(feed.offered(), count);
            }
            for (strategy, account) in snapshot.strategies.iter().enumerate() {
                prop_assert_eq!(account.delivered, run.notes.of(strategy).len() as u64);
            }
        }
        drop(publishers);
        run.hub.seal();
        while matches!(run.run.advance(), Outcome::Slice | Outcome::Idle) {}
        run.run.finish();
        let snapshot = run.run.snapshot();
        balanced(&snapshot);
        for (strategy, account) in snapshot.strategies.iter().enumerate() {
            prop_assert_eq!(account.pending, 0);
            prop_assert_eq!(account.delivered, run.notes.of(strategy).len() as u64);
            let is_whole = policies == [Policy::Reject; 2] && strategies[strategy].1.is_none() && !operated;
            if is_whole && account.state == State::Stopped {
                prop_assert_eq!(account.delivered + account.filtered, account.published);
            }
            in_order(&run.notes.of(strategy), strategies[strategy].1, &policies)?;
        }
    }
}

/// Where in a number the publisher's stands, so that no two records have the same.
const PUBLISHER_SHIFT: u32 = 32;

/// Each record comes at most once, and those of one publisher in its order; where something conflates, those of one
/// instrument and kind do.
fn in_order(seen: &[Tick], rule: Option<LagRule>, policies: &[Policy; 2]) -> Result<(), TestCaseError> {
    let latest_only = matches!(rule, Some(LagRule { then: WhenLagging::Conflate, .. }));
    let mut latest = std::collections::BTreeMap::new();
    for tick in seen.iter().filter(|tick| tick.kind <= Kind::Bar as u8) {
        let publisher = (tick.sequence >> PUBLISHER_SHIFT) as usize;
        let conflates = latest_only || matches!(policies[publisher], Policy::Conflate { .. });
        let place = if conflates { (publisher, tick.instrument, tick.kind) } else { (publisher, 0, 0) };
        let before = latest.insert(place, tick.sequence);
        prop_assert!(before.is_none_or(|before| before < tick.sequence), "{} after {before:?}", tick.sequence);
    }
    Ok(())
}
