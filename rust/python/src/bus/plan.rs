//! What is prepared for a command type when its handler is registered.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tickrail_core::command::Lane;

use super::fields::{CommandFields, Look};
use crate::lanes::lane_of;

/// A command's bytes, and what its handler is given.
pub type Taken<'py> = (Bound<'py, PyBytes>, Bound<'py, PyAny>);

/// A sync handler's command type, ready to be sent and called.
#[pyclass(frozen, module = "tickrail._native")]
pub struct CommandPlan {
    pub route: Py<PyAny>,
    /// The handler with the middleware around it.
    pub call: Py<PyAny>,
    pub lane: Lane,
    fields: Py<CommandFields>,
    check: Option<Py<PyAny>>,
    encode: Py<PyAny>,
    decode: Py<PyAny>,
    /// Says whose it is, by the command; `None`: nobody's.
    number: Option<Py<PyAny>>,
}

#[pymethods]
impl CommandPlan {
    #[new]
    fn new(
        py: Python<'_>,
        route: Py<PyAny>,
        call: Py<PyAny>,
        check: Option<Py<PyAny>>,
        encode: Py<PyAny>,
        decode: Py<PyAny>,
        number: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let said = route.bind(py);
        let lane = lane_of(said.getattr("lane")?.extract()?)?;
        let fields = said.getattr("surely_holds")?.cast_into::<CommandFields>()?.unbind();
        Ok(Self { route, call, lane, fields, check, encode, decode, number })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        [&self.route, &self.call, &self.encode, &self.decode].into_iter().try_for_each(|one| visit.call(one))?;
        visit.call(&self.fields)?;
        visit.call(&self.check)?;
        visit.call(&self.number)
    }
}

impl CommandPlan {
    /// What its handler is given, where it is called at once. Refuses a command whose fields do not have the types that they
    /// say, and what its own `check` does.
    ///
    /// Of one that goes nowhere there is no wire form to look at: what is plain is looked at natively and goes as it is, and
    /// only the rest is encoded for it (docs/decisions/0103), and is what that says (docs/decisions/0123).
    pub fn admitted<'py>(&self, py: Python<'py>, command: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if self.fields.get().look(command)? == Look::Unknown {
            return Ok(self.taken_slowly(py, command)?.1);
        }
        self.check(py, command)?;
        Ok(command.clone())
    }

    /// Refuses what the command's own `check` does.
    fn check(&self, py: Python<'_>, command: &Bound<'_, PyAny>) -> PyResult<()> {
        self.check.as_ref().map_or(Ok(()), |check| check.call1(py, (command,)).map(drop))
    }

    /// The command as canonical bytes, once its fields have the types that they say, and what its handler is given: what
    /// they say, or the command itself where that is surely the same and nobody can change it.
    pub fn taken<'py>(&self, py: Python<'py>, command: Bound<'py, PyAny>) -> PyResult<Taken<'py>> {
        let Ok(payload) = self.encode.bind(py).call1((&command,)) else { return self.taken_slowly(py, &command) };
        let payload = payload.cast_into::<PyBytes>()?;
        let given = if self.fields.get().look(&command)? == Look::Same {
            command
        } else {
            let Ok(decoded) = self.decode.bind(py).call1((&payload,)) else { return self.taken_slowly(py, &command) };
            decoded
        };
        self.check(py, &given)?;
        Ok((payload, given))
    }

    /// The same by the route, which says what is wrong.
    fn taken_slowly<'py>(&self, py: Python<'py>, command: &Bound<'py, PyAny>) -> PyResult<Taken<'py>> {
        self.route.bind(py).call_method1(pyo3::intern!(py, "taken"), (command,))?.extract()
    }

    /// The number of the strategy that the command names.
    pub fn strategy(&self, py: Python<'_>, command: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
        self.number.as_ref().map_or(Ok(None), |number| number.bind(py).call1((command,))?.extract())
    }
}
