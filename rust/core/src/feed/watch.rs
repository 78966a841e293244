//! What a feed tells of itself: that much waits, that little does again, and what was lost meanwhile.
//!
//! Looked at by the loop where it looks at a publisher's ring anyway. A loss is told once, when it is over, and not once a
//! record: an overload would else make as many events as it loses records.

use super::policy::FeedSettings;

/// Something about a feed that strategies and whoever runs them may want to know; an input with a loop position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedEvent {
    /// Which feed.
    pub feed: u32,
    /// Which of its publishers.
    pub publisher: u32,
    /// When the loop saw it, ns UTC.
    pub now_ns: i64,
    /// What.
    pub kind: FeedEventKind,
}

/// What is told of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedEventKind {
    /// So many records wait, at least the high watermark.
    High {
        /// How many.
        waiting: u64,
    },
    /// So few wait again, at most the low watermark.
    Low {
        /// How many.
        waiting: u64,
    },
    /// Records were lost, and the loop has caught up.
    Lossy(Loss),
}

/// Records that were lost in one overload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// When the first one was lost, ns UTC; the last one was before the event.
    pub from_ns: i64,
    /// Records that went, as there was no slot.
    pub dropped_newest: u64,
    /// Records that gave way to later ones.
    pub dropped_oldest: u64,
    /// Records that a later one of their instrument replaced.
    pub conflated: u64,
}

impl Loss {
    const fn count(&self) -> u64 {
        self.dropped_newest + self.dropped_oldest + self.conflated
    }
}

/// Watches one publisher.
#[derive(Debug)]
pub(super) struct Watch {
    high: u64,
    low: u64,
    /// What may wait when the loop has caught up.
    calm: u64,
    is_high: bool,
    /// What was lost since the start, when the last loss was over.
    told: Loss,
    /// And at the last look.
    seen: u64,
    /// When the present loss was first seen, where the publisher could not see it.
    seen_ns: i64,
    /// What waits to be told; at most one of each kind a look, and looks wait for it.
    events: Vec<FeedEventKind>,
}

impl Watch {
    pub fn new(settings: &FeedSettings) -> Self {
        let (high, low) = (settings.high_watermark as u64, settings.low_watermark as u64);
        // A quarter of the ring, so that an overload which swings about the full ring is one.
        let calm = if high > 0 { low } else { settings.capacity_slots as u64 / 4 };
        Self { high, low, calm, is_high: false, told: Loss::default(), seen: 0, seen_ns: 0, events: Vec::new() }
    }

    /// The loop looks: `waiting` records wait, and `lost` were lost since the start, the first since the last event at
    /// `lost.from_ns` (0: the publisher saw none).
    #[inline]
    pub fn look(&mut self, waiting: u64, lost: &Loss, now_ns: impl FnOnce() -> i64) {
        if self.high > 0 && (waiting >= self.high) != self.is_high {
            self.cross(waiting);
        }
        if lost.count() != self.told.count() {
            self.look_at_loss(waiting, lost, now_ns);
        }
    }

    fn cross(&mut self, waiting: u64) {
        if !self.is_high {
            self.is_high = true;
            self.events.push(FeedEventKind::High { waiting });
        } else if waiting <= self.low {
            self.is_high = false;
            self.events.push(FeedEventKind::Low { waiting });
        }
    }

    #[cold]
    fn look_at_loss(&mut self, waiting: u64, lost: &Loss, now_ns: impl FnOnce() -> i64) {
        if self.seen_ns == 0 {
            self.seen_ns = now_ns();
        }
        let grows = lost.count() != std::mem::replace(&mut self.seen, lost.count());
        if !grows && waiting <= self.calm {
            self.end_loss(lost);
        }
    }

    /// The stream ends: a loss that was not told is told now.
    pub fn end(&mut self, lost: &Loss) {
        if lost.count() != self.told.count() {
            self.end_loss(lost);
        }
    }

    #[cold]
    fn end_loss(&mut self, lost: &Loss) {
        self.events.push(FeedEventKind::Lossy(Loss {
            from_ns: if lost.from_ns > 0 { lost.from_ns } else { self.seen_ns },
            dropped_newest: lost.dropped_newest - self.told.dropped_newest,
            dropped_oldest: lost.dropped_oldest - self.told.dropped_oldest,
            conflated: lost.conflated - self.told.conflated,
        }));
        (self.told, self.seen_ns) = (*lost, 0);
        self.seen = lost.count();
    }

    /// What is to be told, the first first.
    pub fn take(&mut self) -> std::vec::Drain<'_, FeedEventKind> {
        self.events.drain(..)
    }

    /// Whether something is to be told.
    #[inline]
    pub fn has_news(&self) -> bool {
        !self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(high_watermark: usize, low_watermark: usize) -> Watch {
        Watch::new(&FeedSettings { capacity_slots: 16, high_watermark, low_watermark, ..FeedSettings::default() })
    }

    fn lost(dropped_newest: u64) -> Loss {
        Loss { from_ns: 7, dropped_newest, ..Loss::default() }
    }

    fn told(watch: &mut Watch) -> Vec<FeedEventKind> {
        watch.take().collect()
    }

    #[test]
    fn a_watermark_is_told_when_it_is_crossed_and_not_again() {
        let mut watch = watch(8, 2);
        for waiting in [0, 7, 8, 16, 5, 3, 9, 2, 0, 8] {
            watch.look(waiting, &Loss::default(), || 9);
        }
        let expected =
            [FeedEventKind::High { waiting: 8 }, FeedEventKind::Low { waiting: 2 }, FeedEventKind::High { waiting: 8 }];
        assert_eq!(told(&mut watch), expected);
    }

    #[test]
    fn a_loss_is_told_once_when_the_loop_has_caught_up() {
        let mut watch = watch(0, 0);
        for (waiting, count) in [(0, 0), (16, 3), (16, 9), (16, 9), (5, 9)] {
            watch.look(waiting, &lost(count), || 9);
        }
        assert_eq!(told(&mut watch), []);
        watch.look(4, &lost(9), || 9);
        assert_eq!(told(&mut watch), [FeedEventKind::Lossy(lost(9))]);
        watch.look(0, &lost(9), || 9);
        watch.look(3, &lost(10), || 9);
        watch.look(3, &lost(10), || 9);
        assert_eq!(told(&mut watch), [FeedEventKind::Lossy(lost(1))]);
        watch.look(3, &Loss { from_ns: 0, ..lost(11) }, || 8);
        watch.look(3, &Loss { from_ns: 0, ..lost(11) }, || 9);
        assert_eq!(told(&mut watch), [FeedEventKind::Lossy(Loss { from_ns: 8, ..lost(1) })]);
        watch.look(16, &lost(13), || 9);
        watch.end(&lost(13));
        assert_eq!(told(&mut watch), [FeedEventKind::Lossy(lost(2))]);
    }
}
