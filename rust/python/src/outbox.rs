//! `Outbox`: orders on their way to venues outside of the process, and the way of answers back.

use std::os::fd::RawFd;
use std::sync::Arc;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use tickrail_core::command::{Command, CommandKind, Lane, Sender};
use tickrail_core::ring::NotTaken;
use tickrail_core::venue::{Answer, AnswerKind, Leaving, Order, Outbox as Core};

use crate::dispatcher::Dispatcher;
use crate::events::side_name;
use crate::feed::Ready;
use crate::lanes::sender_of;

/// What a run has that sends orders away.
pub struct Away {
    /// By instrument.
    pub is_away: Vec<bool>,
    /// Where they wait; `None`: in a replay.
    pub outbox: Option<Arc<Core>>,
    /// What is held when the run begins.
    pub held: Vec<(u32, Answer)>,
}

/// Orders that have left the loop and wait to be sent. Any thread.
#[pyclass(frozen, module = "tickrail._native")]
pub struct Outbox {
    core: Arc<Core>,
    ready: Arc<Ready>,
    sender: Sender<Command>,
    ids: Vec<String>,
}

/// Of a price or time that may be none.
fn some(price: f64) -> Option<f64> {
    Some(price).filter(|price| !price.is_nan())
}

#[pymethods]
impl Outbox {
    /// A descriptor that can be read once something waits; ``take`` clears it.
    fn fileno(&self) -> RawFd {
        self.ready.descriptor()
    }

    /// Whether no order may be sent any more, whatever let it leave before.
    #[getter]
    fn is_halted(&self) -> bool {
        self.core.is_halted()
    }

    /// An order is being taken back, or (``False``) its venue has heard of that, or nobody wants it any more.
    fn note_taking_back(&self, begins: bool) {
        self.core.note_taking_back(begins);
    }

    /// Take what waits, the first first, at most ``most``: tuples that begin with ``"submit"``, ``"stopped"``, ``"cancel"`` or
    /// ``"amend"``, strategy and number; or with ``"cancel_all"``, or ``"cancel_at_end"``.
    fn take<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.ready.clear();
        let taken = self.core.take(most);
        if taken.len() == most {
            self.ready.set(); // there may be more
        }
        taken.iter().map(|leaving| self.shown(py, leaving)).collect()
    }

    /// Send what a venue says of an order to the loop. 0: sent, 1: full, 2: the run is over.
    #[expect(clippy::too_many_arguments, reason = "the parts of one answer")]
    fn answer(
        &self,
        kind: &str,
        strategy: u32,
        number: u32,
        first: f64,
        second: f64,
        third: f64,
        reason: &str,
    ) -> PyResult<u8> {
        let answer =
            Answer { kind: kind_of(kind)?, number, figures: [first, second, third], reason: reason.to_owned() };
        let sent = self.sender.push(Lane::Normal, Command::new(CommandKind::VENUE, strategy, answer.payload()));
        Ok(match sent {
            Ok(()) => 0,
            Err(NotTaken::Full(_)) => 1,
            Err(NotTaken::Closed(_)) => 2,
        })
    }
}

impl Outbox {
    fn shown<'py>(&self, py: Python<'py>, leaving: &Leaving) -> PyResult<Bound<'py, PyAny>> {
        let shown = match leaving {
            Leaving::Order(order) => self.order(py, "submit", order)?,
            Leaving::Stopped(order) => self.order(py, "stopped", order)?,
            Leaving::CancelAll => ("cancel_all", 0, 0).into_pyobject(py)?.into_any(),
            Leaving::CancelAtEnd => ("cancel_at_end", 0, 0).into_pyobject(py)?.into_any(),
            Leaving::Cancel(key) => ("cancel", key.strategy, key.number).into_pyobject(py)?.into_any(),
            Leaving::Amend(key, change) => {
                let prices = (change.quantity, some(change.limit), some(change.stop));
                ("amend", key.strategy, key.number, prices.0, prices.1, prices.2).into_pyobject(py)?.into_any()
            }
        };
        Ok(shown)
    }

    fn order<'py>(&self, py: Python<'py>, word: &str, order: &Order) -> PyResult<Bound<'py, PyAny>> {
        let terms = &order.terms;
        let expires = Some(terms.expires_ns).filter(|&ns| ns != i64::MAX);
        let how = (
            some(terms.limit),
            some(terms.stop),
            terms.time_in_force.name(),
            expires,
            terms.post_only,
            terms.reduce_only,
        );
        let what = (self.ids[order.instrument as usize].as_str(), side_name(order.side), order.quantity - order.filled);
        Ok((word, order.key.strategy, order.key.number, what, how).into_pyobject(py)?.into_any())
    }
}

fn kind_of(name: &str) -> PyResult<AnswerKind> {
    AnswerKind::named(name).ok_or_else(|| {
        let known: Vec<&str> = AnswerKind::ALL.into_iter().map(AnswerKind::name).collect();
        PyValueError::new_err(format!("kind is {name:?}: expected one of {}", known.join(", ")))
    })
}

/// Send the orders of these venues away, instead of to simulated ones; before the run. Without ``sends`` they go nowhere:
/// a replay has the answers.
#[pyfunction]
#[pyo3(signature = (dispatcher, venues, *, sends=true))]
fn open_outbox(py: Python<'_>, dispatcher: &Dispatcher, venues: Vec<String>, sends: bool) -> PyResult<Option<Outbox>> {
    let ids = dispatcher.inside.get(py).table.names();
    let venue_of = |id: &String| id.rsplit_once('.').map_or("", |(_, venue)| venue).to_owned();
    let is_away: Vec<bool> = ids.iter().map(|id| venues.contains(&venue_of(id))).collect();
    let opened = if sends {
        let ready = Ready::new().map_err(PyOSError::new_err)?;
        let bell = Arc::clone(&ready);
        let core = Core::new(dispatcher.inside.get(py).desk.gate(), move || bell.set());
        Some(Outbox { core, ready, sender: sender_of(py, dispatcher)?, ids })
    } else {
        None
    };
    let outbox = opened.as_ref().map(|opened| Arc::clone(&opened.core));
    dispatcher.inside.get(py).plan(|plan| {
        plan.away = Some(Away { is_away, outbox, held: Vec::new() });
        Ok(())
    })?;
    Ok(opened)
}

/// Let a strategy begin with what it holds at a venue outside: ``(strategy, instrument, units, average price)`` each, by
/// their numbers. Before the run, after ``open_outbox``.
#[pyfunction]
fn hold_at_start(py: Python<'_>, dispatcher: &Dispatcher, held: Vec<(u32, u32, f64, f64)>) -> PyResult<()> {
    let answers = held.into_iter().map(|(strategy, instrument, units, price)| {
        let figures = [units, price, 0.0];
        (strategy, Answer { kind: AnswerKind::Held, number: instrument, figures, reason: String::new() })
    });
    let answers: Vec<(u32, Answer)> = answers.collect();
    let inside = dispatcher.inside.get(py);
    // Whoever records the run has had its loop built already.
    if inside.is_at_rest() {
        return inside.look_mut(|core| {
            core.hold(answers);
            Ok(())
        });
    }
    inside.plan(|plan| {
        let away = plan.away.as_mut().ok_or_else(|| PyValueError::new_err("no orders of this run are sent away"))?;
        away.held = answers;
        Ok(())
    })
}

/// Adds the class and its functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Outbox>()?;
    m.add_function(wrap_pyfunction!(open_outbox, m)?)?;
    m.add_function(wrap_pyfunction!(hold_at_start, m)?)
}
