//! The watchdog of a shutdown, as the command line opens it.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tickrail_core::stop::{Watchdog as Core, WatchdogSettings};

use crate::dispatcher::Dispatcher;

/// Longest deadline, a day: beyond it a number is a mistake.
const MAX_SECONDS: f64 = 86_400.0;

/// Reads signals from a descriptor and bounds the shutdown that the first of them begins; ends the process if need be.
#[pyclass(frozen, module = "tickrail._native")]
pub struct Watchdog(Mutex<Core>);

impl Watchdog {
    fn with<R>(&self, act: impl FnOnce(&mut Core) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl Watchdog {
    #[new]
    #[pyo3(signature = (descriptor, *, deadline_s, hurry_s, dump_signal=0, notify=None))]
    fn new(
        descriptor: RawFd,
        deadline_s: f64,
        hurry_s: f64,
        dump_signal: i32,
        notify: Option<String>,
    ) -> PyResult<Self> {
        let seconds = |name: &str, value: f64| {
            let sound = (0.0..=MAX_SECONDS).contains(&value).then(|| Duration::from_secs_f64(value));
            sound
                .ok_or_else(|| PyValueError::new_err(format!("{name} is {value}: expected 0 to {MAX_SECONDS} seconds")))
        };
        let (deadline, hurry) = (seconds("deadline_s", deadline_s)?, seconds("hurry_s", hurry_s)?);
        let settings = WatchdogSettings { deadline, hurry, dump_signal, notify };
        Ok(Self(Mutex::new(Core::open(descriptor, settings)?)))
    }

    /// Stop the run of ``dispatcher`` at the first signal; at once, if that has come.
    fn attach(&self, dispatcher: &Dispatcher) {
        self.with(|core| core.attach(Arc::clone(&dispatcher.stop), Arc::clone(&dispatcher.waker)));
    }

    /// Say what the process is doing, for the report of a shutdown that takes too long.
    fn set_phase(&self, phase: &str) {
        self.with(|core| core.set_phase(phase));
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

    /// End the watch; write a zero byte to the other end first.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.with(Core::close));
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Watchdog>()
}
