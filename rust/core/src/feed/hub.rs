//! Where feeds and publishers are opened.

use std::sync::Arc;

use super::admission::Admission;
use super::arrivals::Arrivals;
use super::counters::Counters;
use super::held::Held;
use super::in_time::InTime;
use super::inlet::{Half, Inlet};
use super::latch::Latch;
use super::lookout::Lookout;
use super::outlet::Outlet;
use super::policy::{FeedSettings, Policy};
use super::publisher::Publisher;
use super::shared::FeedShared;
use super::space::Space;
use super::sums::Sums;
use super::{MAX_PUBLISHERS, OpenError};
use crate::clock::{Clock as _, LiveClock};
use crate::instrument::InstrumentInfo;
use crate::ring;
use crate::stop::Waker;
use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, PoisonError};

/// Where feeds are opened, from any thread and at any time of a run.
pub struct FeedHub {
    clock: Arc<LiveClock>,
    instruments: Arc<[InstrumentInfo]>,
    waker: Arc<Waker>,
    /// What it looks at while it waits.
    lookout: Lookout,
    /// What the loop has not seen yet.
    door: Mutex<Door>,
    /// Whether something stands in the door. Release by who puts it there, Acquire by the loop.
    knocked: AtomicBool,
    /// Whether time is that of the records.
    ignores_clock: Arc<AtomicBool>,
    /// How many publishers are open. Relaxed: a limit, which guards nothing.
    publishers: AtomicU64,
}

#[derive(Default)]
pub(super) struct Door {
    pub feeds: Vec<Arc<FeedShared>>,
    /// Those of them that the loop knows.
    pub known: usize,
    /// Of publishers that the loop does not know.
    pub inlets: Vec<Inlet>,
    /// How many were ever opened.
    publishers: u32,
    pub is_sealed: bool,
}

/// What both ends of a publisher's stream have.
#[derive(Clone)]
pub(super) struct Ends {
    pub feed: Arc<FeedShared>,
    pub counters: Arc<Counters>,
    pub space: Arc<Space>,
    pub latch: Arc<Latch>,
    pub held: Arc<Held>,
}

impl Ends {
    fn of(feed: &Arc<FeedShared>, ignores_clock: &Arc<AtomicBool>) -> Self {
        let held = Arc::new(Held::new(&feed.settings, Arc::clone(ignores_clock)));
        Self { feed: Arc::clone(feed), counters: Arc::default(), space: Arc::default(), latch: Arc::default(), held }
    }

    /// Whether there may be something for the loop beside the ring. `is_over`: the publisher brings nothing any more.
    pub fn may_hold(&self, is_over: bool) -> bool {
        let due_ns = self.held.due_ns();
        let is_due = due_ns < i64::MAX && self.feed.clock.now_ns() >= due_ns;
        self.held.owes() || is_due || (is_over && self.counters.held.get() > 0)
    }
}

impl FeedHub {
    /// No feeds yet; `waker` wakes the loop.
    pub fn new(clock: Arc<LiveClock>, instruments: Arc<[InstrumentInfo]>, waker: Arc<Waker>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            instruments,
            waker,
            lookout: Lookout::default(),
            door: Mutex::default(),
            knocked: AtomicBool::new(false),
            ignores_clock: Arc::default(),
            publishers: AtomicU64::new(0),
        })
    }

    fn with_door<R>(&self, act: impl FnOnce(&mut Door) -> R) -> R {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut door);
        self.knocked.store(true, Ordering::Release);
        drop(door);
        self.waker.wake();
        result
    }

    /// Opens a feed.
    ///
    /// # Errors
    /// There is one of that name, its capacity cannot be, or the run takes no more.
    pub fn open(&self, name: &str, settings: FeedSettings) -> Result<Arc<FeedShared>, OpenError> {
        ring::ingress(0, settings.capacity_slots.min(ring::MAX_CAPACITY_SLOTS + 1)).map(drop)?;
        check_watermarks(&settings)?;
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
                self.instruments.len(),
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
        let (outlet, half) = self.halves(feed)?;
        let ends = Ends::of(feed, &self.ignores_clock);
        let mut inlet = Inlet::new(half, ends.clone());
        self.with_door(|door| {
            if door.is_sealed {
                return Err(OpenError::Sealed);
            }
            inlet.publisher = door.publishers;
            door.publishers += 1;
            door.inlets.push(inlet);
            Ok(())
        })?;
        self.publishers.fetch_add(1, Ordering::Relaxed);
        let admission = Admission::new(Arc::clone(&self.instruments), Arc::clone(feed), Arc::clone(&ends.held));
        Ok(Publisher::new(outlet, admission, ends))
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

    /// Takes no new feed or publisher: the run ends once those that there are have closed and everything has arrived.
    /// Idempotent, any thread.
    pub fn seal(&self) {
        self.with_door(|door| door.is_sealed = true);
    }

    /// The same, and closes every feed: the run ends once everything has arrived. Idempotent, any thread.
    pub fn close(&self) {
        self.with_door(|door| {
            door.is_sealed = true;
            door.feeds.iter().for_each(|feed| feed.close());
        });
    }

    /// Nothing that arrives depends on when it does: time is that of the records. Before the first of them is published.
    pub fn ignore_clock(&self) {
        self.ignores_clock.store(true, Ordering::Relaxed);
    }

    /// What the feed of that number is called.
    pub fn name_of(&self, feed: u32) -> Option<String> {
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        door.feeds.get(feed as usize).map(|feed| feed.name.clone())
    }

    /// How many instruments the run has.
    pub(super) fn instrument_count(&self) -> usize {
        self.instruments.len()
    }

    /// The run's clock.
    pub const fn clock(&self) -> &Arc<LiveClock> {
        &self.clock
    }

    /// Wakes the loop.
    pub const fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// A look at all publishers that the loop knows, to be repeated as long as it waits: whether one has brought something. By
    /// the dispatch thread, behind a turn that found nothing.
    pub fn look(&self) -> impl Fn() -> bool + use<> {
        self.lookout.look()
    }

    pub(super) const fn lookout(&self) -> &Lookout {
        &self.lookout
    }

    /// Whether something stands at the door.
    pub(super) fn has_knocked(&self) -> bool {
        self.knocked.load(Ordering::Acquire)
    }

    /// The door, with its bell silenced: who comes later rings again, as that is done under the lock.
    pub(super) fn open_door(&self) -> MutexGuard<'_, Door> {
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        self.knocked.store(false, Ordering::Relaxed);
        door
    }

    /// A publisher is gone.
    pub(super) fn forget_publisher(&self) {
        self.publishers.fetch_sub(1, Ordering::Relaxed);
    }

    /// The loop's end: one of a run.
    pub fn arrivals(self: &Arc<Self>) -> Arrivals {
        Arrivals::new(Arc::clone(self))
    }

    /// The same for a run on the clock of its records, which come by one publisher.
    pub fn in_time(self: &Arc<Self>) -> InTime {
        self.ignore_clock();
        InTime::new(self.arrivals())
    }
}

fn check_watermarks(settings: &FeedSettings) -> Result<(), OpenError> {
    let (low, high, capacity_slots) = (settings.low_watermark, settings.high_watermark, settings.capacity_slots);
    let is_none = high == 0 && low == 0;
    if is_none || (low < high && high <= capacity_slots) {
        return Ok(());
    }
    Err(OpenError::Watermarks { low, high, capacity_slots })
}
