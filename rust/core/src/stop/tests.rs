use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::waker::Slept;
use super::*;
use crate::sync::Ordering;

const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_request_stays() {
    let flag = StopFlag::new();
    assert!(!flag.is_set());
    flag.request_stop();
    flag.request_stop();
    assert!(flag.is_set() && flag.is_set());
}

#[test]
fn a_call_before_the_wait_is_kept_and_several_are_one() {
    let waker = Waker::new();
    waker.wake();
    waker.wake();
    assert_eq!(waker.wait(LONG), WakeReason::Woken);
    assert_eq!(waker.wait(Duration::ZERO), WakeReason::TimedOut);
}

#[test]
fn a_short_wait_times_out_and_a_long_one_comes_back_after_a_slice() {
    let waker = Waker::new();
    let started = Instant::now();
    assert_eq!(waker.wait(Duration::from_millis(5)), WakeReason::TimedOut);
    assert!(started.elapsed() >= Duration::from_millis(5));
    let started = Instant::now();
    assert_eq!(waker.wait(LONG), WakeReason::SliceOver);
    assert!(started.elapsed() >= MAX_SLICE && started.elapsed() < LONG);
}

#[test]
fn a_wait_over_slices_ends_when_the_caller_does_not_go_on() {
    let waker = Waker::new();
    let mut slices = 0;
    let reason = waker.wait_while(LONG, || {
        slices += 1;
        slices < 2
    });
    assert_eq!((reason, slices), (WakeReason::Interrupted, 2));
    assert_eq!(waker.wait_while(Duration::from_millis(120), || true), WakeReason::TimedOut);
}

#[test]
fn every_strategy_sees_a_call_keeps_to_its_time_and_looks_up_after_a_slice() {
    let all = [WaitStrategy::default(), WaitStrategy::PARK, WaitStrategy::SPIN, WaitStrategy::YIELD];
    for strategy in all.into_iter().flat_map(|strategy| [strategy, strategy.fitted()]) {
        let waker = Waker::new();
        waker.wake();
        assert_eq!(strategy.wait(&waker, LONG), WakeReason::Woken, "{strategy:?}");
        let started = Instant::now();
        assert_eq!(strategy.wait(&waker, Duration::from_millis(2)), WakeReason::TimedOut, "{strategy:?}");
        assert!(started.elapsed() >= Duration::from_millis(2));
        assert_eq!(strategy.wait(&waker, LONG), WakeReason::SliceOver, "{strategy:?}");
        assert!(started.elapsed() < LONG);
    }
}

/// Each call is answered before the next is made, so that a single lost one would end in a time-out.
#[test]
fn no_call_is_lost_between_two_threads() {
    let (waker, made) = (Arc::new(Waker::new()), Arc::new(AtomicU64::new(0)));
    let (answer, answers) = mpsc::channel();
    let caller = {
        let (waker, made) = (Arc::clone(&waker), Arc::clone(&made));
        thread::spawn(move || {
            for number in 1..=2_000u64 {
                made.store(number, Ordering::Relaxed);
                waker.wake();
                assert_eq!(answers.recv_timeout(LONG), Ok(number));
            }
        })
    };
    for number in 1..=2_000 {
        assert_eq!(waker.wait_while(LONG, || true), WakeReason::Woken);
        assert_eq!(made.load(Ordering::Relaxed), number, "what was written before the call is visible");
        answer.send(number).unwrap();
    }
    caller.join().unwrap();
}

extern "C" fn ignore(_signal: libc::c_int) {}

fn install_handler() {
    // SAFETY: an all-zero sigaction is a valid one; the handler does nothing at all.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = ignore as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Runs `wait` on a thread of its own and interrupts that until it has ended.
fn interrupted<T: Send + 'static>(wait: impl FnOnce() -> T + Send + 'static) -> T {
    install_handler();
    let (tell, told) = mpsc::channel();
    let waiter = thread::spawn(move || {
        // SAFETY: has no preconditions.
        tell.send(unsafe { libc::pthread_self() } as usize).unwrap();
        wait()
    });
    let thread_id = told.recv().unwrap() as libc::pthread_t;
    while !waiter.is_finished() {
        thread::sleep(Duration::from_millis(2));
        // SAFETY: the thread is not joined yet, so that its id is valid, be it finished or not.
        unsafe { libc::pthread_kill(thread_id, libc::SIGUSR1) };
    }
    waiter.join().unwrap()
}

#[test]
fn a_signal_ends_the_wait_and_not_only_the_sleep() {
    let (reason, elapsed) = interrupted(|| {
        let started = Instant::now();
        (Waker::new().wait(MAX_SLICE), started.elapsed())
    });
    assert_eq!(reason, WakeReason::Interrupted);
    assert!(elapsed < MAX_SLICE);
    assert_eq!(interrupted(|| Waker::new().wait_while(LONG, || false)), WakeReason::Interrupted);
}

/// The bed of other systems, tried here as well.
#[test]
fn a_pipe_wakes_times_out_and_is_interrupted() {
    let (bed, word) = (pipe::Bed::default(), crate::sync::AtomicU32::new(0));
    assert_eq!(bed.sleep(&word, 0, Duration::from_millis(1)), Slept::Timeout);
    bed.rouse(&word);
    assert_eq!(bed.sleep(&word, 0, LONG), Slept::Up);
    assert_eq!(bed.sleep(&word, 0, Duration::ZERO), Slept::Timeout);
    let slept = interrupted(move || bed.sleep(&crate::sync::AtomicU32::new(0), 0, LONG));
    assert_eq!(slept, Slept::Signal);
}
