//! The observer ring over every interleaving: never torn, in order, and each record seen or counted as lost.

use loom::thread;
use tickrail_models::aged;
use tickrail_models::ring::Observer;
use tickrail_models::tick::Tick;

/// Only its time and sequence are carried under loom; torn is where they differ.
fn tick(sequence: u64) -> Tick {
    Tick { sequence, ..Tick::quote(sequence as i64, 0, 0.0, 0.0, 0.0, 0.0) }
}

fn look(observer: &mut Observer, next: &mut u64) {
    let mut into = Vec::new();
    let seen = observer.look(&mut into, 4);
    *next += seen.lost;
    for tick in into {
        assert_eq!((tick.ts_event as u64, tick.sequence), (*next, *next), "torn, repeated or out of order");
        *next += 1;
    }
}

#[test]
fn a_lossy_observer_is_never_torn_and_knows_its_gaps() {
    loom::model(|| {
        let mut writer = aged::observer(2).unwrap();
        let mut observer = writer.observer();
        let publisher = thread::spawn(move || {
            for sequence in 0..3 {
                assert_eq!(writer.publish(&[tick(sequence)]), 1);
            }
        });
        let mut next = 0;
        for _ in 0..2 {
            look(&mut observer, &mut next);
        }
        publisher.join().unwrap();
        while !observer.is_drained() {
            look(&mut observer, &mut next);
        }
        assert_eq!(next, 3, "seen and lost are all there was");
    });
}

#[test]
fn nothing_is_written_over_that_a_gating_observer_has_not_seen() {
    loom::model(|| {
        let mut writer = aged::observer(2).unwrap();
        let mut observer = writer.gating_observer();
        let publisher = thread::spawn(move || {
            let mut sent = 0;
            for _ in 0..3 {
                sent += writer.publish(&[tick(sent)]) as u64;
            }
            sent
        });
        let mut next = 0;
        for _ in 0..2 {
            look(&mut observer, &mut next);
        }
        let sent = publisher.join().unwrap();
        while !observer.is_drained() {
            look(&mut observer, &mut next);
        }
        assert_eq!((next, observer.lost()), (sent, 0));
    });
}

#[test]
fn a_gate_is_dropped_while_its_owner_moves_on() {
    loom::model(|| {
        let mut writer = aged::observer(2).unwrap();
        let mut observer = writer.gating_observer();
        let publisher = thread::spawn(move || {
            assert_eq!(writer.publish(&[tick(0), tick(1)]), 2);
            writer.drop_gates_behind(1);
            writer.publish(&[tick(2)]) as u64 + 2
        });
        let mut next = 0;
        look(&mut observer, &mut next);
        let sent = publisher.join().unwrap();
        while !observer.is_drained() {
            look(&mut observer, &mut next);
        }
        assert_eq!(next, sent);
    });
}

#[test]
fn what_a_gating_observer_has_seen_it_has_not_lost_when_it_leaves() {
    loom::model(|| {
        let mut writer = aged::observer(2).unwrap();
        let mut observer = writer.gating_observer();
        assert_eq!(writer.publish(&[tick(0), tick(1)]), 2);
        let reader = thread::spawn(move || {
            let mut next = 0;
            look(&mut observer, &mut next);
            next
        });
        writer.publish(&[tick(2)]);
        assert_eq!(reader.join().unwrap(), 2);
        for _ in 0..2 {
            assert_eq!(writer.publish(&[tick(3), tick(4)]), 2, "nobody is waited for who is gone");
        }
    });
}

#[test]
#[ignore = "deep: minutes"]
fn deep_a_gating_and_a_lossy_observer() {
    loom::model(|| {
        let mut writer = aged::observer(2).unwrap();
        let (mut gating, mut lossy) = (writer.gating_observer(), writer.observer());
        let publisher = thread::spawn(move || (0..3).map(|sequence| writer.publish(&[tick(sequence)])).sum::<usize>());
        let other = thread::spawn(move || {
            let mut next = 0;
            look(&mut lossy, &mut next);
        });
        let mut next = 0;
        look(&mut gating, &mut next);
        publisher.join().unwrap();
        other.join().unwrap();
    });
}
