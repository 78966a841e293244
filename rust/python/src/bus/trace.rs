//! What is being handled, and for whom: carried by the context variable of `tickrail.domain.context`.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

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
        let parent = current(py)?;
        let parent = &parent.get().0;
        Ok(Self { story: parent.story_of(py, id), id, causation: parent.id })
    }

    fn story_of(&self, py: Python<'_>, first: u64) -> Story {
        match &self.story {
            Story::Number(0) => Story::Number(first),
            Story::Number(number) => Story::Number(*number),
            Story::Name(name) => Story::Name(name.clone_ref(py)),
        }
    }

    /// As it stands in the context while the command is handled.
    pub fn trace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Trace>> {
        Bound::new(py, Trace(Self { id: self.id, story: self.story_of(py, self.id), causation: self.causation }))
    }
}

/// The command that is being handled.
///
/// Attributes:
///     id: Its number within the run; 0 outside of any.
///     correlation: What the whole story is called: given by who began it, or the number of its first command.
///     causation: The number of the command whose handler sent it; 0 where it came from outside.
#[pyclass(frozen, freelist = 16, module = "tickrail._native")]
pub struct Trace(Origin);

#[pymethods]
impl Trace {
    #[new]
    fn new(id: u64, correlation: Bound<'_, PyAny>, causation: u64) -> PyResult<Self> {
        let story = match correlation.extract::<u64>() {
            Ok(number) => Story::Number(number),
            Err(_) if !correlation.is_truthy()? => Story::Number(0),
            Err(_) => Story::Name(correlation.unbind()),
        };
        Ok(Self(Origin { id, story, causation }))
    }

    #[getter]
    const fn id(&self) -> u64 {
        self.0.id
    }

    #[getter]
    fn correlation(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match &self.0.story {
            Story::Number(number) => Ok(number.into_pyobject(py)?.into_any().unbind()),
            Story::Name(name) => Ok(name.clone_ref(py)),
        }
    }

    #[getter]
    const fn causation(&self) -> u64 {
        self.0.causation
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let correlation = self.correlation(py)?.bind(py).repr()?.to_string();
        Ok(format!("Trace(id={}, correlation={correlation}, causation={})", self.0.id, self.0.causation))
    }
}

/// `tickrail.domain.context.TRACE`, which has a default.
fn variable(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static TRACE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let found =
        TRACE.get_or_try_init(py, || py.import("tickrail.domain.context")?.getattr("TRACE").map(Bound::unbind))?;
    Ok(found.bind(py))
}

fn current(py: Python<'_>) -> PyResult<Bound<'_, Trace>> {
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

/// Calls `body` with `origin` in the context.
pub fn within<'py, R>(py: Python<'py>, origin: &Origin, body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let (variable, trace) = (variable(py)?, origin.trace(py)?);
    // SAFETY: live objects; the token is an owned reference, or none with an exception set.
    let token = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContextVar_Set(variable.as_ptr(), trace.as_ptr()))? };
    let result = body();
    // SAFETY: the token is of this variable, made in this context, and used once.
    if unsafe { ffi::PyContextVar_Reset(variable.as_ptr(), token.as_ptr()) } < 0 {
        let error = PyErr::fetch(py);
        return result.and(Err(error));
    }
    result
}
