//! The loop's end of a feed, by policy: one publisher's records, slice by slice.

use std::collections::VecDeque;
use std::sync::Arc;

use super::counters::FeedAccount;
use super::gathered::Gathered;
use super::hub::Ends;
use super::lookout::{RingView, View};
use super::policy::{FeedSettings, Policy, RatePolicy};
use super::sums::Sums;
use super::watch::{FeedEvent, FeedEventKind, Loss, Watch};
use super::window::Leaving;
use crate::clock::Clock as _;
use crate::ring::{ConflationReader, Consumer, DropOldestConsumer};
use crate::source::{Advance, Source as _};
use crate::sync::{Ordering, fence};
use crate::tick::Tick;

pub(super) struct Inlet {
    /// Its number among all publishers of the run, in the order opened.
    pub publisher: u32,
    half: Half,
    pub ends: Ends,
    /// Since when the loop has wanted to end its stream while the publisher was at work, ns.
    pub shut_since_ns: Option<i64>,
    /// Whether the publisher may be waiting for slots.
    waits: bool,
    gathered: Gathered,
    pub high_water: u64,
    pub watch: Watch,
}

pub(super) enum Half {
    Gated(Consumer),
    DropOldest(DropOldestConsumer),
    Conflated { quotes: ConflationReader, others: Consumer, sums: Arc<Sums> },
}

/// What an inlet has taken and what went before it could.
struct Counts {
    taken: u64,
    dropped_oldest: u64,
    conflated: u64,
    pending: u64,
}

impl Inlet {
    pub fn new(half: Half, ends: Ends) -> Self {
        let waits = waits_of(&ends.feed.settings);
        let watch = Watch::new(&ends.feed.settings);
        let (gathered, shut_since_ns) = (Gathered::default(), None);
        Self { publisher: 0, half, ends, shut_since_ns, waits, gathered, high_water: 0, watch }
    }

    /// Tells the publisher to look up, if it waits: nothing is read any more.
    pub fn farewell(&self) {
        self.ends.space.announce();
    }

    /// Whether the publisher is gone.
    pub fn is_sole(&self) -> bool {
        let is_sole = Arc::strong_count(&self.ends.counters) == 1;
        // Partner: the Release of its last reference, so that what it counted is seen.
        fence(Ordering::Acquire);
        is_sole
    }

    /// What the loop looks at while it waits for its records.
    pub fn view(&self) -> View {
        let ring = match &self.half {
            Half::Gated(ring) => RingView::Gated(ring.glance()),
            Half::DropOldest(ring) => RingView::DropOldest(ring.glance()),
            Half::Conflated { quotes, others, sums } => {
                RingView::Conflated { quotes: quotes.glance(), others: others.glance(), sums: Arc::clone(sums) }
            }
        };
        View { ring, held: Arc::clone(&self.ends.held) }
    }

    /// Which feed it is of.
    pub fn feed(&self) -> u32 {
        self.ends.feed.number
    }

    /// Leaves the current slice and finds the next.
    pub fn advance(&mut self, max: usize) -> Advance {
        self.find(max, false)
    }

    /// The same where the publisher brings nothing any more: what waits for earlier records comes too.
    pub fn advance_to_end(&mut self, max: usize) -> Advance {
        self.find(max, true)
    }

    /// Slots that were freed since the start, where they are counted.
    fn freed(&self) -> Option<u64> {
        if let Half::Gated(ring) = &self.half { Some(ring.released()) } else { None }
    }

    fn find(&mut self, max: usize, is_over: bool) -> Advance {
        let freed = self.freed();
        self.gathered.slice.clear();
        let advance = if self.gathered.has_more() { Advance::Ready } else { self.take(max, is_over) };
        self.gathered.next_slice(max);
        // Where no slot was freed since, whoever waits for one was told before.
        if self.waits && (freed.is_none() || self.freed() != freed) {
            self.ends.space.announce();
        }
        let waiting = self.waiting();
        if advance == Advance::Ready {
            self.high_water = self.high_water.max(waiting);
        }
        self.watch.look(waiting, &self.lost(), || self.ends.feed.clock.now_ns());
        if advance == Advance::End {
            self.watch.end(&self.lost());
        }
        advance
    }

    /// What the ring, or the table, has; and where that is nothing, what waits beside it.
    fn take(&mut self, max: usize, is_over: bool) -> Advance {
        let Self { half, ends, gathered, .. } = self;
        let advance = gathered.take(half, &ends.counters, &mut ends.held.lazily(), max);
        let is_over = is_over || advance == Advance::End;
        if advance == Advance::Ready || !ends.may_hold(is_over) {
            return advance;
        }
        self.take_beside(max, is_over)
    }

    /// The publisher may have brought something between the look at the ring and the lock, and that comes first.
    #[cold]
    fn take_beside(&mut self, max: usize, is_over: bool) -> Advance {
        let Self { half, ends, gathered, .. } = self;
        let mut hold = ends.held.lock();
        let advance = gathered.take(half, &ends.counters, &mut hold, max);
        if advance == Advance::Ready {
            return advance;
        }
        let is_over = is_over || advance == Advance::End;
        let leaving = if is_over { Leaving::All } else { hold.leaving(ends.feed.clock.now_ns()) };
        gathered.take_beside(&ends.counters, &mut hold, leaving);
        drop(hold);
        self.ends.space.announce();
        if self.gathered.has_more() { Advance::Ready } else { advance }
    }

    /// What was lost since the start; never less than at the look before. A record that is just being put into a table is
    /// in neither of its counts for a moment, so what was replaced counts once the replacing record was taken.
    fn lost(&self) -> Loss {
        let counters = &self.ends.counters;
        let (dropped_oldest, replaced) = match &self.half {
            Half::Gated(_) => (0, 0),
            Half::DropOldest(ring) => (ring.counts().0, 0),
            Half::Conflated { quotes, .. } => (0, quotes.conflated()),
        };
        Loss {
            from_ns: counters.lost_since_ns.get(),
            dropped_newest: counters.dropped_newest.get(),
            dropped_oldest,
            conflated: replaced + counters.merged.get(),
        }
    }

    /// What is to be told of this publisher.
    pub fn tell(&mut self, now_ns: i64, events: &mut VecDeque<FeedEvent>) {
        let (feed, publisher) = (self.ends.feed.number, self.publisher);
        for kind in self.watch.take() {
            if matches!(kind, FeedEventKind::Lossy(_)) {
                self.ends.counters.lost_since_ns.take();
            }
            events.push_back(FeedEvent { feed, publisher, now_ns, kind });
        }
    }

    pub fn ticks(&self) -> &[Tick] {
        match &self.half {
            Half::Gated(ring) if self.gathered.slice.is_empty() => ring.current().ticks,
            Half::Gated(_) | Half::DropOldest(_) | Half::Conflated { .. } => &self.gathered.slice,
        }
    }

    /// How many records wait, the current slice of a gated ring among them.
    pub fn waiting(&self) -> u64 {
        let gathered = self.gathered.slice.len() as u64 + self.gathered.left();
        gathered
            + match &self.half {
                Half::Gated(ring) => ring.pending(),
                Half::DropOldest(ring) => ring.pending(),
                Half::Conflated { quotes, others, sums } => quotes.waiting() + others.pending() + sums.len(),
            }
    }

    /// Whether something waits, the current slice apart, here or for earlier records: then the publisher is not silent.
    pub fn has_something(&self) -> bool {
        self.counts().pending > 0 || self.ends.counters.held.get() > 0
    }

    /// When the latest record of the current slice came in; `None`: they bear receipts of their own.
    pub fn came_ns(&self) -> Option<i64> {
        let keeps = self.ends.feed.settings.keeps_receipt;
        self.ticks().iter().map(|tick| tick.ts_init).max().filter(|_| !keeps)
    }

    fn counts(&self) -> Counts {
        let (beside, left) = (self.gathered.beside, self.gathered.left());
        let (taken, dropped_oldest, conflated, pending) = match &self.half {
            Half::Gated(ring) => {
                let current = ring.current().ticks.len() as u64;
                (ring.released() + current, 0, 0, ring.pending() - current)
            }
            Half::DropOldest(ring) => {
                let (dropped_oldest, pending) = ring.counts();
                (ring.taken(), dropped_oldest, 0, pending)
            }
            Half::Conflated { quotes, others, sums } => {
                let (conflated, waiting) = quotes.counts();
                (quotes.taken() + others.released(), 0, conflated, waiting + others.pending() + sums.len())
            }
        };
        Counts { taken: taken + beside - left, dropped_oldest, conflated, pending: pending + left }
    }

    /// Adds this publisher's numbers to the feed's.
    pub fn add_to(&self, account: &mut FeedAccount) {
        let counts = self.counts();
        account.add_ring(counts.taken, counts.dropped_oldest, counts.conflated, counts.pending);
        account.add_counters(&self.ends.counters);
        account.high_water = account.high_water.max(self.high_water);
    }
}

/// Whether its publishers may wait for the loop, or for their turn.
fn waits_of(settings: &FeedSettings) -> bool {
    settings.policy == Policy::Block || settings.rate_policy == RatePolicy::Wait
}
