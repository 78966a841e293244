//! The command lanes, as Python sends by them and is called from them.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tickrail_core::command::{
    Command, CommandKind, ExternalRecord, Handled, Inbox, Lane, LaneSettings, NO_STRATEGY, Sender, lanes, read_records,
};
use tickrail_core::control::Call;
use tickrail_core::dispatch::{Desk, Dispatcher as Loop, Fault, TimerKey};
use tickrail_core::ring::NotTaken;
use tickrail_core::timer::{Fired, Schedule};

use crate::bus::{CommandBusCore, Envelope, is_outside};
use crate::dispatcher::Dispatcher;
use crate::errors::{hinted, refused};
use crate::feed::{Birthplace, Handover, check_fork};
use crate::gil::{GilBound, thread_mark};
use crate::host::{PyHost, Registered, fault};
use crate::lives::leave;

/// Longest wait for room in a lane: a day, which no sender means.
const MAX_WAIT_S: f64 = 86_400.0;

/// The command is in its lane.
pub const SENT: u8 = 0;
/// There was no room for it.
pub const FULL: u8 = 1;
/// The run takes no more.
const OVER: u8 = 2;

/// The lane of that number.
///
/// # Errors
/// There is none.
pub fn lane_of(number: u8) -> PyResult<Lane> {
    let lane = Lane::ALL.get(usize::from(number)).copied();
    lane.ok_or_else(|| PyValueError::new_err(format!("lane is {number}: expected 0 (control), 1 or 2")))
}

/// How commands come to a run that has not begun.
#[derive(Default)]
pub struct Commands {
    /// The lanes, once somebody has opened them.
    lanes: Option<(Sender<Command>, Inbox<Command>)>,
    /// Is shown each external input.
    sink: Option<Py<PyAny>>,
    /// External inputs that were recorded, to be taken instead of others.
    replay: Option<Vec<ExternalRecord>>,
}

impl Commands {
    /// Gives all of it to the loop.
    pub fn equip(self, core: &mut Loop<PyHost>) {
        if let Some((_, inbox)) = self.lanes {
            core.adopt_lanes(inbox);
        }
        if let Some(records) = self.replay {
            core.replay(records);
        }
        if let Some(sink) = self.sink {
            core.record_externals(into_sink(sink));
        }
    }
}

/// What the host needs to hand commands to Python.
#[derive(Default)]
pub struct Receivers {
    /// By the kind of command: an object with `admits`, `handle`, `knows`, `replay` and `abandon`.
    by_kind: RefCell<Vec<(CommandKind, Py<PyAny>)>>,
    /// What handlers on the dispatch thread have sent, in the order of the requests that tell of it.
    local: RefCell<VecDeque<Py<PyAny>>>,
    /// What strategies are to be told of commands, by number; one whose strategy fails before stays.
    told: RefCell<(u64, HashMap<u64, Py<PyAny>>)>,
    /// What timers of the run call, by their numbers.
    scheduled: RefCell<HashMap<u32, (TimerKey, Py<PyAny>)>>,
}

impl Receivers {
    fn of(&self, py: Python<'_>, kind: CommandKind) -> Option<Py<PyAny>> {
        self.by_kind.borrow().iter().find(|(known, _)| *known == kind).map(|(_, receiver)| receiver.clone_ref(py))
    }

    /// The run is over: nobody is called any more. Receivers reach the run, and it them; nobody else breaks that circle.
    pub fn forget(&self) {
        let known = std::mem::take(&mut *self.by_kind.borrow_mut());
        let local = std::mem::take(&mut *self.local.borrow_mut());
        let scheduled = std::mem::take(&mut *self.scheduled.borrow_mut());
        let told = std::mem::take(&mut *self.told.borrow_mut());
        drop((known, local, scheduled, told));
    }

    /// Whether the command still wants its turn; a recorded one that nobody here can handle is an error.
    pub fn admits(&self, command: &Command) -> Result<bool, Fault<PyErr>> {
        if let Some(call) = call_of(command) {
            return Ok(call.begin());
        }
        if command.attachment.is_none() && matches!(command.kind, CommandKind::HOST | CommandKind::OPERATOR) {
            return Python::attach(|py| self.knows(py, command).map_err(fault));
        }
        let Some(attachment) = attachment(command) else { return Ok(true) };
        Python::attach(|py| {
            let Some(receiver) = self.of(py, command.kind) else { return Ok(true) };
            if let Some((bus, envelope)) = on_bus(py, &receiver, attachment) {
                return CommandBusCore::admits_one(bus, envelope).map_err(fault);
            }
            let answer = receiver.call_method1(py, pyo3::intern!(py, "admits"), (attachment,));
            answer.and_then(|answer| answer.is_truthy(py)).map_err(fault)
        })
    }

    /// Looks whether somebody handles a recorded command.
    fn knows(&self, py: Python<'_>, command: &Command) -> PyResult<bool> {
        let Some(receiver) = self.of(py, command.kind) else {
            let hint = "TickDispatcher.replay_commands(...) opens what handles them";
            return Err(hinted(
                py,
                "NoHandler",
                "the recording has commands, and this run nobody who handles them",
                hint,
            ));
        };
        let payload = PyBytes::new(py, &command.payload);
        receiver.call_method1(py, pyo3::intern!(py, "knows"), (payload,)).map(|_| true)
    }

    /// Calls the receiver of the command's kind.
    pub fn deliver(&self, command: &Command, _handled: Handled) -> Result<(), Fault<PyErr>> {
        Python::attach(|py| {
            let Some(receiver) = self.of(py, command.kind) else { return Ok(()) };
            if let Some(call) = call_of(command) {
                return answer_call(py, &receiver, command, call);
            }
            if let Some(attachment) = attachment(command)
                && let Some((bus, envelope)) = on_bus(py, &receiver, attachment)
            {
                return CommandBusCore::handle_one(bus, envelope).map_err(fault);
            }
            let answer = match attachment(command) {
                Some(envelope) => receiver.call_method1(py, pyo3::intern!(py, "handle"), (envelope,)),
                None => {
                    let payload = PyBytes::new(py, &command.payload);
                    receiver.call_method1(py, pyo3::intern!(py, "replay"), (payload,))
                }
            };
            answer.map(drop).map_err(fault)
        })
    }

    /// Tells the sender that the run is over.
    pub fn abandon(&self, command: &Command) {
        let Some(envelope) = attachment(command) else { return };
        Python::attach(|py| {
            if let Some(receiver) = self.of(py, command.kind)
                && let Err(error) = receiver.call_method1(py, pyo3::intern!(py, "abandon"), (envelope,))
            {
                error.write_unraisable(py, None);
            }
        });
    }

    /// The same for what was sent on the dispatch thread and has no step any more.
    fn abandon_local(&self, py: Python<'_>) {
        let Some(receiver) = self.of(py, CommandKind::HOST) else { return };
        loop {
            let Some(envelope) = self.local.borrow_mut().pop_front() else { return };
            if let Err(error) = receiver.call_method1(py, pyo3::intern!(py, "abandon"), (envelope,)) {
                error.write_unraisable(py, None);
            }
        }
    }

    /// Calls what a timer of the run was set for.
    pub fn scheduled(&self, fired: &Fired) -> Result<(), Fault<PyErr>> {
        Python::attach(|py| {
            let mut scheduled = self.scheduled.borrow_mut();
            let callback = match fired.is_last {
                true => scheduled.remove(&fired.number).map(|(_, callback)| callback),
                false => scheduled.get(&fired.number).map(|(_, callback)| callback.clone_ref(py)),
            };
            drop(scheduled);
            callback.map_or(Ok(()), |callback| callback.call0(py).map(drop).map_err(fault))
        })
    }

    /// Keeps an event that a strategy is to be told of; its number.
    pub fn keep(&self, event: Py<PyAny>) -> u64 {
        let (last, events) = &mut *self.told.borrow_mut();
        *last += 1;
        events.insert(*last, event);
        *last
    }

    /// Tells the strategy by its `on_event`, if it has one.
    pub fn tell(&self, registered: &Registered, number: u64) -> Result<(), Fault<PyErr>> {
        Python::attach(|py| {
            let event = self.told.borrow_mut().1.remove(&number);
            let (Some(event), Some(method)) = (event, registered.handlers.event()) else { return Ok(()) };
            // SAFETY: `event` lives until the end of this closure.
            unsafe { method.call(py, event.as_ptr()) }.map_err(fault)
        })
    }

    /// Calls the handler of the oldest command that was sent on the dispatch thread.
    pub fn deliver_local(&self) -> Result<(), Fault<PyErr>> {
        Python::attach(|py| {
            let Some(envelope) = self.local.borrow_mut().pop_front() else { return Ok(()) };
            let Some(receiver) = self.of(py, CommandKind::HOST) else { return Ok(()) };
            receiver.call_method1(py, pyo3::intern!(py, "handle"), (envelope,)).map(drop).map_err(fault)
        })
    }
}

/// Calls the operator's receiver: `operate(text, reply)`, which replies with JSON at once or later.
fn answer_call(py: Python<'_>, receiver: &Py<PyAny>, command: &Command, call: &Call) -> Result<(), Fault<PyErr>> {
    let text = String::from_utf8_lossy(&command.payload).into_owned();
    let reply = Py::new(py, Reply(call.clone())).map_err(fault)?;
    receiver.call_method1(py, pyo3::intern!(py, "operate"), (text, reply)).map(drop).map_err(fault)
}

/// Answers one request of an operator.
#[pyclass(frozen, module = "tickrail._native")]
pub struct Reply(Call);

#[pymethods]
impl Reply {
    /// Send ``text``, a JSON object. Only the first answer counts; whoever asked may be gone.
    fn __call__(&self, text: String) {
        self.0.answer(text);
    }
}

/// A command of the bus and the bus, which are called without a way through Python.
fn on_bus<'a, 'py>(
    py: Python<'py>,
    receiver: &'a Py<PyAny>,
    attachment: &'a Py<PyAny>,
) -> Option<(&'a Bound<'py, CommandBusCore>, &'a Bound<'py, Envelope>)> {
    Some((receiver.bind(py).cast().ok()?, attachment.bind(py).cast().ok()?))
}

fn call_of(command: &Command) -> Option<&Call> {
    command.attachment.as_ref()?.downcast_ref::<Call>()
}

fn attachment(command: &Command) -> Option<&Py<PyAny>> {
    command.attachment.as_ref()?.downcast_ref::<Py<PyAny>>()
}

/// The way of commands to the loop. Any thread.
#[pyclass(frozen, module = "tickrail._native")]
pub struct CommandLanes {
    pub sender: Sender<Command>,
    here: GilBound<Here>,
    /// By which the loop of a live run is let have the GIL.
    pub handover: Option<Arc<Handover>>,
    /// In which process the run was made.
    born: Birthplace,
}

struct Here {
    /// The dispatch thread while the loop runs, else 0.
    thread: Rc<Cell<usize>>,
    desk: Rc<Desk>,
    receivers: Rc<Receivers>,
}

impl CommandLanes {
    fn on_dispatch_thread<'py>(&'py self, py: Python<'py>) -> PyResult<&'py Here> {
        let here = self.here.get(py);
        if here.thread.get() != thread_mark() {
            return Err(PyRuntimeError::new_err("only the dispatch thread has a present step"));
        }
        Ok(here)
    }

    /// Sends a command, with what the receiver of its kind is called with: `SENT`, `FULL`, or the run is over.
    ///
    /// # Errors
    /// This process is a child of the run's, or whoever waits for room was interrupted.
    #[expect(clippy::too_many_arguments, reason = "the parts of one command")]
    pub fn send(
        &self,
        py: Python<'_>,
        lane: Lane,
        strategy: Option<u32>,
        payload: &[u8],
        attachment: Py<PyAny>,
        wait_s: f64,
        kind: CommandKind,
    ) -> PyResult<u8> {
        check_fork(py, self.born)?;
        if payload.len() > tickrail_core::command::MAX_PAYLOAD {
            let most = tickrail_core::command::MAX_PAYLOAD;
            let message = format!("the command takes {} bytes: expected at most {most}", payload.len());
            return Err(hinted(py, "CommandInvalid", &message, "send what it is about by name, and not itself"));
        }
        let command = Command::new(kind, strategy.unwrap_or(NO_STRATEGY), payload).with(attachment);
        let sent = match self.sender.push(lane, command) {
            Err(NotTaken::Full(command)) if wait_s > 0.0 => {
                let timeout = Duration::from_secs_f64(wait_s.min(MAX_WAIT_S));
                let mut interrupt = None;
                let sent = py.detach(|| {
                    self.sender.push_within(lane, command, timeout, || {
                        interrupt = Python::attach(|py| py.check_signals()).err();
                        interrupt.is_none()
                    })
                });
                if let Some(interrupt) = interrupt {
                    return Err(interrupt);
                }
                sent
            }
            sent => sent,
        };
        Ok(match sent {
            Ok(()) => SENT,
            Err(NotTaken::Full(_)) => FULL,
            Err(NotTaken::Closed(_)) => OVER,
        })
    }
}

#[pymethods]
impl CommandLanes {
    /// Send: ``payload`` decides, ``attachment`` is what the receiver is called with. 0: sent, 1: full, 2: the run is over.
    #[pyo3(signature = (lane, strategy, payload, attachment, wait_s=0.0, kind=16))]
    #[expect(clippy::too_many_arguments, reason = "the parts of one command")]
    fn push(
        &self,
        py: Python<'_>,
        lane: u8,
        strategy: Option<u32>,
        payload: &[u8],
        attachment: Py<PyAny>,
        wait_s: f64,
        kind: u16,
    ) -> PyResult<u8> {
        self.send(py, lane_of(lane)?, strategy, payload, attachment, wait_s, CommandKind(kind))
    }

    /// Call the receiver with ``attachment`` at the end of the present step. Dispatch thread only.
    fn later(&self, py: Python<'_>, attachment: Py<PyAny>) -> PyResult<()> {
        let here = self.on_dispatch_thread(py)?;
        here.receivers.local.borrow_mut().push_back(attachment);
        here.desk.command();
        Ok(())
    }

    /// Call ``callback`` by the loop's clock: at ``at_ns``, or every ``interval_ns`` from ``start_ns`` on (default: one
    /// interval from now) and before ``end_ns``. Dispatch thread only. Returns the timer's number. Raises ``TimerRefused``.
    #[pyo3(signature = (callback, *, at_ns=None, interval_ns=0, start_ns=None, end_ns=None))]
    fn schedule(
        &self,
        py: Python<'_>,
        callback: Py<PyAny>,
        at_ns: Option<i64>,
        interval_ns: i64,
        start_ns: Option<i64>,
        end_ns: Option<i64>,
    ) -> PyResult<u32> {
        let here = self.on_dispatch_thread(py)?;
        let mut schedule = at_ns.map_or_else(|| Schedule::every(interval_ns), Schedule::at);
        schedule = start_ns.map_or(schedule.clone(), |start_ns| schedule.starting(start_ns));
        schedule = end_ns.map_or(schedule.clone(), |end_ns| schedule.until(end_ns));
        let key = here.desk.schedule_run(&schedule).map_err(|refusal| refused(py, "commands", &refusal))?;
        here.receivers.scheduled.borrow_mut().insert(key.number, (key, callback));
        Ok(key.number)
    }

    /// Take a timer of ``schedule`` away; whether it was still set. Dispatch thread only.
    fn unschedule(&self, py: Python<'_>, number: u32) -> PyResult<bool> {
        let here = self.on_dispatch_thread(py)?;
        let known = here.receivers.scheduled.borrow_mut().remove(&number);
        Ok(known.is_some_and(|(key, _)| here.desk.cancel_timer(key)))
    }

    /// The clock of the step, ns UTC. Dispatch thread only.
    fn now_ns(&self, py: Python<'_>) -> PyResult<i64> {
        Ok(self.on_dispatch_thread(py)?.desk.now_ns())
    }

    /// Where the caller stands: 0 no run goes on, 1 on the dispatch thread, 2 on another, 3 on the dispatch thread in a
    /// callback of another.
    pub fn standing(&self, py: Python<'_>) -> PyResult<u8> {
        check_fork(py, self.born)?;
        Ok(match self.here.get(py).thread.get() {
            0 => 0,
            mark if mark == thread_mark() => {
                if is_outside() {
                    3
                } else {
                    1
                }
            }
            _ => 2,
        })
    }

    /// Let ``receiver`` be called for commands of ``kind``: ``admits``, ``handle`` and ``abandon`` with the attachment,
    /// ``knows`` and ``replay`` with the payload of one that was recorded.
    #[pyo3(signature = (receiver, kind=16))]
    fn receive(&self, py: Python<'_>, receiver: Py<PyAny>, kind: u16) {
        let mut receivers = self.here.get(py).receivers.by_kind.borrow_mut();
        receivers.retain(|(known, _)| *known != CommandKind(kind));
        receivers.push((CommandKind(kind), receiver));
    }

    /// Take no more commands; what was sent still has its turn. Idempotent.
    fn close(&self) {
        self.sender.close();
    }

    /// Per lane, the first served first: how many were taken, refused for want of room, and wait.
    fn stats(&self) -> Vec<(u64, u64, u64)> {
        self.sender.stats().iter().map(|lane| (lane.taken, lane.refused, lane.pending)).collect()
    }
}

/// The way to the loop of a run that has not begun, for its own threads.
pub fn sender_of(py: Python<'_>, dispatcher: &Dispatcher) -> PyResult<Sender<Command>> {
    opened(py, dispatcher, LaneSettings::default())
}

fn opened(py: Python<'_>, dispatcher: &Dispatcher, settings: LaneSettings) -> PyResult<Sender<Command>> {
    dispatcher.inside.get(py).plan(|plan| {
        if plan.commands.lanes.is_none() {
            let opened = lanes(settings, Arc::clone(&dispatcher.stop), Arc::clone(&dispatcher.waker));
            plan.commands.lanes = Some(opened.map_err(|error| PyValueError::new_err(error.to_string()))?);
        }
        let (sender, _) = plan.commands.lanes.as_ref().expect("made above");
        Ok(sender.clone())
    })
}

/// Open the lanes of a run that has not begun; opened again, they are the same.
#[pyfunction]
#[pyo3(signature = (dispatcher, *, control_slots=256, normal_slots=4096, background_slots=4096))]
fn open_lanes(
    py: Python<'_>,
    dispatcher: &Dispatcher,
    control_slots: usize,
    normal_slots: usize,
    background_slots: usize,
) -> PyResult<CommandLanes> {
    let settings = LaneSettings { control_slots, normal_slots, background_slots };
    let sender = opened(py, dispatcher, settings)?;
    let inside = dispatcher.inside.get(py);
    let (thread, desk) = (Rc::clone(&inside.thread), Rc::clone(&inside.desk));
    let here = Here { thread, desk, receivers: Rc::clone(&inside.receivers) };
    let handover = dispatcher.live.as_ref().map(|feeds| Arc::clone(&feeds.handover));
    Ok(CommandLanes { sender, here: GilBound::new(here), handover, born: dispatcher.born })
}

/// The run goes on no more, though it never ran to its end: nobody takes commands and requests to lives any more, and whoever
/// waits for an answer gets it. Idempotent; nothing where it is over.
#[pyfunction]
fn leave_run(py: Python<'_>, dispatcher: &Dispatcher) -> PyResult<()> {
    let inside = dispatcher.inside.get(py);
    if inside.is_at_rest() {
        inside.look_mut(|core| {
            core.leave();
            Ok(())
        })?;
        inside.receivers.abandon_local(py);
        inside.thread.set(0); // driven by hand it was somebody's between two steps too
    } else if let Ok(lanes) = inside.plan(|plan| Ok(plan.commands.lanes.take())) {
        // Nothing of the plan is held: whoever is told may ask for more.
        if let Some((_, mut inbox)) = lanes {
            inbox.close();
            while let Some((_, command)) = inbox.drain() {
                inside.receivers.abandon(&command);
            }
        }
        leave(inside.desk.inbox(), &inside.watch);
    }
    Ok(())
}

/// What a recording of external inputs begins with.
#[pyfunction]
fn recording_header(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &ExternalRecord::header())
}

/// Show each external input that the loop takes to ``sink``, as the bytes of its record.
#[pyfunction]
fn record_commands(py: Python<'_>, dispatcher: &Dispatcher, sink: Py<PyAny>) -> PyResult<()> {
    dispatcher.inside.get(py).plan(|plan| {
        plan.commands.sink = Some(sink);
        Ok(())
    })
}

/// Take external inputs from a recording, each at its place, instead of from lanes.
#[pyfunction]
fn replay_commands(py: Python<'_>, dispatcher: &Dispatcher, recording: &[u8]) -> PyResult<usize> {
    let records = read_records(recording).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let count = records.len();
    dispatcher.inside.get(py).plan(|plan| {
        plan.commands.replay = Some(records);
        Ok(count)
    })
}

/// Adds the class and its functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<CommandLanes>()?;
    m.add_class::<Reply>()?;
    m.add_function(wrap_pyfunction!(open_lanes, m)?)?;
    m.add_function(wrap_pyfunction!(leave_run, m)?)?;
    m.add_function(wrap_pyfunction!(recording_header, m)?)?;
    m.add_function(wrap_pyfunction!(record_commands, m)?)?;
    m.add_function(wrap_pyfunction!(replay_commands, m)?)
}

/// Shows records to `sink`; what it raises is reported, and no concern of the run's.
pub fn into_sink(sink: Py<PyAny>) -> tickrail_core::dispatch::ExternalSink {
    Box::new(move |record| {
        let mut bytes = Vec::new();
        record.append_to(&mut bytes);
        Python::attach(|py| {
            if let Err(error) = sink.call1(py, (PyBytes::new(py, &bytes),)) {
                error.write_unraisable(py, Some(sink.bind(py)));
            }
        });
    })
}
