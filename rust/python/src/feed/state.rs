//! What a publisher of Python's keeps between two calls.

use std::sync::Arc;

use tickrail_core::Tick;
use tickrail_core::feed::Publisher;

use super::places::Places;
use super::ready::Ready;

/// What a publisher has between calls, for the thread that it belongs to.
pub struct State {
    /// The native half.
    pub core: Publisher,
    /// Instruments that it was asked for.
    pub places: Places,
    /// A piece of a batch that is waited for.
    pub piece: Vec<Tick>,
    /// What an asynchronous call has not brought yet: from `brought` on.
    pub staged: Vec<Tick>,
    /// See `staged`.
    pub brought: usize,
    /// When the loop was last let have the GIL, by the run's clock.
    pub handed_over_ns: i64,
    /// What an event loop waits on.
    pub ready: Option<Arc<Ready>>,
}

impl State {
    /// Nothing brought yet.
    pub fn new(core: Publisher) -> Self {
        Self {
            core,
            places: Places::new(),
            piece: Vec::new(),
            staged: Vec::new(),
            brought: 0,
            handed_over_ns: 0,
            ready: None,
        }
    }

    /// Brings what is staged, as far as there are slots; whether it is all in.
    pub fn offer_staged(&mut self) -> bool {
        self.brought += self.core.offer(&self.staged[self.brought..]);
        let is_done = self.brought == self.staged.len();
        if is_done {
            self.staged.clear();
            self.brought = 0;
        }
        is_done
    }

    /// Gives up what is staged and not in; how many of how many were.
    pub fn give_up_staged(&mut self) -> (usize, usize) {
        let (taken, offered) = (self.brought, self.staged.len());
        self.core.give_up(offered - taken);
        self.staged.clear();
        self.brought = 0;
        (taken, offered)
    }

    /// Ends the stream; what is staged and not in will never be, and is counted.
    pub fn close(&mut self) {
        self.give_up_staged();
        self.core.close();
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.close();
    }
}
