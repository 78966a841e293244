//! The record as numpy sees it: dtypes, views without a copy, and arrays taken in.

use std::mem::offset_of;
use std::sync::Arc;

use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyMemoryView};
use tickrail_core::pages::room_for;
use tickrail_core::tick::TICK_SIZE;
use tickrail_core::{Tick, TickBlock};

use crate::batch::BlockOwner;

const VALUES: usize = offset_of!(Tick, values);

/// Name, offset and numpy format of each field, as the compiler lays the record out.
pub const FIELDS: [(&str, usize, &str); 11] = [
    ("ts_event", offset_of!(Tick, ts_event), "<i8"),
    ("ts_init", offset_of!(Tick, ts_init), "<i8"),
    ("sequence", offset_of!(Tick, sequence), "<u8"),
    ("instrument", offset_of!(Tick, instrument), "<u4"),
    ("kind", offset_of!(Tick, kind), "|u1"),
    ("side", offset_of!(Tick, side), "|u1"),
    ("flags", offset_of!(Tick, flags), "<u2"),
    ("value_0", VALUES, "<f8"),
    ("value_1", VALUES + 8, "<f8"),
    ("value_2", VALUES + 16, "<f8"),
    ("value_3", VALUES + 24, "<f8"),
];

/// Names that quotes, trades and bars give to the same places.
const BY_KIND: [(&str, usize, &str); 11] = [
    ("bid", VALUES, "<f8"),
    ("ask", VALUES + 8, "<f8"),
    ("bid_size", VALUES + 16, "<f8"),
    ("ask_size", VALUES + 24, "<f8"),
    ("price", VALUES, "<f8"),
    ("size", VALUES + 16, "<f8"),
    ("open", VALUES, "<f8"),
    ("high", VALUES + 8, "<f8"),
    ("low", VALUES + 16, "<f8"),
    ("close", VALUES + 24, "<f8"),
    ("volume", offset_of!(Tick, sequence), "<f8"),
];

/// Offset and numpy format of every field of the 64-byte record, as the compiler lays it out.
#[pyfunction]
fn layout(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for (name, offset, format) in FIELDS.into_iter().chain(BY_KIND) {
        dict.set_item(name, (offset, format))?;
    }
    dict.set_item("itemsize", (TICK_SIZE, "|V64"))?;
    Ok(dict)
}

/// The dtype of records: `TICK_DTYPE`, which a test holds equal to [`FIELDS`].
pub fn tick_dtype(py: Python<'_>) -> PyResult<Bound<'_, PyArrayDescr>> {
    static DTYPE: PyOnceLock<Py<PyArrayDescr>> = PyOnceLock::new();
    DTYPE.import(py, "tickrail.domain.ticks", "TICK_DTYPE").cloned()
}

/// The records of a structured array: shared where it can never change (or `copy` is `Some(false)`), else a copy.
pub fn take(records: &Bound<'_, PyAny>, copy: Option<bool>) -> PyResult<TickBlock> {
    let Ok(array) = records.cast::<PyUntypedArray>() else {
        let kind = records.get_type().name()?;
        return Err(PyTypeError::new_err(format!("records are a structured numpy array, not {kind}")));
    };
    check_dtype(&array.dtype())?;
    check_mask(array)?;
    if array.ndim() != 1 {
        return Err(PyValueError::new_err(format!("records have {} dimensions, expected one", array.ndim())));
    }
    let fits = array.is_c_contiguous() && address_of(array).is_multiple_of(align_of::<Tick>());
    match copy {
        Some(false) if !fits => Err(PyValueError::new_err(
            "records that are not contiguous and aligned to 8 bytes must be copied, and copy=False forbids it",
        )),
        Some(false) => Ok(share(array)),
        None if fits && !may_change(array)? => Ok(share(array)),
        _ => copied(array),
    }
}

fn check_dtype(dtype: &Bound<'_, PyArrayDescr>) -> PyResult<()> {
    let py = dtype.py();
    let numpy = py.import("numpy")?;
    let known = |name: &str| FIELDS.iter().chain(&BY_KIND).find(|field| field.0 == name);
    let mut sound = dtype.itemsize() == TICK_SIZE && dtype.has_fields();
    let mut present = Vec::new();
    for name in dtype.names().unwrap_or_default() {
        let (format, offset) = dtype.get_field(&name)?;
        sound &= match known(&name) {
            Some(field) => field.1 == offset && numpy.call_method1("dtype", (field.2,))?.eq(format)?,
            None => false,
        };
        present.push(offset);
    }
    // A few fields of a larger array leave the bytes of the others as they happen to be.
    sound &= FIELDS.iter().filter(|field| field.1 <= VALUES).all(|field| present.contains(&field.1));
    if sound {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "records have dtype {dtype}: expected TICK_DTYPE, QUOTE_DTYPE, TRADE_DTYPE or BAR_DTYPE of tickrail.domain.ticks",
    )))
}

/// What a mask hides would come as records: whoever has one says first what is meant.
fn check_mask(array: &Bound<'_, PyUntypedArray>) -> PyResult<()> {
    let py = array.py();
    let is_numpys = array.is_exact_instance_of::<PyUntypedArray>();
    if !is_numpys && array.is_instance(&py.import("numpy.ma")?.getattr("MaskedArray")?)? {
        return Err(PyTypeError::new_err(
            "records are a masked array: take those that are meant out of its data first",
        ));
    }
    Ok(())
}

/// Where its data begins.
pub fn address_of(array: &Bound<'_, PyUntypedArray>) -> usize {
    // SAFETY: the array is alive; reading its data pointer has no further condition.
    unsafe { (*array.as_array_ptr()).fields.data as usize }
}

/// Whether anybody could still write into the memory.
///
/// An array that owns its memory can always be made writeable again, whatever its flag says now; so can every view of it. Only
/// memory that is lent by something that never lends it for writing stays as it is: `bytes`, a read-only mapping, our own blocks.
fn may_change(array: &Bound<'_, PyUntypedArray>) -> PyResult<bool> {
    let mut next = array.as_any().clone();
    while next.is_instance_of::<PyUntypedArray>() {
        if next.getattr("flags")?.getattr("writeable")?.extract()? {
            return Ok(true);
        }
        next = next.getattr("base")?;
    }
    let py = next.py();
    while let Ok(lent) = next.cast::<PyMemoryView>() {
        next = lent.getattr("obj")?;
    }
    if next.is_instance_of::<BlockOwner>() || next.is_instance_of::<PyBytes>() {
        return Ok(false);
    }
    if !next.is_instance(&py.import("mmap")?.getattr("mmap")?)? {
        return Ok(true);
    }
    let memory = py.import("builtins")?.call_method1("memoryview", (next,))?;
    Ok(!memory.getattr("readonly")?.extract::<bool>()?)
}

fn copied(array: &Bound<'_, PyUntypedArray>) -> PyResult<TickBlock> {
    let ticks: Vec<Tick> = if array.is_c_contiguous() {
        let bytes = address_of(array) as *const u8;
        let mut ticks = room_for(array.len());
        // SAFETY: a contiguous array of `len` records of 64 bytes is readable while the GIL is held; any bytes are a Tick.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes, ticks.as_mut_ptr().cast::<u8>(), array.len() * TICK_SIZE);
            ticks.set_len(array.len());
        }
        ticks
    } else {
        let whole = array.py().import("numpy")?.call_method1("ascontiguousarray", (array,))?;
        return copied(whole.cast::<PyUntypedArray>()?);
    };
    Ok(TickBlock::from_vec(ticks))
}

fn share(array: &Bound<'_, PyUntypedArray>) -> TickBlock {
    let (start, len) = (address_of(array) as *const Tick, array.len());
    let owner: Py<PyAny> = array.clone().into_any().unbind();
    // An empty numpy array may point anywhere.
    if len == 0 {
        return TickBlock::from_vec(Vec::new());
    }
    // SAFETY: contiguous and aligned (checked by the caller); the reference keeps the memory; that it does not change was
    // found out by `may_change` or promised by the caller's `copy=False`.
    unsafe { TickBlock::from_raw_parts(start, len, Arc::new(owner)) }
}

/// Adds the function to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(layout, m)?)
}
