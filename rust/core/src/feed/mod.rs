//! Feeds: how records from threads, sockets and other languages enter a live run.
//!
//! A feed is opened with a [`Policy`], which says what happens when the loop is slower than the feed. Each [`Publisher`] of
//! it has a ring of its own and belongs to one thread at a time; the dispatch thread takes from all of them in turn
//! ([`Arrivals`]). A publisher looks at each record before it lets it in, stamps when it came, and counts what it rejects;
//! what became of every record is in the [`FeedAccount`].
//!
//! Reading order: [`Policy`], [`FeedHub`], [`Publisher`], `admission` (what is looked at), `numbers` and `window` (what the
//! source counts, and records out of order), `outlet` and `inlet` (the two ends of a publisher's ring, by policy), `held` (what
//! waits beside it), `latch` (how a stream ends), [`Arrivals`], [`FeedAccount`].

mod admission;
mod arrivals;
mod counters;
mod gap;
mod gathered;
mod held;
mod hub;
mod in_time;
mod inlet;
mod latch;
mod lookout;
mod numbers;
mod outlet;
mod plain;
mod play;
mod policy;
mod publisher;
mod seen;
mod shared;
mod space;
mod stale;
mod sums;
mod watch;
mod window;

use thiserror::Error;

pub use admission::MAX_AHEAD_NS;
pub use arrivals::Arrivals;
pub use counters::FeedAccount;
pub use hub::FeedHub;
pub use in_time::InTime;
pub use numbers::{MAX_BEHIND, MAX_REPEATED};
pub use play::{Played, Recorded};
pub use policy::{Backwards, FeedSettings, Numbering, Policy, RatePolicy, Trades};
pub use publisher::{NotPublished, Publisher};
pub use shared::FeedShared;
pub use space::Space;
pub use watch::{FeedEvent, FeedEventKind, Loss};
pub use window::MAX_HELD;

use crate::ring::{CapacityError, KeysError};

/// Most publishers that are open at once: each has a ring, and is asked in turn.
pub const MAX_PUBLISHERS: u64 = 1_024;

/// Why there is no such feed or publisher.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A ring cannot have that capacity.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// A run with so many instruments cannot conflate.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// There is a feed of that name.
    #[error("there is a feed '{name}' already")]
    Taken {
        /// The name.
        name: String,
    },
    /// Its watermarks are not in order, or beyond its ring.
    #[error(
        "watermarks {low} and {high} for a ring of {capacity_slots} slots; low is below high, and high within the ring"
    )]
    Watermarks {
        /// The low one.
        low: usize,
        /// The high one.
        high: usize,
        /// What the ring holds.
        capacity_slots: usize,
    },
    /// The feed is closed.
    #[error("the feed '{name}' is closed")]
    Closed {
        /// The name.
        name: String,
    },
    /// The run takes no new feeds or publishers any more.
    #[error("the run is stopping: no feed or publisher can be opened any more")]
    Sealed,
    /// [`MAX_PUBLISHERS`] are open.
    #[error("{MAX_PUBLISHERS} publishers are open, the most a run takes")]
    TooManyPublishers,
}

#[cfg(test)]
mod tests;
