//! The context in which a handler is called: the sender's, and the command that is being handled.
//!
//! A handler has a context of its own, as asyncio's callbacks have, so what it starts elsewhere carries the story on and what
//! it sets ends with it. To make one costs a third of a call, so the last one is used again while nobody else can see it
//! (docs/decisions/0081).

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::ptr;

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::trace::{Origin, Trace, current, set};

/// The context of the last command, where nobody else can see it. Of one bus; whoever uses it has taken it out.
#[derive(Default)]
pub struct LastContext(RefCell<Option<OwnContext>>);

/// A context of ours: a sender's variables, and `TRACE`.
struct OwnContext {
    context: Py<PyAny>,
    /// Its variables, one immutable mapping; copies of a context share it.
    variables: Py<PyAny>,
    /// Those of the sender, by which its next command is known.
    senders: Py<PyAny>,
    /// Where the sender is.
    parent: Py<Trace>,
    /// What `TRACE` is here.
    trace: Py<Trace>,
}

impl LastContext {
    /// Calls `body` in the sender's context and in that of the command which `origin` makes of where the sender is.
    pub fn within<'py, R>(
        &self,
        py: Python<'py>,
        origin: impl FnOnce(&Origin) -> Origin,
        body: impl FnOnce() -> PyResult<R>,
    ) -> PyResult<R> {
        // SAFETY: the GIL is held; an owned reference, or none with an exception set.
        let copy = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent())? };
        let senders = variables_of(&copy);
        let known = self.0.take().filter(|known| senders.as_ref().is_some_and(|senders| known.senders.is(senders)));
        if let Some(known) = known {
            let next = origin(&known.parent.get().origin(py).borrow());
            *known.trace.get().origin(py).borrow_mut() = next;
            let result = entered(known.context.bind(py), body);
            self.keep(py, known);
            return result;
        }
        let parent = current(py)?;
        let trace = Bound::new(py, Trace::of(origin(&parent.get().origin(py).borrow())))?;
        let mut variables = None;
        let result = entered(&copy, || {
            set(&trace)?;
            variables = variables_of(&copy);
            body()
        });
        if let (Some(variables), Some(senders)) = (variables, senders) {
            let (variables, senders) = (variables.unbind(), senders.unbind());
            let (context, parent, trace) = (copy.unbind(), parent.unbind(), trace.unbind());
            self.keep(py, OwnContext { context, variables, senders, parent, trace });
        }
        result
    }

    fn keep(&self, py: Python<'_>, own: OwnContext) {
        // Not while it is replaced: what goes may run code of whoever set its variables.
        let before = if own.is_unseen(py) { self.0.replace(Some(own)) } else { Some(own) };
        drop(before);
    }

    /// For the collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(own) = self.0.try_borrow() else { return Ok(()) };
        let Some(own) = own.as_ref() else { return Ok(()) };
        [&own.context, &own.variables, &own.senders].into_iter().try_for_each(|one| visit.call(one))?;
        visit.call(&own.parent)?;
        visit.call(&own.trace)
    }

    /// For the collector.
    pub fn clear(&self) {
        drop(self.0.take());
    }
}

impl OwnContext {
    /// Whether neither the context nor what is in it can be seen by anybody else any more, and all is as it was made.
    fn is_unseen(&self, py: Python<'_>) -> bool {
        variables_of(self.context.bind(py)).is_some_and(|now| now.is(&self.variables))
            && owners(&self.context) == 1
            // Ours and the context's: a copy, as of whatever was started meanwhile, would have one more.
            && owners(&self.variables) == 2
            // Ours and the mapping's.
            && owners(self.trace.as_any()) == 2
    }
}

fn owners(object: &Py<PyAny>) -> ffi::Py_ssize_t {
    // SAFETY: a live object, and the GIL is held by whoever looks at a context.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

fn entered<R>(context: &Bound<'_, PyAny>, body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let py = context.py();
    // SAFETY: a live context, which nobody has entered.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    let result = body();
    // SAFETY: as above; it was entered here.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } < 0 {
        let error = PyErr::fetch(py);
        return result.and(Err(error));
    }
    result
}

/// The mapping that holds the variables of `context`, which is not entered or entered last; `None`: it does not say.
///
/// Asked as the collector asks: a context refers to its variables, and to the context that was left for it.
fn variables_of<'py>(context: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    struct Found {
        contexts: *mut ffi::PyTypeObject,
        one: *mut ffi::PyObject,
        count: u32,
    }
    extern "C" fn visit(object: *mut ffi::PyObject, found: *mut c_void) -> c_int {
        // SAFETY: `traverse` was given a `Found` that lives through it, and shows live objects.
        unsafe {
            let found = &mut *found.cast::<Found>();
            if ffi::Py_TYPE(object) != found.contexts {
                (found.one, found.count) = (object, found.count + 1);
            }
        }
        0
    }
    // SAFETY: the GIL is held, and `context` is alive; what it refers to lives as long as it does, and is counted at once.
    unsafe {
        let contexts = ffi::Py_TYPE(context.as_ptr());
        let traverse = (*contexts).tp_traverse?;
        let mut found = Found { contexts, one: ptr::null_mut(), count: 0 };
        traverse(context.as_ptr(), visit, (&raw mut found).cast());
        if found.count == 1 { Some(Bound::from_borrowed_ptr(context.py(), found.one)) } else { None }
    }
}
