//! The tick objects: `Tick` and, by kind, `Quote`, `Trade` and `Bar`.
//!
//! One object a kind is written again for every tick while nobody else holds it (`tick_objects`); whoever keeps it, keeps it
//! unchanged. The four numbers are float objects in member slots, which the interpreter's specialised attribute loads read in 1-2 ns
//! (a getter costs 15-20); everything else is made on demand from an inline copy of the 64 bytes. One class a kind, so
//! that a wrong name can be answered by name: an override of attribute look-up would switch the specialised loads off
//! (docs/decisions/0010-one-tick-class-a-kind.md).

use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::exceptions::{PyAttributeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyBytes, PyFloat, PyType};
use tickrail_core::tick::{LAYOUT_VERSION, TICK_SIZE};
use tickrail_core::{Kind, Side, Tick as Record};

use crate::instrument::InstrumentId;

/// One market data record; never changes while anybody holds it.
///
/// Handlers receive a ``Quote``, ``Trade`` or ``Bar``. Times are int ns UTC. Equal when all 64 bytes and the instrument
/// are; ordered by ``(ts_event, sequence)``.
#[pyclass(frozen, subclass, module = "tickrail")]
pub struct Tick {
    pub(crate) record: Record,
    #[pyo3(get)]
    pub(crate) instrument: Py<InstrumentId>,
}

// The classes of kinds are `repr(C)` so that their slots follow one another: `tick_objects` relies on it.

/// A best bid and ask: ``bid``, ``ask``, ``bid_size``, ``ask_size`` (NaN where the source has no sizes).
#[repr(C)]
#[pyclass(frozen, extends = Tick, module = "tickrail")]
pub struct Quote {
    #[pyo3(get)]
    pub(crate) bid: Py<PyFloat>,
    #[pyo3(get)]
    pub(crate) ask: Py<PyFloat>,
    #[pyo3(get)]
    pub(crate) bid_size: Py<PyFloat>,
    #[pyo3(get)]
    pub(crate) ask_size: Py<PyFloat>,
}

/// One trade: ``price``, ``size``, ``side`` of the aggressor.
#[repr(C)]
#[pyclass(frozen, extends = Tick, module = "tickrail")]
pub struct Trade {
    #[pyo3(get)]
    pub(crate) price: Py<PyFloat>,
    #[pyo3(get)]
    pub(crate) size: Py<PyFloat>,
}

/// ``open``, ``high``, ``low``, ``close`` and ``volume`` of an interval that ends at ``ts_event``.
#[repr(C)]
#[pyclass(frozen, extends = Tick, module = "tickrail")]
pub struct Bar {
    #[pyo3(get)]
    pub(crate) open: Py<PyFloat>,
    #[pyo3(get)]
    pub(crate) high: Py<PyFloat>,
    #[pyo3(get)]
    pub(crate) low: Py<PyFloat>,
    #[pyo3(get)]
    pub(crate) close: Py<PyFloat>,
}

impl Tick {
    /// The record inside.
    pub fn record(&self) -> &Record {
        &self.record
    }

    fn kind_name(&self) -> &'static str {
        Kind::from_code(self.record.kind).map_or("UNKNOWN", Kind::name)
    }

    fn absent<T>(&self, name: &str) -> PyResult<T> {
        let has = match Kind::from_code(self.record.kind) {
            Some(Kind::Quote) => "bid, ask, bid_size, ask_size, mid and spread",
            Some(Kind::Trade) => "price, size and side",
            Some(Kind::Bar) => "open, high, low, close and volume",
            _ => "values",
        };
        Err(PyAttributeError::new_err(format!("this tick is a {}; it has {has}, but no {name}", self.kind_name())))
    }

    fn quote_values(&self, name: &str) -> PyResult<(f64, f64)> {
        if self.record.kind == Kind::Quote as u8 {
            return Ok((self.record.values[0], self.record.values[1]));
        }
        self.absent(name)
    }
}

#[pymethods]
impl Tick {
    /// When it happened at the venue, ns since the Unix epoch, UTC.
    #[getter]
    fn ts_event(&self) -> i64 {
        self.record.ts_event
    }

    /// When this process (or the recorder) first had it, ns UTC.
    #[getter]
    fn ts_init(&self) -> i64 {
        self.record.ts_init
    }

    /// The source's own number; 0 on a bar.
    #[getter]
    fn sequence(&self) -> u64 {
        if self.record.kind == Kind::Bar as u8 { 0 } else { self.record.sequence }
    }

    /// ``"QUOTE"``, ``"TRADE"``, ``"BAR"``, ``"GAP"``, ``"STALE"`` or ``"CUSTOM"``.
    #[getter]
    fn kind(&self) -> &'static str {
        self.kind_name()
    }

    /// ``"BUY"`` or ``"SELL"`` for the aggressor of a trade, else ``"NONE"``.
    #[getter]
    fn side(&self) -> &'static str {
        match Side::from_code(self.record.side) {
            Some(Side::Buy) => "BUY",
            Some(Side::Sell) => "SELL",
            _ => "NONE",
        }
    }

    /// Bits: 1 NO_SIZE, 2 SNAPSHOT, 4 LAST_IN_GROUP.
    #[getter]
    fn flags(&self) -> u16 {
        self.record.flags
    }

    /// The four numbers as they stand in the record.
    #[getter]
    fn values(&self) -> (f64, f64, f64, f64) {
        let [a, b, c, d] = self.record.values;
        (a, b, c, d)
    }

    /// Middle of a quote's bid and ask.
    #[getter]
    fn mid(&self) -> PyResult<f64> {
        self.quote_values("mid").map(|(bid, ask)| (bid + ask) * 0.5)
    }

    /// A quote's ask less its bid; negative when crossed.
    #[getter]
    fn spread(&self) -> PyResult<f64> {
        self.quote_values("spread").map(|(bid, ask)| ask - bid)
    }

    // The names of other kinds: found here only where the class of the kind has no slot of that name.
    #[getter]
    fn bid(&self) -> PyResult<f64> {
        self.absent("bid")
    }
    #[getter]
    fn ask(&self) -> PyResult<f64> {
        self.absent("ask")
    }
    #[getter]
    fn bid_size(&self) -> PyResult<f64> {
        self.absent("bid_size")
    }
    #[getter]
    fn ask_size(&self) -> PyResult<f64> {
        self.absent("ask_size")
    }
    #[getter]
    fn price(&self) -> PyResult<f64> {
        self.absent("price")
    }
    #[getter]
    fn size(&self) -> PyResult<f64> {
        self.absent("size")
    }
    #[getter]
    fn open(&self) -> PyResult<f64> {
        self.absent("open")
    }
    #[getter]
    fn high(&self) -> PyResult<f64> {
        self.absent("high")
    }
    #[getter]
    fn low(&self) -> PyResult<f64> {
        self.absent("low")
    }
    #[getter]
    fn close(&self) -> PyResult<f64> {
        self.absent("close")
    }

    /// A bar's volume.
    #[getter]
    fn volume(&self) -> PyResult<f64> {
        if self.record.kind == Kind::Bar as u8 {
            return Ok(f64::from_bits(self.record.sequence));
        }
        self.absent("volume")
    }

    /// A quote made by hand, for tests.
    #[staticmethod]
    #[pyo3(signature = (ts_event, instrument, bid, ask, bid_size=f64::NAN, ask_size=f64::NAN))]
    fn quote(
        py: Python<'_>,
        ts_event: i64,
        instrument: &Bound<'_, PyAny>,
        bid: f64,
        ask: f64,
        bid_size: f64,
        ask_size: f64,
    ) -> PyResult<Py<PyAny>> {
        make(py, &Record::quote(ts_event, 0, bid, ask, bid_size, ask_size), &id_of(instrument)?)
    }

    /// A trade made by hand, for tests; ``side`` is ``"BUY"``, ``"SELL"`` or ``"NONE"``.
    #[staticmethod]
    #[pyo3(signature = (ts_event, instrument, price, size=f64::NAN, side="NONE"))]
    fn trade(
        py: Python<'_>,
        ts_event: i64,
        instrument: &Bound<'_, PyAny>,
        price: f64,
        size: f64,
        side: &str,
    ) -> PyResult<Py<PyAny>> {
        let side = match side {
            "NONE" => Side::None,
            "BUY" => Side::Buy,
            "SELL" => Side::Sell,
            other => return Err(PyValueError::new_err(format!("side is {other:?}: expected BUY, SELL or NONE"))),
        };
        make(py, &Record::trade(ts_event, 0, price, size, side), &id_of(instrument)?)
    }

    /// A bar made by hand, for tests; ``ts_event`` is its close.
    #[expect(clippy::too_many_arguments, reason = "a bar has that many numbers")]
    #[staticmethod]
    #[pyo3(signature = (ts_event, instrument, open, high, low, close, volume=0.0))]
    fn bar(
        py: Python<'_>,
        ts_event: i64,
        instrument: &Bound<'_, PyAny>,
        open: f64,
        high: f64,
        low: f64,
        close: f64,
        volume: f64,
    ) -> PyResult<Py<PyAny>> {
        make(py, &Record::bar(ts_event, 0, [open, high, low, close], volume), &id_of(instrument)?)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (name, [a, b, c, d]) = (self.instrument.get().text(py)?, self.record.values);
        let at = self.record.ts_event;
        Ok(match Kind::from_code(self.record.kind) {
            Some(Kind::Quote) => format!("Quote({name}, ts_event={at}, bid={a}, ask={b}, bid_size={c}, ask_size={d})"),
            Some(Kind::Trade) => format!("Trade({name}, ts_event={at}, price={a}, size={c}, side={})", self.side()),
            Some(Kind::Bar) => {
                let volume = f64::from_bits(self.record.sequence);
                format!("Bar({name}, ts_event={at}, open={a}, high={b}, low={c}, close={d}, volume={volume})")
            }
            _ => format!("Tick({name}, ts_event={at}, kind={}, values={:?})", self.kind_name(), self.record.values),
        })
    }

    fn __richcmp__(&self, py: Python<'_>, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
        let other = other.get();
        let (a, b) = (&self.record, &other.record);
        let order = (a.ts_event, a.sequence).cmp(&(b.ts_event, b.sequence));
        let same =
            || -> PyResult<bool> { Ok(a == b && self.instrument.get().text(py)? == other.instrument.get().text(py)?) };
        let answer = match op {
            CompareOp::Eq => same()?,
            CompareOp::Ne => !same()?,
            _ => op.matches(order),
        };
        Ok(answer.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn __hash__(&self) -> u64 {
        // Of this process only: nothing stored or compared across processes depends on it.
        let mut hasher = DefaultHasher::new();
        self.record.as_bytes().hash(&mut hasher);
        hasher.finish()
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    #[expect(clippy::type_complexity, reason = "the shape that pickle asks for")]
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (u16, Bound<'py, PyBytes>, Py<InstrumentId>))> {
        let restore = py.get_type::<Self>().getattr("_restore")?;
        Ok((restore, (LAYOUT_VERSION, PyBytes::new(py, self.record.as_bytes()), self.instrument.clone_ref(py))))
    }

    #[staticmethod]
    fn _restore(
        py: Python<'_>,
        version: u16,
        bytes: &[u8],
        instrument: &Bound<'_, InstrumentId>,
    ) -> PyResult<Py<PyAny>> {
        let found = bytes.len();
        match <&[u8; TICK_SIZE]>::try_from(bytes).ok() {
            Some(bytes) if version == LAYOUT_VERSION => make(py, &Record::from_bytes(bytes), instrument),
            None if version == LAYOUT_VERSION => {
                Err(PyValueError::new_err(format!("a pickled tick has {found} bytes: expected {TICK_SIZE}")))
            }
            _ => Err(PyValueError::new_err(format!(
                "this tick was pickled with record layout {version}; this tickrail reads layout {LAYOUT_VERSION}"
            ))),
        }
    }
}

fn id_of<'py>(instrument: &Bound<'py, PyAny>) -> PyResult<Bound<'py, InstrumentId>> {
    if let Ok(id) = instrument.cast::<InstrumentId>() {
        return Ok(id.clone());
    }
    Bound::new(instrument.py(), InstrumentId::parse(instrument.py(), &instrument.str()?.to_string())?)
}

/// A new tick object of the class that the record's kind asks for.
pub fn make(py: Python<'_>, record: &Record, instrument: &Bound<'_, InstrumentId>) -> PyResult<Py<PyAny>> {
    let base = PyClassInitializer::from(Tick { record: *record, instrument: instrument.clone().unbind() });
    let float = |index: usize| PyFloat::new(py, record.values[index]).unbind();
    Ok(match Kind::from_code(record.kind) {
        Some(Kind::Quote) => {
            let part = Quote { bid: float(0), ask: float(1), bid_size: float(2), ask_size: float(3) };
            Py::new(py, base.add_subclass(part))?.into_any()
        }
        Some(Kind::Trade) => Py::new(py, base.add_subclass(Trade { price: float(0), size: float(2) }))?.into_any(),
        Some(Kind::Bar) => {
            let part = Bar { open: float(0), high: float(1), low: float(2), close: float(3) };
            Py::new(py, base.add_subclass(part))?.into_any()
        }
        _ => Py::new(py, base)?.into_any(),
    })
}

/// Adds the classes to the module, closed to subclassing.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Tick>()?;
    m.add_class::<Quote>()?;
    m.add_class::<Trade>()?;
    m.add_class::<Bar>()?;
    m.add("LAYOUT_VERSION", LAYOUT_VERSION)?;
    seal(&m.py().get_type::<Tick>());
    Ok(())
}

/// Python code must not subclass a class whose instances are rewritten in place.
fn seal(class: &Bound<'_, PyType>) {
    // SAFETY: the GIL is held and the type is ours, ready, and has all the subclasses that it will ever have.
    unsafe {
        #[cfg(not(Py_GIL_DISABLED))]
        {
            (*class.as_type_ptr()).tp_flags &= !ffi::Py_TPFLAGS_BASETYPE;
        }
        // Relaxed: the module is being made, and nobody else has seen the type.
        #[cfg(Py_GIL_DISABLED)]
        (*class.as_type_ptr()).tp_flags.fetch_and(!ffi::Py_TPFLAGS_BASETYPE, std::sync::atomic::Ordering::Relaxed);
    }
}
