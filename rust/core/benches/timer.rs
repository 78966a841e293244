//! Timers among 1, 100, 10,000 and a million others: set and cancel, set and fire, fire a repeating one.
//! `cargo bench -p tickrail-core --bench timer`

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use tickrail_core::timer::{Overdue, Schedule, TimerQueue};

const INTERVAL_NS: i64 = 1_000_000;
/// One below the most there can be, for the one that comes and goes.
const CROWDS: [u64; 4] = [1, 100, 10_000, 1_000_000];

/// Times without a pattern: the same in each run.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (self.0 >> 24) as i64
    }
}

fn crowd(others: u64) -> (TimerQueue, Draws) {
    let (mut timers, mut draws) = (TimerQueue::new(), Draws(7));
    for _ in 0..others {
        let schedule = Schedule::every(INTERVAL_NS).starting(draws.next());
        timers.schedule(0, 1, &schedule, 0).expect("below the limit");
    }
    (timers, draws)
}

fn each_crowd(group: &mut BenchmarkGroup<'_, WallTime>, mut act: impl FnMut(&mut TimerQueue, &mut Draws)) {
    for others in CROWDS {
        let (mut timers, mut draws) = crowd(others);
        group.bench_function(BenchmarkId::from_parameter(others), |bencher| {
            bencher.iter(|| act(&mut timers, &mut draws));
        });
    }
}

fn schedule_and_cancel(criterion: &mut Criterion) {
    each_crowd(&mut criterion.benchmark_group("timer/schedule+cancel"), |timers, draws| {
        let (id, _) = timers.schedule(1, 1, &Schedule::at(draws.next()), 0).expect("below the limit");
        black_box(timers.cancel(id));
    });
    // The cancelled one is any of those that wait, as where each order has its time-out.
    let mut group = criterion.benchmark_group("timer/schedule+cancel an older one");
    for others in CROWDS {
        let (mut timers, mut draws) = (TimerQueue::new(), Draws(7));
        let mut set =
            |timers: &mut TimerQueue| timers.schedule(1, 1, &Schedule::at(draws.next()), 0).expect("below the limit").0;
        let mut waiting: Vec<_> = (0..others).map(|_| set(&mut timers)).collect();
        let mut turn = 0;
        group.bench_function(BenchmarkId::from_parameter(others), |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % waiting.len();
                let id = set(&mut timers);
                black_box(timers.cancel(std::mem::replace(&mut waiting[turn], id)));
            });
        });
    }
}

fn fire(criterion: &mut Criterion) {
    each_crowd(&mut criterion.benchmark_group("timer/schedule+fire"), |timers, _| {
        timers.schedule(1, 1, &Schedule::at(black_box(0)), 0).expect("below the limit");
        black_box(timers.pop_due(0, Overdue::Each));
    });
    each_crowd(&mut criterion.benchmark_group("timer/fire a repeating one"), |timers, _| {
        black_box(timers.pop_due(timers.next_due(), Overdue::Each));
    });
}

criterion_group!(benches, schedule_and_cancel, fire);
criterion_main!(benches);
