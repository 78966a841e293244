//! The answer to a command, to be had once.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use tickrail_core::stop::{WaitStrategy, Waker};

use crate::errors::hinted;
use crate::feed::Handover;
use crate::gil::GilBound;
use crate::host::ends_run;

const PENDING: u8 = 0;
const CANCELLED: u8 = 1;
const FAILED: u8 = 2;
/// The handler has returned.
pub const DONE: u8 = 3;
/// The handler is called, or what it asked for is under way: nothing is taken back any more.
const BEGUN: u8 = 4;

/// Longest wait that is one: ten years.
const MAX_WAIT: Duration = Duration::from_secs(315_360_000);

/// What ``submit`` returns: the command's result, once there is one.
///
/// Not ``concurrent.futures.Future``, whose condition costs as much as the whole way through the lane (0.77 us to make, 2.1 us
/// with a result). Whoever waits looks for as long as a loop that is awake takes to answer, and sleeps then.
///
/// Whoever takes a command back and whoever calls its handler meet in its state: what changes it needs the GIL and gives it
/// to nobody meanwhile, so one of them is first, and the other is told so.
///
/// Of an idempotency key there is one receipt that stays with the command, and one for each who sent it, which follows:
/// each takes back its own, and the last one the command.
///
/// Args:
///     forbids: Says whether the caller must not wait; nobody is asked where there is none.
///     midway: Whether it may be taken back while its handler is at work.
///
/// Thread safety: any thread.
#[pyclass(frozen, weakref, module = "tickrail._native")]
pub struct Receipt {
    /// Release by `settle`, Acquire by who waits without the GIL; all else needs the GIL.
    is_settled: AtomicBool,
    inside: GilBound<RefCell<Inside>>,
}

struct Inside {
    state: u8,
    /// Whether the handler was called, however that ended.
    was_begun: bool,
    /// Whether it may be taken back also then, as a coroutine that nobody else may wait for.
    is_midway: bool,
    /// Whether whoever waited has gone, so that nobody sees what the handler raises.
    is_left: bool,
    /// That of the command, where several have sent it; until there is an answer.
    first: Option<Py<Receipt>>,
    /// Of those who sent the same command and have not taken it back.
    followers: Vec<Py<Receipt>>,
    value: Option<Py<PyAny>>,
    callbacks: Vec<Py<PyAny>>,
    /// Says whether the caller must not wait.
    forbids: Option<Py<PyAny>>,
    waiting: Vec<Arc<Waker>>,
}

impl Receipt {
    /// Of a command that was sent; nobody waits for it where `forbids` says so.
    pub fn pending(forbids: Option<Py<PyAny>>) -> Self {
        let inside = Inside {
            state: PENDING,
            was_begun: false,
            is_midway: false,
            is_left: false,
            first: None,
            followers: Vec::new(),
            value: None,
            callbacks: Vec::new(),
            forbids,
            waiting: Vec::new(),
        };
        Self { is_settled: AtomicBool::new(false), inside: GilBound::new(RefCell::new(inside)) }
    }

    fn settle_as(slf: &Bound<'_, Self>, first: &Bound<'_, Self>) -> PyResult<()> {
        let known = first.get();
        let (state, value, was_begun) = (known.state(slf.py()), known.value(slf.py()), known.begun(slf.py()));
        slf.get().inside.get(slf.py()).borrow_mut().was_begun |= was_begun;
        Self::settle(slf, state, value).map(drop)
    }

    fn state(&self, py: Python<'_>) -> u8 {
        self.inside.get(py).borrow().state
    }

    /// Whether it was taken back.
    pub fn is_cancelled(&self, py: Python<'_>) -> bool {
        self.state(py) == CANCELLED
    }

    fn value(&self, py: Python<'_>) -> Py<PyAny> {
        self.inside.get(py).borrow().value.as_ref().map_or_else(|| py.None(), |value| value.clone_ref(py))
    }

    /// What `result` returns; `handover`: of a loop that waits, is awake and was told that something comes.
    pub fn answer(&self, py: Python<'_>, timeout: f64, handover: Option<&Handover>) -> PyResult<Py<PyAny>> {
        self.sleep_until_settled(py, Some(timeout), handover)?;
        self.outcome(py)
    }

    /// Whether there is an answer.
    pub fn is_settled(&self, py: Python<'_>) -> bool {
        !matches!(self.state(py), PENDING | BEGUN)
    }

    /// For whoever calls the handler: whether it may. From then on nobody takes the command back, unless midway.
    pub fn may_begin(&self, py: Python<'_>) -> bool {
        let mut inside = self.inside.get(py).borrow_mut();
        if inside.state == PENDING {
            inside.was_begun = true;
            inside.state = if inside.is_midway { PENDING } else { BEGUN };
        }
        matches!(inside.state, PENDING | BEGUN)
    }

    /// It is waited for no longer: taken back or, where its handler is at work, left to itself, which is what it says.
    pub fn give_up(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let is_begun = !Self::cancel(slf)? && !slf.get().is_settled(slf.py());
        slf.get().inside.get(slf.py()).borrow_mut().is_left = is_begun;
        Ok(is_begun)
    }

    fn outcome(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.state(py) {
            FAILED => Err(PyErr::from_value(self.value(py).into_bound(py))),
            CANCELLED => Err(cancelled(py)),
            _ => Ok(self.value(py)),
        }
    }

    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        if self.is_settled(py) {
            return Ok(());
        }
        let forbids = self.inside.get(py).borrow().forbids.as_ref().map(|forbids| forbids.clone_ref(py));
        if let Some(forbids) = forbids
            && forbids.call0(py)?.is_truthy(py)?
        {
            return Err(hinted(
                py,
                "WouldDeadlock",
                "the thread that handles commands cannot wait for one that is still to come",
                "add_done_callback(...), or execute(...), which runs the handler at once",
            ));
        }
        self.sleep_until_settled(py, timeout, None)
    }

    fn sleep_until_settled(&self, py: Python<'_>, timeout: Option<f64>, handover: Option<&Handover>) -> PyResult<()> {
        let waker = Arc::new(Waker::new());
        self.inside.get(py).borrow_mut().waiting.push(Arc::clone(&waker));
        let result = self.sleep(py, &waker, timeout, handover);
        if result.is_err() {
            self.inside.get(py).borrow_mut().waiting.retain(|other| !Arc::ptr_eq(other, &waker));
        }
        result
    }

    fn sleep(&self, py: Python<'_>, waker: &Waker, timeout: Option<f64>, handover: Option<&Handover>) -> PyResult<()> {
        let limit =
            timeout.map_or(MAX_WAIT, |s| Duration::try_from_secs_f64(s.max(0.0)).unwrap_or(MAX_WAIT).min(MAX_WAIT));
        let (started, mut looks) = (now(), handover.map_or(WaitStrategy::PARK, |_| looks_of_this_process()));
        loop {
            let left = limit.saturating_sub(started.elapsed());
            py.detach(|| {
                if let Some(handover) = handover {
                    handover.keep();
                }
                looks.wait(waker, left);
                // Who asks for a GIL that is held sleeps at once, and to be woken takes longer than the rest of the step.
                if let Some(handover) = handover {
                    handover.await_wait();
                }
            });
            // Acquire; partner: the store in `settle`.
            if self.is_settled.load(Ordering::Acquire) {
                return Ok(());
            }
            py.check_signals()?;
            if started.elapsed() >= limit {
                return Err(too_late(py, timeout.unwrap_or(0.0)));
            }
            looks = WaitStrategy::PARK;
        }
    }
}

#[pymethods]
impl Receipt {
    #[new]
    #[pyo3(signature = (forbids=None, *, midway=false))]
    fn new(py: Python<'_>, forbids: Option<Py<PyAny>>, midway: bool) -> Self {
        let receipt = Self::pending(forbids);
        receipt.inside.get(py).borrow_mut().is_midway = midway;
        receipt
    }

    /// What the handler returned; waits for it, at most ``timeout`` seconds.
    ///
    /// Raises:
    ///     CommandTimeout: There is no answer yet; the command stays sent.
    ///     CancelledError: It was cancelled before its turn.
    ///     WouldDeadlock: Called on the thread that has to handle the command.
    ///     Exception: What the handler raised, or why it was never called.
    #[pyo3(signature = (timeout=None))]
    fn result(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.wait(py, timeout)?;
        self.outcome(py)
    }

    /// What the handler raised, if it did; waits as ``result`` does.
    #[pyo3(signature = (timeout=None))]
    fn exception(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        self.wait(py, timeout)?;
        match self.state(py) {
            FAILED => Ok(Some(self.value(py))),
            CANCELLED => Err(cancelled(py)),
            _ => Ok(None),
        }
    }

    /// Whether there is an answer.
    fn done(&self, py: Python<'_>) -> bool {
        self.is_settled(py)
    }

    /// Whether it was cancelled before its turn.
    fn cancelled(&self, py: Python<'_>) -> bool {
        self.is_cancelled(py)
    }

    /// Take the command back if its handler was not called yet; whether it is cancelled now.
    ///
    /// One whose handler is at work goes on, and keeps its answer. A coroutine is cancelled at its ``await``, unless the
    /// command has a key: what was done once under it is not begun a second time.
    pub fn cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let (py, this) = (slf.py(), slf.get());
        if this.state(py) != PENDING {
            return Ok(this.is_cancelled(py));
        }
        let first = this.inside.get(py).borrow().first.as_ref().map(|first| first.clone_ref(py));
        if let Some(first) = first {
            let first = first.bind(py);
            if first.get().state(py) != PENDING {
                return Ok(false);
            }
            let mut inside = first.get().inside.get(py).borrow_mut();
            inside.followers.retain(|other| !other.is(slf));
            let is_last = inside.followers.is_empty();
            drop(inside);
            if is_last {
                Self::settle(first, CANCELLED, py.None())?;
            }
        }
        Ok(Self::settle(slf, CANCELLED, py.None())? || this.is_cancelled(py))
    }

    /// Whether the handler is called, or was. For the bus, as what follows.
    fn begun(&self, py: Python<'_>) -> bool {
        let inside = self.inside.get(py).borrow();
        inside.was_begun || inside.first.as_ref().is_some_and(|first| first.get().begun(py))
    }

    /// Whether whoever waited for it has gone.
    fn left(&self, py: Python<'_>) -> bool {
        self.inside.get(py).borrow().is_left
    }

    /// The handler is called now; false: it must not, as there is an answer already.
    fn begin(&self, py: Python<'_>) -> bool {
        self.may_begin(py)
    }

    /// As ``cancel``, for whoever has waited; whether the handler is at work, and goes on without them.
    #[pyo3(name = "give_up")]
    fn given_up(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Self::give_up(slf)
    }

    /// Have the answer of ``first``, which was sent before with the same key or is sent now; false: that came to nothing.
    fn follow(slf: &Bound<'_, Self>, first: &Bound<'_, Self>) -> PyResult<bool> {
        let (py, known) = (slf.py(), first.get());
        if known.is_settled(py) {
            return if known.begun(py) { Self::settle_as(slf, first).map(|()| true) } else { Ok(false) };
        }
        known.inside.get(py).borrow_mut().followers.push(slf.clone().unbind());
        slf.get().inside.get(py).borrow_mut().first = Some(first.clone().unbind());
        Ok(true)
    }

    /// Nothing comes of it, unless its handler was called; whoever waits gets ``error``.
    fn refuse(slf: &Bound<'_, Self>, error: Py<PyAny>) -> PyResult<bool> {
        if slf.get().state(slf.py()) == PENDING { Self::settle(slf, FAILED, error) } else { Ok(false) }
    }

    /// Call ``callback`` with this receipt once there is an answer, on the thread that brings it, or at once.
    fn add_done_callback(slf: &Bound<'_, Self>, callback: Py<PyAny>) -> PyResult<()> {
        let py = slf.py();
        let mut inside = slf.get().inside.get(py).borrow_mut();
        if matches!(inside.state, PENDING | BEGUN) {
            inside.callbacks.push(callback);
            return Ok(());
        }
        drop(inside);
        callback.call1(py, (slf,)).map(drop)
    }

    /// Give the answer; false where there is one already. For the bus.
    ///
    /// Callbacks that raise are no concern of whoever brings the answer.
    pub fn settle(slf: &Bound<'_, Self>, state: u8, value: Py<PyAny>) -> PyResult<bool> {
        let (py, this) = (slf.py(), slf.get());
        let (callbacks, waiting, followers, gone) = {
            let mut inside = this.inside.get(py).borrow_mut();
            if !matches!(inside.state, PENDING | BEGUN) {
                return Ok(false);
            }
            (inside.state, inside.value) = (state, Some(value));
            let callbacks = std::mem::take(&mut inside.callbacks);
            let (waiting, followers) = (std::mem::take(&mut inside.waiting), std::mem::take(&mut inside.followers));
            (callbacks, waiting, followers, (inside.forbids.take(), inside.first.take()))
        };
        // Release; partner: the load in `sleep`.
        this.is_settled.store(true, Ordering::Release);
        waiting.iter().for_each(|waker| waker.wake());
        drop(gone);
        let mut told = Ok(());
        for one in &followers {
            told = told.and(Self::settle_as(one.bind(py), slf));
        }
        for callback in callbacks {
            match callback.call1(py, (slf,)) {
                Err(error) if !ends_run(py, &error) => log(py, &callback, error)?,
                other => drop(other?),
            }
        }
        told.map(|()| true)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = ["pending", "cancelled", "failed", "done", "begun"].get(usize::from(self.state(py)));
        format!("<Receipt {}>", state.unwrap_or(&"done"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the collector runs with the GIL held.
        let py = unsafe { Python::assume_attached() };
        let Ok(inside) = self.inside.get(py).try_borrow() else { return Ok(()) };
        visit.call(&inside.value)?;
        visit.call(&inside.forbids)?;
        visit.call(&inside.first)?;
        inside.followers.iter().try_for_each(|follower| visit.call(follower))?;
        inside.callbacks.iter().try_for_each(|callback| visit.call(callback))
    }

    fn __clear__(&self) {
        // SAFETY: as above.
        let py = unsafe { Python::assume_attached() };
        let mut inside = self.inside.get(py).borrow_mut();
        let gone = (inside.value.take(), inside.forbids.take(), std::mem::take(&mut inside.callbacks));
        let others = (inside.first.take(), std::mem::take(&mut inside.followers));
        drop(inside);
        drop((gone, others));
    }
}

#[expect(clippy::disallowed_methods, reason = "measures how long a sender waited; no decision sees it")]
fn now() -> Instant {
    Instant::now()
}

/// Asked once: to count the processors of a process takes 50 us, in which whoever waits would have its answer.
fn looks_of_this_process() -> WaitStrategy {
    static LOOKS: OnceLock<WaitStrategy> = OnceLock::new();
    *LOOKS.get_or_init(|| WaitStrategy::default().fitted())
}

fn cancelled(py: Python<'_>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = CLASS
        .get_or_try_init(py, || py.import("concurrent.futures")?.getattr("CancelledError").map(Bound::unbind))
        .and_then(|class| class.call0(py));
    class.map_or_else(|error| error, |raised| PyErr::from_value(raised.into_bound(py)))
}

fn too_late(py: Python<'_>, timeout_s: f64) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let class = py.import("tickrail.errors")?.getattr("CommandTimeout")?;
        let facts = PyDict::new(py);
        facts.set_item("timeout_s", timeout_s)?;
        let message = format!("no answer within {timeout_s} s; the command stays sent");
        Ok(PyErr::from_value(class.call((message,), Some(&facts))?))
    };
    make().unwrap_or_else(|error| error)
}

fn log(py: Python<'_>, callback: &Py<PyAny>, error: PyErr) -> PyResult<()> {
    let logger = py.import("logging")?.call_method1("getLogger", ("tickrail.commands",))?;
    let facts = PyDict::new(py);
    facts.set_item("exc_info", error.into_value(py))?;
    logger.call_method("error", ("a done callback failed: %r", callback), Some(&facts)).map(drop)
}
