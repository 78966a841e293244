//! `MessageReader`: the core's reader of market streams, for the adapter that has the socket.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use tickrail_core::Tick;
use tickrail_core::messages::Streams;
use tickrail_core::tick::{TICK_SIZE, as_bytes};

use crate::gil::guard;

/// Makes records of messages that are plain and follow on the ones before; all others it leaves to its caller. A publisher
/// that is given it takes its records away.
///
/// Args:
///     streams: Name, number of the instrument and whether it brings trades, of each.
#[pyclass(module = "tickrail._native")]
pub struct MessageReader {
    streams: Streams,
}

impl MessageReader {
    /// The records since the last call, for a publisher.
    pub fn take_records(&mut self) -> Vec<Tick> {
        self.streams.take_records()
    }
}

#[pymethods]
impl MessageReader {
    #[new]
    fn new(streams: Vec<(String, u32, bool)>) -> Self {
        Self { streams: Streams::new(streams.into_iter()) }
    }

    /// Take ``messages`` from ``start`` on, read at ``read_ns``; the number of the first that is left to the caller, or how
    /// many there are.
    fn take(&mut self, messages: &Bound<'_, PyList>, start: usize, read_ns: i64) -> PyResult<usize> {
        guard(|| {
            for (number, message) in messages.iter().enumerate().skip(start) {
                if !self.streams.take(message.cast::<PyBytes>()?.as_bytes(), read_ns) {
                    return Ok(number);
                }
            }
            Ok(messages.len())
        })
    }

    /// The number of a stream's last record; 0: there is none, or no such stream.
    fn last(&self, name: &str) -> u64 {
        self.streams.last(name).unwrap_or(0)
    }

    /// Records that the caller has made of a message, as their bytes; ``last`` is the number of the last one.
    fn enter(&mut self, name: &str, last: u64, records: &[u8]) {
        let (whole, _) = records.as_chunks::<TICK_SIZE>();
        let ticks: Vec<Tick> = whole.iter().map(Tick::from_bytes).collect();
        self.streams.enter(name, last, &ticks);
    }

    /// The records since the last call, as the bytes of ``TICK_DTYPE``: for whoever has no publisher.
    fn take_packed<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, as_bytes(&self.streams.take_records()))
    }

    /// How many records wait to be taken.
    fn __len__(&self) -> usize {
        self.streams.records().len()
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<MessageReader>()
}
