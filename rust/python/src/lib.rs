//! `tickrail._native`: conversions between Python and `tickrail-core`. Holds no algorithm.

use pyo3::prelude::*;

mod accounts;
mod array;
mod arrow;
mod batch;
mod by_hand;
mod column_batch;
mod columns;
mod control;
mod csv;
mod data_errors;
mod detached;
mod dispatcher;
mod ending;
mod errors;
mod events;
mod export;
mod feed;
mod forms;
mod generator;
mod gil;
mod host;
mod info;
mod infos;
mod instrument;
mod lag;
mod lanes;
mod lives;
mod market;
mod meters;
mod method;
mod order_terms;
mod ownership;
mod pace;
mod pack;
mod plan;
mod pulls;
mod recording;
mod records;
mod report;
mod spawns;
mod strategy;
mod stuck;
mod supervise;
mod table;
mod tick;
mod timers;
mod turn;
mod venue_plan;
mod watchdog;
mod writer;

#[pymodule(gil_used = true)]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    info::register(m)?;
    instrument::register(m)?;
    tick::register(m)?;
    records::register(m)?;
    array::register(m)?;
    writer::register(m)?;
    csv::register(m)?;
    generator::register(m)?;
    batch::register(m)?;
    events::register(m)?;
    strategy::register(m)?;
    market::register(m)?;
    timers::register(m)?;
    spawns::register(m)?;
    lag::register(m)?;
    forms::compiled::register(m)?;
    pulls::register(m)?;
    lanes::register(m)?;
    meters::register(m)?;
    by_hand::register(m)?;
    control::register(m)?;
    watchdog::register(m)?;
    stuck::register(m)?;
    supervise::register(m)?;
    ending::register(m)?;
    lives::register(m)?;
    feed::register(m)?;
    recording::register(m)?;
    dispatcher::register(m)
}
