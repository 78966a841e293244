//! The end of a live run that is to stop, step by step, each within its time; and what had to be abandoned.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tickrail_core::dispatch::{Dispatcher as Core, Ending, Outcome, Residue};

use crate::dispatcher::Dispatcher;
use crate::gil::GilBound;
use crate::host::PyHost;
use crate::report::ended;
use crate::turn;

/// Longest deadline of a step, a day: beyond it a number is a mistake.
const MAX_NS: u64 = 86_400_000_000_000;

/// What the steps of the loop may take of the whole end, in fifths: what follows them, `on_stop`, states and the result, has
/// its time however short the whole is. Of the usual 25 s these are their usual deadlines, or more.
const FIFTHS: u32 = 5;
const DRAIN_FIFTHS: u32 = 1;
const ORDERS_FIFTHS: u32 = 2;
const HOOK_FIFTHS: u32 = 1;

/// The steps in which answers to orders are awaited: to those from before `on_stop`, and to those that it makes.
const ORDERS: &str = "orders";
const LAST_ORDERS: &str = "last orders";

/// One step, as it went.
struct Taken {
    name: &'static str,
    took: Duration,
    deadline: Option<Duration>,
    is_late: bool,
}

/// How a run ends that is to stop.
pub struct End {
    inside: GilBound<RefCell<Inside>>,
}

struct Inside {
    /// How long what was published may take to arrive.
    drain: Duration,
    /// How long answers to orders are awaited.
    orders: Duration,
    steps: Vec<Taken>,
    abandoned: Vec<String>,
}

impl Default for End {
    fn default() -> Self {
        let (drain, orders) = (Duration::from_secs(2), Duration::from_secs(10));
        Self { inside: GilBound::new(RefCell::new(Inside { drain, orders, steps: Vec::new(), abandoned: Vec::new() })) }
    }
}

impl End {
    fn abandon(&self, py: Python<'_>, what: String) {
        self.inside.get(py).borrow_mut().abandoned.push(what);
    }
}

impl Dispatcher {
    /// The whole end may take `whole`: no step of the loop takes more than its part of it.
    pub fn share_end(&self, py: Python<'_>, whole: Duration) {
        let part = |fifths| whole * fifths / FIFTHS;
        let mut inside = self.ending.inside.get(py).borrow_mut();
        inside.drain = inside.drain.min(part(DRAIN_FIFTHS));
        inside.orders = inside.orders.min(part(ORDERS_FIFTHS));
        self.warden.bound_hooks(part(HOOK_FIFTHS));
    }

    /// Notes how the run ended; a KeyboardInterrupt between handlers is an interruption like one inside.
    pub fn settle(&self, py: Python<'_>, result: PyResult<&'static str>) -> PyResult<&'static str> {
        let inside = self.inside.get(py);
        if result.is_err() && inside.is_driven() {
            return result; // who comes second is refused, and ends nothing of the run that goes on
        }
        let end = match result {
            Ok(end) => Ok(end),
            Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => {
                self.stop.request_stop();
                inside.drive(py, self, |core| {
                    match self.end_gracefully(py, core) {
                        // Once more, while it was being ended: then at once.
                        Err(again) if !again.is_instance_of::<PyKeyboardInterrupt>(py) => Err(again),
                        _ => Ok("interrupted"),
                    }
                })
            }
            Err(error) => {
                self.stop.request_stop();
                // Orders and positions end by their rules here too; what comes of it hides nothing of why it ended.
                drop(inside.drive(py, self, |core| self.end_gracefully(py, core)));
                Err(error)
            }
        };
        inside.end.set(Some(end.as_ref().copied().unwrap_or("failed")));
        inside.receivers.forget();
        end
    }

    /// Ends a run that is to stop: a live one winds down first. Errors of the loop are returned once it has ended.
    pub fn end_gracefully(&self, py: Python<'_>, core: &mut Core<PyHost>) -> PyResult<()> {
        if core.is_finished() {
            return Ok(());
        }
        let wound = if self.live.is_some() { self.wind_down(py, core) } else { Ok(()) };
        wound.and(self.stop_in_time(py, core, self.live.is_some()))
    }

    /// Ends one whose data has ended, or that has failed.
    pub fn finish_in_time(&self, py: Python<'_>, core: &mut Core<PyHost>) -> PyResult<()> {
        self.stop_in_time(py, core, false)
    }

    /// Ends it, and notes how long that took: `on_stop` runs, and the orders that leave by it are awaited.
    fn stop_in_time(&self, py: Python<'_>, core: &mut Core<PyHost>, has_wound: bool) -> PyResult<()> {
        if core.is_finished() {
            return Ok(());
        }
        let began = now();
        self.warden.begin_end();
        let on_stop = |took| Taken { name: "on_stop", took, deadline: None, is_late: false };
        if self.live.is_none() || !core.has_venues_away() {
            self.tell_residue(py, core, has_wound);
            core.finish();
            self.note(py, on_stop(began.elapsed()));
            return Ok(());
        }
        core.call_stops();
        self.note(py, on_stop(began.elapsed()));
        let last = self.await_last(py, core);
        self.tell_residue(py, core, has_wound);
        core.finish();
        last
    }

    /// Awaits what `on_stop` has ordered, for what the orders before it have left of their time.
    fn await_last(&self, py: Python<'_>, core: &mut Core<PyHost>) -> PyResult<()> {
        if !core.is_awaiting() {
            return Ok(());
        }
        let left = {
            let inside = self.ending.inside.get(py).borrow();
            let spent = inside.steps.iter().find(|step| step.name == ORDERS).map_or(Duration::ZERO, |step| step.took);
            inside.orders.saturating_sub(spent)
        };
        self.go_on(py, core, LAST_ORDERS, left, Core::is_awaiting)
    }

    /// What is left of orders and positions is abandoned.
    fn tell_residue(&self, py: Python<'_>, core: &Core<PyHost>, has_wound: bool) {
        let names = self.inside.get(py).names.borrow();
        for left in core.residue(has_wound) {
            self.ending.abandon(py, said(core, &names, &left));
        }
    }

    /// A step is done; whoever has to end the process knows it too.
    fn note(&self, py: Python<'_>, taken: Taken) {
        self.warden.done(taken.name, taken.took, taken.deadline, taken.is_late);
        self.ending.inside.get(py).borrow_mut().steps.push(taken);
    }

    fn wind_down(&self, py: Python<'_>, core: &mut Core<PyHost>) -> PyResult<()> {
        let Some(feeds) = &self.live else { return Ok(()) };
        let (drain, orders) = {
            let inside = self.ending.inside.get(py).borrow();
            (inside.drain, inside.orders)
        };
        core.begin_ending();
        // A simulated venue fills from ticks: where positions are to be closed they flow on, to it alone.
        let closes = core.has_positions_to_close();
        if !closes {
            feeds.hub.close();
            self.go_on(py, core, "drain", drain, |core| !core.is_drained())?;
        }
        core.wind_down();
        self.go_on(py, core, ORDERS, orders, Core::is_awaiting)?;
        feeds.hub.close();
        Ok(())
    }

    /// Lets the loop go on while `wanted`, for as long as the step may take.
    fn go_on(
        &self,
        py: Python<'_>,
        core: &mut Core<PyHost>,
        name: &'static str,
        deadline: Duration,
        wanted: impl Fn(&Core<PyHost>) -> bool,
    ) -> PyResult<()> {
        let began = now();
        let mut result = Ok(());
        while result.is_ok() && wanted(core) && !self.stop.is_hurried() && began.elapsed() < deadline {
            let outcome = core.advance();
            if let Outcome::Failed(_) = outcome {
                result = ended(py, core, outcome, &self.inside.get(py).feeds.borrow()).map(drop);
                continue;
            }
            self.await_feeds(py, core, outcome);
            result = turn::offer(py);
        }
        let is_late = wanted(core);
        self.note(py, Taken { name, took: began.elapsed(), deadline: Some(deadline), is_late });
        if is_late {
            let why = if self.stop.is_hurried() { "it was hurried" } else { "its time was over" };
            self.ending.abandon(py, format!("{name}: {why} after {:.1} s", began.elapsed().as_secs_f64()));
        }
        result
    }
}

fn said(core: &Core<PyHost>, names: &[String], left: &Residue) -> String {
    let instrument = |index: u32| core.desk().instruments()[index as usize].id.clone();
    let name = |strategy: u32| names.get(strategy as usize).map_or("?", String::as_str);
    match left {
        Residue::Order { order, instrument: index } => {
            format!("strategy {}: order {} of {} is still open", name(order.strategy), order.number, instrument(*index))
        }
        Residue::Position { strategy, instrument: index, net, refused } => {
            let why =
                refused.as_ref().map(|(number, why)| format!("; its order {number} to close it was refused: {why}"));
            let (name, why) = (name(*strategy), why.unwrap_or_default());
            format!("strategy {name}: {net} of {} are still held{why}", instrument(*index))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "bounds the end of a run; what it decides is recorded as an input")]
fn now() -> Instant {
    Instant::now()
}

/// Give a strategy a rule for the end of the run, before it begins.
#[pyfunction]
#[pyo3(signature = (dispatcher, strategy, *, leave_orders, close_positions))]
fn end_by(
    py: Python<'_>,
    dispatcher: &Dispatcher,
    strategy: u32,
    leave_orders: bool,
    close_positions: bool,
) -> PyResult<()> {
    let ending = Ending { leaves_orders: leave_orders, closes_positions: close_positions };
    let inside = dispatcher.inside.get(py);
    if inside.names.borrow().len() <= strategy as usize {
        return Err(PyValueError::new_err(format!("no strategy number {strategy}")));
    }
    inside.plan(|plan| {
        plan.endings.push((strategy, ending));
        Ok(())
    })
}

/// How long the end of a live run may take: for what was published to arrive, and for the answers to orders.
#[pyfunction]
fn end_within(py: Python<'_>, dispatcher: &Dispatcher, drain_ns: u64, orders_ns: u64) -> PyResult<()> {
    for (name, ns) in [("drain_ns", drain_ns), ("orders_ns", orders_ns)] {
        if ns > MAX_NS {
            return Err(PyValueError::new_err(format!("{name} is {ns}: expected at most {MAX_NS}")));
        }
    }
    let mut inside = dispatcher.ending.inside.get(py).borrow_mut();
    (inside.drain, inside.orders) = (Duration::from_nanos(drain_ns), Duration::from_nanos(orders_ns));
    Ok(())
}

/// Give up what the end of the run would still wait for. Any thread.
#[pyfunction]
fn hurry_end(dispatcher: &Dispatcher) {
    dispatcher.stop.request_hurry();
    dispatcher.waker.wake();
}

/// How the run ended: the steps, one dict each with ``name``, ``took_s``, ``deadline_s`` (or ``None``) and ``late``, and
/// what was abandoned, in words.
#[pyfunction]
fn ending_report<'py>(py: Python<'py>, dispatcher: &Dispatcher) -> PyResult<(Bound<'py, PyList>, Vec<String>)> {
    let inside = dispatcher.ending.inside.get(py).borrow();
    let steps = PyList::empty(py);
    for taken in &inside.steps {
        let row = PyDict::new(py);
        row.set_item("name", taken.name)?;
        row.set_item("took_s", taken.took.as_secs_f64())?;
        row.set_item("deadline_s", taken.deadline.map(|deadline| deadline.as_secs_f64()))?;
        row.set_item("late", taken.is_late)?;
        steps.append(row)?;
    }
    let mut abandoned = inside.abandoned.clone();
    abandoned.extend(dispatcher.warden.broken_at_the_end());
    Ok((steps, abandoned))
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(end_by, m)?)?;
    m.add_function(wrap_pyfunction!(end_within, m)?)?;
    m.add_function(wrap_pyfunction!(hurry_end, m)?)?;
    m.add_function(wrap_pyfunction!(ending_report, m)?)
}
