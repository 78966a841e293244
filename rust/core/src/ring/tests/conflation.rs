use std::thread;

use proptest::prelude::*;

use super::super::*;
use super::{any_first, tick};

fn taken(reader: &mut ConflationReader) -> Vec<(u32, u64)> {
    std::iter::from_fn(|| reader.take()).map(|(key, tick)| (key, tick.sequence)).collect()
}

#[test]
fn the_latest_of_each_key_in_the_order_in_which_keys_came() {
    let (mut writer, mut reader) = conflation(3).unwrap();
    for (sequence, key) in [(1, 2), (2, 0), (3, 2), (4, 2), (5, 1)] {
        writer.put(key, &tick(sequence));
    }
    assert_eq!(reader.waiting(), 3);
    assert_eq!(taken(&mut reader), [(2, 4), (0, 2), (1, 5)]);
    assert_eq!((reader.conflated(), writer.put_count()), (2, 5));
    writer.put(2, &tick(6));
    assert_eq!(taken(&mut reader), [(2, 6)]);
    assert_eq!(reader.conflated(), 2);
}

#[test]
fn no_key_and_too_many_are_refused() {
    for keys in [0, MAX_KEYS + 1] {
        assert_eq!(conflation(keys).unwrap_err(), KeysError { keys });
    }
    assert!(conflation(0).unwrap_err().to_string().contains("takes 1 to"));
    assert_eq!(conflation(5).unwrap().0.keys(), 5);
}

#[test]
fn what_waits_when_the_writer_goes_is_still_taken() {
    let (mut writer, mut reader) = conflation(2).unwrap();
    writer.put(1, &tick(1));
    assert!(!reader.is_drained());
    drop(writer);
    assert!(!reader.is_drained());
    assert_eq!(taken(&mut reader), [(1, 1)]);
    assert!(reader.is_drained());
}

#[test]
#[should_panic(expected = "index out of bounds")]
fn a_key_beyond_the_table_is_a_fault_of_the_caller() {
    conflation(2).unwrap().0.put(2, &tick(1));
}

proptest! {
    /// Against a list of (key, latest, how many), in order of first arrival.
    #[test]
    fn equals_a_list(steps in prop::collection::vec((any::<bool>(), 0..5_u32), 1..200), first in any_first()) {
        let (mut writer, mut reader) = conflation_from(5, first).unwrap();
        let mut waits: Vec<(u32, u64, u64)> = Vec::new();
        let (mut handed, mut conflated) = (0, 0);
        for (number, (puts, key)) in (1..).zip(steps) {
            if puts {
                writer.put(key, &tick(number));
                match waits.iter_mut().find(|one| one.0 == key) {
                    Some(one) => *one = (key, number, one.2 + 1),
                    None => waits.push((key, number, 1)),
                }
            } else {
                let expected = (!waits.is_empty()).then(|| waits.remove(0));
                prop_assert_eq!(reader.take().map(|(key, tick)| (key, tick.sequence)), expected.map(|one| (one.0, one.1)));
                handed += u64::from(expected.is_some());
                conflated += expected.map_or(0, |one| one.2 - 1);
            }
            prop_assert_eq!(reader.conflated(), conflated);
            let pending: u64 = waits.iter().map(|one| one.2).sum();
            prop_assert_eq!(writer.put_count(), handed + conflated + pending);
            prop_assert_eq!((reader.taken(), reader.waiting()), (handed, waits.len() as u64));
            let (replaced, waiting) = reader.counts();
            prop_assert_eq!(handed + replaced + waiting, writer.put_count());
        }
    }
}

#[test]
fn two_threads_and_every_record_is_taken_or_counted() {
    const RECORDS: u64 = 200_000;
    const KEYS: u32 = 7;
    let (mut writer, mut reader) = conflation(KEYS as usize).unwrap();
    let thread = thread::spawn(move || {
        let (mut latest, mut handed) = ([0; KEYS as usize], 0);
        while !reader.is_drained() {
            while let Some((key, found)) = reader.take() {
                assert_eq!(found, tick(found.sequence), "torn");
                assert_eq!((found.sequence % u64::from(KEYS)) as u32, key);
                assert!(found.sequence > latest[key as usize], "an older record after a newer one");
                latest[key as usize] = found.sequence;
                handed += 1;
            }
            thread::yield_now();
        }
        (handed, reader.conflated(), latest)
    });
    for number in 1..=RECORDS {
        writer.put((number % u64::from(KEYS)) as u32, &tick(number));
    }
    drop(writer);
    let (handed, conflated, latest) = thread.join().unwrap();
    assert_eq!(handed + conflated, RECORDS);
    let newest = (RECORDS - u64::from(KEYS) + 1..=RECORDS).sum::<u64>();
    assert_eq!(latest.iter().sum::<u64>(), newest, "the last record of each key is never conflated away");
}
