//! A call is never lost, whenever it comes. A lost one is a deadlock, which loom reports.

use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use tickrail_models::stop::{WakeReason, Waker};

struct Shared {
    waker: Waker,
    data: [UnsafeCell<u32>; 2],
}

// SAFETY: loom checks that accesses to the cells are ordered.
unsafe impl Sync for Shared {}

fn shared() -> Arc<Shared> {
    Arc::new(Shared { waker: Waker::new(), data: [UnsafeCell::new(0), UnsafeCell::new(0)] })
}

fn call(shared: &Arc<Shared>, caller: usize) -> thread::JoinHandle<()> {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        // SAFETY: checked by loom.
        shared.data[caller].with_mut(|data| unsafe { *data = 1 });
        shared.waker.wake();
    })
}

#[test]
fn a_call_wakes_and_brings_what_was_written_before_it() {
    loom::model(|| {
        let shared = shared();
        let caller = call(&shared, 0);
        assert_eq!(shared.waker.wait(Duration::MAX), WakeReason::Woken);
        // SAFETY: checked by loom.
        shared.data[0].with(|data| assert_eq!(unsafe { *data }, 1));
        caller.join().unwrap();
    });
}

#[test]
fn a_call_between_two_waits_wakes_the_second() {
    loom::model(|| {
        let shared = shared();
        let first = call(&shared, 0);
        assert_eq!(shared.waker.wait(Duration::MAX), WakeReason::Woken);
        first.join().unwrap();
        let second = call(&shared, 1);
        assert_eq!(shared.waker.wait(Duration::MAX), WakeReason::Woken);
        // SAFETY: checked by loom.
        shared.data[1].with(|data| assert_eq!(unsafe { *data }, 1));
        second.join().unwrap();
    });
}

#[test]
fn two_callers_at_once_both_count() {
    loom::model(|| {
        let shared = shared();
        let callers = [call(&shared, 0), call(&shared, 1)];
        assert_eq!(shared.waker.wait(Duration::MAX), WakeReason::Woken);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
}
