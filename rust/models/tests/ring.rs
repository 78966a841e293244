//! Every interleaving and every allowed reordering of a producer and a consumer, over a ring of two slots.
//!
//! Tries are bounded and nothing spins: a model that waits in a loop has millions of executions more and shows no more.

use loom::thread;
use tickrail_models::source::{Advance, Source};
use tickrail_models::tick::Tick;
use tickrail_models::{aged, ring};

fn tick(sequence: u64) -> Tick {
    Tick { sequence, ..Tick::quote(sequence as i64, 0, 1.0, 2.0, 1.0, 1.0) }
}

/// Reads what is there and checks that it goes on where the last reading ended.
fn read_some(consumer: &mut ring::Consumer, expected: &mut u64) {
    let run = consumer.readable();
    let count = run.len();
    for record in run {
        assert_eq!(*record, tick(*expected), "torn, lost or out of order");
        *expected += 1;
    }
    consumer.release(count);
}

fn read_to_the_end(consumer: &mut ring::Consumer, expected: &mut u64) {
    while consumer.pending() > 0 {
        read_some(consumer, expected);
    }
}

#[test]
fn single_records_arrive_once_whole_and_in_order_while_the_ring_wraps() {
    loom::model(|| {
        let (mut producer, mut consumer) = aged::ingress(0, 2).unwrap();
        let publisher = thread::spawn(move || {
            let mut sent = 0;
            for _ in 0..4 {
                sent += u64::from(producer.try_push(tick(sent)).is_ok());
            }
            sent
        });
        let mut received = 0;
        for _ in 0..3 {
            read_some(&mut consumer, &mut received);
        }
        let sent = publisher.join().unwrap();
        read_to_the_end(&mut consumer, &mut received);
        assert_eq!(received, sent);
        assert!(consumer.is_drained(), "the dropped producer closed the ring");
    });
}

#[test]
fn batches_arrive_whole_across_the_wrap() {
    loom::model(|| {
        let (mut producer, mut consumer) = aged::ingress(0, 4).unwrap();
        let publisher = thread::spawn(move || {
            let mut sent = 0;
            for _ in 0..3 {
                sent += producer.try_publish(&[tick(sent), tick(sent + 1), tick(sent + 2)]) as u64;
            }
            sent
        });
        let mut received = 0;
        for _ in 0..3 {
            read_some(&mut consumer, &mut received);
        }
        let sent = publisher.join().unwrap();
        read_to_the_end(&mut consumer, &mut received);
        assert_eq!(received, sent);
    });
}

#[test]
fn slots_are_filled_in_place_and_seen_only_once_they_are_published() {
    loom::model(|| {
        let (mut producer, mut consumer) = aged::ingress(0, 2).unwrap();
        let publisher = thread::spawn(move || {
            let mut sent = 0;
            for _ in 0..4 {
                let slots = producer.slots(2);
                let count = slots.len();
                for (number, slot) in slots.iter_mut().enumerate() {
                    *slot = tick(sent + number as u64);
                }
                producer.publish_filled(count);
                sent += count as u64;
            }
            sent
        });
        let mut received = 0;
        for _ in 0..3 {
            read_some(&mut consumer, &mut received);
        }
        let sent = publisher.join().unwrap();
        read_to_the_end(&mut consumer, &mut received);
        assert_eq!(received, sent);
    });
}

#[test]
fn a_slice_stays_unchanged_until_it_is_released() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring::ingress(0, 2).unwrap();
        producer.try_publish(&[tick(0), tick(1)]);
        let publisher = thread::spawn(move || producer.try_publish(&[tick(2), tick(3)]));
        assert_eq!(consumer.advance(1), Advance::Ready);
        assert_eq!(consumer.current().ticks, [tick(0)]);
        thread::yield_now();
        assert_eq!(consumer.current().ticks, [tick(0)]);
        assert_eq!(consumer.advance(1), Advance::Ready);
        assert_eq!(consumer.current().ticks, [tick(1)]);
        assert!(publisher.join().unwrap() <= 1, "one slot was free at most");
    });
}

#[test]
fn the_end_is_never_seen_before_the_last_record() {
    loom::model(|| {
        let (mut producer, mut consumer) = aged::ingress(0, 2).unwrap();
        let publisher = thread::spawn(move || {
            producer.try_push(tick(0)).unwrap();
            producer.try_push(tick(1)).unwrap();
            producer.close();
        });
        let mut received = 0;
        for _ in 0..3 {
            match consumer.advance(2) {
                Advance::Ready => received += consumer.current().ticks.len(),
                Advance::Pending => assert!(!consumer.is_drained() || received == 2),
                Advance::End => assert_eq!(received, 2),
            }
        }
        publisher.join().unwrap();
    });
}

#[test]
fn a_dropped_half_is_seen_with_all_that_it_did_before() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring::ingress(0, 2).unwrap();
        producer.try_publish(&[tick(0), tick(1)]);
        let reader = thread::spawn(move || {
            consumer.readable();
            consumer.release(2);
        });
        if producer.is_abandoned() {
            assert_eq!(producer.pending(), 0, "its last release is visible");
            assert!(producer.try_push(tick(2)).is_err());
        }
        reader.join().unwrap();
        assert!(producer.is_abandoned());
    });
}

#[test]
fn who_sees_the_close_sees_all_that_was_published() {
    loom::model(|| {
        let (mut producer, consumer) = ring::ingress(0, 2).unwrap();
        let publisher = thread::spawn(move || {
            producer.try_push(tick(0)).unwrap();
            producer.close();
        });
        if consumer.is_closed() {
            assert_eq!(consumer.pending(), 1);
        }
        publisher.join().unwrap();
    });
}

#[test]
#[ignore = "deep: minutes"]
fn deep_single_records_over_three_laps() {
    loom::model(|| {
        let (mut producer, mut consumer) = aged::ingress(0, 2).unwrap();
        let publisher = thread::spawn(move || {
            let mut sent = 0;
            for _ in 0..6 {
                sent += u64::from(producer.try_push(tick(sent)).is_ok());
            }
            sent
        });
        let mut received = 0;
        for _ in 0..5 {
            read_some(&mut consumer, &mut received);
        }
        let sent = publisher.join().unwrap();
        read_to_the_end(&mut consumer, &mut received);
        assert_eq!(received, sent);
    });
}
