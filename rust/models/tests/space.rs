//! Whoever waits for slots, or for records, learns of them, whenever they come. A lost call is a deadlock, which loom reports.

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use tickrail_models::feed::{Space, announce};
use tickrail_models::ring::{self, Consumer, Producer};
use tickrail_models::stop::{WakeReason, Waker};
use tickrail_models::tick::Tick;

fn tick(sequence: u64) -> Tick {
    Tick { sequence, ..Tick::quote(sequence as i64, 0, 1.0, 2.0, 1.0, 1.0) }
}

fn full_ring() -> (Producer, Consumer) {
    let (mut producer, mut consumer) = ring::ingress(0, 2).unwrap();
    producer.try_publish(&[tick(0), tick(1)]);
    consumer.readable();
    (producer, consumer)
}

#[test]
fn a_publisher_that_sleeps_on_a_full_ring_is_woken_by_the_release() {
    loom::model(|| {
        let (mut producer, mut consumer) = full_ring();
        let space = Arc::new(Space::default());
        let theirs = Arc::clone(&space);
        let reader = thread::spawn(move || {
            consumer.release(1);
            announce(&theirs);
            consumer
        });
        if producer.try_push(tick(2)).is_err() {
            space.waker.wait(Duration::MAX);
            producer.try_push(tick(2)).expect("woken for a slot");
        }
        drop(reader.join().unwrap());
    });
}

#[test]
fn an_event_loop_that_armed_and_found_no_slot_is_called() {
    loom::model(|| {
        let (mut producer, mut consumer) = full_ring();
        let (space, called) = (Arc::new(Space::default()), Arc::new(AtomicBool::new(false)));
        let call = Arc::clone(&called);
        space.on_free(move || call.store(true, Ordering::Relaxed));
        let theirs = Arc::clone(&space);
        let reader = thread::spawn(move || {
            consumer.release(1);
            announce(&theirs);
            consumer
        });
        space.arm();
        let found = producer.free(1);
        let consumer = reader.join().unwrap();
        assert!(found == 1 || called.load(Ordering::Relaxed), "it would wait for ever");
        drop(consumer);
    });
}

#[test]
fn a_publisher_that_sleeps_is_woken_by_the_reader_that_leaves() {
    loom::model(|| {
        let (mut producer, consumer) = full_ring();
        let space = Arc::new(Space::default());
        let theirs = Arc::clone(&space);
        let reader = thread::spawn(move || {
            drop(consumer);
            announce(&theirs);
        });
        if !producer.is_abandoned() {
            space.waker.wait(Duration::MAX);
            assert!(producer.is_abandoned(), "woken by the farewell");
            assert!(producer.try_push(tick(2)).is_err());
        }
        reader.join().unwrap();
    });
}

#[test]
fn a_loop_that_sleeps_on_an_empty_ring_is_woken_by_the_record() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring::ingress(0, 2).unwrap();
        let waker = Arc::new(Waker::new());
        let theirs = Arc::clone(&waker);
        let publisher = thread::spawn(move || {
            producer.try_push(tick(0)).unwrap();
            theirs.wake();
            producer
        });
        if consumer.readable().is_empty() {
            waker.wait(Duration::MAX);
            assert_eq!(consumer.readable(), [tick(0)]);
        }
        publisher.join().unwrap();
    });
}

/// `publish` brings one record and notifies, `look` is the loop's, which looks again before it sleeps, and `take` has the record.
fn a_notice_is_enough(
    waker: &Arc<Waker>,
    publish: impl FnOnce() + Send + 'static,
    look: impl Fn() -> bool,
    take: impl FnOnce() -> Option<Tick>,
) {
    let theirs = Arc::clone(waker);
    let publisher = thread::spawn(move || {
        publish();
        theirs.notify();
    });
    assert_eq!(waker.wait_for(Duration::MAX, &look), WakeReason::Woken);
    assert!(look(), "woken for a record");
    // Of a record in a table only the time and the number are carried here.
    assert_eq!(take().map(|tick| tick.sequence), Some(1));
    assert!(!look(), "it was taken");
    publisher.join().unwrap();
}

#[test]
fn a_loop_that_looks_at_a_ring_before_it_sleeps_needs_no_call() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring::ingress(0, 2).unwrap();
        let glance = consumer.glance();
        a_notice_is_enough(
            &Arc::new(Waker::new()),
            move || producer.try_push(tick(1)).unwrap(),
            || glance.finds(),
            || {
                let first = consumer.readable().first().copied();
                consumer.release(1);
                first
            },
        );
    });
}

#[test]
fn nor_at_a_ring_whose_oldest_give_way() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring::drop_oldest(2).unwrap();
        let glance = consumer.glance();
        a_notice_is_enough(
            &Arc::new(Waker::new()),
            move || assert_eq!(producer.publish(&[tick(1)]), 1),
            || glance.finds(),
            || {
                let mut into = Vec::new();
                consumer.take(2, &mut into);
                into.pop()
            },
        );
    });
}

#[test]
fn nor_at_a_conflation_table() {
    loom::model(|| {
        let (mut writer, mut reader) = ring::conflation(1).unwrap();
        let glance = reader.glance();
        a_notice_is_enough(
            &Arc::new(Waker::new()),
            move || writer.put(0, &tick(1)),
            || glance.finds(),
            || reader.take().map(|(_, tick)| tick),
        );
    });
}
