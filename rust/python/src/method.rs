//! A handler that is called millions of times: a bound method, opened once.

use pyo3::ffi;
use pyo3::prelude::*;

/// A callable of one argument.
///
/// A plain bound method is taken apart at registration and called by vectorcall with its instance, which saves making
/// the argument array anew; anything else is called as it is. Replacing the method on the object later is not seen.
pub struct Method {
    callable: Py<PyAny>,
    opened: Option<Opened>,
}

struct Opened {
    function: Py<PyAny>,
    instance: Py<PyAny>,
    vectorcall: ffi::vectorcallfunc,
}

impl Method {
    /// Opens `callable` if it is a bound method of a Python function.
    pub fn new(callable: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { opened: open(callable)?, callable: callable.clone().unbind() })
    }

    /// Calls it with `argument` and drops what it returns.
    ///
    /// # Safety
    /// `argument` is a live object and outlives the call.
    #[inline(always)]
    pub unsafe fn call(&self, py: Python<'_>, argument: *mut ffi::PyObject) -> PyResult<()> {
        // SAFETY: `argument` is alive by contract; function and instance are owned by `self`; slot 0 of the array is
        // scratch space that the offset flag lets the callee use.
        let result = unsafe {
            match &self.opened {
                Some(opened) => {
                    let mut array = [std::ptr::null_mut(), opened.instance.as_ptr(), argument];
                    let count = 2 | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
                    (opened.vectorcall)(
                        opened.function.as_ptr(),
                        array.as_mut_ptr().add(1).cast_const(),
                        count,
                        std::ptr::null_mut(),
                    )
                }
                None => ffi::PyObject_CallOneArg(self.callable.as_ptr(), argument),
            }
        };
        if result.is_null() {
            return Err(PyErr::fetch(py));
        }
        // SAFETY: the call returned an owned reference.
        unsafe { ffi::Py_DECREF(result) };
        Ok(())
    }
}

fn open(callable: &Bound<'_, PyAny>) -> PyResult<Option<Opened>> {
    let py = callable.py();
    let types = py.import("types")?;
    if !callable.get_type().is(types.getattr("MethodType")?) {
        return Ok(None);
    }
    let (function, instance) = (callable.getattr("__func__")?, callable.getattr("__self__")?);
    if !function.get_type().is(types.getattr("FunctionType")?) {
        return Ok(None);
    }
    // SAFETY: a live object; the answer is a function pointer or none.
    let vectorcall = unsafe { ffi::PyVectorcall_Function(function.as_ptr()) };
    Ok(vectorcall.map(|vectorcall| Opened { function: function.unbind(), instance: instance.unbind(), vectorcall }))
}
