//! What the loop looks at while it waits: every publisher's ring itself, and what stands beside it.
//!
//! Whoever publishes then has nobody to tell but a loop that sleeps, and the ring's own cursor is the notice: one cache line
//! that travels from processor to processor, and behind it the record.

use super::held::Held;
use super::sums::Sums;
use crate::ring::{ConflationGlance, DropOldestGlance, Glance};
use crate::sync::{Arc, Mutex, PoisonError};

/// One publisher's records.
pub(super) struct View {
    /// In its ring.
    pub ring: RingView,
    /// Beside it: what is ready there may be all that there is.
    pub held: Arc<Held>,
}

/// One publisher's ring, by policy.
pub(super) enum RingView {
    Gated(Glance),
    DropOldest(DropOldestGlance),
    Conflated { quotes: ConflationGlance, others: Glance, sums: Arc<Sums> },
}

impl View {
    #[inline]
    pub fn finds(&self) -> bool {
        self.ring.finds() || self.held.owes()
    }
}

impl RingView {
    #[inline]
    fn finds(&self) -> bool {
        match self {
            Self::Gated(ring) => ring.finds(),
            Self::DropOldest(ring) => ring.finds(),
            Self::Conflated { quotes, others, sums } => quotes.finds() || others.finds() || !sums.is_empty(),
        }
    }
}

/// The publishers that the loop knows. Of the dispatch thread: who is not known yet knocks, and calls.
#[derive(Default)]
pub(super) struct Lookout(Mutex<Arc<[View]>>);

impl Lookout {
    /// From now on it is these.
    pub fn watch(&self, views: impl Iterator<Item = View>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = views.collect();
    }

    /// A look at all of them, to be repeated as long as the loop waits: whether one has brought something.
    pub fn look(&self) -> impl Fn() -> bool + use<> {
        let views = Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
        move || views.iter().any(View::finds)
    }
}
