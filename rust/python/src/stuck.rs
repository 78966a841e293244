//! Handlers that do not return: counted everywhere, and under the command line broken, or the process ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tickrail_core::command::NO_STRATEGY;
use tickrail_core::dispatch::{Call, Doing, HandlerWatch, Look, Pulse, WatchSettings, Watcher, described};
use tickrail_core::stop::{DEADLINE_EXCEEDED, LastWords, StopFlag};
use tickrail_core::trading::{TakeBack, TradingGate};

use crate::beside::{Beside, IoBeat};
use crate::dispatcher::Dispatcher;
use crate::errors::not_begun;

/// Longest handler deadline, a day: beyond it a number is a mistake.
const MAX_NS: u64 = 86_400_000_000_000;

/// What is known of the calls of one handler that took too long.
#[derive(Clone, Copy, Default)]
struct Overruns {
    slow: u64,
    slowest_ns: u64,
    stuck: u64,
}

/// What the loop, its host and the watch of its handlers share.
#[derive(Default)]
pub struct Warden {
    /// The dispatch thread as the interpreter numbers it; 0: none. Relaxed: set before the watch begins.
    thread: AtomicU64,
    /// An exception may be on its way into the dispatch thread. Changed with the GIL held, and so Relaxed.
    is_armed: AtomicBool,
    /// Somebody is at work within the call, a debugger say: it is left alone. Release by the thread that asks the
    /// interpreter, Acquire by the one that would end the process.
    is_spared: AtomicBool,
    /// Under the command line: ends the process.
    words: OnceLock<Arc<LastWords>>,
    /// How long handlers may take.
    settings: Mutex<Option<WatchSettings>>,
    /// How long an `on_stop` may take of the whole end, where that is bounded.
    last_hook: OnceLock<Duration>,
    /// Told of a handler that is stuck; says whether to break it.
    ask: Mutex<Option<Py<PyAny>>>,
    overruns: Mutex<BTreeMap<(u32, &'static str), Overruns>>,
    /// Whether the run calls its last hooks. Relaxed, partner: the look of `interrupt`, which comes long after.
    is_ending: AtomicBool,
    /// What was broken off while the run was to stop, or in its end.
    broken: Mutex<Vec<String>>,
    /// The I/O thread.
    beside: Beside,
}

impl Warden {
    /// From now on stuck handlers are broken, and the process ended by `words` where that does not help.
    pub fn enforce(&self, words: Arc<LastWords>) {
        let _ = self.words.set(words);
    }

    /// From now on an `on_stop` of the end is stuck after `share`, whatever else it might take.
    pub fn bound_hooks(&self, share: Duration) {
        let _ = self.last_hook.set(share);
    }

    /// A step of the run's end is done.
    pub fn done(&self, name: &str, took: Duration, deadline: Option<Duration>, is_late: bool) {
        if let Some(words) = self.words.get() {
            words.done(name, took, deadline, is_late);
        }
    }

    /// A handler has returned. If an exception was on its way to it, that must not reach the next one.
    #[inline(always)]
    pub fn returned(&self, py: Python<'_>) {
        if self.is_armed.load(Ordering::Relaxed) {
            self.disarm(py);
        }
    }

    #[cold]
    fn disarm(&self, py: Python<'_>) {
        self.is_armed.store(false, Ordering::Relaxed);
        raise_in(py, self.thread.load(Ordering::Relaxed), None);
    }

    /// Raises `HandlerStuck` within the handler that keeps the dispatch thread, if it still is the same call.
    fn break_off(&self, py: Python<'_>, pulse: &Pulse, seen: Look) -> PyResult<()> {
        let class = class_of_stuck(py)?;
        // With the GIL held a Python handler neither returns nor goes on, so nobody else can be hit.
        if pulse.look() != seen {
            return Ok(());
        }
        self.is_armed.store(true, Ordering::Relaxed);
        raise_in(py, self.thread.load(Ordering::Relaxed), Some(&class));
        Ok(())
    }

    /// Ends the process under the command line.
    pub fn words(&self) -> Option<&Arc<LastWords>> {
        self.words.get()
    }

    /// Where the I/O thread is.
    pub fn beside(&self) -> Arc<Pulse> {
        self.beside.pulse()
    }

    fn settings(&self) -> Option<WatchSettings> {
        let settings = *self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let share = |settings: WatchSettings| {
            self.last_hook.get().map_or(settings.last_hook, |share| settings.last_hook.min(*share))
        };
        settings.map(|settings| WatchSettings { last_hook: share(settings), ..settings })
    }

    /// A call that took too long has returned.
    pub fn count_slow(&self, call: &Call) {
        let age_ns = u64::try_from(call.age.as_nanos()).unwrap_or(u64::MAX);
        self.count(call, |seen| {
            seen.slow += 1;
            seen.slowest_ns = seen.slowest_ns.max(age_ns);
        });
    }

    /// A call is stuck.
    pub fn count_stuck(&self, call: &Call) {
        self.count(call, |seen| seen.stuck += 1);
    }

    fn count(&self, call: &Call, count: impl FnOnce(&mut Overruns)) {
        let mut overruns = self.overruns.lock().unwrap_or_else(PoisonError::into_inner);
        count(overruns.entry((call.strategy, call.doing.name())).or_default());
    }

    /// Something was broken off, or given up, that the end does not wait for.
    pub fn note_broken(&self, what: String) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// From now on hooks are those of the run's end, whatever has brought it.
    pub fn begin_end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// What was broken off while the run was to stop, or in its end, which did not wait for it.
    pub fn broken_at_the_end(&self) -> Vec<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Watches the handlers of the run on this thread, which dispatches, and its I/O thread, until the answer is dropped.
    pub fn watch(self: &Arc<Self>, py: Python<'_>, run: &Dispatcher) -> PyResult<Vec<HandlerWatch>> {
        let Some(settings) = self.settings() else { return Ok(Vec::new()) };
        let thread: u64 = py.import("threading")?.call_method0("get_ident")?.extract()?;
        self.thread.store(thread, Ordering::Relaxed);
        let inside = run.inside.get(py);
        let guard = Guard {
            warden: Arc::clone(self),
            pulse: Arc::clone(inside.desk.pulse()),
            stop: Arc::clone(&run.stop),
            gate: Arc::clone(inside.desk.gate()),
            has_asked_back: false,
            names: inside.names.borrow().clone(),
        };
        let pulse = Arc::clone(inside.desk.pulse());
        let watch = HandlerWatch::open(pulse, Arc::clone(&run.stop), settings, guard);
        let beside = self.beside.open(py, self, run, settings);
        std::iter::once(watch).chain(beside).map(|watch| watch.map_err(|error| not_begun(py, error))).collect()
    }
}

/// How long the I/O thread has to send what takes orders back before the process is ended: a round trip to a venue and slack.
const LEAVING: Duration = Duration::from_secs(1);

/// What the report of a process that had to be ended says of orders that the loop did not come to.
pub const ASKED_BACK: &str =
    "orders at venues outside were asked back without the loop, which has not seen what came of it";

/// The watch's end.
struct Guard {
    warden: Arc<Warden>,
    pulse: Arc<Pulse>,
    stop: Arc<StopFlag>,
    gate: Arc<TradingGate>,
    /// Whether orders were asked back because of the present call.
    has_asked_back: bool,
    names: Vec<String>,
}

impl Guard {
    /// Has orders taken back without the loop, where some can be at venues outside; whether there is somebody who does it.
    fn ask_back(&mut self) -> bool {
        self.has_asked_back = self.gate.take_back(TakeBack::AtTheEnd);
        if self.has_asked_back {
            self.warden.words.get().into_iter().for_each(|words| words.note(ASKED_BACK));
        }
        self.has_asked_back
    }
}

/// Lets what was asked back leave before the process is ended.
#[expect(clippy::disallowed_methods, reason = "the watch's own thread, at the end of the process")]
fn let_leave() {
    std::thread::sleep(LEAVING);
}

impl Watcher for Guard {
    fn slow(&mut self, call: &Call) {
        self.warden.count_slow(call);
        self.warden.is_spared.store(false, Ordering::Release);
        self.has_asked_back = false;
    }

    fn stuck(&mut self, call: &Call, seen: Look) {
        self.warden.count_stuck(call);
        // The end does not come to orders while this goes on, in whatever process.
        if self.stop.is_set() {
            self.ask_back();
        }
        if let Some(words) = self.warden.words.get() {
            let what = described(&self.names, call.strategy, call.doing);
            words.say_with_stacks(&format!("tickrail: {what} for {:.1} s; it is stuck", call.age.as_secs_f64()));
        }
        let (warden, pulse, call) = (Arc::clone(&self.warden), Arc::clone(&self.pulse), *call);
        let stop = Arc::clone(&self.stop);
        let name = self.names.get(call.strategy as usize).cloned();
        // On a thread of its own: whoever holds the interpreter may never give it up.
        let interrupt = move || {
            let asked = Python::try_attach(|py| interrupt(py, &warden, (&pulse, &stop), &call, name.as_deref(), seen));
            if let Some(Err(error)) = asked {
                Python::try_attach(|py| error.write_unraisable(py, None));
            }
        };
        // Without a thread for it the process is ended after the next deadline.
        let _ = std::thread::Builder::new().name("tickrail-breaker".to_owned()).spawn(interrupt);
    }

    fn hopeless(&mut self, call: &Call) {
        if self.warden.is_spared.load(Ordering::Acquire) {
            return;
        }
        if let Some(words) = self.warden.words.get().cloned() {
            let before = self.pulse.look();
            if !self.has_asked_back && self.ask_back() {
                let_leave();
            }
            if self.pulse.look() != before {
                return; // it has returned meanwhile
            }
            let what = described(&self.names, call.strategy, call.doing);
            let why = format!(
                "tickrail: {what} for {:.1} s and cannot be broken off; the process is ended, and what was to be done is \
                 abandoned",
                call.age.as_secs_f64()
            );
            words.end(&why, "handler_stuck", DEADLINE_EXCEEDED);
        }
    }
}

/// The class of what is raised in whatever is stuck.
pub fn class_of_stuck(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("tickrail.errors")?.getattr("HandlerStuck")
}

/// Raises `class`, of exceptions, in `thread` before its next line of Python; `None` takes back what was not raised yet.
pub fn raise_in(_py: Python<'_>, thread: u64, class: Option<&Bound<'_, PyAny>>) {
    let class = class.map_or(std::ptr::null_mut(), |class| class.as_ptr());
    // SAFETY: the GIL is held, and the class is a class of exceptions or null. The thread need not exist.
    unsafe { ffi::PyThreadState_SetAsyncExc(thread as std::ffi::c_long, class) };
}

fn interrupt(
    py: Python<'_>,
    warden: &Warden,
    (pulse, stop): (&Pulse, &StopFlag),
    call: &Call,
    name: Option<&str>,
    seen: Look,
) -> PyResult<()> {
    if pulse.look() != seen {
        return Ok(());
    }
    let ask = warden.ask.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|ask| ask.clone_ref(py));
    let Some(ask) = ask else { return Ok(()) };
    let enforces = warden.words.get().is_some();
    let thread = warden.thread.load(Ordering::Relaxed);
    let facts = (name, call.doing.name(), call.age.as_secs_f64(), thread, enforces);
    if !ask.bind(py).call1(facts)?.is_truthy()? {
        warden.is_spared.store(true, Ordering::Release);
    } else if enforces && call.doing != Doing::Machine {
        warden.break_off(py, pulse, seen)?;
        if stop.is_set() || warden.is_ending.load(Ordering::Relaxed) {
            let whose = name.map_or_else(String::new, |name| format!("strategy {name}: "));
            let what = format!("{whose}{} was broken off", call.doing.name());
            warden.note_broken(what);
        }
    }
    Ok(())
}

/// Watch the handlers of a run while it runs: calls longer than ``slow_ns`` are counted, those longer than ``deadline_ns``
/// (``last_deadline_ns`` once the run is to stop) are stuck. ``ask(strategy, handler, seconds, thread, enforced)`` is told
/// of these, on a thread of its own, and says whether they may be broken.
#[pyfunction]
fn watch_handlers(
    dispatcher: &Dispatcher,
    slow_ns: u64,
    deadline_ns: u64,
    last_deadline_ns: u64,
    ask: Py<PyAny>,
) -> PyResult<()> {
    let time = |name: &str, ns: u64| {
        let sound = (1_000_000..=MAX_NS).contains(&ns).then(|| Duration::from_nanos(ns));
        sound.ok_or_else(|| PyValueError::new_err(format!("{name} is {ns}: expected 1_000_000 to {MAX_NS}")))
    };
    let settings = WatchSettings {
        slow: time("slow_ns", slow_ns)?,
        deadline: time("deadline_ns", deadline_ns)?,
        last_deadline: time("last_deadline_ns", last_deadline_ns)?,
        last_hook: time("last_deadline_ns", last_deadline_ns)?,
    };
    let warden = &dispatcher.warden;
    *warden.settings.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
    *warden.ask.lock().unwrap_or_else(PoisonError::into_inner) = Some(ask);
    Ok(())
}

/// Watch the I/O thread whose loop ``beat`` is, by the same times: ``ask(seconds, thread, enforced)`` likewise.
#[pyfunction]
fn watch_io(dispatcher: &Dispatcher, beat: &IoBeat, ask: Py<PyAny>) {
    dispatcher.warden.beside.watch_by(beat, ask);
}

/// Calls that took too long: one dict a handler, with ``strategy`` (its name, ``None`` for a command that concerns none),
/// ``handler``, ``slow``, ``slowest_ns`` and ``stuck``. Any thread.
#[pyfunction]
fn handler_overruns<'py>(py: Python<'py>, dispatcher: &Dispatcher) -> PyResult<Bound<'py, PyList>> {
    let rows = PyList::empty(py);
    let names = dispatcher.inside.get(py).names.borrow();
    let overruns = dispatcher.warden.overruns.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for ((strategy, handler), seen) in overruns {
        let row = PyDict::new(py);
        row.set_item("strategy", if strategy == NO_STRATEGY { None } else { names.get(strategy as usize) })?;
        row.set_item("handler", handler)?;
        row.set_item("slow", seen.slow)?;
        row.set_item("slowest_ns", seen.slowest_ns)?;
        row.set_item("stuck", seen.stuck)?;
        rows.append(row)?;
    }
    Ok(rows)
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(watch_handlers, m)?)?;
    m.add_function(wrap_pyfunction!(watch_io, m)?)?;
    m.add_function(wrap_pyfunction!(handler_overruns, m)?)
}
