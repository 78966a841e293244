//! `TickFileWriter`: from Arrow streams and arrays to a tick file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tickrail_core::check::Report;
use tickrail_core::file::{FileError, Header, InstrumentTable, Intake, TickFileWriter as FileWriter};
use tickrail_core::{Tick, TickBlock};

use crate::array::{TickArray, hex};
use crate::data_errors::{DataFault, counts, on_bad_from, order_from};
use crate::gil::guard;
use crate::infos::{declare_all, info_from};
use crate::pack::Mapping;
use crate::{arrow, records};

/// Records of an array that are checked and written at once.
const PIECE: usize = 65_536;

/// Packs, checks and streams records into a ``.ticks`` file, which appears at ``commit`` or not at all.
///
/// An error out of any ``append_*`` aborts: what was written is removed and the writer is closed. Leaving the context
/// manager without ``commit`` does the same.
///
/// Args:
///     path: Where the file will stand; an older file there is replaced as a whole at ``commit``.
///     order_by: The time that must not decrease, ``"ts_event"`` or ``"ts_init"``.
///     on_bad: ``"reject"`` (the first bad record raises ``BadRecord``) or ``"skip"`` (counted and left out).
///     instruments: Known facts: ids, or mappings with ``id``, ``currency``, ``price_increment``, ``bar_duration_ns``,
///         ``negative_prices``.
///     default_instrument: Names the records of sources that do not.
///     default_venue: Completes symbols without a venue.
///
/// Thread safety: one thread at a time; a second call meanwhile raises ``RuntimeError``.
#[pyclass(frozen, module = "tickrail")]
pub struct TickFileWriter {
    path: PathBuf,
    state: Mutex<Option<State>>,
}

struct State {
    intake: Intake<FileWriter>,
    default_instrument: Option<u32>,
}

impl TickFileWriter {
    fn lock(&self) -> PyResult<MutexGuard<'_, Option<State>>> {
        // Never wait: whoever holds it may need the GIL that this thread has.
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(PyRuntimeError::new_err("another thread is using this writer")),
        }
    }

    fn closed(&self) -> DataFault {
        DataFault::File(FileError::Closed { path: self.path.clone() })
    }

    /// Runs `body` on the open state without the GIL; an error closes the writer and removes what it wrote.
    fn append<T: Send>(
        &self,
        py: Python<'_>,
        body: impl FnOnce(&mut State) -> Result<T, DataFault> + Send,
    ) -> PyResult<T> {
        let mut state = self.lock()?;
        let open = state.as_mut().ok_or_else(|| self.closed())?;
        let result = guard(|| Ok(py.detach(|| body(open))?));
        if result.is_err() {
            *state = None;
        }
        result
    }
}

fn append_block(
    state: &mut State,
    block: &TickBlock,
    places: &[u32],
    origin: &Arc<str>,
    first_row: u64,
) -> Result<u64, DataFault> {
    let mut row = first_row;
    for piece in block.as_slice().chunks(PIECE) {
        // An index beyond the table stays one, and the check refuses it.
        let place = |tick: &Tick| places.get(tick.instrument as usize).copied().unwrap_or(u32::MAX);
        let mut ticks: Vec<Tick> = piece.iter().map(|tick| Tick { instrument: place(tick), ..*tick }).collect();
        state.intake.take(&mut ticks, origin, row)?;
        row += piece.len() as u64;
    }
    Ok(row - first_row)
}

#[pymethods]
impl TickFileWriter {
    #[new]
    #[pyo3(signature = (path, *, order_by="ts_event", on_bad="reject", instruments=None, default_instrument=None,
                        default_venue=None))]
    fn new(
        path: PathBuf,
        order_by: &str,
        on_bad: &str,
        instruments: Option<&Bound<'_, PyAny>>,
        default_instrument: Option<&Bound<'_, PyAny>>,
        default_venue: Option<String>,
    ) -> PyResult<Self> {
        let (order_by, on_bad) = (order_from(order_by)?, on_bad_from(on_bad)?);
        let mut table = InstrumentTable::new(default_venue);
        if let Some(rows) = instruments {
            declare_all(&mut table, rows)?;
        }
        let declare = |row| table.declare(&info_from(row)?).map_err(|error| PyErr::from(DataFault::from(error)));
        let default_instrument = default_instrument.map(declare).transpose()?;
        let sink = FileWriter::create(&path, order_by).map_err(DataFault::from)?;
        let intake = Intake::new(sink, table, order_by, on_bad);
        Ok(Self { path, state: Mutex::new(Some(State { intake, default_instrument })) })
    }

    /// Append an Arrow stream (an object with ``__arrow_c_stream__``, or its capsule); returns the rows read.
    ///
    /// Args:
    ///     stream: Read to its end, piece by piece, without the GIL.
    ///     kind: ``"quote"``, ``"trade"`` or ``"bar"``.
    ///     columns: Names of the record to columns of the source: ``ts_event``, ``ts_init`` (default: as ``ts_event``),
    ///         ``sequence``, ``instrument``; ``bid``, ``ask``, ``bid_size``, ``ask_size``; ``price``, ``size``, ``side``;
    ///         ``open``, ``high``, ``low``, ``close``, ``volume``.
    ///     time_unit: Unit of integer time columns: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.
    ///     instrument: Names all records of this stream, whatever its columns say.
    ///     origin: The name of the source in reports.
    ///     first_row: The number of the first row in reports.
    ///     side_bool: What true means in a column of booleans: ``"buyer_maker"`` (a seller was aggressive) or ``"buy"``.
    ///
    /// Raises:
    ///     BadRecord: A record breaks the rules, under ``on_bad="reject"``.
    ///     ImportFormatError: A column is absent or of another type, or a symbol is no instrument.
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    #[pyo3(signature = (stream, *, kind, columns, time_unit=None, instrument=None, origin="", first_row=1,
                        side_bool="buyer_maker"))]
    fn append_arrow(
        &self,
        py: Python<'_>,
        stream: &Bound<'_, PyAny>,
        kind: &str,
        columns: BTreeMap<String, String>,
        time_unit: Option<&str>,
        instrument: Option<String>,
        origin: &str,
        first_row: u64,
        side_bool: &str,
    ) -> PyResult<u64> {
        let mapping = Mapping::new(kind, columns, time_unit, instrument, side_bool)?;
        let reader = arrow::reader(stream)?;
        let origin = Arc::from(origin);
        self.append(py, |state| {
            arrow::feed(reader, &mapping, state.default_instrument, &mut state.intake, &origin, first_row)
        })
    }

    /// Append an array of one of the tick dtypes, whose ``instrument`` counts through ``instruments``.
    #[pyo3(signature = (records, *, instruments, origin="", first_row=1))]
    fn append_records(
        &self,
        py: Python<'_>,
        records: &Bound<'_, PyAny>,
        instruments: &Bound<'_, PyAny>,
        origin: &str,
        first_row: u64,
    ) -> PyResult<u64> {
        let block = records::take(records, None)?;
        let places = match self.lock()?.as_mut() {
            Some(state) => declare_all(&mut state.intake.table, instruments)?,
            None => return Err(self.closed().into()),
        };
        let origin = Arc::from(origin);
        self.append(py, |state| append_block(state, &block, &places, &origin, first_row))
    }

    /// Append the records of a ``TickArray``; its instruments join the table by id.
    #[pyo3(signature = (ticks, *, origin="", first_row=1))]
    fn append_ticks(&self, py: Python<'_>, ticks: &TickArray, origin: &str, first_row: u64) -> PyResult<u64> {
        let origin = Arc::from(origin);
        self.append(py, |state| {
            let declare = |info| state.intake.table.declare(info);
            let places = ticks.table().iter().map(declare).collect::<Result<Vec<u32>, _>>()?;
            append_block(state, ticks.block(), &places, &origin, first_row)
        })
    }

    /// Records that were left out so far, by what is wrong with them.
    fn problems<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.lock()?;
        counts(py, &state.as_ref().ok_or_else(|| self.closed())?.intake.report())
    }

    /// Write the header, sync and put the file in its place; returns what was found on the way.
    fn commit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.lock()?.take().ok_or_else(|| self.closed())?;
        let (sink, table, report) = state.intake.finish();
        let header = py.detach(|| sink.commit(&table)).map_err(DataFault::from)?;
        summary(py, &self.path, &header, &table, &report)
    }

    /// Remove what was written; idempotent, and nothing after ``commit``.
    fn abort(&self) -> PyResult<()> {
        *self.lock()? = None;
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exc))]
    fn __exit__(&self, _exc: &Bound<'_, PyAny>) -> PyResult<()> {
        self.abort()
    }
}

fn summary<'py>(
    py: Python<'py>,
    path: &std::path::Path,
    header: &Header,
    table: &InstrumentTable,
    report: &Report,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("path", path.display().to_string())?;
    dict.set_item("count", header.count)?;
    dict.set_item("first_ns", header.first_ns)?;
    dict.set_item("last_ns", header.last_ns)?;
    dict.set_item("problems", counts(py, report)?)?;
    dict.set_item("crossed", report.crossed)?;
    let offenders = PyList::empty(py);
    for offender in &report.offenders {
        let entry = PyDict::new(py);
        entry.set_item("problem", offender.offence.problem.name())?;
        entry.set_item("origin", &*offender.origin)?;
        entry.set_item("row", offender.row)?;
        entry.set_item("value", &offender.offence.value)?;
        offenders.append(entry)?;
    }
    dict.set_item("offenders", offenders)?;
    dict.set_item("checksum", hex(header.checksum))?;
    let ids: Vec<&str> = table.rows().iter().map(|info| info.id.as_str()).collect();
    dict.set_item("instruments", ids)?;
    Ok(dict)
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<TickFileWriter>()
}
