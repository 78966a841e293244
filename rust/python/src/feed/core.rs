//! `FeedCore`: one feed of a live run.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tickrail_core::feed::{FeedHub, FeedShared, OpenError, Publisher};

use super::fork::{Birthplace, check_fork};
use super::handover::Handover;
use super::settings::Said;
use crate::errors::{hinted, not_in_run};
use crate::gil::GilBound;
use crate::table::RunTable;

/// What a publisher needs to know of its run.
#[derive(Clone)]
pub struct Run {
    /// What its instruments are called.
    pub table: Rc<RunTable>,
    /// The dispatch thread while the loop runs, else 0.
    pub thread: Rc<Cell<usize>>,
    /// By which its loop is let have the GIL.
    pub handover: Arc<Handover>,
}

/// What a ``Feed`` holds: opened by a live run, closed by whoever wants no more of it.
///
/// Thread safety: any thread.
#[pyclass(frozen, module = "tickrail._native")]
pub struct FeedCore {
    shared: Arc<FeedShared>,
    hub: Arc<FeedHub>,
    run: GilBound<Run>,
    born: Birthplace,
}

impl FeedCore {
    /// Opens a feed.
    ///
    /// # Errors
    /// There is one of that name, a setting is out of its range, or the run takes no more.
    pub fn open(
        py: Python<'_>,
        hub: &Arc<FeedHub>,
        run: Run,
        name: &str,
        said: &Said,
        instruments: &[u32],
    ) -> PyResult<Self> {
        let shared = hub.open(name, said.settings()?).map_err(|error| not_opened(py, &error))?;
        shared.expect(instruments);
        Ok(Self { shared, hub: Arc::clone(hub), run: GilBound::new(run), born: Birthplace::here() })
    }

    /// Its number, in the order opened.
    pub fn number(&self) -> u32 {
        self.shared.number
    }

    /// A ring of its own, and its run.
    ///
    /// # Errors
    /// The feed is closed, or the run takes no more publishers.
    pub fn publisher(&self, py: Python<'_>) -> PyResult<(Publisher, Run)> {
        check_fork(py, self.born)?;
        let publisher = self.hub.publisher(&self.shared).map_err(|error| not_opened(py, &error))?;
        Ok((publisher, self.run.get(py).clone()))
    }
}

/// What a feed says of an instrument that its run does not have.
#[cold]
pub fn no_instrument(py: Python<'_>, class: &str, feed: &str, error: PyErr) -> PyErr {
    not_in_run(py, class, &format!("feed {feed}: "), error)
}

fn not_opened(py: Python<'_>, error: &OpenError) -> PyErr {
    let message = error.to_string();
    match error {
        OpenError::Capacity(_) | OpenError::Keys(_) | OpenError::Watermarks { .. } => PyValueError::new_err(message),
        OpenError::Taken { .. } => hinted(py, "FeedError", &message, "a feed may have many publishers: open it once"),
        OpenError::TooManyPublishers => {
            hinted(py, "FeedError", &message, "close those that are done; one publisher may bring many instruments")
        }
        _ => hinted(py, "FeedClosed", &message, "open feeds and publishers before the run ends"),
    }
}

#[pymethods]
impl FeedCore {
    /// Ids of the run's instruments, in the order of its table.
    #[getter]
    fn instruments(&self, py: Python<'_>) -> Vec<String> {
        self.run.get(py).table.names()
    }

    /// Its name.
    #[getter]
    fn name(&self) -> &str {
        &self.shared.name
    }

    /// What happens to a record for which there is no slot.
    #[getter]
    fn policy(&self) -> &'static str {
        self.shared.settings.policy.name()
    }

    /// Slots of each publisher's ring.
    #[getter]
    fn capacity(&self) -> usize {
        self.shared.settings.capacity_slots
    }

    /// Whether nothing can be published any more.
    #[getter]
    fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Take no more records; what was published still arrives. Idempotent, any thread.
    fn close(&self) {
        self.shared.close();
    }
}
