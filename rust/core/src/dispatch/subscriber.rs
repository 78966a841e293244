//! Who receives what: the subscribers of a run and the routes of each instrument.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::absence::Absence;
use super::account::Tallies;
use super::batcher::{BatchEdges, Batcher};
use super::lag::Lagger;
use super::lives::Pending;
use super::request::TimerKey;
use super::supervise::Supervisor;
use super::winding::{Ending, Winding};
use crate::handler::Handler;
use crate::lifecycle::StateByte;
use crate::tick::Kind;

/// How a subscriber takes its ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A call of the host a tick.
    Ticks,
    /// Records to a handler in machine code, one step each.
    Records,
    /// A call a batch.
    Batches(BatchEdges),
    /// The loop returns with the tick; only the last subscriber may.
    Pull,
    /// By its rule for lag, for the time being: the loop's own, nobody registers so.
    #[doc(hidden)]
    Lagging,
}

/// Which kinds of record a subscriber wants: one bit a kind code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Every kind.
    pub const ALL: Kinds = Kinds(u8::MAX);
    /// No kind.
    pub const NONE: Kinds = Kinds(0);

    /// These and `kind`.
    #[must_use]
    pub const fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    #[inline(always)]
    pub(super) const fn wants(self, code: u8) -> bool {
        // Codes beyond 7 are no kinds of this version; whoever wants every kind gets them, shown as plain ticks.
        code > 7 && self.0 == u8::MAX || code <= 7 && self.0 & (1 << code) != 0
    }
}

/// What a strategy registers with.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// How it takes ticks.
    pub delivery: Delivery,
    /// Which kinds it wants.
    pub kinds: Kinds,
    /// Which instruments; `None`: all.
    pub instruments: Option<Vec<u32>>,
    /// Whether it has a handler for order updates.
    pub order_updates: bool,
}

/// One strategy as the loop sees it.
pub(super) struct Subscriber {
    pub state: Arc<StateByte>,
    pub delivery: Delivery,
    pub kinds: Kinds,
    pub order_updates: bool,
    pub batcher: Batcher,
    pub tallies: Tallies,
    /// Its rule for lag, if it has one.
    pub lagger: Option<Box<Lagger>>,
    /// The handler of a strategy in machine code; the host calls the others.
    pub handler: Option<Box<dyn Handler>>,
    /// Which life of the strategy this is, from 0.
    pub life: u32,
    /// What it calls its timers, by number.
    pub tags: BTreeMap<u32, (i64, TimerKey)>,
    /// How many records it is offered at once; grows while it takes them all.
    pub reach: usize,
    /// What it misses, or has missed, while paused without ticks.
    pub absence: Option<Box<Absence>>,
    /// What its end waits for, while it is stopping.
    pub pending: Option<Box<Pending>>,
    /// What becomes of its orders and positions at the end of the run, and how far that has come.
    pub ending: Ending,
    pub winding: Winding,
    /// What becomes of it where it fails.
    pub supervisor: Supervisor,
    /// What it registered for: a restart begins with it again.
    pub instruments: Option<Vec<u32>>,
}

impl Subscriber {
    pub fn new(state: Arc<StateByte>, subscription: &Subscription, handler: Option<Box<dyn Handler>>) -> Self {
        let edges = match subscription.delivery {
            Delivery::Batches(edges) => edges,
            _ => BatchEdges { max_ticks: 1, window_ns: 0 },
        };
        Self {
            state,
            delivery: subscription.delivery,
            kinds: subscription.kinds,
            order_updates: subscription.order_updates,
            batcher: Batcher::new(edges),
            tallies: Tallies::default(),
            lagger: None,
            handler,
            life: 0,
            tags: BTreeMap::new(),
            reach: 1,
            absence: None,
            pending: None,
            ending: Ending::default(),
            winding: Winding::No,
            supervisor: Supervisor::default(),
            instruments: subscription.instruments.clone(),
        }
    }

    /// When something of its life is due: a restart, or the end of the wait for its orders; `i64::MAX`: nothing is.
    pub fn life_ns(&self) -> i64 {
        let stop_ns = self.pending.as_ref().map_or(i64::MAX, |pending| pending.due_ns);
        stop_ns.min(self.supervisor.due_ns.unwrap_or(i64::MAX))
    }
}

/// The subscribers of each instrument, in order of registration.
pub(super) struct Routes {
    routes: Vec<Vec<u32>>,
    /// The only subscriber of each instrument, or `SEVERAL`, or `NOBODY`.
    sole: Vec<u32>,
}

const SEVERAL: u32 = u32::MAX;
/// In the place of a strategy: an instrument without subscribers.
pub(super) const NOBODY: u32 = u32::MAX - 1;

impl Routes {
    pub fn new(instruments: usize) -> Self {
        Self { routes: vec![Vec::new(); instruments], sole: vec![NOBODY; instruments] }
    }

    /// The one strategy that gets `instrument`, or [`NOBODY`]; `None`: there are several, or no such instrument.
    #[inline(always)]
    pub fn sole(&self, instrument: u32) -> Option<u32> {
        self.sole.get(instrument as usize).copied().filter(|&strategy| strategy != SEVERAL)
    }

    #[inline(always)]
    pub fn of(&self, instrument: u32) -> &[u32] {
        &self.routes[instrument as usize]
    }

    pub fn set(&mut self, strategy: u32, instrument: u32, wanted: bool) {
        let route = &mut self.routes[instrument as usize];
        match (route.binary_search(&strategy), wanted) {
            (Err(place), true) => route.insert(place, strategy),
            (Ok(place), false) => {
                route.remove(place);
            }
            _ => {}
        }
        self.sole[instrument as usize] = match route[..] {
            [] => NOBODY,
            [only] => only,
            _ => SEVERAL,
        };
    }

    /// Lets `strategy` receive what it registered for, and nothing else.
    pub fn reset(&mut self, strategy: u32, instruments: Option<&[u32]>) {
        for instrument in 0..self.routes.len() as u32 {
            self.set(strategy, instrument, instruments.is_none_or(|list| list.contains(&instrument)));
        }
    }

    pub fn add(&mut self, strategy: u32, instruments: Option<&[u32]>) {
        match instruments {
            Some(list) => list.iter().for_each(|&instrument| self.set(strategy, instrument, true)),
            None => (0..self.routes.len() as u32).for_each(|instrument| self.set(strategy, instrument, true)),
        }
    }
}
