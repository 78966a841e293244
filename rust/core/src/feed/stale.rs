//! Feeds that have been silent for too long.

use std::sync::Arc;

use super::shared::FeedShared;
use crate::tick::{Kind, Tick};

/// Watches the feeds that are to be watched, by the loop's own looks: no thread and no timer of their own.
#[derive(Debug, Default)]
pub(super) struct StaleWatch {
    feeds: Vec<Watched>,
    /// Before this time none is overdue; may be early, as a record that comes does not move it.
    next_ns: i64,
    instruments: u32,
}

#[derive(Debug)]
struct Watched {
    feed: Arc<FeedShared>,
    /// When its last record came, or it was opened.
    last_ns: i64,
    /// Whether its silence was told.
    is_told: bool,
}

impl StaleWatch {
    pub fn new(instruments: usize) -> Self {
        Self { feeds: Vec::new(), next_ns: i64::MAX, instruments: instruments as u32 }
    }

    /// Whether there is nothing to watch.
    pub fn is_empty(&self) -> bool {
        self.feeds.is_empty()
    }

    /// Watches `feed` from now on, if it wants to be.
    pub fn add(&mut self, feed: &Arc<FeedShared>, now_ns: i64) {
        if feed.settings.stale_after_ns > 0 {
            self.feeds.push(Watched { feed: Arc::clone(feed), last_ns: now_ns, is_told: false });
            self.next_ns = self.next_ns.min(now_ns.saturating_add(feed.settings.stale_after_ns));
        }
    }

    /// Something of feed number `feed` was taken that came at `came_ns`: silence counts from there, not from when the loop took
    /// it.
    pub fn heard(&mut self, feed: u32, came_ns: i64) {
        if let Some(watched) = self.feeds.iter_mut().find(|watched| watched.feed.number == feed) {
            watched.last_ns = watched.last_ns.max(came_ns);
            watched.is_told = false;
            self.next_ns = self.next_ns.min(watched.due_ns());
        }
    }

    /// When to look again: `i64::MAX`, never.
    pub const fn next_ns(&self) -> i64 {
        self.next_ns
    }

    /// The next feed whose silence is to be told, and the records that tell it: one for each of its instruments. `brings`:
    /// whether something of a feed waits to be taken.
    pub fn overdue(&mut self, now_ns: i64, brings: impl Fn(u32) -> bool) -> Option<(u32, Vec<Tick>)> {
        if now_ns < self.next_ns {
            return None;
        }
        self.feeds.retain(|watched| !watched.feed.is_closed());
        let is_silent = |watched: &&mut Watched| watched.due_ns() <= now_ns && !brings(watched.feed.number);
        let found = self.feeds.iter_mut().find(is_silent);
        let told = found.map(|watched| {
            watched.is_told = true;
            (watched.feed.number, watched.records(now_ns, self.instruments))
        });
        if told.is_none() {
            // Who is not silent is heard of when that is taken; if it comes to nothing, looked at again.
            let next_ns = |watched: &Watched| match watched.due_ns() {
                due_ns if due_ns > now_ns => due_ns,
                _ => now_ns.saturating_add(watched.feed.settings.stale_after_ns),
            };
            self.next_ns = self.feeds.iter().map(next_ns).min().unwrap_or(i64::MAX);
        }
        told
    }
}

impl Watched {
    fn due_ns(&self) -> i64 {
        if self.is_told { i64::MAX } else { self.last_ns.saturating_add(self.feed.settings.stale_after_ns) }
    }

    /// A feed that has brought nothing yet, and was opened for nothing in particular, may be about any instrument.
    fn records(&self, now_ns: i64, instruments: u32) -> Vec<Tick> {
        let seen = self.feed.seen.numbers();
        let all = if seen.is_empty() { (0..instruments).collect() } else { seen };
        all.into_iter().map(|instrument| stale(instrument, self.last_ns, now_ns)).collect()
    }
}

/// `sequence`: when the feed was last heard of, ns UTC. The first value: how long ago that is, ns.
fn stale(instrument: u32, last_ns: i64, now_ns: i64) -> Tick {
    Tick {
        ts_event: now_ns,
        ts_init: now_ns,
        sequence: last_ns.max(0).unsigned_abs(),
        instrument,
        kind: Kind::Stale as u8,
        side: 0,
        flags: 0,
        values: [(now_ns - last_ns) as f64, 0.0, 0.0, 0.0],
    }
}
