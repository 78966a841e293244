//! What was measured in a run, as Python sees it.

use std::sync::PoisonError;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tickrail_core::histogram::{Histogram as Core, HistogramSnapshot};

use crate::dispatcher::Dispatcher;
use crate::own_lanes;

/// Times that were measured, at one moment.
#[pyclass(frozen, module = "tickrail._native")]
pub struct Histogram(HistogramSnapshot);

#[pymethods]
impl Histogram {
    /// How many times were measured.
    #[getter]
    fn count(&self) -> u64 {
        self.0.count()
    }
    /// The longest, ns; 0 where there is none.
    #[getter]
    fn max_ns(&self) -> u64 {
        self.0.max()
    }
    /// Their mean, ns; 0 where there is none.
    #[getter]
    fn mean_ns(&self) -> f64 {
        self.0.mean()
    }
    /// The least time that at least ``part`` (0 to 1) of them do not exceed, ns, to 1.6 % and never below it.
    fn quantile(&self, part: f64) -> u64 {
        self.0.quantile(part)
    }
    /// The buckets that hold something: least and greatest time, ns, and count.
    fn buckets(&self) -> Vec<(u64, u64, u64)> {
        self.0.buckets().collect()
    }
}

/// Everything that was measured so far: rows of strategies, in order of registration, and of feeds, by number. Any thread,
/// at any time; nothing without ``sample_every``.
#[pyfunction]
fn meters<'py>(py: Python<'py>, dispatcher: &Dispatcher) -> PyResult<Bound<'py, PyDict>> {
    let meters = &dispatcher.meters;
    let of = |histogram: &Core| Py::new(py, Histogram(histogram.snapshot()));
    let (all, strategies) = (PyDict::new(py), PyList::empty(py));
    for meter in meters.strategies() {
        let row = PyDict::new(py);
        row.set_item("handler", of(&meter.handler_ns)?)?;
        row.set_item("latency", of(&meter.latency_ns)?)?;
        row.set_item("lateness", of(&meter.lateness_ns)?)?;
        strategies.append(row)?;
    }
    let lanes = PyDict::new(py);
    for (strategy, meter) in dispatcher.lanes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let row = own_lanes::counts(py, meter)?;
        row.set_item("handler", of(&meter.handler_ns)?)?;
        row.set_item("latency", of(&meter.latency_ns)?)?;
        lanes.set_item(strategy, row)?;
    }
    all.set_item("lanes", lanes)?;
    let clock = dispatcher.live.as_ref().map(|live| live.hub.clock());
    all.set_item("drift_ns", clock.map(|clock| clock.drift_ns()))?;
    all.set_item("wall_jumps", clock.map(|clock| clock.jumps()))?;
    all.set_item("strategies", strategies)?;
    all.set_item("feeds", meters.feeds().iter().map(|wait| of(wait)).collect::<PyResult<Vec<_>>>()?)?;
    Ok(all)
}

/// Adds the class and the function to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Histogram>()?;
    m.add_function(wrap_pyfunction!(meters, m)?)
}
