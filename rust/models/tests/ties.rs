//! The two rings of a lane over every interleaving: one order, and a loop that sees what the handler wrote when the lane is at
//! rest or over.

use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use tickrail_models::aged;
use tickrail_models::lane::{FarEnd, NearEnd, Next, tie};
use tickrail_models::tick::Tick;

/// Only its time and sequence are carried under loom.
fn tick(sequence: u64) -> Tick {
    Tick { sequence, ..Tick::quote(sequence as i64, 0, 0.0, 0.0, 0.0, 0.0) }
}

fn gating(slots: usize) -> (NearEnd<char>, FarEnd<char>) {
    let mut records = aged::observer(slots).unwrap();
    let observer = records.gating_observer();
    tie(records, observer, 2).unwrap()
}

/// What the handler writes; loom reports a loop that reads it while it may be written.
#[derive(Default)]
struct Handled(UnsafeCell<String>);

// SAFETY: that nobody reads while another writes is what the models check.
unsafe impl Sync for Handled {}

impl Handled {
    fn add(&self, what: char) {
        // SAFETY: as above.
        self.0.with_mut(|text| unsafe { (*text).push(what) });
    }

    fn read(&self) -> String {
        // SAFETY: as above.
        self.0.with(|text| unsafe { (*text).clone() })
    }
}

/// A turn of the lane's thread: what it takes goes to the handler, records by their numbers and lost ones as `-`. Whether
/// there was something.
fn turn(lane: &mut FarEnd<char>, handled: &Handled) -> bool {
    let (next, _) = lane.next(4);
    match next {
        Next::Records(most) => {
            let mut into = Vec::new();
            let seen = lane.look(&mut into, most as usize);
            (0..seen.lost).for_each(|_| handled.add('-'));
            into.iter().for_each(|tick| handled.add(char::from(b'0' + tick.sequence as u8)));
        }
        Next::Letter(text) => handled.add(text),
        Next::Soon => return true,
        Next::Nothing => return false,
    }
    lane.mark_done();
    true
}

fn finish(lane: &mut FarEnd<char>, handled: &Handled) {
    while turn(lane, handled) {}
}

#[test]
fn records_and_letters_are_taken_in_the_order_written() {
    loom::model(|| {
        let (mut near, mut lane) = gating(2);
        let handled = Handled::default();
        let writer = thread::spawn(move || {
            near.write(&[tick(0)]);
            assert!(near.mail('a'));
            near.write(&[tick(1)]);
            near
        });
        for _ in 0..3 {
            turn(&mut lane, &handled);
        }
        let _near = writer.join().unwrap();
        finish(&mut lane, &handled);
        assert_eq!(handled.read(), "0a1");
    });
}

#[test]
fn a_letter_waits_for_no_record_behind_it() {
    loom::model(|| {
        let (mut near, mut lane) = gating(2);
        let handled = Handled::default();
        let writer = thread::spawn(move || {
            assert!(near.mail('a'));
            near.write(&[tick(0)]);
            assert!(near.mail('b'));
            near
        });
        for _ in 0..2 {
            turn(&mut lane, &handled);
        }
        let _near = writer.join().unwrap();
        finish(&mut lane, &handled);
        assert_eq!(handled.read(), "a0b");
    });
}

#[test]
fn a_lane_at_rest_has_handled_all_and_what_it_wrote_is_seen() {
    loom::model(|| {
        let (mut near, mut lane) = gating(2);
        let handled = Arc::new(Handled::default());
        let wrote = Arc::clone(&handled);
        near.write(&[tick(0)]);
        let thread = thread::spawn(move || {
            for _ in 0..2 {
                turn(&mut lane, &wrote);
            }
            lane
        });
        assert!(near.mail('a'));
        if near.is_at_rest() {
            assert_eq!(handled.read(), "0a");
        }
        let mut lane = thread.join().unwrap();
        finish(&mut lane, &handled);
        assert!(near.is_at_rest(), "all of it was taken");
        near.write(&[tick(1)]);
        assert!(!near.is_at_rest());
    });
}

#[test]
fn a_lane_that_is_over_writes_no_more() {
    loom::model(|| {
        let (mut near, mut lane) = gating(2);
        let handled = Arc::new(Handled::default());
        let wrote = Arc::clone(&handled);
        near.write(&[tick(0)]);
        let thread = thread::spawn(move || {
            turn(&mut lane, &wrote);
            lane.shared().end();
        });
        if near.shared().is_over() {
            assert_eq!(handled.read(), "0");
        }
        thread.join().unwrap();
        assert!(near.shared().is_over());
    });
}

#[test]
fn a_lossy_lane_counts_what_it_lost_and_its_letters_come_in_their_place() {
    loom::model(|| {
        let records = aged::observer(2).unwrap();
        let observer = records.observer();
        let (mut near, mut lane) = tie(records, observer, 2).unwrap();
        let handled = Handled::default();
        let writer = thread::spawn(move || {
            assert_eq!(near.write(&[tick(0), tick(1)]), 2);
            assert_eq!(near.write(&[tick(2)]), 1);
            assert!(near.mail('a'));
            near
        });
        turn(&mut lane, &handled);
        let near = writer.join().unwrap();
        finish(&mut lane, &handled);
        let text = handled.read();
        assert_eq!((text.len(), text.chars().last()), (4, Some('a')), "{text}");
        let expected = "012a";
        assert!(text.chars().zip(expected.chars()).all(|(found, wanted)| found == wanted || found == '-'), "{text}");
        assert!(near.is_at_rest());
    });
}

/// A call that is lost is a deadlock, which loom reports.
#[test]
fn a_lane_that_sleeps_is_woken_for_records_for_a_letter_and_to_leave() {
    loom::model(|| {
        let (mut near, mut lane) = gating(2);
        let handled = Arc::new(Handled::default());
        let wrote = Arc::clone(&handled);
        let thread = thread::spawn(move || {
            while !lane.shared().is_left() {
                if !turn(&mut lane, &wrote) {
                    lane.shared().waker.wait_for(Duration::MAX, || lane.has_records());
                }
            }
        });
        near.write(&[tick(0)]);
        near.notify();
        near.close();
        thread.join().unwrap();
    });
}

#[test]
fn a_lane_that_looks_before_it_sleeps_needs_no_call_for_a_record() {
    loom::model(|| {
        let (mut near, mut lane) = gating(2);
        let handled = Handled::default();
        let writer = thread::spawn(move || {
            near.write(&[tick(0)]);
            near.notify();
            near
        });
        while handled.read().is_empty() {
            if !turn(&mut lane, &handled) {
                lane.shared().waker.wait_for(Duration::MAX, || lane.has_records());
            }
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_lane_is_woken_for_a_letter() {
    loom::model(|| {
        let (mut near, mut lane) = gating(2);
        let handled = Handled::default();
        let writer = thread::spawn(move || {
            assert!(near.mail('a'));
            near
        });
        while handled.read().is_empty() {
            if !turn(&mut lane, &handled) {
                lane.shared().waker.wait(Duration::MAX);
            }
        }
        writer.join().unwrap();
    });
}
