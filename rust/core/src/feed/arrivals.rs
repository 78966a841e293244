//! The order of a live run: by arrival.
//!
//! Publishers are asked in turn, each for a bounded slice, beginning with the one after the last that had something; none
//! is waited for. So each record comes after those that its publisher brought before it, a quiet feed delays nobody, and a
//! busy one delays the others by a slice.

use std::collections::VecDeque;
use std::sync::Arc;

use super::counters::FeedAccount;
use super::hub::FeedHub;
use super::inlet::Inlet;
use super::stale::StaleWatch;
use super::watch::FeedEvent;
use crate::clock::Clock as _;
use crate::source::{Advance, Feeds, Slice, Source, Taken};
use crate::tick::Tick;

/// How long a publisher that is at work is waited for when its feed is closed: a call takes microseconds.
const PATIENCE_NS: i64 = 1_000_000_000;

/// How often to look whether the wall clock was set: 0.3 us a look.
const LOOK_NS: i64 = 1_000_000_000;

/// Whose slice the current one is.
#[derive(Clone, Copy)]
enum Current {
    Nothing,
    /// That of an inlet, by its place.
    Inlet(usize),
    /// Records that the loop itself has made, about this feed.
    Made(u32),
}

/// In the place of a publisher's number: records that the loop itself has made.
pub const MADE: u32 = u32::MAX;

/// The records of all publishers, by arrival.
pub struct Arrivals {
    hub: Arc<FeedHub>,
    /// One a publisher, in the order opened.
    inlets: Vec<Inlet>,
    /// Of publishers whose stream has ended and that are still there.
    ghosts: Vec<Inlet>,
    current: Current,
    /// Who is asked first.
    turn: usize,
    /// What feeds tell of themselves, the first first.
    events: VecDeque<FeedEvent>,
    stale: StaleWatch,
    /// Records of the loop itself: STALE.
    made: Vec<Tick>,
    /// What publishers that are gone have left in their feeds' accounts.
    feeds: Vec<FeedAccount>,
    is_sealed: bool,
    /// When to look next whether the wall clock was set.
    next_look_ns: i64,
    /// Whether silence is nothing to be told: time is that of the records.
    pub(super) ignores_silence: bool,
}

impl Arrivals {
    pub(super) fn new(hub: Arc<FeedHub>) -> Self {
        Self {
            inlets: Vec::new(),
            ghosts: Vec::new(),
            current: Current::Nothing,
            turn: 0,
            events: VecDeque::new(),
            stale: StaleWatch::new(hub.instrument_count()),
            made: Vec::new(),
            feeds: Vec::new(),
            is_sealed: false,
            next_look_ns: 0,
            ignores_silence: false,
            hub,
        }
    }

    #[cold]
    fn let_in(&mut self) {
        let now_ns = self.hub.clock().now_ns();
        let mut door = self.hub.open_door();
        self.inlets.append(&mut door.inlets);
        self.hub.lookout().watch(self.inlets.iter().map(Inlet::view));
        for feed in &door.feeds[door.known..] {
            self.feeds.push(FeedAccount { name: feed.name.clone(), ..FeedAccount::default() });
            if !self.ignores_silence {
                self.stale.add(feed, now_ns);
            }
        }
        door.known = door.feeds.len();
        self.is_sealed = door.is_sealed;
    }

    /// The next slice of a publisher; where it has none and its feed is closed, its stream ends.
    fn ask(&mut self, index: usize, max: usize) -> Advance {
        let inlet = &mut self.inlets[index];
        let advance = inlet.advance(max);
        if advance != Advance::Pending || !inlet.ends.feed.is_closed() {
            return advance;
        }
        if inlet.ends.latch.shut() {
            // What it brought before that, no later look could find.
            return if inlet.advance_to_end(max) == Advance::Ready { Advance::Ready } else { Advance::End };
        }
        let now_ns = self.hub.clock().now_ns();
        let since_ns = *inlet.shut_since_ns.get_or_insert(now_ns);
        if now_ns - since_ns < PATIENCE_NS {
            return Advance::Pending;
        }
        // Its thread is gone, or was stopped, in the middle of a call.
        self.feeds[inlet.feed() as usize].abandoned += 1;
        Advance::End
    }

    /// Whether a feed has been silent for too long: then the current slice says so. One of which something waits is not silent,
    /// however long the loop was away.
    fn tell_silence(&mut self) -> bool {
        let inlets = &self.inlets;
        let brings = |feed| inlets.iter().any(|inlet| inlet.feed() == feed && inlet.has_something());
        let Some((feed, records)) = self.stale.overdue(self.hub.clock().now_ns(), brings) else { return false };
        let account = &mut self.feeds[feed as usize];
        let count = records.len() as u64;
        account.made += count;
        account.published += count;
        account.taken += count;
        account.stale += 1;
        self.made = records;
        self.current = Current::Made(feed);
        true
    }

    /// A publisher has closed and everything of it was taken.
    #[cold]
    fn bury(&mut self, index: usize) {
        let inlet = self.inlets.remove(index);
        self.hub.lookout().watch(self.inlets.iter().map(Inlet::view));
        self.hub.forget_publisher();
        if self.turn > index {
            self.turn -= 1;
        }
        self.lay_to_rest(inlet);
    }

    /// As long as the publisher is there it may still count what it is refused.
    fn lay_to_rest(&mut self, inlet: Inlet) {
        if inlet.is_sole() {
            inlet.add_to(&mut self.feeds[inlet.feed() as usize]);
        } else {
            self.ghosts.push(inlet);
        }
    }

    /// Keeps what a publisher has to tell.
    #[inline]
    fn listen(&mut self, index: usize) {
        if self.inlets[index].watch.has_news() {
            self.inlets[index].tell(self.hub.clock().now_ns(), &mut self.events);
        }
    }

    /// Takes nothing any more: every feed is closed, and whoever waits for slots is told, those too that never were let in.
    fn leave(&mut self) {
        self.hub.close();
        self.let_in();
        self.inlets.iter().for_each(Inlet::farewell);
    }

    /// How many records of the current slice's publisher wait, the slice among them.
    pub fn lag_records(&self) -> u64 {
        if let Current::Inlet(index) = self.current { self.inlets[index].waiting() } else { 0 }
    }
}

/// A loop that was not finished, as one in which something panicked, leaves too: nobody waits for it.
impl Drop for Arrivals {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Source for Arrivals {
    fn advance(&mut self, max: usize) -> Advance {
        if self.hub.has_knocked() {
            self.let_in();
        }
        self.current = Current::Nothing;
        if !self.stale.is_empty() && self.tell_silence() {
            return Advance::Ready;
        }
        let mut left = self.inlets.len();
        while left > 0 {
            left -= 1;
            if self.turn >= self.inlets.len() {
                self.turn = 0;
            }
            let advance = self.ask(self.turn, max);
            self.listen(self.turn);
            match advance {
                Advance::Ready => {
                    self.current = Current::Inlet(self.turn);
                    self.turn += 1;
                    return Advance::Ready;
                }
                Advance::Pending => self.turn += 1,
                Advance::End => self.bury(self.turn),
            }
        }
        if self.is_sealed && self.inlets.is_empty() { Advance::End } else { Advance::Pending }
    }

    fn current(&self) -> Slice<'_> {
        match self.current {
            Current::Inlet(index) => {
                let inlet = &self.inlets[index];
                Slice { ticks: inlet.ticks(), feeds: Feeds::One(inlet.feed()), block: None }
            }
            Current::Made(feed) => Slice { ticks: &self.made, feeds: Feeds::One(feed), block: None },
            Current::Nothing => Slice { ticks: &[], feeds: Feeds::One(0), block: None },
        }
    }

    fn remaining(&self) -> Option<u64> {
        None
    }

    fn taken(&mut self) -> Option<Taken> {
        let now_ns = self.hub.clock().now_ns();
        if now_ns >= self.next_look_ns {
            self.next_look_ns = now_ns.saturating_add(LOOK_NS);
            self.hub.clock().look();
        }
        let publisher = match self.current {
            Current::Inlet(index) => {
                let inlet = &self.inlets[index];
                if !self.stale.is_empty() {
                    self.stale.heard(inlet.feed(), inlet.came_ns().unwrap_or(now_ns));
                }
                inlet.publisher
            }
            Current::Made(_) => MADE,
            Current::Nothing => 0,
        };
        Some(Taken { now_ns, publisher, waiting: self.lag_records() })
    }

    fn next_due_ns(&self) -> i64 {
        let window_ns = self.inlets.iter().map(|inlet| inlet.ends.held.due_ns()).min().unwrap_or(i64::MAX);
        self.stale.next_ns().min(window_ns)
    }

    fn finish(&mut self) {
        self.leave();
    }

    fn event(&mut self) -> Option<FeedEvent> {
        self.events.pop_front()
    }

    fn accounts(&mut self) -> Vec<FeedAccount> {
        self.let_in();
        for inlet in std::mem::take(&mut self.ghosts) {
            self.lay_to_rest(inlet);
        }
        let mut feeds = self.feeds.clone();
        self.ghosts.iter().for_each(|inlet| inlet.add_to(&mut feeds[inlet.feed() as usize]));
        for inlet in &self.inlets {
            let feed = &mut feeds[inlet.feed() as usize];
            inlet.add_to(feed);
            feed.publishers += 1;
        }
        feeds
    }
}
