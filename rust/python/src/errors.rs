//! The Python classes of what the core refuses: one exhaustive match an error type.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tickrail_core::dispatch::{Refusal, RunError};

pyo3::import_exception!(tickrail.errors, OrderRefused);
pyo3::import_exception!(tickrail.errors, RunFailed);
pyo3::import_exception!(tickrail.errors, RuntimeFault);
pyo3::import_exception!(tickrail.errors, WrongThread);

/// An error of the class `name` of `tickrail.errors`, with a hint.
pub fn hinted(py: Python<'_>, name: &str, message: &str, hint: &str) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let class = py.import("tickrail.errors")?.getattr(name)?;
        let keywords = PyDict::new(py);
        keywords.set_item("hint", hint)?;
        Ok(PyErr::from_value(class.call((message,), Some(&keywords))?))
    };
    make().unwrap_or_else(|error| error)
}

/// The exception for a request that was refused on the spot.
pub fn refused(py: Python<'_>, strategy: &str, refusal: &Refusal) -> PyErr {
    let message = format!("strategy {strategy}: {refusal}");
    match refusal {
        Refusal::Quantity(_) => hinted(
            py,
            "OrderRefused",
            &message,
            "sell() and buy() take a positive quantity; target() takes a signed one",
        ),
        Refusal::State(_) => hinted(py, "OrderRefused", &message, "act from handlers, on_start or on_stop"),
        Refusal::Interval(_) => {
            hinted(py, "OrderRefused", &message, "intervals are nanoseconds: one second is 1_000_000_000")
        }
        _ => OrderRefused::new_err(message),
    }
}

/// The exception for a run that cannot go on.
pub fn run_failed(py: Python<'_>, error: &RunError) -> PyErr {
    let message = error.to_string();
    match error {
        RunError::Unordered { .. } => {
            hinted(py, "RunFailed", &message, "sort the data by its key, or import it with 'tickrail data import'")
        }
        RunError::UnknownInstrument { .. } => {
            hinted(py, "RunFailed", &message, "the file or array is damaged: 'tickrail data info --verify' tells")
        }
        _ => RunFailed::new_err(message),
    }
}
