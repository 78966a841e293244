//! Lanes: a strategy in machine code on a thread of its own, in runs by arrival.
//!
//! The loop does for such a strategy what it does for all: it decides what it receives, in the total order, and keeps its
//! accounts. In the place of its handler stands a [`Relay`], which writes the strategy's records to an observer ring of its
//! own and everything else (timers, order updates, hooks) beside it. The lane's thread takes both in the order in which they
//! were written. What its handler asks for comes back as an external input, with a loop position, and is recorded; a run of
//! the recording has [`Silent`] in the place of the handler and decides the same.
//!
//! Reading order: [`LanePlan`], `tie` (the two rings), [`Relay`], `thread`, `wire` (what goes back), [`LaneMeter`].

mod letter;
mod meter;
mod pinning;
mod relay;
mod thread;
mod tie;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use thiserror::Error;

pub use meter::{LaneCounts, LaneMeter};
pub use pinning::allowed_processors;
pub use relay::Relay;
pub(crate) use wire::unpack;

use crate::clock::LiveClock;
use crate::command::{Command, Sender};
use crate::handler::{Handler, HandlerError, Out};
use crate::ring::CapacityError;
use crate::stop::{StopFlag, WaitStrategy};
use crate::tick::Tick;

/// What happens where the lane is slower than the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LanePolicy {
    /// The loop waits for it, at most [`LaneRules::timeout`]; then its strategy is FAILED.
    Gating,
    /// It loses the oldest records, and how many those were is counted.
    Lossy,
}

impl LanePolicy {
    /// The policy named `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "gating" => Some(Self::Gating),
            "lossy" => Some(Self::Lossy),
            _ => None,
        }
    }
}

/// What is fixed for a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaneRules {
    /// What happens where it is slower than the loop.
    pub policy: LanePolicy,
    /// Slots of its ring; a power of two.
    pub capacity_slots: usize,
    /// The processor that its thread is kept on.
    pub processor: Option<usize>,
    /// How long the loop waits for it: for slots, and for it to come to rest before a hook.
    pub timeout: Duration,
    /// How it waits for records.
    pub wait: WaitStrategy,
    /// Records between two whose handling is measured; 0 measures nothing.
    pub sample_every: u32,
    /// Whether its handler takes batches.
    pub takes_batches: bool,
    /// Records that its handler is handed in one call. With 1 a handler that panics is known to have done so at that one;
    /// compiled functions do not panic.
    pub at_once: usize,
}

impl Default for LaneRules {
    fn default() -> Self {
        Self {
            policy: LanePolicy::Gating,
            capacity_slots: 8_192,
            processor: None,
            timeout: Duration::from_secs(5),
            wait: WaitStrategy::default(),
            sample_every: crate::dispatch::SAMPLE_EVERY,
            takes_batches: false,
            at_once: 1,
        }
    }
}

/// Why a lane cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LaneError {
    /// Its ring cannot have that capacity.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// This process may not use that processor, or there is none.
    #[error("processor {wanted} cannot be had: this process may use {}", listed(.allowed))]
    Processor {
        /// Which.
        wanted: usize,
        /// Those that it may use.
        allowed: Vec<usize>,
    },
}

fn listed(processors: &[usize]) -> String {
    processors.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// What every life of a strategy's lane is made with.
#[derive(Clone, Debug)]
pub struct LanePlan {
    pub(super) strategy: u32,
    pub(super) rules: LaneRules,
    pub(super) sender: Sender<Command>,
    pub(super) stop: Arc<StopFlag>,
    pub(super) clock: Option<Arc<LiveClock>>,
    pub(super) meter: Arc<LaneMeter>,
    /// How many lives were opened. Relaxed: one thread opens them.
    lives: Arc<AtomicU32>,
}

impl LanePlan {
    /// For the strategy registered with the number `strategy`; `sender` leads to the loop, which `stop` stops. With a
    /// `clock` the lane measures how long ticks are under way.
    ///
    /// # Errors
    /// The rules cannot be kept on this machine.
    pub fn new(
        strategy: u32,
        rules: LaneRules,
        sender: Sender<Command>,
        stop: Arc<StopFlag>,
        clock: Option<Arc<LiveClock>>,
    ) -> Result<Self, LaneError> {
        crate::ring::observer(rules.capacity_slots.min(crate::ring::MAX_CAPACITY_SLOTS + 1))?;
        if let Some(wanted) = rules.processor {
            let allowed = allowed_processors();
            if !allowed.contains(&wanted) {
                return Err(LaneError::Processor { wanted, allowed });
            }
        }
        let meter = Arc::new(LaneMeter::default());
        Ok(Self { strategy, rules, sender, stop, clock, meter, lives: Arc::default() })
    }

    /// What stands in the loop for the next life's `handler`, which its thread takes over when the strategy starts.
    ///
    /// # Errors
    /// The ring cannot be had.
    pub fn open(&self, handler: Box<dyn Handler + Send>) -> Result<Relay, LaneError> {
        let life = self.lives.fetch_add(1, Ordering::Relaxed);
        Relay::new(self.clone(), life, handler)
    }

    /// What is counted and measured of it, over all of its lives.
    pub const fn meter(&self) -> &Arc<LaneMeter> {
        &self.meter
    }
}

/// Stands for the handler of a strategy that had a lane, in a run of a recording: what it asked for is in there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Handler for Silent {
    fn on_tick(&mut self, _tick: &Tick, _out: &mut Out) -> Result<(), HandlerError> {
        Ok(())
    }

    fn on_batch(&mut self, _ticks: &[Tick], _out: &mut Out) -> Result<(), HandlerError> {
        Ok(())
    }

    fn is_elsewhere(&self) -> bool {
        true
    }

    fn take(&mut self, ticks: &[Tick], _out: &mut Out) -> (usize, Result<(), HandlerError>) {
        (ticks.len(), Ok(()))
    }
}
