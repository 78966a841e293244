//! The watchdog of a shutdown, as the command line opens it.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tickrail_core::dispatch::{described, standing_lines};
use tickrail_core::stop::{LastWords, Sight, Target, Watchdog as Core, WatchdogSettings};
use tickrail_core::trading::TakeBack;

use crate::dispatcher::Dispatcher;
use crate::errors::not_begun;
use crate::stuck::ASKED_BACK;

/// Longest deadline, a day: beyond it a number is a mistake.
const MAX_SECONDS: f64 = 86_400.0;

/// Reads signals from a descriptor and bounds the shutdown that the first of them begins; ends the process if need be.
#[pyclass(frozen, module = "tickrail._native")]
pub struct Watchdog {
    core: Mutex<Core>,
    words: Arc<LastWords>,
    deadline: Duration,
}

impl Watchdog {
    fn with<R>(&self, act: impl FnOnce(&mut Core) -> R) -> R {
        act(&mut self.core.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    let sound = (0.0..=MAX_SECONDS).contains(&value).then(|| Duration::from_secs_f64(value));
    sound.ok_or_else(|| PyValueError::new_err(format!("{name} is {value}: expected 0 to {MAX_SECONDS} seconds")))
}

#[pymethods]
impl Watchdog {
    #[new]
    #[pyo3(signature = (descriptor, *, deadline_s, hurry_s, dump_signal=0, notify=None, feed_s=None))]
    fn new(
        py: Python<'_>,
        descriptor: RawFd,
        deadline_s: f64,
        hurry_s: f64,
        dump_signal: i32,
        notify: Option<String>,
        feed_s: Option<f64>,
    ) -> PyResult<Self> {
        let settings = WatchdogSettings {
            deadline: seconds("deadline_s", deadline_s)?,
            hurry: seconds("hurry_s", hurry_s)?,
            notify,
            feed_every: feed_s.map(|feed_s| seconds("feed_s", feed_s)).transpose()?,
        };
        let deadline = settings.deadline;
        let words = Arc::new(LastWords::default());
        words.dump_by(dump_signal);
        let core = Core::open(descriptor, settings, Arc::clone(&words)).map_err(|error| not_begun(py, error))?;
        Ok(Self { core: Mutex::new(core), words, deadline })
    }

    /// Stop the run of ``dispatcher`` at the first signal; at once, if that has come. From now on handlers of it that are
    /// stuck are broken off, and end the process where that does not help; each step of the end has its part of the whole.
    fn attach(&self, py: Python<'_>, dispatcher: &Dispatcher) {
        dispatcher.share_end(py, self.deadline);
        dispatcher.warden.enforce(Arc::clone(&self.words));
        let inside = dispatcher.inside.get(py);
        let (pulse, names) = (Arc::clone(inside.desk.pulse()), inside.names.borrow().clone());
        let standing = Arc::clone(inside.desk.standing());
        self.words.stand_by(Box::new(move || {
            let told = standing.told();
            let lines = standing_lines(&told);
            (told, lines)
        }));
        let look = move || {
            let look = pulse.look();
            let doing = look.call().map(|(strategy, doing)| described(&names, strategy, doing)).unwrap_or_default();
            Sight { mark: look.mark(), doing }
        };
        let (stop, waker) = (Arc::clone(&dispatcher.stop), Arc::clone(&dispatcher.waker));
        let (gate, words) = (Arc::clone(inside.desk.gate()), Arc::clone(&self.words));
        let take_back = Box::new(move || {
            if gate.take_back(TakeBack::AtTheEnd) {
                words.note(ASKED_BACK);
            }
        });
        self.with(|core| core.attach(Target { stop, waker, look: Box::new(look), take_back }));
    }

    /// Say what the process is doing, for the report of a shutdown that takes too long; ``within_s``: as long as that step of
    /// it may take.
    #[pyo3(signature = (phase, within_s=None))]
    fn set_phase(&self, phase: &str, within_s: Option<f64>) -> PyResult<()> {
        let within = within_s.map(|within_s| seconds("within_s", within_s)).transpose()?;
        self.with(|core| core.set_phase(phase, within));
        Ok(())
    }

    /// What is reported where the process has to be ended from now on: ``facts`` is a JSON object.
    #[pyo3(signature = (facts, file=None, *, to_stdout=false))]
    fn set_report(&self, facts: &str, file: Option<PathBuf>, to_stdout: bool) {
        self.words.set_report(facts, file, to_stdout);
    }

    /// Tell a service supervisor, if there is one.
    fn notify(&self, state: &str) {
        self.with(|core| core.notify(state));
    }

    /// The numbers of the signals that have come, in their order.
    #[getter]
    fn signals(&self) -> Vec<i32> {
        self.with(|core| core.signals())
    }

    /// Seconds since the first of them, or since the run was stopped by another way; ``None``: neither yet.
    #[getter]
    fn stopping_s(&self) -> Option<f64> {
        self.with(|core| core.stopping_for()).map(|time| time.as_secs_f64())
    }

    /// End the watch; write a zero byte to the other end first.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.with(Core::close));
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Watchdog>()
}
