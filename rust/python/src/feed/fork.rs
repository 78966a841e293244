//! A forked child has the objects of a run and none of its threads: every call there is an error, none waits.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::prelude::*;

use crate::errors::hinted;

/// How many forks lie between this process and the one that loaded the module. Relaxed: a child has one thread when it is
/// written, and everybody else only reads.
static FORKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Lets each fork be noticed.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler is a function that lives as long as the process, and does nothing but one atomic addition.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// In which process something was made.
#[derive(Clone, Copy, Debug)]
pub struct Birthplace(u32);

impl Birthplace {
    /// This process.
    pub fn here() -> Self {
        Self(FORKS.load(Ordering::Relaxed))
    }
}

/// Refuses what was made before a fork.
///
/// # Errors
/// This process is a child of the one that made it.
#[inline(always)]
pub fn check_fork(py: Python<'_>, born: Birthplace) -> PyResult<()> {
    if FORKS.load(Ordering::Relaxed) == born.0 { Ok(()) } else { Err(forked(py)) }
}

#[cold]
fn forked(py: Python<'_>) -> PyErr {
    hinted(
        py,
        "ForkedProcess",
        "this run belongs to the parent process: a forked child has none of its threads",
        "use multiprocessing's 'spawn', or open the run in the child",
    )
}
