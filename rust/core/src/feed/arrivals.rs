//! The order of a live run: by arrival.
//!
//! Publishers are asked in turn, each for a bounded slice, beginning with the one after the last that had something; none
//! is waited for. So each record comes after those that its publisher brought before it, a quiet feed delays nobody, and a
//! busy one delays the others by a slice.

use std::sync::Arc;

use super::admission::Admission;
use super::counters::{Counters, FeedAccount};
use super::inlet::{Half, Inlet};
use super::outlet::Outlet;
use super::policy::{FeedSettings, Policy};
use super::publisher::Publisher;
use super::shared::FeedShared;
use super::space::Space;
use super::sums::Sums;
use super::{MAX_PUBLISHERS, OpenError};
use crate::clock::LiveClock;
use crate::instrument::InstrumentInfo;
use crate::ring;
use crate::source::{Advance, Feeds, Slice, Source};
use crate::stop::Waker;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, PoisonError};

/// Where feeds are opened, from any thread and at any time of a run.
pub struct FeedHub {
    clock: Arc<LiveClock>,
    instruments: Arc<[InstrumentInfo]>,
    waker: Arc<Waker>,
    /// What the loop has not seen yet.
    door: Mutex<Door>,
    /// Whether something stands in the door. Release by who puts it there, Acquire by the loop.
    knocked: AtomicBool,
    /// How many publishers are open. Relaxed: a limit, which guards nothing.
    publishers: AtomicU64,
}

#[derive(Default)]
struct Door {
    feeds: Vec<Arc<FeedShared>>,
    /// Those of them that the loop knows.
    known: usize,
    inlets: Vec<Inlet>,
    is_sealed: bool,
}

impl FeedHub {
    /// No feeds yet; `waker` wakes the loop.
    pub fn new(clock: Arc<LiveClock>, instruments: Arc<[InstrumentInfo]>, waker: Arc<Waker>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            instruments,
            waker,
            door: Mutex::default(),
            knocked: AtomicBool::new(false),
            publishers: AtomicU64::new(0),
        })
    }

    fn with_door<R>(&self, act: impl FnOnce(&mut Door) -> R) -> R {
        let result = act(&mut self.door.lock().unwrap_or_else(PoisonError::into_inner));
        self.knocked.store(true, Ordering::Release);
        self.waker.wake();
        result
    }

    /// Opens a feed.
    ///
    /// # Errors
    /// There is one of that name, its capacity cannot be, or the run takes no more.
    pub fn open(&self, name: &str, settings: FeedSettings) -> Result<Arc<FeedShared>, OpenError> {
        ring::ingress(0, settings.capacity_slots.min(ring::MAX_CAPACITY_SLOTS + 1)).map(drop)?;
        self.with_door(|door| {
            if door.is_sealed {
                return Err(OpenError::Sealed);
            }
            if door.feeds.iter().any(|feed| feed.name == name) {
                return Err(OpenError::Taken { name: name.to_owned() });
            }
            let number = door.feeds.len() as u32;
            let feed = Arc::new(FeedShared::new(
                name.to_owned(),
                number,
                settings,
                Arc::clone(&self.clock),
                Arc::clone(&self.waker),
            ));
            door.feeds.push(Arc::clone(&feed));
            Ok(feed)
        })
    }

    /// Opens a publisher of `feed`: a ring of its own.
    ///
    /// # Errors
    /// The feed is closed, or the run takes no more publishers.
    pub fn publisher(&self, feed: &Arc<FeedShared>) -> Result<Publisher, OpenError> {
        if feed.is_closed() {
            return Err(OpenError::Closed { name: feed.name.clone() });
        }
        if self.publishers.load(Ordering::Relaxed) >= MAX_PUBLISHERS {
            return Err(OpenError::TooManyPublishers);
        }
        let settings = feed.settings;
        let (outlet, half) = self.halves(feed)?;
        let (counters, space) = (Arc::new(Counters::default()), Arc::new(Space::default()));
        let waits = settings.policy == Policy::Block;
        let inlet = Inlet::new(feed.number, half, Arc::clone(&counters), Arc::clone(&space), waits);
        self.with_door(|door| {
            if door.is_sealed {
                return Err(OpenError::Sealed);
            }
            door.inlets.push(inlet);
            Ok(())
        })?;
        self.publishers.fetch_add(1, Ordering::Relaxed);
        let admission = Admission::new(Arc::clone(&self.instruments), settings.backwards, settings.numbering);
        Ok(Publisher::new(outlet, admission, counters, space, Arc::clone(feed)))
    }

    fn halves(&self, feed: &FeedShared) -> Result<(Outlet, Half), OpenError> {
        let capacity_slots = feed.settings.capacity_slots;
        Ok(match feed.settings.policy {
            Policy::Block | Policy::Reject => {
                let (producer, consumer) = ring::ingress(feed.number, capacity_slots)?;
                (Outlet::Gated(producer), Half::Gated(consumer))
            }
            Policy::DropNewest => {
                let (producer, consumer) = ring::ingress(feed.number, capacity_slots)?;
                (Outlet::DropNewest(producer), Half::Gated(consumer))
            }
            Policy::DropOldest => {
                let (producer, consumer) = ring::drop_oldest(capacity_slots)?;
                (Outlet::DropOldest(producer), Half::DropOldest(consumer))
            }
            Policy::Conflate { trades } => {
                let (writer, quotes) = ring::conflation(self.instruments.len().max(1))?;
                let (producer, others) = ring::ingress(feed.number, capacity_slots)?;
                let sums = Arc::new(Sums::default());
                let outlet = Outlet::Conflate { quotes: writer, others: producer, trades, sums: Arc::clone(&sums) };
                (outlet, Half::Conflated { quotes, others, sums })
            }
        })
    }

    /// Closes every feed, and takes no new one: the run ends once everything has arrived. Idempotent, any thread.
    pub fn seal(&self) {
        self.with_door(|door| {
            door.is_sealed = true;
            door.feeds.iter().for_each(|feed| feed.close());
        });
    }

    /// The loop's end: one of a run.
    pub fn arrivals(self: &Arc<Self>) -> Arrivals {
        Arrivals {
            hub: Arc::clone(self),
            inlets: Vec::new(),
            current: None,
            turn: 0,
            feeds: Vec::new(),
            is_sealed: false,
        }
    }
}

/// The records of all publishers, by arrival.
pub struct Arrivals {
    hub: Arc<FeedHub>,
    /// One a publisher, in the order opened.
    inlets: Vec<Inlet>,
    /// Whose slice is the current one.
    current: Option<usize>,
    /// Who is asked first.
    turn: usize,
    /// What publishers that are gone have left in their feeds' accounts.
    feeds: Vec<FeedAccount>,
    is_sealed: bool,
}

impl Arrivals {
    #[cold]
    fn answer_the_door(&mut self) {
        let mut door = self.hub.door.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: who comes later knocks again.
        self.hub.knocked.store(false, Ordering::Relaxed);
        self.inlets.append(&mut door.inlets);
        for feed in &door.feeds[door.known..] {
            self.feeds.push(FeedAccount { name: feed.name.clone(), ..FeedAccount::default() });
        }
        door.known = door.feeds.len();
        self.is_sealed = door.is_sealed;
    }

    /// A publisher has closed and everything of it was taken.
    #[cold]
    fn bury(&mut self, index: usize) {
        let inlet = self.inlets.remove(index);
        inlet.add_to(&mut self.feeds[inlet.feed as usize]);
        self.hub.publishers.fetch_sub(1, Ordering::Relaxed);
        if self.turn > index {
            self.turn -= 1;
        }
    }

    /// How many records of the current slice's publisher wait, the slice among them.
    pub fn lag_records(&self) -> u64 {
        self.current.map_or(0, |index| self.inlets[index].waiting())
    }
}

impl Source for Arrivals {
    fn advance(&mut self, max: usize) -> Advance {
        if self.hub.knocked.load(Ordering::Acquire) {
            self.answer_the_door();
        }
        self.current = None;
        let mut left = self.inlets.len();
        while left > 0 {
            left -= 1;
            if self.turn >= self.inlets.len() {
                self.turn = 0;
            }
            match self.inlets[self.turn].advance(max) {
                Advance::Ready => {
                    self.current = Some(self.turn);
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
            Some(index) => {
                let inlet = &self.inlets[index];
                Slice { ticks: inlet.ticks(), feeds: Feeds::One(inlet.feed), block: None }
            }
            None => Slice { ticks: &[], feeds: Feeds::One(0), block: None },
        }
    }

    fn remaining(&self) -> Option<u64> {
        None
    }

    fn accounts(&mut self) -> Vec<FeedAccount> {
        self.answer_the_door();
        let mut feeds = self.feeds.clone();
        for inlet in &self.inlets {
            let feed = &mut feeds[inlet.feed as usize];
            inlet.add_to(feed);
            feed.publishers += 1;
        }
        feeds
    }
}
