//! Rules for failures, and what has come of them.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tickrail_core::dispatch::{OnError, Supervision};

use crate::dispatcher::Dispatcher;
use crate::plan::named;

/// Give a strategy a rule for its failures, before the run: ``on_error`` is ``"stop"``, ``"restart"`` (at most
/// ``max_restarts`` within ``within_ns``, after a wait of ``backoff_ns`` that doubles up to ``max_backoff_ns``) or
/// ``"stop_runtime"``; one that is ``critical`` stops the run where it stays FAILED.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of one call from the Python face")]
#[pyo3(signature = (dispatcher, strategy, *, on_error, critical, max_restarts, within_ns, backoff_ns, max_backoff_ns))]
fn supervise(
    py: Python<'_>,
    dispatcher: &Dispatcher,
    strategy: u32,
    on_error: &str,
    critical: bool,
    max_restarts: u32,
    within_ns: i64,
    backoff_ns: i64,
    max_backoff_ns: i64,
) -> PyResult<()> {
    let expected = "'stop', 'restart' or 'stop_runtime'";
    let on_error = named("on_error", on_error, expected, OnError::from_name(on_error))?;
    if within_ns <= 0 || backoff_ns < 0 || max_backoff_ns < backoff_ns {
        return Err(PyValueError::new_err(format!(
            "within_ns is {within_ns} (expected more than 0), backoff_ns is {backoff_ns} (expected 0 or more), \
             max_backoff_ns is {max_backoff_ns} (expected no less)"
        )));
    }
    let rule = Supervision { on_error, is_critical: critical, max_restarts, within_ns, backoff_ns, max_backoff_ns };
    let inside = dispatcher.inside.get(py);
    if inside.names.borrow().len() <= strategy as usize {
        return Err(PyValueError::new_err(format!("no strategy number {strategy}")));
    }
    inside.plan(|plan| {
        plan.supervision.push((strategy, rule));
        Ok(())
    })
}

/// What supervision has done: how often it has restarted each strategy, in order of registration, and the number of the
/// strategy whose failure has stopped the run, or ``None``.
#[pyfunction]
fn supervised(py: Python<'_>, dispatcher: &Dispatcher) -> PyResult<(Vec<u32>, Option<u32>)> {
    dispatcher.inside.get(py).look(|core| Ok((core.restarts().collect(), core.stopped_by())))
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(supervise, m)?)?;
    m.add_function(wrap_pyfunction!(supervised, m)?)
}
