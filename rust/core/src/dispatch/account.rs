//! What became of every record, for every strategy: exact, and by feed where records come from feeds.

use super::host::Host;
use super::lag::Lagger;
use super::snapshot::Snapshot;
use super::step::Steps;
use super::subscriber::Subscriber;
use crate::feed::FeedAccount;
use crate::lifecycle::State;

/// Exact numbers of one strategy: `published = delivered + filtered + skipped + dropped_newest + dropped_oldest + conflated +
/// pending`, and `skipped = paused + failed + stopped + max_lag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Where it stands.
    pub state: State,
    /// Ticks that the loop took; of a run with feeds all that they published.
    pub published: u64,
    /// Ticks that its handler received.
    pub delivered: u64,
    /// Ticks that it did not subscribe to.
    pub filtered: u64,
    /// Ticks that it would have received otherwise: the sum of the next four.
    pub skipped: u64,
    /// Those that came while it was paused.
    pub paused: u64,
    /// Those that came when it had failed, or were collected for it when it did.
    pub failed: u64,
    /// Those that came when it had stopped.
    pub stopped: u64,
    /// Those that its rule for lag skipped.
    pub max_lag: u64,
    /// Ticks that went in their feed's ring, as there was no slot.
    pub dropped_newest: u64,
    /// Ticks that gave way to later ones in their feed's ring.
    pub dropped_oldest: u64,
    /// Ticks that a later one replaced, in their feed's ring or by its own rule for lag.
    pub conflated: u64,
    /// Ticks that wait: in their feed's ring, for its next batch, or for its lag to end.
    pub pending: u64,
}

impl Account {
    /// Of a strategy in `state`, with nothing counted yet.
    pub const fn new(state: State) -> Self {
        Self {
            state,
            published: 0,
            delivered: 0,
            filtered: 0,
            skipped: 0,
            paused: 0,
            failed: 0,
            stopped: 0,
            max_lag: 0,
            dropped_newest: 0,
            dropped_oldest: 0,
            conflated: 0,
            pending: 0,
        }
    }

    /// What everything that was published has become; equal to `published`.
    pub const fn explained(&self) -> u64 {
        let lost = self.dropped_newest + self.dropped_oldest + self.conflated;
        self.delivered + self.filtered + self.skipped + lost + self.pending
    }

    /// Counts `taken` records that the loop took, of which `tally` says what became and `pending` wait.
    pub(super) fn add_taken(&mut self, taken: u64, tally: &Tally, pending: u64) {
        let skipped = tally.paused + tally.failed + tally.stopped + tally.max_lag;
        self.published += taken;
        self.delivered += tally.delivered;
        self.paused += tally.paused;
        self.failed += tally.failed;
        self.stopped += tally.stopped;
        self.max_lag += tally.max_lag;
        self.skipped += skipped;
        self.conflated += tally.conflated;
        self.pending += pending;
        self.filtered += taken - (tally.delivered + skipped + tally.conflated + pending);
    }

    /// Counts what became of a feed's records before the loop took them.
    pub(super) fn add_feed(&mut self, feed: &FeedAccount) {
        self.published += feed.published - feed.taken;
        self.dropped_newest += feed.dropped_newest;
        self.dropped_oldest += feed.dropped_oldest;
        self.conflated += feed.conflated;
        self.pending += feed.pending;
    }
}

/// What became of the records of one feed, for one strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub delivered: u64,
    pub paused: u64,
    pub failed: u64,
    pub stopped: u64,
    pub max_lag: u64,
    pub conflated: u64,
}

impl Tally {
    /// Counts records that a strategy in `state` does not get.
    #[cold]
    pub fn skip(&mut self, state: State, count: u64) {
        *match state {
            State::Paused => &mut self.paused,
            State::Failed => &mut self.failed,
            _ => &mut self.stopped,
        } += count;
    }

    fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.paused += other.paused;
        self.failed += other.failed;
        self.stopped += other.stopped;
        self.max_lag += other.max_lag;
        self.conflated += other.conflated;
    }
}

/// The tallies of one strategy, feed by feed.
///
/// Only that of the feed whose slice the loop is in is counted on; the others stand aside. So a tick costs the same however
/// many feeds there are.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    /// Of the present feed.
    pub now: Tally,
    feed: usize,
    aside: Vec<Tally>,
    /// Which feeds the records came from that were collected in slices that are gone, in their order.
    carried: Vec<(usize, u64)>,
}

impl Tallies {
    /// The loop goes over to a slice of `feed`.
    pub fn enter(&mut self, feed: usize) {
        let needed = feed.max(self.feed) + 1;
        if self.aside.len() < needed {
            self.aside.resize(needed, Tally::default());
        }
        self.aside[self.feed] = std::mem::replace(&mut self.now, self.aside[feed]);
        self.feed = feed;
    }

    /// The tally of `feed`.
    pub fn of(&mut self, feed: usize) -> &mut Tally {
        if feed == self.feed { &mut self.now } else { &mut self.aside[feed] }
    }

    /// That of `feed` as it stands; nothing where none of its records came.
    pub fn read(&self, feed: usize) -> Tally {
        if feed == self.feed { self.now } else { self.aside.get(feed).copied().unwrap_or_default() }
    }

    /// All feeds together.
    pub fn sum(&self) -> Tally {
        let mut sum = self.now;
        self.aside.iter().enumerate().filter(|&(feed, _)| feed != self.feed).for_each(|(_, one)| sum.add(one));
        sum
    }

    /// The present slice is about to go; `collected` records are collected for the next batch.
    pub fn carry(&mut self, collected: u64) {
        let earlier = self.carried.iter().map(|&(_, count)| count).sum::<u64>();
        if collected > earlier {
            match self.carried.last_mut() {
                Some((feed, count)) if *feed == self.feed => *count += collected - earlier,
                _ => self.carried.push((self.feed, collected - earlier)),
            }
        }
    }

    /// `collected` records, all that there are, leave the batch: `count` notes them in the tallies of their feeds.
    pub fn settle(&mut self, collected: u64, count: impl Fn(&mut Tally, u64)) {
        let mut rest = collected;
        for (feed, carried) in std::mem::take(&mut self.carried) {
            rest -= carried;
            count(self.of(feed), carried);
        }
        count(&mut self.now, rest);
    }

    /// How many of `collected` records came from `feed`.
    pub fn collected_of(&self, feed: usize, collected: u64) -> u64 {
        let earlier: u64 = self.carried.iter().map(|&(_, count)| count).sum();
        let here = if feed == self.feed { collected - earlier } else { 0 };
        here + self.carried.iter().filter(|&&(of, _)| of == feed).map(|&(_, count)| count).sum::<u64>()
    }
}

/// How many records the loop took, feed by feed.
#[derive(Debug, Default)]
pub(super) struct InputsByFeed {
    feed: usize,
    /// How many it had taken in all when it went over to that feed.
    since: u64,
    counts: Vec<u64>,
}

impl InputsByFeed {
    /// The feed of the present slice.
    pub const fn feed(&self) -> usize {
        self.feed
    }

    /// The loop goes over to a slice of `feed`, having taken `inputs` records in all.
    pub fn enter(&mut self, feed: usize, inputs: u64) {
        let needed = feed.max(self.feed) + 1;
        if self.counts.len() < needed {
            self.counts.resize(needed, 0);
        }
        self.counts[self.feed] += inputs - self.since;
        (self.feed, self.since) = (feed, inputs);
    }

    /// How many records of `feed` it has taken, of `inputs` in all.
    pub fn of(&self, feed: usize, inputs: u64) -> u64 {
        let here = if feed == self.feed { inputs - self.since } else { 0 };
        here + self.counts.get(feed).copied().unwrap_or(0)
    }
}

impl<H: Host> Steps<H> {
    /// The loop goes over to a slice of `feed`.
    pub(super) fn enter_feed(&mut self, feed: u32) {
        let feed = feed as usize;
        if feed != self.by_feed.feed() {
            self.by_feed.enter(feed, self.inputs);
            self.subscribers.iter_mut().for_each(|subscriber| subscriber.tallies.enter(feed));
        }
    }

    /// All accounts, at the end of a step. Of the slice of the present feed, `rest` records were not looked at yet: the feed
    /// counts them as taken, and the loop as waiting.
    pub(super) fn snapshot(&self, mut feeds: Vec<FeedAccount>, rest: u64) -> Snapshot {
        if let Some(present) = feeds.get_mut(self.by_feed.feed()) {
            present.taken -= rest;
            present.pending += rest;
        }
        let mut strategies = self.accounts();
        let mut by_feed = Vec::with_capacity(feeds.len());
        for (number, feed) in feeds.iter().enumerate() {
            let taken = self.by_feed.of(number, self.inputs);
            let account = |subscriber: &Subscriber| {
                let mut account = subscriber.account_of(number, taken);
                account.add_feed(feed);
                account
            };
            by_feed.push(self.subscribers.iter().map(account).collect());
            strategies.iter_mut().for_each(|account| account.add_feed(feed));
        }
        let (position, now_ns) = (self.desk.position(), self.desk.now_ns());
        let traded = (0..strategies.len() as u32).map(|strategy| self.desk.traded(strategy)).collect();
        Snapshot { position, now_ns, inputs: self.inputs, feeds, strategies, traded, by_feed }
    }
}

impl Subscriber {
    /// Its account of `taken` records, all feeds together.
    pub fn account(&self, taken: u64) -> Account {
        let mut account = Account::new(self.state.get());
        let waiting = self.lagger.as_deref().map_or(0, Lagger::waiting);
        account.add_taken(taken, &self.tallies.sum(), self.batcher.input_count() as u64 + waiting);
        account
    }

    /// Its account of the `taken` records of `feed`.
    pub fn account_of(&self, feed: usize, taken: u64) -> Account {
        let mut account = Account::new(self.state.get());
        let collected = self.tallies.collected_of(feed, self.batcher.input_count() as u64);
        let waiting = self.lagger.as_deref().map_or(0, |lagger| lagger.waiting_of(feed));
        account.add_taken(taken, &self.tallies.read(feed), collected + waiting);
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_collected_over_several_feeds_is_settled_by_feed() {
        let mut tallies = Tallies::default();
        tallies.enter(0);
        tallies.carry(3);
        tallies.enter(2);
        tallies.carry(5);
        tallies.carry(6);
        tallies.enter(0);
        assert_eq!((tallies.collected_of(0, 7), tallies.collected_of(2, 7)), (4, 3));
        tallies.settle(7, |tally, count| tally.delivered += count);
        assert_eq!((tallies.read(0).delivered, tallies.read(2).delivered, tallies.sum().delivered), (4, 3, 7));
        tallies.carry(1);
        tallies.settle(1, |tally, count| tally.failed += count);
        assert_eq!((tallies.sum().delivered, tallies.sum().failed), (7, 1));
    }

    #[test]
    fn feeds_are_counted_apart_and_together() {
        let mut tallies = Tallies::default();
        for (feed, count) in [(0, 1), (1, 2), (0, 4), (3, 8)] {
            tallies.enter(feed);
            tallies.now.delivered += count;
            tallies.now.skip(State::Paused, 1);
        }
        let each: Vec<u64> = (0..5).map(|feed| tallies.read(feed).delivered).collect();
        assert_eq!((each, tallies.sum().delivered, tallies.sum().paused), (vec![5, 2, 0, 8, 0], 15, 4));
    }
}
