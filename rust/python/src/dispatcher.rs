//! `Dispatcher`: the native loop of one run, as Python drives it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tickrail_core::digest::DigestMode;
use tickrail_core::dispatch::{
    Delivery, Desk, Dispatcher as Core, Kinds, Meters, Outcome, RunSettings, Snapshots, Subscription,
};
use tickrail_core::lane::LaneMeter;
use tickrail_core::order::MergeInput;
use tickrail_core::stop::{StopFlag, Waker};
use tickrail_core::tick::OrderBy;
use tickrail_core::venue::{RoutedVenue, Venue};

use crate::array::TickArray;
use crate::ending::End;
use crate::errors::{begun, hinted};
use crate::feed::{Birthplace, Ears, LiveFeeds, check_fork, wait_from};
use crate::forms::compiled::CompiledCode;
use crate::gil::{GilBound, guard, thread_mark};
use crate::host::{Handlers, Keeper, PyHost, Registered, attach};
use crate::lanes::{Commands, Receivers};
use crate::lives::{self, Here, Lives, Watch, ask_of};
use crate::own_lanes::Seat;
use crate::pace::{PROGRESS, Pace};
use crate::plan::{Plan, delivery_of, edges_of, named, source};
use crate::portfolio::{self, Listeners};
use crate::strategy::{Face, StrategyCore};
use crate::stuck::Warden;
use crate::table::RunTable;
use crate::timers::Callbacks;
use crate::venue_plan::{self, InstrumentRow, instrument_row};

pub(crate) enum Phase {
    Plan(Box<Plan>),
    Loop(Box<Core<PyHost>>),
    /// Left behind when building the loop failed.
    Spent,
}

/// The native loop of one run: feeds and strategies are added, then it runs once, or is pulled.
///
/// Belongs to one thread at a time; only ``request_stop`` may come from any thread at any moment.
#[pyclass(frozen, module = "tickrail._native")]
pub struct Dispatcher {
    pub(crate) stop: Arc<StopFlag>,
    /// Wakes the dispatch thread where it waits.
    pub(crate) waker: Arc<Waker>,
    /// What was measured, for any thread.
    pub(crate) meters: Arc<Meters>,
    /// What becomes of handlers that do not return.
    pub(crate) warden: Arc<Warden>,
    /// How a run ends that is to stop.
    pub(crate) ending: End,
    /// Where the loop answers whoever asks for accounts.
    pub snapshots: Arc<Snapshots>,
    /// In which process it was made.
    pub(crate) born: Birthplace,
    /// Of a live run.
    pub(crate) live: Option<LiveFeeds>,
    /// What is counted of lanes, by number of the strategy; for any thread.
    pub(crate) lanes: Mutex<Vec<(u32, Arc<LaneMeter>)>>,
    /// Everything that belongs to the dispatch thread.
    pub inside: GilBound<Inside>,
}

/// What a run consists of.
pub struct Inside {
    pub(crate) phase: RefCell<Phase>,
    /// What handlers reach.
    pub desk: Rc<Desk>,
    /// The run's instruments.
    pub table: Rc<RunTable>,
    /// The dispatch thread while the loop runs, else 0.
    pub thread: Rc<Cell<usize>>,
    /// The same, but not between two steps by hand.
    here: Rc<Here>,
    callbacks: Rc<Callbacks>,
    /// Who hears of fills.
    listeners: Rc<Listeners>,
    pub(crate) receivers: Rc<Receivers>,
    /// Who is told what feeds tell of themselves.
    pub ears: Rc<Ears>,
    /// Of the strategies, in order of registration.
    pub names: RefCell<Vec<String>>,
    /// Name and file of each feed.
    pub feeds: RefCell<Vec<String>>,
    /// Whether the first pull has started the strategies.
    pub is_begun: Cell<bool>,
    /// How the run ended, once it did.
    pub end: Cell<Option<&'static str>>,
    /// Who hears of what becomes of strategies.
    pub(crate) watch: Watch,
    /// Who runs the coroutines of strategies.
    spawner: Option<Py<PyAny>>,
    /// Where the loop answers whoever asks for accounts.
    snapshots: Arc<Snapshots>,
}

impl Inside {
    /// Acts before the run begins.
    pub fn plan<R>(&self, act: impl FnOnce(&mut Plan) -> PyResult<R>) -> PyResult<R> {
        match &mut *self.phase.try_borrow_mut().map_err(|_| busy())? {
            Phase::Plan(plan) => act(plan),
            _ => {
                let message =
                    "the run has begun, or record() was called: feeds, strategies and record_commands() come before";
                Err(Python::attach(|py| begun(py, message, "add")))
            }
        }
    }

    /// Looks at the loop; before it was built there is nothing to see.
    pub fn look<R>(&self, act: impl FnOnce(&Core<PyHost>) -> PyResult<R>) -> PyResult<R> {
        match &*self.phase.try_borrow().map_err(|_| busy())? {
            Phase::Loop(core) => act(core),
            _ => Err(PyRuntimeError::new_err("the run has not begun: there is nothing to report yet")),
        }
    }

    /// Whether nobody is driving the loop now.
    pub fn is_at_rest(&self) -> bool {
        self.phase.try_borrow_mut().is_ok_and(|phase| matches!(*phase, Phase::Loop(_)))
    }

    /// Looks at the loop as [`Self::look`], to bring its counters up to date.
    pub fn look_mut<R>(&self, act: impl FnOnce(&mut Core<PyHost>) -> PyResult<R>) -> PyResult<R> {
        match &mut *self.phase.try_borrow_mut().map_err(|_| busy())? {
            Phase::Loop(core) => act(core),
            _ => Err(PyRuntimeError::new_err("the run has not begun: there is nothing to report yet")),
        }
    }

    /// Refuses a call from within a handler.
    pub(crate) fn check_idle(&self) -> PyResult<()> {
        self.phase.try_borrow_mut().map(drop).map_err(|_| busy())
    }

    /// Drives the loop, on this thread, building it first if need be.
    pub fn drive<R>(
        &self,
        py: Python<'_>,
        run: &Dispatcher,
        act: impl FnOnce(&mut Core<PyHost>) -> PyResult<R>,
    ) -> PyResult<R> {
        check_fork(py, run.born)?;
        let mut phase = self.phase.try_borrow_mut().map_err(|_| busy())?;
        let before = (self.thread.replace(thread_mark()), self.here.driver.replace(thread_mark()));
        let result = guard(|| {
            if matches!(&*phase, Phase::Plan(_)) {
                *phase = self.build(py, &mut phase, run)?;
            }
            match &mut *phase {
                Phase::Loop(core) => act(core),
                _ => Err(PyRuntimeError::new_err("the run could not be built; make a new one")),
            }
        });
        self.thread.set(before.0);
        self.here.driver.set(before.1);
        result
    }

    /// Whether somebody drives the loop at this moment: another thread, or whoever called the handler that asks.
    pub fn is_driven(&self) -> bool {
        self.phase.try_borrow_mut().is_err()
    }

    /// Builds the loop if need be, and acts on it: no strategy may be added any more.
    pub fn prepare<R>(
        &self,
        py: Python<'_>,
        run: &Dispatcher,
        act: impl FnOnce(&mut Core<PyHost>) -> PyResult<R>,
    ) -> PyResult<R> {
        self.drive(py, run, act)
    }

    fn build(&self, py: Python<'_>, phase: &mut Phase, run: &Dispatcher) -> PyResult<Phase> {
        let Phase::Plan(plan) = std::mem::replace(phase, Phase::Spent) else { return Ok(Phase::Spent) };
        let is_replay = plan.recording.is_some();
        let source = source(run.live.as_ref(), plan.recording, plan.inputs, plan.settings.order)?;
        let (venue, held): (Box<dyn Venue>, _) = match plan.away {
            None => (Box::new(plan.venue), Vec::new()),
            Some(away) => (Box::new(RoutedVenue::new(plan.venue, away.is_away, away.outbox)), away.held),
        };
        self.desk.inbox().wake_by(Arc::clone(&run.waker));
        let (table, receivers, ears) = (Rc::clone(&self.table), Rc::clone(&self.receivers), Rc::clone(&self.ears));
        let warden = Arc::clone(&run.warden);
        let mut host = PyHost::new(table, plan.always_fresh, receivers, ears, self.watch.clone(), warden);
        host.listeners = Rc::clone(&self.listeners);
        let mut core = Core::new(plan.settings, Rc::clone(&self.desk), source, venue, Arc::clone(&run.stop), host);
        core.report_to(Arc::clone(&self.snapshots));
        if plan.sample_every > 0 {
            let clock = run.live.as_ref().map(|live| Arc::clone(live.hub.clock()));
            core.measure(Arc::clone(&run.meters), plan.sample_every, clock);
        }
        core.expect(plan.strategies.len());
        core.host_mut().strategies.reserve_exact(plan.strategies.len());
        for (mut registered, subscription) in plan.strategies {
            registered.seat = registered.seat.settled(is_replay);
            let handler =
                registered.compiled.as_ref().map(|code| registered.seat.handler(code.bind(py))).transpose()?;
            core.host_mut().strategies.push(registered);
            match handler {
                Some(handler) => core.register_handler(&subscription, handler),
                None => core.register(&subscription),
            };
        }
        plan.lag_rules.into_iter().for_each(|(strategy, rule)| core.limit_lag(strategy, rule));
        plan.endings.into_iter().for_each(|(strategy, ending)| core.end_by(strategy, ending));
        plan.supervision.into_iter().for_each(|(strategy, rule)| core.supervise(strategy, rule));
        plan.funds.into_iter().for_each(|(strategy, capital, leverage)| self.desk.fund(strategy, capital, leverage));
        plan.commands.equip(&mut core);
        core.hold(held);
        Ok(Phase::Loop(Box::new(core)))
    }
}

fn busy() -> PyErr {
    PyRuntimeError::new_err(
        "the run is going on: look at it from outside its handlers, between two pulls, or when it ended",
    )
}

#[pymethods]
impl Dispatcher {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of one call from the Python face")]
    #[pyo3(signature = (*, instruments, order_by="ts_event", digest="events", seed=0, config_digest=None, slice_ticks=4096, always_fresh=false, sample_every=0, live=None, clock="live", run_id="run", venues=None, equity_every_ns=60_000_000_000, spawner=None))]
    fn new(
        py: Python<'_>,
        instruments: Vec<Bound<'_, PyDict>>,
        order_by: &str,
        digest: &str,
        seed: u64,
        config_digest: Option<&[u8]>,
        slice_ticks: usize,
        always_fresh: bool,
        sample_every: u32,
        live: Option<&str>,
        clock: &str,
        run_id: &str,
        venues: Option<&Bound<'_, PyDict>>,
        equity_every_ns: i64,
        spawner: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let rows: Vec<InstrumentRow> = instruments.iter().map(instrument_row).collect::<PyResult<_>>()?;
        let venue = venue_plan::venues(&rows, venues, seed)?;
        let (table, rules): (Vec<_>, Vec<_>) = rows.into_iter().map(|row| (row.info, row.rules)).unzip();
        let mode = match digest {
            "events" => Some(DigestMode::Events),
            "full" => Some(DigestMode::Full),
            _ => None,
        };
        if slice_ticks == 0 {
            return Err(PyValueError::new_err("slice_ticks is 0: expected at least 1"));
        }
        let mut configuration = config_digest.unwrap_or_default().to_vec();
        table.iter().for_each(|info| configuration.extend_from_slice(format!("\n{}", info.id).as_bytes()));
        let settings = RunSettings {
            order: named("order_by", order_by, "'ts_event' or 'ts_init'", OrderBy::from_name(order_by))?,
            digest: named("digest", digest, "'events' or 'full'", mode)?,
            seed,
            configuration,
            fingerprints: Vec::new(),
            slice_ticks,
            worth_every_ns: portfolio::looks_every(equity_every_ns)?,
        };
        let waker = Arc::new(Waker::new());
        let is_in_time = match clock {
            "live" => Some(false),
            "sim" => Some(true),
            _ => None,
        };
        let is_in_time = named("clock", clock, "'live' or 'sim'", is_in_time)?;
        let feeds = |wait: &str| Ok::<_, PyErr>(LiveFeeds::new(&table, &waker, wait_from(wait)?, is_in_time));
        let live = live.map(feeds).transpose()?;
        let ears = Rc::new(Ears::new(live.as_ref().map(|live| Arc::clone(&live.hub))));
        let snapshots = Arc::new(Snapshots::default());
        let plan = Plan {
            settings,
            venue,
            away: None,
            inputs: Vec::new(),
            recording: None,
            strategies: Vec::new(),
            lag_rules: Vec::new(),
            supervision: Vec::new(),
            endings: Vec::new(),
            funds: Vec::new(),
            always_fresh,
            sample_every,
            commands: Commands::default(),
        };
        Ok(Self {
            stop: Arc::new(StopFlag::new()),
            waker,
            snapshots: Arc::clone(&snapshots),
            meters: Arc::default(),
            warden: Arc::default(),
            ending: End::default(),
            born: Birthplace::here(),
            live,
            lanes: Mutex::default(),
            inside: GilBound::new(Inside {
                table: Rc::new(RunTable::new(py, &table, run_id)?),
                desk: Desk::specified(table, rules),
                phase: RefCell::new(Phase::Plan(Box::new(plan))),
                thread: Rc::new(Cell::new(0)),
                here: Rc::default(),
                callbacks: Rc::default(),
                listeners: Rc::default(),
                receivers: Rc::default(),
                names: RefCell::default(),
                feeds: RefCell::default(),
                is_begun: Cell::new(false),
                end: Cell::new(None),
                watch: Watch::default(),
                ears,
                spawner,
                snapshots,
            }),
        })
    }

    /// Add a feed; its number is its rank in the merge. All of its instruments must be in the run's table.
    fn add_feed(&self, py: Python<'_>, name: &str, data: &Bound<'_, TickArray>) -> PyResult<usize> {
        let inside = self.inside.get(py);
        let array = data.get();
        let indexes: Vec<u32> =
            array.table().iter().map(|info| inside.table.by_text(py, &info.id)).collect::<PyResult<_>>()?;
        let identity = indexes.iter().enumerate().all(|(place, &index)| place == index as usize);
        inside.plan(|plan| {
            if array.order() != plan.settings.order {
                let (has, wants) = (array.order().name(), plan.settings.order.name());
                let message = format!("feed {name} is ordered by {has}, but the run merges by {wants}");
                return Err(hinted(py, "DataError", &message, &format!("set order_by = \"{has}\" for the run")));
            }
            let feed = plan.inputs.len();
            plan.inputs.push(MergeInput {
                block: array.block().clone(),
                feed: feed as u32,
                instruments: (!identity).then_some(indexes),
            });
            plan.settings.fingerprints.push(array.content());
            inside
                .feeds
                .borrow_mut()
                .push(array.file().map_or_else(|| name.to_owned(), |path| format!("{name} ({path})")));
            Ok(feed)
        })
    }

    /// Add a strategy; ticks reach strategies in this order. Its handlers are found by name.
    ///
    /// ``instruments``: ids, or ``None`` for all. ``max_ticks`` and ``window_ns`` are the edges of batches.
    /// If it is ``keeper.stores``, ``keeper.load()`` is called before ``on_start`` and ``keeper.save()`` after ``on_stop``;
    /// if it is ``keeper.renewable``, ``keeper.renew()`` makes a new object for a restart.
    #[pyo3(signature = (strategy, name, *, instruments=None, max_ticks=4096, window_ns=0, keeper=None))]
    fn register(
        &self,
        strategy: &Bound<'_, PyAny>,
        name: &str,
        instruments: Option<Vec<Bound<'_, PyAny>>>,
        max_ticks: usize,
        window_ns: i64,
        keeper: Option<Py<PyAny>>,
    ) -> PyResult<usize> {
        let handlers = Handlers::of(strategy)?;
        let edges = edges_of(name, max_ticks, window_ns)?;
        let (delivery, kinds) = delivery_of(&handlers, edges);
        self.enter(strategy, name, handlers, None, instruments, (delivery, kinds), keeper)
    }

    /// Add a strategy whose handlers are compiled; the loop calls them without Python.
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of one call from the Python face")]
    #[pyo3(signature = (strategy, name, code, *, instruments=None, max_ticks=4096, window_ns=0, keeper=None))]
    fn register_compiled(
        &self,
        strategy: &Bound<'_, PyAny>,
        name: &str,
        code: &Bound<'_, CompiledCode>,
        instruments: Option<Vec<Bound<'_, PyAny>>>,
        max_ticks: usize,
        window_ns: i64,
        keeper: Option<Py<PyAny>>,
    ) -> PyResult<usize> {
        let handlers = Handlers::of_compiled(strategy, code.get())?;
        let edges = edges_of(name, max_ticks, window_ns)?;
        let delivery = if code.get().takes_batches() { Delivery::Batches(edges) } else { Delivery::Records };
        let all = code.get().defines("on_tick") || code.get().takes_batches();
        let wanted = if all { Kinds::ALL } else { code.get().wants() };
        self.enter(strategy, name, handlers, Some(code.clone().unbind()), instruments, (delivery, wanted), keeper)
    }

    /// Add the strategy whose ticks ``pull`` returns; it is the last.
    #[pyo3(signature = (strategy, name, *, instruments=None))]
    fn register_pull(
        &self,
        strategy: &Bound<'_, PyAny>,
        name: &str,
        instruments: Option<Vec<Bound<'_, PyAny>>>,
    ) -> PyResult<usize> {
        let handlers = Handlers::of(strategy)?;
        self.enter(strategy, name, handlers, None, instruments, (Delivery::Pull, Kinds::ALL), None)
    }

    /// Run to the end of the data; returns ``"end"``, ``"stopped"`` or ``"interrupted"``.
    ///
    /// ``progress(done, total)`` is called between slices, at most 20 times a second, and ``started()`` once all strategies
    /// have been started. Raises ``RunFailed``.
    #[pyo3(signature = (progress=None, started=None))]
    fn run(
        &self,
        py: Python<'_>,
        progress: Option<Bound<'_, PyAny>>,
        started: Option<Bound<'_, PyAny>>,
    ) -> PyResult<&'static str> {
        let inside = self.inside.get(py);
        let _watch = self.warden.watch(py, self)?;
        let mut report = Pace::every(PROGRESS);
        let result = inside.drive(py, self, |core| {
            self.await_first(py, core)?;
            let total = core.remaining();
            let mut outcome = if inside.is_begun.replace(true) { core.advance() } else { core.start() };
            if let Some(started) = started.filter(|_| outcome == Outcome::Slice) {
                started.call0()?;
            }
            loop {
                if let Some(end) = crate::report::ended(py, core, outcome, &inside.feeds.borrow())? {
                    match outcome {
                        Outcome::Stopped | Outcome::Interrupted => self.end_gracefully(py, core)?,
                        Outcome::End if core.has_orders_away() => self.end_gracefully(py, core)?,
                        _ => self.finish_in_time(py, core)?,
                    }
                    return Ok(end);
                }
                // A handler has forked, and its child has come back here: it must not trade a second time.
                check_fork(py, self.born)?;
                self.await_feeds(py, core, outcome);
                crate::turn::offer(py)?;
                if let Some(progress) = progress.as_ref().filter(|_| report.is_due()) {
                    progress.call1((core.input_count(), total))?;
                }
                outcome =
                    if core.host().is_machine_code() { crate::detached::advance(py, core) } else { core.advance() };
            }
        });
        self.settle(py, result)
    }

    /// End the run if it has not ended: batches are flushed, ``on_stop`` runs, the digest is final. Idempotent.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        let inside = self.inside.get(py);
        inside.drive(py, self, |core| {
            if core.has_orders_away() {
                return self.end_gracefully(py, core);
            }
            self.finish_in_time(py, core)
        })?;
        inside.thread.set(0);
        if inside.end.get().is_none() {
            inside.end.set(Some("stopped"));
        }
        inside.receivers.forget();
        Ok(())
    }

    /// Ask the run to stop after the present step. Any thread, any time, idempotent.
    fn request_stop(&self, py: Python<'_>) -> PyResult<()> {
        check_fork(py, self.born)?;
        self.stop.request_stop();
        self.waker.wake();
        Ok(())
    }

    /// Whether somebody has asked the run to stop. Any thread.
    #[getter]
    fn stop_requested(&self) -> bool {
        self.stop.is_set()
    }

    /// How the run ended: ``"end"``, ``"stopped"``, ``"interrupted"``, ``"failed"``; ``None`` before.
    #[getter]
    fn end(&self, py: Python<'_>) -> Option<&'static str> {
        self.inside.get(py).end.get()
    }

    /// Move a strategy's life on, between two pulls; returns whether its state changed.
    #[pyo3(signature = (strategy, operation, mode="no_new_orders"))]
    fn operate(&self, py: Python<'_>, strategy: u32, operation: &str, mode: &str) -> PyResult<bool> {
        let inside = self.inside.get(py);
        let ask = ask_of(operation, mode)?;
        inside.drive(py, self, |core| lives::apply(py, core, &inside.names.borrow(), strategy, ask))
    }

    /// What other threads ask of strategies.
    #[getter]
    fn lives(&self, py: Python<'_>) -> Lives {
        let inside = self.inside.get(py);
        let here = Rc::clone(&inside.here);
        Lives::of(Arc::clone(inside.desk.inbox()), Arc::clone(inside.desk.log()), &inside.watch, here, self.born)
    }

    /// Tell ``watcher`` what becomes of strategies, on the dispatch thread: its methods ``changed``, ``settled`` and
    /// ``hook_took``.
    fn watch(&self, py: Python<'_>, watcher: Py<PyAny>) {
        self.inside.get(py).watch.watcher.set(watcher);
    }
}

impl Dispatcher {
    /// On the clock of records that arrive, strategies are started at the time of the first.
    fn await_first(&self, py: Python<'_>, core: &mut Core<PyHost>) -> PyResult<()> {
        if let Some(feeds) = self.live.as_ref().filter(|feeds| feeds.is_in_time) {
            while !core.finds_first() && !self.stop.is_set() {
                feeds.wait(py, i64::MAX);
                py.check_signals()?;
            }
        }
        Ok(())
    }

    /// Where a live run has nothing to do, it waits; without the GIL.
    pub fn await_feeds(&self, py: Python<'_>, core: &Core<PyHost>, outcome: Outcome) {
        if outcome == Outcome::Idle
            && let Some(feeds) = &self.live
        {
            feeds.wait(py, core.next_due_ns());
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what three ways to register a strategy have in common")]
    fn enter(
        &self,
        strategy: &Bound<'_, PyAny>,
        name: &str,
        handlers: Handlers,
        compiled: Option<Py<CompiledCode>>,
        instruments: Option<Vec<Bound<'_, PyAny>>>,
        (delivery, kinds): (Delivery, Kinds),
        keeper: Option<Py<PyAny>>,
    ) -> PyResult<usize> {
        let py = strategy.py();
        let inside = self.inside.get(py);
        let keeper = keeper.map(|object| Keeper::of(object.into_bound(py))).transpose()?;
        let renewable = keeper.as_ref().is_some_and(|keeper| keeper.renews);
        if strategy.cast::<StrategyCore>().is_ok_and(|core| core.get().is_attached(py)) {
            let message = format!("strategy {name}: this object was in a run before");
            return Err(hinted(py, "IllegalTransition", &message, "make a new object for each run"));
        }
        let indexes = instruments
            .map(|list| list.iter().map(|one| inside.table.resolve(one)).collect::<PyResult<Vec<u32>>>())
            .transpose()?;
        let updates_compiled = compiled.as_ref().is_some_and(|code| code.get().takes_updates());
        let order_updates = handlers.order_update.is_some() || updates_compiled;
        let subscription = Subscription { delivery, kinds, instruments: indexes, order_updates };
        inside.plan(|plan| {
            if plan.strategies.last().is_some_and(|(_, last)| last.delivery == Delivery::Pull) {
                return Err(PyValueError::new_err("the pull strategy is the last: register the others before it"));
            }
            let index = plan.strategies.len();
            let face = Rc::new(Face {
                desk: Rc::clone(&inside.desk),
                table: Rc::clone(&inside.table),
                thread: Rc::clone(&inside.thread),
                strategy: index as u32,
                name: name.to_owned(),
                callbacks: Rc::clone(&inside.callbacks),
                spawned: RefCell::default(),
                listeners: Rc::downgrade(&inside.listeners),
                spawner: inside.spawner.as_ref().map(|spawner| spawner.clone_ref(py)),
                compiled: compiled.is_some(),
                has_on_timer: match &compiled {
                    Some(code) => code.get().defines("on_timer"),
                    None => handlers.has_on_timer(),
                },
                renewable,
                retired: Cell::new(false),
            });
            attach(strategy, &face);
            inside.names.borrow_mut().push(name.to_owned());
            inside.desk.standing().call(name);
            inside.desk.inbox().promise();
            let registered = Registered { handlers, face, generator: None, compiled, seat: Seat::default(), keeper };
            plan.strategies.push((registered, subscription));
            Ok(index)
        })
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Dispatcher>()
}
