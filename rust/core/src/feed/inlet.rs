//! The loop's end of a feed, by policy: one publisher's records, slice by slice.

use std::collections::VecDeque;
use std::sync::Arc;

use super::counters::FeedAccount;
use super::hub::Ends;
use super::lookout::View;
use super::policy::{FeedSettings, Policy, RatePolicy};
use super::space::Space;
use super::sums::Sums;
use super::watch::{FeedEvent, FeedEventKind, Loss, Watch};
use crate::clock::Clock as _;
use crate::ring::{ConflationReader, Consumer, DropOldestConsumer};
use crate::source::{Advance, Source};
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
    /// Records that were copied out of a ring whose slots may be written again.
    copied: Vec<Tick>,
    /// How many summed trades were taken.
    summed: u64,
    pub high_water: u64,
    pub watch: Watch,
    space: Farewell,
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
        let (waits, space) = (waits_of(&ends.feed.settings), Farewell(Arc::clone(&ends.space)));
        let watch = Watch::new(&ends.feed.settings);
        let (copied, shut_since_ns) = (Vec::new(), None);
        Self { publisher: 0, half, ends, shut_since_ns, waits, copied, summed: 0, high_water: 0, watch, space }
    }

    /// Tells the publisher to look up, if it waits: nothing is read any more.
    pub fn farewell(&self) {
        self.space.0.announce();
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
        match &self.half {
            Half::Gated(ring) => View::Gated(ring.glance()),
            Half::DropOldest(ring) => View::DropOldest(ring.glance()),
            Half::Conflated { quotes, others, sums } => {
                View::Conflated { quotes: quotes.glance(), others: others.glance(), sums: Arc::clone(sums) }
            }
        }
    }

    /// Which feed it is of.
    pub fn feed(&self) -> u32 {
        self.ends.feed.number
    }

    /// Leaves the current slice and finds the next.
    pub fn advance(&mut self, max: usize) -> Advance {
        let mut frees = true;
        let advance = match &mut self.half {
            Half::Gated(ring) => {
                let before = ring.released();
                let advance = ring.advance(max);
                frees = ring.released() != before;
                advance
            }
            Half::DropOldest(ring) => {
                self.copied.clear();
                match ring.take(max, &mut self.copied) {
                    0 if ring.is_drained() => Advance::End,
                    0 => Advance::Pending,
                    _ => Advance::Ready,
                }
            }
            Half::Conflated { quotes, others, sums } => {
                self.copied.clear();
                let run = others.readable();
                let count = run.len().min(max);
                self.copied.extend_from_slice(&run[..count]);
                others.release(count);
                let is_drained = others.is_drained();
                if count == 0 {
                    sums.take(max, &mut self.copied);
                    self.summed += self.copied.len() as u64;
                }
                while self.copied.len() < max
                    && let Some((_, tick)) = quotes.take()
                {
                    self.copied.push(tick);
                }
                match self.copied.len() {
                    0 if is_drained && quotes.is_drained() && sums.is_empty() => Advance::End,
                    0 => Advance::Pending,
                    _ => Advance::Ready,
                }
            }
        };
        // Where no slot was freed since, whoever waits for one was told before.
        if self.waits && frees {
            self.space.0.announce();
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
            Half::Gated(ring) => ring.current().ticks,
            Half::DropOldest(_) | Half::Conflated { .. } => &self.copied,
        }
    }

    /// How many records wait, the current slice of a gated ring among them.
    pub fn waiting(&self) -> u64 {
        match &self.half {
            Half::Gated(ring) => ring.pending(),
            Half::DropOldest(ring) => ring.pending() + self.copied.len() as u64,
            Half::Conflated { quotes, others, sums } => {
                quotes.waiting() + others.pending() + sums.len() + self.copied.len() as u64
            }
        }
    }

    fn counts(&self) -> Counts {
        match &self.half {
            Half::Gated(ring) => {
                let current = ring.current().ticks.len() as u64;
                let taken = ring.released() + current;
                Counts { taken, dropped_oldest: 0, conflated: 0, pending: ring.pending() - current }
            }
            Half::DropOldest(ring) => {
                let (dropped_oldest, pending) = ring.counts();
                Counts { taken: ring.taken(), dropped_oldest, conflated: 0, pending }
            }
            Half::Conflated { quotes, others, sums } => {
                let (conflated, waiting) = quotes.counts();
                Counts {
                    taken: quotes.taken() + others.released() + self.summed,
                    dropped_oldest: 0,
                    conflated,
                    pending: waiting + others.pending() + sums.len(),
                }
            }
        }
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

/// Tells the publisher, when it goes, that nobody reads any more: as the inlet's last field, after the ring's half.
struct Farewell(Arc<Space>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.announce();
    }
}
