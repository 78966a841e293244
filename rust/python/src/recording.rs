//! `Recorder` and `Recording`: the order that a live run took, kept so that it can be run again.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tickrail_core::file::InstrumentTable;
use tickrail_core::replay::{Mark, Recorder as CoreRecorder, Recording as CoreRecording, RecordingError};
use tickrail_core::ring::Observer;
use tickrail_core::stop::{WakeReason, Waker};
use tickrail_core::{InstrumentInfo, TickBlock};

use crate::errors::{hinted, not_begun};
use crate::infos::{declare_all, info_to};
use crate::{batch, records};

/// How long the recorder sleeps when it has seen everything: a ring of 65,536 slots fills in this time at 65 million
/// records a second.
const NAP: Duration = Duration::from_millis(1);

type Kept = Result<CoreRecording, RecordingError>;

/// Keeps what a live run takes, on a thread of its own that needs no GIL.
#[pyclass(frozen, module = "tickrail._native")]
pub struct Recorder {
    thread: Mutex<Option<JoinHandle<Kept>>>,
    done: Arc<Waker>,
    instruments: Arc<[InstrumentInfo]>,
}

impl Recorder {
    /// Keeps at most `most` records of what `observer` sees.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(
        py: Python<'_>,
        observer: Observer,
        most: usize,
        instruments: Arc<[InstrumentInfo]>,
    ) -> PyResult<Self> {
        let (done, tell) = (Arc::new(Waker::new()), Arc::new(Waker::new()));
        let answer = Arc::clone(&done);
        let keep = move || {
            let mut recorder = CoreRecorder::new(observer, most);
            while !recorder.is_done() {
                if recorder.look() == 0 {
                    tell.wait(NAP);
                }
            }
            let kept = recorder.finish();
            answer.wake();
            kept
        };
        let thread = tickrail_core::threads::begin("tickrail-recorder", keep).map_err(|error| not_begun(py, error))?;
        Ok(Self { thread: Mutex::new(Some(thread)), done, instruments })
    }
}

#[pymethods]
impl Recorder {
    /// What the run took, once it is over; once. Waits up to ``timeout_s`` for the recorder to take what is in the ring.
    ///
    /// Raises:
    ///     DataError: Records were not kept (the limit, or a recorder that was too slow), or the run is going on.
    #[pyo3(signature = (timeout_s=10.0))]
    fn finish(&self, py: Python<'_>, timeout_s: f64) -> PyResult<Recording> {
        let patience = Duration::try_from_secs_f64(timeout_s).unwrap_or_default();
        let refuse = |message: &str, hint: &str| Err(hinted(py, "DataError", message, hint));
        let mut slot = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(thread) = slot.take() else {
            return refuse("this recording was taken before", "keep the one that finish() gave");
        };
        let is_done =
            thread.is_finished() || py.detach(|| self.done.wait_while(patience, || true)) == WakeReason::Woken;
        if !is_done {
            *slot = Some(thread);
            return refuse("the run is going on: its recording is not complete", "end the run first");
        }
        match py.detach(|| thread.join()) {
            Ok(Ok(core)) => Ok(Recording { core: Arc::new(core), instruments: Arc::clone(&self.instruments) }),
            Ok(Err(error)) => refuse(&error.to_string(), "record with a larger capacity, or a larger limit"),
            Err(_) => refuse("the recorder failed", "please report this"),
        }
    }
}

/// A live run's inputs in the order taken, with their times: data for ``backtest``, which decides the same again.
///
/// Thread safety: any thread.
#[pyclass(frozen, module = "tickrail")]
pub struct Recording {
    core: Arc<CoreRecording>,
    instruments: Arc<[InstrumentInfo]>,
}

impl Recording {
    /// What its records' `instrument` counts through.
    pub fn instruments(&self) -> &[InstrumentInfo] {
        &self.instruments
    }

    /// The order and the records.
    pub const fn core(&self) -> &Arc<CoreRecording> {
        &self.core
    }
}

#[pymethods]
impl Recording {
    /// Take a recording as ``records`` gave it, from a file for example.
    ///
    /// Raises:
    ///     ValueError: The records do not add up to a run.
    #[staticmethod]
    fn from_records(records: &Bound<'_, PyAny>, instruments: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut table = InstrumentTable::default();
        declare_all(&mut table, instruments)?;
        let block = records::take(records, Some(true))?;
        let core = CoreRecording::from_records(block.as_slice());
        let core = Arc::new(core.map_err(|error| PyValueError::new_err(error.to_string()))?);
        Ok(Self { core, instruments: table.to_shared() })
    }

    /// The order and the records as one structured array (``TICK_DTYPE``): before each slice an entry of kind 240 with the
    /// clock (``ts_event``), the loop position (``sequence``), the feed (``instrument``), its publisher and the number of
    /// records (``value_0``, ``value_1``).
    fn records<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let block = TickBlock::from_vec(py.detach(|| self.core.to_records()));
        batch::view(py, &block, records::tick_dtype(py)?)
    }

    /// The slices: one dict each, with ``now_ns``, ``position``, ``feed``, ``publisher``, ``count`` and ``waiting``.
    fn slices<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for entry in self.core.entries() {
            let Mark::Taken { feed, publisher, count, waiting } = entry.mark else { continue };
            let row = PyDict::new(py);
            row.set_item("now_ns", entry.now_ns)?;
            row.set_item("position", entry.position)?;
            row.set_item("feed", feed)?;
            row.set_item("publisher", publisher)?;
            row.set_item("count", count)?;
            row.set_item("waiting", waiting)?;
            list.append(row)?;
        }
        Ok(list)
    }

    /// Whether the run ended because its feeds had.
    #[getter]
    fn is_complete(&self) -> bool {
        self.core.is_complete()
    }

    /// The run's table: one row an instrument.
    #[getter]
    fn instrument_table<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = self.instruments.iter().map(|info| info_to(py, info)).collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, rows)
    }

    fn __len__(&self) -> usize {
        self.core.ticks().len()
    }

    fn __repr__(&self) -> String {
        let how = if self.core.is_complete() { "complete" } else { "stopped" };
        format!("Recording({} ticks of {} instruments, {how})", self.core.ticks().len(), self.instruments.len())
    }
}

/// Adds the classes to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Recorder>()?;
    m.add_class::<Recording>()
}
