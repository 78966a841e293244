//! The beat of the I/O thread: what does not return there keeps orders from leaving, and nobody else would notice.
//!
//! asyncio's loop waits in its selector and nowhere else. That of a run says natively when it goes to wait and when it is
//! woken, so an idle loop costs nothing, a busy one two stores a turn, and who looks needs no interpreter.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use tickrail_core::dispatch::{Call, HandlerWatch, Look, Pulse, WatchSettings, Watcher, described};
use tickrail_core::stop::{StopFlag, Waker};

use crate::dispatcher::Dispatcher;
use crate::stuck::{Warden, class_of_stuck, raise_in};

/// What the I/O thread and its watch share.
#[derive(Default)]
pub struct Beat {
    pulse: Arc<Pulse>,
    /// The I/O thread as the interpreter numbers it; 0: none. Relaxed: set before it first works.
    thread: AtomicU64,
    /// An exception may be on its way into it. Changed with the GIL held, and so Relaxed.
    is_armed: AtomicBool,
    /// A debugger is at work in it: it is left alone. Release by the thread that asks the interpreter, Acquire by the watch.
    is_spared: AtomicBool,
    /// What is at work now was found stuck. Relaxed: for whoever asks how it is.
    is_stuck: AtomicBool,
}

/// Where the I/O thread is, written by its loop. One a thread.
#[pyclass(frozen, module = "tickrail._native")]
#[derive(Default)]
pub struct IoBeat {
    inside: Arc<Beat>,
}

#[pymethods]
impl IoBeat {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// ``thread`` (``threading.get_ident()``) is that of the loop from now on; 0: none any more.
    fn belong_to(&self, thread: u64) {
        self.inside.thread.store(thread, Ordering::Relaxed);
    }

    /// Whether what is at work now has passed its deadline, as far as somebody watches.
    #[getter]
    fn is_stuck(&self) -> bool {
        self.inside.is_stuck.load(Ordering::Relaxed)
    }

    /// The loop has been woken.
    fn work(&self) {
        self.inside.pulse.work_beside();
    }

    /// The loop goes to wait. What was to be raised in a coroutine that has returned is not raised any more.
    fn rest(&self, py: Python<'_>) {
        self.inside.pulse.rest();
        if self.inside.is_armed.swap(false, Ordering::Relaxed) {
            raise_in(py, self.inside.thread.load(Ordering::Relaxed), None);
        }
    }
}

/// What the loop's host has of it.
#[derive(Default)]
pub struct Beside {
    watched: Mutex<Option<(Arc<Beat>, Py<PyAny>)>>,
    /// The pulse of a run without one.
    none: Arc<Pulse>,
}

impl Beside {
    /// The beat of the run's I/O thread, and who is asked about what is stuck there.
    pub fn watch_by(&self, beat: &IoBeat, ask: Py<PyAny>) {
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(&beat.inside), ask));
    }

    /// Where the I/O thread is.
    pub fn pulse(&self) -> Arc<Pulse> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(watched.as_ref().map_or(&self.none, |(beat, _)| &beat.pulse))
    }

    /// Watches it until the answer is dropped, as the loop's own handlers are.
    pub fn open(
        &self,
        py: Python<'_>,
        warden: &Arc<Warden>,
        run: &Dispatcher,
        settings: WatchSettings,
    ) -> Option<io::Result<HandlerWatch>> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let (beat, ask) = watched.as_ref()?;
        let guard = IoGuard {
            warden: Arc::clone(warden),
            beat: Arc::clone(beat),
            ask: Arc::new(ask.clone_ref(py)),
            stop: Arc::clone(&run.stop),
            waker: Arc::clone(&run.waker),
            deadline: settings.deadline.min(settings.last_deadline),
        };
        Some(HandlerWatch::open(Arc::clone(&beat.pulse), Arc::clone(&run.stop), settings, guard))
    }
}

/// The watch's end.
struct IoGuard {
    warden: Arc<Warden>,
    beat: Arc<Beat>,
    ask: Arc<Py<PyAny>>,
    stop: Arc<StopFlag>,
    waker: Arc<Waker>,
    deadline: Duration,
}

fn told(call: &Call) -> String {
    format!("tickrail: {} for {:.1} s", described(&[], call.strategy, call.doing), call.age.as_secs_f64())
}

impl Watcher for IoGuard {
    /// Turns that are merely long are not counted: whoever holds the interpreter elsewhere makes them so.
    fn slow(&mut self, call: &Call) {
        if call.age >= self.deadline {
            self.warden.count_slow(call);
        }
        self.beat.is_spared.store(false, Ordering::Release);
        self.beat.is_stuck.store(false, Ordering::Relaxed);
    }

    fn stuck(&mut self, call: &Call, seen: Look) {
        self.warden.count_stuck(call);
        self.beat.is_stuck.store(true, Ordering::Relaxed);
        if let Some(words) = self.warden.words() {
            words.say_with_stacks(&format!("{}; it is stuck, and keeps orders from leaving", told(call)));
        }
        let (warden, beat, stop) = (Arc::clone(&self.warden), Arc::clone(&self.beat), Arc::clone(&self.stop));
        let (call, ask) = (*call, Arc::clone(&self.ask));
        // On a thread of its own, as for a handler.
        let interrupt = move || {
            let asked = Python::try_attach(|py| interrupt(py, &warden, &beat, &ask, &call, seen));
            if matches!(asked, Some(Ok(true))) && stop.is_set() {
                warden.note_broken(format!("{} was broken off", call.doing.name()));
            }
            if let Some(Err(error)) = asked {
                Python::try_attach(|py| error.write_unraisable(py, None));
            }
        };
        let _ = std::thread::Builder::new().name("tickrail-breaker".to_owned()).spawn(interrupt);
    }

    /// The loop itself may go on, so the run ends as one that is told to stop: handlers and states are not lost. What bounds
    /// that end is the watchdog's.
    fn hopeless(&mut self, call: &Call) {
        let Some(words) = self.warden.words().filter(|_| !self.beat.is_spared.load(Ordering::Acquire)) else { return };
        if !self.stop.is_set() {
            words.say_with_stacks(&format!("{} and cannot be broken off; the run is stopped", told(call)));
            let what = described(&[], call.strategy, call.doing);
            self.warden.note_broken(format!("{what}, and the run was stopped for it"));
            self.stop.request_stop();
            self.waker.wake();
        }
    }
}

/// Asks the interpreter's side, and breaks off what is stuck; whether it does.
fn interrupt(py: Python<'_>, warden: &Warden, beat: &Beat, ask: &Py<PyAny>, call: &Call, seen: Look) -> PyResult<bool> {
    if beat.pulse.look() != seen {
        return Ok(false);
    }
    let enforces = warden.words().is_some();
    let thread = beat.thread.load(Ordering::Relaxed);
    if !ask.bind(py).call1((call.age.as_secs_f64(), thread, enforces))?.is_truthy()? {
        beat.is_spared.store(true, Ordering::Release);
        return Ok(false);
    }
    let class = class_of_stuck(py)?;
    // With the GIL held the loop does not turn, so only what is stuck can be hit.
    let breaks = enforces && beat.pulse.look() == seen;
    if breaks {
        beat.is_armed.store(true, Ordering::Relaxed);
        raise_in(py, thread, Some(&class));
    }
    Ok(breaks)
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<IoBeat>()
}
