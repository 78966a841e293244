//! The instruments of one run, both ways: index to object, object or text to index.

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use tickrail_core::InstrumentInfo;

use crate::errors::hinted;
use crate::instrument::{InstrumentId, ids};

/// The instrument table of a run as Python objects.
pub struct RunTable {
    ids: Vec<Py<InstrumentId>>,
    indexes: HashMap<String, u32>,
    /// Of the run, in the names of its orders.
    pub run_id: Arc<str>,
}

impl RunTable {
    /// Objects for `table`.
    pub fn new(py: Python<'_>, table: &[InstrumentInfo], run_id: &str) -> PyResult<Self> {
        let indexes = table.iter().enumerate().map(|(index, info)| (info.id.clone(), index as u32)).collect();
        Ok(Self { ids: ids(py, table)?, indexes, run_id: run_id.into() })
    }

    /// Names, by row.
    pub fn names(&self) -> Vec<String> {
        let mut rows: Vec<(&u32, &String)> = self.indexes.iter().map(|(id, row)| (row, id)).collect();
        rows.sort_unstable();
        rows.into_iter().map(|(_, id)| id.clone()).collect()
    }

    /// The object of row `index`.
    #[inline(always)]
    pub fn id(&self, index: u32) -> &Py<InstrumentId> {
        &self.ids[index as usize]
    }

    /// The row that `instrument` names: an `InstrumentId` or its text.
    #[inline]
    pub fn resolve(&self, instrument: &Bound<'_, PyAny>) -> PyResult<u32> {
        if let Ok(id) = instrument.cast_exact::<InstrumentId>() {
            let hint = id.get().hint();
            if self.ids.get(hint as usize).is_some_and(|known| known.as_ptr() == id.as_ptr()) {
                return Ok(hint);
            }
        }
        self.look_up(instrument)
    }

    #[cold]
    fn look_up(&self, instrument: &Bound<'_, PyAny>) -> PyResult<u32> {
        let py = instrument.py();
        if let Ok(id) = instrument.cast::<InstrumentId>() {
            let index = self.by_text(py, id.get().text(py)?)?;
            id.get().set_hint(index);
            return Ok(index);
        }
        match instrument.cast::<PyString>() {
            Ok(text) => self.by_text(py, text.to_str()?),
            Err(_) => Err(PyTypeError::new_err(format!(
                "an instrument is an InstrumentId or a str such as 'EURUSD.OANDA', not {}",
                instrument.get_type().name()?
            ))),
        }
    }

    /// The row of the instrument called `text`.
    pub fn by_text(&self, py: Python<'_>, text: &str) -> PyResult<u32> {
        self.indexes.get(text).copied().ok_or_else(|| {
            let mut names: Vec<&str> = self.indexes.keys().map(String::as_str).collect();
            names.sort_unstable();
            names.truncate(10);
            hinted(
                py,
                "OrderRefused",
                &format!("the run has no instrument {text:?}"),
                &format!("it has {}", names.join(", ")),
            )
        })
    }
}
