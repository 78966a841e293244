//! What goes by the clock: windows that close, and feeds that are silent.

#![expect(clippy::disallowed_methods, reason = "time has to pass, and there is no loop that would be woken")]

use std::time::Instant;

use super::*;

const WINDOW_NS: i64 = 20_000_000;

fn reordering(policy: Policy) -> FeedSettings {
    let numbering = Numbering::ByPublisher;
    FeedSettings { backwards: Backwards::Reorder { window_ns: WINDOW_NS }, numbering, ..settings(policy, 4) }
}

/// Everything, as it comes, as soon as something does.
fn await_records(arrivals: &mut Arrivals) -> Vec<Tick> {
    let began = Instant::now();
    loop {
        let all = drain(arrivals);
        if !all.is_empty() {
            return all;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "nothing has come");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_window_closes_by_time_where_nothing_comes_after_it() {
    let (mut publisher, mut arrivals) = open(reordering(Policy::Block));
    publisher.publish(&[quote(1), quote(0)], || true).unwrap();
    assert_eq!(arrivals.advance(64), Advance::Pending);
    let due_ns = arrivals.next_due_ns();
    assert!((1..=WINDOW_NS).contains(&(due_ns - publisher.now_ns())), "the loop knows when to look");
    assert_eq!(account(&mut arrivals).pending, 2);
    assert_eq!(numbers(&await_records(&mut arrivals)), [0, 1]);
    assert!(publisher.now_ns() >= due_ns);
    assert_eq!(arrivals.next_due_ns(), i64::MAX);
    publisher.publish(&[quote(0), quote(2)], || true).unwrap();
    assert_eq!(numbers(&await_records(&mut arrivals)), [2]);
    let account = account(&mut arrivals);
    assert_eq!((account.rejected, account.taken, account.pending), (1, 3, 0), "the first one comes too late");
}

#[test]
fn the_publisher_lets_out_what_is_due_itself() {
    let (mut publisher, mut arrivals) = open(reordering(Policy::Block));
    publisher.publish(&[quote(0)], || true).unwrap();
    thread::sleep(Duration::from_nanos(WINDOW_NS as u64));
    publisher.publish(&[quote(1)], || true).unwrap();
    assert_eq!(account(&mut arrivals).pending, 2);
    assert_eq!(arrivals.advance(64), Advance::Ready);
    assert_eq!(numbers(arrivals.current().ticks), [0]);
}

#[test]
fn what_waits_in_a_window_comes_at_the_end_whoever_ends_it() {
    for policy in [Policy::Block, Policy::DropOldest, Policy::Conflate { trades: Trades::Keep }] {
        for by_publisher in [true, false] {
            let hub = hub();
            let feed = hub.open("feed", reordering(policy)).unwrap();
            let mut publisher = hub.publisher(&feed).unwrap();
            let mut arrivals = hub.arrivals();
            let ticks: Vec<Tick> = (0..10).rev().map(|number| trade(number, 0, 1.0)).collect();
            publisher.publish(&ticks, || true).unwrap();
            if by_publisher {
                publisher.close();
                hub.seal();
            } else {
                hub.close();
            }
            let all = drain(&mut arrivals);
            assert_eq!(arrivals.advance(64), Advance::End);
            let lost = if policy == Policy::DropOldest && by_publisher { 6 } else { 0 };
            assert_eq!(numbers(&all), (lost..10).collect::<Vec<_>>(), "{policy:?}");
            let account = account(&mut arrivals);
            assert_eq!((account.taken, account.rejected, account.pending), (10 - lost, 0, 0));
        }
    }
}

#[test]
fn records_are_numbered_when_they_are_in_order() {
    let (mut publisher, mut arrivals) = open(reordering(Policy::Block));
    publisher.publish(&[quote(0), quote(2), quote(1), quote(3), quote(6)], || true).unwrap();
    publisher.close();
    let all = drain(&mut arrivals);
    let kinds: Vec<_> = all.iter().map(|tick| (tick.kind, tick.sequence)).collect();
    assert_eq!(kinds, [(1, 1), (1, 2), (1, 3), (1, 4), (4, 6), (1, 7)]);
    let account = account(&mut arrivals);
    assert_eq!((account.duplicates, account.gaps), (0, 1));
}

#[test]
fn a_reconnection_is_told_behind_what_waited_in_the_window() {
    let (mut publisher, mut arrivals) = open(reordering(Policy::Reject));
    let ticks: Vec<Tick> = (0..6).map(|number| trade(number, 0, 1.0)).collect();
    publisher.publish(&ticks, || true).unwrap();
    publisher.reconnected(true);
    publisher.publish(&[trade(0, 0, 1.0)], || true).unwrap_err();
    let kinds: Vec<_> = drain(&mut arrivals).iter().map(|tick| (tick.kind, tick.sequence)).collect();
    assert_eq!(kinds, [(2, 1), (2, 2), (2, 3), (2, 4), (2, 5), (2, 6), (4, 6)]);
    account(&mut arrivals);
}

#[test]
fn a_feed_that_is_silent_for_too_long_is_told_once_and_again_after_it_was_heard() {
    const LIMIT_NS: i64 = 2_000_000;
    let hub = hub();
    let feed = hub.open("feed", FeedSettings { stale_after_ns: LIMIT_NS, ..settings(Policy::Block, 8) }).unwrap();
    let mut publisher = hub.publisher(&feed).unwrap();
    let mut arrivals = hub.arrivals();
    let silence = |arrivals: &mut Arrivals| {
        while arrivals.advance(64) != Advance::Ready {
            assert!(arrivals.next_due_ns() < i64::MAX);
        }
        arrivals.taken();
        let ticks = arrivals.current().ticks.to_vec();
        assert!(ticks.iter().all(|tick| tick.kind == Kind::Stale as u8 && tick.values[0] >= LIMIT_NS as f64));
        ticks.iter().map(|tick| tick.instrument).collect::<Vec<_>>()
    };
    assert_eq!(silence(&mut arrivals), [0, 1, 2, 3], "nothing has come: it may be about any");
    assert_eq!((arrivals.advance(64), arrivals.next_due_ns()), (Advance::Pending, i64::MAX));
    publisher.publish(&[quote(2), quote(1)], || true).unwrap();
    assert_eq!(arrivals.advance(64), Advance::Ready);
    arrivals.taken();
    assert_eq!(silence(&mut arrivals), [1, 2]);
    let account = account(&mut arrivals);
    assert_eq!((account.stale, account.made, account.offered(), account.taken), (2, 6, 2, 8));
    feed.close();
    assert_eq!((arrivals.advance(64), arrivals.next_due_ns()), (Advance::Pending, i64::MAX));
}

#[test]
fn a_feed_that_has_brought_something_is_not_silent_however_long_the_loop_was_away() {
    const LIMIT_NS: i64 = 50_000_000;
    let (mut publisher, mut arrivals) = open(FeedSettings { stale_after_ns: LIMIT_NS, ..settings(Policy::Block, 8) });
    let mut take = || {
        let advance = arrivals.advance(64);
        arrivals.taken();
        if advance == Advance::Ready { arrivals.current().ticks.to_vec() } else { Vec::new() }
    };
    take();
    publisher.publish(&[quote(0)], || true).unwrap();
    thread::sleep(Duration::from_nanos(LIMIT_NS as u64 + 1));
    publisher.publish(&[quote(1)], || true).unwrap();
    assert_eq!(numbers(&take()), [0, 1]);
    assert!(take().is_empty(), "the last one has just come");
    publisher.publish(&[quote(2)], || true).unwrap();
    let came_ns = publisher.brought_ns();
    thread::sleep(Duration::from_nanos(LIMIT_NS as u64 + 1));
    assert_eq!(numbers(&take()), [2]);
    let told = take();
    assert_eq!(
        (told[0].kind, told[0].sequence),
        (Kind::Stale as u8, came_ns.unsigned_abs()),
        "since it came, not since it was taken"
    );
}
