//! A command on its way, with what belongs to the sending and not to the command.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::receipt::Receipt;
use super::trace::{Origin, Trace};

/// One command on its way.
///
/// Attributes:
///     route: Who handles it.
///     command: The command.
///     receipt: Who waits, if anybody does.
///     trace: Its number, and where it comes from.
///     expires_ns: When it is no longer worth handling, on the monotonic clock; 0: never.
#[pyclass(frozen, module = "tickrail._native")]
pub struct Envelope {
    #[pyo3(get)]
    pub route: Py<PyAny>,
    #[pyo3(get)]
    pub command: Py<PyAny>,
    #[pyo3(get)]
    pub receipt: Option<Py<Receipt>>,
    pub origin: Origin,
    #[pyo3(get)]
    pub expires_ns: i64,
}

impl Envelope {
    /// Whether nobody has taken the command back and it has no time to live: then it has its turn, without a further look,
    /// and nobody takes it back any more.
    pub fn is_plainly_wanted(&self, py: Python<'_>) -> bool {
        self.expires_ns == 0 && self.may_begin(py)
    }

    /// Whether the handler may be called, which it is then.
    pub fn may_begin(&self, py: Python<'_>) -> bool {
        self.receipt.as_ref().is_none_or(|receipt| receipt.get().may_begin(py))
    }
}

#[pymethods]
impl Envelope {
    #[getter]
    fn trace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Trace>> {
        self.origin.trace(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.route)?;
        visit.call(&self.command)?;
        visit.call(&self.receipt)
    }
}
