//! The paths that are measured, ours and the others': each carries so many records from one thread to another and says how
//! many a second, or how long one takes.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use rtrb::{CopyToUninit as _, RingBuffer};
use tickrail_core::stop::{WaitStrategy, Waker};
use tickrail_core::{Tick, ring};

use crate::probe::{median, pin};

/// 256 KB: what the second cache holds.
const SLOTS: usize = 4_096;
const BATCH: usize = 64;
const RECORDS: usize = 1 << 20;
const TRIPS: usize = 20_000;
/// Where others want the processors, each trip may take a time slice of theirs.
const LONGEST: Duration = Duration::from_secs(1);
const INSTRUMENTS: u32 = 1_000;
const OVERLOAD: usize = 10;

fn tick(number: usize) -> Tick {
    Tick { sequence: number as u64, ..Tick::quote(number as i64, 0, 1.0, 2.0, 1.0, 1.0) }
}

/// A look that finds nothing costs the other side its line: 16 pauses between two.
fn pause() {
    for _ in 0..16 {
        spin_loop();
    }
}

/// `produce` on the first processor, `consume` on the second; records a second.
fn rate(records: usize, produce: impl FnOnce() + Send, consume: impl FnOnce() + Send) -> f64 {
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(0);
            barrier.wait();
            produce();
        });
        let consumer = scope.spawn(|| {
            pin(1);
            barrier.wait();
            let start = Instant::now();
            consume();
            records as f64 / start.elapsed().as_secs_f64()
        });
        consumer.join().expect("the consumer")
    })
}

pub fn ingress_single() -> f64 {
    let (mut producer, mut consumer) = ring::ingress(0, SLOTS).expect("a ring");
    rate(
        RECORDS,
        move || {
            for number in 0..RECORDS {
                while producer.try_push(tick(number)).is_err() {
                    pause();
                }
            }
        },
        move || {
            let (mut got, mut sum) = (0, 0);
            while got < RECORDS {
                match consumer.readable().first() {
                    Some(tick) => {
                        sum += tick.sequence;
                        got += 1;
                        consumer.release(1);
                    }
                    None => pause(),
                }
            }
            black_box(sum);
        },
    )
}

pub fn rtrb_single() -> f64 {
    let (mut producer, mut consumer) = RingBuffer::<Tick>::new(SLOTS);
    rate(
        RECORDS,
        move || {
            for number in 0..RECORDS {
                while producer.push(tick(number)).is_err() {
                    pause();
                }
            }
        },
        move || {
            let (mut got, mut sum) = (0, 0);
            while got < RECORDS {
                match consumer.pop() {
                    Ok(tick) => {
                        sum += tick.sequence;
                        got += 1;
                    }
                    Err(_) => pause(),
                }
            }
            black_box(sum);
        },
    )
}

fn batch() -> Vec<Tick> {
    (0..BATCH).map(tick).collect()
}

fn publish_all(producer: &mut ring::Producer, records: usize) {
    let batch = batch();
    let mut sent = 0;
    while sent < records {
        let count = producer.try_publish(&batch[..BATCH.min(records - sent)]);
        sent += count;
        if count == 0 {
            pause();
        }
    }
}

pub fn ingress_batches() -> f64 {
    let (mut producer, mut consumer) = ring::ingress(0, SLOTS).expect("a ring");
    rate(
        RECORDS,
        move || publish_all(&mut producer, RECORDS),
        move || {
            let (mut got, mut sum) = (0, 0);
            while got < RECORDS {
                let run = consumer.readable();
                let count = run.len().min(BATCH);
                sum += run[..count].iter().map(|tick| tick.sequence).sum::<u64>();
                got += count;
                consumer.release(count);
                if count == 0 {
                    pause();
                }
            }
            black_box(sum);
        },
    )
}

pub fn rtrb_batches() -> f64 {
    let (mut producer, mut consumer) = RingBuffer::<Tick>::new(SLOTS);
    rate(
        RECORDS,
        move || {
            let batch = batch();
            let mut sent = 0;
            while sent < RECORDS {
                let count = producer.slots().min(BATCH).min(RECORDS - sent);
                if let Ok(mut chunk) = producer.write_chunk_uninit(count) {
                    let (first, second) = chunk.as_mut_slices();
                    let middle = first.len();
                    batch[..middle].copy_to_uninit(first);
                    batch[middle..count].copy_to_uninit(second);
                    // SAFETY: all of it was written.
                    unsafe { chunk.commit_all() };
                }
                sent += count;
                if count == 0 {
                    pause();
                }
            }
        },
        move || {
            let (mut got, mut sum) = (0, 0);
            while got < RECORDS {
                let count = consumer.slots().min(BATCH);
                if let Ok(chunk) = consumer.read_chunk(count) {
                    let (first, second) = chunk.as_slices();
                    sum += first.iter().chain(second).map(|tick| tick.sequence).sum::<u64>();
                    chunk.commit_all();
                }
                got += count;
                if count == 0 {
                    pause();
                }
            }
            black_box(sum);
        },
    )
}

/// Two publishers with a ring each, on one processor, read in turn.
pub fn two_publishers() -> f64 {
    let (producers, mut consumers): (Vec<_>, Vec<_>) =
        (0..2).map(|feed| ring::ingress(feed, SLOTS).expect("a ring")).unzip();
    rate(
        RECORDS,
        move || {
            thread::scope(|scope| {
                for mut producer in producers {
                    scope.spawn(move || publish_all(&mut producer, RECORDS / 2));
                }
            });
        },
        move || {
            let (mut got, mut sum) = (0, 0);
            while got < RECORDS {
                let before = got;
                for consumer in &mut consumers {
                    let run = consumer.readable();
                    let count = run.len().min(BATCH);
                    sum += run[..count].iter().map(|tick| tick.sequence).sum::<u64>();
                    consumer.release(count);
                    got += count;
                }
                if got == before {
                    pause();
                }
            }
            black_box(sum);
        },
    )
}

/// Two publishers of one shared queue.
pub fn two_publishers_shared() -> f64 {
    let queue = Arc::new(ArrayQueue::<Tick>::new(2 * SLOTS));
    let sink = Arc::clone(&queue);
    rate(
        RECORDS,
        move || {
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for number in 0..RECORDS / 2 {
                            while queue.push(tick(number)).is_err() {
                                pause();
                            }
                        }
                    });
                }
            });
        },
        move || {
            let (mut got, mut sum) = (0, 0);
            while got < RECORDS {
                match sink.pop() {
                    Some(tick) => {
                        sum += tick.sequence;
                        got += 1;
                    }
                    None => pause(),
                }
            }
            black_box(sum);
        },
    )
}

/// Gating readers, all on the second processor; how many records a second each of them sees.
pub fn observers(readers: usize) -> f64 {
    let mut writer = ring::observer(SLOTS).expect("a ring");
    let observers: Vec<_> = (0..readers).map(|_| writer.gating_observer()).collect();
    rate(
        RECORDS,
        move || {
            let batch = batch();
            let mut sent = 0;
            while sent < RECORDS {
                let count = writer.publish(&batch[..BATCH.min(RECORDS - sent)]);
                sent += count;
                if count == 0 {
                    pause();
                }
            }
        },
        move || {
            thread::scope(|scope| {
                for mut observer in observers {
                    scope.spawn(move || {
                        let (mut into, mut got, mut sum) = (Vec::with_capacity(SLOTS), 0, 0);
                        while got < RECORDS {
                            into.clear();
                            let count = observer.look(&mut into, SLOTS / 4).count;
                            sum += into.iter().map(|tick| tick.sequence).sum::<u64>();
                            got += count;
                            if count == 0 {
                                thread::yield_now();
                            }
                        }
                        black_box(sum);
                    });
                }
            });
        },
    )
}

/// How long one record takes to the other thread: half of there and back, the median, ns.
pub fn hand_over(strategy: Option<WaitStrategy>) -> f64 {
    let lane = || (ring::ingress(0, 64).expect("a ring"), Arc::new(Waker::new()));
    let ((mut there, mut arrives), far_waker) = lane();
    let ((mut back, mut returns), near_waker) = lane();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (wakes_near, far) = (Arc::clone(&near_waker), Arc::clone(&far_waker));
        let over = &is_over;
        scope.spawn(move || {
            pin(1);
            while receive(&mut arrives, strategy, &far, over) {
                send(&mut back, strategy, &wakes_near);
            }
        });
        pin(0);
        let mut trips = Vec::with_capacity(TRIPS);
        let begun = Instant::now();
        while trips.len() < TRIPS && begun.elapsed() < LONGEST {
            let start = Instant::now();
            send(&mut there, strategy, &far_waker);
            receive(&mut returns, strategy, &near_waker, over);
            trips.push(start.elapsed().as_nanos() as f64);
        }
        is_over.store(true, Ordering::Release);
        far_waker.wake();
        median(&mut trips) / 2.0
    })
}

fn send(producer: &mut ring::Producer, strategy: Option<WaitStrategy>, waker: &Waker) {
    producer.try_push(tick(1)).expect("one record at a time");
    if strategy.is_some() {
        waker.notify();
    }
}

/// False: it is over.
fn receive(consumer: &mut ring::Consumer, strategy: Option<WaitStrategy>, waker: &Waker, is_over: &AtomicBool) -> bool {
    loop {
        if !consumer.readable().is_empty() {
            consumer.release(1);
            return true;
        }
        if is_over.load(Ordering::Acquire) {
            return false;
        }
        match strategy {
            Some(strategy) => {
                strategy.wait_for(waker, Duration::from_millis(100), || !consumer.readable().is_empty());
            }
            None => spin_loop(),
        }
    }
}

/// Records a second that a table of 1,000 instruments takes, ten times as many as are taken out of it.
pub fn conflation() -> f64 {
    let (mut writer, mut reader) = ring::conflation(INSTRUMENTS as usize).expect("a table");
    let is_over = AtomicBool::new(false);
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let offered = scope.spawn(|| {
            pin(0);
            let record = tick(1);
            start.wait();
            let began = Instant::now();
            for number in 0..RECORDS as u32 {
                writer.put(number % INSTRUMENTS, &record);
            }
            let rate = RECORDS as f64 / began.elapsed().as_secs_f64();
            is_over.store(true, Ordering::Release);
            (rate, writer.put_count())
        });
        scope.spawn(|| {
            pin(1);
            start.wait();
            let mut sum = 0;
            while !is_over.load(Ordering::Acquire) {
                // As fast as a tenth of what comes, and not in the writer's way otherwise.
                for _ in 0..OVERLOAD {
                    if let Some((_, tick)) = reader.take() {
                        sum += tick.sequence;
                    }
                    pause();
                    pause();
                }
            }
            black_box(sum);
        });
        offered.join().expect("the writer").0
    })
}
