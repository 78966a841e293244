use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;

use super::super::*;
use super::any_first;

#[test]
fn commands_come_in_the_order_sent_and_a_full_ring_gives_them_back() {
    let (producer, mut consumer) = commands(2).unwrap();
    let other = producer.clone();
    assert_eq!([producer.push(1), other.push(2)], [Ok(()), Ok(())]);
    assert_eq!(producer.push(3), Err(NotTaken::Full(3)));
    assert_eq!((consumer.pending(), consumer.pop()), (2, Some(1)));
    assert_eq!(other.push(3), Ok(()));
    assert_eq!([consumer.pop(), consumer.pop(), consumer.pop()], [Some(2), Some(3), None]);
}

#[test]
fn closing_ends_it_after_what_was_sent() {
    let (producer, mut consumer) = commands(4).unwrap();
    producer.push(1).unwrap();
    producer.close();
    producer.clone().close();
    assert_eq!(producer.push(2), Err(NotTaken::Closed(2)));
    assert!(!consumer.is_drained());
    assert_eq!((consumer.pop(), consumer.pop()), (Some(1), None));
    assert!(consumer.is_drained());
}

#[test]
fn every_command_is_dropped_once() {
    let counted = Arc::new(());
    let (producer, mut consumer) = commands(4).unwrap();
    for _ in 0..4 {
        producer.push(Arc::clone(&counted)).unwrap();
    }
    drop(consumer.pop());
    assert_eq!(Arc::strong_count(&counted), 4);
    drop(consumer);
    assert_eq!(Arc::strong_count(&counted), 1);
    assert!(matches!(producer.push(Arc::clone(&counted)), Err(NotTaken::Closed(_))));
    assert_eq!(Arc::strong_count(&counted), 1);
}

#[test]
fn a_capacity_that_is_no_power_of_two_or_below_two_is_refused() {
    assert!(commands::<u8>(1).is_err());
    assert!(commands::<u8>(12).is_err());
}

/// Several threads send at once: each one's commands arrive once and in its own order.
#[test]
fn nothing_is_lost_or_reordered_from_two_threads() {
    const EACH: u64 = 50_000;
    let (producer, mut consumer) = commands(16).unwrap();
    let senders: Vec<_> = (0..2)
        .map(|sender| {
            let producer = producer.clone();
            thread::spawn(move || {
                for number in 0..EACH {
                    let mut command = (sender, number);
                    while let Err(NotTaken::Full(back)) = producer.push(command) {
                        command = back;
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut next = [0; 2];
    while next != [EACH; 2] {
        match consumer.pop() {
            Some((sender, number)) => {
                assert_eq!(number, next[sender]);
                next[sender] += 1;
            }
            None => thread::yield_now(),
        }
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert_eq!(consumer.pop(), None);
}

proptest! {
    #[test]
    fn equals_a_bounded_deque(
        steps in prop::collection::vec(any::<bool>(), 0..200),
        bits in 1..4u32,
        first in any_first(),
    ) {
        let capacity = 1usize << bits;
        let (producer, mut consumer) = commands_from(capacity, first >> bits).unwrap();
        let mut model = VecDeque::new();
        for (number, pushes) in steps.into_iter().enumerate() {
            if pushes {
                let expected = if model.len() == capacity { Err(NotTaken::Full(number)) } else { Ok(()) };
                prop_assert_eq!(producer.push(number), expected);
                if expected.is_ok() {
                    model.push_back(number);
                }
            } else {
                prop_assert_eq!(consumer.pop(), model.pop_front());
            }
            prop_assert_eq!(consumer.pending(), model.len() as u64);
        }
    }
}
