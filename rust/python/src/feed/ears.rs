//! Who is told what feeds tell of themselves.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use pyo3::prelude::*;
use tickrail_core::dispatch::Fault;
use tickrail_core::feed::{FeedEvent as CoreEvent, FeedHub};

use super::event::FeedEvent;
use crate::host::{Registered, fault};

/// What whoever runs a feed wants to have called, by the feed's number.
#[derive(Default)]
pub struct Ears {
    hooks: RefCell<HashMap<u32, Py<PyAny>>>,
    /// Knows what feeds are called; `None` in a replay.
    hub: Option<Arc<FeedHub>>,
}

impl Ears {
    /// For the feeds of `hub`.
    pub fn new(hub: Option<Arc<FeedHub>>) -> Self {
        Self { hooks: RefCell::default(), hub }
    }

    /// Calls `hook` with each event of `feed`.
    pub fn listen(&self, feed: u32, hook: Py<PyAny>) {
        self.hooks.borrow_mut().insert(feed, hook);
    }

    fn event(&self, event: &CoreEvent) -> FeedEvent {
        let name = self.hub.as_ref().and_then(|hub| hub.name_of(event.feed));
        FeedEvent::new(name.unwrap_or_else(|| format!("feed {}", event.feed)), *event)
    }

    /// Calls the feed's hook. What that raises is reported and ends nothing: it is no part of the run.
    pub fn call_hook(&self, event: &CoreEvent) -> Result<(), Fault<PyErr>> {
        if self.hooks.borrow().is_empty() {
            return Ok(());
        }
        Python::attach(|py| {
            let Some(hook) = self.hooks.borrow().get(&event.feed).map(|hook| hook.clone_ref(py)) else { return Ok(()) };
            match hook.call1(py, (self.event(event),)).map_err(fault) {
                Err(Fault::Failed(error)) => error.write_unraisable(py, Some(hook.bind(py))),
                Err(interrupt) => return Err(interrupt),
                Ok(_) => {}
            }
            Ok(())
        })
    }

    /// Calls a strategy's `on_event`.
    pub fn tell(&self, registered: &Registered, event: &CoreEvent) -> Result<(), Fault<PyErr>> {
        let Some(method) = registered.handlers.event() else { return Ok(()) };
        Python::attach(|py| {
            let event = Py::new(py, self.event(event)).map_err(fault)?;
            // SAFETY: `event` lives until the end of this closure.
            unsafe { method.call(py, event.as_ptr()) }.map_err(fault)
        })
    }
}
