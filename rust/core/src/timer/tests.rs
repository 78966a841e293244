use proptest::prelude::*;

use super::*;

fn set(timers: &mut TimerQueue, owner: u32, due_ns: i64) -> TimerId {
    timers.schedule(owner, due_ns, None, 0).unwrap()
}

fn owners_due(timers: &mut TimerQueue, now_ns: i64) -> Vec<u32> {
    std::iter::from_fn(|| timers.pop_due(now_ns)).map(|fired| fired.owner).collect()
}

#[test]
fn fires_by_time_then_by_registration_and_not_early() {
    let mut timers = TimerQueue::new();
    for (owner, due_ns) in [(1, 30), (2, 20), (3, 30), (4, 10), (5, 20)] {
        set(&mut timers, owner, due_ns);
    }
    assert_eq!(timers.next_due(), 10);
    assert_eq!(owners_due(&mut timers, 9), [0; 0]);
    assert_eq!(owners_due(&mut timers, 20), [4, 2, 5]);
    assert_eq!(timers.next_due(), 30);
    assert_eq!(owners_due(&mut timers, i64::MAX), [1, 3]);
    assert_eq!(timers.next_due(), i64::MAX);
    assert!(timers.is_empty());
}

#[test]
fn what_is_set_for_the_past_or_the_present_is_due_at_once() {
    let mut timers = TimerQueue::new();
    timers.schedule(1, 101, None, 100).unwrap();
    timers.schedule(2, 100, None, 100).unwrap();
    timers.schedule(3, 40, None, 100).unwrap();
    assert_eq!(timers.next_due(), i64::MIN);
    let fired: Vec<_> = std::iter::from_fn(|| timers.pop_due(100)).map(|fired| (fired.owner, fired.due_ns)).collect();
    assert_eq!(fired, [(2, 100), (3, 40)]);
    assert_eq!(timers.next_due(), 101);
}

#[test]
fn a_repeating_timer_keeps_its_rank_leaves_nothing_out_and_never_drifts() {
    let mut timers = TimerQueue::new();
    timers.schedule(1, 1_000, Some(2_000), 0).unwrap();
    set(&mut timers, 2, 3_000);
    set(&mut timers, 3, 5_000);
    let fired: Vec<_> =
        std::iter::from_fn(|| timers.pop_due(7_500)).map(|fired| (fired.owner, fired.due_ns, fired.number)).collect();
    assert_eq!(fired, [(1, 1_000, 1), (1, 3_000, 2), (2, 3_000, 1), (1, 5_000, 3), (3, 5_000, 1), (1, 7_000, 4)]);
    assert_eq!(timers.next_due(), 9_000);
}

#[test]
fn a_repetition_beyond_the_end_of_time_ends_the_timer() {
    let mut timers = TimerQueue::new();
    timers.schedule(1, i64::MAX - 1, Some(MIN_INTERVAL_NS), 0).unwrap();
    assert_eq!(owners_due(&mut timers, i64::MAX), [1]);
    assert!(timers.is_empty());
}

#[test]
fn cancelling_is_idempotent_and_never_hits_a_later_timer_in_the_same_slot() {
    let mut timers = TimerQueue::new();
    let first = set(&mut timers, 1, 10);
    assert!(timers.cancel(first));
    assert!(!timers.cancel(first));
    let second = set(&mut timers, 2, 10);
    assert_eq!((first.slot, first.rank() + 1), (second.slot, second.rank()));
    assert!(!timers.cancel(first));
    assert_eq!(owners_due(&mut timers, 10), [2]);
    assert!(!timers.cancel(second));
}

#[test]
fn a_timer_can_be_cancelled_between_its_firings() {
    let mut timers = TimerQueue::new();
    timers.schedule(1, 1_000, Some(1_000), 0).unwrap();
    let fired = timers.pop_due(1_000).unwrap();
    assert!(timers.cancel(fired.id));
    assert_eq!((timers.len(), timers.next_due()), (0, i64::MAX));
}

#[test]
fn all_timers_of_one_owner_go_at_once() {
    let mut timers = TimerQueue::new();
    for n in 0..20 {
        set(&mut timers, n % 2, i64::from(n));
    }
    assert_eq!(timers.cancel_owner(0), 10);
    assert_eq!(timers.cancel_owner(0), 0);
    assert_eq!(owners_due(&mut timers, 100), [1; 10]);
}

#[test]
fn setting_and_cancelling_for_ever_keeps_one_slot() {
    let mut timers = TimerQueue::new();
    for due_ns in 1..10_000 {
        let id = set(&mut timers, 0, due_ns);
        assert_eq!(id.slot, 0);
        assert!(timers.cancel(id));
    }
}

#[test]
fn too_short_an_interval_and_too_many_timers_are_refused() {
    let mut timers = TimerQueue::new();
    for interval_ns in [i64::MIN, -1, 0, MIN_INTERVAL_NS - 1] {
        let refused = timers.schedule(0, 10, Some(interval_ns), 0);
        assert_eq!(refused, Err(TimerError::IntervalTooShort { interval_ns }));
    }
    for _ in 0..MAX_TIMERS {
        set(&mut timers, 0, 10);
    }
    assert_eq!(timers.schedule(0, 10, None, 0), Err(TimerError::TooMany));
    timers.pop_due(10).unwrap();
    set(&mut timers, 0, 10);
}

#[derive(Clone, Debug)]
enum Step {
    Set { owner: u32, ahead_ns: i64, interval_ns: Option<i64> },
    Cancel(prop::sample::Index),
    CancelOwner(u32),
    Advance(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4u32, -3..9i64, prop::option::of(1..4i64)).prop_map(|(owner, ahead, interval)| Step::Set {
            owner,
            ahead_ns: ahead * 1_000,
            interval_ns: interval.map(|interval| interval * 1_000),
        }),
        2 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        1 => (0..4u32).prop_map(Step::CancelOwner),
        3 => (0..4i64).prop_map(|steps| Step::Advance(steps * 1_000)),
    ]
}

/// The obvious queue: a list that is searched for its least entry.
#[derive(Default)]
struct Model {
    set: Vec<(i64, u64, i64, Option<i64>, u32, u64)>,
}

impl Model {
    fn pop_due(&mut self, now_ns: i64) -> Option<(u64, u32, i64, u64)> {
        self.set.sort();
        let &(at_ns, rank, due_ns, interval_ns, owner, fired) = self.set.first()?;
        if at_ns > now_ns {
            return None;
        }
        self.set.remove(0);
        if let Some(interval) = interval_ns {
            let next = due_ns + interval;
            self.set.push((next, rank, next, interval_ns, owner, fired + 1));
        }
        Some((rank, owner, due_ns, fired + 1))
    }
}

proptest! {
    #[test]
    fn equals_a_searched_list(steps in prop::collection::vec(any_step(), 0..80)) {
        let (mut timers, mut model, mut ids, mut now_ns) = (TimerQueue::new(), Model::default(), Vec::new(), 0);
        for step in steps {
            match step {
                Step::Set { owner, ahead_ns, interval_ns } => {
                    let due_ns = now_ns + ahead_ns;
                    let id = timers.schedule(owner, due_ns, interval_ns, now_ns).unwrap();
                    prop_assert_eq!(id.rank(), ids.len() as u64);
                    let at_ns = if due_ns <= now_ns { i64::MIN } else { due_ns };
                    model.set.push((at_ns, id.rank(), due_ns, interval_ns, owner, 0));
                    ids.push(id);
                }
                Step::Cancel(index) if !ids.is_empty() => {
                    let id = *index.get(&ids);
                    let before = model.set.len();
                    model.set.retain(|timer| timer.1 != id.rank());
                    prop_assert_eq!(timers.cancel(id), model.set.len() < before);
                }
                Step::Cancel(_) => {}
                Step::CancelOwner(owner) => {
                    let before = model.set.len();
                    model.set.retain(|timer| timer.4 != owner);
                    prop_assert_eq!(timers.cancel_owner(owner), before - model.set.len());
                }
                Step::Advance(by_ns) => {
                    now_ns += by_ns;
                    loop {
                        let fired = timers.pop_due(now_ns);
                        prop_assert_eq!(fired.map(|f| (f.id.rank(), f.owner, f.due_ns, f.number)), model.pop_due(now_ns));
                        if fired.is_none() { break }
                    }
                }
            }
            prop_assert_eq!(timers.len(), model.set.len());
            prop_assert_eq!(timers.next_due(), model.set.iter().map(|timer| timer.0).min().unwrap_or(i64::MAX));
        }
    }
}
