//! `TickGenerator`: made-up quotes.

use std::sync::{Arc, Mutex};

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use tickrail_core::file::InstrumentTable;
use tickrail_core::generate::TickGenerator as Generator;
use tickrail_core::tick::OrderBy;
use tickrail_core::{InstrumentInfo, TickBlock};

use crate::array::TickArray;
use crate::infos::declare_all;

/// Digits after the point where the instrument names no price increment.
const DECIMALS: u32 = 5;
const MOST_DECIMALS: u32 = 9;

/// Random walk of quotes; the same seed gives the same bytes in any process and in pieces of any length.
///
/// Args:
///     seed: Any integer of 64 bits.
///     instruments: Ids or mappings; ``price_increment`` (a power of ten) gives the digits of prices, default 5.
///     start_ns: The first tick comes after this time.
///     mean_interval_ns: Mean time between two ticks of all instruments together.
#[pyclass(frozen, module = "tickrail")]
pub struct TickGenerator {
    generator: Mutex<Generator>,
    table: Arc<[InstrumentInfo]>,
}

fn decimals(info: &InstrumentInfo) -> PyResult<u32> {
    if info.price_increment == 0.0 {
        return Ok(DECIMALS);
    }
    let found = (0..=MOST_DECIMALS).find(|&digits| {
        let increment = 1.0 / 10_f64.powi(digits as i32);
        (info.price_increment - increment).abs() < increment * 1e-9
    });
    found.ok_or_else(|| {
        let (id, increment) = (&info.id, info.price_increment);
        PyValueError::new_err(format!("{id}: the generator walks in steps of 1, 0.1, ... 1e-9, not {increment}"))
    })
}

#[pymethods]
impl TickGenerator {
    #[new]
    #[pyo3(signature = (seed, instruments, *, start_ns, mean_interval_ns=1_000_000))]
    fn new(seed: u64, instruments: &Bound<'_, PyAny>, start_ns: i64, mean_interval_ns: i64) -> PyResult<Self> {
        let mut table = InstrumentTable::default();
        declare_all(&mut table, instruments)?;
        if table.rows().is_empty() {
            return Err(PyValueError::new_err("the generator needs at least one instrument"));
        }
        if start_ns < 0 || !(1..1 << 40).contains(&mean_interval_ns) {
            return Err(PyValueError::new_err(
                "start_ns must not be negative, mean_interval_ns lies between 1 and 2**40",
            ));
        }
        let digits = table.rows().iter().map(decimals).collect::<PyResult<Vec<_>>>()?;
        let generator = Generator::new(seed, &digits, start_ns, mean_interval_ns as u64);
        Ok(Self { generator: Mutex::new(generator), table: table.to_shared() })
    }

    /// The next ``count`` quotes.
    fn take(&self, py: Python<'_>, count: usize) -> PyResult<TickArray> {
        let make = || {
            let mut generator = self.generator.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            generator.take(count)
        };
        let ticks = py.detach(make);
        if ticks.len() < count {
            return Err(PyOverflowError::new_err("the generated times pass the year 2262"));
        }
        Ok(TickArray::new(TickBlock::from_vec(ticks), Arc::clone(&self.table), OrderBy::TsEvent))
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<TickGenerator>()
}
