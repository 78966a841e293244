//! What the dispatch thread does for somebody outside of the run: callbacks of a sender on another thread.
//!
//! They are called where the answer comes, within a step, and a rerun has nobody who would call them. So what they send takes
//! the way of their sender, by a lane, and is recorded (docs/decisions/0120).

use std::cell::Cell;

use pyo3::prelude::*;

thread_local!(static IS_OUTSIDE: Cell<bool> = const { Cell::new(false) });

/// Whether what runs on this thread belongs to somebody outside.
pub fn is_outside() -> bool {
    IS_OUTSIDE.get()
}

/// Runs `body` as somebody's outside.
pub fn outside<R>(body: impl FnOnce() -> R) -> R {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            IS_OUTSIDE.set(self.0);
        }
    }
    let _before = Before(IS_OUTSIDE.replace(true));
    body()
}

/// Call ``callback`` on this thread for somebody outside of the run: what it sends takes a lane, and is recorded.
#[pyfunction]
pub fn call_outside(callback: &Bound<'_, PyAny>) -> PyResult<()> {
    outside(|| callback.call0().map(drop))
}
