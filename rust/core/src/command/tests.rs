use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{
    CommandKind, ExternalRecord, Inbox, Lane, LaneSettings, QUANTUM, RESERVE, RecordError, Sender, lanes, read_records,
};
use crate::ring::NotTaken;
use crate::stop::{StopFlag, WakeReason, Waker};

const SMALL: LaneSettings = LaneSettings { control_slots: 2, normal_slots: 4, background_slots: 4 };

fn open<T: Send>(settings: LaneSettings) -> (Sender<T>, Inbox<T>, Arc<Waker>) {
    let waker = Arc::new(Waker::new());
    let (sender, inbox) = lanes(settings, Arc::new(StopFlag::new()), Arc::clone(&waker)).expect("powers of two");
    (sender, inbox, waker)
}

#[test]
fn control_goes_first_and_is_not_filled_by_others() {
    let (sender, mut inbox, _) = open(SMALL);
    (0..4).for_each(|number| sender.push(Lane::Normal, number).expect("room"));
    assert_eq!(sender.push(Lane::Normal, 4), Err(NotTaken::Full(4)));
    sender.push(Lane::Control, 10).expect("its slots are its own");
    let order: Vec<u32> = std::iter::from_fn(|| inbox.take().map(|(_, command)| command)).collect();
    assert_eq!(order, [10, 0, 1, 2, 3]);
    assert_eq!(sender.stats().map(|lane| (lane.taken, lane.refused, lane.pending)), [(1, 0, 0), (4, 1, 0), (0, 0, 0)]);
}

#[test]
fn a_flood_of_normal_commands_does_not_stop_the_background() {
    let (sender, mut inbox, _) = open(SMALL);
    sender.push(Lane::Background, 99).expect("room");
    let mut before = 0;
    loop {
        let _ = sender.push(Lane::Normal, 1);
        match inbox.take().expect("something waits").1 {
            99 => break,
            _ => before += 1,
        }
    }
    assert!(before < 8, "{before} commands of the lane above came first");
}

#[test]
fn a_flood_of_the_others_leaves_control_its_credit() {
    let (sender, mut inbox, _) = open(LaneSettings::default());
    let fill = || while sender.push(Lane::Normal, 0).is_ok() {};
    fill();
    while inbox.take().is_some() {}
    assert!(!inbox.is_spent(), "there is something left");
    for number in 1..=RESERVE {
        sender.push(Lane::Control, number).expect("room");
        fill();
        assert_eq!(inbox.take(), Some((Lane::Control, number)), "no tick goes before it");
    }
    sender.push(Lane::Control, 99).expect("room");
    assert!(inbox.take().is_none() && inbox.is_spent(), "commands get no more than half");
    inbox.note(1);
    assert_eq!(inbox.take(), Some((Lane::Control, 99)));
}

#[test]
fn commands_cost_credit_that_ticks_earn() {
    let (sender, mut inbox, _) = open(LaneSettings::default());
    (0..200).for_each(|number| sender.push(Lane::Control, number).expect("room"));
    let take = |inbox: &mut Inbox<u32>| std::iter::from_fn(|| inbox.take()).count() as u32;
    assert_eq!(take(&mut inbox), QUANTUM);
    assert!(inbox.is_spent());
    inbox.note(3);
    assert_eq!(take(&mut inbox), 3);
    inbox.note(1_000_000);
    assert_eq!(take(&mut inbox), QUANTUM, "credit is bounded");
    inbox.refill();
    assert_eq!(take(&mut inbox), QUANTUM);
    assert!(inbox.is_called());
    inbox.refill();
    assert_eq!(take(&mut inbox), 200 - 3 * QUANTUM - 3);
    assert!(!inbox.is_called());
}

#[test]
fn a_command_wakes_whoever_waits() {
    let (sender, mut inbox, waker) = open(SMALL);
    let thread = std::thread::spawn(move || sender.push(Lane::Normal, 7));
    assert_eq!(waker.wait_while(Duration::from_secs(30), || true), WakeReason::Woken);
    assert_eq!(inbox.take(), Some((Lane::Normal, 7)));
    thread.join().expect("no panic").expect("room");
}

#[test]
fn waiting_for_a_slot_ends_in_time_with_a_slot_or_with_the_run() {
    let (sender, mut inbox, _) = open(SMALL);
    (0..4).for_each(|number| sender.push(Lane::Normal, number).expect("room"));
    let soon = Duration::from_millis(5);
    assert_eq!(sender.push_within(Lane::Normal, 4, soon, || true), Err(NotTaken::Full(4)));
    assert_eq!(sender.push_within(Lane::Normal, 4, Duration::MAX, || false), Err(NotTaken::Full(4)));
    let other = sender.clone();
    let waiting = std::thread::spawn(move || other.push_within(Lane::Normal, 4, Duration::from_secs(30), || true));
    while inbox.take().map(|(_, number)| number) != Some(4) {
        std::thread::yield_now();
        inbox.refill();
    }
    assert_eq!(waiting.join().expect("no panic"), Ok(()));
    sender.close();
    assert_eq!(sender.push_within(Lane::Control, 5, Duration::MAX, || true), Err(NotTaken::Closed(5)));
    assert!(inbox.is_drained());
}

/// Named so that the thread sanitizer finds it.
#[test]
fn two_threads_send_and_everything_arrives_in_each_senders_order() {
    const EACH: u64 = 20_000;
    let (sender, mut inbox, waker) = open(LaneSettings { normal_slots: 64, ..LaneSettings::default() });
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for number in 0..EACH {
                    let lane = if number % 64 == 0 { Lane::Control } else { Lane::Normal };
                    let sent = sender.push_within(lane, (thread, number), Duration::from_secs(60), || true);
                    sent.expect("the reader reads");
                }
            })
        })
        .collect();
    let mut last = [[None; 3]; 2];
    let mut arrived = 0;
    while arrived < 2 * EACH {
        inbox.refill();
        match inbox.take() {
            Some((lane, (thread, number))) => {
                let before: &mut Option<u64> = &mut last[thread as usize][lane as usize];
                assert!(*before < Some(number), "{number} after {before:?}");
                *before = Some(number);
                arrived += 1;
            }
            None => assert_ne!(waker.wait_while(Duration::from_secs(60), || true), WakeReason::TimedOut),
        }
    }
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(inbox.take(), None);
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Push(Lane),
    Take,
    Ticks(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let lane = prop_oneof![Just(Lane::Control), Just(Lane::Normal), Just(Lane::Background)];
    let act = prop_oneof![lane.prop_map(Act::Push), Just(Act::Take), (0..100_u64).prop_map(Act::Ticks)];
    prop::collection::vec(act, 0..400)
}

proptest! {
    /// Against three queues: nothing lost, doubled or out of its lane's order; control first; credit kept.
    #[test]
    fn lanes_are_three_queues(acts in acts()) {
        let (sender, mut inbox, _) = open(SMALL);
        let mut queues: [VecDeque<u32>; 3] = Default::default();
        let (mut number, mut ticks, mut credit) = (0, 0, u64::from(QUANTUM));
        for act in acts {
            match act {
                Act::Push(lane) => {
                    let room = if lane == Lane::Control { 2 } else { 4 };
                    let queue = &mut queues[lane as usize];
                    if queue.len() < room {
                        prop_assert_eq!(sender.push(lane, number), Ok(()));
                        queue.push_back(number);
                    } else {
                        prop_assert_eq!(sender.push(lane, number), Err(NotTaken::Full(number)));
                    }
                    number += 1;
                }
                Act::Take => match inbox.take() {
                    Some((lane, command)) => {
                        prop_assert!(lane == Lane::Control || queues[0].is_empty());
                        prop_assert_eq!(queues[lane as usize].pop_front(), Some(command));
                        let spared = if lane == Lane::Control { 0 } else { u64::from(RESERVE) };
                        prop_assert!(credit > spared);
                        credit -= 1;
                    }
                    None => {
                        prop_assert!(credit == 0 || queues[0].is_empty());
                        let rest = u64::from(RESERVE);
                        prop_assert!(credit <= rest || queues.iter().all(VecDeque::is_empty));
                    }
                },
                Act::Ticks(count) => {
                    ticks += count;
                    inbox.note(ticks);
                    credit = (credit + count).min(u64::from(QUANTUM));
                }
            }
            prop_assert_eq!(inbox.pending() as usize, queues.iter().map(VecDeque::len).sum::<usize>());
        }
    }

    #[test]
    fn records_survive_the_file_and_damage_is_told(
        given in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<i64>(), 0..3_usize, any::<u16>(), any::<u32>(),
            prop::collection::vec(any::<u8>(), 0..40)), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let records: Vec<ExternalRecord> = given.into_iter().map(|(position, inputs, turn, now_ns, lane, kind, strategy, payload)| {
            let (lane, kind, payload) = (Lane::ALL[lane], CommandKind(kind), payload.into());
            ExternalRecord { position, inputs, turn, now_ns, lane, kind, strategy, payload }
        }).collect();
        let mut bytes = ExternalRecord::header().to_vec();
        let mut ends = vec![bytes.len()];
        for record in &records {
            record.append_to(&mut bytes);
            ends.push(bytes.len());
        }
        prop_assert_eq!(read_records(&bytes), Ok(records.clone()));
        let cut = cut.index(bytes.len() + 1);
        let expected = match ends.iter().rposition(|&end| end <= cut) {
            None => Err(RecordError::Foreign),
            Some(whole) if ends[whole] == cut => Ok(records[..whole].to_vec()),
            Some(whole) => Err(RecordError::Damaged { offset: ends[whole] }),
        };
        prop_assert_eq!(read_records(&bytes[..cut]), expected);
    }
}

#[test]
fn no_two_kinds_have_one_code() {
    let kinds = [
        CommandKind::PAUSE,
        CommandKind::RESUME,
        CommandKind::STOP,
        CommandKind::HOST,
        CommandKind::RESULT,
        CommandKind::ORDER,
        CommandKind::OPERATOR,
        CommandKind::ENDING,
        CommandKind::LIFE,
        CommandKind::LANE_FAILED,
    ];
    let codes: std::collections::BTreeSet<u16> = kinds.iter().map(|kind| kind.0).collect();
    assert_eq!(codes.len(), kinds.len());
}
