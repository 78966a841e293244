use std::collections::VecDeque;
use std::thread;

use proptest::prelude::*;

use super::super::*;
use super::{any_first, tick, ticks};

#[test]
fn the_newest_stay_and_the_gap_is_counted() {
    let (mut producer, mut consumer) = drop_oldest(4).unwrap();
    assert_eq!(producer.publish(&ticks(0..3)), 3);
    assert_eq!(consumer.counts(), (0, 3));
    assert_eq!(producer.publish(&ticks(3..9)), 6, "more than the ring holds");
    assert_eq!((producer.dropped(), consumer.counts()), (5, (5, 4)));
    let mut into = Vec::new();
    assert_eq!(consumer.take(3, &mut into), 3);
    assert_eq!(into, ticks(5..8));
    assert_eq!((consumer.taken(), consumer.counts()), (3, (5, 1)));
}

#[test]
fn closing_ends_the_stream_after_what_is_there() {
    let (mut producer, mut consumer) = drop_oldest(2).unwrap();
    producer.publish(&ticks(0..3));
    producer.close();
    assert_eq!(producer.publish(&ticks(3..4)), 0);
    assert!(!consumer.is_drained());
    let mut into = Vec::new();
    while consumer.take(1, &mut into) > 0 {}
    assert_eq!(into, ticks(1..3));
    assert!(consumer.is_drained());
}

#[test]
fn nothing_is_published_for_nobody() {
    let (mut producer, consumer) = drop_oldest(2).unwrap();
    drop(consumer);
    assert!(producer.is_abandoned());
    assert_eq!(producer.publish(&ticks(0..1)), 0);
}

#[test]
fn a_capacity_that_is_no_power_of_two_or_out_of_range_is_refused() {
    assert!(drop_oldest(1).is_err());
    assert!(drop_oldest(3).is_err());
}

/// Two threads and a small ring: what arrives is whole and in order, and what is missing was counted.
#[test]
fn nothing_is_torn_or_uncounted_between_two_threads() {
    const RECORDS: u64 = 200_000;
    let (mut producer, mut consumer) = drop_oldest(16).unwrap();
    let publisher = thread::spawn(move || {
        let mut next = 0;
        while next < RECORDS {
            let batch = ticks(next..(next + 1 + next % 23).min(RECORDS));
            next += producer.publish(&batch) as u64;
        }
        producer.dropped()
    });
    let (mut into, mut expected) = (Vec::new(), 0);
    while !consumer.is_drained() {
        into.clear();
        consumer.take(5, &mut into);
        for record in &into {
            assert!(record.sequence >= expected);
            assert_eq!(*record, tick(record.sequence), "torn");
            expected = record.sequence + 1;
        }
    }
    assert_eq!(expected, RECORDS, "the newest record always arrives");
    assert_eq!(consumer.taken() + publisher.join().unwrap(), RECORDS);
}

proptest! {
    #[test]
    fn equals_a_deque_that_drops_at_the_front(
        steps in prop::collection::vec((any::<bool>(), 0..12usize), 0..120),
        bits in 1..5u32,
        first in any_first(),
    ) {
        let capacity = 1usize << bits;
        let (mut producer, mut consumer) = drop_oldest_from(capacity, first).unwrap();
        let (mut model, mut sent, mut taken, mut dropped) = (VecDeque::new(), 0u64, 0u64, 0u64);
        for (publishes, count) in steps {
            if publishes {
                prop_assert_eq!(producer.publish(&ticks(sent..sent + count as u64)), count);
                model.extend(ticks(sent..sent + count as u64));
                sent += count as u64;
                while model.len() > capacity {
                    model.pop_front();
                    dropped += 1;
                }
            } else {
                let mut into = Vec::new();
                let got = consumer.take(count, &mut into);
                prop_assert_eq!(got, count.min(model.len()));
                prop_assert!(into.iter().copied().eq(model.drain(..got)));
                taken += got as u64;
            }
            prop_assert_eq!(consumer.counts(), (dropped, model.len() as u64));
            prop_assert_eq!((producer.published(), producer.dropped(), consumer.taken()), (sent, dropped, taken));
        }
    }
}
