//! The compiled form: functions by their C address, the state that they share, and what Python may see of it.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tickrail_core::Kind;
use tickrail_core::dispatch::{Kinds, MOST_OFFERED};
use tickrail_core::handler::{
    ABI_VERSION, BatchFunction, CFunctions, CHandler, FailureSlot, OUT_CAPACITY, TakeFunction, TimerFunction,
    UpdateFunction, abi_layout,
};

use crate::errors::{HandlerError, hinted};
use crate::forms::dry_run;

/// Longest wait for the loop to hand out a snapshot; it does so every few ms.
const PATIENCE: Duration = Duration::from_millis(200);

/// Where the functions run: with the loop; on a lane; on a lane that waits for a hook.
const NO_LANE: u8 = 0;
const ON_LANE: u8 = 1;
const RESTING: u8 = 2;

/// The compiled functions of one strategy, and its state.
///
/// Owns the state's buffer and ``owner`` (whatever owns the machine code) as long as a run may call the functions.
#[pyclass(frozen, module = "tickrail._native")]
pub struct CompiledCode {
    functions: CFunctions,
    buffer: PyBuffer<u8>,
    names: Vec<String>,
    kinds: Vec<u8>,
    layout: String,
    abi_version: u32,
    _owner: Py<PyAny>,
    failure: FailureSlot,
    /// Whether a loop may be running the functions without the GIL.
    detached: AtomicBool,
    wanted: AtomicBool,
    /// The state as last handed out, and how often that happened.
    published: Mutex<(u64, Vec<u8>)>,
    handed_out: Condvar,
    /// Whether the functions run on a lane, and that is at rest. Relaxed: whoever writes or reads it holds the GIL.
    lane: AtomicU8,
    /// Held by the lane within a call, and by who copies the state.
    busy: Mutex<()>,
}

/// A function pointer from an address, or none from 0.
macro_rules! function {
    ($address:expr, $type:ty) => {
        match $address {
            0 => None,
            // SAFETY: `CompiledCode` is told to take only addresses of functions of this signature.
            address => Some(unsafe { std::mem::transmute::<*const (), $type>(address as *const ()) }),
        }
    };
}

#[pymethods]
impl CompiledCode {
    /// Functions of version ``abi_version`` and ``layout`` at the given addresses (0: none), over ``state`` (bytes of a
    /// writable, contiguous buffer, 64-byte aligned). ``names`` are the handlers as the class calls them, ``kinds`` the codes
    /// of the ticks that they take.
    ///
    /// The addresses are believed: a wrong one crashes the process.
    #[new]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of one call from the Python face")]
    #[pyo3(signature = (state, *, names, kinds, owner, abi_version, layout, take=0, batch=0, timer=0, update=0))]
    fn new(
        state: &Bound<'_, PyAny>,
        names: Vec<String>,
        kinds: Vec<u8>,
        owner: Py<PyAny>,
        abi_version: u32,
        layout: String,
        take: usize,
        batch: usize,
        timer: usize,
        update: usize,
    ) -> PyResult<Self> {
        let buffer = PyBuffer::<u8>::get(state)?;
        if buffer.readonly() || !buffer.is_c_contiguous() || !(buffer.buf_ptr() as usize).is_multiple_of(64) {
            return Err(PyValueError::new_err("the state is a writable contiguous buffer of bytes, 64-byte aligned"));
        }
        let functions = CFunctions {
            take: function!(take, TakeFunction),
            batch: function!(batch, BatchFunction),
            timer: function!(timer, TimerFunction),
            update: function!(update, UpdateFunction),
        };
        let code = Self {
            functions,
            buffer,
            names,
            kinds,
            layout,
            abi_version,
            _owner: owner,
            failure: FailureSlot::default(),
            detached: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            published: Mutex::default(),
            handed_out: Condvar::new(),
            lane: AtomicU8::new(NO_LANE),
            busy: Mutex::default(),
        };
        code.handler(state.py()).map(|_| code)
    }

    /// Calls every function with made-up input, on a copy of the state between guards; raises where a guard was written to.
    pub fn dry_run(&self, py: Python<'_>) -> PyResult<()> {
        dry_run::check(self.functions, &self.copy(py), &self.kinds).map_err(|message| {
            hinted(py, "HandlerError", &message, "a compiled function writes beyond what it was given")
        })
    }

    /// What the call that raised began with: the state before it, and the records that it was given up to the one at which it
    /// raised. ``None`` where none did, or the state is too large to be kept.
    fn failure<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let slot = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().map(|failure| (PyBytes::new(py, &failure.state), PyBytes::new(py, &failure.input)))
    }

    /// The state as it stands between two calls of the functions. Any thread; while a run goes on without the GIL, at most a
    /// few ms old.
    fn snapshot<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        match self.lane.load(Ordering::Relaxed) {
            // A call that lasts long makes who looks wait, but not who wants the GIL.
            ON_LANE => {
                let state = py.detach(|| {
                    let _busy = self.on_lane();
                    self.bytes().to_vec()
                });
                return PyBytes::new(py, &state);
            }
            // A hook in Python may write, and has the GIL for it.
            RESTING => return PyBytes::new(py, &self.copy(py)),
            _ => {}
        }
        // Relaxed: the flag is written by whoever holds the GIL, and so do we.
        if !self.detached.load(Ordering::Relaxed) {
            return PyBytes::new(py, &self.copy(py));
        }
        let copy = py.detach(|| self.wait_for_copy());
        PyBytes::new(py, &copy)
    }
}

impl CompiledCode {
    /// The handler that a loop calls.
    pub fn handler(&self, py: Python<'_>) -> PyResult<CHandler> {
        let state = self.buffer.buf_ptr().cast::<c_void>();
        // SAFETY: whoever made this object vouches for the functions; the run keeps it, and so buffer and code, alive; only the
        // loop's own calls write to the state while they run.
        let handler = unsafe { CHandler::new(self.functions, state, self.abi_version, &self.layout) };
        // SAFETY: the buffer is the state.
        let keeping =
            |handler: CHandler| unsafe { handler.keeping(self.buffer.len_bytes(), Arc::clone(&self.failure)) };
        handler.map(keeping).map_err(|error| {
            hinted(py, "HandlerError", &error.to_string(), "compile it anew with this version of tickrail")
        })
    }

    /// Whether it takes batches.
    pub const fn takes_batches(&self) -> bool {
        self.functions.batch.is_some()
    }

    /// The kinds of ticks that it takes.
    pub fn wants(&self) -> Kinds {
        let wanted = Kind::ALL.into_iter().filter(|&kind| self.kinds.contains(&(kind as u8)));
        wanted.fold(Kinds::NONE, Kinds::with)
    }

    /// Whether it wants order updates.
    pub const fn takes_updates(&self) -> bool {
        self.functions.update.is_some()
    }

    /// Whether the class has the handler `name`.
    pub fn defines(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    fn copy(&self, _py: Python<'_>) -> Vec<u8> {
        self.bytes().to_vec()
    }

    /// The state; for who holds the GIL while no loop or lane runs without it, or `busy` while no hook runs.
    fn bytes(&self) -> &[u8] {
        // SAFETY: the buffer is contiguous and lives as long as `self`; nobody writes to it now, see above.
        unsafe { std::slice::from_raw_parts(self.buffer.buf_ptr().cast::<u8>(), self.buffer.len_bytes()) }
    }

    /// From now on the functions run on a lane.
    pub fn go_on_lane(&self) {
        self.lane.store(ON_LANE, Ordering::Relaxed);
    }

    /// Calls a hook in Python, which may write to the state: a lane is at rest then, and nobody copies it without the GIL.
    pub fn at_rest<R>(&self, _py: Python<'_>, hook: impl FnOnce() -> R) -> R {
        if self.lane.load(Ordering::Relaxed) != ON_LANE {
            return hook();
        }
        self.lane.store(RESTING, Ordering::Relaxed);
        drop(self.on_lane()); // who is copying has done so
        let result = hook();
        self.lane.store(ON_LANE, Ordering::Relaxed);
        result
    }

    /// The lane is within a call as long as the answer lives.
    pub fn on_lane(&self) -> MutexGuard<'_, ()> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop is about to go on without the GIL, or has it again; then it hands out what was asked for.
    pub fn set_detached(&self, py: Python<'_>, detached: bool) {
        self.detached.store(detached, Ordering::Relaxed);
        // Acquire: pairs with the release in `wait_for_copy`, so that the waiter's view of the count is no newer than ours.
        if !detached && self.wanted.swap(false, Ordering::Acquire) {
            let mut published = self.lock();
            published.0 += 1;
            published.1 = self.copy(py);
            self.handed_out.notify_all();
        }
    }

    fn wait_for_copy(&self) -> Vec<u8> {
        let published = self.lock();
        let before = published.0;
        // Release: pairs with the acquire in `set_detached`.
        self.wanted.store(true, Ordering::Release);
        let waited = self.handed_out.wait_timeout_while(published, PATIENCE, |published| published.0 == before);
        waited.unwrap_or_else(PoisonError::into_inner).0.1.clone()
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Vec<u8>)> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a compiled handler could not do, as Python sees it.
pub fn failure(error: &tickrail_core::handler::HandlerError) -> PyErr {
    Python::attach(|py| match error {
        tickrail_core::handler::HandlerError::Lagged { .. } => {
            hinted(py, "LagExceeded", &error.to_string(), "raise max_lag, or let it skip_to_latest or conflate")
        }
        _ => HandlerError::new_err(error.to_string()),
    })
}

/// Adds the class and the interface's version to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<CompiledCode>()?;
    m.add("ABI_VERSION", ABI_VERSION)?;
    m.add("ABI_LAYOUT", abi_layout())?;
    m.add("MOST_OFFERED", MOST_OFFERED)?;
    m.add("OUT_CAPACITY", OUT_CAPACITY)
}
