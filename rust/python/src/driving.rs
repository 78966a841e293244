//! How a run ends.

use pyo3::prelude::*;
use tickrail_core::dispatch::{Dispatcher as Core, Outcome};

use crate::dispatcher::Inside;
use crate::errors::run_failed;
use crate::host::PyHost;

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
