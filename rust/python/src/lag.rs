//! Rules for lag, and what a strategy is told of them.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tickrail_core::dispatch::{Fault, LagEpisode as CoreEpisode, LagRule, MaxLag, WhenLagging};

use crate::dispatcher::Dispatcher;
use crate::host::{Registered, fault};
use crate::plan::named;

#[pymethods]
impl Dispatcher {
    /// Let a strategy bear no more lag than this: records that wait in a publisher's ring, or ns that the next one has waited
    /// (0: no limit). Before the run; it counts where ticks come from live feeds.
    #[pyo3(signature = (strategy, *, max_records=0, max_ns=0, when_lagging="skip_to_latest"))]
    fn limit_lag(
        &self,
        py: Python<'_>,
        strategy: u32,
        max_records: u64,
        max_ns: i64,
        when_lagging: &str,
    ) -> PyResult<()> {
        let inside = self.inside.get(py);
        inside.plan(|plan| {
            let known = inside.names.borrow();
            let Some(name) = known.get(strategy as usize) else {
                return Err(PyValueError::new_err(format!("no strategy number {strategy}")));
            };
            let rule = rule_of(name, max_records, max_ns, when_lagging)?;
            plan.lag_rules.extend(rule.map(|rule| (strategy, rule)));
            Ok(())
        })
    }
}

/// The rule of the strategy `name`; `None`: it bears any lag.
pub fn rule_of(name: &str, max_records: u64, max_ns: i64, when: &str) -> PyResult<Option<LagRule>> {
    let expected = "'skip_to_latest', 'conflate' or 'fail'";
    let then = named("when_lagging", when, expected, WhenLagging::from_name(when))?;
    let max = match (max_records, max_ns) {
        (0, 0) => return Ok(None),
        (records, 0) => MaxLag::Records(records),
        (0, ns) if ns > 0 => MaxLag::Time(ns),
        (0, ns) => {
            let message = format!("{name}: max_lag_ns is {ns}; expected a time, or 0 for none");
            return Err(PyValueError::new_err(message));
        }
        _ => {
            let message = format!("{name}: max_lag_records and max_lag_ns are both set; a rule has one limit");
            return Err(PyValueError::new_err(message));
        }
    };
    Ok(Some(LagRule { max, then }))
}

/// A time during which a strategy's rule for lag was at work: the loop was farther behind its feeds than the rule allows.
#[pyclass(frozen, module = "tickrail")]
pub struct LagEpisode {
    episode: CoreEpisode,
}

#[pymethods]
impl LagEpisode {
    /// When the lag was seen, ns UTC.
    #[getter(from_ns)]
    fn began_ns(&self) -> i64 {
        self.episode.from_ns
    }

    /// When the loop had caught up, ns UTC.
    #[getter]
    fn until_ns(&self) -> i64 {
        self.episode.until_ns
    }

    /// Records that were skipped.
    #[getter]
    fn skipped(&self) -> u64 {
        self.episode.skipped
    }

    /// Records that a later one replaced.
    #[getter]
    fn conflated(&self) -> u64 {
        self.episode.conflated
    }

    fn __repr__(&self) -> String {
        let CoreEpisode { from_ns, until_ns, skipped, conflated } = self.episode;
        format!("LagEpisode(from_ns={from_ns}, until_ns={until_ns}, skipped={skipped}, conflated={conflated})")
    }
}

/// Tells the strategy by its `on_event`, if it has one.
pub fn tell(registered: &Registered, episode: &CoreEpisode) -> Result<(), Fault<PyErr>> {
    let Some(method) = registered.handlers.event() else { return Ok(()) };
    Python::attach(|py| {
        let event = Py::new(py, LagEpisode { episode: *episode }).map_err(fault)?;
        // SAFETY: `event` lives until the end of this closure.
        unsafe { method.call(py, event.as_ptr()) }.map_err(fault)
    })
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<LagEpisode>()
}
