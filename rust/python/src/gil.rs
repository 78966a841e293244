//! The door through the GIL: what may cross, and what happens to a panic that tries to.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::prelude::*;

use crate::errors::RuntimeFault;

/// A value that is only touched by whoever holds the GIL, so that single-threaded cells can live in Python objects.
pub struct GilBound<T>(T);

// SAFETY: `get` asks for proof of the GIL, and Python drops objects with the GIL held; so no two threads ever touch the
// value at once. The module declares that it needs the GIL.
unsafe impl<T> Send for GilBound<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for GilBound<T> {}

impl<T> GilBound<T> {
    /// Binds `value` to the GIL.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for a holder of the GIL.
    #[inline(always)]
    pub const fn get<'a>(&'a self, _py: Python<'_>) -> &'a T {
        &self.0
    }
}

/// Runs `body`; a panic becomes a `RuntimeFault` and never leaves Rust.
pub fn guard<T>(body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(RuntimeFault::new_err(format!(
            "the native core broke one of its own rules: {}; please report this with the traceback",
            text.unwrap_or("no message")
        )))
    })
}

/// Panics within the door, for tests of what becomes of a defect.
#[pyfunction]
pub fn break_a_rule(message: &str) -> PyResult<()> {
    guard(|| panic!("{message}"))
}

/// A number that differs between any two live threads.
///
/// The thread pointer itself, read in one instruction: the address of a thread-local of a shared library costs a call,
/// which was a twentieth of a pull.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[inline(always)]
pub fn thread_mark() -> usize {
    let mark: usize;
    // SAFETY: the ABI for thread-local storage (x86-64 psABI, "ELF Handling For Thread-Local Storage" 3.4.6) keeps the
    // thread pointer in `fs` and its own address at offset 0, from before `main` to the thread's end; a load, no more.
    unsafe {
        std::arch::asm!(
            "mov {}, qword ptr fs:[0]",
            out(reg) mark,
            options(nostack, pure, readonly, preserves_flags)
        );
    }
    mark
}

/// A number that differs between any two live threads.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[inline(always)]
pub fn thread_mark() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark) as usize)
}
