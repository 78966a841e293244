//! `TickBatch`: ticks that were collected for `on_batch`.

use numpy::PyArrayDescr;
use numpy::npyffi::{NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NpyTypes, PY_ARRAY_API, get_type_object, npy_intp};
use pyo3::exceptions::{PyIndexError, PyKeyError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use tickrail_core::{Kind, TickBlock};

use crate::gil::GilBound;
use crate::table::RunTable;
use std::rc::Rc;

/// Keeps the records of a numpy view alive.
#[pyclass(frozen, module = "tickrail._native")]
pub struct BlockOwner {
    #[expect(dead_code, reason = "held for its lifetime only")]
    block: TickBlock,
}

/// The dtype called `name` in `tickrail.domain.ticks`.
fn dtype<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyArrayDescr>>,
    name: &str,
) -> PyResult<Bound<'py, PyArrayDescr>> {
    let descr = cell.get_or_try_init(py, || {
        let descr = py.import("tickrail.domain.ticks")?.getattr(name)?;
        Ok::<_, PyErr>(descr.cast_into::<PyArrayDescr>()?.unbind())
    })?;
    Ok(descr.bind(py).clone())
}

static TICK_DTYPE: PyOnceLock<Py<PyArrayDescr>> = PyOnceLock::new();
static QUOTE_DTYPE: PyOnceLock<Py<PyArrayDescr>> = PyOnceLock::new();
static TRADE_DTYPE: PyOnceLock<Py<PyArrayDescr>> = PyOnceLock::new();

/// A read-only structured view of `block`, which it keeps alive; nothing is copied.
pub fn view<'py>(py: Python<'py>, block: &TickBlock, descr: Bound<'py, PyArrayDescr>) -> PyResult<Bound<'py, PyAny>> {
    let owner = Bound::new(py, BlockOwner { block: block.clone() })?;
    let mut length = [block.len() as npy_intp];
    // SAFETY: the data pointer is valid for `length` records of 64 bytes while `owner` lives, which becomes the array's
    // base; without the writeable flag numpy never writes. NewFromDescr takes the descriptor's reference and
    // SetBaseObject the owner's.
    unsafe {
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            get_type_object(py, NpyTypes::PyArray_Type),
            descr.into_ptr().cast(),
            1,
            length.as_mut_ptr(),
            std::ptr::null_mut(),
            block.as_slice().as_ptr().cast_mut().cast(),
            NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED,
            std::ptr::null_mut(),
        );
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        if PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), owner.into_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(array)
    }
}

/// Ticks collected for ``on_batch``: read-only, and safe to keep.
///
/// ``records`` is a structured array (``TICK_DTYPE``), ``quotes`` and ``trades`` the records of that kind under the
/// kind's own field names, ``column(name)`` one field as a contiguous copy, which numpy reads two to three times faster.
#[pyclass(frozen, module = "tickrail")]
pub struct TickBatch {
    block: TickBlock,
    table: GilBound<Rc<RunTable>>,
}

impl TickBatch {
    /// The batch that `block` is, in a run with `table`.
    pub const fn new(block: TickBlock, table: Rc<RunTable>) -> Self {
        Self { block, table: GilBound::new(table) }
    }

    fn of_kind<'py>(
        &self,
        py: Python<'py>,
        kind: Kind,
        descr: Bound<'py, PyArrayDescr>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.block.as_slice().iter().all(|tick| tick.kind == kind as u8) {
            return view(py, &self.block, descr);
        }
        let picked: Vec<_> = self.block.as_slice().iter().filter(|tick| tick.kind == kind as u8).copied().collect();
        view(py, &TickBlock::from_vec(picked), descr)
    }
}

#[pymethods]
impl TickBatch {
    fn __len__(&self) -> usize {
        self.block.len()
    }

    fn __getitem__(&self, py: Python<'_>, index: isize) -> PyResult<Py<PyAny>> {
        let length = self.block.len() as isize;
        let place = if index < 0 { index + length } else { index };
        if !(0..length).contains(&place) {
            return Err(PyIndexError::new_err(format!("tick {index} of a batch of {length}")));
        }
        let tick = &self.block.as_slice()[place as usize];
        crate::tick::make(py, tick, self.table.get(py).id(tick.instrument).bind(py))
    }

    /// All records as a structured array of ``TICK_DTYPE``, read-only, nothing copied.
    #[getter]
    fn records<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        view(py, &self.block, dtype(py, &TICK_DTYPE, "TICK_DTYPE")?)
    }

    /// The quotes as a structured array of ``QUOTE_DTYPE``; nothing is copied where all records are quotes.
    #[getter]
    fn quotes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.of_kind(py, Kind::Quote, dtype(py, &QUOTE_DTYPE, "QUOTE_DTYPE")?)
    }

    /// The trades as a structured array of ``TRADE_DTYPE``; nothing is copied where all records are trades.
    #[getter]
    fn trades<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.of_kind(py, Kind::Trade, dtype(py, &TRADE_DTYPE, "TRADE_DTYPE")?)
    }

    /// One field of the quotes (``bid``, ``ask``, ...), or of the records where it is common to all, contiguous.
    fn column<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        for part in [self.records(py)?, self.quotes(py)?, self.trades(py)?] {
            let fields = part.getattr("dtype")?.getattr("names")?;
            if part.len()? == self.block.len() && fields.contains(name)? {
                let column = py.import("numpy")?.call_method1("ascontiguousarray", (part.get_item(name)?,))?;
                column.call_method1("setflags", (false,))?;
                return Ok(column);
            }
        }
        let why = "batch.quotes and batch.trades give the fields of one kind where a batch holds several";
        Err(PyKeyError::new_err(format!("no column {name} that every record of the batch has; {why}")))
    }

    fn __repr__(&self) -> String {
        format!("TickBatch({} ticks)", self.block.len())
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<TickBatch>()
}
