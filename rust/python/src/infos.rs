//! Instrument tables between Python mappings and the core.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString};
use tickrail_core::InstrumentInfo;
use tickrail_core::file::InstrumentTable;

use crate::data_errors::DataFault;
use crate::instrument::InstrumentId;

const FIELDS: [&str; 5] = ["id", "currency", "price_increment", "bar_duration_ns", "negative_prices"];

/// One row, from an id or a mapping with the fields of `InstrumentInfo`.
pub fn info_from(row: &Bound<'_, PyAny>) -> PyResult<InstrumentInfo> {
    if row.is_instance_of::<PyString>() || row.is_instance_of::<InstrumentId>() {
        return Ok(InstrumentInfo::named(row.str()?.to_str()?));
    }
    let Ok(mapping) = row.cast::<PyMapping>() else {
        let kind = row.get_type().name()?;
        return Err(PyTypeError::new_err(format!("an instrument is an id or a mapping, not {kind}")));
    };
    check_keys(mapping)?;
    let id = mapping.get_item("id").map_err(|_| PyValueError::new_err("an instrument mapping needs an \"id\""))?;
    let mut info = InstrumentInfo::named(id.str()?.to_str()?);
    if let Ok(value) = mapping.get_item("currency") {
        info.currency = value.extract()?;
    }
    if let Ok(value) = mapping.get_item("price_increment") {
        info.price_increment = value.extract()?;
    }
    if let Ok(value) = mapping.get_item("bar_duration_ns") {
        info.bar_duration_ns = value.extract()?;
    }
    if let Ok(value) = mapping.get_item("negative_prices") {
        info.negative_prices = value.extract()?;
    }
    let increment = info.price_increment;
    if !increment.is_finite() || increment < 0.0 || info.bar_duration_ns < 0 {
        return Err(PyValueError::new_err(format!("{}: increment and duration must not be negative", info.id)));
    }
    Ok(info)
}

fn check_keys(mapping: &Bound<'_, PyMapping>) -> PyResult<()> {
    for key in mapping.keys()?.iter() {
        let key: String = key.extract()?;
        if !FIELDS.contains(&key.as_str()) {
            let known = FIELDS.join(", ");
            return Err(PyValueError::new_err(format!("unknown field {key:?} of an instrument; there are {known}")));
        }
    }
    Ok(())
}

/// Declares all rows of a Python iterable; the index of row i is the i-th of the result.
pub fn declare_all(table: &mut InstrumentTable, rows: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
    let declare = |row: PyResult<Bound<'_, PyAny>>| {
        let info = info_from(&row?)?;
        table.declare(&info).map_err(|error| PyErr::from(DataFault::from(error)))
    };
    rows.try_iter()?.map(declare).collect()
}

/// One row as a dict.
pub fn info_to<'py>(py: Python<'py>, info: &InstrumentInfo) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("id", &info.id)?;
    dict.set_item("currency", &info.currency)?;
    dict.set_item("price_increment", info.price_increment)?;
    dict.set_item("bar_duration_ns", info.bar_duration_ns)?;
    dict.set_item("negative_prices", info.negative_prices)?;
    Ok(dict)
}
