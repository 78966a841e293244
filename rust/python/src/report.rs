//! What a run leaves behind, as Python objects: orders and fills as structured arrays, the rest as dicts.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use tickrail_core::dispatch::{Dispatcher, Fill, Outcome, WorthPoint};
use tickrail_core::venue::{Held, Order, Position};

use crate::accounts::add_account;
use crate::dispatcher::Dispatcher as Run;
use crate::errors::run_failed;
use crate::host::PyHost;
use crate::table::RunTable;

#[pymethods]
impl Run {
    /// Counters of the run: ticks, timers, events, remaining.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.inside.get(py).look(|core| {
            let stats = PyDict::new(py);
            stats.set_item("ticks", core.input_count())?;
            stats.set_item("remaining", core.remaining())?;
            stats.set_item("steps", core.desk().position())?;
            stats.set_item("timers_fired", core.timers_fired())?;
            stats.set_item("events", core.event_count())?;
            stats.set_item("now_ns", core.desk().now_ns())?;
            Ok(stats)
        })
    }

    /// Account, state and positions of each strategy, in order of registration.
    fn strategies<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let inside = self.inside.get(py);
        inside.look_mut(|core| strategies(py, core, &inside.names.borrow()))
    }

    /// All orders as a structured array, in the order asked for.
    fn orders<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.inside.get(py).look(|core| orders(py, core))
    }

    /// What strategies held before the run began, as a structured array.
    fn held<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.inside.get(py).look(|core| held(py, core))
    }

    /// All fills as a structured array, in the order made.
    fn fills<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.inside.get(py).look(|core| fills(py, core))
    }

    /// What strategies were worth over time, as a structured array: at each fill, at even times, and at the end.
    fn worth<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.inside.get(py).look(|core| worth(py, core))
    }

    /// What strategies raised: one dict each, with the input that caused it.
    fn errors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let inside = self.inside.get(py);
        inside.look(|core| errors(py, core, &inside.names.borrow(), &inside.table))
    }

    /// What interrupted the run (``KeyboardInterrupt``, ``SystemExit``), if a handler did.
    fn interruption(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.inside
            .get(py)
            .look(|core| Ok(core.interruption().map(|error| error.value(py).clone().into_any().unbind())))
    }

    /// The run digest, 64 hexadecimal digits; final once the run has ended.
    fn digest(&self, py: Python<'_>) -> PyResult<String> {
        self.inside.get(py).look(|core| Ok(core.digest()))
    }
}

/// Fields of `orders()`: name and numpy format, in the order written below.
const ORDER_FIELDS: [(&str, &str); 19] = [
    ("strategy", "<u4"),
    ("order", "<u4"),
    ("instrument", "<u4"),
    ("side", "<u4"),
    ("kind", "<u4"),
    ("time_in_force", "<u4"),
    ("status", "<u4"),
    ("gate", "<u4"),
    ("made_position", "<u8"),
    ("made_ns", "<i8"),
    ("changed_position", "<u8"),
    ("changed_ns", "<i8"),
    ("expires_ns", "<i8"),
    ("quantity", "<f8"),
    ("filled", "<f8"),
    ("limit", "<f8"),
    ("stop", "<f8"),
    ("price", "<f8"),
    ("fee", "<f8"),
];

/// Fields of `fills()`.
const FILL_FIELDS: [(&str, &str); 13] = [
    ("strategy", "<u4"),
    ("order", "<u4"),
    ("instrument", "<u4"),
    ("side", "<u4"),
    ("maker", "<u8"),
    ("made_position", "<u8"),
    ("position", "<u8"),
    ("ts_ns", "<i8"),
    ("quantity", "<f8"),
    ("price", "<f8"),
    ("fee", "<f8"),
    ("realised", "<f8"),
    ("rate", "<f8"),
];

/// Fields of `held()`.
const HELD_FIELDS: [(&str, &str); 5] =
    [("strategy", "<u4"), ("instrument", "<u4"), ("net", "<f8"), ("price", "<f8"), ("ts_ns", "<i8")];

/// Fields of `worth()`.
const WORTH_FIELDS: [(&str, &str); 4] = [("ts_ns", "<i8"), ("equity", "<f8"), ("gross", "<f8"), ("strategy", "<u8")];

/// Two fields of four bytes as one word.
pub const fn pair(first: u32, second: u32) -> u64 {
    first as u64 | (second as u64) << 32
}

/// Rows as bytes, written where they stay.
pub fn rows<'py, const WORDS: usize>(
    py: Python<'py>,
    rows: impl ExactSizeIterator<Item = [u64; WORDS]>,
) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, rows.len() * WORDS * 8, |bytes| {
        for (place, row) in bytes.as_chunks_mut::<8>().0.chunks_exact_mut(WORDS).zip(rows) {
            place.copy_from_slice(&row.map(u64::to_le_bytes));
        }
        Ok(())
    })
}

/// Rows of `fields` as a numpy array over `bytes`.
pub fn structured<'py>(
    py: Python<'py>,
    bytes: Bound<'py, PyBytes>,
    fields: &[(&str, &str)],
) -> PyResult<Bound<'py, PyAny>> {
    let numpy = py.import("numpy")?;
    let dtype = numpy.call_method1("dtype", (fields.to_vec(),))?;
    numpy.call_method1("frombuffer", (bytes, dtype))
}

/// All orders, in the order asked for; `side` 1 buys and 2 sells, `kind`, `time_in_force` and `status` count as the core does.
pub fn orders<'py>(py: Python<'py>, core: &Dispatcher<PyHost>) -> PyResult<Bound<'py, PyAny>> {
    let row = |order: &Order| {
        let terms = &order.terms;
        [
            pair(order.key.strategy, order.key.number),
            pair(order.instrument, order.side as u32),
            pair(terms.kind as u32, terms.time_in_force as u32),
            pair(order.status as u32, order.gate as u32),
            order.made_position,
            order.made_ns as u64,
            order.changed_position,
            order.changed_ns as u64,
            terms.expires_ns as u64,
            order.quantity.to_bits(),
            order.filled.to_bits(),
            terms.limit.to_bits(),
            terms.stop.to_bits(),
            order.price.to_bits(),
            order.fee.to_bits(),
        ]
    };
    let bytes = core.desk().with_orders(|book| rows(py, book.all().iter().map(row)))?;
    structured(py, bytes, &ORDER_FIELDS)
}

/// All fills, in the order made.
pub fn fills<'py>(py: Python<'py>, core: &Dispatcher<PyHost>) -> PyResult<Bound<'py, PyAny>> {
    let row = |fill: &Fill| {
        [
            pair(fill.order.strategy, fill.order.number),
            pair(fill.instrument, fill.side as u32),
            u64::from(fill.is_maker),
            fill.made_position,
            fill.position,
            fill.ts_ns as u64,
            fill.quantity.to_bits(),
            fill.price.to_bits(),
            fill.fee.to_bits(),
            fill.realised.to_bits(),
            fill.rate.to_bits(),
        ]
    };
    structured(py, rows(py, core.fills().iter().map(row))?, &FILL_FIELDS)
}

/// What was held before the run began.
fn held<'py>(py: Python<'py>, core: &Dispatcher<PyHost>) -> PyResult<Bound<'py, PyAny>> {
    let row = |held: &Held| {
        let owner = pair(held.strategy, held.instrument);
        [owner, held.net.to_bits(), held.price.to_bits(), held.ts_ns as u64]
    };
    let bytes = core.desk().with_portfolio(|portfolio| rows(py, portfolio.held().iter().map(row)))?;
    structured(py, bytes, &HELD_FIELDS)
}

/// What strategies were worth; the strategy of all together is 2^32 - 1.
fn worth<'py>(py: Python<'py>, core: &Dispatcher<PyHost>) -> PyResult<Bound<'py, PyAny>> {
    let row = |point: &WorthPoint| {
        [point.ts_ns as u64, point.equity.to_bits(), point.gross.to_bits(), u64::from(point.strategy)]
    };
    structured(py, rows(py, core.worth_points().iter().map(row))?, &WORTH_FIELDS)
}

fn position<'py>(
    py: Python<'py>,
    id: &str,
    currency: &str,
    position: &Position,
    mark: f64,
    multiplier: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let row = PyDict::new(py);
    row.set_item("instrument", id)?;
    row.set_item("currency", currency)?;
    row.set_item("net", position.net)?;
    row.set_item("average_price", position.average_price)?;
    row.set_item("realised", position.realised)?;
    row.set_item("unrealised", position.unrealised(mark, multiplier))?;
    row.set_item("fees", position.fees)?;
    row.set_item("fills", position.fills)?;
    row.set_item("mark", mark)?;
    Ok(row)
}

/// Account, state and positions (those with fills, or held from before) of each strategy.
pub fn strategies<'py>(
    py: Python<'py>,
    core: &mut Dispatcher<PyHost>,
    names: &[String],
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (index, account) in core.snapshot().strategies.iter().enumerate() {
        let row = PyDict::new(py);
        row.set_item("name", names.get(index))?;
        row.set_item("state", account.state.name())?;
        add_account(&row, account)?;
        row.set_item("positions", positions(py, core, index as u32)?)?;
        list.append(row)?;
    }
    Ok(list)
}

fn positions<'py>(py: Python<'py>, core: &Dispatcher<PyHost>, strategy: u32) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    core.desk().with_portfolio(|portfolio| {
        for (index, held) in portfolio.of_strategy(strategy).iter().enumerate() {
            if held.fills > 0 || held.net != 0.0 {
                let info = &core.desk().instruments()[index];
                let multiplier = core.desk().specification(index as u32).map_or(1.0, |rules| rules.multiplier);
                let mark = portfolio.mark(index as u32).price;
                list.append(position(py, &info.id, &info.currency, held, mark, multiplier)?)?;
            }
        }
        Ok(list)
    })
}

/// How the run ended by `outcome`, if it did; `feeds` are the feeds by number, as a user knows them.
pub fn ended(
    py: Python<'_>,
    core: &Dispatcher<PyHost>,
    outcome: Outcome,
    feeds: &[String],
) -> PyResult<Option<&'static str>> {
    match outcome {
        Outcome::Slice | Outcome::Pulled | Outcome::Idle | Outcome::Reached => Ok(None),
        Outcome::End => Ok(Some("end")),
        Outcome::Stopped => Ok(Some("stopped")),
        Outcome::Interrupted => Ok(Some("interrupted")),
        Outcome::Failed(error) => match core.host_failure() {
            Some(failure) => Err(failure.clone_ref(py)),
            None => Err(run_failed(py, &error, feeds)),
        },
    }
}

/// What strategies raised, with the input that caused it.
pub fn errors<'py>(
    py: Python<'py>,
    core: &Dispatcher<PyHost>,
    names: &[String],
    table: &RunTable,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    let traceback = py.import("traceback")?;
    for error in core.errors() {
        let row = PyDict::new(py);
        row.set_item("strategy", names.get(error.strategy as usize))?;
        row.set_item("position", error.position)?;
        row.set_item("ts_ns", error.now_ns)?;
        row.set_item("handler", error.handler)?;
        let tick = error.input.map(|tick| crate::tick::make(py, &tick, table.id(tick.instrument).bind(py)));
        row.set_item("tick", tick.transpose()?)?;
        match &error.failure {
            Some(failure) => {
                let value = failure.value(py);
                row.set_item("type", value.get_type().name()?)?;
                row.set_item("message", value.str().map_or_else(|_| String::new(), |text| text.to_string()))?;
                value.setattr("__traceback__", failure.traceback(py))?;
                let lines: Vec<String> = traceback.call_method1("format_exception", (value,))?.extract()?;
                row.set_item("traceback", lines.concat())?;
                row.set_item("exception", value)?;
            }
            None => {
                row.set_item("type", if error.handler == "loop" { "NoProgress" } else { "Failed" })?;
                row.set_item("message", &*error.reason)?;
                row.set_item("traceback", "")?;
                row.set_item("exception", py.None())?;
            }
        }
        list.append(row)?;
    }
    Ok(list)
}
