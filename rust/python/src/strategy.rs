//! `StrategyCore`: the calls that a strategy makes, as methods of its native base class.
//!
//! Native methods, so that a call from a handler costs one specialised method load and no Python frame.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use tickrail_core::dispatch::{Desk, Refusal};
use tickrail_core::lifecycle::{Ask, Operation, by_strategy};
use tickrail_core::tick::Side;
use tickrail_core::timer::Schedule;

use crate::errors::{OrderRefused, WrongThread, refused};
use crate::gil::{GilBound, thread_mark};
use crate::lives::{mode_of, not_renewable};
use crate::market::MarketData;
use crate::order_terms::{ExpiresNs, Keywords, OrderNumber, Quantity};
use crate::portfolio::Listeners;
use crate::spawns::{self, SpawnHandle, Spawned};
use crate::table::RunTable;
use crate::timers::{self, Callbacks, TimerHandle, TimerInfo};

/// What ties a strategy object to its run.
pub struct Face {
    /// What handlers reach.
    pub desk: Rc<Desk>,
    /// The run's instruments.
    pub table: Rc<RunTable>,
    /// The dispatch thread while the loop runs, else 0; shared by all strategies of the run.
    pub thread: Rc<Cell<usize>>,
    /// Index in order of registration.
    pub strategy: u32,
    /// Name in the configuration.
    pub name: String,
    /// What timers call; shared by all strategies of the run.
    pub callbacks: Rc<Callbacks>,
    /// Coroutines that were asked for and have not ended, by number.
    pub spawned: RefCell<HashMap<u32, Spawned>>,
    /// Who runs coroutines; `None`: nobody does.
    pub spawner: Option<Py<PyAny>>,
    /// Who hears of fills; belongs to the run, as listeners hold strategies.
    pub listeners: Weak<Listeners>,
    /// Whether its handlers are compiled, so that its timers cannot call Python.
    pub compiled: bool,
    /// Whether a timer without a callback has something to call.
    pub has_on_timer: bool,
    /// Whether a restart can make a new object.
    pub renewable: bool,
    /// Whether a restart has put another object in the place of this one.
    pub retired: Cell<bool>,
}

impl Face {
    /// Whether the run has begun and not ended.
    pub fn is_going_on(&self) -> bool {
        self.thread.get() != 0
    }

    /// What ties the object that takes this one's place.
    pub fn successor(&self, py: Python<'_>) -> Self {
        Self {
            desk: Rc::clone(&self.desk),
            table: Rc::clone(&self.table),
            thread: Rc::clone(&self.thread),
            strategy: self.strategy,
            name: self.name.clone(),
            callbacks: Rc::clone(&self.callbacks),
            spawned: RefCell::default(),
            listeners: Weak::clone(&self.listeners),
            spawner: self.spawner.as_ref().map(|spawner| spawner.clone_ref(py)),
            compiled: self.compiled,
            has_on_timer: self.has_on_timer,
            renewable: self.renewable,
            retired: Cell::new(false),
        }
    }

    /// Whether this is the dispatch thread, and the object still the one that runs.
    #[inline(always)]
    pub fn check_thread(&self) -> PyResult<()> {
        if self.thread.get() == thread_mark() && !self.retired.get() {
            return Ok(());
        }
        Err(self.refuse_thread())
    }

    #[cold]
    fn refuse_thread(&self) -> PyErr {
        if self.retired.get() {
            let message = format!("strategy {}: a restart has put a new object in the place of this one", self.name);
            return OrderRefused::new_err(message);
        }
        let why =
            if self.thread.get() == 0 { "the run is not going on" } else { "this is not the run's dispatch thread" };
        WrongThread::new_err(format!("strategy {}: {why}; act from handlers of the strategy", self.name))
    }

    /// `result`, or the exception for its refusal.
    pub fn answer<T>(&self, py: Python<'_>, result: Result<T, Refusal>) -> PyResult<T> {
        result.map_err(|refusal| refused(py, &self.name, &refusal))
    }
}

/// Native base of ``tickrail.Strategy``: orders, timers, subscriptions, clock and positions.
///
/// All methods belong to the dispatch thread while a run goes on; elsewhere they raise ``WrongThread``. What they ask
/// for takes effect at the end of the step, in the order asked.
#[pyclass(subclass, frozen, module = "tickrail")]
pub struct StrategyCore {
    face: GilBound<RefCell<Option<Rc<Face>>>>,
    /// Made when it is first asked for.
    pub(crate) market: GilBound<OnceCell<Py<MarketData>>>,
}

impl StrategyCore {
    /// Ties the strategy to a run; a strategy belongs to one run at a time.
    pub fn attach(&self, py: Python<'_>, face: Rc<Face>) {
        *self.face.get(py).borrow_mut() = Some(face);
    }

    /// What ties it to its run, if one has it.
    pub fn face(&self, py: Python<'_>) -> Option<Rc<Face>> {
        self.face.get(py).borrow().clone()
    }

    /// Whether a run has it.
    pub fn is_attached(&self, py: Python<'_>) -> bool {
        self.face.get(py).borrow().is_some()
    }

    #[inline(always)]
    pub(crate) fn with_face<R>(&self, py: Python<'_>, act: impl FnOnce(&Rc<Face>) -> PyResult<R>) -> PyResult<R> {
        match &*self.face.get(py).borrow() {
            Some(face) => {
                face.check_thread()?;
                act(face)
            }
            None => Err(OrderRefused::new_err(
                "this strategy belongs to no run yet; act from on_start on, when a run has started it",
            )),
        }
    }

    fn order(
        &self,
        instrument: &Bound<'_, PyAny>,
        side: Side,
        quantity: f64,
        keywords: &Keywords<'_>,
    ) -> PyResult<u32> {
        let py = instrument.py();
        let terms = keywords.terms(py)?;
        self.with_face(py, |face| {
            let index = face.table.resolve(instrument)?;
            face.answer(py, face.desk.order_on(face.strategy, index, side, quantity, terms)).map(|key| key.number)
        })
    }
}

#[pymethods]
impl StrategyCore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { face: GilBound::new(RefCell::new(None)), market: GilBound::new(OnceCell::new()) }
    }

    /// Buy ``quantity`` units; returns the order's number within this strategy.
    ///
    /// Without prices at the market; with ``limit`` at that price or better; with ``stop`` once the market has come to it.
    /// ``time_in_force``: ``"GTC"`` (default), ``"IOC"``, ``"FOK"``, ``"DAY"`` or, with ``expires_ns`` (ns UTC), ``"GTD"``.
    /// ``post_only`` (limits): taken back where it would match at once. ``reduce_only``: never more than brings the position
    /// to zero. Matches from the next input tick of the instrument on. Raises ``OrderRefused``, and nothing leaves, for
    /// quantities and prices that are not finite and positive or off the instrument's grid, an instrument that the run
    /// does not have, and terms that exclude each other.
    #[pyo3(signature = (instrument, quantity, *, limit=None, stop=None, time_in_force=None, expires_ns=None, post_only=false, reduce_only=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of one call from Python")]
    fn buy(
        &self,
        instrument: &Bound<'_, PyAny>,
        quantity: Quantity,
        limit: Option<f64>,
        stop: Option<f64>,
        time_in_force: Option<&str>,
        expires_ns: Option<ExpiresNs>,
        post_only: bool,
        reduce_only: bool,
    ) -> PyResult<u32> {
        let expires_ns = expires_ns.map(|at| at.0);
        let keywords = Keywords { limit, stop, time_in_force, expires_ns, post_only, reduce_only };
        self.order(instrument, Side::Buy, quantity.0, &keywords)
    }

    /// Sell ``quantity`` units; see ``buy``.
    #[pyo3(signature = (instrument, quantity, *, limit=None, stop=None, time_in_force=None, expires_ns=None, post_only=false, reduce_only=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of one call from Python")]
    fn sell(
        &self,
        instrument: &Bound<'_, PyAny>,
        quantity: Quantity,
        limit: Option<f64>,
        stop: Option<f64>,
        time_in_force: Option<&str>,
        expires_ns: Option<ExpiresNs>,
        post_only: bool,
        reduce_only: bool,
    ) -> PyResult<u32> {
        let expires_ns = expires_ns.map(|at| at.0);
        let keywords = Keywords { limit, stop, time_in_force, expires_ns, post_only, reduce_only };
        self.order(instrument, Side::Sell, quantity.0, &keywords)
    }

    /// Order at the market whatever brings the position to ``quantity`` (signed), market orders on their way counted, as near as the
    /// instrument's grid allows; ``None``: nothing to do.
    fn target(&self, instrument: &Bound<'_, PyAny>, quantity: Quantity) -> PyResult<Option<u32>> {
        let py = instrument.py();
        self.with_face(py, |face| {
            let index = face.table.resolve(instrument)?;
            face.answer(py, face.desk.target(face.strategy, index, quantity.0)).map(|key| key.map(|key| key.number))
        })
    }

    /// Take back an order by its number; one that is filled or gone already stays as it is.
    fn cancel(&self, py: Python<'_>, order: OrderNumber) -> PyResult<()> {
        self.with_face(py, |face| face.answer(py, face.desk.cancel(face.strategy, order.0)))
    }

    /// Let an order stand on other terms; what is not given stays. ``quantity`` is in all, what is filled among it.
    ///
    /// An order that only shrinks keeps its turn; any other goes to the back of the line. The venue's answer comes as an
    /// order update: with a reason where it was too late. Raises ``OrderRefused`` as ``buy`` does, and for an order that is
    /// done or has no such price.
    #[pyo3(signature = (order, *, quantity=None, limit=None, stop=None))]
    fn amend(
        &self,
        py: Python<'_>,
        order: OrderNumber,
        quantity: Option<Quantity>,
        limit: Option<f64>,
        stop: Option<f64>,
    ) -> PyResult<()> {
        self.with_face(py, |face| {
            face.answer(py, face.desk.amend(face.strategy, order.0, quantity.map(|units| units.0), limit, stop))
                .map(drop)
        })
    }

    /// The price on the instrument's grid that is nearest to ``price``.
    fn round_price(&self, instrument: &Bound<'_, PyAny>, price: f64) -> PyResult<f64> {
        let py = instrument.py();
        self.with_face(py, |face| {
            let index = face.table.resolve(instrument)?;
            face.answer(py, face.desk.specification(index)).map(|rules| rules.round_price(price))
        })
    }

    /// The largest quantity on the instrument's grid that is not above ``quantity``.
    fn round_quantity(&self, instrument: &Bound<'_, PyAny>, quantity: f64) -> PyResult<f64> {
        let py = instrument.py();
        self.with_face(py, |face| {
            let index = face.table.resolve(instrument)?;
            face.answer(py, face.desk.specification(index)).map(|rules| rules.round_quantity(quantity))
        })
    }

    /// Bring the position in ``instrument`` (default: in all) to zero.
    #[pyo3(signature = (instrument=None))]
    fn close(&self, py: Python<'_>, instrument: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.with_face(py, |face| {
            let indexes = match instrument {
                Some(instrument) => vec![face.table.resolve(instrument)?],
                None => (0..face.desk.instruments().len() as u32).collect(),
            };
            indexes
                .into_iter()
                .try_for_each(|index| face.answer(py, face.desk.target(face.strategy, index, 0.0)).map(drop))
        })
    }

    /// Units held of ``instrument``, below zero when short; fills only, without orders in flight.
    fn position(&self, instrument: &Bound<'_, PyAny>) -> PyResult<f64> {
        let py = instrument.py();
        self.with_face(py, |face| {
            let index = face.table.resolve(instrument)?;
            face.answer(py, face.desk.holding(face.strategy, index)).map(|position| position.net)
        })
    }

    /// Call ``callback`` (default: ``on_timer``) once at ``ts_ns``; at or before now means in the next step.
    ///
    /// ``name``: no other timer of the strategy has it at the same time. Raises ``TimerRefused``.
    #[pyo3(signature = (ts_ns, callback=None, *, name=None))]
    fn schedule_at(
        &self,
        py: Python<'_>,
        ts_ns: i64,
        callback: Option<Py<PyAny>>,
        name: Option<Bound<'_, PyString>>,
    ) -> PyResult<TimerHandle> {
        self.with_face(py, |face| timers::set(py, face, Schedule::at(ts_ns), callback, name))
    }

    /// Call ``callback`` (default: ``on_timer``) once, ``delay_ns`` from now; 0 means in the next step.
    #[pyo3(signature = (delay_ns, callback=None, *, name=None))]
    fn schedule_after(
        &self,
        py: Python<'_>,
        delay_ns: i64,
        callback: Option<Py<PyAny>>,
        name: Option<Bound<'_, PyString>>,
    ) -> PyResult<TimerHandle> {
        self.with_face(py, |face| timers::set(py, face, Schedule::after(delay_ns), callback, name))
    }

    /// Call ``callback`` (default: ``on_timer``) every ``interval_ns`` (at least 1_000), first at ``start_ns``
    /// (default: one interval from now) and only before ``end_ns``. Never drifts.
    #[pyo3(signature = (interval_ns, callback=None, *, start_ns=None, end_ns=None, name=None))]
    fn schedule_every(
        &self,
        py: Python<'_>,
        interval_ns: i64,
        callback: Option<Py<PyAny>>,
        start_ns: Option<i64>,
        end_ns: Option<i64>,
        name: Option<Bound<'_, PyString>>,
    ) -> PyResult<TimerHandle> {
        let every = Schedule::every(interval_ns);
        let every = start_ns.map_or(every.clone(), |start_ns| every.starting(start_ns));
        let every = end_ns.map_or(every.clone(), |end_ns| every.until(end_ns));
        self.with_face(py, |face| timers::set(py, face, every, callback, name))
    }

    /// Take the timer called ``name`` away; whether there was one. Idempotent.
    fn cancel_timer(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.with_face(py, |face| Ok(timers::cancel_named(face, name)))
    }

    /// The timers that are set, in the order in which they will fire.
    fn timers(&self, py: Python<'_>) -> PyResult<Vec<Py<TimerInfo>>> {
        self.with_face(py, |face| timers::listed(py, face))
    }

    /// Run ``coroutine`` on the I/O thread, from the end of the step on; its result comes back as an input.
    ///
    /// ``callback`` (default: ``on_event``) is called with a ``SpawnResult``. In a simulation the loop waits for it right
    /// after the step; live it comes when it is there. Raises ``OrderRefused`` beyond 1,024 coroutines that run.
    #[pyo3(signature = (coroutine, callback=None))]
    fn spawn(&self, coroutine: &Bound<'_, PyAny>, callback: Option<Py<PyAny>>) -> PyResult<SpawnHandle> {
        let face = self.with_face(coroutine.py(), |face| Ok(Rc::clone(face)));
        spawns::ask(face, coroutine, callback)
    }

    /// Receive the ticks of ``instrument`` from the next step on.
    fn subscribe(&self, instrument: &Bound<'_, PyAny>) -> PyResult<()> {
        self.subscription(instrument, true)
    }

    /// Be spared the ticks of ``instrument`` from the next step on.
    fn unsubscribe(&self, instrument: &Bound<'_, PyAny>) -> PyResult<()> {
        self.subscription(instrument, false)
    }

    /// Be paused from the end of the step on: ``mode="no_new_orders"`` (ticks flow, and orders may only reduce positions)
    /// or ``"no_ticks"`` (timers are held too, and a GAP record precedes the first tick afterwards).
    #[pyo3(signature = (*, mode="no_new_orders"))]
    fn pause(&self, py: Python<'_>, mode: &str) -> PyResult<()> {
        self.ask(py, Ask::pause(mode_of(mode)?))
    }

    /// Go on after a pause, from the end of the step on.
    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        self.ask(py, Ask::new(Operation::Resume))
    }

    /// Be stopped at the end of the step: ``on_stop`` runs, and once the orders in flight are done, it is over.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.ask(py, Ask::new(Operation::Stop))
    }

    /// Be stopped and put aside for a new object of the class, which starts with the state that was saved.
    fn restart(&self, py: Python<'_>) -> PyResult<()> {
        self.with_face(py, |face| if face.renewable { Ok(()) } else { Err(not_renewable(py, &face.name)) })?;
        self.ask(py, Ask::new(Operation::Restart))
    }

    /// The clock of the step, ns UTC.
    #[getter]
    fn now_ns(&self, py: Python<'_>) -> PyResult<i64> {
        self.with_face(py, |face| Ok(face.desk.now_ns()))
    }

    /// The strategy's name in the run.
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<String> {
        match &*self.face.get(py).borrow() {
            Some(face) => Ok(face.name.clone()),
            None => Err(OrderRefused::new_err("this strategy belongs to no run yet, and has no name before")),
        }
    }
}

impl StrategyCore {
    fn ask(&self, py: Python<'_>, ask: Ask) -> PyResult<()> {
        self.with_face(py, |face| face.answer(py, face.desk.ask(face.strategy, ask, by_strategy())))
    }

    fn subscription(&self, instrument: &Bound<'_, PyAny>, wanted: bool) -> PyResult<()> {
        let py = instrument.py();
        self.with_face(py, |face| {
            let index = face.table.resolve(instrument)?;
            face.answer(py, face.desk.subscription(face.strategy, index, wanted))
        })
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<StrategyCore>()
}
