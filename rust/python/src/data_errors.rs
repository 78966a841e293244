//! Errors of the data layer as Python's classes.

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tickrail_core::check::{Offender, Problem, Report};
use tickrail_core::file::{FileError, IntakeError, OnBad, TableError};
use tickrail_core::tick::OrderBy;

/// What packing, checking and writing records can come to.
#[derive(Debug)]
pub enum DataFault {
    /// The file.
    File(FileError),
    /// A symbol or a row of the table.
    Table(TableError),
    /// The source has another layout than the caller said.
    Layout(String),
    /// A record, under `on_bad="reject"`, with the counts so far.
    Bad(Box<(Offender, Report)>),
    /// Something that Python raised, a signal for instance.
    Python(PyErr),
}

impl From<FileError> for DataFault {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<TableError> for DataFault {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

impl From<IntakeError> for DataFault {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::File(error) => Self::File(error),
            IntakeError::Table(error) => Self::Table(error),
            IntakeError::Bad(offender, report) => Self::Bad(Box::new((*offender, *report))),
            other => Self::Layout(other.to_string()),
        }
    }
}

impl From<PyErr> for DataFault {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<DataFault> for PyErr {
    fn from(fault: DataFault) -> Self {
        match fault {
            DataFault::Python(error) => error,
            other => Python::attach(|py| to_python(py, other).unwrap_or_else(|error| error)),
        }
    }
}

fn to_python(py: Python<'_>, fault: DataFault) -> PyResult<PyErr> {
    match fault {
        DataFault::File(error) => file_error(py, &error),
        DataFault::Table(error) => raise(py, "ImportFormatError", error.to_string(), None, &PyDict::new(py)),
        DataFault::Layout(message) => raise(py, "ImportFormatError", message, None, &PyDict::new(py)),
        DataFault::Bad(bad) => bad_record(py, &bad.0, &bad.1),
        DataFault::Python(error) => Ok(error),
    }
}

fn file_error(py: Python<'_>, error: &FileError) -> PyResult<PyErr> {
    let path = error.path().display().to_string();
    if let FileError::Io { source, .. } = error
        && let Some(code) = source.raw_os_error()
    {
        let text = py.import("os")?.call_method1("strerror", (code,))?.unbind();
        return Ok(PyOSError::new_err((code, text, path)));
    }
    if let FileError::Io { source, .. } = error
        && source.kind() == std::io::ErrorKind::IsADirectory
    {
        let code = py.import("errno")?.getattr("EISDIR")?.unbind();
        return Ok(PyOSError::new_err((code, "Is a directory", path)));
    }
    if matches!(error, FileError::Closed { .. }) {
        return Ok(PyValueError::new_err(error.to_string()));
    }
    let facts = PyDict::new(py);
    facts.set_item("path", path)?;
    facts.set_item("problem", error.problem())?;
    let hint = match error.problem() {
        "not_a_tick_file" => Some("turn other formats into tick files with `tickrail data import`"),
        "truncated" | "too_long" | "header_damaged" | "records_damaged" => {
            Some("the file was cut or changed after it was written: copy or import it again")
        }
        "other_version" => Some("import the source again with this version of tickrail"),
        _ => None,
    };
    raise(py, "TickFileError", error.to_string(), hint, &facts)
}

fn bad_record(py: Python<'_>, offender: &Offender, report: &Report) -> PyResult<PyErr> {
    let offence = &offender.offence;
    let at = if offender.origin.is_empty() { "row".to_owned() } else { format!("{}: row", offender.origin) };
    let rule = offence.problem.rule();
    let message = format!("{at} {}: {} ({}: {rule})", offender.row, offence.value, offence.problem.name());
    let facts = PyDict::new(py);
    facts.set_item("problem", offence.problem.name())?;
    facts.set_item("origin", &*offender.origin)?;
    facts.set_item("row", offender.row)?;
    facts.set_item("value", &offence.value)?;
    facts.set_item("counts", counts(py, report)?)?;
    let hint = "leave bad records out, counted, with on_bad=\"skip\" (--on-bad skip)";
    raise(py, "BadRecord", message, Some(hint), &facts)
}

fn raise(
    py: Python<'_>,
    class: &str,
    message: String,
    hint: Option<&str>,
    facts: &Bound<'_, PyDict>,
) -> PyResult<PyErr> {
    facts.set_item("hint", hint)?;
    let error = py.import("tickrail.errors")?.getattr(class)?.call((message,), Some(facts))?;
    Ok(PyErr::from_value(error))
}

/// Bad records by name of the problem; only what occurred.
pub fn counts<'py>(py: Python<'py>, report: &Report) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (problem, &count) in Problem::ALL.iter().zip(&report.counts) {
        if count > 0 {
            dict.set_item(problem.name(), count)?;
        }
    }
    Ok(dict)
}

/// The order key that Python names.
pub fn order_from(name: &str) -> PyResult<OrderBy> {
    OrderBy::from_name(name)
        .ok_or_else(|| PyValueError::new_err(format!("order_by is {name:?}: expected \"ts_event\" or \"ts_init\"")))
}

/// The policy that Python names.
pub fn on_bad_from(name: &str) -> PyResult<OnBad> {
    match name {
        "reject" => Ok(OnBad::Reject),
        "skip" => Ok(OnBad::Skip),
        other => Err(PyValueError::new_err(format!("on_bad is {other:?}: expected \"reject\" or \"skip\""))),
    }
}
