//! interim until the data branch lands
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use std::sync::Arc;
use tickrail_core::tick::OrderBy;
use tickrail_core::{InstrumentInfo, Tick, TickBlock};

/// interim
#[pyclass(frozen, module = "tickrail")]
pub struct TickArray {
    block: TickBlock,
    instruments: Arc<[InstrumentInfo]>,
    order_by: OrderBy,
}

impl TickArray {
    /// records
    pub fn block(&self) -> &TickBlock {
        &self.block
    }
    /// table
    pub fn table(&self) -> &Arc<[InstrumentInfo]> {
        &self.instruments
    }
    /// key
    pub fn order(&self) -> OrderBy {
        self.order_by
    }
    /// content
    pub fn content(&self) -> [u8; 16] {
        tickrail_core::digest::fingerprint(self.block.as_slice())
    }
}

#[pymethods]
impl TickArray {
    #[staticmethod]
    #[pyo3(signature = (records, instruments, *, order_by="ts_event"))]
    fn from_records(records: &Bound<'_, PyUntypedArray>, instruments: Vec<String>, order_by: &str) -> PyResult<Self> {
        let bytes: Vec<u8> = records.call_method0("tobytes")?.extract()?;
        let ticks: Vec<Tick> = bytes.chunks_exact(64).map(|c| Tick::from_bytes(c.try_into().expect("64"))).collect();
        Ok(Self {
            block: TickBlock::from_vec(ticks),
            instruments: instruments.into_iter().map(InstrumentInfo::named).collect(),
            order_by: OrderBy::from_name(order_by).expect("order"),
        })
    }
    fn __len__(&self) -> usize {
        self.block.len()
    }
}

/// interim
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<TickArray>()
}
