//! The generator form: `def ticks(self): while True: tick = yield`.
//!
//! The fastest plain Python there is: no frame is set up per tick, and state lives in local variables.

use pyo3::ffi;
use pyo3::prelude::*;
use tickrail_core::dispatch::Fault;

use crate::host::fault;

/// `CO_GENERATOR` of a code object's flags (CPython's `code.h`).
const CO_GENERATOR: u32 = 0x20;

/// The bound method `ticks` of `strategy`, if its class defines it as a generator function; a parameter may have that
/// name, and a plain method too.
pub fn function_of(strategy: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    let Some(method) = strategy.get_type().getattr_opt("ticks")? else { return Ok(None) };
    let Some(code) = method.getattr_opt("__code__")? else { return Ok(None) };
    if code.getattr("co_flags")?.extract::<u32>()? & CO_GENERATOR == 0 {
        return Ok(None);
    }
    strategy.getattr("ticks").map(|bound| Some(bound.unbind()))
}

/// Makes the generator and runs it to its first `yield`.
pub fn open(py: Python<'_>, function: &Py<PyAny>) -> Result<Py<PyAny>, Fault<PyErr>> {
    let generator = function.call0(py).map_err(fault)?;
    // SAFETY: `None` lives forever.
    unsafe { send(py, &generator, ffi::Py_None()) }?;
    Ok(generator)
}

/// Sends `tick` to the generator; what it yields is dropped, and its return ends the strategy.
///
/// # Safety
/// `tick` is a live object and outlives the call.
#[inline(always)]
pub unsafe fn send(py: Python<'_>, generator: &Py<PyAny>, tick: *mut ffi::PyObject) -> Result<(), Fault<PyErr>> {
    let mut yielded = std::ptr::null_mut();
    // SAFETY: both objects are alive, by contract and by ownership; the result is an owned reference or null.
    let sent = unsafe { ffi::PyIter_Send(generator.as_ptr(), tick, &mut yielded) };
    if sent == ffi::PySendResult::PYGEN_ERROR {
        return Err(fault(PyErr::fetch(py)));
    }
    // SAFETY: the call gave us this reference.
    unsafe { ffi::Py_DECREF(yielded) };
    if sent == ffi::PySendResult::PYGEN_RETURN { Err(Fault::Ended) } else { Ok(()) }
}

/// Ends the generator at its `yield`, so that its `finally` blocks run.
pub fn close(py: Python<'_>, generator: &Py<PyAny>) -> Result<(), Fault<PyErr>> {
    generator.call_method0(py, "close").map(drop).map_err(fault)
}
