//! A simulation by hand, as Python drives it: up to a time, or one step at a time.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use tickrail_core::dispatch::{Dispatcher as Core, Outcome, Step};

use crate::dispatcher::{Dispatcher, ended};
use crate::gil::thread_mark;
use crate::host::PyHost;
use crate::turn;

/// Where a stretch by hand came to.
pub enum Came {
    /// To the time, or through the step that is named.
    To(Option<&'static str>),
    /// To a tick of the pull strategy.
    Tick(Py<PyAny>),
    /// To the end of the run, by this outcome.
    Ended(Outcome),
}

impl Dispatcher {
    /// Drives the loop by hand, starting it first if need be; where the run ends by it, it is settled.
    pub(crate) fn by_hand(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Core<PyHost>) -> PyResult<Came>,
    ) -> PyResult<Came> {
        let inside = self.inside.get(py);
        inside.check_idle()?;
        if inside.end.get().is_some() {
            return Ok(Came::Ended(Outcome::End));
        }
        let result = inside.drive(py, &self.stop, |core| {
            let outcome = match check(core) {
                Err(error) => return Ok(Err(error)),
                Ok(()) if inside.is_begun.replace(true) => Outcome::Slice,
                Ok(()) => core.start(),
            };
            let came = match ended(py, inside, core, outcome)? {
                Some(_) => Came::Ended(outcome),
                None => match act(core) {
                    Ok(came) => came,
                    Err(error) => return Ok(Err(error)),
                },
            };
            if let Came::Ended(outcome) = came {
                let end = ended(py, inside, core, outcome)?.unwrap_or("stopped");
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
                inside.thread.set(0);
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
pub fn until(py: Python<'_>, core: &mut Core<PyHost>, until_ns: i64) -> PyResult<Came> {
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
pub fn step(core: &mut Core<PyHost>) -> Came {
    let name = match core.step() {
        Step::Tick => "tick",
        Step::Timer => "timer",
        Step::OrderUpdate => "order_update",
        Step::Venue => "venue",
        Step::Result => "result",
        Step::Nothing => return Came::To(None),
        Step::Ended(outcome) => return Came::Ended(outcome),
    };
    Came::To(Some(name))
}
