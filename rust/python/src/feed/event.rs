//! What feeds tell of themselves, as Python sees it.

use pyo3::prelude::*;
use tickrail_core::feed::{FeedEvent as CoreEvent, FeedEventKind, Loss};

/// Something about a live feed: much waits in a publisher's ring, little does again, or records were lost.
#[pyclass(frozen, module = "tickrail")]
pub struct FeedEvent {
    /// The feed's name.
    #[pyo3(get)]
    feed: String,
    event: CoreEvent,
}

impl FeedEvent {
    /// Of the feed called `feed`.
    pub const fn new(feed: String, event: CoreEvent) -> Self {
        Self { feed, event }
    }

    const fn loss(&self) -> Loss {
        match self.event.kind {
            FeedEventKind::Lossy(loss) => loss,
            _ => Loss { from_ns: self.event.now_ns, dropped_newest: 0, dropped_oldest: 0, conflated: 0 },
        }
    }
}

#[pymethods]
impl FeedEvent {
    /// ``"high_watermark"``, ``"low_watermark"`` or ``"lossy"``.
    #[getter]
    const fn kind(&self) -> &'static str {
        match self.event.kind {
            FeedEventKind::High { .. } => "high_watermark",
            FeedEventKind::Low { .. } => "low_watermark",
            FeedEventKind::Lossy(_) => "lossy",
        }
    }

    /// Number of the publisher, in the order opened.
    #[getter]
    const fn publisher(&self) -> u32 {
        self.event.publisher
    }

    /// When the loop saw it, ns UTC; of ``lossy`` when it had caught up.
    #[getter]
    const fn ts_ns(&self) -> i64 {
        self.event.now_ns
    }

    /// Of ``lossy``: when the first record was lost; else as ``ts_ns``.
    #[getter(from_ns)]
    const fn began_ns(&self) -> i64 {
        self.loss().from_ns
    }

    /// Of a watermark: how many records wait; else 0.
    #[getter]
    const fn waiting(&self) -> u64 {
        match self.event.kind {
            FeedEventKind::High { waiting } | FeedEventKind::Low { waiting } => waiting,
            FeedEventKind::Lossy(_) => 0,
        }
    }

    /// Of ``lossy``: records that went, as there was no slot.
    #[getter]
    const fn dropped_newest(&self) -> u64 {
        self.loss().dropped_newest
    }

    /// Of ``lossy``: records that gave way to later ones.
    #[getter]
    const fn dropped_oldest(&self) -> u64 {
        self.loss().dropped_oldest
    }

    /// Of ``lossy``: records that a later one of their instrument replaced.
    #[getter]
    const fn conflated(&self) -> u64 {
        self.loss().conflated
    }

    fn __repr__(&self) -> String {
        let loss = self.loss();
        let numbers = match self.event.kind {
            FeedEventKind::Lossy(_) => format!(
                "dropped_newest={}, dropped_oldest={}, conflated={}",
                loss.dropped_newest, loss.dropped_oldest, loss.conflated
            ),
            _ => format!("waiting={}", self.waiting()),
        };
        format!("FeedEvent({}, feed={:?}, {numbers})", self.kind(), self.feed)
    }
}
