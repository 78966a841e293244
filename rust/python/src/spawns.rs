//! Coroutines of strategies: what `spawn` gives, what their owner is told, and the way to whoever runs them.

use std::rc::Rc;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use tickrail_core::dispatch::{Fault, Settled, SpawnKey};

use crate::errors::hinted;
use crate::gil::GilBound;
use crate::host::{Registered, fault};
use crate::strategy::Face;

/// A coroutine that was asked for, and who is told of its result.
pub struct Spawned {
    /// Until it begins.
    coroutine: Option<Py<PyAny>>,
    /// `None`: `on_event`.
    callback: Option<Py<PyAny>>,
}

/// A coroutine that a strategy has begun with ``spawn``.
#[pyclass(frozen, module = "tickrail")]
pub struct SpawnHandle {
    face: GilBound<Rc<Face>>,
    key: SpawnKey,
}

#[pymethods]
impl SpawnHandle {
    /// Cancel the coroutine at the end of the step: its result does not come. Idempotent.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let face = self.face.get(py);
        face.check_thread()?;
        if !self.done(py) {
            face.desk.cancel_spawn(self.key);
        }
        Ok(())
    }

    /// Number of the coroutine within its strategy.
    #[getter]
    fn number(&self) -> u32 {
        self.key.number
    }

    /// Whether its result has come, or will not come any more.
    #[getter]
    fn done(&self, py: Python<'_>) -> bool {
        !self.face.get(py).spawned.borrow().contains_key(&self.key.number)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("SpawnHandle(number={}, done={})", self.key.number, if self.done(py) { "True" } else { "False" })
    }
}

/// What came of a coroutine: ``value``, or ``error`` where it raised.
#[pyclass(frozen, module = "tickrail")]
pub struct SpawnResult {
    /// Number of the coroutine within its strategy, as its handle has it.
    #[pyo3(get)]
    number: u32,
    /// What it returned; ``None`` where it raised.
    #[pyo3(get)]
    value: Py<PyAny>,
    /// What it raised, or ``None``.
    #[pyo3(get)]
    error: Option<Py<PyAny>>,
    /// When the strategy is told, ns UTC.
    #[pyo3(get)]
    ts_ns: i64,
}

#[pymethods]
impl SpawnResult {
    /// What it returned; raises what it raised.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match &self.error {
            Some(error) => Err(PyErr::from_value(error.bind(py).clone())),
            None => Ok(self.value.clone_ref(py)),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (name, shown) = match &self.error {
            Some(error) => ("error", error.bind(py).repr()?),
            None => ("value", self.value.bind(py).repr()?),
        };
        Ok(format!("SpawnResult(number={}, {name}={shown})", self.number))
    }
}

/// `Strategy.spawn`: asks for `coroutine`, which is closed where that is refused.
pub fn ask(
    face: PyResult<Rc<Face>>,
    coroutine: &Bound<'_, PyAny>,
    callback: Option<Py<PyAny>>,
) -> PyResult<SpawnHandle> {
    check_coroutine(coroutine)?;
    let asked = face.and_then(|face| enter(&face, coroutine, callback));
    if asked.is_err() {
        // Or the interpreter would warn that nobody awaited it.
        let _ = coroutine.call_method0("close");
    }
    asked
}

fn check_coroutine(coroutine: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = coroutine.py();
    if py.import("inspect")?.call_method1("iscoroutine", (coroutine,))?.is_truthy()? {
        return Ok(());
    }
    let message = format!("spawn takes a coroutine; this is a {}", coroutine.get_type().name()?);
    if coroutine.is_callable() {
        return Err(hinted(py, "HandlerError", &message, "call the async function: self.spawn(self.fetch())"));
    }
    Err(hinted(py, "HandlerError", &message, "wrap it in an async function: async def fetch(): return await ..."))
}

fn enter(face: &Rc<Face>, coroutine: &Bound<'_, PyAny>, callback: Option<Py<PyAny>>) -> PyResult<SpawnHandle> {
    let py = coroutine.py();
    if face.compiled {
        let message = format!("strategy {}: a compiled strategy cannot spawn coroutines", face.name);
        return Err(hinted(py, "HandlerError", &message, "let a strategy in plain Python do it"));
    }
    if face.spawner.is_none() {
        return Err(PyRuntimeError::new_err("this run was made without a spawner: tickrail.TickDispatcher makes one"));
    }
    if let Some(callback) = callback.as_ref().filter(|callback| !callback.bind(py).is_callable()) {
        let shown = callback.bind(py).repr()?;
        return Err(PyTypeError::new_err(format!("spawn calls its callback; {shown} cannot be called")));
    }
    let key = face.answer(py, face.desk.spawn(face.strategy))?;
    let spawned = Spawned { coroutine: Some(coroutine.clone().unbind()), callback };
    face.spawned.borrow_mut().insert(key.number, spawned);
    Ok(SpawnHandle { face: GilBound::new(Rc::clone(face)), key })
}

fn spawner<'py>(py: Python<'py>, face: &Face) -> Option<Bound<'py, PyAny>> {
    face.spawner.as_ref().map(|spawner| spawner.bind(py).clone())
}

/// The coroutine begins.
pub fn begin(py: Python<'_>, face: &Face, key: SpawnKey) -> Result<(), Fault<PyErr>> {
    let coroutine = face.spawned.borrow_mut().get_mut(&key.number).and_then(|spawned| spawned.coroutine.take());
    let (Some(spawner), Some(coroutine)) = (spawner(py, face), coroutine) else { return Ok(()) };
    spawner.call_method1("start", (key.strategy, key.number, &face.name, coroutine)).map(drop).map_err(fault)
}

/// Waits for it; whoever runs it gives the GIL up for that.
pub fn settle(py: Python<'_>, face: &Face, key: SpawnKey) -> Result<Settled, Fault<PyErr>> {
    let Some(spawner) = spawner(py, face) else { return Ok(Settled::Pending) };
    let failed: Option<bool> = spawner
        .call_method1("settle", (key.strategy, key.number))
        .and_then(|answer| answer.extract())
        .map_err(fault)?;
    Ok(failed.map_or(Settled::Pending, |failed| Settled::Ended { failed }))
}

/// Tells the owner: its callback, or `on_event`; an exception that neither takes fails the strategy.
pub fn tell(py: Python<'_>, registered: &Registered, key: SpawnKey) -> Result<(), Fault<PyErr>> {
    let face = &registered.face;
    let spawned = face.spawned.borrow_mut().remove(&key.number);
    let (Some(spawner), Some(spawned)) = (spawner(py, face), spawned) else { return Ok(()) };
    let (value, error): (Py<PyAny>, Option<Py<PyAny>>) = spawner
        .call_method1("take", (key.strategy, key.number))
        .and_then(|outcome| outcome.extract())
        .map_err(fault)?;
    let unseen = error.as_ref().map(|error| error.clone_ref(py));
    let event = SpawnResult { number: key.number, value, error, ts_ns: face.desk.now_ns() };
    let event = Py::new(py, event).map_err(fault)?;
    match (spawned.callback, registered.handlers.event(), unseen) {
        (Some(callback), ..) => callback.call1(py, (event,)).map(drop).map_err(fault),
        // SAFETY: `event` lives until the end of this function.
        (None, Some(method), _) => unsafe { method.call(py, event.as_ptr()) }.map_err(fault),
        (None, None, Some(error)) => Err(fault(PyErr::from_value(error.into_bound(py)))),
        (None, None, None) => Ok(()),
    }
}

/// Nobody wants it any more.
pub fn forget(py: Python<'_>, face: &Face, key: SpawnKey) {
    let Some(spawned) = face.spawned.borrow_mut().remove(&key.number) else { return };
    let answer = match spawned.coroutine {
        Some(coroutine) => coroutine.call_method0(py, "close").map(drop),
        None => spawner(py, face)
            .map_or(Ok(()), |spawner| spawner.call_method1("cancel", (key.strategy, key.number)).map(drop)),
    };
    if let Err(error) = answer {
        error.write_unraisable(py, None);
    }
}

/// Adds the classes to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<SpawnHandle>()?;
    m.add_class::<SpawnResult>()
}
