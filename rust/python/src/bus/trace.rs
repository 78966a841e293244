//! What is being handled, and for whom: carried by the context variable of `tickrail.domain.context`.

use std::cell::RefCell;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::gil::GilBound;

/// What a whole story is called.
enum Story {
    /// The number of its first command; 0: there is none.
    Number(u64),
    /// By who began it.
    Name(Py<PyAny>),
}

/// Where a command comes from.
pub struct Origin {
    id: u64,
    story: Story,
    causation: u64,
}

impl Origin {
    /// Of a command that is sent now, as its `id`-th.
    pub fn of_next(py: Python<'_>, id: u64) -> PyResult<Self> {
        Ok(current(py)?.get().origin(py).borrow().next(py, id))
    }

    /// Of the `id`-th command, which is sent from here.
    pub fn next(&self, py: Python<'_>, id: u64) -> Self {
        Self { story: self.story_of(py, id), id, causation: self.id }
    }

    fn story_of(&self, py: Python<'_>, first: u64) -> Story {
        match &self.story {
            Story::Number(0) => Story::Number(first),
            Story::Number(number) => Story::Number(*number),
            Story::Name(name) => Story::Name(name.clone_ref(py)),
        }
    }

    /// The same once more.
    pub fn copied(&self, py: Python<'_>) -> Self {
        Self { id: self.id, story: self.story_of(py, self.id), causation: self.causation }
    }

    /// As it stands in the context while the command is handled.
    pub fn trace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Trace>> {
        Bound::new(py, Trace::of(self.copied(py)))
    }
}

/// The command that is being handled.
///
/// Attributes:
///     id: Its number within the run; 0 outside of any.
///     correlation: What the whole story is called: given by who began it, or the number of its first command.
///     causation: The number of the command whose handler sent it; 0 where it came from outside.
#[pyclass(frozen, freelist = 16, module = "tickrail._native")]
pub struct Trace(GilBound<RefCell<Origin>>);

impl Trace {
    /// Of a command from `origin`.
    pub const fn of(origin: Origin) -> Self {
        Self(GilBound::new(RefCell::new(origin)))
    }

    /// Where its command comes from. Changed only while nobody else has it.
    pub const fn origin<'a>(&'a self, py: Python<'_>) -> &'a RefCell<Origin> {
        self.0.get(py)
    }
}

#[pymethods]
impl Trace {
    #[new]
    fn new(id: u64, correlation: Bound<'_, PyAny>, causation: u64) -> PyResult<Self> {
        let story = match correlation.extract::<u64>() {
            Ok(number) => Story::Number(number),
            Err(_) if !correlation.is_truthy()? => Story::Number(0),
            Err(_) => Story::Name(correlation.unbind()),
        };
        Ok(Self::of(Origin { id, story, causation }))
    }

    #[getter]
    fn id(&self, py: Python<'_>) -> u64 {
        self.origin(py).borrow().id
    }

    #[getter]
    fn correlation(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match &self.origin(py).borrow().story {
            Story::Number(number) => Ok(number.into_pyobject(py)?.into_any().unbind()),
            Story::Name(name) => Ok(name.clone_ref(py)),
        }
    }

    #[getter]
    fn causation(&self, py: Python<'_>) -> u64 {
        self.origin(py).borrow().causation
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let correlation = self.correlation(py)?.bind(py).repr()?.to_string();
        Ok(format!("Trace(id={}, correlation={correlation}, causation={})", self.id(py), self.causation(py)))
    }
}

/// `tickrail.domain.context.TRACE`, which has a default.
fn variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static TRACE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let found =
        TRACE.get_or_try_init(py, || py.import("tickrail.domain.context")?.getattr("TRACE").map(Bound::unbind))?;
    Ok(found.bind(py))
}

/// The one in the present context.
pub fn current(py: Python<'_>) -> PyResult<Bound<'_, Trace>> {
    let mut value = std::ptr::null_mut();
    // SAFETY: a live context variable; the value is an owned reference, or none where the variable has no default.
    let value = unsafe {
        if ffi::PyContextVar_Get(variable(py)?.as_ptr(), std::ptr::null_mut(), &raw mut value) < 0 {
            return Err(PyErr::fetch(py));
        }
        Bound::from_owned_ptr_or_err(py, value)?
    };
    Ok(value.cast_into::<Trace>()?)
}

/// Puts `trace` into the present context, for as long as that goes on.
pub fn set(trace: &Bound<'_, Trace>) -> PyResult<()> {
    let py = trace.py();
    // SAFETY: live objects; the token is an owned reference, or none with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContextVar_Set(variable(py)?.as_ptr(), trace.as_ptr())).map(drop) }
}
