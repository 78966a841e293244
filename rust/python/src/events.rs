//! What handlers other than those of ticks receive.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use tickrail_core::tick::Side;
use tickrail_core::venue::{OrderStatus, OrderUpdate as CoreUpdate};

use crate::instrument::InstrumentId;

/// The name of a side as users see it.
pub const fn side_name(side: Side) -> &'static str {
    match side {
        Side::None => "NONE",
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

const STATUSES: usize = OrderStatus::ALL.len();

/// The name of a status as an object that is made once: comparing it with the text of a program then looks at one pointer.
fn status_name(py: Python<'_>, status: OrderStatus) -> Py<PyString> {
    static NAMES: [PyOnceLock<Py<PyString>>; STATUSES] = [const { PyOnceLock::new() }; STATUSES];
    NAMES[status as usize].get_or_init(py, || PyString::intern(py, status.name()).unbind()).clone_ref(py)
}

/// A change of one of the strategy's orders.
#[pyclass(frozen, module = "tickrail")]
pub struct OrderUpdate {
    update: CoreUpdate,
    #[pyo3(get)]
    instrument: Py<InstrumentId>,
    ts_ns: i64,
    run_id: Arc<str>,
}

impl OrderUpdate {
    /// The update as told at `ts_ns`.
    pub const fn new(update: CoreUpdate, instrument: Py<InstrumentId>, ts_ns: i64, run_id: Arc<str>) -> Self {
        Self { update, instrument, ts_ns, run_id }
    }
}

#[pymethods]
impl OrderUpdate {
    /// Number of the order within its strategy, as ``buy`` returned it.
    #[getter]
    fn order(&self) -> u32 {
        self.update.order.key.number
    }
    /// The order's name at venues: the run's id, the strategy's place and the order's number.
    #[getter]
    fn client_id(&self) -> String {
        let key = self.update.order.key;
        format!("{}-{}-{}", self.run_id, key.strategy, key.number)
    }
    /// ``"BUY"`` or ``"SELL"``.
    #[getter]
    fn side(&self) -> &'static str {
        side_name(self.update.order.side)
    }
    /// ``"SUBMITTED"`` (where messages take time), ``"ACCEPTED"``, ``"PARTIALLY_FILLED"``, ``"FILLED"``, ``"CANCELED"``,
    /// ``"REJECTED"`` or ``"EXPIRED"``.
    #[getter]
    fn status(&self, py: Python<'_>) -> Py<PyString> {
        status_name(py, self.update.order.status)
    }
    /// Units ordered.
    #[getter]
    fn quantity(&self) -> f64 {
        self.update.order.quantity
    }
    /// ``"MARKET"``, ``"LIMIT"``, ``"STOP"`` or ``"STOP_LIMIT"``.
    #[getter]
    fn kind(&self) -> &'static str {
        self.update.order.terms.kind.name()
    }
    /// ``"GTC"``, ``"IOC"``, ``"FOK"``, ``"DAY"`` or ``"GTD"``.
    #[getter]
    fn time_in_force(&self) -> &'static str {
        self.update.order.terms.time_in_force.name()
    }
    /// Worst price; ``None`` where its kind has none.
    #[getter]
    fn limit(&self) -> Option<f64> {
        Some(self.update.order.terms.limit).filter(|price| !price.is_nan())
    }
    /// Price that wakes it; ``None`` where its kind has none.
    #[getter]
    fn stop(&self) -> Option<f64> {
        Some(self.update.order.terms.stop).filter(|price| !price.is_nan())
    }
    /// Units that are done.
    #[getter]
    fn filled(&self) -> f64 {
        self.update.order.filled
    }
    /// Units that are not done.
    #[getter]
    fn remaining(&self) -> f64 {
        self.update.order.quantity - self.update.order.filled
    }
    /// Units that this update fills; 0 where it is no fill.
    #[getter]
    fn fill_quantity(&self) -> f64 {
        self.update.fill_quantity
    }
    /// Price of this fill; NaN where it is none.
    #[getter]
    fn fill_price(&self) -> f64 {
        self.update.fill_price
    }
    /// Average price of all fills so far; NaN before.
    #[getter]
    fn price(&self) -> f64 {
        self.update.order.price
    }
    /// Fees of all fills so far, in the currency of the price.
    #[getter]
    fn fee(&self) -> f64 {
        self.update.order.fee
    }
    /// When the strategy is told, ns UTC.
    #[getter]
    fn ts_ns(&self) -> i64 {
        self.ts_ns
    }
    /// Why it was rejected, canceled or not amended, else empty.
    #[getter]
    fn reason(&self) -> &'static str {
        self.update.reason
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (order, name) = (&self.update.order, self.instrument.get().text(py)?);
        Ok(format!(
            "OrderUpdate(order={}, {name}, {} {}, {}, price={}, fee={})",
            order.key.number,
            side_name(order.side),
            order.quantity,
            order.status.name(),
            order.price,
            order.fee
        ))
    }
}

/// Adds the class to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<OrderUpdate>()
}
