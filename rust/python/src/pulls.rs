//! `Pulls`: the ticks of a pulled run, as a `for` loop takes them.

use pyo3::ffi;
use pyo3::prelude::*;

use tickrail_core::Tick;
use tickrail_core::dispatch::Dispatcher as Core;

use crate::dispatcher::{Dispatcher, Phase};
use crate::gil::{guard, thread_mark};
use crate::host::PyHost;
use crate::report;
use crate::turn;

/// The ticks of the pull strategy, until the run has ended.
#[pyclass(frozen, module = "tickrail._native")]
pub struct Pulls {
    run: Py<Dispatcher>,
}

impl Pulls {
    /// Of `run`.
    pub const fn of(run: Py<Dispatcher>) -> Self {
        Self { run }
    }
}

#[pymethods]
impl Pulls {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.run.get().pull(py)
    }
}

/// What a `for` loop calls: as `__next__`, but where nobody else has anything to do with the tick, nothing is set up.
///
/// Three ways, each for what the one before declines: a tick written into the object before the last; one that needs a new
/// object or float, or a look at the market; and whatever the loop itself has to look after.
///
/// # Safety
/// `iterator` is a live `Pulls`, and the GIL is held, as the interpreter does it.
unsafe extern "C" fn next(iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: contract of this function.
    let pulls = unsafe { Bound::ref_from_ptr(Python::assume_attached(), &iterator).cast_unchecked::<Pulls>() };
    // Not guarded: there is nothing in it that panics, not even an index or a sum.
    match pulls.get().run.get().pull_bare(pulls.py()) {
        Some(tick) => tick,
        // SAFETY: as above.
        None => unsafe { next_quietly(iterator) },
    }
}

/// # Safety
/// As for [`next`].
#[inline(never)]
unsafe fn next_quietly(iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: contract of this function.
    let pulls = unsafe { Bound::ref_from_ptr(Python::assume_attached(), &iterator).cast_unchecked::<Pulls>() };
    match guard(|| pulls.get().run.get().pull_quiet(pulls.py())) {
        Ok(Some(tick)) => tick,
        // SAFETY: as above.
        Ok(None) => unsafe { next_slowly(iterator) },
        Err(error) => {
            error.restore(pulls.py());
            std::ptr::null_mut()
        }
    }
}

/// # Safety
/// As for [`next`].
#[cold]
unsafe fn next_slowly(iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // With PyO3's bookkeeping, as handlers may run.
    Python::attach(|py| {
        // SAFETY: contract of this function.
        let pulls = unsafe { Bound::ref_from_ptr(py, &iterator).cast_unchecked::<Pulls>() };
        match guard(|| pulls.get().run.get().pull(py)) {
            Ok(tick) => tick.map_or(std::ptr::null_mut(), Py::into_ptr),
            Err(error) => {
                error.restore(py);
                std::ptr::null_mut()
            }
        }
    })
}

enum Pulled {
    Tick(Py<PyAny>),
    End(&'static str),
}

#[pymethods]
impl Dispatcher {
    /// The ticks of the pull strategy, until the run has ended; the loop goes on by one input each time.
    fn pulls(slf: Py<Self>) -> Pulls {
        Pulls::of(slf)
    }

    /// The next tick of the pull strategy, or ``None`` when the run has ended.
    pub fn pull(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let inside = self.inside.get(py);
        if inside.end.get().is_some() {
            return Ok(None);
        }
        let result = inside.drive(py, self, |core| self.pull_next(py, core));
        let settled = match result {
            Ok(Pulled::Tick(tick)) => {
                // Whoever pulls acts between two pulls: this thread stays the dispatch thread until the run ends.
                inside.thread.set(thread_mark());
                return Ok(Some(tick));
            }
            Ok(Pulled::End(end)) => self.settle(py, Ok(end)),
            Err(error) => self.settle(py, Err(error)),
        };
        if !inside.is_driven() {
            inside.thread.set(0);
        }
        settled.map(|_| None)
    }
}

impl Dispatcher {
    /// As [`Self::pull_quiet`], where the object of the tick before the last one can be written as it is.
    #[inline(always)]
    pub fn pull_bare(&self, py: Python<'_>) -> Option<*mut ffi::PyObject> {
        let inside = self.inside.get(py);
        if inside.thread.get() != thread_mark() {
            return None;
        }
        let mut phase = inside.phase.try_borrow_mut().ok()?;
        let Phase::Loop(core) = &mut *phase else { return None };
        let next = core.bare()?;
        let shown = next.host.pulled_again(next.tick)?;
        next.take();
        Some(shown)
    }

    /// The next tick of the pull strategy, as a new reference, where nobody else has anything to do with it; `None`: only
    /// [`Self::pull`] can tell.
    #[inline(always)]
    pub fn pull_quiet(&self, py: Python<'_>) -> PyResult<Option<*mut ffi::PyObject>> {
        let inside = self.inside.get(py);
        if inside.thread.get() != thread_mark() {
            return Ok(None);
        }
        let Ok(mut phase) = inside.phase.try_borrow_mut() else { return Ok(None) };
        let Phase::Loop(core) = &mut *phase else { return Ok(None) };
        core.pull_quiet(|host, tick| host.pulled(py, tick)).transpose()
    }

    fn pull_next(&self, py: Python<'_>, core: &mut Core<PyHost>) -> PyResult<Pulled> {
        let inside = self.inside.get(py);
        let shown = |core: &mut Core<PyHost>, tick: Tick| -> PyResult<Pulled> {
            let object = core.host_mut().pulled(py, &tick)?;
            // SAFETY: `pulled` returns a new reference.
            Ok(Pulled::Tick(unsafe { Bound::from_owned_ptr(py, object) }.unbind()))
        };
        if let Some(tick) = core.pull_on().copied() {
            return shown(core, tick);
        }
        let mut outcome = if inside.is_begun.replace(true) { core.advance() } else { core.start() };
        loop {
            if let Some(tick) = core.pulled().copied() {
                return shown(core, tick);
            }
            if let Some(end) = report::ended(py, core, outcome, &inside.feeds.borrow())? {
                core.finish();
                return Ok(Pulled::End(end));
            }
            self.await_feeds(py, core, outcome);
            turn::offer(py)?;
            outcome = core.advance();
        }
    }
}

/// Adds the class to the module, with its own way to the next tick.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Pulls>()?;
    // SAFETY: the GIL is held, the type is ours and ready, and nobody has an object of it yet; `next` keeps the contract
    // of the slot.
    unsafe { (*m.py().get_type::<Pulls>().as_type_ptr()).tp_iternext = Some(next) };
    Ok(())
}
