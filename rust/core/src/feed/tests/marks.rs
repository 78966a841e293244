//! GAP records, and the numbers that they follow from: whatever the policy, one comes before the next record.

use std::collections::BTreeSet;

use super::*;
use crate::tick::NO_SIZE;

/// One GAP for each instrument that has come.
const GONE: [(u8, u32); 3] = [(4, 0), (4, 2), (4, 3)];

#[test]
fn a_jump_in_the_sources_numbers_is_a_record_in_its_place_and_what_comes_again_goes() {
    let numbering = Numbering::ByPublisher;
    let (mut publisher, mut arrivals) = open(FeedSettings { numbering, ..settings(Policy::Block, 16) });
    for number in [3, 4, 4, 7, 6, 8] {
        publisher.publish(&[quote(number)], || true).unwrap();
    }
    let all = drain(&mut arrivals);
    assert_eq!(numbers(&all), [3, 4, 6, 7, 8]);
    assert_eq!((all[2].kind, all[2].values), (Kind::Gap as u8, [6.0, 7.0, 2.0, 0.0]));
    let before = account(&mut arrivals);
    assert_eq!((before.duplicates, before.gaps, before.made, before.offered()), (2, 1, 1, 6));
    publisher.reconnected(true);
    publisher.publish(&[quote(0)], || true).unwrap();
    let all = drain(&mut arrivals);
    assert_eq!(all[..3].iter().map(|tick| (tick.kind, tick.instrument)).collect::<Vec<_>>(), GONE);
    assert_eq!(all[0].values[3], 1.0, "why: a reconnection");
    assert_eq!(numbers(&all[3..]), [0]);
    assert_eq!((account(&mut arrivals).gaps, account(&mut arrivals).made), (2, 4));
}

#[test]
fn what_a_reconnected_source_repeats_goes_and_its_gap_waits_for_a_slot() {
    let numbering = Numbering::ByPublisher;
    let (mut publisher, mut arrivals) = open(FeedSettings { numbering, ..settings(Policy::Reject, 4) });
    publisher.publish(&[quote(4), quote(5), quote(6)], || true).unwrap();
    publisher.reconnected(false);
    let kinds = |ticks: Vec<Tick>| ticks.iter().map(|tick| tick.kind).collect::<Vec<_>>();
    assert_eq!(account(&mut arrivals).pending, 6, "four in the ring, and two GAP records beside it");
    assert_eq!(kinds(drain(&mut arrivals)), [1, 1, 1, 4, 4, 4]);
    // The numbers go on: 5 and 6 were there, 7 follows.
    publisher.publish(&[quote(5), quote(6), quote(7)], || true).unwrap();
    assert_eq!(kinds(drain(&mut arrivals)), [1]);
    assert_eq!((account(&mut arrivals).duplicates, account(&mut arrivals).made), (2, 3));
}

/// As they arrive: kind and number.
fn seen(ticks: &[Tick]) -> Vec<(u8, u64)> {
    ticks.iter().map(|tick| (tick.kind, tick.sequence)).collect()
}

fn numbered(policy: Policy) -> (Publisher, Arrivals) {
    open(FeedSettings { numbering: Numbering::ByPublisher, ..settings(policy, 4) })
}

fn of_one(numbers: &[u64]) -> Vec<Tick> {
    numbers.iter().map(|&number| Tick { sequence: number, instrument: 0, ..quote(number) }).collect()
}

#[test]
fn a_gap_that_finds_no_slot_is_owed_before_the_next_record() {
    let (mut publisher, mut arrivals) = numbered(Policy::DropNewest);
    publisher.publish(&of_one(&[1, 2, 3, 4, 50, 60, 61]), || true).unwrap();
    assert_eq!(account(&mut arrivals).pending, 5, "four in the ring, and one GAP for both");
    assert_eq!(seen(&drain(&mut arrivals))[..4], [(1, 1), (1, 2), (1, 3), (1, 4)]);
    publisher.publish(&of_one(&[62]), || true).unwrap();
    assert_eq!(account(&mut arrivals).pending, 1);
    let all = drain(&mut arrivals);
    assert_eq!(seen(&all), [(1, 62)], "the GAP came when the ring was empty");
    let account = account(&mut arrivals);
    // Two that were dropped, and the one that was made in their place.
    assert_eq!((account.gaps, account.made, account.dropped_newest, account.taken), (2, 3, 5, 6));
}

#[test]
fn a_publisher_pays_what_it_owes_before_it_brings_more() {
    let (mut publisher, mut arrivals) = numbered(Policy::DropNewest);
    publisher.publish(&of_one(&[1, 2, 3, 4, 50, 60]), || true).unwrap();
    assert_eq!(arrivals.advance(2), Advance::Ready);
    assert_eq!(arrivals.advance(1), Advance::Ready, "two slots are free now");
    publisher.publish(&of_one(&[61, 62, 63]), || true).unwrap();
    let all = drain(&mut arrivals);
    assert_eq!(seen(&all), [(1, 4), (4, 59), (1, 61)]);
    assert_eq!(all[1].values, [5.0, 59.0, 54.0, 0.0], "both, and what they left out together");
    account(&mut arrivals);
}

#[test]
fn a_gap_that_gives_way_comes_before_the_next_record_that_stays() {
    let (mut publisher, mut arrivals) = numbered(Policy::DropOldest);
    for number in [1, 50, 51, 60, 61, 62, 63, 64] {
        publisher.publish(&of_one(&[number]), || true).unwrap();
    }
    let all = drain(&mut arrivals);
    assert_eq!(seen(&all), [(4, 59), (1, 61), (1, 62), (1, 63), (1, 64)]);
    assert_eq!(all[0].values, [2.0, 59.0, 56.0, 0.0]);
    let account = account(&mut arrivals);
    assert_eq!((account.gaps, account.made, account.dropped_oldest, account.taken), (2, 3, 6, 5));
    publisher.publish(&of_one(&[1, 2, 3, 4, 5, 6, 7, 8].map(|number| number * 100)), || true).unwrap();
    let seen = seen(&drain(&mut arrivals));
    assert_eq!(seen.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [4, 4, 1, 4, 1], "{seen:?}");
}

#[test]
fn a_reconnection_in_an_overload_is_told_under_every_policy() {
    for policy in [Policy::Reject, Policy::DropNewest, Policy::DropOldest, Policy::Conflate { trades: Trades::Keep }] {
        let (mut publisher, mut arrivals) = numbered(policy);
        let ticks: Vec<Tick> = (1..4).map(|number| trade(number, 0, 1.0)).collect();
        publisher.publish(&ticks, || true).unwrap();
        (0..5).for_each(|_| publisher.reconnected(false));
        publisher.close();
        let all = drain(&mut arrivals);
        let gaps = all.iter().filter(|tick| tick.kind == Kind::Gap as u8).count();
        // Of five in four slots the first gave way, and was made anew; elsewhere all that found no slot are one.
        assert_eq!(gaps, if policy == Policy::DropOldest { 5 } else { 2 }, "{policy:?}");
        assert_eq!(all.last().map(|last| last.values[3]), Some(1.0));
        let account = account(&mut arrivals);
        assert_eq!((account.gaps, account.refused, account.pending), (5, 0, 0));
    }
}

#[test]
fn a_gap_goes_before_the_quotes_that_come_after_it() {
    let (mut publisher, mut arrivals) = numbered(Policy::Conflate { trades: Trades::Sum });
    publisher.publish(&of_one(&[1]), || true).unwrap();
    let ticks: Vec<Tick> = (1..8).map(|number| trade(number, 1, 1.0)).collect();
    publisher.publish(&ticks, || true).unwrap();
    publisher.publish(&of_one(&[20]), || true).unwrap();
    let all = drain(&mut arrivals);
    assert_eq!(seen(&all), [(2, 2), (2, 3), (2, 4), (2, 5), (4, 19), (2, 8), (1, 20)]);
    assert_eq!(all[5].values[2], 3.0);
    account(&mut arrivals);
}

#[test]
fn a_sum_with_a_missing_size_has_none() {
    let (mut publisher, mut arrivals) = open(settings(Policy::Conflate { trades: Trades::Sum }, 2));
    let missing = Tick { flags: NO_SIZE, ..trade(3, 0, f64::NAN) };
    publisher.publish(&[trade(1, 0, 1.0), trade(2, 0, 1.0), missing, trade(4, 0, 7.0)], || true).unwrap();
    let sum = drain(&mut arrivals)[2];
    assert!(sum.values[2].is_nan());
    assert_eq!((sum.flags, sum.values[0]), (NO_SIZE, 4.0));
    publisher.publish(&[1, 2, 3, 4].map(|number| trade(number, 0, f64::MAX)), || true).unwrap();
    assert_eq!(drain(&mut arrivals)[2].values[2], f64::MAX, "no size is infinite");
}

proptest! {
    /// Numbers that the source leaves out are told before the next record that arrives, and all is accounted for.
    #[test]
    fn what_is_missing_is_told_before_the_next_record(
        policy in any_policy(),
        steps in prop::collection::vec((0..8u8, prop::collection::vec(1..5u64, 0..12)), 0..60),
        trades in any::<bool>(),
        reorders in any::<bool>(),
    ) {
        let backwards = if reorders { Backwards::Reorder { window_ns: 3 } } else { Backwards::Pass };
        let numbering = Numbering::ByPublisher;
        let (mut publisher, mut arrivals) = open(FeedSettings { numbering, backwards, ..settings(policy, 4) });
        publisher.publish(&of_one(&[1]), || true).unwrap();
        let (mut number, mut missing, mut all) = (1, Vec::new(), Vec::new());
        for (what, leaps) in steps {
            match what {
                0..3 => {
                    arrivals.advance(2);
                    all.extend_from_slice(arrivals.current().ticks);
                }
                3 => publisher.reconnected(false),
                _ => {
                    let batch: Vec<Tick> = leaps.into_iter().map(|leap| {
                        missing.extend(number + 1..number + leap);
                        number += leap;
                        if trades && leap > 1 { Tick { sequence: number, ..trade(number, 0, 1.0) } } else { of_one(&[number])[0] }
                    }).collect();
                    let _ = publisher.publish(&batch, || true);
                }
            }
            account(&mut arrivals);
        }
        publisher.close();
        all.extend(drain(&mut arrivals));
        let account = account(&mut arrivals);
        prop_assert_eq!((account.pending, account.taken), (0, all.len() as u64));
        let (mut told, mut last) = (BTreeSet::new(), 0);
        for tick in all {
            match tick.values {
                [_, _, 0.0, _] if tick.kind == Kind::Gap as u8 => told.extend(last + 1..=number),
                [first, end, _, _] if tick.kind == Kind::Gap as u8 => told.extend(first as u64..=end as u64),
                _ => {
                    let since = last + 1..tick.sequence;
                    let untold: Vec<_> =
                        missing.iter().filter(|one| since.contains(*one) && !told.contains(*one)).collect();
                    prop_assert!(untold.is_empty(), "{:?} before {}", untold, tick.sequence);
                    last = last.max(tick.sequence);
                }
            }
        }
    }
}
