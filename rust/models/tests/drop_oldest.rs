//! The drop-oldest ring over every interleaving: nothing torn, nothing out of order, every record taken or counted.

use loom::thread;
use tickrail_models::tick::Tick;
use tickrail_models::{aged, ring};

fn tick(sequence: u64) -> Tick {
    Tick { sequence, ..Tick::quote(sequence as i64, 0, 1.0, 2.0, 1.0, 1.0) }
}

/// `batches` are published one after the other while `looks` times at most `max` records are taken.
fn check(batches: &'static [u64], looks: usize, max: usize) {
    loom::model(move || {
        let (mut producer, mut consumer) = aged::drop_oldest(2).unwrap();
        let publisher = thread::spawn(move || {
            let mut sent = 0;
            for &count in batches {
                let batch: Vec<Tick> = (sent..sent + count).map(tick).collect();
                sent += producer.publish(&batch) as u64;
            }
            (sent, producer.dropped())
        });
        let mut next = 0;
        let take = |consumer: &mut ring::DropOldestConsumer, next: &mut u64| {
            let mut into = Vec::new();
            let count = consumer.take(max, &mut into);
            assert_eq!(into.len(), count);
            for record in into {
                assert!(record.sequence >= *next, "out of order");
                assert_eq!(record, tick(record.sequence), "torn");
                *next = record.sequence + 1;
            }
            count
        };
        for _ in 0..looks {
            take(&mut consumer, &mut next);
        }
        let (sent, dropped) = publisher.join().unwrap();
        while take(&mut consumer, &mut next) > 0 {}
        assert!(consumer.is_drained());
        assert_eq!(next, sent, "the newest record is lost");
        assert_eq!(consumer.counts(), (dropped, 0));
        assert_eq!(consumer.taken() + dropped, sent);
    });
}

#[test]
fn single_records_while_the_ring_wraps() {
    check(&[1, 1, 1, 1], 2, 1);
}

#[test]
fn batches_larger_than_what_is_free() {
    check(&[2, 3], 2, 2);
}

/// Whoever watches is told of each record that gives way, whole, and the other half of that some did.
#[test]
fn what_gives_way_is_told_of() {
    loom::model(|| {
        let (mut producer, mut consumer) = aged::drop_oldest(2).unwrap();
        let publisher = thread::spawn(move || {
            let (mut gone, mut sent) = (Vec::new(), 0);
            for _ in 0..4 {
                sent += producer.publish_telling(&[tick(sent)], |record| gone.push(*record)) as u64;
                producer.watch();
            }
            (gone, sent)
        });
        let (mut taken, mut next) = (Vec::new(), 0);
        let mut take = |consumer: &mut ring::DropOldestConsumer| {
            let from = taken.len();
            let count = consumer.take(1, &mut taken);
            if count > 0 {
                assert_eq!(consumer.has_skipped(), taken[from].sequence != next);
                next = taken[from].sequence + 1;
            }
            count
        };
        take(&mut consumer);
        take(&mut consumer);
        let (gone, sent) = publisher.join().unwrap();
        while take(&mut consumer) > 0 {}
        let mut all: Vec<Tick> = gone.into_iter().chain(taken).collect();
        all.sort_by_key(|record| record.sequence);
        assert_eq!(all, (0..sent).map(tick).collect::<Vec<_>>());
    });
}

#[test]
fn what_is_seen_adds_up_at_any_moment() {
    loom::model(|| {
        let (mut producer, mut consumer) = aged::drop_oldest(2).unwrap();
        assert_eq!(producer.publish(&[tick(0)]), 1);
        assert_eq!(producer.publish(&[tick(1), tick(2)]), 2, "nobody copies, so that nothing is in the way");
        let publisher = thread::spawn(move || producer.publish(&[tick(3), tick(4)]));
        consumer.take(1, &mut Vec::new());
        let (dropped, pending) = consumer.counts();
        assert!((3..=5).contains(&(consumer.taken() + dropped + pending)));
        publisher.join().unwrap();
    });
}

#[test]
#[ignore = "deep: minutes"]
fn deep_single_records_over_three_laps() {
    check(&[1, 1, 1, 1, 1, 1], 3, 1);
}

#[test]
#[ignore = "deep: minutes"]
fn deep_batches_of_all_sizes() {
    check(&[1, 3, 2], 3, 2);
}
