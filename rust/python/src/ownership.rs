//! Whether an object may be written again: one question, answered as each interpreter counts references.

use pyo3::ffi;

/// Whether the reference that the caller holds to `object` is the only one. The GIL is held, between calls into Python.
///
/// Up to 3.13 the count says it: no evaluation stack borrows an object between calls.
#[cfg(not(any(Py_3_14, Py_GIL_DISABLED)))]
#[inline(always)]
pub fn is_sole_owner(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller holds a reference, so the object is alive.
    unsafe { ffi::Py_REFCNT(object) == 1 }
}

/// Whether the reference that the caller holds to `object` is the only one. The GIL is held, between calls into Python.
///
/// From 3.14 on, frames borrow references without counting them, and the count alone proves nothing.
#[cfg(all(Py_3_14, not(Py_GIL_DISABLED)))]
#[inline(always)]
pub fn is_sole_owner(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller holds a reference, so the object is alive.
    unsafe { ffi::PyUnstable_Object_IsUniquelyReferenced(object) == 1 }
}

/// Never: without a GIL the count is split between threads, and another thread may look at the object now.
#[cfg(Py_GIL_DISABLED)]
#[inline(always)]
pub fn is_sole_owner(_object: *mut ffi::PyObject) -> bool {
    false
}
