//! `CsvReader`: the core's reader of delimited text, its batches as Arrow arrays.

use std::sync::{Mutex, MutexGuard, TryLockError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use tickrail_core::csv::{CellKind, Column, CsvError, CsvReader as Core, Form, TimeForm};

use crate::column_batch::ColumnBatch;
use crate::data_errors::DataFault;
use crate::gil::guard;

/// Reads rows of delimited text, given block by block, into batches of columns.
///
/// Args:
///     columns: Name, kind and shift of each column in the order of the file. Kinds: ``"skip"``, ``"number"``,
///         ``"integer"``, ``"flag"``, ``"word"``; times: ``"s"``, ``"ms"``, ``"us"``, ``"ns"`` (whole numbers of that
///         unit), the same with a point (``"s."``) where there may be a fraction, ``"calendar"`` (no zone) and
///         ``"calendar:zoned"``. The shift is added to times, in ns.
///     origin: The name of the source in messages.
///     delimiter: One ASCII character.
///     quoted: Whether a cell may stand in quotation marks.
///     skip_lines: Lines before the first row.
///
/// Thread safety: one thread at a time; a second call meanwhile raises ``RuntimeError``.
#[pyclass(frozen, module = "tickrail._native")]
pub struct CsvReader {
    names: Vec<String>,
    origin: String,
    reader: Mutex<Core>,
}

impl CsvReader {
    fn lock(&self) -> PyResult<MutexGuard<'_, Core>> {
        // Never wait: whoever holds it may need the GIL that this thread has.
        match self.reader.try_lock() {
            Ok(reader) => Ok(reader),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(PyRuntimeError::new_err("another thread is using this reader")),
        }
    }

    fn fault(&self, error: &CsvError) -> PyErr {
        DataFault::Layout(format!("{}:{}: {error}", self.origin, error.line())).into()
    }
}

fn time_form(kind: &str) -> Option<TimeForm> {
    let (unit, fraction) = kind.strip_suffix('.').map_or((kind, false), |unit| (unit, true));
    let digits = match unit {
        "s" => 9,
        "ms" => 6,
        "us" => 3,
        "ns" => 0,
        _ => {
            return match kind {
                "calendar" => Some(TimeForm::Calendar { zoned: false }),
                "calendar:zoned" => Some(TimeForm::Calendar { zoned: true }),
                _ => None,
            };
        }
    };
    Some(TimeForm::Epoch { digits, fraction })
}

fn cell_kind(kind: &str, shift_ns: i64) -> PyResult<CellKind> {
    Ok(match kind {
        "skip" => CellKind::Skip,
        "number" => CellKind::Number,
        "integer" => CellKind::Integer,
        "flag" => CellKind::Flag,
        "word" => CellKind::Word,
        _ => CellKind::Time {
            form: time_form(kind).ok_or_else(|| PyValueError::new_err(format!("there is no kind of cell {kind:?}")))?,
            shift_ns,
        },
    })
}

#[pymethods]
impl CsvReader {
    #[new]
    #[pyo3(signature = (columns, *, origin="", delimiter=",", quoted=true, skip_lines=0))]
    fn new(
        columns: Vec<(String, String, i64)>,
        origin: &str,
        delimiter: &str,
        quoted: bool,
        skip_lines: u64,
    ) -> PyResult<Self> {
        let &[delimiter] = delimiter.as_bytes() else {
            return Err(PyValueError::new_err(format!("delimiter is {delimiter:?}: expected one ASCII character")));
        };
        if b"\"\r\n".contains(&delimiter) || columns.is_empty() {
            return Err(PyValueError::new_err(
                "a table has columns, and no ends of lines or quotation marks between them",
            ));
        }
        let names = columns.iter().map(|(name, _, _)| name.clone()).collect();
        let columns = columns
            .into_iter()
            .map(|(name, kind, shift_ns)| Ok(Column { name, kind: cell_kind(&kind, shift_ns)? }))
            .collect::<PyResult<_>>()?;
        let reader = Mutex::new(Core::new(columns, Form { delimiter, quoted, skip_lines }));
        Ok(Self { names, origin: origin.to_owned(), reader })
    }

    /// Take the next block of the text; an empty one is its end. Only once ``batch`` has nothing more of the ones before.
    fn feed(&self, py: Python<'_>, block: PyBackedBytes) -> PyResult<()> {
        let mut reader = self.lock()?;
        let reader = &mut *reader;
        guard(|| {
            py.detach(|| reader.feed(&block, block.is_empty()));
            Ok(())
        })
    }

    /// The next rows; ``None``: ``feed`` more, or the text has ended. What is right before an error comes before it.
    ///
    /// Raises:
    ///     ImportFormatError: A row with other columns, or a cell that is none of its kind; names the line.
    fn batch(&self, py: Python<'_>) -> PyResult<Option<ColumnBatch>> {
        let mut reader = self.lock()?;
        let reader = &mut *reader;
        let batch = guard(|| py.detach(|| reader.next_batch()).map_err(|error| self.fault(&error)))?;
        batch.map(|batch| ColumnBatch::of(&self.names, batch)).transpose()
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<CsvReader>()?;
    m.add_class::<ColumnBatch>()
}
