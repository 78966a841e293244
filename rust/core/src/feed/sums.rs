//! Trades that found no slot, summed by instrument and side until the loop takes them.
//!
//! Behind a lock, which is only ever taken in an overload: as long as the ring has slots nothing comes here. All that is here
//! came after all that is in the ring, as the publisher adds to the ring only while nothing waits here; so the loop has to find
//! the ring empty *behind* the look that finds something here.

use crate::sync::{AtomicU64, Mutex, Ordering, PoisonError};
use crate::tick::{NO_SIZE, Tick};
use std::collections::{HashMap, VecDeque};

#[derive(Default)]
pub(super) struct Sums {
    trades: Mutex<Waiting>,
    /// How many wait; written under the lock. Relaxed: who reads it takes the lock for anything else, and only the
    /// publisher's own additions make it rise.
    waiting: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    /// In the order in which they came.
    order: VecDeque<(u32, u8)>,
    by_key: HashMap<(u32, u8), Tick>,
}

impl Sums {
    fn with<R>(&self, act: impl FnOnce(&mut Waiting) -> R) -> R {
        let mut trades = self.trades.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut trades);
        self.waiting.store(trades.order.len() as u64, Ordering::Relaxed);
        result
    }

    /// Whether trades wait here: then later ones come here too, so that they stay in order.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many trades wait.
    pub fn len(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Adds a trade to those that wait; whether it became part of another.
    pub fn add(&self, trade: &Tick) -> bool {
        self.with(|waiting| {
            let key = (trade.instrument, trade.side);
            match waiting.by_key.get_mut(&key) {
                Some(sum) => {
                    *sum = both(sum, trade);
                    true
                }
                None => {
                    waiting.by_key.insert(key, *trade);
                    waiting.order.push_back(key);
                    false
                }
            }
        })
    }

    /// Gives them to `take`, the oldest first; until it returns, none comes and the publisher takes them for waiting.
    pub fn take(&self, take: impl FnOnce(&mut dyn Iterator<Item = Tick>)) {
        self.with(|Waiting { order, by_key }| take(&mut order.drain(..).filter_map(|key| by_key.remove(&key))));
    }
}

/// What the two are together: the later one, with both sizes. A size that is missing makes that of the sum unknown.
fn both(earlier: &Tick, later: &Tick) -> Tick {
    let size = earlier.values[2] + later.values[2];
    let [price, spare, _, last] = later.values;
    let is_missing = size.is_nan();
    let flags = if is_missing { later.flags | NO_SIZE } else { later.flags };
    let size = if is_missing { f64::NAN } else { size.min(f64::MAX) };
    Tick { flags, values: [price, spare, size, last], ..*later }
}
