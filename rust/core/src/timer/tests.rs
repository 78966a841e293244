use proptest::prelude::*;

use super::*;

fn set(timers: &mut TimerQueue, owner: u32, due_ns: i64) -> TimerId {
    timers.schedule(owner, 1, &Schedule::at(due_ns), 0).unwrap().0
}

fn set_every(timers: &mut TimerQueue, owner: u32, start_ns: i64, interval_ns: i64) -> TimerId {
    timers.schedule(owner, 1, &Schedule::every(interval_ns).starting(start_ns), 0).unwrap().0
}

fn pop(timers: &mut TimerQueue, now_ns: i64) -> Option<Fired> {
    timers.pop_due(now_ns, Overdue::Each)
}

fn owners_due(timers: &mut TimerQueue, now_ns: i64) -> Vec<u32> {
    std::iter::from_fn(|| pop(timers, now_ns)).map(|fired| fired.owner).collect()
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
    timers.schedule(1, 1, &Schedule::at(101), 100).unwrap();
    timers.schedule(2, 1, &Schedule::after(0), 100).unwrap();
    timers.schedule(3, 1, &Schedule::at(40), 100).unwrap();
    assert_eq!(timers.next_due(), i64::MIN);
    let fired: Vec<_> = std::iter::from_fn(|| pop(&mut timers, 100)).map(|fired| (fired.owner, fired.due_ns)).collect();
    assert_eq!(fired, [(2, 100), (3, 40)]);
    assert_eq!(timers.next_due(), 101);
}

#[test]
fn a_repeating_timer_keeps_its_rank_leaves_nothing_out_and_never_drifts() {
    let mut timers = TimerQueue::new();
    set_every(&mut timers, 1, 1_000, 2_000);
    set(&mut timers, 2, 3_000);
    set(&mut timers, 3, 5_000);
    let fired: Vec<_> =
        std::iter::from_fn(|| pop(&mut timers, 7_500)).map(|fired| (fired.owner, fired.due_ns, fired.count)).collect();
    assert_eq!(fired, [(1, 1_000, 1), (1, 3_000, 2), (2, 3_000, 1), (1, 5_000, 3), (3, 5_000, 1), (1, 7_000, 4)]);
    assert_eq!(timers.next_due(), 9_000);
}

#[test]
fn a_repetition_beyond_the_end_of_time_ends_the_timer() {
    let mut timers = TimerQueue::new();
    set_every(&mut timers, 1, i64::MAX - 1, MIN_INTERVAL_NS);
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
    set_every(&mut timers, 1, 1_000, 1_000);
    let fired = pop(&mut timers, 1_000).unwrap();
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
fn what_cannot_be_kept_is_refused_and_changes_nothing() {
    let mut timers = TimerQueue::new();
    let mut refused = |schedule: Schedule| timers.schedule(0, 1, &schedule, 100).unwrap_err();
    for interval_ns in [i64::MIN, -1, 0, MIN_INTERVAL_NS - 1] {
        assert_eq!(refused(Schedule::every(interval_ns)), TimerError::IntervalTooShort { interval_ns });
    }
    let every = || Schedule::every(1_000);
    assert_eq!(refused(every().starting(99)), TimerError::StartInPast { start_ns: 99, now_ns: 100 });
    assert_eq!(refused(every().until(1_100)), TimerError::EndBeforeStart { start_ns: 1_100, end_ns: 1_100 });
    assert_eq!(refused(every().starting(200).until(1)), TimerError::EndBeforeStart { start_ns: 200, end_ns: 1 });
    assert_eq!(refused(Schedule::after(-1)), TimerError::NegativeDelay { delay_ns: -1 });
    assert!(timers.is_empty() && timers.next_due() == i64::MAX);
    timers.schedule(0, 1, &every().starting(100), 100).unwrap();
}

#[test]
fn more_timers_than_there_can_be_are_refused_until_one_is_gone() {
    let mut timers = TimerQueue::new();
    for _ in 0..MAX_TIMERS {
        set(&mut timers, 0, 10);
    }
    assert_eq!(timers.schedule(0, 1, &Schedule::at(10), 0), Err(TimerError::TooMany));
    pop(&mut timers, 10).unwrap();
    set(&mut timers, 0, 10);
}

#[test]
fn the_end_is_the_first_time_that_does_not_fire() {
    for (end_ns, times) in [(3_000, vec![1_000, 2_000]), (3_001, vec![1_000, 2_000, 3_000])] {
        let mut timers = TimerQueue::new();
        timers.schedule(1, 1, &Schedule::every(1_000).until(end_ns), 0).unwrap();
        let fired: Vec<Fired> = std::iter::from_fn(|| pop(&mut timers, i64::MAX)).collect();
        assert_eq!(fired.iter().map(|fired| fired.due_ns).collect::<Vec<_>>(), times);
        assert!(fired.last().unwrap().is_last && timers.is_empty());
    }
}

#[test]
fn overdue_firings_are_merged_into_the_last_of_them_on_the_same_grid() {
    let mut timers = TimerQueue::new();
    timers.schedule(1, 1, &Schedule::every(1_000).until(9_500), 0).unwrap();
    let mut late = |now_ns| {
        let fired = timers.pop_due(now_ns, Overdue::Merge)?;
        Some((fired.due_ns, fired.count, fired.missed, fired.is_last))
    };
    assert_eq!(late(999), None);
    assert_eq!(late(1_000), Some((1_000, 1, 0, false)));
    assert_eq!(late(1_999), None);
    assert_eq!(late(5_999), Some((5_000, 5, 3, false)));
    assert_eq!(late(5_999), None);
    assert_eq!(late(i64::MAX), Some((9_000, 9, 3, true)));
    assert!(timers.is_empty());
}

#[test]
fn a_name_is_one_timers_of_its_owner_and_free_when_that_is_gone() {
    let mut timers = TimerQueue::new();
    let named = |due_ns| Schedule::at(due_ns).named("close".into());
    let (first, _) = timers.schedule(1, 1, &named(10), 0).unwrap();
    assert_eq!(timers.schedule(1, 2, &named(20), 0), Err(TimerError::NameTaken));
    timers.schedule(2, 1, &named(30), 0).unwrap();
    assert_eq!(timers.find(1, "close").unwrap().id, first);
    assert!(timers.cancel(first));
    assert_eq!(timers.find(1, "close"), None);
    timers.schedule(1, 3, &named(20), 0).unwrap();
    assert_eq!(pop(&mut timers, 20).unwrap().name.as_deref(), Some("close"));
    timers.schedule(1, 4, &named(25), 0).unwrap();
    assert_eq!(timers.cancel_owner(1), 1);
    timers.schedule(1, 5, &named(25), 0).unwrap();
    assert_eq!(timers.find(2, "close").unwrap().due_ns, 30);
}

#[test]
fn the_listing_is_in_the_order_of_firing() {
    let mut timers = TimerQueue::new();
    set(&mut timers, 9, 1);
    for (number, due_ns) in [(1, 3_000), (2, 1_000), (3, 3_000), (4, 2_000)] {
        timers.schedule(1, number, &Schedule::every(1_000).starting(due_ns), 0).unwrap();
    }
    timers.pop_due(3_500, Overdue::Merge).unwrap();
    timers.pop_due(3_500, Overdue::Merge).unwrap();
    let listed: Vec<_> =
        timers.of_owner(1).iter().map(|info| (info.number, info.due_ns, info.fired, info.missed)).collect();
    assert_eq!(listed, [(4, 2_000, 0, 0), (1, 3_000, 0, 0), (3, 3_000, 0, 0), (2, 4_000, 1, 2)]);
    assert_eq!(timers.info(timers.of_owner(1)[3].id).unwrap().interval_ns, Some(1_000));
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
                    let interval_ns = interval_ns.filter(|_| due_ns >= now_ns);
                    let schedule = interval_ns.map_or(Schedule::at(due_ns), |ns| Schedule::every(ns).starting(due_ns));
                    let (id, _) = timers.schedule(owner, 1, &schedule, now_ns).unwrap();
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
                        let fired = pop(&mut timers, now_ns).map(|f| (f.id.rank(), f.owner, f.due_ns, f.count));
                        prop_assert_eq!(fired, model.pop_due(now_ns));
                        if fired.is_none() { break }
                    }
                }
            }
            prop_assert_eq!(timers.len(), model.set.len());
            prop_assert_eq!(timers.next_due(), model.set.iter().map(|timer| timer.0).min().unwrap_or(i64::MAX));
        }
    }
}
