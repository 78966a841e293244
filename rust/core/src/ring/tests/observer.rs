use std::collections::VecDeque;
use std::thread;

use proptest::prelude::*;

use super::super::sequence::after;
use super::super::*;
use super::{any_first, ticks};

fn look(observer: &mut Observer, most: usize) -> (Vec<u64>, u64) {
    let mut into = Vec::new();
    let seen = observer.look(&mut into, most);
    assert_eq!(seen.count, into.len());
    (into.iter().map(|tick| tick.sequence).collect(), seen.lost)
}

#[test]
fn each_observer_sees_everything_from_where_it_came_in() {
    let mut writer = observer(8).unwrap();
    let mut early = writer.observer();
    assert_eq!(writer.publish(&ticks(0..3)), 3);
    let mut late = writer.gating_observer();
    writer.publish(&ticks(3..5));
    assert_eq!(look(&mut early, 2), (vec![0, 1], 0));
    assert_eq!(look(&mut early, 9), (vec![2, 3, 4], 0));
    assert_eq!(look(&mut late, 9), (vec![3, 4], 0));
    assert_eq!(look(&mut late, 9), (vec![], 0));
    assert!(late.is_gating() && !early.is_gating());
}

#[test]
fn a_lossy_observer_that_was_overtaken_goes_on_near_the_newest_and_knows_its_gap() {
    let mut writer = observer(8).unwrap();
    let mut lossy = writer.observer();
    assert_eq!(writer.publish(&ticks(0..21)), 21);
    assert_eq!(lossy.lag(), 21);
    let (seen, lost) = look(&mut lossy, 100);
    assert_eq!((seen, lost), ((15..21).collect(), 15), "three quarters of the ring are left");
    assert_eq!((lossy.lag(), lossy.lost()), (0, 15));
}

#[test]
fn a_gating_observer_is_waited_for_until_it_leaves() {
    let mut writer = observer(4).unwrap();
    let mut gating = writer.gating_observer();
    assert_eq!(writer.publish(&ticks(0..9)), 4);
    assert_eq!(look(&mut gating, 1), (vec![0], 0));
    assert_eq!(writer.publish(&ticks(4..9)), 1);
    drop(gating);
    assert_eq!(writer.publish(&ticks(5..9)), 4);
    assert_eq!(writer.published(), 9);
}

#[test]
fn a_gate_that_is_dropped_lets_the_writer_go_on_and_its_owner_looks_on_with_a_gap() {
    let mut writer = observer(4).unwrap();
    let (mut stuck, mut well) = (writer.gating_observer(), writer.gating_observer());
    writer.publish(&ticks(0..4));
    assert_eq!(look(&mut well, 9).0.len(), 4);
    assert_eq!(writer.publish(&ticks(4..5)), 0);
    assert_eq!(writer.drop_gates_behind(4), 1);
    assert!(!stuck.is_gating() && well.is_gating());
    assert_eq!(writer.publish(&ticks(4..8)), 4);
    assert_eq!(look(&mut well, 9), ((4..8).collect(), 0));
    assert_eq!(look(&mut stuck, 9), ((5..8).collect(), 5));
    assert!(!stuck.is_gating(), "looking does not bring the gate back");
    assert_eq!(writer.publish(&ticks(8..12)), 4);
    assert_eq!(writer.publish(&ticks(12..16)), 0, "the other gate holds");
}

#[test]
fn a_closed_ring_is_drained_by_each_at_its_own_pace() {
    let mut writer = observer(4).unwrap();
    let (mut one, other) = (writer.observer(), writer.observer());
    writer.publish(&ticks(0..2));
    assert!(!one.is_drained());
    drop(writer);
    assert_eq!(look(&mut one, 9).0, [0, 1]);
    assert!(one.is_drained() && !other.is_drained());
}

#[test]
fn a_panic_in_an_observer_leaves_its_gate() {
    let mut writer = observer(2).unwrap();
    let gating = writer.gating_observer();
    let died = thread::spawn(move || {
        let _held = gating;
        panic!("as planned");
    });
    assert!(died.join().is_err());
    assert_eq!(writer.publish(&ticks(0..6)), 6);
}

proptest! {
    /// Observers come, look and go, and gates are dropped; each saw or lost every record since it came, in order.
    #[test]
    fn every_record_is_seen_or_lost(
        steps in prop::collection::vec((0..6_usize, 0..4_usize, 0..20_u64), 1..120),
        first in any_first(),
    ) {
        let mut writer = observer_from(8, first).unwrap();
        let mut sent = 0;
        let mut observers: VecDeque<(Observer, u64, u64)> = VecDeque::new();
        for (what, which, number) in steps {
            match what {
                0 => observers.push_back((writer.observer(), sent, sent)),
                1 => observers.push_back((writer.gating_observer(), sent, sent)),
                2 if observers.len() > which => drop(observers.remove(which)),
                3 => drop(writer.drop_gates_behind(number)),
                4 | 5 => {
                    let from = sent;
                    let slowest = observers.iter().filter(|(one, ..)| one.is_gating()).map(|one| one.2).min();
                    let room = slowest.map_or(number, |at| (at + 8 - from).min(number));
                    prop_assert_eq!(writer.publish(&ticks(from..from + number)) as u64, room);
                    sent += room;
                    prop_assert_eq!(writer.published(), after(first, sent));
                }
                _ => {}
            }
            if let Some((one, came, next)) = observers.get_mut(which) {
                let (seen, lost) = look(one, number as usize);
                prop_assert!(lost == 0 || !one.is_gating());
                let from = *next + lost;
                prop_assert_eq!(&seen, &(from..from + seen.len() as u64).collect::<Vec<_>>());
                *next = from + seen.len() as u64;
                prop_assert_eq!(one.lag(), sent - *next);
                prop_assert_eq!(one.is_drained(), false);
                prop_assert!(*came <= *next);
            }
        }
    }
}

#[test]
fn two_threads_a_lossy_and_a_gating_observer() {
    const RECORDS: u64 = 200_000;
    let mut writer = observer(64).unwrap();
    let (gating, lossy) = (writer.gating_observer(), writer.observer());
    let watch = |mut observer: Observer| {
        thread::spawn(move || {
            let (mut into, mut next, mut lost) = (Vec::new(), 0, 0);
            while !observer.is_drained() {
                let seen = observer.look(&mut into, 32);
                next += seen.lost;
                lost += seen.lost;
                for tick in into.drain(..) {
                    assert_eq!(tick, super::tick(next), "torn or out of order");
                    next += 1;
                }
                thread::yield_now();
            }
            (next, lost)
        })
    };
    let threads = [watch(gating), watch(lossy)];
    let mut sent = 0;
    while sent < RECORDS {
        sent += writer.publish(&ticks(sent..RECORDS.min(sent + 16))) as u64;
    }
    drop(writer);
    let [gating, lossy] = threads.map(|thread| thread.join().unwrap());
    assert_eq!(gating, (RECORDS, 0));
    assert_eq!(lossy.0, RECORDS, "seen and lost are all there was");
}
