//! A simulation by hand, as Python drives it: up to a time, or one step at a time.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use tickrail_core::dispatch::{Dispatcher as Core, Outcome, Step};

use crate::dispatcher::Dispatcher;
use crate::gil::thread_mark;
use crate::host::PyHost;
use crate::report::ended;
use crate::turn;

/// Where a stretch by hand came to.
enum Came {
    /// To the time, or through the step that is named.
    To(Option<&'static str>),
    /// To a tick of the pull strategy.
    Tick(Py<PyAny>),
    /// To the end of the run, by this outcome.
    Ended(Outcome),
}

impl Dispatcher {
    /// Drives the loop by hand, starting it first if need be; where the run ends by it, it is settled.
    fn by_hand(&self, py: Python<'_>, act: impl FnOnce(&mut Core<PyHost>) -> PyResult<Came>) -> PyResult<Came> {
        let inside = self.inside.get(py);
        inside.check_idle()?;
        if inside.end.get().is_some() {
            return Ok(Came::Ended(Outcome::End));
        }
        let result = inside.drive(py, self, |core| {
            let outcome = match check(core) {
                Err(error) => return Ok(Err(error)),
                Ok(()) if inside.is_begun.replace(true) => Outcome::Slice,
                Ok(()) => core.start(),
            };
            let came = match ended(py, core, outcome, &inside.feeds.borrow())? {
                Some(_) => Came::Ended(outcome),
                None => match act(core) {
                    Ok(came) => came,
                    Err(error) => return Ok(Err(error)),
                },
            };
            if let Came::Ended(outcome) = came {
                let end = ended(py, core, outcome, &inside.feeds.borrow())?.unwrap_or("stopped");
                core.finish();
                inside.end.set(Some(end));
            }
            Ok(Ok(came))
        });
        match result {
            Ok(came) => {
                // Whoever drives by hand acts in between: this thread stays the dispatch thread until the run ends.
                inside.thread.set(if inside.end.get().is_some() { 0 } else { thread_mark() });
                came
            }
            Err(error) => {
                if !inside.is_driven() {
                    inside.thread.set(0);
                }
                self.settle(py, Err(error)).map(|_| Came::Ended(Outcome::Stopped))
            }
        }
    }
}

/// What cannot be driven by hand is refused before anything happens.
fn check(core: &Core<PyHost>) -> PyResult<()> {
    if core.is_by_arrival() {
        return Err(PyRuntimeError::new_err(
            "a live run goes by arrival, and nobody can drive its clock: run_until() and step() are for simulations",
        ));
    }
    Ok(())
}

/// Takes everything up to `until_ns`, or up to the next tick of the pull strategy.
fn until(py: Python<'_>, core: &mut Core<PyHost>, until_ns: i64) -> PyResult<Came> {
    let now_ns = core.desk().now_ns();
    if until_ns < now_ns {
        return Err(PyValueError::new_err(format!(
            "run_until({until_ns}) lies {} ns before now ({now_ns}): the clock never runs backwards",
            now_ns.saturating_sub(until_ns)
        )));
    }
    loop {
        match core.advance_until(until_ns) {
            Outcome::Slice => turn::offer(py)?,
            Outcome::Reached => return Ok(Came::To(None)),
            Outcome::Pulled => return shown(py, core),
            outcome => return Ok(Came::Ended(outcome)),
        }
    }
}

fn shown(py: Python<'_>, core: &mut Core<PyHost>) -> PyResult<Came> {
    let Some(tick) = core.pulled().copied() else { return Ok(Came::To(None)) };
    let object = core.host_mut().pulled(py, &tick)?;
    // SAFETY: `pulled` returns a new reference.
    Ok(Came::Tick(unsafe { Bound::from_owned_ptr(py, object) }.unbind()))
}

/// Takes the next input.
fn next(core: &mut Core<PyHost>) -> Came {
    let name = match core.step() {
        Step::Tick => "tick",
        Step::Timer => "timer",
        Step::OrderUpdate => "order_update",
        Step::Venue => "venue",
        Step::Result => "result",
        Step::Command => "command",
        Step::Nothing => return Came::To(None),
        Step::Ended(outcome) => return Came::Ended(outcome),
    };
    Came::To(Some(name))
}

/// Take everything up to ``until_ns``, timers after ticks; the clock then stands there, beyond the end of the data too.
///
/// Returns whether the run goes on; ``run`` or ``finish`` ends it. Where it is cut makes no difference to what it does.
#[pyfunction]
fn run_until(py: Python<'_>, dispatcher: &Dispatcher, until_ns: i64) -> PyResult<bool> {
    match dispatcher.by_hand(py, |core| until(py, core, until_ns))? {
        Came::To(_) => Ok(true),
        Came::Ended(_) => Ok(false),
        Came::Tick(_) => {
            Err(PyRuntimeError::new_err("the pull strategy has a tick before that time: take it with pull_until()"))
        }
    }
}

/// Take the next input, whatever it is: ``"tick"``, ``"timer"``, ``"order_update"``, ``"venue"``, ``"result"`` or
/// ``"command"``; ``None`` where nothing is left or the run has ended. The first call starts the strategies before.
#[pyfunction]
fn step(py: Python<'_>, dispatcher: &Dispatcher) -> PyResult<Option<&'static str>> {
    match dispatcher.by_hand(py, |core| Ok(next(core)))? {
        Came::To(step) => Ok(step),
        Came::Ended(_) | Came::Tick(_) => Ok(None),
    }
}

/// The next tick of the pull strategy up to ``until_ns``; ``None`` once there is none, or the run has ended.
#[pyfunction]
fn pull_until(py: Python<'_>, dispatcher: &Dispatcher, until_ns: i64) -> PyResult<Option<Py<PyAny>>> {
    match dispatcher.by_hand(py, |core| until(py, core, until_ns))? {
        Came::Tick(tick) => Ok(Some(tick)),
        Came::Ended(_) | Came::To(_) => Ok(None),
    }
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(run_until, m)?)?;
    m.add_function(wrap_pyfunction!(step, m)?)?;
    m.add_function(wrap_pyfunction!(pull_until, m)?)
}
