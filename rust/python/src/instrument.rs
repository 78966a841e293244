//! `InstrumentId`: the name of an instrument, as Python sees it.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use tickrail_core::InstrumentInfo;

/// ``SYMBOL.VENUE``, split at the last dot; equal to and hashed as its text, so that either can be the key of a dict.
#[pyclass(frozen, module = "tickrail")]
pub struct InstrumentId {
    text: Py<PyString>,
    dot: usize,
    /// Index in the table of the run that saw it last: only a guess that the run checks. Relaxed, as it orders nothing.
    hint: AtomicU32,
}

impl InstrumentId {
    /// Checks and splits `text`.
    pub fn parse(py: Python<'_>, text: &str) -> PyResult<Self> {
        let dot = text.rfind('.').filter(|&dot| dot > 0 && dot + 1 < text.len());
        let clean = !text.chars().any(|c| c.is_whitespace() || c.is_control());
        match dot {
            Some(dot) if clean => {
                let text = PyString::new(py, text).unbind();
                Ok(Self { text, dot, hint: AtomicU32::new(u32::MAX) })
            }
            _ => Err(PyValueError::new_err(format!(
                "{text:?} is no instrument: expected SYMBOL.VENUE without spaces, such as EURUSD.OANDA"
            ))),
        }
    }

    /// The text as Rust sees it.
    pub fn text<'py>(&self, py: Python<'py>) -> PyResult<&str>
    where
        Self: 'py,
    {
        self.text.bind(py).to_str().map(|text| {
            // SAFETY: a Python string caches its UTF-8 form for as long as it lives, and `self` keeps the string alive.
            unsafe { &*std::ptr::from_ref::<str>(text) }
        })
    }

    /// The index that a run left here.
    #[inline]
    pub fn hint(&self) -> u32 {
        self.hint.load(Ordering::Relaxed)
    }

    /// Leaves the index for the next look-up.
    pub fn set_hint(&self, index: u32) {
        self.hint.store(index, Ordering::Relaxed);
    }
}

#[pymethods]
impl InstrumentId {
    #[new]
    #[pyo3(signature = (symbol, venue=None))]
    fn new(py: Python<'_>, symbol: &str, venue: Option<&str>) -> PyResult<Self> {
        match venue {
            Some(venue) => Self::parse(py, &format!("{symbol}.{venue}")),
            None => Self::parse(py, symbol),
        }
    }

    /// The part before the last dot.
    #[getter]
    fn symbol(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.text(py)?[..self.dot].to_owned())
    }

    /// The part after the last dot.
    #[getter]
    fn venue(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.text(py)?[self.dot + 1..].to_owned())
    }

    fn __str__(&self, py: Python<'_>) -> Py<PyString> {
        self.text.clone_ref(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("InstrumentId('{}')", self.text(py)?))
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.text.bind(py).hash()
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        if let Ok(other) = other.cast::<Self>() {
            return Ok(self.text(py)? == other.get().text(py)?);
        }
        match other.cast::<PyString>() {
            Ok(other) => Ok(self.text(py)? == other.to_str()?),
            Err(_) => Ok(false),
        }
    }

    fn __lt__(&self, py: Python<'_>, other: &Self) -> PyResult<bool> {
        Ok(self.text(py)? < other.text(py)?)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> (Bound<'py, pyo3::types::PyType>, (Py<PyString>,)) {
        (py.get_type::<Self>(), (self.text.clone_ref(py),))
    }
}

/// One id object a table row: what `tick.instrument` hands out.
pub fn ids(py: Python<'_>, table: &[InstrumentInfo]) -> PyResult<Vec<Py<InstrumentId>>> {
    table.iter().map(|info| Py::new(py, InstrumentId::parse(py, &info.id)?)).collect()
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<InstrumentId>()
}
