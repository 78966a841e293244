//! Timers as Python sees them: handles, listings, events, and what a timer calls.

use std::cell::RefCell;
use std::rc::Rc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use tickrail_core::dispatch::TimerKey;
use tickrail_core::timer::{Fired, Schedule, TimerId, TimerInfo as CoreInfo};

use crate::errors::hinted;
use crate::gil::GilBound;
use crate::strategy::Face;

/// What a timer calls, and its name as Python's own text.
#[derive(Default)]
pub struct Callback {
    rank: u64,
    call: Option<Py<PyAny>>,
    name: Option<Py<PyString>>,
}

/// What the timers of a run call, by slot; a timer without a callable goes to `on_timer`.
///
/// By slot and not by name, as setting and firing a timer are to cost no hashing.
#[derive(Default)]
pub struct Callbacks(RefCell<Vec<Callback>>);

impl Callbacks {
    /// Puts `callback` in the place of `id`. What stood there is dropped when nothing is borrowed: its end may call Python.
    fn put(&self, id: TimerId, callback: Callback) {
        let (slot, mut all) = (id.slot() as usize, self.0.borrow_mut());
        if slot >= all.len() {
            if callback.call.is_none() && callback.name.is_none() {
                return;
            }
            all.resize_with(slot + 1, Callback::default);
        }
        let before = std::mem::replace(&mut all[slot], Callback { rank: id.rank(), ..callback });
        drop(all);
        drop(before);
    }

    /// What timer `id` calls, which is gone with its last firing.
    fn of(&self, py: Python<'_>, id: TimerId, is_last: bool) -> Callback {
        let mut all = self.0.borrow_mut();
        match all.get_mut(id.slot() as usize).filter(|callback| callback.rank == id.rank()) {
            None => Callback::default(),
            Some(callback) if is_last => std::mem::take(callback),
            Some(Callback { rank, call, name }) => Callback {
                rank: *rank,
                call: call.as_ref().map(|call| call.clone_ref(py)),
                name: name.as_ref().map(|name| name.clone_ref(py)),
            },
        }
    }
}

/// Sets a timer of the strategy behind `face`.
pub fn set(
    py: Python<'_>,
    face: &Rc<Face>,
    schedule: Schedule,
    call: Option<Py<PyAny>>,
    name: Option<Bound<'_, PyString>>,
) -> PyResult<TimerHandle> {
    check_callable(py, face, call.as_ref())?;
    let schedule = match &name {
        Some(name) => schedule.named(name.to_str()?.into()),
        None => schedule,
    };
    let timer = face.answer(py, face.desk.schedule(face.strategy, &schedule))?;
    let name = name.map(Bound::unbind);
    face.callbacks.put(timer.id, Callback { rank: 0, call, name: name.as_ref().map(|name| name.clone_ref(py)) });
    Ok(TimerHandle { face: GilBound::new(Rc::clone(face)), timer, name })
}

fn check_callable(py: Python<'_>, face: &Face, call: Option<&Py<PyAny>>) -> PyResult<()> {
    let Some(call) = call.map(|call| call.bind(py)) else {
        if face.has_on_timer {
            return Ok(());
        }
        let message = format!("strategy {}: a timer without a callback calls on_timer, which is missing", face.name);
        return Err(hinted(py, "HandlerError", &message, "define on_timer(self, event), or give a callback"));
    };
    if !call.is_callable() {
        return Err(PyTypeError::new_err(format!("a timer calls its callback; {} cannot be called", call.repr()?)));
    }
    if face.compiled {
        let message = format!("strategy {}: timers of a compiled strategy call its on_timer", face.name);
        return Err(hinted(py, "HandlerError", &message, "leave the callback out"));
    }
    Ok(())
}

/// The timers of the strategy behind `face`, in the order in which they will fire.
pub fn listed(py: Python<'_>, face: &Face) -> PyResult<Vec<Py<TimerInfo>>> {
    face.desk.timers_of(face.strategy).into_iter().map(|info| Py::new(py, TimerInfo(info))).collect()
}

/// Takes the timer called `name` away; whether there was one.
pub fn cancel_named(face: &Face, name: &str) -> bool {
    let timer = face.desk.timer_named(face.strategy, name);
    timer.is_some_and(|timer| cancel(face, timer))
}

fn cancel(face: &Face, timer: TimerKey) -> bool {
    let was_set = face.desk.cancel_timer(timer);
    if was_set {
        face.callbacks.put(timer.id, Callback::default());
    }
    was_set
}

/// What `fired` calls, and the event that it is called with.
pub fn event_of(py: Python<'_>, face: &Face, fired: &Fired) -> PyResult<(Option<Py<PyAny>>, Py<TimerEvent>)> {
    let Callback { call, name, .. } = face.callbacks.of(py, fired.id, fired.is_last);
    let event = TimerEvent {
        number: fired.number,
        due_ns: fired.due_ns,
        now_ns: face.desk.now_ns(),
        count: fired.count,
        missed: fired.missed,
        name,
    };
    Ok((call, Py::new(py, event)?))
}

/// A timer that was set; as a context manager it cancels on exit.
#[pyclass(frozen, module = "tickrail")]
pub struct TimerHandle {
    face: GilBound<Rc<Face>>,
    timer: TimerKey,
    name: Option<Py<PyString>>,
}

#[pymethods]
impl TimerHandle {
    /// Take the timer away; whether it was set. Idempotent, also once the run is over.
    fn cancel(&self, py: Python<'_>) -> PyResult<bool> {
        let face = self.face.get(py);
        if !face.is_going_on() {
            return Ok(false);
        }
        face.check_thread()?;
        Ok(cancel(face, self.timer))
    }

    /// What is known of the timer; ``None`` once it fired for the last time, was cancelled, or the run is over.
    fn info(&self, py: Python<'_>) -> PyResult<Option<TimerInfo>> {
        let face = self.face.get(py);
        if !face.is_going_on() {
            return Ok(None);
        }
        face.check_thread()?;
        Ok(face.desk.timer(self.timer).map(TimerInfo))
    }

    /// Number of the timer within its strategy.
    #[getter]
    fn number(&self) -> u32 {
        self.timer.number
    }

    /// Its name, or ``None``.
    #[getter]
    fn name(&self, py: Python<'_>) -> Option<Py<PyString>> {
        self.name.as_ref().map(|name| name.clone_ref(py))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.cancel(py).map(drop)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("TimerHandle(number={}, name={})", self.timer.number, shown(py, self.name.as_ref())?))
    }
}

/// A timer that is set, as a listing shows it.
#[pyclass(frozen, module = "tickrail._native")]
pub struct TimerInfo(CoreInfo);

#[pymethods]
impl TimerInfo {
    /// Number of the timer within its strategy.
    #[getter]
    fn number(&self) -> u32 {
        self.0.number
    }
    /// Its name, or ``None``.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }
    /// When it fires next, ns UTC.
    #[getter]
    fn due_ns(&self) -> i64 {
        self.0.due_ns
    }
    /// Its period; ``None``: it fires once.
    #[getter]
    fn interval_ns(&self) -> Option<i64> {
        self.0.interval_ns
    }
    /// The first time at which it does not fire any more; ``None``: there is none.
    #[getter]
    fn end_ns(&self) -> Option<i64> {
        (self.0.end_ns != i64::MAX).then_some(self.0.end_ns)
    }
    /// How often it has fired.
    #[getter]
    fn fired(&self) -> u64 {
        self.0.fired
    }
    /// How many of its times were merged into a later one.
    #[getter]
    fn missed(&self) -> u64 {
        self.0.missed
    }

    fn __repr__(&self) -> String {
        let optional = |value: Option<i64>| value.map_or_else(|| "None".to_owned(), |value| value.to_string());
        format!(
            "TimerInfo(number={}, name={}, due_ns={}, interval_ns={}, end_ns={}, fired={}, missed={})",
            self.0.number,
            self.name().map_or_else(|| "None".to_owned(), |name| format!("{name:?}")),
            self.0.due_ns,
            optional(self.interval_ns()),
            optional(self.end_ns()),
            self.0.fired,
            self.0.missed
        )
    }
}

/// A timer fired.
#[pyclass(frozen, module = "tickrail")]
pub struct TimerEvent {
    /// Number of the timer within its strategy.
    #[pyo3(get)]
    number: u32,
    /// The time it was set for, ns UTC.
    #[pyo3(get)]
    due_ns: i64,
    /// The clock of the step, ns UTC: live a little later than ``due_ns``, in a simulation the same, but for timers that
    /// were set for the past.
    #[pyo3(get)]
    now_ns: i64,
    /// Which of the timer's times this is, from 1.
    #[pyo3(get)]
    count: u64,
    /// How many of its times before this one came too late to fire on their own (live).
    #[pyo3(get)]
    missed: u64,
    /// The timer's name, or ``None``.
    #[pyo3(get)]
    name: Option<Py<PyString>>,
}

#[pymethods]
impl TimerEvent {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let name = shown(py, self.name.as_ref())?;
        let Self { number, due_ns, now_ns, count, missed, .. } = self;
        Ok(format!(
            "TimerEvent(number={number}, name={name}, due_ns={due_ns}, now_ns={now_ns}, count={count}, missed={missed})"
        ))
    }
}

fn shown(py: Python<'_>, name: Option<&Py<PyString>>) -> PyResult<String> {
    name.map_or_else(|| Ok("None".to_owned()), |name| Ok(name.bind(py).repr()?.to_string()))
}

/// Adds the classes to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<TimerHandle>()?;
    m.add_class::<TimerInfo>()?;
    m.add_class::<TimerEvent>()
}
