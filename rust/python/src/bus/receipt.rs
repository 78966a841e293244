//! The answer to a command, to be had once.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use tickrail_core::stop::{WaitStrategy, Waker};

use crate::errors::hinted;
use crate::feed::Handover;
use crate::gil::GilBound;

const PENDING: u8 = 0;
const CANCELLED: u8 = 1;
const FAILED: u8 = 2;
/// The handler has returned.
pub const DONE: u8 = 3;

/// Longest wait that is one: ten years.
const MAX_WAIT: Duration = Duration::from_secs(315_360_000);

/// What ``submit`` returns: the command's result, once there is one.
///
/// Not ``concurrent.futures.Future``, whose condition costs as much as the whole way through the lane (0.77 us to make, 2.1 us
/// with a result). Whoever waits looks for as long as a loop that is awake takes to answer, and sleeps then.
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
    value: Option<Py<PyAny>>,
    callbacks: Vec<Py<PyAny>>,
    /// Says whether the caller must not wait.
    forbids: Option<Py<PyAny>>,
    waiting: Vec<Arc<Waker>>,
}

impl Receipt {
    /// Of a command that was sent; nobody waits for it where `forbids` says so.
    pub fn pending(forbids: Option<Py<PyAny>>) -> Self {
        let inside = Inside { state: PENDING, value: None, callbacks: Vec::new(), forbids, waiting: Vec::new() };
        Self { is_settled: AtomicBool::new(false), inside: GilBound::new(RefCell::new(inside)) }
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
        self.state(py) != PENDING
    }

    fn outcome(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.state(py) {
            FAILED => Err(PyErr::from_value(self.value(py).into_bound(py))),
            CANCELLED => Err(cancelled(py)),
            _ => Ok(self.value(py)),
        }
    }

    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        if self.state(py) != PENDING {
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
    #[pyo3(signature = (forbids=None))]
    fn new(forbids: Option<Py<PyAny>>) -> Self {
        Self::pending(forbids)
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
    pub fn cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        Ok(Self::settle(slf, CANCELLED, py.None())? || slf.get().is_cancelled(py))
    }

    /// Call ``callback`` with this receipt once there is an answer, on the thread that brings it, or at once.
    fn add_done_callback(slf: &Bound<'_, Self>, callback: Py<PyAny>) -> PyResult<()> {
        let py = slf.py();
        let mut inside = slf.get().inside.get(py).borrow_mut();
        if inside.state == PENDING {
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
        let (callbacks, waiting, forbids) = {
            let mut inside = this.inside.get(py).borrow_mut();
            if inside.state != PENDING {
                return Ok(false);
            }
            (inside.state, inside.value) = (state, Some(value));
            (std::mem::take(&mut inside.callbacks), std::mem::take(&mut inside.waiting), inside.forbids.take())
        };
        // Release; partner: the load in `sleep`.
        this.is_settled.store(true, Ordering::Release);
        waiting.iter().for_each(|waker| waker.wake());
        drop(forbids);
        for callback in callbacks {
            match callback.call1(py, (slf,)) {
                Err(error) if error.is_instance_of::<PyException>(py) => log(py, &callback, error)?,
                other => drop(other?),
            }
        }
        Ok(true)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = ["pending", "cancelled", "failed", "done"].get(usize::from(self.state(py)));
        format!("<Receipt {}>", state.unwrap_or(&"done"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the collector runs with the GIL held.
        let py = unsafe { Python::assume_attached() };
        let Ok(inside) = self.inside.get(py).try_borrow() else { return Ok(()) };
        visit.call(&inside.value)?;
        visit.call(&inside.forbids)?;
        inside.callbacks.iter().try_for_each(|callback| visit.call(callback))
    }

    fn __clear__(&self) {
        // SAFETY: as above.
        let py = unsafe { Python::assume_attached() };
        let mut inside = self.inside.get(py).borrow_mut();
        let gone = (inside.value.take(), inside.forbids.take(), std::mem::take(&mut inside.callbacks));
        drop(inside);
        drop(gone);
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
