//! `tickrail._native`: conversions between Python and `tickrail-core`. Holds no algorithm.

use pyo3::prelude::*;

mod info;
mod instrument;
mod tick;

#[pymodule(gil_used = true)]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    info::register(m)?;
    instrument::register(m)?;
    tick::register(m)
}
