//! The conflation table over every interleaving: the last record of a key arrives, and all are taken or counted.

use loom::thread;
use tickrail_models::tick::Tick;
use tickrail_models::{aged, ring};

fn tick(sequence: u64) -> Tick {
    Tick { sequence, ..Tick::quote(sequence as i64, 0, 0.0, 0.0, 0.0, 0.0) }
}

fn check(puts: &'static [u32], keys: usize, looks: usize) {
    loom::model(move || {
        let (mut writer, mut reader) = aged::conflation(keys).unwrap();
        let publisher = thread::spawn(move || {
            for (sequence, &key) in (1..).zip(puts) {
                writer.put(key, &tick(sequence));
            }
        });
        let mut latest = vec![0; keys];
        let mut handed = 0;
        let mut take = |reader: &mut ring::ConflationReader| {
            let Some((key, tick)) = reader.take() else { return };
            assert_eq!(tick.ts_event as u64, tick.sequence, "torn");
            assert!(tick.sequence > latest[key as usize], "older than what was taken");
            latest[key as usize] = tick.sequence;
            handed += 1;
        };
        for _ in 0..looks {
            take(&mut reader);
        }
        publisher.join().unwrap();
        while !reader.is_drained() {
            take(&mut reader);
        }
        assert_eq!(handed + reader.conflated(), puts.len() as u64);
        for (sequence, &key) in (1..).zip(puts) {
            assert!(latest[key as usize] >= sequence, "the last record of a key is lost");
        }
    });
}

#[test]
fn one_key_that_is_replaced_while_it_is_taken() {
    check(&[0, 0], 1, 2);
}

#[test]
fn two_keys_that_are_taken_as_they_come() {
    check(&[0, 1], 2, 2);
}

#[test]
fn two_keys_in_turn() {
    check(&[0, 1, 0], 2, 1);
}

#[test]
#[ignore = "deep: minutes"]
fn deep_two_keys_replaced_in_turn() {
    check(&[0, 1, 0, 1], 2, 2);
}

#[test]
fn it_is_not_drained_before_the_last_record_was_taken() {
    loom::model(|| {
        let (mut writer, mut reader) = aged::conflation(1).unwrap();
        let publisher = thread::spawn(move || {
            writer.put(0, &tick(1));
            writer.close();
        });
        let mut taken = None;
        for _ in 0..2 {
            if reader.is_drained() {
                assert_eq!(taken, Some(1), "drained, and nothing came");
            }
            taken = taken.or(reader.take().map(|(_, tick)| tick.sequence));
        }
        publisher.join().unwrap();
    });
}
