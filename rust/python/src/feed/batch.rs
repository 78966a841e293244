//! What a publisher is given: an array, a `TickArray`, what a `MessageReader` has made, Arrow data or columns.

use std::collections::BTreeMap;

use numpy::{PyUntypedArray, PyUntypedArrayMethods as _};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use tickrail_core::file::InstrumentTable;
use tickrail_core::tick::TICK_SIZE;
use tickrail_core::{Tick, TickBlock};

use crate::array::TickArray;
use crate::messages::MessageReader;
use crate::pack::Mapping;
use crate::table::RunTable;
use crate::tick::Tick as PyTick;
use crate::{arrow, records};

/// How columns of tables are to be understood.
#[derive(Default)]
pub struct Columns {
    /// `quote`, `trade` or `bar`.
    pub kind: Option<String>,
    /// Names of the record to names of the source.
    pub columns: Option<BTreeMap<String, String>>,
    /// The instrument of all rows.
    pub instrument: Option<String>,
    /// Of integer times.
    pub time_unit: Option<String>,
}

/// Records that wait to be published; each is copied once, and the copy is what is looked at.
pub struct Batch<'py> {
    start: *const Tick,
    len: usize,
    /// What their instruments are in this run; `None`: the same.
    places: Option<Vec<u32>>,
    _owner: Owner<'py>,
}

/// Keeps the records.
enum Owner<'py> {
    Array(#[expect(dead_code, reason = "held for its memory")] Bound<'py, PyUntypedArray>),
    Block(#[expect(dead_code, reason = "held for its memory")] TickBlock),
}

impl<'py> Batch<'py> {
    /// Of whatever `data` is.
    ///
    /// # Errors
    /// It is nothing that holds records.
    pub fn of(data: &Bound<'py, PyAny>, table: &RunTable, how: Columns) -> PyResult<Self> {
        if let Ok(array) = data.cast::<TickArray>() {
            return Self::of_ticks(data.py(), array.get(), table);
        }
        if let Ok(array) = data.cast::<PyUntypedArray>()
            && is_plain(array)?
        {
            return Ok(Self::of_array(array.clone()));
        }
        if let Ok(reader) = data.cast::<MessageReader>() {
            return Ok(Self::of_block(TickBlock::from_vec(reader.try_borrow_mut()?.take_records()), None));
        }
        if let Ok(tick) = data.cast::<PyTick>() {
            let place = table.resolve(tick.getattr("instrument")?.as_any()).unwrap_or(u32::MAX);
            let tick = Tick { instrument: place, ..*tick.get().record() };
            return Ok(Self::of_block(TickBlock::from_vec(vec![tick]), None));
        }
        if data.hasattr("__arrow_c_stream__")? {
            return Self::of_arrow(data, table, how);
        }
        if let Ok(columns) = data.cast::<PyDict>() {
            let helper = data.py().import("tickrail.orchestration.feed_columns")?.getattr("records_of_columns")?;
            let array = helper.call1((columns, how.kind, how.instrument, table.names()))?;
            return Ok(Self::of_array(array.cast_into::<PyUntypedArray>()?));
        }
        Ok(Self::of_block(records::take(data, None)?, None))
    }

    fn of_array(array: Bound<'py, PyUntypedArray>) -> Self {
        let (start, len) = (records::address_of(&array) as *const Tick, array.len());
        Self { start, len, places: None, _owner: Owner::Array(array) }
    }

    fn of_block(block: TickBlock, places: Option<Vec<u32>>) -> Self {
        let records = block.as_slice();
        Self { start: records.as_ptr(), len: records.len(), places, _owner: Owner::Block(block) }
    }

    /// An instrument that the run does not have becomes none, and its records are rejected and counted.
    fn of_ticks(py: Python<'py>, array: &TickArray, table: &RunTable) -> PyResult<Self> {
        Ok(Self::of_block(array.block().clone(), places_of(py, array, table)))
    }

    fn of_arrow(data: &Bound<'py, PyAny>, table: &RunTable, how: Columns) -> PyResult<Self> {
        let reader = arrow::reader(data)?;
        let kind = how.kind.as_deref().unwrap_or("quote");
        let columns = how.columns.unwrap_or_else(|| Mapping::by_name(kind, &arrow::names(&reader)));
        let mapping =
            Mapping::new(kind, columns, how.time_unit.as_deref().or(Some("ns")), how.instrument, "buyer_maker")?;
        let mut known = InstrumentTable::default();
        for name in table.names() {
            known.resolve(&name).map_err(crate::data_errors::DataFault::from)?;
        }
        // Symbols that the run does not know get numbers beyond its own, and are rejected and counted as such.
        let ticks = data.py().detach(|| arrow::pack_all(reader, &mapping, &mut known))?;
        Ok(Self::of_block(TickBlock::from_vec(ticks), None))
    }

    /// How many records.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Copies the records from `from` on to `into`, as many as it has place for.
    ///
    /// # Panics
    /// There are not so many.
    #[inline]
    pub fn copy(&self, from: usize, into: &mut [Tick]) {
        assert!(from + into.len() <= self.len, "{} records from {from} on, of {}", into.len(), self.len);
        // SAFETY: these records are readable at `start` while the owner is held, any bytes are a Tick, and a possibly
        // unaligned array is copied as bytes. Should another thread write to the array meanwhile, a record may be a mixture;
        // it is looked at in this copy, which nobody else has.
        unsafe {
            let source = self.start.add(from).cast::<u8>();
            std::ptr::copy_nonoverlapping(source, into.as_mut_ptr().cast::<u8>(), size_of_val(into));
        }
        if let Some(places) = &self.places {
            translate(into, places);
        }
    }

    /// Copies the records from `from` to before `to` to the end of `into`.
    pub fn append(&self, from: usize, to: usize, into: &mut Vec<Tick>) {
        let first = into.len();
        into.resize(first + to - from, Tick::from_bytes(&[0; TICK_SIZE]));
        self.copy(from, &mut into[first..]);
    }
}

/// What the instruments of `array` are in the run, those that it does not have being none; `None`: the same.
pub fn places_of(py: Python<'_>, array: &TickArray, table: &RunTable) -> Option<Vec<u32>> {
    let place = |id: &str| table.by_text(py, id).unwrap_or(u32::MAX);
    let places: Vec<u32> = array.table().iter().map(|info| place(&info.id)).collect();
    let is_same = places.iter().enumerate().all(|(number, &place)| number == place as usize);
    (!is_same).then_some(places)
}

/// Lets records of `places` be about the run's instruments.
pub fn translate(ticks: &mut [Tick], places: &[u32]) {
    for tick in ticks {
        tick.instrument = places.get(tick.instrument as usize).copied().unwrap_or(u32::MAX);
    }
}

/// Whether the array is numpy's own, has one of our dtypes, by identity, and lies in one piece: the quick way.
fn is_plain(array: &Bound<'_, PyUntypedArray>) -> PyResult<bool> {
    static KNOWN: PyOnceLock<Vec<Py<PyAny>>> = PyOnceLock::new();
    let py = array.py();
    let known = KNOWN.get_or_try_init(py, || {
        let module = py.import("tickrail.domain.ticks")?;
        let names = ["QUOTE_DTYPE", "TRADE_DTYPE", "BAR_DTYPE", "TICK_DTYPE"];
        names.into_iter().map(|name| Ok(module.getattr(name)?.unbind())).collect::<PyResult<Vec<_>>>()
    })?;
    let dtype = array.dtype();
    let is_ours = known.iter().any(|one| one.as_ptr() == dtype.as_ptr());
    let is_numpys = array.is_exact_instance_of::<PyUntypedArray>();
    Ok(is_ours && is_numpys && array.ndim() == 1 && array.is_c_contiguous())
}
