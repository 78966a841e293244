//! `tickrail._native`: conversions between Python and `tickrail-core`. Holds no algorithm.

use pyo3::prelude::*;

mod array;
mod data_errors;
mod export;
mod info;
mod instrument;
mod records;
mod table;
mod tick;

#[pymodule(gil_used = true)]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    info::register(m)?;
    instrument::register(m)?;
    tick::register(m)?;
    records::register(m)?;
    array::register(m)
}
