//! The host of Python strategies: hands ticks, batches, timers and order updates to their methods.

use std::rc::Rc;
use std::sync::Arc;

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::ffi;
use pyo3::prelude::*;
use tickrail_core::command::{Command, Handled};
use tickrail_core::dispatch::{Fault, Hook, Host, LagEpisode, LifeAnswer, Settled, SpawnKey};
use tickrail_core::feed::FeedEvent;
use tickrail_core::handler::{Handler, HandlerError};
use tickrail_core::lifecycle::{StateChange, Ticket};
use tickrail_core::timer::Fired;
use tickrail_core::venue::OrderUpdate as CoreUpdate;
use tickrail_core::{Kind, Tick, TickBlock};

use crate::batch::TickBatch;
use crate::errors::hinted;
use crate::events::OrderUpdate;
use crate::feed::Ears;
use crate::forms::compiled::{self, CompiledCode};
use crate::forms::generator;
use crate::lag;
use crate::lanes::Receivers;
use crate::lives::{Watch, not_renewable, renewed};
use crate::method::Method;
use crate::own_lanes::Seat;
use crate::portfolio::{self, Listeners};
use crate::spawns;
use crate::strategy::{Face, StrategyCore};
use crate::stuck::Warden;
use crate::table::RunTable;
use crate::tick_objects::TickObjects;
use crate::timers;

/// Hooks that take longer are told of; whoever watches has deadlines of its own.
const REMARKABLE_HOOK_NS: u64 = 100_000_000;

/// The handlers that a strategy's class defines.
pub struct Handlers {
    /// Per kind code: who receives it.
    by_kind: [Option<Rc<Method>>; 8],
    /// `on_batch`.
    pub batch: Option<Method>,
    /// `on_order_update`.
    pub order_update: Option<Method>,
    /// `ticks`, a generator function that is sent every tick.
    pub ticks: Option<Py<PyAny>>,
    names: [&'static str; 8],
    timer: Option<Method>,
    event: Option<Method>,
    /// Of the life, in the order of [`Hook`].
    hooks: [Option<Py<PyAny>>; Hook::ALL.len()],
}

/// The hooks that the class of `strategy` defines, in the order of [`Hook`]; not those of the base class, which do nothing.
fn hooks_of(strategy: &Bound<'_, PyAny>) -> PyResult<[Option<Py<PyAny>>; Hook::ALL.len()]> {
    let base = strategy.py().import("tickrail.strategy.strategy")?.getattr("Strategy")?;
    let mut hooks = [const { None }; Hook::ALL.len()];
    for hook in Hook::ALL {
        let Some(own) = strategy.getattr_opt(hook.name())? else { continue };
        let does_nothing = match (own.getattr_opt("__func__")?, base.getattr_opt(hook.name())?) {
            (Some(function), Some(nothing)) => function.is(&nothing),
            _ => false,
        };
        hooks[hook as usize] = (!does_nothing).then(|| own.unbind());
    }
    Ok(hooks)
}

/// Handlers of one kind each, which come before `on_tick`.
const BY_KIND: [(&str, Kind); 5] = [
    ("on_quote", Kind::Quote),
    ("on_trade", Kind::Trade),
    ("on_bar", Kind::Bar),
    ("on_gap", Kind::Gap),
    ("on_stale", Kind::Stale),
];

impl Handlers {
    /// Whether timers without a callback have something to call.
    pub const fn has_on_timer(&self) -> bool {
        self.timer.is_some()
    }

    /// Finds what `strategy` defines; the base class defines none of them.
    pub fn of(strategy: &Bound<'_, PyAny>) -> PyResult<Self> {
        let method = |name: &str| -> PyResult<Option<Method>> {
            strategy.getattr_opt(name)?.map(|callable| Method::new(&callable)).transpose()
        };
        let mut by_kind: [Option<Rc<Method>>; 8] = Default::default();
        if let Some(any) = method("on_tick")? {
            let any = Rc::new(any);
            by_kind.fill_with(|| Some(Rc::clone(&any)));
        }
        let mut names = ["on_tick"; 8];
        for (name, kind) in BY_KIND {
            if let Some(own) = method(name)? {
                by_kind[kind as usize] = Some(Rc::new(own));
                names[kind as usize] = name;
            }
        }
        Ok(Self {
            by_kind,
            batch: method("on_batch")?,
            order_update: method("on_order_update")?,
            ticks: generator::function_of(strategy)?,
            names,
            timer: method("on_timer")?,
            event: method("on_event")?,
            hooks: hooks_of(strategy)?,
        })
    }

    /// Those of a compiled strategy: the loop calls its machine code, and only the hooks are Python's.
    pub fn of_compiled(strategy: &Bound<'_, PyAny>, code: &CompiledCode) -> PyResult<Self> {
        let mut names = ["on_tick"; 8];
        for (name, kind) in [("on_quote", Kind::Quote), ("on_trade", Kind::Trade), ("on_bar", Kind::Bar)] {
            if code.defines(name) {
                names[kind as usize] = name;
            }
        }
        Ok(Self {
            by_kind: Default::default(),
            batch: None,
            order_update: None,
            ticks: None,
            names,
            timer: None,
            event: None,
            hooks: hooks_of(strategy)?,
        })
    }

    /// Whether a strategy with the handlers `other` takes its ticks in the same form.
    pub fn has_form_of(&self, other: &Self) -> bool {
        self.batch.is_some() == other.batch.is_some() && self.ticks.is_some() == other.ticks.is_some()
    }

    /// `on_event`.
    pub const fn event(&self) -> Option<&Method> {
        self.event.as_ref()
    }

    /// Whether some kind goes to a handler a tick.
    pub fn takes(&self, kind: Kind) -> bool {
        self.by_kind[kind as usize].is_some()
    }

    /// Whether `on_tick` is there, which takes every kind.
    pub fn takes_all(&self) -> bool {
        self.by_kind[0].is_some()
    }
}

/// One strategy.
pub struct Registered {
    /// Its methods, which hold the object.
    pub handlers: Handlers,
    /// What ties it to the run.
    pub face: Rc<Face>,
    /// The generator that its `ticks` made, from the start of the run on.
    pub generator: Option<Py<PyAny>>,
    /// The machine code of a compiled strategy, which the loop calls by itself.
    pub compiled: Option<Py<CompiledCode>>,
    /// Who calls that machine code.
    pub seat: Seat,
    /// Keeps its state and makes a new object for a restart; `None`: it was handed over and lives once.
    pub keeper: Option<Keeper>,
}

/// Who keeps a strategy's state; what it cannot do it is not asked for.
pub struct Keeper {
    object: Py<PyAny>,
    stores: bool,
    /// Whether it makes a new object for a restart.
    pub renews: bool,
}

impl Keeper {
    /// This one.
    pub fn of(object: Bound<'_, PyAny>) -> PyResult<Self> {
        let (stores, renews) = (object.getattr("stores")?.is_truthy()?, object.getattr("renewable")?.is_truthy()?);
        Ok(Self { object: object.unbind(), stores, renews })
    }
}

/// Holds the strategies of a run. Only ever used with the GIL held, on the dispatch thread.
pub struct PyHost {
    /// In order of registration.
    pub strategies: Vec<Registered>,
    table: Rc<RunTable>,
    objects: TickObjects,
    /// Of the pull strategy: apart from the others, as its `for` loop still holds the last tick while the next is made.
    pulled: TickObjects,
    presented: *mut ffi::PyObject,
    receivers: Rc<Receivers>,
    watch: Watch,
    ears: Rc<Ears>,
    warden: Arc<Warden>,
    /// Who hears of fills.
    pub listeners: Rc<Listeners>,
}

impl PyHost {
    /// No strategies yet.
    pub fn new(
        table: Rc<RunTable>,
        always_fresh: bool,
        receivers: Rc<Receivers>,
        ears: Rc<Ears>,
        watch: Watch,
        warden: Arc<Warden>,
    ) -> Self {
        Self {
            strategies: Vec::new(),
            table,
            objects: TickObjects::new(always_fresh),
            pulled: TickObjects::new(always_fresh),
            presented: std::ptr::null_mut(),
            receivers,
            watch,
            ears,
            warden,
            listeners: Rc::default(),
        }
    }

    /// The object for the pull strategy's next tick, as a new reference.
    ///
    /// # Errors
    /// There is no memory for it.
    #[inline(always)]
    pub fn pulled(&mut self, py: Python<'_>, tick: &Tick) -> PyResult<*mut ffi::PyObject> {
        let object = self.pulled.fill_other(py, tick, self.table.id(tick.instrument))?;
        // SAFETY: `fill_other` returns a live object.
        unsafe { ffi::Py_INCREF(object) };
        Ok(object)
    }

    /// The same where nothing has to be made for it; `None`: nothing was done.
    #[inline(always)]
    pub fn pulled_again(&mut self, tick: &Tick) -> Option<*mut ffi::PyObject> {
        self.pulled.write_other(tick)
    }

    /// The GIL, which whoever drives the loop holds.
    #[inline(always)]
    fn py<'py>() -> Python<'py> {
        // SAFETY: the dispatcher's methods take `Python` and drive the loop without giving the GIL up.
        unsafe { Python::assume_attached() }
    }
}

/// Ctrl-C and `sys.exit` end the run; everything else is the strategy's own failure.
#[cold]
pub fn fault(error: PyErr) -> Fault<PyErr> {
    if ends_run(PyHost::py(), &error) { Fault::Interrupted(error) } else { Fault::Failed(error) }
}

/// Whether it wants the run to end, and is no failure of whoever raised it.
#[cold]
pub fn ends_run(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py)
}

impl Host for PyHost {
    type Failure = PyErr;

    #[inline(always)]
    fn present(&mut self, tick: &Tick) -> Result<(), PyErr> {
        self.presented = self.objects.fill(Self::py(), tick, self.table.id(tick.instrument))?;
        Ok(())
    }

    #[inline(always)]
    fn tick(&mut self, strategy: u32, tick: &Tick) -> Result<(), Fault<PyErr>> {
        let registered = &self.strategies[strategy as usize];
        if let Some(ticks) = &registered.generator {
            // SAFETY: `presented` is the object that `present` filled for this tick and that `objects` owns.
            let result = unsafe { generator::send(Self::py(), ticks, self.presented) };
            self.warden.returned(Self::py());
            return result;
        }
        let handlers = &registered.handlers;
        let place = if tick.kind < 8 { tick.kind as usize } else { 0 };
        let Some(method) = &handlers.by_kind[place] else { return Ok(()) };
        // SAFETY: `presented` is the object that `present` filled for this tick and that `objects` owns.
        let result = unsafe { method.call(Self::py(), self.presented) };
        self.warden.returned(Self::py());
        result.map_err(fault)
    }

    fn tick_handler(&self, strategy: u32, tick: &Tick) -> &'static str {
        let handlers = &self.strategies[strategy as usize].handlers;
        if handlers.ticks.is_some() { "ticks" } else { handlers.names[usize::from(tick.kind) % 8] }
    }

    fn batch(&mut self, strategy: u32, batch: TickBlock) -> Result<(), Fault<PyErr>> {
        let py = Self::py();
        let Some(method) = &self.strategies[strategy as usize].handlers.batch else { return Ok(()) };
        let object = Py::new(py, TickBatch::new(batch, Rc::clone(&self.table))).map_err(fault)?;
        // SAFETY: `object` lives until the end of this function.
        let result = unsafe { method.call(py, object.as_ptr()) };
        self.warden.returned(py);
        result.map_err(fault)
    }

    fn timer(&mut self, strategy: u32, fired: &Fired) -> Result<(), Fault<PyErr>> {
        let py = Self::py();
        let registered = &self.strategies[strategy as usize];
        let (callback, event) = timers::event_of(py, &registered.face, fired).map_err(fault)?;
        let result = match (callback, &registered.handlers.timer) {
            (Some(callback), _) => callback.call1(py, (event,)).map(drop),
            // SAFETY: `event` lives until the end of this function.
            (None, Some(method)) => unsafe { method.call(py, event.as_ptr()) },
            (None, None) => Ok(()),
        };
        self.warden.returned(py);
        result.map_err(fault)
    }

    fn run_timer(&mut self, fired: &Fired) -> Result<(), Fault<PyErr>> {
        let result = self.receivers.scheduled(fired);
        self.returned();
        result
    }

    fn order_update(&mut self, strategy: u32, update: &CoreUpdate) -> Result<(), Fault<PyErr>> {
        let py = Self::py();
        let registered = &self.strategies[strategy as usize];
        let Some(method) = &registered.handlers.order_update else { return Ok(()) };
        let instrument = self.table.id(update.order.instrument).clone_ref(py);
        let object = OrderUpdate::new(
            *update,
            instrument,
            registered.face.desk.now_ns(),
            Arc::clone(&registered.face.table.run_id),
        );
        let object = Py::new(py, object).map_err(fault)?;
        // SAFETY: `object` lives until the end of this function.
        let result = unsafe { method.call(py, object.as_ptr()) };
        self.warden.returned(py);
        result.map_err(fault)
    }

    fn filled(&mut self, strategy: u32, is_own: bool) -> Result<(), Fault<PyErr>> {
        // A compiled strategy may have subscribed when it started, and the loop let go of the GIL since.
        Python::attach(|py| portfolio::tell(py, &self.listeners, strategy, is_own)).map_err(fault)
    }

    fn feed_event(&mut self, event: &FeedEvent) -> Result<(), Fault<PyErr>> {
        let result = self.ears.call_hook(event);
        self.warden.returned(Self::py());
        result
    }

    fn hears(&self, strategy: u32) -> bool {
        self.strategies[strategy as usize].handlers.event().is_some()
    }

    fn told(&mut self, strategy: u32, event: &FeedEvent) -> Result<(), Fault<PyErr>> {
        let result = self.ears.tell(&self.strategies[strategy as usize], event);
        self.warden.returned(Self::py());
        result
    }

    fn lagged(&mut self, strategy: u32, episode: &LagEpisode) -> Result<(), Fault<PyErr>> {
        let result = lag::tell(&self.strategies[strategy as usize], episode);
        self.warden.returned(Self::py());
        result
    }

    fn commanded(&mut self, strategy: u32, number: u64) -> Result<(), Fault<PyErr>> {
        let result = self.receivers.tell(&self.strategies[strategy as usize], number);
        self.returned();
        result
    }

    fn admits(&mut self, command: &Command) -> Result<bool, Fault<PyErr>> {
        self.receivers.admits(command)
    }

    fn external(&mut self, command: Command, handled: Handled) -> Result<(), Fault<PyErr>> {
        let result = self.receivers.deliver(&command, handled);
        self.returned();
        result
    }

    fn abandoned(&mut self, command: Command) {
        self.receivers.abandon(&command);
    }

    fn local_command(&mut self) -> Result<(), Fault<PyErr>> {
        let result = self.receivers.deliver_local();
        self.returned();
        result
    }

    fn spawn(&mut self, key: SpawnKey) -> Result<(), Fault<PyErr>> {
        spawns::begin(Self::py(), &self.strategies[key.strategy as usize].face, key)
    }

    fn settle(&mut self, key: SpawnKey) -> Result<Settled, Fault<PyErr>> {
        spawns::settle(Self::py(), &self.strategies[key.strategy as usize].face, key)
    }

    fn spawned(&mut self, key: SpawnKey) -> Result<(), Fault<PyErr>> {
        let result = spawns::tell(Self::py(), &self.strategies[key.strategy as usize], key);
        self.warden.returned(Self::py());
        result
    }

    fn forget(&mut self, key: SpawnKey) {
        spawns::forget(Self::py(), &self.strategies[key.strategy as usize].face, key);
    }

    fn handler_failure(&self, _strategy: u32, error: HandlerError) -> PyErr {
        compiled::failure(&error)
    }

    fn keep(&mut self, strategy: u32) -> Result<(), Fault<PyErr>> {
        Python::attach(|py| {
            let registered = &self.strategies[strategy as usize];
            let save = || keep(py, registered.keeper.as_ref(), "save");
            registered.compiled.as_ref().map_or_else(save, |code| code.get().at_rest(py, save))
        })
    }

    fn hook(&mut self, strategy: u32, hook: Hook) -> Result<(), Fault<PyErr>> {
        // A compiled strategy may end where the loop has let go of the GIL.
        let clock = Arc::clone(&self.watch.hooks);
        let code = self.strategies[strategy as usize].compiled.as_ref();
        let code = code.map(|code| Python::attach(|py| code.clone_ref(py)));
        let call = || {
            Python::attach(|py| {
                // A compiled handler that was to be broken off, and was not, leaves the exception behind.
                self.warden.returned(py);
                let result = match &code {
                    Some(code) => code.get().at_rest(py, || self.hook_attached(py, strategy, hook)),
                    None => self.hook_attached(py, strategy, hook),
                };
                self.warden.returned(py);
                result
            })
        };
        let (result, took_ns) = clock.measure(strategy, hook, call);
        if took_ns > REMARKABLE_HOOK_NS {
            self.watch.watcher.hook_took(strategy, hook, took_ns);
        }
        result
    }

    fn is_renewable(&self, strategy: u32) -> bool {
        self.strategies[strategy as usize].face.renewable
    }

    fn renew(&mut self, strategy: u32) -> Result<Option<Box<dyn Handler>>, Fault<PyErr>> {
        Python::attach(|py| {
            let result = self.renew_attached(py, strategy);
            self.warden.returned(py);
            result.map_err(fault)
        })
    }

    fn changed(&mut self, change: &StateChange) {
        self.watch.watcher.changed(change);
    }

    fn settled(&mut self, ticket: Ticket, strategy: u32, outcome: LifeAnswer) {
        self.watch.watcher.settled(ticket, strategy, outcome);
    }
}

impl PyHost {
    /// A handler has returned, and the loop may have let go of the GIL.
    fn returned(&self) {
        Python::attach(|py| self.warden.returned(py));
    }

    /// Whether no tick, timer or order update can reach Python: the loop needs no GIL.
    pub fn is_machine_code(&self) -> bool {
        self.strategies.iter().all(|registered| registered.compiled.is_some())
    }

    /// Says to compiled strategies whether the loop runs without the GIL.
    pub fn set_detached(&self, py: Python<'_>, detached: bool) {
        for code in self.strategies.iter().filter_map(|registered| registered.compiled.as_ref()) {
            code.get().set_detached(py, detached);
        }
    }

    /// A new object in the place of one that is over, with its handler where it is compiled.
    fn renew_attached(&mut self, py: Python<'_>, strategy: u32) -> PyResult<Option<Box<dyn Handler>>> {
        let registered = &mut self.strategies[strategy as usize];
        let Some(keeper) = &registered.keeper else { return Err(not_renewable(py, &registered.face.name)) };
        let (object, code) = renewed(&keeper.object.call_method0(py, "renew")?.into_bound(py))?;
        let code = code.map(|code| code.cast_into::<CompiledCode>()).transpose()?;
        let handlers = match &code {
            Some(code) => Handlers::of_compiled(&object, code.get())?,
            None => Handlers::of(&object)?,
        };
        if !handlers.has_form_of(&registered.handlers) || code.is_some() != registered.compiled.is_some() {
            let message = format!("strategy {}: the new object takes its ticks in another form", registered.face.name);
            return Err(hinted(py, "HandlerError", &message, "renew() returns an object of the same class"));
        }
        registered.face.retired.set(true);
        portfolio::forget(&self.listeners, strategy);
        let face = Rc::new(registered.face.successor(py));
        attach(&object, &face);
        let handler = code.as_ref().map(|code| registered.seat.handler(code)).transpose()?;
        (registered.handlers, registered.face, registered.generator) = (handlers, face, None);
        registered.compiled = code.map(Bound::unbind);
        Ok(handler)
    }

    fn hook_attached(&mut self, py: Python<'_>, strategy: u32, hook: Hook) -> Result<(), Fault<PyErr>> {
        let registered = &mut self.strategies[strategy as usize];
        let hooks = &registered.handlers.hooks;
        let call = || -> Result<(), Fault<PyErr>> {
            hooks[hook as usize].as_ref().map_or(Ok(()), |callable| callable.call0(py).map(drop).map_err(fault))
        };
        let keep = |method: &str| keep(py, registered.keeper.as_ref(), method);
        match hook {
            Hook::Start => {
                keep("load")?;
                call()?;
                if let Some(code) = &registered.compiled {
                    code.get().dry_run(py).map_err(fault)?;
                }
                if let Some(ticks) = &registered.handlers.ticks {
                    registered.generator = Some(generator::open(py, ticks)?);
                }
                Ok(())
            }
            Hook::Stop => {
                let closed = registered.generator.take().map_or(Ok(()), |ticks| generator::close(py, &ticks));
                closed.and(call()).and_then(|()| keep("save"))
            }
            Hook::Pause | Hook::Resume => call(),
        }
    }
}

/// Has what a strategy begins its next life with loaded or saved, where there is somewhere to keep it.
fn keep(py: Python<'_>, keeper: Option<&Keeper>, method: &str) -> Result<(), Fault<PyErr>> {
    match keeper {
        Some(keeper) if keeper.stores => keeper.object.call_method0(py, method).map(drop).map_err(fault),
        _ => Ok(()),
    }
}

/// Ties `strategy` to `face` if it is one of ours.
pub fn attach(strategy: &Bound<'_, PyAny>, face: &Rc<Face>) {
    if let Ok(core) = strategy.cast::<StrategyCore>() {
        core.get().attach(strategy.py(), Rc::clone(face));
    }
}
