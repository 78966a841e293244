//! What is known of a run before its loop is built, and what is refused of it.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tickrail_core::Kind;
use tickrail_core::dispatch::{BatchEdges, Delivery, Ending, Kinds, LagRule, RunSettings, Subscription, Supervision};
use tickrail_core::order::{Merge, MergeInput};
use tickrail_core::replay::{Recording, Replay};
use tickrail_core::source::Source;
use tickrail_core::tick::OrderBy;
use tickrail_core::venue::SimulatedVenue;

use crate::feed::LiveFeeds;
use crate::host::{Handlers, Registered};
use crate::lanes::Commands;
use crate::outbox::Away;

/// Most ticks of one batch: a batch is held in memory.
const MAX_BATCH_TICKS: usize = 1 << 24;

/// What is known before the loop is built.
pub struct Plan {
    /// Fixed for the run.
    pub settings: RunSettings,
    /// Where orders go.
    pub venue: SimulatedVenue,
    /// Of them those that are outside of the process.
    pub away: Option<Away>,
    /// In feed order.
    pub inputs: Vec<MergeInput>,
    /// Of a live run that is run again.
    pub recording: Option<Arc<Recording>>,
    /// In order of registration.
    pub strategies: Vec<(Registered, Subscription)>,
    /// What lag strategies bear, by number.
    pub lag_rules: Vec<(u32, LagRule)>,
    /// What is done about their failures.
    pub supervision: Vec<(u32, Supervision)>,
    /// What becomes of their orders and positions at the end.
    pub endings: Vec<(u32, Ending)>,
    /// Capital and leverage of strategies, by number.
    pub funds: Vec<(u32, f64, f64)>,
    /// Whether every tick is a new object.
    pub always_fresh: bool,
    /// Which ticks are measured; 0: none.
    pub sample_every: u32,
    /// How commands come.
    pub commands: Commands,
}

/// `found`, or an error that says what was expected.
pub fn named<T>(what: &str, value: &str, expected: &str, found: Option<T>) -> PyResult<T> {
    found.ok_or_else(|| PyValueError::new_err(format!("{what} is {value:?}: expected {expected}")))
}

/// The data as one source: live feeds, a recording, or recorded feeds.
pub fn source(
    live: Option<&LiveFeeds>,
    recording: Option<Arc<Recording>>,
    inputs: Vec<MergeInput>,
    order: OrderBy,
) -> PyResult<Box<dyn Source>> {
    match (live, recording) {
        (Some(feeds), _) if feeds.is_in_time => Ok(Box::new(feeds.hub.in_time())),
        (Some(feeds), _) => Ok(Box::new(feeds.hub.arrivals())),
        (None, Some(recording)) => Ok(Box::new(Replay::new(recording))),
        (None, None) => merged(inputs, order),
    }
}

fn merged(inputs: Vec<MergeInput>, order: OrderBy) -> PyResult<Box<dyn Source>> {
    Merge::new(inputs, order)
        .map(|merge| Box::new(merge) as Box<dyn Source>)
        .map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Where batches of the strategy `name` end.
pub fn edges_of(name: &str, max_ticks: usize, window_ns: i64) -> PyResult<BatchEdges> {
    if (1..=MAX_BATCH_TICKS).contains(&max_ticks) && window_ns >= 0 {
        return Ok(BatchEdges { max_ticks, window_ns });
    }
    Err(PyValueError::new_err(format!(
        "batch edges of {name}: max_ticks is {max_ticks} (expected 1 to {MAX_BATCH_TICKS}), window_ns is {window_ns} \
         (expected 0 for none, or a period)"
    )))
}

/// How a strategy with these handlers takes its ticks.
pub fn delivery_of(handlers: &Handlers, edges: BatchEdges) -> (Delivery, Kinds) {
    if handlers.batch.is_some() {
        return (Delivery::Batches(edges), Kinds::ALL);
    }
    if handlers.takes_all() || handlers.ticks.is_some() {
        return (Delivery::Ticks, Kinds::ALL);
    }
    let taken = Kind::ALL.into_iter().filter(|&kind| handlers.takes(kind));
    (Delivery::Ticks, taken.fold(Kinds::NONE, Kinds::with))
}
