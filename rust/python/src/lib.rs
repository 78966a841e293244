//! `tickrail._native`: conversions between Python and `tickrail-core`. Holds no algorithm.

use pyo3::prelude::*;

mod accounts;
mod array;
mod arrow;
mod batch;
mod beside;
mod bus;
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
mod messages;
mod meters;
mod method;
mod order_terms;
mod outbox;
mod own_lanes;
mod ownership;
mod pace;
mod pack;
mod plan;
mod portfolio;
mod probes;
mod pulls;
mod recording;
mod records;
mod report;
mod risk;
mod spawns;
mod strategy;
mod stuck;
mod supervise;
mod table;
mod tick;
mod tick_objects;
mod timers;
mod turn;
mod venue_plan;
mod watchdog;
mod writer;

/// The module has one state a process; numpy, which it works with, refuses other interpreters as well.
fn refuse_subinterpreter() -> PyResult<()> {
    // SAFETY: the GIL is held; both give pointers to compare, and nothing is read through them.
    let is_main = unsafe { pyo3::ffi::PyInterpreterState_Get() == pyo3::ffi::PyInterpreterState_Main() };
    if is_main {
        return Ok(());
    }
    Err(pyo3::exceptions::PyImportError::new_err(
        "tickrail runs in the main interpreter of a process alone, and this is a subinterpreter\n  hint: use a thread, or a \
         process of its own",
    ))
}

#[pymodule(gil_used = true)]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    refuse_subinterpreter()?;
    // Not by `add_function`: it is no part of what the module offers.
    m.setattr("_break_a_rule", wrap_pyfunction!(gil::break_a_rule, m)?)?;
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
    portfolio::register(m)?;
    timers::register(m)?;
    spawns::register(m)?;
    lag::register(m)?;
    forms::compiled::register(m)?;
    pulls::register(m)?;
    lanes::register(m)?;
    bus::register(m)?;
    outbox::register(m)?;
    own_lanes::register(m)?;
    messages::register(m)?;
    meters::register(m)?;
    by_hand::register(m)?;
    control::register(m)?;
    probes::register(m)?;
    risk::register(m)?;
    watchdog::register(m)?;
    stuck::register(m)?;
    beside::register(m)?;
    supervise::register(m)?;
    ending::register(m)?;
    lives::register(m)?;
    feed::register(m)?;
    recording::register(m)?;
    dispatcher::register(m)
}
