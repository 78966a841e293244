use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::check::Problem;
use crate::clock::{Clock as _, LiveClock};
use crate::instrument::InstrumentInfo;
use crate::source::{Advance, Source as _};
use crate::stop::Waker;
use crate::tick::{Kind, Side, Tick};

mod looks;
mod marks;
mod rates;
mod windows;

const INSTRUMENTS: u32 = 4;

fn hub() -> Arc<FeedHub> {
    let instruments = (0..INSTRUMENTS).map(|number| InstrumentInfo::named(format!("I{number}.SIM"))).collect();
    FeedHub::new(Arc::new(LiveClock::new()), instruments, Arc::new(Waker::new()))
}

fn settings(policy: Policy, capacity_slots: usize) -> FeedSettings {
    FeedSettings { policy, capacity_slots, block_timeout: Duration::from_millis(20), ..FeedSettings::default() }
}

fn quote(number: u64) -> Tick {
    let value = 1.0 + number as f64;
    let quote = Tick::quote(number as i64 + 1, number as u32 % INSTRUMENTS, value, value, value, value);
    Tick { sequence: number + 1, ..quote }
}

fn quotes(range: std::ops::Range<u64>) -> Vec<Tick> {
    range.map(quote).collect()
}

fn open(settings: FeedSettings) -> (Publisher, Arrivals) {
    let hub = hub();
    let feed = hub.open("feed", settings).unwrap();
    (hub.publisher(&feed).unwrap(), hub.arrivals())
}

/// Everything that is there now.
fn drain(arrivals: &mut Arrivals) -> Vec<Tick> {
    let mut all = Vec::new();
    while arrivals.advance(64) == Advance::Ready {
        all.extend_from_slice(arrivals.current().ticks);
    }
    all
}

fn numbers(ticks: &[Tick]) -> Vec<u64> {
    ticks.iter().map(|tick| tick.sequence - 1).collect()
}

fn account(arrivals: &mut Arrivals) -> FeedAccount {
    let account = arrivals.accounts().remove(0);
    let known = account.taken + account.dropped_newest + account.dropped_oldest + account.conflated + account.pending;
    assert_eq!(account.published, known);
    assert_eq!(account.offered() + account.made, account.rejected + account.published);
    account
}

#[test]
fn records_arrive_stamped_and_in_order() {
    let (mut publisher, mut arrivals) = open(settings(Policy::Block, 8));
    assert_eq!(arrivals.advance(64), Advance::Pending);
    publisher.publish(&quotes(0..5), || true).unwrap();
    let all = drain(&mut arrivals);
    assert_eq!(numbers(&all), [0, 1, 2, 3, 4]);
    assert!(all.iter().all(|tick| tick.ts_init > 1_700_000_000_000_000_000));
    assert_eq!((account(&mut arrivals).taken, account(&mut arrivals).offered()), (5, 5));
}

#[test]
fn publishers_take_turns_and_a_quiet_one_delays_nobody() {
    let hub = hub();
    let mut publishers: Vec<Publisher> = ["a", "b", "c"]
        .into_iter()
        .map(|name| hub.publisher(&hub.open(name, settings(Policy::Block, 64)).unwrap()).unwrap())
        .collect();
    let mut arrivals = hub.arrivals();
    publishers[0].publish(&quotes(0..6), || true).unwrap();
    publishers[2].publish(&quotes(10..16), || true).unwrap();
    let mut order = Vec::new();
    while arrivals.advance(2) == Advance::Ready {
        let slice = arrivals.current();
        order.push((slice.feeds.at(0), numbers(slice.ticks)));
    }
    let expected = [(0, [0, 1]), (2, [10, 11]), (0, [2, 3]), (2, [12, 13]), (0, [4, 5]), (2, [14, 15])];
    assert_eq!(order, expected.map(|(feed, numbers)| (feed, numbers.to_vec())));
}

#[test]
fn a_full_ring_is_waited_for_and_then_given_up_by_block() {
    let (mut publisher, mut arrivals) = open(settings(Policy::Block, 4));
    let error = publisher.publish(&quotes(0..6), || true).unwrap_err();
    assert_eq!(error, NotPublished::TimedOut { taken: 4, offered: 6 });
    assert_eq!(numbers(&drain(&mut arrivals)), [0, 1, 2, 3]);
    let account = account(&mut arrivals);
    assert_eq!((account.offered(), account.published, account.refused, account.waits), (6, 4, 2, 1));
    assert!(account.waited_ns >= 20_000_000);
}

#[test]
fn one_record_finds_a_full_ring_or_a_run_that_is_over() {
    for policy in [Policy::Block, Policy::Reject] {
        let (mut publisher, mut arrivals) = open(settings(policy, 2));
        let given = |publisher: &mut Publisher, number| publisher.offer_one(&quote(number), publisher.now_ns());
        assert_eq!([0, 1, 2].map(|number| given(&mut publisher, number)), [true, true, false]);
        assert_eq!(numbers(&drain(&mut arrivals)), [0, 1]);
        assert!(given(&mut publisher, 4));
        drop(arrivals);
        assert!(!given(&mut publisher, 5));
    }
}

#[test]
fn a_wait_ends_when_the_caller_or_the_run_does() {
    let (mut publisher, arrivals) =
        open(FeedSettings { block_timeout: Duration::from_secs(60), ..settings(Policy::Block, 2) });
    let error = publisher.publish(&quotes(0..3), || false).unwrap_err();
    assert_eq!(error, NotPublished::Interrupted { taken: 2, offered: 3 });
    let waiting = thread::spawn(move || publisher.publish(&quotes(3..5), || true));
    thread::yield_now();
    drop(arrivals);
    assert_eq!(waiting.join().unwrap(), Err(NotPublished::Closed { taken: 0, offered: 2 }));
}

#[test]
fn a_full_ring_is_told_at_once_by_reject() {
    let (mut publisher, mut arrivals) = open(settings(Policy::Reject, 4));
    assert_eq!(publisher.publish(&quotes(0..6), || true), Err(NotPublished::Full { taken: 4, offered: 6 }));
    assert_eq!(numbers(&drain(&mut arrivals)), [0, 1, 2, 3]);
    assert_eq!((account(&mut arrivals).refused, account(&mut arrivals).rejected), (2, 2));
    publisher.publish(&quotes(4..6), || true).unwrap();
    assert_eq!(numbers(&drain(&mut arrivals)), [4, 5]);
}

#[test]
fn the_newest_or_the_oldest_go_by_the_policy_and_are_counted() {
    let (mut publisher, mut arrivals) = open(settings(Policy::DropNewest, 4));
    publisher.publish(&quotes(0..10), || true).unwrap();
    assert_eq!(numbers(&drain(&mut arrivals)), [0, 1, 2, 3]);
    assert_eq!((account(&mut arrivals).dropped_newest, account(&mut arrivals).published), (6, 10));

    let (mut publisher, mut arrivals) = open(settings(Policy::DropOldest, 4));
    publisher.publish(&quotes(0..10), || true).unwrap();
    assert_eq!((account(&mut arrivals).dropped_oldest, account(&mut arrivals).pending), (6, 4));
    assert_eq!(numbers(&drain(&mut arrivals)), [6, 7, 8, 9]);
    assert_eq!((account(&mut arrivals).dropped_oldest, account(&mut arrivals).published), (6, 10));
}

fn trade(number: u64, instrument: u32, size: f64) -> Tick {
    let trade = Tick::trade(number as i64 + 1, instrument, number as f64, size, Side::Buy);
    Tick { sequence: number + 1, ..trade }
}

#[test]
fn conflation_keeps_the_latest_quote_of_each_instrument_in_order_of_first_arrival() {
    let (mut publisher, mut arrivals) = open(settings(Policy::Conflate { trades: Trades::Keep }, 4));
    publisher.publish(&quotes(1..11), || true).unwrap();
    assert_eq!(numbers(&drain(&mut arrivals)), [9, 10, 7, 8]);
    let account = account(&mut arrivals);
    assert_eq!((account.conflated, account.taken, account.pending), (6, 4, 0));
}

#[test]
fn trades_are_kept_summed_or_dropped_where_quotes_are_conflated() {
    let mut ticks: Vec<Tick> = (0..6).map(|number| trade(number, number as u32 % 2, 0.5)).collect();
    ticks.push(quote(6));
    let conflate = |trades| open(settings(Policy::Conflate { trades }, 2));

    let (mut publisher, mut arrivals) = conflate(Trades::Keep);
    assert_eq!(publisher.publish(&ticks, || true), Err(NotPublished::Full { taken: 2, offered: 7 }));
    assert_eq!(numbers(&drain(&mut arrivals)), [0, 1]);
    assert_eq!(account(&mut arrivals).refused, 5);

    let (mut publisher, mut arrivals) = conflate(Trades::Sum);
    publisher.publish(&ticks, || true).unwrap();
    let all = drain(&mut arrivals);
    let trades: Vec<_> = all.iter().filter(|tick| tick.kind == Kind::Trade as u8).collect();
    assert_eq!(trades.iter().map(|tick| tick.values[2]).collect::<Vec<_>>(), [0.5, 0.5, 1.0, 1.0]);
    assert_eq!((trades[2].values[0], trades[3].values[0]), (4.0, 5.0), "the last price");
    assert_eq!((account(&mut arrivals).conflated, account(&mut arrivals).taken), (2, 5));

    let (mut publisher, mut arrivals) = conflate(Trades::Drop);
    publisher.publish(&ticks, || true).unwrap();
    assert_eq!(numbers(&drain(&mut arrivals)), [6]);
    assert_eq!(account(&mut arrivals).dropped_newest, 6);
}

#[test]
fn what_breaks_a_rule_is_rejected_counted_and_keeps_nobody_back() {
    let (mut publisher, mut arrivals) = open(settings(Policy::Block, 16));
    let bad = [
        (Tick { values: [f64::NAN, 1.0, 1.0, 1.0], ..quote(0) }, Problem::PriceNotFinite),
        (Tick { values: [1.0, f64::INFINITY, 1.0, 1.0], ..quote(0) }, Problem::PriceNotFinite),
        (Tick { values: [-1.0, 1.0, 1.0, 1.0], ..quote(0) }, Problem::NegativePrice),
        (Tick { values: [1.0, 1.0, -1.0, 1.0], ..quote(0) }, Problem::BadSize),
        (Tick { instrument: INSTRUMENTS, ..quote(0) }, Problem::NoInstrument),
        (Tick { kind: 99, ..quote(0) }, Problem::UnknownKind),
        (Tick { ts_event: 0, ..quote(0) }, Problem::TimeNotPositive),
        (Tick { ts_event: i64::MAX, ..quote(0) }, Problem::TimeAhead),
        (Tick { side: 7, ..quote(0) }, Problem::UnknownSide),
        (trade(0, 0, 0.0), Problem::ZeroSizeTrade),
    ];
    for (tick, problem) in bad {
        publisher.publish(&[quote(1), tick, quote(2)], || true).unwrap();
        assert_eq!(numbers(&drain(&mut arrivals)), [1, 2], "{problem:?}");
        assert!(account(&mut arrivals).invalid[problem as usize] > 0, "{problem:?}");
    }
    let account = account(&mut arrivals);
    assert_eq!((account.rejected, account.offered()), (bad.len() as u64, 3 * bad.len() as u64));
}

#[test]
fn time_that_runs_backwards_passes_is_rejected_or_is_put_in_order() {
    const SECOND_NS: i64 = 1_000_000_000;
    let times = [10, 30, 20, 25, 40, 5, 60];
    let ticks: Vec<Tick> = times.map(|time| Tick { ts_event: time * SECOND_NS, ..quote(time as u64) }).to_vec();
    let run = |backwards| {
        let (mut publisher, mut arrivals) = open(FeedSettings { backwards, ..settings(Policy::Block, 16) });
        publisher.publish(&ticks, || true).unwrap();
        let before: Vec<i64> = drain(&mut arrivals).iter().map(|tick| tick.ts_event / SECOND_NS).collect();
        publisher.close();
        let after: Vec<i64> = drain(&mut arrivals).iter().map(|tick| tick.ts_event / SECOND_NS).collect();
        let account = account(&mut arrivals);
        assert_eq!(account.offered(), times.len() as u64);
        (before, after, account.backwards, account.invalid[Problem::KeyBackwards as usize])
    };
    assert_eq!(run(Backwards::Pass), (times.to_vec(), vec![], 3, 0));
    assert_eq!(run(Backwards::Reject), (vec![10, 30, 40, 60], vec![], 0, 3));
    assert_eq!(run(Backwards::Reorder { window_ns: 15 * SECOND_NS }), (vec![10, 20, 25, 30, 40], vec![60], 2, 1));
}

#[test]
fn a_time_far_ahead_is_refused_and_makes_nothing_late() {
    let instruments = [InstrumentInfo { bar_duration_ns: MAX_AHEAD_NS, ..InstrumentInfo::named("I.SIM") }];
    let clock = Arc::new(LiveClock::new());
    let ahead = |by_ns: i64, tick: Tick| Tick { ts_event: clock.now_ns() + by_ns, ..tick };
    let bar = Tick { kind: Kind::Bar as u8, sequence: 0, values: [1.0; 4], ..quote(0) };
    let hour_ns = MAX_AHEAD_NS / 24;
    for backwards in [Backwards::Pass, Backwards::Reject, Backwards::Reorder { window_ns: 1 }] {
        for is_one_by_one in [false, true] {
            let hub = FeedHub::new(Arc::clone(&clock), instruments.to_vec().into(), Arc::new(Waker::new()));
            let feed = hub.open("feed", FeedSettings { backwards, ..settings(Policy::Block, 16) }).unwrap();
            let (mut publisher, mut arrivals) = (hub.publisher(&feed).unwrap(), hub.arrivals());
            let ticks = [
                quote(0),
                ahead(100 * MAX_AHEAD_NS, quote(0)),
                ahead(MAX_AHEAD_NS + hour_ns, quote(0)),
                quote(0),
                ahead(MAX_AHEAD_NS - hour_ns, quote(0)),
                ahead(2 * MAX_AHEAD_NS - hour_ns, bar),
                ahead(2 * MAX_AHEAD_NS + hour_ns, bar),
            ];
            let size = if is_one_by_one { 1 } else { ticks.len() };
            ticks.chunks(size).for_each(|some| publisher.publish(some, || true).unwrap());
            publisher.flush();
            let taken: Vec<(u8, i64)> = drain(&mut arrivals).iter().map(|tick| (tick.kind, tick.ts_event)).collect();
            let expected = [0, 3, 4, 5].map(|place: usize| (ticks[place].kind, ticks[place].ts_event));
            assert_eq!(taken, expected, "{backwards:?}");
            let account = account(&mut arrivals);
            assert_eq!((account.invalid[Problem::TimeAhead as usize], account.rejected, account.backwards), (3, 3, 0));
        }
    }
}

#[test]
fn closing_ends_it_after_what_was_published_and_frees_the_place() {
    let hub = hub();
    let feed = hub.open("feed", settings(Policy::Block, 8)).unwrap();
    let mut publisher = hub.publisher(&feed).unwrap();
    let mut other = hub.publisher(&feed).unwrap();
    let mut arrivals = hub.arrivals();
    publisher.publish(&quotes(0..3), || true).unwrap();
    drop(publisher);
    other.publish(&quotes(3..4), || true).unwrap();
    assert_eq!(numbers(&drain(&mut arrivals)), [0, 1, 2, 3]);
    assert_eq!(account(&mut arrivals).publishers, 1);
    hub.close();
    assert_eq!(other.publish(&quotes(4..5), || true), Err(NotPublished::Closed { taken: 0, offered: 1 }));
    assert_eq!(hub.publisher(&feed).unwrap_err(), OpenError::Closed { name: "feed".to_owned() });
    assert_eq!(hub.open("later", settings(Policy::Block, 8)).unwrap_err(), OpenError::Sealed);
    drop(other);
    assert_eq!(arrivals.advance(64), Advance::End);
    assert_eq!((account(&mut arrivals).taken, account(&mut arrivals).offered()), (4, 5));
}

#[test]
fn a_closed_feed_ends_although_its_publisher_is_still_there() {
    let hub = hub();
    let feed = hub.open("feed", settings(Policy::Block, 8)).unwrap();
    let mut publisher = hub.publisher(&feed).unwrap();
    let mut arrivals = hub.arrivals();
    publisher.publish(&quotes(0..3), || true).unwrap();
    hub.close();
    assert_eq!(numbers(&drain(&mut arrivals)), [0, 1, 2]);
    assert_eq!(arrivals.advance(64), Advance::End);
    assert_eq!(publisher.publish(&quotes(3..5), || true), Err(NotPublished::Closed { taken: 0, offered: 2 }));
    assert_eq!((account(&mut arrivals).offered(), account(&mut arrivals).refused), (5, 2));
    drop(publisher);
    assert_eq!((account(&mut arrivals).offered(), account(&mut arrivals).abandoned), (5, 0));
}

#[test]
fn a_publisher_that_does_not_come_out_of_a_call_is_given_up_and_counted() {
    let hub = hub();
    let feed = hub.open("feed", settings(Policy::Block, 8)).unwrap();
    let publisher = hub.publisher(&feed).unwrap();
    let mut arrivals = hub.arrivals();
    publisher.stick();
    hub.close();
    while arrivals.advance(64) != Advance::End {
        thread::yield_now();
    }
    assert_eq!(account(&mut arrivals).abandoned, 1);
}

#[test]
fn feeds_that_cannot_be_are_refused() {
    let hub = hub();
    hub.open("feed", settings(Policy::Block, 8)).unwrap();
    assert_eq!(hub.open("feed", settings(Policy::Block, 8)).unwrap_err(), OpenError::Taken { name: "feed".to_owned() });
    for capacity_slots in [0, 1, 3, usize::MAX] {
        assert!(matches!(hub.open("x", settings(Policy::Block, capacity_slots)), Err(OpenError::Capacity(_))));
    }
    let feed = hub.open("many", settings(Policy::Block, 2)).unwrap();
    let all: Vec<_> = (0..MAX_PUBLISHERS).map(|_| hub.publisher(&feed).unwrap()).collect();
    assert_eq!(hub.publisher(&feed).unwrap_err(), OpenError::TooManyPublishers);
    drop(all);
    let mut arrivals = hub.arrivals();
    assert_eq!(arrivals.advance(1), Advance::Pending);
    hub.publisher(&feed).unwrap();
}

/// Two publishers in threads of their own, small rings, a loop that stops now and then: under `block` everything arrives.
#[test]
fn nothing_is_lost_under_block_from_two_threads() {
    const EACH: u64 = 50_000;
    let hub = hub();
    let feed = hub.open("feed", FeedSettings { block_timeout: Duration::from_secs(60), ..settings(Policy::Block, 16) });
    let feed = feed.unwrap();
    let publishers: Vec<_> = (0..2)
        .map(|number| {
            let mut publisher = hub.publisher(&feed).unwrap();
            thread::spawn(move || {
                for from in (0..EACH).step_by(50) {
                    let batch: Vec<Tick> =
                        quotes(from..from + 50).into_iter().map(|tick| Tick { instrument: number, ..tick }).collect();
                    publisher.publish(&batch, || true).unwrap();
                }
            })
        })
        .collect();
    let mut arrivals = hub.arrivals();
    let mut next = [0; 2];
    while next != [EACH; 2] {
        match arrivals.advance(64) {
            Advance::Ready => {
                for tick in arrivals.current().ticks {
                    let next = &mut next[tick.instrument as usize];
                    assert_eq!(tick.sequence - 1, *next);
                    *next += 1;
                }
            }
            _ => thread::yield_now(),
        }
    }
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    assert_eq!(account(&mut arrivals).offered(), 2 * EACH);
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::Reject),
        Just(Policy::DropNewest),
        Just(Policy::DropOldest),
        Just(Policy::Conflate { trades: Trades::Keep }),
        Just(Policy::Conflate { trades: Trades::Sum }),
        Just(Policy::Conflate { trades: Trades::Drop }),
    ]
}

/// What a feed does, with plain lists.
struct Model {
    policy: Policy,
    capacity: usize,
    ring: VecDeque<Tick>,
    /// Whether the ring's slice still has its slot.
    held: usize,
    sums: Vec<Tick>,
    quotes: VecDeque<Tick>,
    /// Taken together, as one comes before the other.
    queue: VecDeque<Tick>,
    newest: u64,
    oldest: u64,
    conflated: u64,
}

impl Model {
    fn new(policy: Policy, capacity: usize) -> Self {
        let (ring, sums, quotes, queue) = <(VecDeque<_>, Vec<_>, VecDeque<_>, VecDeque<_>)>::default();
        Self { policy, capacity, ring, held: 0, sums, quotes, queue, newest: 0, oldest: 0, conflated: 0 }
    }

    /// Whether the record is dealt with.
    fn bring(&mut self, tick: &Tick) -> bool {
        let is_full = self.ring.len() + self.held == self.capacity;
        match self.policy {
            Policy::Conflate { .. } if tick.kind == Kind::Quote as u8 => {
                match self.quotes.iter_mut().find(|old| old.instrument == tick.instrument) {
                    Some(old) => {
                        *old = *tick;
                        self.conflated += 1;
                    }
                    None => self.quotes.push_back(*tick),
                }
            }
            Policy::Conflate { trades: Trades::Drop } => self.newest += 1,
            Policy::Conflate { trades: Trades::Sum } if is_full || !self.sums.is_empty() => {
                match self.sums.iter_mut().find(|old| old.instrument == tick.instrument) {
                    Some(old) => {
                        let size = old.values[2] + tick.values[2];
                        *old = *tick;
                        old.values[2] = size;
                        self.conflated += 1;
                    }
                    None => self.sums.push(*tick),
                }
            }
            Policy::Conflate { trades: Trades::Keep } | Policy::Reject if is_full => return false,
            Policy::DropNewest if is_full => self.newest += 1,
            Policy::DropOldest if is_full => {
                self.ring.pop_front();
                self.ring.push_back(*tick);
                self.oldest += 1;
            }
            _ => self.ring.push_back(*tick),
        }
        true
    }

    /// The next record, of a slice of one.
    fn take(&mut self) -> Option<Tick> {
        let found = self.queue.pop_front().or_else(|| self.ring.pop_front());
        let found = found.or_else(|| {
            self.queue.extend(self.sums.drain(..));
            self.queue.extend(self.quotes.pop_front());
            self.queue.pop_front()
        });
        // The slot of a gated ring's slice is freed by the next call.
        self.held = usize::from(found.is_some() && matches!(self.policy, Policy::Reject | Policy::DropNewest));
        found
    }

    fn pending(&self) -> usize {
        self.ring.len() + self.sums.len() + self.quotes.len() + self.queue.len()
    }
}

proptest! {
    /// Against plain lists: what arrives, and every number of the account after every step.
    #[test]
    fn every_policy_equals_its_model(
        policy in any_policy(),
        steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0..20usize), 0..80),
        bits in 1..4u32,
    ) {
        let capacity = 1usize << bits;
        let (mut publisher, mut arrivals) = open(settings(policy, capacity));
        arrivals.advance(1);
        let mut model = Model::new(policy, capacity);
        let (mut offered, mut taken, mut refused) = (0u64, 0, 0);
        for (publishes, trades, count) in steps {
            if publishes {
                let mut batch = quotes(offered..offered + count as u64);
                for tick in batch.iter_mut().filter(|tick| trades && tick.sequence % 3 != 0) {
                    *tick = trade(tick.sequence - 1, tick.instrument, 1.0);
                }
                offered += count as u64;
                let dealt = batch.iter().take_while(|tick| model.bring(tick)).count();
                refused += (count - dealt) as u64;
                prop_assert_eq!(publisher.publish(&batch, || true).is_err(), dealt < count);
            } else {
                for _ in 0..count {
                    let expected = model.take();
                    let advance = arrivals.advance(1);
                    prop_assert_eq!(advance, if expected.is_some() { Advance::Ready } else { Advance::Pending });
                    let found = arrivals.current().ticks.first().map(|tick| (tick.sequence, tick.values[2]));
                    prop_assert_eq!(found, expected.map(|tick| (tick.sequence, tick.values[2])));
                    taken += u64::from(expected.is_some());
                }
            }
            let account = account(&mut arrivals);
            prop_assert_eq!(account.offered(), offered);
            prop_assert_eq!(account.taken, taken);
            prop_assert_eq!(account.refused, refused);
            prop_assert_eq!(account.dropped_newest, model.newest);
            prop_assert_eq!(account.dropped_oldest, model.oldest);
            prop_assert_eq!(account.conflated, model.conflated);
            prop_assert_eq!(account.pending, model.pending() as u64);
        }
    }

    /// Whatever the batches, good records arrive in order whichever way they took, and bad ones are counted.
    #[test]
    fn good_records_arrive_and_bad_ones_are_counted_however_they_come(
        policy in prop::sample::select(vec![Policy::Reject, Policy::DropNewest, Policy::DropOldest]),
        steps in prop::collection::vec(prop::collection::vec(0..12u8, 0..300), 0..8),
    ) {
        let (mut publisher, mut arrivals) = open(settings(policy, 1_024));
        let (mut number, mut bad) = (0, 0);
        for whats in steps {
            let from = number;
            let batch: Vec<Tick> = whats
                .into_iter()
                .map(|what| {
                    number += 1;
                    match what {
                        0 => Tick { values: [f64::NAN; 4], ..quote(number) },
                        1 => trade(number, number as u32 % INSTRUMENTS, 1.0),
                        2 => Tick { values: [2.0, 1.0, 1.0, 1.0], ..quote(number) },
                        _ => quote(number),
                    }
                })
                .collect();
            let is_good = |tick: &&Tick| !tick.values[0].is_nan();
            let good: Vec<u64> = batch.iter().filter(is_good).map(|tick| tick.sequence).collect();
            bad += (number - from) - good.len() as u64;
            // Over memory of another's, as an array of Python is.
            let mut at = 0;
            while at < batch.len() {
                at += publisher.offer_from(batch.len() - at, |from, into| {
                    into.copy_from_slice(&batch[at + from..at + from + into.len()]);
                });
            }
            let all = drain(&mut arrivals);
            prop_assert!(all.iter().all(|tick| tick.ts_init > 1_700_000_000_000_000_000));
            prop_assert_eq!(all.iter().map(|tick| tick.sequence).collect::<Vec<_>>(), good);
            prop_assert_eq!(account(&mut arrivals).invalid[Problem::PriceNotFinite as usize], bad);
        }
    }
}
