//! Trades that found no slot, summed by instrument and side until the loop takes them.
//!
//! Behind a lock, which is only ever taken in an overload: as long as the ring has slots nothing comes here.

use crate::sync::{AtomicU64, Mutex, Ordering, PoisonError};
use crate::tick::Tick;
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
                    let size = sum.values[2] + trade.values[2];
                    *sum = *trade;
                    sum.values[2] = size;
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

    /// Takes the oldest ones, at most `max`, to the end of `into`.
    pub fn take(&self, max: usize, into: &mut Vec<Tick>) {
        self.with(|waiting| {
            for _ in 0..max {
                let Some(key) = waiting.order.pop_front() else { break };
                into.extend(waiting.by_key.remove(&key));
            }
        });
    }
}
