//! Operator control as Python opens it: the trading gate, orders of any strategy, the socket.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use tickrail_core::control::{ControlServer, Operator, View};
use tickrail_core::dispatch::Desk;
use tickrail_core::risk::Refused;
use tickrail_core::trading::{Change, GateFile, GateFileError, Trading, TradingGate};
use tickrail_core::venue::{Order, OrderKey};

use crate::dispatcher::Dispatcher;
use crate::errors::{not_begun, refused};
use crate::gil::{GilBound, thread_mark};
use crate::lanes::{CommandLanes, Receivers};
use crate::risk::KeptLimit;

/// An order that closes a position.
type Closing = (u32, u32, String, f64);

/// What an operator does to a run: the trading gate from any thread, orders and positions on the dispatch thread.
#[pyclass(frozen, module = "tickrail._native")]
pub struct Operations {
    pub(crate) gate: Arc<TradingGate>,
    /// One for all who write: two at once would take each other's half away.
    file: Option<Arc<GateFile>>,
    pub(crate) here: GilBound<Here>,
}

pub(crate) struct Here {
    pub(crate) desk: Rc<Desk>,
    thread: Rc<std::cell::Cell<usize>>,
    receivers: Rc<Receivers>,
}

impl Operations {
    fn keep(&self, py: Python<'_>, change: &Change) -> PyResult<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        py.detach(|| file.save(&self.gate, change)).map(|()| true).map_err(|error| gate_error(&error))
    }

    pub(crate) fn desk<'py>(&'py self, py: Python<'py>) -> PyResult<&'py Rc<Desk>> {
        let here = self.here.get(py);
        if here.thread.get() == thread_mark() {
            Ok(&here.desk)
        } else {
            Err(PyRuntimeError::new_err("only the dispatch thread changes orders: send a command"))
        }
    }
}

fn gate_error(error: &GateFileError) -> PyErr {
    PyOSError::new_err(error.to_string())
}

#[pymethods]
impl Operations {
    /// What orders may do: ``ACTIVE``, ``REDUCING`` or ``HALTED``.
    #[getter]
    fn trading(&self) -> &'static str {
        self.gate.state().name()
    }

    /// The largest quantity of one order; infinite: any.
    #[getter]
    fn max_order_quantity(&self) -> f64 {
        self.gate.max_order_quantity()
    }

    /// Set what orders may do, from the next order on.
    fn set_trading(&self, state: &str) -> PyResult<()> {
        let named = Trading::from_name(state);
        self.gate.set(named.ok_or_else(|| PyValueError::new_err(format!("{state:?} is no state of trading")))?);
        Ok(())
    }

    /// Set the largest quantity of one order.
    fn set_max_order_quantity(&self, quantity: f64) -> PyResult<()> {
        if quantity > 0.0 {
            self.gate.set_max_order_quantity(quantity);
            return Ok(());
        }
        Err(PyValueError::new_err(format!("max_order_quantity is {quantity}: expected a number above zero")))
    }

    /// Why it was set so.
    #[getter]
    fn reason(&self) -> String {
        self.gate.kept().reason
    }

    /// Keep that trading is stopped, as it is, and why; whether there is a file that keeps it for the next process. What is
    /// kept is never weakened. Raises ``OSError``; the reason holds for this run all the same.
    fn keep_halt(&self, py: Python<'_>, reason: &str) -> PyResult<bool> {
        self.gate.keep(|kept| reason.clone_into(&mut kept.reason));
        self.keep(py, &Change::Halted)
    }

    /// Keep that trading goes on, and why, likewise. Raises ``OSError``, and nothing has changed.
    fn keep_resumed(&self, py: Python<'_>, reason: &str) -> PyResult<bool> {
        let is_kept = self.keep(py, &Change::Resumed { reason: reason.to_owned() })?;
        self.gate.keep(|kept| reason.clone_into(&mut kept.reason));
        Ok(is_kept)
    }

    /// Keep limits, ``(table, key, value)`` each, and the largest quantity of one order, where it is given, likewise. Raises
    /// ``OSError``, and nothing has changed.
    fn keep_limits(
        &self,
        py: Python<'_>,
        max_order_quantity: Option<f64>,
        limits: Vec<(String, String, Option<f64>)>,
    ) -> PyResult<bool> {
        let limits: BTreeMap<_, _> =
            limits.into_iter().map(|(table, key, value)| ((table, key), value.unwrap_or(f64::INFINITY))).collect();
        let is_kept = self.keep(py, &Change::Limits { max_order_quantity, limits: limits.clone() })?;
        self.gate.keep(|kept| kept.limits.extend(limits));
        Ok(is_kept)
    }

    /// Take what the last process kept, and return the limits that it had changed, ``(table, key, value, whether it is set)``
    /// each: a table may be gone. What cannot be read halts trading and raises ``OSError``. Before the run.
    fn load(&self, py: Python<'_>) -> PyResult<Vec<KeptLimit>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        py.detach(|| file.load(&self.gate)).map_err(|error| gate_error(&error))?;
        Ok(self.set_kept_limits(py))
    }

    /// Tell a strategy, by its number, of ``event`` in its ``on_event``, at the end of the step: what that raises is the
    /// strategy's own failure. Dispatch thread only.
    fn tell(&self, py: Python<'_>, strategy: u32, event: Py<PyAny>) -> PyResult<()> {
        let number = self.here.get(py).receivers.keep(event);
        self.desk(py)?.tell(strategy, number);
        Ok(())
    }

    /// Take back every open order of a strategy and of an instrument, by their numbers where one is named; how many.
    #[pyo3(signature = (strategy=None, instrument=None))]
    fn cancel_all(&self, py: Python<'_>, strategy: Option<u32>, instrument: Option<u32>) -> PyResult<usize> {
        Ok(self.desk(py)?.cancel_all(strategy, instrument))
    }

    /// Take back one order; whether it was open. Raises ``OrderRefused`` for an order that there never was.
    fn cancel(&self, py: Python<'_>, strategy: u32, name: &str, order: u32) -> PyResult<bool> {
        self.desk(py)?.cancel_one(strategy, order).map_err(|refusal| refused(py, name, &refusal))
    }

    /// Order what brings positions to zero, counting what is on its way; the orders that takes: strategy, number, instrument
    /// and how much, below zero to sell.
    #[pyo3(signature = (strategy=None, instrument=None))]
    fn close(&self, py: Python<'_>, strategy: Option<u32>, instrument: Option<u32>) -> PyResult<Vec<Closing>> {
        let desk = self.desk(py)?;
        let keys = desk.flatten(strategy, instrument).map_err(|refusal| refused(py, "operator", &refusal))?;
        let row = |order: &Order| {
            let instrument = desk.instruments()[order.instrument as usize].id.clone();
            (order.key.strategy, order.key.number, instrument, order.signed_left())
        };
        Ok(desk.with_orders(|book| keys.iter().filter_map(|&key| book.get(key)).map(row).collect()))
    }

    /// Why the gate has refused an order; `None`: it has not. Dispatch thread only.
    fn refusal(&self, py: Python<'_>, strategy: u32, order: u32) -> PyResult<Option<String>> {
        let key = OrderKey { strategy, number: order };
        Ok(self.desk(py)?.with_risk(|risk| risk.refusal(key).map(Refused::told)))
    }

    /// How many orders of a strategy are open that were made before this step. Dispatch thread only.
    fn open_before(&self, py: Python<'_>, strategy: u32) -> PyResult<usize> {
        let desk = self.desk(py)?;
        let is_before = |order: &&&Order| order.made_position < desk.position();
        Ok(desk.with_orders(|book| book.open_orders(Some(strategy)).iter().filter(is_before).count()))
    }

    /// Where everything stands: loop position, clock, and per strategy its state, open orders and positions as
    /// ``(instrument, units)``. Dispatch thread only.
    #[expect(clippy::type_complexity, reason = "rows for a table, which have no name of their own")]
    fn snapshot(&self, py: Python<'_>) -> PyResult<(u64, i64, Vec<(&'static str, usize, Vec<(String, f64)>)>)> {
        let desk = self.desk(py)?;
        let rows = (0..desk.strategy_count()).map(|strategy| {
            let open = desk.with_orders(|book| book.open_count(strategy)) as usize;
            let held = |index: usize| {
                let net = desk.holding(strategy, index as u32).map_or(0.0, |position| position.net);
                (net != 0.0).then(|| (desk.instruments()[index].id.clone(), net))
            };
            let positions = (0..desk.instruments().len()).filter_map(held).collect();
            (desk.state(strategy).name(), open, positions)
        });
        Ok((desk.position(), desk.now_ns(), rows.collect()))
    }
}

/// Why a run could not begin with what ``file`` keeps; ``None``: it can, or there is none.
#[pyfunction]
fn trading_problem(file: PathBuf) -> Option<String> {
    GateFile::new(file).load(&TradingGate::default()).err().map(|error| error.to_string())
}

/// The operations of a run; ``file`` keeps the state of trading over restarts.
#[pyfunction]
#[pyo3(signature = (dispatcher, file=None))]
fn operations(py: Python<'_>, dispatcher: &Dispatcher, file: Option<PathBuf>) -> Operations {
    let inside = dispatcher.inside.get(py);
    let here = Here {
        desk: Rc::clone(&inside.desk),
        thread: Rc::clone(&inside.thread),
        receivers: Rc::clone(&inside.receivers),
    };
    Operations {
        gate: Arc::clone(inside.desk.gate()),
        file: file.map(|file| Arc::new(GateFile::new(file))),
        here: GilBound::new(here),
    }
}

/// A control socket, served by threads that need neither the loop nor the interpreter.
#[pyclass(frozen, module = "tickrail._native")]
pub struct ControlSocket(Mutex<Option<ControlServer>>);

#[pymethods]
impl ControlSocket {
    /// Open a socket at ``path`` for the run called ``run``; ``view()`` says how it is doing, as JSON. Raises ``OSError``
    /// where another process serves the socket.
    #[new]
    fn new(
        py: Python<'_>,
        lanes: &CommandLanes,
        operations: &Operations,
        path: PathBuf,
        run: String,
        view: Py<PyAny>,
    ) -> PyResult<Self> {
        let (gate, sender) = (Arc::clone(&operations.gate), lanes.sender.clone());
        let file = operations.file.clone();
        let view: View = Box::new(move || {
            let told = Python::try_attach(|py| view.call0(py).and_then(|text| text.extract::<String>(py)));
            let told = told.ok_or_else(|| "the interpreter has ended".to_owned())?;
            told.map_err(|error| error.to_string())
        });
        let standing = Arc::clone(operations.here.get(py).desk.standing());
        let open = Box::new(move || standing.open_orders());
        let operator = Arc::new(Operator::new(run, gate, file, sender, view, open));
        let server = py.detach(|| ControlServer::open(path, operator)).map_err(|error| not_begun(py, error))?;
        Ok(Self(Mutex::new(Some(server))))
    }

    /// Take no more connections, and remove the socket. Idempotent.
    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            let server = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(server);
        });
    }

    /// In a child that was forked off, where none of its threads is: it is the parent's, and dropping it would end nothing and
    /// wait for nobody.
    fn forget(&self) {
        if let Ok(mut server) = self.0.try_lock() {
            std::mem::forget(server.take());
        }
    }
}

/// Adds the classes to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Operations>()?;
    m.add_class::<ControlSocket>()?;
    m.add_function(wrap_pyfunction!(trading_problem, m)?)?;
    m.add_function(wrap_pyfunction!(operations, m)?)
}
