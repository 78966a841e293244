//! What a dispatcher has for live runs, and for runs of recordings.

use std::rc::Rc;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tickrail_core::InstrumentInfo;

use super::core::{FeedCore, Run, no_instrument};
use super::fork::check_fork;
use super::live::LiveFeeds;
use super::settings::Said;
use crate::dispatcher::Dispatcher;
use crate::errors::{begun, hinted};
use crate::recording::{Recorder, Recording};

impl Dispatcher {
    fn feeds(&self, py: Python<'_>) -> PyResult<&LiveFeeds> {
        check_fork(py, self.born)?;
        self.live.as_ref().ok_or_else(|| {
            hinted(
                py,
                "FeedError",
                "this run is a backtest: it has no live feeds",
                "open it with tickrail.open_live, or make the dispatcher with live=...",
            )
        })
    }
}

#[pymethods]
impl Dispatcher {
    /// Open a live feed. Any thread, before or while the run goes on.
    #[pyo3(signature = (name, settings, instruments, on_event=None))]
    fn open_feed(
        &self,
        py: Python<'_>,
        name: &str,
        settings: Said,
        instruments: Vec<Bound<'_, PyAny>>,
        on_event: Option<Py<PyAny>>,
    ) -> PyResult<FeedCore> {
        let feeds = self.feeds(py)?;
        let table = &self.inside.get(py).table;
        let known = |one| table.resolve(one).map_err(|error| no_instrument(py, "FeedError", name, error));
        let indexes = instruments.iter().map(known).collect::<PyResult<Vec<u32>>>()?;
        let thread = Rc::clone(&self.inside.get(py).thread);
        let run = Run { table: Rc::clone(table), thread, handover: Arc::clone(&feeds.handover) };
        let feed = FeedCore::open(py, &feeds.hub, run, name, &settings, &indexes)?;
        if let Some(hook) = on_event {
            self.inside.get(py).ears.listen(feed.number(), hook);
        }
        self.inside.get(py).feeds.borrow_mut().push(name.to_owned());
        Ok(feed)
    }

    /// Open no more feeds and publishers; the run ends once those that there are have closed. Any thread, idempotent.
    fn seal(&self, py: Python<'_>) -> PyResult<()> {
        self.feeds(py)?.hub.seal();
        Ok(())
    }

    /// Close all feeds; what was published still arrives. Any thread, idempotent.
    fn close_feeds(&self, py: Python<'_>) -> PyResult<()> {
        self.feeds(py)?.hub.close();
        Ok(())
    }

    /// Keep what the run takes; before it begins.
    fn record(&self, py: Python<'_>, capacity: usize, most: usize) -> PyResult<Recorder> {
        self.feeds(py)?;
        let inside = self.inside.get(py);
        if inside.is_begun.get() {
            return Err(begun(py, "the run has begun: what it has taken already cannot be recorded", "record"));
        }
        let observed = inside.prepare(py, self, |core| {
            core.observe(capacity, true).map_err(|error| PyValueError::new_err(error.to_string()))
        })?;
        let Some(observer) = observed else { return Err(PyValueError::new_err("this run does not go by arrival")) };
        let table: Arc<[InstrumentInfo]> = inside.desk.instruments().into();
        Recorder::start(py, observer, most, table)
    }

    /// Run a recording in the place of feeds. Its instruments must be the run's, in their order.
    fn set_recording(&self, py: Python<'_>, recording: &Bound<'_, Recording>) -> PyResult<()> {
        let inside = self.inside.get(py);
        let recording = recording.get();
        let ids = |rows: &[InstrumentInfo]| rows.iter().map(|info| info.id.clone()).collect::<Vec<_>>();
        if ids(recording.instruments()) != ids(inside.desk.instruments()) {
            return Err(hinted(
                py,
                "DataError",
                "the recording's instruments are not those of the run",
                "a recording is the only data of its run, and brings its instruments",
            ));
        }
        inside.plan(|plan| {
            if !plan.inputs.is_empty() || self.live.is_some() {
                return Err(PyValueError::new_err("a recording is the only data of its run"));
            }
            plan.recording = Some(Arc::clone(recording.core()));
            Ok(())
        })?;
        inside.feeds.borrow_mut().push("recording".to_owned());
        Ok(())
    }
}
