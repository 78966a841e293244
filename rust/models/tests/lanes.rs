//! The lanes over every interleaving: a command that was sent is found, and a loop that goes to sleep is woken for it.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use tickrail_models::command::{Inbox, Lane, LaneSettings, Sender, lanes};
use tickrail_models::stop::{StopFlag, Waker};

const SMALL: LaneSettings = LaneSettings { control_slots: 2, normal_slots: 2, background_slots: 2 };

fn open() -> (Sender<u32>, Inbox<u32>, Arc<Waker>) {
    let waker = Arc::new(Waker::new());
    let (sender, inbox) = lanes(SMALL, Arc::new(StopFlag::new()), Arc::clone(&waker)).unwrap();
    (sender, inbox, waker)
}

/// Looks, and sleeps where there is nothing: a call that is lost is a deadlock, which loom reports.
fn take(inbox: &mut Inbox<u32>, waker: &Waker) -> (Lane, u32) {
    loop {
        inbox.refill();
        if inbox.is_called()
            && let Some(found) = inbox.take()
        {
            return found;
        }
        waker.wait(Duration::MAX);
    }
}

#[test]
fn a_loop_that_sleeps_is_woken_for_a_command() {
    loom::model(|| {
        let (sender, mut inbox, waker) = open();
        let thread = thread::spawn(move || sender.push(Lane::Normal, 1).unwrap());
        assert_eq!(take(&mut inbox, &waker), (Lane::Normal, 1));
        thread.join().unwrap();
    });
}

#[test]
fn commands_of_two_senders_are_both_found() {
    // Unbounded it takes an hour; two switches are what the faults of such rings need.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let (sender, mut inbox, _) = open();
        let other = sender.clone();
        let threads = [
            thread::spawn(move || sender.push(Lane::Control, 1).unwrap()),
            thread::spawn(move || other.push(Lane::Control, 2).unwrap()),
        ];
        let early = inbox.take();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let late = std::iter::from_fn(|| inbox.is_called().then(|| inbox.take()).flatten());
        let mut found: Vec<u32> = early.into_iter().chain(late).map(|(_, command)| command).collect();
        found.sort_unstable();
        assert_eq!(found, [1, 2]);
    });
}

#[test]
fn a_call_that_comes_while_the_last_is_answered_stands() {
    loom::model(|| {
        let (sender, mut inbox, _) = open();
        let thread = thread::spawn(move || sender.push(Lane::Control, 1).unwrap());
        let early = inbox.take();
        thread.join().unwrap();
        assert!(early.is_some() || inbox.is_called(), "sent, not taken, and nobody knows");
        assert_eq!(early.or_else(|| inbox.take()), Some((Lane::Control, 1)));
    });
}
