//! Which instruments a publisher was asked for lately: to find one by its text takes a hash, half of what else a quote takes.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::instrument::InstrumentId;
use crate::table::RunTable;

/// How many are remembered: a source mostly has a few dozen. A power of two.
const REMEMBERED: usize = 64;

/// An object, and the row that it names.
type Known = Option<(Py<PyAny>, u32)>;

/// The rows of objects that were looked up, by the objects themselves, which are kept so that none takes another's place.
pub struct Places {
    remembered: Box<[Known]>,
}

impl Places {
    /// None yet.
    pub fn new() -> Self {
        Self { remembered: std::iter::repeat_with(|| None).take(REMEMBERED).collect() }
    }

    /// The row that `instrument` names.
    ///
    /// # Errors
    /// The run has no such instrument.
    #[inline(always)]
    pub fn find(&mut self, instrument: &Bound<'_, PyAny>, table: &RunTable) -> PyResult<u32> {
        match &self.remembered[at(instrument)] {
            Some((known, place)) if known.as_ptr() == instrument.as_ptr() => Ok(*place),
            _ => self.look_up(instrument, table),
        }
    }

    #[cold]
    fn look_up(&mut self, instrument: &Bound<'_, PyAny>, table: &RunTable) -> PyResult<u32> {
        let place = table.resolve(instrument)?;
        // Neither can change, nor run code of somebody's when it is let go: a class derived from one might.
        if instrument.is_exact_instance_of::<PyString>() || instrument.is_exact_instance_of::<InstrumentId>() {
            self.remembered[at(instrument)] = Some((instrument.clone().unbind(), place));
        }
        Ok(place)
    }
}

/// Objects lie on multiples of 16; the next bits tell those apart that were made one after the other.
#[inline(always)]
fn at(instrument: &Bound<'_, PyAny>) -> usize {
    let address = instrument.as_ptr() as usize;
    ((address >> 4) ^ (address >> 10)) % REMEMBERED
}
