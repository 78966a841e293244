//! The risk gate as Python sets it up, changes it and looks at it.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tickrail_core::risk::{LimitKey, Limits, Refused, Rule, Verdict};

use crate::control::Operations;
use crate::dispatcher::Dispatcher;
use crate::report::{pair, rows, structured};

fn key_of(name: &str) -> PyResult<LimitKey> {
    LimitKey::named(name).ok_or_else(|| PyValueError::new_err(format!("there is no limit {name:?}")))
}

fn failed(error: &impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Fields of `refusals()`.
const REFUSAL_FIELDS: [(&str, &str); 7] = [
    ("strategy", "<u4"),
    ("order", "<u4"),
    ("gate", "<u8"),
    ("position", "<u8"),
    ("ts_ns", "<i8"),
    ("found", "<f8"),
    ("limit", "<f8"),
];

#[pymethods]
impl Dispatcher {
    /// Bind orders of strategies, by number, in instruments (``None``: all) by limits. Before the run. Raises ``ValueError``.
    #[pyo3(signature = (name, values, strategies=None, instruments=None))]
    fn limit(
        &self,
        py: Python<'_>,
        name: String,
        values: Vec<(String, f64)>,
        strategies: Option<Vec<u32>>,
        instruments: Option<Vec<String>>,
    ) -> PyResult<()> {
        let inside = self.inside.get(py);
        inside.plan(|_| Ok(()))?;
        let mut limits = Limits::default();
        for (key, value) in values {
            limits = limits.with(key_of(&key)?, value).map_err(|error| failed(&error))?;
        }
        let index = |id: &String| inside.table.by_text(py, id);
        let instruments = instruments.map(|ids| ids.iter().map(index).collect::<PyResult<Vec<u32>>>()).transpose()?;
        inside.desk.add_rule(Rule { name, strategies, instruments, limits });
        Ok(())
    }

    /// What the gate refused, as a structured array: the last 65,536.
    fn refusals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let row = |one: &Refused| {
            [
                pair(one.order.strategy, one.order.number),
                one.verdict as u64,
                one.position,
                one.ts_ns as u64,
                one.found.to_bits(),
                one.limit.to_bits(),
            ]
        };
        let bytes = self.inside.get(py).desk.with_risk(|risk| rows(py, risk.refusals().map(row)))?;
        structured(py, bytes, &REFUSAL_FIELDS)
    }

    /// How often the gate gave each verdict, by strategy: ``{name: count}`` without those that it never gave.
    fn verdicts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        let desk = &self.inside.get(py).desk;
        for strategy in 0..desk.strategy_count() {
            let row = PyDict::new(py);
            for verdict in Verdict::ALL {
                let count = desk.with_risk(|risk| risk.count(strategy, verdict));
                if count > 0 {
                    row.set_item(verdict.name(), count)?;
                }
            }
            list.append(row)?;
        }
        Ok(list)
    }

    /// Limits that were changed while the run went on, the oldest first.
    fn limit_changes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        self.inside.get(py).desk.with_risk(|risk| {
            for change in risk.changes() {
                let row = PyDict::new(py);
                row.set_item("table", &change.rule)?;
                row.set_item("key", change.key.name())?;
                row.set_item("before", change.before.is_finite().then_some(change.before))?;
                row.set_item("after", change.after.is_finite().then_some(change.after))?;
                row.set_item("position", change.position)?;
                row.set_item("ts_ns", change.ts_ns)?;
                list.append(row)?;
            }
            Ok(list)
        })
    }
}

/// A limit that the last process kept: table, key, value, and whether there is such a one in this run.
pub type KeptLimit = (String, String, Option<f64>, bool);

impl Operations {
    /// Sets what was kept, before the run.
    pub(crate) fn set_kept_limits(&self, py: Python<'_>) -> Vec<KeptLimit> {
        let desk = &self.here.get(py).desk;
        let set = |((table, key), value): ((String, String), f64)| {
            let is_set = LimitKey::named(&key).is_some_and(|key| desk.set_limit(&table, key, value).is_ok());
            (table, key, Some(value).filter(|value| value.is_finite()), is_set)
        };
        self.gate.kept().limits.into_iter().map(set).collect()
    }
}

#[pymethods]
impl Operations {
    /// Set a limit of a table while the run goes on (``None``: no limit), and return what it was.
    /// Dispatch thread only. Raises ``ValueError``.
    fn set_limit(&self, py: Python<'_>, table: &str, key: &str, value: Option<f64>) -> PyResult<Option<f64>> {
        let value = value.unwrap_or(f64::INFINITY);
        let before = self.desk(py)?.set_limit(table, key_of(key)?, value).map_err(|error| failed(&error))?;
        Ok(before.is_finite().then_some(before))
    }

    /// The limits of each table. Dispatch thread only.
    fn limits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let tables = PyDict::new(py);
        self.desk(py)?.with_risk(|risk| {
            for rule in risk.rules() {
                let values = PyDict::new(py);
                for key in LimitKey::ALL.into_iter().filter(|&key| rule.limits.has(key)) {
                    values.set_item(key.name(), rule.limits.of(key))?;
                }
                tables.set_item(&rule.name, values)?;
            }
            Ok(tables)
        })
    }

    /// Let strategies go on that are halted for too many refused orders; how many there were. Dispatch thread only.
    fn resume_strategies(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.desk(py)?.resume_strategies())
    }

    /// What orders of each strategy may do. Dispatch thread only.
    fn trading_by_strategy(&self, py: Python<'_>) -> PyResult<Vec<&'static str>> {
        let desk = self.desk(py)?;
        Ok((0..desk.strategy_count()).map(|strategy| desk.trading_of(strategy).name()).collect())
    }
}

/// Adds the names of verdicts to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let names = PyDict::new(m.py());
    for verdict in Verdict::ALL {
        names.set_item(verdict as u8, verdict.name())?;
    }
    m.add("GATE_VERDICTS", names)?;
    m.add("LIMIT_KEYS", LimitKey::ALL.map(LimitKey::name).to_vec())
}
