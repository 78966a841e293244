//! Lanes of strategies as the binding has them: who calls a compiled strategy's handlers, and what is counted of it.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tickrail_core::Tick;
use tickrail_core::handler::{CHandler, Handler, HandlerError, Out, TimerRecord, UpdateRecord};
use tickrail_core::lane::{LaneMeter, LanePlan, LanePolicy, LaneRules, Silent, allowed_processors};

use crate::dispatcher::Dispatcher;
use crate::forms::compiled::CompiledCode;
use crate::lanes::sender_of;
use crate::plan::named;

/// Records that compiled code is handed in one call: as many as the lane copies out at once.
const AT_ONCE: usize = 64;

/// Who calls the handlers of a compiled strategy.
#[derive(Clone, Debug, Default)]
pub enum Seat {
    /// The loop.
    #[default]
    Loop,
    /// A lane was asked for, and the run is none that has lanes.
    Wanted,
    /// A lane.
    Lane(LanePlan),
    /// Nobody: a recording has what they asked for.
    Silent,
}

impl Seat {
    /// What it comes to in a run whose kind is known.
    pub fn settled(self, is_replay: bool) -> Self {
        match self {
            Self::Wanted if is_replay => Self::Silent,
            Self::Wanted => Self::Loop,
            other => other,
        }
    }

    /// What the loop calls for `code`.
    ///
    /// # Errors
    /// The code is of another version, or there is no memory for a ring.
    pub fn handler(&self, code: &Bound<'_, CompiledCode>) -> PyResult<Box<dyn Handler>> {
        let handler = code.get().handler(code.py())?;
        Ok(match self {
            Self::Loop | Self::Wanted => Box::new(handler),
            Self::Silent => Box::new(Silent),
            Self::Lane(plan) => {
                code.get().go_on_lane();
                let on_lane = OnLane { handler, code: code.clone().unbind() };
                Box::new(plan.open(Box::new(on_lane)).map_err(|error| PyValueError::new_err(error.to_string()))?)
            }
        })
    }
}

/// Compiled functions on a lane; keeps what they need alive, and its state whole for who looks at it.
struct OnLane {
    handler: CHandler,
    code: Py<CompiledCode>,
}

// SAFETY: the functions may be called from any thread, by their contract; one thread has the handler, and the loop waits for
// that before it lets hooks of the strategy touch the state. `code` is only looked at, and let go without the GIL.
unsafe impl Send for OnLane {}

impl OnLane {
    fn call<R>(&mut self, call: impl FnOnce(&mut CHandler) -> R) -> R {
        let busy = self.code.get().on_lane();
        let result = call(&mut self.handler);
        drop(busy);
        result
    }
}

impl Handler for OnLane {
    fn on_tick(&mut self, tick: &Tick, out: &mut Out) -> Result<(), HandlerError> {
        self.call(|handler| handler.on_tick(tick, out))
    }

    fn take(&mut self, ticks: &[Tick], out: &mut Out) -> (usize, Result<(), HandlerError>) {
        self.call(|handler| handler.take(ticks, out))
    }

    fn on_batch(&mut self, ticks: &[Tick], out: &mut Out) -> Result<(), HandlerError> {
        self.call(|handler| handler.on_batch(ticks, out))
    }

    fn on_timer(&mut self, timer: &TimerRecord, out: &mut Out) -> Result<(), HandlerError> {
        self.call(|handler| handler.on_timer(timer, out))
    }

    fn on_order_update(&mut self, update: &UpdateRecord, out: &mut Out) -> Result<(), HandlerError> {
        self.call(|handler| handler.on_order_update(update, out))
    }
}

/// Let the handlers of ``strategy``, which is compiled, be called on a thread of their own where the run is live. Before it
/// begins.
#[pyfunction]
#[pyo3(signature = (dispatcher, strategy, *, policy="gating", capacity=8192, processor=None, timeout_s=5.0))]
fn give_lane(
    py: Python<'_>,
    dispatcher: &Dispatcher,
    strategy: u32,
    policy: &str,
    capacity: usize,
    processor: Option<usize>,
    timeout_s: f64,
) -> PyResult<()> {
    const LONGEST_S: f64 = 86_400.0;
    if !(timeout_s > 0.0 && timeout_s <= LONGEST_S) {
        let message = format!("timeout_s is {timeout_s}: expected seconds, above 0 and at most {LONGEST_S}");
        return Err(PyValueError::new_err(message));
    }
    let rules = LaneRules {
        policy: named("policy", policy, "'gating' or 'lossy'", LanePolicy::from_name(policy))?,
        capacity_slots: capacity,
        processor,
        timeout: Duration::from_secs_f64(timeout_s),
        at_once: AT_ONCE,
        ..LaneRules::default()
    };
    let live = dispatcher.live.as_ref().map(|live| Arc::clone(live.hub.clock()));
    let sender = if live.is_some() { Some(sender_of(py, dispatcher)?) } else { None };
    dispatcher.inside.get(py).plan(|plan| {
        let number = strategy as usize;
        let Some((registered, _)) = plan.strategies.get_mut(number) else {
            return Err(PyValueError::new_err(format!("no strategy number {strategy}")));
        };
        let Some(code) = &registered.compiled else {
            return Err(PyValueError::new_err("only a compiled strategy can have a lane"));
        };
        registered.seat = Seat::Wanted;
        if let Some(sender) = sender {
            let sample_every = plan.sample_every;
            let rules = LaneRules { takes_batches: code.get().takes_batches(), sample_every, ..rules };
            let lane = LanePlan::new(strategy, rules, sender, Arc::clone(&dispatcher.stop), live)
                .map_err(|error| PyValueError::new_err(error.to_string()))?;
            dispatcher
                .lanes
                .lock()
                .unwrap_or_else(|error| error.into_inner())
                .push((strategy, Arc::clone(lane.meter())));
            registered.seat = Seat::Lane(lane);
        }
        Ok(())
    })
}

/// The processors that this process may use.
#[pyfunction]
fn processors() -> Vec<usize> {
    allowed_processors()
}

/// What is counted of a lane, as a dict.
pub fn counts<'py>(py: Python<'py>, meter: &LaneMeter) -> PyResult<Bound<'py, PyDict>> {
    let (row, counts) = (PyDict::new(py), meter.counts());
    row.set_item("offered", counts.offered)?;
    row.set_item("handled", counts.handled)?;
    row.set_item("lost", counts.lost)?;
    row.set_item("pending", counts.pending())?;
    row.set_item("gaps", counts.gaps)?;
    row.set_item("asked", counts.asked)?;
    row.set_item("high_water", counts.high_water)?;
    row.set_item("waits", counts.waits)?;
    row.set_item("abandoned", counts.is_abandoned)?;
    Ok(row)
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(give_lane, m)?)?;
    m.add_function(wrap_pyfunction!(processors, m)?)
}
