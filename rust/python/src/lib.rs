//! `tickrail._native`: conversions between Python and `tickrail-core`. Holds no algorithm.

use pyo3::prelude::*;

mod array;
mod batch;
mod dispatcher;
mod errors;
mod events;
mod gil;
mod host;
mod info;
mod instrument;
mod method;
mod report;
mod strategy;
mod table;
mod tick;

#[pymodule(gil_used = true)]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    info::register(m)?;
    instrument::register(m)?;
    tick::register(m)?;
    array::register(m)?;
    batch::register(m)?;
    events::register(m)?;
    strategy::register(m)?;
    dispatcher::register(m)
}
