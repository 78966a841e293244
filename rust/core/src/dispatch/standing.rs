//! Where strategies stand, for threads that may wait for nobody: whoever ends a process whose loop hangs, or halts it, says
//! what is open and what is held.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use crate::instrument::InstrumentInfo;
use crate::lifecycle::StateByte;

/// One strategy: the loop counts here, anybody looks.
///
/// Relaxed throughout, without partners: each number is the whole message, the dispatch thread is the only writer, and who looks
/// while an order changes sees it before or after.
#[derive(Debug)]
pub(super) struct Stand {
    state: Arc<StateByte>,
    open_orders: AtomicU32,
    /// By instrument, the bits of the units held.
    held: Box<[AtomicU64]>,
}

impl Stand {
    #[inline]
    pub(super) fn open_orders(&self) -> u32 {
        self.open_orders.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn set_open_orders(&self, count: u32) {
        self.open_orders.store(count, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn hold(&self, instrument: u32, net: f64) {
        self.held[instrument as usize].store(net.to_bits(), Ordering::Relaxed);
    }
}

/// All strategies of a run.
#[derive(Debug)]
pub struct Standing {
    instruments: Vec<String>,
    /// Locked to add one before the run, and to look; never by the loop.
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    strategies: Vec<Arc<Stand>>,
    /// What they are called, as far as somebody said.
    names: Vec<String>,
}

impl Standing {
    pub(super) fn new(instruments: &[InstrumentInfo]) -> Self {
        let instruments = instruments.iter().map(|one| one.id.clone()).collect();
        Self { instruments, inside: Mutex::default() }
    }

    pub(super) fn add(&self, state: Arc<StateByte>) -> Arc<Stand> {
        let held = self.instruments.iter().map(|_| AtomicU64::new(0)).collect();
        let stand = Arc::new(Stand { state, open_orders: AtomicU32::new(0), held });
        self.lock().strategies.push(Arc::clone(&stand));
        stand
    }

    /// Says what the next strategy is called; one without a name is not told of.
    pub fn call(&self, name: &str) {
        self.lock().names.push(name.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn each(&self, tell: impl Fn(&Stand) -> Option<Value>) -> Map<String, Value> {
        let inside = self.lock();
        let all = inside.names.iter().zip(&inside.strategies);
        all.filter_map(|(name, one)| tell(one).map(|said| (name.clone(), said))).collect()
    }

    /// By the names of strategies: `state`, `open_orders`, and `positions` by instrument. Any thread, at any moment: nobody is
    /// waited for.
    pub fn told(&self) -> Map<String, Value> {
        self.each(|one| Some(self.one(one)))
    }

    fn one(&self, stand: &Stand) -> Value {
        let net = |held: &AtomicU64| f64::from_bits(held.load(Ordering::Relaxed));
        let held = self.instruments.iter().zip(stand.held.iter().map(net)).filter(|(_, net)| *net != 0.0);
        let positions: Map<String, Value> = held.map(|(id, net)| (id.clone(), json!(net))).collect();
        json!({"state": stand.state.get().name(), "open_orders": stand.open_orders(), "positions": positions})
    }

    /// How many orders are open, by the names of strategies that have any. Likewise.
    pub fn open_orders(&self) -> Map<String, Value> {
        self.each(|one| Some(one.open_orders()).filter(|count| *count > 0).map(Value::from))
    }
}

/// What [`Standing::told`] gives, a line a strategy.
pub fn standing_lines(standing: &Map<String, Value>) -> Vec<String> {
    let line = |(name, one): (&String, &Value)| {
        let held = one["positions"].as_object().filter(|held| !held.is_empty());
        let held = held.map_or_else(
            || "nothing held".to_owned(),
            |held| {
                held.iter()
                    .map(|(id, net)| format!("{} {id}", net.as_f64().unwrap_or(f64::NAN)))
                    .collect::<Vec<_>>()
                    .join(", ")
            },
        );
        format!("  {name}: {}, {} open orders, {held}", one["state"].as_str().unwrap_or("?"), one["open_orders"])
    };
    standing.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::State;

    #[test]
    fn what_is_counted_is_told_by_name() {
        let standing = Standing::new(&["EURUSD.SIM", "GBPUSD.SIM"].map(InstrumentInfo::named));
        ["ema", "idle"].iter().for_each(|name| standing.call(name));
        let one = standing.add(Arc::new(StateByte::new(State::Running)));
        standing.add(Arc::new(StateByte::new(State::Stopped)));
        one.set_open_orders(2);
        one.hold(1, -3.5);
        let told = standing.told();
        assert_eq!(told["ema"], json!({"state": "RUNNING", "open_orders": 2, "positions": {"GBPUSD.SIM": -3.5}}));
        assert_eq!(standing.open_orders(), Map::from_iter([("ema".to_owned(), json!(2))]));
        let lines = ["  ema: RUNNING, 2 open orders, -3.5 GBPUSD.SIM", "  idle: STOPPED, 0 open orders, nothing held"];
        assert_eq!(standing_lines(&told), lines);
    }
}
