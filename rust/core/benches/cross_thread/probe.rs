//! How far apart the two processors are: one word, bounced for a millisecond.
//!
//! A host moves virtual processors about, and the same ring makes 300, 110 or 27 million records a second by that alone.
//! So each sample lies between two probes, and counts only where both agree.

use std::hint::spin_loop;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: u64 = 3_000;
/// Where others want the processors, each bounce may take a time slice of theirs.
const LONGEST: Duration = Duration::from_millis(50);
const OVER: u64 = u64::MAX;
/// How often a sample is taken again where the processors moved meanwhile.
const TRIES: usize = 6;

/// Where the two processors are, by the way there and back of one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Two threads of one core.
    Smt,
    /// Two cores behind one cache.
    L3,
    /// Further.
    Far,
    /// They moved while they were looked at, or somebody else ran on them.
    Mixed,
}

impl Class {
    /// By what a probe found.
    pub fn of(round_trip_ns: f64) -> Self {
        match round_trip_ns {
            ..90.0 => Self::Smt,
            90.0..250.0 => Self::L3,
            250.0..1_000.0 => Self::Far,
            _ => Self::Mixed,
        }
    }

    /// As it is printed.
    pub fn name(self) -> &'static str {
        ["smt", "l3", "far", "mixed"][self as usize]
    }
}

/// A word with lines of its own.
#[repr(align(128))]
struct Word(AtomicU64);

/// Nanoseconds there and back.
pub fn round_trip_ns() -> f64 {
    let (there, back) = (Word(AtomicU64::new(0)), Word(AtomicU64::new(0)));
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            let mut last = 0;
            while last != OVER {
                let seen = there.0.load(Ordering::Acquire);
                if seen == last {
                    spin_loop();
                } else {
                    last = seen;
                    back.0.store(seen, Ordering::Release);
                }
            }
        });
        pin(0);
        let mut trips = Vec::with_capacity(ROUNDS as usize);
        let begun = Instant::now();
        for round in 1..=ROUNDS {
            let start = Instant::now();
            there.0.store(round, Ordering::Release);
            while back.0.load(Ordering::Acquire) != round {
                spin_loop();
            }
            trips.push(start.elapsed().as_nanos() as f64);
            if begun.elapsed() > LONGEST {
                break;
            }
        }
        there.0.store(OVER, Ordering::Release);
        // Two readings of the clock belong to each.
        median(&mut trips) - clock_ns()
    })
}

fn clock_ns() -> f64 {
    let start = Instant::now();
    for _ in 0..1_000 {
        std::hint::black_box(Instant::now());
    }
    start.elapsed().as_nanos() as f64 / 1_000.0
}

/// Takes a sample between two probes that agree; the round trip is the mean of theirs.
pub fn bracketed<T>(mut sample: impl FnMut() -> T) -> (Class, f64, T) {
    let mut before = round_trip_ns();
    for last in 1.. {
        let taken = sample();
        let after = round_trip_ns();
        let (first, second) = (Class::of(before), Class::of(after));
        if first == second && first != Class::Mixed || last == TRIES {
            let class = if first == second { first } else { Class::Mixed };
            return (class, (before + after) / 2.0, taken);
        }
        before = after;
    }
    unreachable!("the last try returns")
}

/// The middle one; sorts.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Keeps this thread on the process's first (0) or second (1) processor; where there is only one, nothing changes.
#[cfg(target_os = "linux")]
pub fn pin(which: usize) {
    if let Some(&processor) = processors().get(which % processors().len().max(1)) {
        keep_on(&[processor]);
    }
}

/// Lets this thread, and those that it starts, run anywhere again.
#[cfg(target_os = "linux")]
pub fn unpin() {
    keep_on(processors());
}

#[cfg(target_os = "linux")]
fn keep_on(processors: &[usize]) {
    // SAFETY: an all-zero set is a valid empty one; the call reads no more than its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        processors.iter().for_each(|&processor| libc::CPU_SET(processor, &mut set));
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Those that the process was given. Looked at once, before the first thread is kept on one of them: the kernel answers
/// for a thread, and the main one would then have a single processor to share with all the others.
#[cfg(target_os = "linux")]
fn processors() -> &'static [usize] {
    static ALL: OnceLock<Vec<usize>> = OnceLock::new();
    ALL.get_or_init(|| {
        // SAFETY: an all-zero set is a valid empty one; the call writes no more than its size.
        unsafe {
            let mut allowed: libc::cpu_set_t = std::mem::zeroed();
            if libc::sched_getaffinity(libc::getpid(), size_of::<libc::cpu_set_t>(), &raw mut allowed) != 0 {
                return Vec::new();
            }
            (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &allowed)).collect()
        }
    })
}

/// Elsewhere threads stay where they are put.
#[cfg(not(target_os = "linux"))]
pub fn pin(_which: usize) {}

/// See `pin`.
#[cfg(not(target_os = "linux"))]
pub fn unpin() {}
