use proptest::prelude::*;

use super::*;
use crate::tick::Tick;

fn tick(ts_event: i64, ts_init: i64, instrument: u32, sequence: u64) -> Tick {
    Tick { ts_init, sequence, ..Tick::quote(ts_event, instrument, 1.0, 2.0, 3.0, 4.0) }
}

fn input(feed: u32, times: &[i64], instruments: Option<Vec<u32>>) -> MergeInput {
    let ticks = times.iter().enumerate().map(|(n, &t)| tick(t, t, 0, n as u64)).collect();
    MergeInput { block: TickBlock::from_vec(ticks), feed, instruments }
}

fn drain(merge: &mut Merge, max: usize) -> Vec<(u32, Tick)> {
    let mut seen = Vec::new();
    let total = merge.remaining().unwrap();
    while merge.advance(max) == Advance::Ready {
        let slice = merge.current();
        assert!((1..=max).contains(&slice.ticks.len()));
        seen.extend(slice.ticks.iter().enumerate().map(|(n, &tick)| (slice.feeds.at(n), tick)));
        assert_eq!(merge.remaining(), Some(total - seen.len() as u64));
    }
    assert!(merge.current().ticks.is_empty());
    assert_eq!(merge.advance(max), Advance::End);
    seen
}

fn merge(inputs: Vec<MergeInput>) -> Merge {
    Merge::new(inputs, OrderBy::TsEvent).unwrap()
}

#[test]
fn equal_times_go_by_feed_number_and_not_by_place_in_the_list() {
    let seen = drain(&mut merge(vec![input(9, &[1, 1, 2], None), input(4, &[1, 2, 2], None)]), 100);
    let order: Vec<_> = seen.iter().map(|(feed, tick)| (tick.ts_event, *feed, tick.sequence)).collect();
    assert_eq!(order, [(1, 4, 0), (1, 9, 0), (1, 9, 1), (2, 4, 1), (2, 4, 2), (2, 9, 2)]);
}

#[test]
fn the_last_nanosecond_of_time_is_a_time_like_any_other() {
    let seen = drain(
        &mut merge(vec![input(0, &[i64::MIN, i64::MAX], None), input(1, &[], None), input(2, &[i64::MAX], None)]),
        1,
    );
    assert_eq!(seen.iter().map(|(feed, _)| *feed).collect::<Vec<_>>(), [0, 0, 2]);
}

#[test]
fn no_inputs_and_empty_inputs_end_at_once() {
    assert!(drain(&mut merge(vec![]), 8).is_empty());
    assert!(drain(&mut merge(vec![input(0, &[], None)]), 8).is_empty());
    assert!(drain(&mut merge(vec![input(0, &[], None), input(1, &[], None)]), 8).is_empty());
}

#[test]
fn one_feed_with_its_own_numbers_is_handed_out_without_a_copy() {
    for instruments in [None, Some(vec![0, 1])] {
        let only = input(3, &[1, 2, 3], instruments);
        let records = only.block.as_slice().as_ptr();
        let mut merge = merge(vec![only]);
        assert_eq!(merge.advance(2), Advance::Ready);
        let slice = merge.current();
        assert_eq!(slice.ticks.as_ptr(), records);
        assert_eq!(slice.block.unwrap().len(), 2);
        assert_eq!(slice.feeds.at(1), 3);
    }
}

#[test]
fn one_feed_with_other_numbers_is_copied_and_renumbered() {
    let mut merge = merge(vec![input(0, &[1, 2], Some(vec![7]))]);
    assert_eq!(merge.advance(9), Advance::Ready);
    assert!(merge.current().block.is_none());
    assert!(merge.current().ticks.iter().all(|tick| tick.instrument == 7));
}

#[test]
fn slices_use_one_buffer() {
    let mut merge = merge(vec![input(0, &[1; 40], None), input(1, &[1; 40], None)]);
    assert_eq!(merge.advance(10), Advance::Ready);
    let first = merge.current().ticks.as_ptr();
    while merge.advance(10) == Advance::Ready {
        assert_eq!(merge.current().ticks.as_ptr(), first);
    }
}

#[test]
fn a_record_without_a_row_in_the_table_is_refused_with_its_place() {
    let ticks = vec![tick(1, 1, 1, 0), tick(2, 2, 2, 1)];
    let wrong = MergeInput { block: TickBlock::from_vec(ticks), feed: 5, instruments: Some(vec![0, 1]) };
    let error = Merge::new(vec![input(0, &[1], None), wrong], OrderBy::TsEvent).unwrap_err();
    assert_eq!(error, MergeError::UnknownInstrument { feed: 5, position: 1, instrument: 2, known: 2 });
    assert_eq!(error.to_string(), "feed 5, record 1: instrument 2, but the feed's table has only 2");
}

#[test]
fn a_feed_number_given_twice_and_too_many_inputs_are_refused() {
    let twice = vec![input(1, &[1], None), input(0, &[1], None), input(1, &[1], None)];
    assert_eq!(Merge::new(twice, OrderBy::TsEvent).unwrap_err(), MergeError::DuplicateFeed { feed: 1 });
    let count = MAX_INPUTS + 1;
    let many = vec![input(0, &[], None); count];
    assert_eq!(Merge::new(many, OrderBy::TsEvent).unwrap_err(), MergeError::TooManyInputs { count });
}

/// Feeds whose keys never decrease, with few distinct times so that ties are common.
fn any_feeds() -> impl Strategy<Value = Vec<Vec<(i64, u32)>>> {
    let mut_sorted = |mut ticks: Vec<(i64, u32)>| {
        ticks.sort_by_key(|&(key, _)| key);
        ticks
    };
    prop::collection::vec(prop::collection::vec((-6..6i64, 0..3u32), 0..20).prop_map(mut_sorted), 0..10)
}

proptest! {
    #[test]
    fn equals_a_stable_sort_at_any_slice_length(
        feeds in any_feeds(),
        by_init in any::<bool>(),
        max in 1..50usize,
        table in prop::option::of(prop::array::uniform3(0..9u32)),
    ) {
        let order = if by_init { OrderBy::TsInit } else { OrderBy::TsEvent };
        let inputs: Vec<MergeInput> = feeds.iter().enumerate().map(|(feed, ticks)| MergeInput {
            block: TickBlock::from_vec(ticks.iter().enumerate().map(|(n, &(key, instrument))| {
                // The other time runs backwards, so that taking the wrong one is seen.
                let (ts_event, ts_init) = if by_init { (-key, key) } else { (key, -key) };
                tick(ts_event, ts_init, instrument, n as u64)
            }).collect()),
            feed: feed as u32 * 3,
            instruments: table.filter(|_| feed % 2 == 0).map(|table| table.to_vec()),
        }).collect();
        let mut model: Vec<(u32, Tick)> = Vec::new();
        for input in &inputs {
            for &record in input.block.as_slice() {
                let instrument = input.instruments.as_ref().map_or(record.instrument, |t| t[record.instrument as usize]);
                model.push((input.feed, Tick { instrument, ..record }));
            }
        }
        model.sort_by_key(|(feed, tick)| (tick.key(order), *feed, tick.sequence));
        let reversed = inputs.iter().rev().cloned().collect();
        prop_assert_eq!(&drain(&mut Merge::new(inputs, order).unwrap(), max), &model);
        prop_assert_eq!(&drain(&mut Merge::new(reversed, order).unwrap(), max), &model);
    }
}
