//! Feeds of a live run, as Python opens them and publishes into them.

mod batch;
mod core;
mod ears;
mod event;
mod face;
mod fork;
mod handover;
mod live;
mod places;
mod publisher;
mod ready;
mod settings;
mod stamp;
mod state;

use pyo3::prelude::*;

pub use ears::Ears;
pub use fork::{Birthplace, check_fork};
pub use handover::Handover;
pub use live::LiveFeeds;
pub use ready::Ready;
pub use settings::wait_from;

/// Adds the classes to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    fork::watch();
    m.add_class::<core::FeedCore>()?;
    m.add_class::<event::FeedEvent>()?;
    m.add_class::<publisher::PublisherCore>()
}
