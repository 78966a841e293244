//! `TickArray`: immutable records as Python sees them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyCapsule, PyDict, PyList, PySlice, PyTuple};
use tickrail_core::check::{Checker, Offender, Report};
use tickrail_core::file::{FORMAT_VERSION, InstrumentTable, Intake, OpenedFile, fingerprint, open};
use tickrail_core::pages::room_for;
use tickrail_core::tick::{LAYOUT_VERSION, OrderBy, TICK_SIZE, as_bytes};
use tickrail_core::{InstrumentInfo, Tick, TickBlock};

use crate::data_errors::{DataFault, on_bad_from, order_from};
use crate::infos::{declare_all, info_to};
use crate::pack::Mapping;
use crate::{arrow, batch, export, instrument, records, tick};

/// Records that never change, mapped from a tick file or owned; made by ``tickrail.read_ticks``.
///
/// Slices and ``between`` share the records and keep their owner alive, as do numpy views and Arrow streams. Iterating
/// yields ``Quote``, ``Trade`` and ``Bar`` objects. The records are in order of ``order_by`` and keep the rules of the
/// record; a file is trusted to (``verify`` looks).
///
/// Thread safety: any thread.
#[pyclass(frozen, weakref, module = "tickrail")]
pub struct TickArray {
    block: TickBlock,
    instruments: Arc<[InstrumentInfo]>,
    order_by: OrderBy,
    file: Option<Arc<OpenedFile>>,
    ids: PyOnceLock<Py<PyTuple>>,
    fingerprint: OnceLock<u128>,
}

impl TickArray {
    /// The file that the records are mapped from.
    pub fn file(&self) -> Option<String> {
        self.file.as_ref().map(|file| file.path.display().to_string())
    }

    /// Records that keep the rules, in order of `order_by`, whose instruments count through `instruments`.
    pub fn new(block: TickBlock, instruments: Arc<[InstrumentInfo]>, order_by: OrderBy) -> Self {
        let (ids, fingerprint) = (PyOnceLock::new(), OnceLock::new());
        Self { block, instruments, order_by, file: None, ids, fingerprint }
    }

    /// The records.
    pub fn block(&self) -> &TickBlock {
        &self.block
    }

    /// What the records' `instrument` counts through.
    pub fn table(&self) -> &Arc<[InstrumentInfo]> {
        &self.instruments
    }

    /// Which time never decreases.
    pub fn order(&self) -> OrderBy {
        self.order_by
    }

    /// XXH3-128 over exactly these records; read off the header where they are a whole file.
    pub fn fingerprint_value(&self) -> u128 {
        *self.fingerprint.get_or_init(|| fingerprint(self.block.as_slice()))
    }

    /// The same as little-endian bytes: what the digest of a run takes in mode `events`.
    pub fn content(&self) -> [u8; 16] {
        self.fingerprint_value().to_le_bytes()
    }

    fn part(&self, py: Python<'_>, start: usize, end: usize) -> Self {
        let end = end.max(start);
        let block = self.block.slice(start..end);
        let part = Self::new(block, Arc::clone(&self.instruments), self.order_by);
        if let Some(ids) = self.ids.get(py) {
            let _ = part.ids.set(py, ids.clone_ref(py));
        }
        if part.block.len() == self.block.len()
            && let Some(&known) = self.fingerprint.get()
        {
            let _ = part.fingerprint.set(known);
        }
        Self { file: self.file.clone(), ..part }
    }

    fn ids<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyTuple>> {
        let make = || Ok::<_, PyErr>(PyTuple::new(py, instrument::ids(py, &self.instruments)?)?.unbind());
        self.ids.get_or_try_init(py, make).map(|ids| ids.bind(py))
    }

    fn tick_at<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Py<PyAny>> {
        let record = &self.block.as_slice()[index];
        let ids = self.ids(py)?;
        let id = ids.get_item(record.instrument as usize).map_err(|_| {
            let message = format!("record {index} names instrument {} of {}", record.instrument, ids.len());
            PyErr::from(DataFault::Layout(message))
        })?;
        tick::make(py, record, id.cast()?)
    }

    fn position_of(&self, key: i64) -> usize {
        self.block.as_slice().partition_point(|tick| tick.key(self.order_by) < key)
    }
}

/// A checksum as text: its little-endian bytes, as in the file.
pub fn hex(checksum: u128) -> String {
    checksum.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks a block by the rules of the record, from its first row to the first bad one.
fn check(block: &TickBlock, table: &[InstrumentInfo], order_by: OrderBy, origin: &str) -> Result<(), DataFault> {
    let mut checker = Checker::new(order_by);
    for (row, tick) in block.as_slice().iter().enumerate() {
        if let Err(offence) = checker.check(tick, table) {
            let (origin, row) = (Arc::from(origin), row as u64);
            let mut report = Report::default();
            report.count(offence.clone(), &origin, row);
            return Err(DataFault::Bad(Box::new((Offender { offence, origin, row }, report))));
        }
    }
    Ok(())
}

#[pymethods]
impl TickArray {
    /// Map the tick file at ``path``; its frame is checked, its records only by ``verify``.
    ///
    /// Raises:
    ///     TickFileError: not a tick file, of another version, cut, or with a damaged header.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let file = py.detach(|| open(&path)).map_err(DataFault::from)?;
        let array = Self::new(file.block.clone(), Arc::clone(&file.instruments), file.header.order_by);
        let _ = array.fingerprint.set(file.header.checksum);
        Ok(Self { file: Some(Arc::new(file)), ..array })
    }

    /// Take the records of a structured array (one of the dtypes of ``tickrail.domain.ticks``), checking each.
    ///
    /// Whoever sees the records relies on their never changing. So they are copied, but for a read-only array over memory
    /// that can never be written to: ``bytes``, a file mapped with ``mode="r"``, the records of another ``TickArray``.
    /// That is shared and kept alive. An array that owns its memory is copied even where its ``flags.writeable`` was
    /// cleared, for its owner may set that again.
    ///
    /// Args:
    ///     records: One-dimensional; its ``instrument`` counts through ``instruments``.
    ///     instruments: Ids, or mappings with ``id``, ``currency``, ``price_increment``, ``bar_duration_ns``,
    ///         ``negative_prices``.
    ///     order_by: The time that never decreases, ``"ts_event"`` or ``"ts_init"``.
    ///     copy: ``None`` copies where it must; ``True`` always; ``False`` never, which is a promise that the memory will
    ///         not change.
    ///
    /// Raises:
    ///     BadRecord: A record breaks the rules.
    ///     ValueError: Another dtype or shape, or ``copy=False`` where a copy is needed.
    #[staticmethod]
    #[pyo3(signature = (records, instruments, *, order_by="ts_event", copy=None))]
    fn from_records(
        py: Python<'_>,
        records: &Bound<'_, PyAny>,
        instruments: &Bound<'_, PyAny>,
        order_by: &str,
        copy: Option<bool>,
    ) -> PyResult<Self> {
        let order_by = order_from(order_by)?;
        let mut table = InstrumentTable::default();
        let places = declare_all(&mut table, instruments)?;
        if places.len() != table.rows().len() {
            return Err(PyValueError::new_err("an instrument stands twice in the table"));
        }
        let block = records::take(records, copy)?;
        py.detach(|| check(&block, table.rows(), order_by, "records"))?;
        Ok(Self::new(block, table.to_shared(), order_by))
    }

    /// Pack an Arrow stream in memory; see ``TickFileWriter.append_arrow`` for the arguments.
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    #[staticmethod]
    #[pyo3(signature = (stream, *, kind, columns, time_unit=None, instrument=None, instruments=None, default_venue=None,
                        order_by="ts_event", on_bad="reject", origin="arrow", side_bool="buyer_maker"))]
    fn from_arrow(
        py: Python<'_>,
        stream: &Bound<'_, PyAny>,
        kind: &str,
        columns: BTreeMap<String, String>,
        time_unit: Option<&str>,
        instrument: Option<String>,
        instruments: Option<&Bound<'_, PyAny>>,
        default_venue: Option<String>,
        order_by: &str,
        on_bad: &str,
        origin: &str,
        side_bool: &str,
    ) -> PyResult<Self> {
        let order_by = order_from(order_by)?;
        let mut table = InstrumentTable::new(default_venue);
        if let Some(rows) = instruments {
            declare_all(&mut table, rows)?;
        }
        let mapping = Mapping::new(kind, columns, time_unit, instrument, side_bool)?;
        let mut intake = Intake::new(Vec::new(), table, order_by, on_bad_from(on_bad)?);
        let reader = arrow::reader(stream)?;
        py.detach(|| arrow::feed(reader, &mapping, None, &mut intake, &Arc::from(origin), 1))?;
        let (ticks, table, _) = intake.finish();
        Ok(Self::new(TickBlock::from_vec(ticks), table.to_shared(), order_by))
    }

    fn __len__(&self) -> usize {
        self.block.len()
    }

    fn __getitem__(&self, py: Python<'_>, index: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        if let Ok(slice) = index.cast::<PySlice>() {
            let at = slice.indices(self.block.len() as isize)?;
            if at.step != 1 {
                return Err(PyValueError::new_err(
                    "a TickArray has slices of step 1 only; use .numpy()[...] for others",
                ));
            }
            return Ok(Py::new(py, self.part(py, at.start as usize, at.stop as usize))?.into_any());
        }
        let Ok(position) = index.extract::<isize>() else {
            return Err(PyTypeError::new_err("a TickArray takes an integer or a slice"));
        };
        let len = self.block.len();
        let found = if position < 0 { position + len as isize } else { position };
        match usize::try_from(found).ok().filter(|&found| found < len) {
            Some(found) => self.tick_at(py, found),
            None => Err(PyIndexError::new_err(format!("tick {position} of {len}"))),
        }
    }

    fn __iter__(slf: Bound<'_, Self>) -> TickIterator {
        TickIterator { array: slf.unbind(), next: 0 }
    }

    /// The records with ``start_ns <= key < end_ns``, without a copy; ``None`` leaves an end open.
    fn between(&self, py: Python<'_>, start_ns: Option<i64>, end_ns: Option<i64>) -> Self {
        let start = start_ns.map_or(0, |key| self.position_of(key));
        let end = end_ns.map_or(self.block.len(), |key| self.position_of(key));
        self.part(py, start, end)
    }

    /// The records as a read-only structured array (``TICK_DTYPE``), without a copy; it keeps the memory alive.
    fn numpy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        batch::view(slf.py(), &slf.get().block, records::tick_dtype(slf.py())?)
    }

    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        slf: &Bound<'py, Self>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let view = Self::numpy(slf)?;
        let cast = match dtype {
            Some(dtype) if !view.getattr("dtype")?.eq(dtype)? => {
                if copy == Some(false) {
                    return Err(PyValueError::new_err("another dtype needs a copy, and copy=False forbids it"));
                }
                return view.call_method1("astype", (dtype,));
            }
            _ => view,
        };
        if copy == Some(true) { cast.call_method0("copy") } else { Ok(cast) }
    }

    /// The records as an Arrow stream without a copy: one column ``tick`` of 64 bytes each (docs/decisions/0010).
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // A consumer's wish, which the protocol lets a producer decline.
        let _ = requested_schema;
        export::stream(py, &self.block, &self.instruments, self.order_by)
    }

    /// Decoded columns as a dict of numpy arrays (copies); ``kind`` picks ``"quote"``, ``"trade"`` or ``"bar"``.
    #[pyo3(signature = (kind=None))]
    fn to_columns<'py>(slf: &Bound<'py, Self>, kind: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("tickrail.data.columns")?.call_method1("to_columns", (slf, kind))
    }

    /// Decoded columns as a pyarrow table (copies); needs the extra ``tickrail[data]``.
    #[pyo3(signature = (kind=None))]
    fn to_arrow<'py>(slf: &Bound<'py, Self>, kind: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("tickrail.data.columns")?.call_method1("to_arrow", (slf, kind))
    }

    /// Read every record of the file that this maps: checksum, order, times, kinds, instruments.
    ///
    /// Of an array that is no file, the rules of the record are checked again.
    ///
    /// Raises:
    ///     TickFileError: The records do not match the header.
    fn verify(&self, py: Python<'_>) -> PyResult<()> {
        let look = || match &self.file {
            Some(file) => file.verify().map_err(DataFault::from),
            None => check(&self.block, &self.instruments, self.order_by, "records"),
        };
        Ok(py.detach(look)?)
    }

    /// What the header of the mapped file says, or ``None`` where there is no file.
    fn header<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(file) = &self.file else { return Ok(None) };
        let dict = PyDict::new(py);
        dict.set_item("format_version", FORMAT_VERSION)?;
        dict.set_item("layout_version", LAYOUT_VERSION)?;
        dict.set_item("record_size", TICK_SIZE)?;
        dict.set_item("order_by", file.header.order_by.name())?;
        dict.set_item("count", file.header.count)?;
        dict.set_item("first_ns", file.header.first_ns)?;
        dict.set_item("last_ns", file.header.last_ns)?;
        dict.set_item("checksum", hex(file.header.checksum))?;
        dict.set_item("file_size", file.header.file_size())?;
        Ok(Some(dict))
    }

    /// The ids that the records' ``instrument`` counts through.
    #[getter]
    fn instruments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.ids(py).cloned()
    }

    /// The same with currency, price increment, bar duration and whether prices may be negative.
    #[getter]
    fn instrument_table<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows: Vec<_> = self.instruments.iter().map(|info| info_to(py, info)).collect::<PyResult<_>>()?;
        PyList::new(py, rows)
    }

    /// ``"ts_event"`` or ``"ts_init"``: the time that never decreases.
    #[getter]
    fn order_by(&self) -> &'static str {
        self.order_by.name()
    }

    /// The file that the records are mapped from, or ``None``.
    #[getter]
    fn path(&self) -> Option<String> {
        self.file()
    }

    /// XXH3-128 over the 64-byte records of exactly this array, 16 bytes little-endian.
    #[getter]
    fn fingerprint<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &py.detach(|| self.content()))
    }

    fn __repr__(&self) -> String {
        let ticks = self.block.as_slice();
        let names: Vec<&str> = self.instruments.iter().take(3).map(|info| info.id.as_str()).collect();
        let more = if self.instruments.len() > 3 { ", ..." } else { "" };
        let span = ticks.first().zip(ticks.last()).map_or(String::new(), |(first, last)| {
            format!(", {} {}..{}", self.order_by.name(), first.key(self.order_by), last.key(self.order_by))
        });
        format!("TickArray({} ticks of {}{more}{span})", ticks.len(), names.join(", "))
    }

    #[expect(clippy::type_complexity, reason = "the shape that pickle asks for")]
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (u16, Bound<'py, PyBytes>, Bound<'py, PyList>, &'static str))> {
        let restore = py.get_type::<Self>().getattr("_restore")?;
        let bytes = PyBytes::new(py, as_bytes(self.block.as_slice()));
        Ok((restore, (LAYOUT_VERSION, bytes, self.instrument_table(py)?, self.order_by.name())))
    }

    #[staticmethod]
    fn _restore(
        py: Python<'_>,
        version: u16,
        bytes: &[u8],
        instruments: &Bound<'_, PyAny>,
        order_by: &str,
    ) -> PyResult<Self> {
        let (chunks, rest) = bytes.as_chunks::<TICK_SIZE>();
        if version != LAYOUT_VERSION || !rest.is_empty() {
            return Err(PyValueError::new_err(format!(
                "this array was pickled with record layout {version}; this tickrail reads layout {LAYOUT_VERSION}"
            )));
        }
        let mut table = InstrumentTable::default();
        declare_all(&mut table, instruments)?;
        let mut ticks = room_for(chunks.len());
        ticks.extend(chunks.iter().map(Tick::from_bytes));
        let block = TickBlock::from_vec(ticks);
        let order_by = order_from(order_by)?;
        py.detach(|| check(&block, table.rows(), order_by, "pickle"))?;
        Ok(Self::new(block, table.to_shared(), order_by))
    }
}

/// Walks through a `TickArray`, one tick object at a time.
#[pyclass(module = "tickrail")]
struct TickIterator {
    array: Py<TickArray>,
    next: usize,
}

#[pymethods]
impl TickIterator {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let array = self.array.get();
        if self.next >= array.block.len() {
            return Ok(None);
        }
        self.next += 1;
        array.tick_at(py, self.next - 1).map(Some)
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<TickArray>()
}
