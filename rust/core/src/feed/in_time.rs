//! Records of live feeds in the order of the times that they bear: a recording that comes over a socket, on the clock of a
//! simulation.

use super::arrivals::Arrivals;
use super::counters::FeedAccount;
use super::watch::FeedEvent;
use crate::source::{Advance, Slice, Source};

/// The records of one publisher, whose times never decrease. Waits for what has not arrived; nothing depends on when it does.
pub struct InTime(Arrivals);

impl InTime {
    pub(super) fn new(mut arrivals: Arrivals) -> Self {
        arrivals.ignores_silence = true;
        Self(arrivals)
    }
}

impl Source for InTime {
    fn advance(&mut self, max: usize) -> Advance {
        self.0.advance(max)
    }

    fn current(&self) -> Slice<'_> {
        self.0.current()
    }

    fn remaining(&self) -> Option<u64> {
        None
    }

    fn finish(&mut self) {
        self.0.finish();
    }

    fn event(&mut self) -> Option<FeedEvent> {
        self.0.event()
    }

    fn accounts(&mut self) -> Vec<FeedAccount> {
        self.0.accounts()
    }
}
