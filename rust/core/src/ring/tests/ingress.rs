use std::collections::VecDeque;
use std::thread;

use proptest::prelude::*;

use super::super::sequence::after;
use super::super::*;
use super::{any_first, tick, ticks};
use crate::source::{Advance, Source};

#[test]
fn a_capacity_that_is_no_power_of_two_or_out_of_range_is_refused() {
    for capacity_slots in [0, 1, MAX_CAPACITY_SLOTS + 1, usize::MAX] {
        assert_eq!(ingress(0, capacity_slots).unwrap_err(), CapacityError::OutOfRange { capacity_slots });
    }
    let error = ingress(0, 1000).unwrap_err();
    assert_eq!(error, CapacityError::NotPowerOfTwo { capacity_slots: 1000, below: 512, above: 1024 });
    assert!(error.to_string().contains("512 and 1024"));
    assert_eq!(ingress(0, 2).unwrap().0.capacity_slots(), 2);
}

#[test]
fn a_full_ring_gives_the_record_back_and_takes_it_after_a_release() {
    let (mut producer, mut consumer) = ingress(0, 2).unwrap();
    assert_eq!(producer.try_publish(&ticks(0..9)), 2);
    assert_eq!(producer.try_push(tick(2)), Err(Refused::Full(tick(2))));
    assert_eq!(consumer.readable(), ticks(0..2));
    consumer.release(1);
    assert_eq!(producer.try_push(tick(2)), Ok(()));
    assert_eq!((producer.published(), producer.pending(), consumer.pending()), (3, 2, 2));
}

#[test]
fn a_run_ends_at_the_last_slot_and_goes_on_at_the_first() {
    let (mut producer, mut consumer) = ingress(0, 4).unwrap();
    producer.try_publish(&ticks(0..3));
    assert_eq!(consumer.readable(), ticks(0..3));
    consumer.release(3);
    assert_eq!(producer.try_publish(&ticks(3..7)), 4);
    assert_eq!(consumer.readable(), ticks(3..4));
    consumer.release(1);
    assert_eq!(consumer.readable(), ticks(4..7));
}

#[test]
fn slots_lie_on_lines_of_their_own() {
    let (mut producer, mut consumer) = ingress(0, 4).unwrap();
    producer.try_push(tick(0)).unwrap();
    assert_eq!(consumer.readable().as_ptr().align_offset(64), 0);
}

#[test]
#[should_panic(expected = "release of 2 records, 1 were readable")]
fn releasing_what_was_never_seen_panics() {
    let (mut producer, mut consumer) = ingress(0, 4).unwrap();
    producer.try_push(tick(0)).unwrap();
    consumer.readable();
    producer.try_push(tick(1)).unwrap();
    consumer.release(2);
}

#[test]
fn slots_are_given_in_one_piece_and_shown_only_as_far_as_they_are_published() {
    let (mut producer, mut consumer) = ingress(0, 4).unwrap();
    assert_eq!(producer.try_publish(&ticks(0..3)), 3);
    consumer.readable();
    consumer.release(2);
    assert_eq!(producer.slots(9).len(), 1, "up to the last slot");
    producer.slots(1)[0] = tick(3);
    producer.publish_filled(1);
    producer.slots(9).copy_from_slice(&ticks(4..6));
    producer.publish_filled(1);
    assert_eq!((producer.pending(), producer.published()), (3, 5));
    assert_eq!(consumer.readable(), ticks(2..3));
    consumer.release(1);
    assert_eq!(consumer.readable(), ticks(3..4));
    consumer.release(1);
    assert_eq!(consumer.readable(), ticks(4..5));
    drop(consumer);
    assert!(producer.slots(9).is_empty(), "nobody would read them");
}

#[test]
#[should_panic(expected = "3 records to publish, 2 slots are free")]
fn publishing_more_than_there_are_slots_panics() {
    let (mut producer, _consumer) = ingress(0, 2).unwrap();
    producer.slots(2);
    producer.publish_filled(3);
}

#[test]
fn closing_ends_the_stream_after_what_was_published() {
    let (mut producer, mut consumer) = ingress(0, 8).unwrap();
    producer.try_publish(&ticks(0..3));
    assert!(!consumer.is_closed());
    producer.close();
    producer.close();
    assert_eq!(producer.try_publish(&ticks(3..5)), 0);
    assert_eq!(producer.try_push(tick(3)).unwrap_err().into_tick(), tick(3));
    assert!(consumer.is_closed() && !consumer.is_drained());
    assert_eq!(consumer.readable(), ticks(0..3));
    consumer.release(3);
    assert!(consumer.is_drained());
}

#[test]
fn each_half_notices_that_the_other_is_gone() {
    let (mut producer, consumer) = ingress(0, 8).unwrap();
    assert!(!producer.is_abandoned());
    drop(consumer);
    assert!(producer.is_abandoned());
    assert_eq!(producer.try_publish(&ticks(0..3)), 0);

    let (mut producer, mut consumer) = ingress(0, 8).unwrap();
    producer.try_push(tick(0)).unwrap();
    drop(producer);
    assert_eq!(consumer.readable(), ticks(0..1));
    consumer.release(1);
    assert!(consumer.is_drained());
}

#[test]
fn as_a_source_it_is_pending_then_ready_then_at_its_end() {
    let (mut producer, mut consumer) = ingress(7, 4).unwrap();
    assert_eq!(consumer.advance(9), Advance::Pending);
    producer.try_publish(&ticks(0..3));
    assert_eq!(consumer.remaining(), None);
    assert_eq!(consumer.advance(2), Advance::Ready);
    assert_eq!(consumer.current().ticks, ticks(0..2));
    assert_eq!(consumer.current().feeds.at(1), 7);
    assert!(consumer.current().block.is_none());
    assert_eq!(producer.try_publish(&ticks(3..9)), 1, "the current slice is not released");
    producer.close();
    assert_eq!(consumer.remaining(), Some(2));
    for left in [1, 0] {
        assert_eq!(consumer.advance(9), Advance::Ready);
        assert_eq!(consumer.current().ticks, [tick(3 - left)], "the end of what was seen ends a slice");
        assert_eq!(consumer.remaining(), Some(left));
    }
    assert_eq!(consumer.advance(9), Advance::End);
    assert_eq!(consumer.advance(9), Advance::End);
    assert!(consumer.current().ticks.is_empty());
}

/// Two threads, a small ring, batches of changing length: every record arrives once, whole and in order.
#[test]
fn nothing_is_lost_torn_or_reordered_between_two_threads() {
    const RECORDS: u64 = 100_000;
    let (mut producer, mut consumer) = ingress(0, 16).unwrap();
    let publisher = thread::spawn(move || {
        let mut next = 0;
        while next < RECORDS {
            let batch = ticks(next..(next + 1 + next % 23).min(RECORDS));
            let taken = producer.try_publish(&batch);
            next += taken as u64;
            if taken == 0 {
                thread::yield_now();
            }
        }
    });
    let mut expected = 0;
    while !consumer.is_drained() {
        let run = consumer.readable();
        let count = run.len();
        for record in run {
            assert_eq!(*record, tick(expected));
            expected += 1;
        }
        consumer.release(count);
        if count == 0 {
            thread::yield_now();
        }
    }
    assert_eq!(expected, RECORDS);
    publisher.join().unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Fill(usize),
    Push,
    Release(prop::sample::Index),
    Advance(usize),
    Close,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..12usize).prop_map(Step::Publish),
        6 => (0..12usize).prop_map(Step::Fill),
        8 => Just(Step::Push),
        8 => any::<prop::sample::Index>().prop_map(Step::Release),
        6 => (1..9usize).prop_map(Step::Advance),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #[test]
    fn equals_a_bounded_deque(
        steps in prop::collection::vec(any_step(), 0..120),
        bits in 1..5u32,
        first in any_first(),
    ) {
        let capacity = 1usize << bits;
        let (mut producer, mut consumer) = ingress_from(0, capacity, first).unwrap();
        // The front `shown` of the model are the source's current slice.
        let (mut model, mut shown, mut sent, mut is_closed) = (VecDeque::new(), 0, 0u64, false);
        for step in steps {
            let room = if is_closed { 0 } else { capacity - model.len() };
            match step {
                Step::Publish(count) => {
                    let batch = ticks(sent..sent + count as u64);
                    let taken = producer.try_publish(&batch);
                    prop_assert_eq!(taken, count.min(room));
                    model.extend(&batch[..taken]);
                    sent += taken as u64;
                }
                Step::Fill(count) => {
                    let before_wrap = capacity - (producer.published() as usize & (capacity - 1));
                    let slots = producer.slots(count);
                    prop_assert_eq!(slots.len(), count.min(room).min(before_wrap));
                    // One fewer than were asked for, where there is one: slots need not all be used.
                    let used = slots.len().saturating_sub(1).max(slots.len().min(1));
                    let batch = ticks(sent..sent + used as u64);
                    slots[..used].copy_from_slice(&batch);
                    producer.publish_filled(used);
                    model.extend(&batch);
                    sent += used as u64;
                }
                Step::Push => {
                    let taken = producer.try_push(tick(sent));
                    prop_assert_eq!(taken.is_ok(), room > 0);
                    if taken.is_ok() {
                        model.push_back(tick(sent));
                        sent += 1;
                    }
                }
                Step::Release(index) => {
                    let run = consumer.readable();
                    prop_assert!(run.iter().eq(model.iter().take(run.len())));
                    prop_assert!(!run.is_empty() || model.is_empty());
                    let count = index.index(run.len() + 1);
                    consumer.release(count);
                    model.drain(..count);
                    shown = 0;
                }
                Step::Advance(max) => {
                    let advance = consumer.advance(max);
                    model.drain(..shown);
                    shown = consumer.current().ticks.len();
                    prop_assert!(shown <= max);
                    prop_assert!(consumer.current().ticks.iter().eq(model.iter().take(shown)));
                    let expected = match (model.is_empty(), is_closed) {
                        (false, _) => Advance::Ready,
                        (true, true) => Advance::End,
                        (true, false) => Advance::Pending,
                    };
                    prop_assert_eq!(advance, expected);
                }
                Step::Close => {
                    producer.close();
                    is_closed = true;
                }
            }
            prop_assert_eq!(consumer.pending(), model.len() as u64);
            prop_assert_eq!(producer.published(), after(consumer.released(), model.len() as u64));
            prop_assert_eq!(producer.published(), after(first, sent));
            prop_assert_eq!(consumer.is_drained(), is_closed && model.is_empty());
        }
    }
}
