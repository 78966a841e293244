//! `Lives`: what any thread may ask of strategies while the run goes on, and how it hears of what became of it.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use tickrail_core::dispatch::{Dispatcher, Hook, LifeAnswer};
use tickrail_core::lifecycle::{Ask, ChangeLog, Inbox, Operation, PauseMode, Refused, State, StateChange};
use tickrail_core::lifecycle::{Ticket, Transition, allowed, by_run, transition};

use crate::bus::is_outside;
use crate::errors::{hinted, illegal};
use crate::feed::{Birthplace, check_fork};
use crate::gil::{GilBound, thread_mark};
use crate::host::PyHost;
use crate::plan::named;

/// Which hook runs since when: written by the dispatch thread, read by any.
///
/// Relaxed throughout: each word is looked at by itself, and a reader that mixes two hooks is wrong by one look.
#[derive(Debug)]
pub struct HookClock {
    base: Instant,
    /// When it began, ns after `base` and one more; zero: none runs.
    began: AtomicU64,
    /// Strategy and hook: eight bits for the hook.
    which: AtomicU64,
}

impl Default for HookClock {
    fn default() -> Self {
        Self { base: now(), began: AtomicU64::new(0), which: AtomicU64::new(0) }
    }
}

impl HookClock {
    /// Says how many ns `hook` took.
    pub fn measure<R>(&self, strategy: u32, hook: Hook, call: impl FnOnce() -> R) -> (R, u64) {
        let began = self.elapsed_ns();
        self.which.store(u64::from(strategy) << 8 | hook as u64, Ordering::Relaxed);
        self.began.store(began + 1, Ordering::Relaxed);
        let result = call();
        self.began.store(0, Ordering::Relaxed);
        (result, self.elapsed_ns() - began)
    }

    fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX / 2)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures hooks for those who watch; nothing that is decided depends on it"
)]
fn now() -> Instant {
    Instant::now()
}

/// Who hears of changes, and how long hooks take.
#[derive(Clone, Default)]
pub struct Watch {
    /// Is told.
    pub watcher: Rc<Watcher>,
    /// Measures.
    pub hooks: Arc<HookClock>,
}

/// Who hears of changes, if anybody does.
#[derive(Default)]
pub struct Watcher {
    watcher: RefCell<Option<Py<PyAny>>>,
    wants_changes: Arc<AtomicBool>,
}

impl Watcher {
    /// Sets who hears of changes from now on.
    pub fn set(&self, watcher: Py<PyAny>) {
        *self.watcher.borrow_mut() = Some(watcher);
    }

    /// Calls a method of it; what it raises is no concern of the run's.
    fn tell<A>(&self, method: &str, arguments: impl FnOnce() -> A)
    where
        A: for<'py> pyo3::call::PyCallArgs<'py>,
    {
        // The loop may have let go of the GIL.
        Python::attach(|py| {
            let Some(watcher) = self.watcher.borrow().as_ref().map(|watcher| watcher.clone_ref(py)) else { return };
            if let Err(error) = watcher.call_method1(py, method, arguments()) {
                error.write_unraisable(py, Some(watcher.bind(py)));
            }
        });
    }

    /// A life went on; told only where somebody listens, as it costs more than the step itself.
    pub fn changed(&self, change: &StateChange) {
        // Relaxed: a listener that comes from another thread hears of what happens after it was seen, whenever that is.
        if self.wants_changes.load(Ordering::Relaxed) {
            self.tell("changed", || row(change));
        }
    }

    /// A request is done with.
    pub fn settled(&self, ticket: Ticket, strategy: u32, outcome: LifeAnswer) {
        let (word, state) = match outcome {
            LifeAnswer::Done(state) => ("done", state),
            LifeAnswer::Refused(state) => ("refused", state),
            LifeAnswer::Over(state) => ("over", state),
        };
        self.tell("settled", || (ticket, strategy, word, state.name()));
    }

    /// A hook has returned.
    pub fn hook_took(&self, strategy: u32, hook: Hook, ns: u64) {
        self.tell("hook_took", || (strategy, hook.name(), ns));
    }
}

/// Nobody asks anything of lives any more, in a run that never began; who waits is told by `watch`.
pub fn leave(inbox: &Inbox, watch: &Watch) {
    inbox.close();
    while let Some(asked) = inbox.take() {
        let state = inbox.state(asked.strategy).map_or(State::Initialised, |(state, ..)| state);
        watch.watcher.settled(asked.ticket, asked.strategy, LifeAnswer::Over(state));
    }
}

/// Strategy, position, clock, operation, state before and after, mode of the pause, cause.
type Row = (u32, u64, i64, &'static str, &'static str, &'static str, Option<&'static str>, String);

fn row(change: &StateChange) -> Row {
    let mode = (change.to == State::Paused).then(|| change.ask.mode.name());
    let (operation, from, to) = (change.ask.operation.name(), change.from.name(), change.to.name());
    (change.strategy, change.position, change.now_ns, operation, from, to, mode, change.cause.to_string())
}

/// Whether the caller is within a step of the loop.
#[derive(Default)]
pub struct Here {
    /// The thread that drives the loop at this moment, else 0; not one that may drive it next.
    pub driver: Cell<usize>,
}

impl Here {
    fn is_within(&self) -> bool {
        self.driver.get() == thread_mark() && !is_outside()
    }
}

/// Asks strategies to pause, resume, stop, fail or restart, from any thread at any time.
#[pyclass(frozen, module = "tickrail._native")]
pub struct Lives {
    inbox: Arc<Inbox>,
    here: GilBound<Rc<Here>>,
    log: Arc<ChangeLog>,
    hooks: Arc<HookClock>,
    wants_changes: Arc<AtomicBool>,
    /// In which process the run was made.
    born: Birthplace,
}

impl Lives {
    /// Of the run with this inbox, log and watch.
    pub fn of(inbox: Arc<Inbox>, log: Arc<ChangeLog>, watch: &Watch, here: Rc<Here>, born: Birthplace) -> Self {
        let wants_changes = Arc::clone(&watch.watcher.wants_changes);
        Self { inbox, here: GilBound::new(here), log, hooks: Arc::clone(&watch.hooks), wants_changes, born }
    }
}

#[pymethods]
impl Lives {
    /// Ask; returns the request's ticket (0: there is nothing to do) and the tickets that it overtook.
    ///
    /// Raises ``IllegalTransition`` where the table has no such step from where the strategy will be by then.
    #[pyo3(signature = (strategy, name, operation, mode="no_new_orders", cause="an operator"))]
    fn ask(
        &self,
        py: Python<'_>,
        strategy: u32,
        name: &str,
        operation: &str,
        mode: &str,
        cause: &str,
    ) -> PyResult<(Ticket, Vec<Ticket>)> {
        check_fork(py, self.born)?;
        let ask = ask_of(operation, mode)?;
        let is_local = self.here.get(py).is_within();
        let asked = self.inbox.ask_from(strategy, ask, Cow::Owned(cause.to_owned()), is_local);
        asked.map_err(|refused| match refused {
            Refused::Replaying(state) => {
                illegal(py, name, state, ask.operation, "the run is run again: it takes what was recorded")
            }
            Refused::Illegal(state) => illegal(py, name, state, ask.operation, ""),
            Refused::Over(state) => illegal(py, name, state, ask.operation, "the run is over: bootstrap another one"),
            Refused::Full => hinted(
                py,
                "WrongThread",
                &format!("strategy {name}: too many requests wait for the loop"),
                "wait for the answers of earlier ones",
            ),
            _ => PyValueError::new_err(format!("no strategy number {strategy}")),
        })
    }

    /// Whether the caller is within a step of the loop, and no callback of another thread's.
    fn is_within(&self, py: Python<'_>) -> bool {
        self.here.get(py).is_within()
    }

    /// State, mode of the pause (or ``None``) and whether it waits for its orders to stop.
    fn state(&self, strategy: u32) -> PyResult<(&'static str, Option<&'static str>, bool)> {
        let (state, mode, stopping) = self
            .inbox
            .state(strategy)
            .ok_or_else(|| PyValueError::new_err(format!("no strategy number {strategy}")))?;
        Ok((state.name(), mode.map(PauseMode::name), stopping))
    }

    /// The last 65,536 steps of all lives, each as ``watcher.changed`` has it.
    fn changes(&self) -> Vec<Row> {
        self.log.changes().iter().map(row).collect()
    }

    /// Say whether ``watcher.changed`` is called from now on.
    fn tell_changes(&self, wanted: bool) {
        self.wants_changes.store(wanted, Ordering::Relaxed); // see `Watcher::changed`
    }

    /// Strategy, name and age in ns of the hook that runs now; ``None``: none does.
    fn hook(&self) -> Option<(u32, &'static str, u64)> {
        let began = self.hooks.began.load(Ordering::Relaxed).checked_sub(1)?;
        let which = self.hooks.which.load(Ordering::Relaxed);
        let age = self.hooks.elapsed_ns().saturating_sub(began);
        Some(((which >> 8) as u32, Hook::ALL[(which & 0xff) as usize].name(), age))
    }
}

/// Moves a strategy's life on, between two steps; says whether its state changed.
pub fn apply(
    py: Python<'_>,
    core: &mut Dispatcher<PyHost>,
    names: &[String],
    strategy: u32,
    ask: Ask,
) -> PyResult<bool> {
    let Some(registered) = core.host().strategies.get(strategy as usize) else {
        return Err(PyValueError::new_err(format!("no strategy number {strategy}")));
    };
    let name = &names[strategy as usize];
    if ask.operation == Operation::Restart && !registered.face.renewable {
        return Err(not_renewable(py, name));
    }
    match core.apply(strategy, ask, by_run()) {
        Transition::To(_) => Ok(true),
        Transition::Already => Ok(false),
        Transition::Refused => Err(illegal(py, name, core.desk().state(strategy), ask.operation, "")),
    }
}

/// The operation and the mode of these names.
pub fn ask_of(operation: &str, mode: &str) -> PyResult<Ask> {
    let expected = "'initialise', 'start', 'pause', 'resume', 'stop', 'fail' or 'restart'";
    Ok(Ask {
        operation: named("operation", operation, expected, Operation::from_name(operation))?,
        mode: mode_of(mode)?,
    })
}

/// The mode of that name.
pub fn mode_of(mode: &str) -> PyResult<PauseMode> {
    named("mode", mode, "'no_new_orders' or 'no_ticks'", PauseMode::from_name(mode))
}

/// Operations that a state allows, as users name them.
pub fn allowed_names(state: State) -> Vec<&'static str> {
    allowed(state).map(Operation::name).collect()
}

/// The table, as rows of state, operation and target: what a test compares with the one of Python.
#[pyfunction]
fn transition_table() -> Vec<(&'static str, &'static str, &'static str)> {
    let cells = State::ALL.into_iter().flat_map(|from| Operation::ALL.map(|operation| (from, operation)));
    cells
        .filter_map(|(from, operation)| match transition(from, operation) {
            Transition::To(to) => Some((from.name(), operation.name(), to.name())),
            Transition::Already => Some((from.name(), operation.name(), from.name())),
            Transition::Refused => None,
        })
        .collect()
}

/// Says that a strategy object cannot be made anew.
pub fn not_renewable(py: Python<'_>, name: &str) -> PyErr {
    let message = format!("strategy {name}: cannot restart: it was handed over as an object, which lives once");
    hinted(py, "IllegalTransition", &message, "register its class: a configuration does, and so does renew=...")
}

/// What `renew` returned: an object and, for a compiled strategy, its code.
pub fn renewed<'py>(made: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, Option<Bound<'py, PyAny>>)> {
    let (strategy, code): (Bound<'py, PyAny>, Option<Bound<'py, PyAny>>) =
        made.extract().map_err(|_| PyRuntimeError::new_err("renew() returns a strategy and its code or None"))?;
    Ok((strategy, code))
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(transition_table, m)?)?;
    m.add_class::<Lives>()
}
