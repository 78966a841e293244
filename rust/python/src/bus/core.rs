//! The hot half of `CommandBus`.

use std::cell::Cell;
use std::sync::Arc;

use pyo3::exceptions::{PyTimeoutError, PyTypeError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use tickrail_core::command::CommandKind;

use super::envelope::Envelope;
use super::plan::CommandPlan;
use super::receipt::{DONE, Receipt};
use super::trace::{Origin, Trace};
use super::within::LastContext;
use crate::feed::Handover;
use crate::gil::GilBound;
use crate::host::ends_run;
use crate::lanes::{CommandLanes, FULL, SENT};

/// Where a caller stands, as `standing` says it: on the dispatch thread, or where there are no lanes.
const ON_IT: u8 = 1;
/// On another thread than the one on which the run goes on.
const ELSEWHERE: u8 = 2;

/// The hot half of ``CommandBus``, which derives from it: what is not plain goes to the methods with an underscore.
#[pyclass(frozen, subclass, module = "tickrail._native")]
pub struct CommandBusCore {
    /// By command type: what is prepared for it, where its handler is none of asyncio's.
    plans: Py<PyDict>,
    /// By event type: a tuple of subscribers.
    hearers: Py<PyDict>,
    way: Way,
    inside: GilBound<Inside>,
}

/// How commands come to the loop.
enum Way {
    /// There is no loop.
    None,
    Lanes(Py<CommandLanes>),
    /// A test's.
    Other(Py<PyAny>),
}

struct Inside {
    ids: Cell<u64>,
    is_closed: Cell<bool>,
    context: LastContext,
}

impl CommandBusCore {
    fn plan<'py>(&self, command: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, CommandPlan>>> {
        let found = self.plans.bind(command.py()).get_item(command.get_type())?;
        found.map(|plan| plan.cast_into::<CommandPlan>().map_err(PyErr::from)).transpose()
    }

    fn standing(&self, py: Python<'_>) -> PyResult<u8> {
        match &self.way {
            Way::None => Ok(ON_IT),
            Way::Lanes(lanes) => lanes.get().standing(py),
            Way::Other(lanes) => lanes.call_method0(py, pyo3::intern!(py, "standing"))?.extract(py),
        }
    }

    fn next_id(&self, py: Python<'_>) -> u64 {
        let ids = &self.inside.get(py).ids;
        ids.set(ids.get() + 1);
        ids.get()
    }

    fn next_origin(&self, py: Python<'_>) -> PyResult<Origin> {
        Origin::of_next(py, self.next_id(py))
    }

    /// Calls the handler within the step that goes on.
    fn inline<'py>(
        slf: &Bound<'py, Self>,
        plan: &CommandPlan,
        command: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let given = plan.admitted(py, command)?;
        let (this, id) = (slf.get(), slf.get().next_id(py));
        let handler = || call(slf, plan.call.bind(py), plan.route.bind(py), &given);
        this.inside.get(py).context.within(py, |parent| parent.next(py, id), handler)
    }

    /// Calls the handler of a command that came by a lane. Ctrl-C and ``sys.exit`` go on to the loop; all else is the sender's.
    pub fn handle_one(slf: &Bound<'_, Self>, envelope: &Bound<'_, Envelope>) -> PyResult<()> {
        let (py, one) = (slf.py(), envelope.get());
        if !one.may_begin(py) {
            return Ok(());
        }
        let context = &slf.get().inside.get(py).context;
        context.within(
            py,
            |_| one.origin.copied(py),
            || {
                let (route, command) = (one.route.bind(py), one.command.bind(py));
                let result =
                    route.getattr(pyo3::intern!(py, "call")).and_then(|handler| call(slf, &handler, route, command));
                match result {
                    Ok(result) if is_future(&result)? => {
                        slf.call_method1(pyo3::intern!(py, "_settle_later"), (envelope, result)).map(drop)
                    }
                    Ok(result) => one
                        .receipt
                        .as_ref()
                        .map_or(Ok(()), |receipt| Receipt::settle(receipt.bind(py), DONE, result.unbind()).map(drop)),
                    Err(error) => {
                        slf.call_method1(pyo3::intern!(py, "_failed"), (envelope, error.value(py)))?;
                        if ends_run(py, &error) { Err(error) } else { Ok(()) }
                    }
                }
            },
        )
    }

    /// Whether a command that has its turn is still wanted.
    pub fn admits_one(slf: &Bound<'_, Self>, envelope: &Bound<'_, Envelope>) -> PyResult<bool> {
        let py = slf.py();
        if envelope.get().is_plainly_wanted(py) {
            return Ok(true);
        }
        slf.call_method1(pyo3::intern!(py, "_still_wanted"), (envelope,))?.extract()
    }
}

#[pymethods]
impl CommandBusCore {
    #[new]
    #[pyo3(signature = (lanes=None, **_others))]
    fn new(py: Python<'_>, lanes: Option<Bound<'_, PyAny>>, _others: Option<Bound<'_, PyDict>>) -> Self {
        let way = match lanes {
            None => Way::None,
            Some(lanes) => match lanes.cast_into::<CommandLanes>() {
                Ok(lanes) => Way::Lanes(lanes.unbind()),
                Err(other) => Way::Other(other.into_inner().unbind()),
            },
        };
        let inside = Inside { ids: Cell::new(0), is_closed: Cell::new(false), context: LastContext::default() };
        Self { plans: PyDict::new(py).unbind(), hearers: PyDict::new(py).unbind(), way, inside: GilBound::new(inside) }
    }

    /// What is prepared, by command type.
    #[getter]
    fn _plans(&self, py: Python<'_>) -> Py<PyDict> {
        self.plans.clone_ref(py)
    }

    /// Tuples of subscribers, by event type.
    #[getter]
    fn _hearers(&self, py: Python<'_>) -> Py<PyDict> {
        self.hearers.clone_ref(py)
    }

    /// Whether no more commands are taken.
    #[getter]
    fn _closed(&self, py: Python<'_>) -> bool {
        self.inside.get(py).is_closed.get()
    }

    #[setter(_closed)]
    fn set_closed(&self, py: Python<'_>, closed: bool) {
        self.inside.get(py).is_closed.set(closed);
    }

    /// Send ``command`` and wait for what its handler returns.
    ///
    /// On the dispatch thread the handler runs at once, within the present step; where what it asks for comes after the
    /// step (a pause, say), its answer is a future.
    ///
    /// Args:
    ///     command: What to do.
    ///     timeout_s: How long to wait; a command that had no turn by then is taken back, one whose handler is at work goes
    ///         on. 30 s where nothing else is said: longer than any step, shorter than a person's patience.
    ///     key: Of the same key, one command is handled, and others get its answer, also where nobody waited for it.
    ///     expires_s: How long the command is worth handling; ``None``: as long as the run goes on.
    ///     wait_s: How long to wait for room in the lane, as a part of ``timeout_s``.
    ///
    /// Raises:
    ///     WouldDeadlock: This thread is the one that would have to handle it.
    ///     CommandTimeout: There was no answer in time; ``begun`` says whether the handler is at work.
    ///     CommandExpired: Its turn came too late.
    ///     NotRunning: No run goes on that could handle it.
    ///     ShuttingDown: The run ended before its turn.
    ///     LaneFull: There is no room, and there was none within ``wait_s``.
    ///     CommandInvalid: A field is wrong.
    ///     Exception: Whatever the handler raises.
    #[pyo3(signature = (command, *, timeout_s=30.0, key=None, expires_s=None, wait_s=0.0))]
    fn execute<'py>(
        slf: &Bound<'py, Self>,
        command: Bound<'py, PyAny>,
        timeout_s: f64,
        key: Option<Bound<'py, PyAny>>,
        expires_s: Option<Bound<'py, PyAny>>,
        wait_s: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        if key.is_none()
            && let Some(plan) = this.plan(&command)?
        {
            let is_plain = expires_s.is_none() && wait_s <= 0.0 && !this.inside.get(py).is_closed.get();
            match (this.standing(py)?, &this.way) {
                (ON_IT, _) => return Self::inline(slf, plan.get(), &command),
                (ELSEWHERE, Way::Lanes(lanes)) if is_plain && !Self::must_not_wait(slf)? => {
                    return Self::ask(slf, plan.get(), lanes.get(), command, timeout_s);
                }
                _ => {}
            }
        }
        slf.call_method1(pyo3::intern!(py, "_execute"), (command, timeout_s, key, expires_s, wait_s))
    }

    /// Send ``command`` and want no answer: what goes wrong afterwards becomes a dead letter.
    ///
    /// Args:
    ///     command: What to do.
    ///     expires_s: See ``execute``.
    ///     wait_s: How long to wait for room in the lane.
    ///
    /// Raises:
    ///     LaneFull: There is no room.
    ///     ShuttingDown: The run is over.
    ///     CommandInvalid: A field is wrong.
    #[pyo3(signature = (command, *, expires_s=None, wait_s=0.0))]
    fn post(slf: &Bound<'_, Self>, command: Bound<'_, PyAny>, expires_s: Option<f64>, wait_s: f64) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let Way::Lanes(lanes) = &this.way else { return Self::post_slowly(slf, &command, expires_s, wait_s) };
        let (lanes, is_plain) = (lanes.get(), expires_s.is_none() && !this.inside.get(py).is_closed.get());
        let Some(plan) = this.plan(&command)?.filter(|_| is_plain) else {
            return Self::post_slowly(slf, &command, expires_s, wait_s);
        };
        if lanes.standing(py)? == ON_IT || wait_s > 0.0 {
            return Self::post_slowly(slf, &command, expires_s, wait_s);
        }
        Self::push(slf, plan.get(), lanes, command, None, wait_s)
    }

    /// Tell all subscribers: at once on the dispatch thread, else in the loop's order, by the NORMAL lane.
    fn publish(slf: &Bound<'_, Self>, event: Bound<'_, PyAny>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        if this.standing(py)? != ON_IT {
            return slf.call_method1(pyo3::intern!(py, "_publish"), (event,)).map(drop);
        }
        let Some(hearers) = this.hearers.bind(py).get_item(event.get_type())? else { return Ok(()) };
        for hearer in hearers.cast_into::<PyTuple>()?.iter() {
            match call_one(&hearer, &event) {
                Err(error) if !ends_run(py, &error) => {
                    slf.call_method1(pyo3::intern!(py, "_not_heard"), (hearer, &event, error.into_value(py)))?;
                }
                other => drop(other?),
            }
        }
        Ok(())
    }

    /// ``command`` on its way, as the next one that is sent.
    #[pyo3(signature = (route, command, receipt, expires_s))]
    fn _envelope(
        &self,
        py: Python<'_>,
        route: Py<PyAny>,
        command: Py<PyAny>,
        receipt: Option<Py<Receipt>>,
        expires_s: Option<f64>,
    ) -> PyResult<Envelope> {
        let expires_ns = match expires_s {
            None => 0,
            Some(s) => monotonic_ns(py)?.saturating_add((s * 1e9) as i64),
        };
        Ok(Envelope { route, command, receipt, origin: self.next_origin(py)?, expires_ns })
    }

    /// What is put into the context for the next command.
    fn _trace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Trace>> {
        self.next_origin(py)?.trace(py)
    }

    /// Whether a command that has its turn is still wanted; one that is not becomes no input of the loop.
    fn admits(slf: &Bound<'_, Self>, envelope: &Bound<'_, Envelope>) -> PyResult<bool> {
        Self::admits_one(slf, envelope)
    }

    /// Call the handler. Ctrl-C and ``sys.exit`` go on to the loop; all else is the sender's.
    fn handle(slf: &Bound<'_, Self>, envelope: &Bound<'_, Envelope>) -> PyResult<()> {
        Self::handle_one(slf, envelope)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.plans)?;
        visit.call(&self.hearers)?;
        // SAFETY: the collector runs with the GIL held.
        self.inside.get(unsafe { Python::assume_attached() }).context.traverse(&visit)?;
        match &self.way {
            Way::None => Ok(()),
            Way::Lanes(lanes) => visit.call(lanes),
            Way::Other(lanes) => visit.call(lanes),
        }
    }

    fn __clear__(&self, py: Python<'_>) {
        self.inside.get(py).context.clear();
    }
}

impl CommandBusCore {
    /// A place in the lane for `command`.
    fn push(
        slf: &Bound<'_, Self>,
        plan: &CommandPlan,
        lanes: &CommandLanes,
        command: Bound<'_, PyAny>,
        receipt: Option<Py<Receipt>>,
        wait_s: f64,
    ) -> PyResult<()> {
        let py = slf.py();
        let (payload, given) = plan.taken(py, command)?;
        let strategy = plan.strategy(py, &given)?;
        let (route, origin) = (plan.route.clone_ref(py), slf.get().next_origin(py)?);
        let envelope = Py::new(py, Envelope { route, command: given.unbind(), receipt, origin, expires_ns: 0 })?;
        let attachment = envelope.clone_ref(py).into_any();
        match lanes.send(py, plan.lane, strategy, payload.as_bytes(), attachment, wait_s, CommandKind::HOST)? {
            SENT => Ok(()),
            refusal => {
                let refused = (envelope, payload, refusal == FULL, wait_s);
                slf.call_method1(pyo3::intern!(py, "_not_sent"), refused).map(drop)
            }
        }
    }

    /// Sends `command` to the loop and waits for the answer.
    fn ask<'py>(
        slf: &Bound<'py, Self>,
        plan: &CommandPlan,
        lanes: &CommandLanes,
        command: Bound<'py, PyAny>,
        timeout_s: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let receipt = Bound::new(py, Receipt::pending(None))?;
        // Whoever looks keeps its processor, on which the system mostly wakes others: only where nobody has to be woken.
        let is_awake = |handover: &&Arc<Handover>| handover.is_waiting() && !lanes.sender.finds_it_asleep();
        let handover = lanes.handover.as_ref().filter(is_awake).map(AsRef::as_ref);
        if let Some(handover) = handover {
            handover.announce();
        }
        let sent = Self::push(slf, plan, lanes, command, Some(receipt.clone().unbind()), 0.0);
        if let (Err(_), Some(handover)) = (&sent, handover) {
            handover.keep();
        }
        sent?;
        match receipt.get().answer(py, timeout_s, handover) {
            // Late, or interrupted by Ctrl-C: whatever it is, the command is taken back if it had no turn.
            Err(error) if !receipt.get().is_settled(py) => {
                let is_begun = Receipt::give_up(&receipt)?;
                if !error.is_instance_of::<PyTimeoutError>(py) {
                    return Err(error);
                }
                slf.call_method1(pyo3::intern!(py, "_late"), (plan.route.bind(py), timeout_s, is_begun))
            }
            answer => answer.map(|answer| answer.into_bound(py)),
        }
    }

    /// Whether this is the thread on which coroutines run, or something that the loop waits for: neither may wait.
    fn must_not_wait(slf: &Bound<'_, Self>) -> PyResult<bool> {
        slf.call_method0(pyo3::intern!(slf.py(), "_must_not_wait"))?.is_truthy()
    }

    fn post_slowly(
        slf: &Bound<'_, Self>,
        command: &Bound<'_, PyAny>,
        expires_s: Option<f64>,
        wait_s: f64,
    ) -> PyResult<()> {
        slf.call_method1(pyo3::intern!(slf.py(), "_post"), (command, expires_s, wait_s)).map(drop)
    }
}

fn call_one<'py>(callable: &Bound<'py, PyAny>, argument: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: live objects; the result is an owned reference, or none with an exception set.
    unsafe {
        Bound::from_owned_ptr_or_err(callable.py(), ffi::PyObject_CallOneArg(callable.as_ptr(), argument.as_ptr()))
    }
}

/// What the handler returns; within a span where the process is traced, which costs others a look into a dict.
fn call<'py>(
    bus: &Bound<'py, CommandBusCore>,
    handler: &Bound<'py, PyAny>,
    route: &Bound<'py, PyAny>,
    command: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = bus.py();
    let result = if is_traced(py)? {
        bus.call_method1(pyo3::intern!(py, "_call_traced"), (route, command))
    } else {
        call_one(handler, command)
    }?;
    // SAFETY: a live object, of which the type is looked at.
    if unsafe { ffi::PyCoro_CheckExact(result.as_ptr()) } != 0 {
        return Err(nobody_runs(&result, command));
    }
    Ok(result)
}

/// A coroutine in the place of a result: nobody would run it, and what was to be done would be done by nobody.
#[cold]
fn nobody_runs(coroutine: &Bound<'_, PyAny>, command: &Bound<'_, PyAny>) -> PyErr {
    if let Err(error) = coroutine.call_method0("close") {
        return error;
    }
    let name = command.get_type().name().map_or_else(|_| "the command".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!(
        "the handler of {name} returned a coroutine, which nobody runs: register the coroutine function itself"
    ))
}

/// Whether OpenTelemetry has been imported: see `tickrail.orchestration.tracing`.
fn is_traced(py: Python<'_>) -> PyResult<bool> {
    // SAFETY: the GIL is held; a borrowed reference that lives as long as the interpreter.
    let found = unsafe {
        ffi::PyDict_Contains(ffi::PyImport_GetModuleDict(), pyo3::intern!(py, "opentelemetry.trace").as_ptr())
    };
    if found < 0 { Err(PyErr::fetch(py)) } else { Ok(found == 1) }
}

fn is_future(result: &Bound<'_, PyAny>) -> PyResult<bool> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if result.is_none() {
        return Ok(false);
    }
    let py = result.py();
    let class = CLASS.get_or_try_init(py, || py.import("concurrent.futures")?.getattr("Future").map(Bound::unbind))?;
    result.is_instance(class.bind(py))
}

fn monotonic_ns(py: Python<'_>) -> PyResult<i64> {
    py.import("time")?.call_method0("monotonic_ns")?.extract()
}
