//! Recorded ticks published at the pace at which they came, or a multiple of it.

use std::hint::spin_loop;
use std::ops::Range;
use std::thread::park_timeout;
use std::time::Duration;

use super::publisher::{NotPublished, Publisher};

/// Most ticks that are published at once: whoever wants to stop waits for no more than that.
const MOST_AT_ONCE: usize = 1_024;

/// A wait below this is looked out, ns: Linux lets sleeps end 50 us late, and a dense stream could not be kept up.
const SHORTEST_SLEEP_NS: i64 = 60_000;

/// How far a replay has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Played {
    /// The tick that comes next.
    pub next: usize,
    /// When the first one was due, by the run's clock; 0: it has not begun.
    pub began_ns: i64,
    /// How far it was behind its pace at most.
    pub late_ns: i64,
}

/// What is replayed, and how fast.
pub struct Recorded<Time, Fetch> {
    /// How many ticks there are.
    pub count: usize,
    /// The time of one, which never decreases.
    pub time_ns: Time,
    /// Copies some of them to the end of a list.
    pub fetch: Fetch,
    /// A multiple of real time; infinite: as fast as they are taken.
    pub speed: f64,
    /// Whether short waits are looked out. With one processor, that would keep those from running that take what is published.
    pub looks: bool,
}

impl<Time: Fn(usize) -> i64, Fetch: FnMut(Range<usize>, &mut Vec<crate::Tick>)> Recorded<Time, Fetch> {
    /// How long after the first one this is due, ns.
    fn due_after_ns(&self, number: usize) -> i64 {
        let since_ns = (self.time_ns)(number).saturating_sub((self.time_ns)(0));
        if self.speed.is_infinite() { 0 } else { (since_ns as f64 / self.speed) as i64 }
    }

    /// The end of what is due `elapsed_ns` after the first one was, from `next` on.
    fn due(&self, next: usize, elapsed_ns: i64) -> usize {
        let most = self.count.min(next + MOST_AT_ONCE);
        (next..most).find(|&number| self.due_after_ns(number) > elapsed_ns).unwrap_or(most)
    }
}

impl Publisher {
    /// Publishes each tick when its time has come, counted from the first one's, for at most `most`; says how far it came.
    ///
    /// Times are counted from the beginning, so that no lateness adds up. What the feed's policy refuses is counted, and
    /// the replay goes on behind it.
    ///
    /// # Errors
    /// As [`Self::publish`], but for a full ring under `reject`.
    pub fn play(
        &mut self,
        recorded: &mut Recorded<impl Fn(usize) -> i64, impl FnMut(Range<usize>, &mut Vec<crate::Tick>)>,
        mut played: Played,
        most: Duration,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Played, NotPublished> {
        let begun_ns = self.now_ns();
        if played.began_ns == 0 {
            played.began_ns = begun_ns;
        }
        let end_ns = begun_ns.saturating_add(i64::try_from(most.as_nanos()).unwrap_or(i64::MAX));
        let mut ticks = Vec::new();
        let looks_ns = if recorded.looks { SHORTEST_SLEEP_NS } else { 0 };
        while played.next < recorded.count {
            let now_ns = self.now_ns();
            if now_ns >= end_ns {
                break;
            }
            let elapsed_ns = now_ns - played.began_ns;
            let end = recorded.due(played.next, elapsed_ns);
            if end == played.next {
                let left_ns = (recorded.due_after_ns(end) - elapsed_ns).min(end_ns - now_ns);
                if left_ns < looks_ns {
                    spin_loop();
                } else {
                    park_timeout(Duration::from_nanos(left_ns.unsigned_abs()));
                }
                continue;
            }
            played.late_ns = played.late_ns.max(elapsed_ns - recorded.due_after_ns(played.next));
            ticks.clear();
            (recorded.fetch)(played.next..end, &mut ticks);
            match self.publish(&ticks, &mut go_on) {
                Ok(()) | Err(NotPublished::Full { .. }) => played.next = end,
                Err(error) => return Err(error),
            }
        }
        Ok(played)
    }
}
