//! How the loop is driven from one tick of the pull strategy to the next, and how a run ends.

use pyo3::prelude::*;
use tickrail_core::Tick;
use tickrail_core::dispatch::{Dispatcher as Core, Outcome};

use crate::dispatcher::Inside;
use crate::errors::run_failed;
use crate::host::PyHost;
use crate::turn;

/// Where a pull came to.
pub enum Pulled {
    /// To a tick.
    Tick(Py<PyAny>),
    /// To the end of the run.
    End(&'static str),
}

/// Goes on to the next tick of the pull strategy, starting the run first if need be.
pub fn pull_next(py: Python<'_>, inside: &Inside, core: &mut Core<PyHost>) -> PyResult<Pulled> {
    let shown = |core: &mut Core<PyHost>, tick: Tick| -> PyResult<Pulled> {
        let object = core.host_mut().pulled(py, &tick)?;
        // SAFETY: `pulled` returns a new reference.
        Ok(Pulled::Tick(unsafe { Bound::from_owned_ptr(py, object) }.unbind()))
    };
    if let Some(tick) = core.pull_on().copied() {
        return shown(core, tick);
    }
    let mut outcome = if inside.is_begun.replace(true) { core.advance() } else { core.start() };
    loop {
        if let Some(tick) = core.pulled().copied() {
            return shown(core, tick);
        }
        if let Some(end) = ended(py, inside, core, outcome)? {
            core.finish();
            return Ok(Pulled::End(end));
        }
        turn::offer(py)?;
        outcome = core.advance();
    }
}

/// How the run ended by `outcome`, if it did.
pub fn ended(py: Python<'_>, inside: &Inside, core: &Core<PyHost>, outcome: Outcome) -> PyResult<Option<&'static str>> {
    match outcome {
        Outcome::Slice | Outcome::Pulled | Outcome::Idle | Outcome::Reached => Ok(None),
        Outcome::End => Ok(Some("end")),
        Outcome::Stopped => Ok(Some("stopped")),
        Outcome::Interrupted => Ok(Some("interrupted")),
        Outcome::Failed(error) => match core.host_failure() {
            Some(failure) => Err(failure.clone_ref(py)),
            None => Err(run_failed(py, &error, &inside.feeds.borrow())),
        },
    }
}
