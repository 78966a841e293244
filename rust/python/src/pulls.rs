//! `Pulls`: the ticks of a pulled run, as a `for` loop takes them.

use pyo3::ffi;
use pyo3::prelude::*;

use crate::dispatcher::Dispatcher;
use crate::gil::guard;

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
/// # Safety
/// `iterator` is a live `Pulls`, and the GIL is held, as the interpreter does it.
unsafe extern "C" fn next(iterator: *mut ffi::PyObject) -> *mut ffi::PyObject {
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

/// Adds the class to the module, with its own way to the next tick.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Pulls>()?;
    // SAFETY: the GIL is held, the type is ours and ready, and nobody has an object of it yet; `next` keeps the contract
    // of the slot.
    unsafe { (*m.py().get_type::<Pulls>().as_type_ptr()).tp_iternext = Some(next) };
    Ok(())
}
