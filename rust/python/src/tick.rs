//! The tick objects: `Tick` and, by kind, `Quote`, `Trade` and `Bar`.
//!
//! One object a kind is written again for every tick while nobody else holds it; whoever keeps it, keeps it unchanged.
//! The four numbers are float objects in member slots, which the interpreter's specialised attribute loads read in 1-2 ns
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
use crate::ownership::is_sole_owner;

/// One market data record; never changes while anybody holds it.
///
/// Handlers receive a ``Quote``, ``Trade`` or ``Bar``. Times are int ns UTC. Equal when all 64 bytes and the instrument
/// are; ordered by ``(ts_event, sequence)``.
#[pyclass(frozen, subclass, module = "tickrail")]
pub struct Tick {
    record: Record,
    #[pyo3(get)]
    instrument: Py<InstrumentId>,
}

// The classes of kinds are `repr(C)` so that their slots follow one another: `write_floats` relies on it.

/// A best bid and ask: ``bid``, ``ask``, ``bid_size``, ``ask_size`` (NaN where the source has no sizes).
#[repr(C)]
#[pyclass(frozen, extends = Tick, module = "tickrail")]
pub struct Quote {
    #[pyo3(get)]
    bid: Py<PyFloat>,
    #[pyo3(get)]
    ask: Py<PyFloat>,
    #[pyo3(get)]
    bid_size: Py<PyFloat>,
    #[pyo3(get)]
    ask_size: Py<PyFloat>,
}

/// One trade: ``price``, ``size``, ``side`` of the aggressor.
#[repr(C)]
#[pyclass(frozen, extends = Tick, module = "tickrail")]
pub struct Trade {
    #[pyo3(get)]
    price: Py<PyFloat>,
    #[pyo3(get)]
    size: Py<PyFloat>,
}

/// ``open``, ``high``, ``low``, ``close`` and ``volume`` of an interval that ends at ``ts_event``.
#[repr(C)]
#[pyclass(frozen, extends = Tick, module = "tickrail")]
pub struct Bar {
    #[pyo3(get)]
    open: Py<PyFloat>,
    #[pyo3(get)]
    high: Py<PyFloat>,
    #[pyo3(get)]
    low: Py<PyFloat>,
    #[pyo3(get)]
    close: Py<PyFloat>,
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

/// Writes `value` into the float in `slot`, or puts a new float there if somebody else holds the old one.
///
/// # Safety
/// `slot` points at an owned reference to an exact float; the GIL is held.
#[inline(always)]
unsafe fn write_float(slot: *mut *mut ffi::PyObject, value: f64) {
    // SAFETY: contract of this function; a float that only the slot holds can be seen by nobody while it is written.
    unsafe {
        let float = *slot;
        if is_sole_owner(float) {
            (*float.cast::<ffi::PyFloatObject>()).ob_fval = value;
        } else {
            let fresh = ffi::PyFloat_FromDouble(value);
            assert!(!fresh.is_null(), "out of memory for a float");
            *slot = fresh;
            ffi::Py_DECREF(float);
        }
    }
}

/// The floats in the slots from `first` on, if nobody else holds one.
///
/// # Safety
/// As many slots from `first` on hold owned references to exact floats; the GIL is held.
#[inline(always)]
unsafe fn own_floats<const N: usize>(first: *mut *mut ffi::PyObject) -> Option<[*mut ffi::PyFloatObject; N]> {
    // SAFETY: contract of this function.
    let floats: [*mut ffi::PyObject; N] = std::array::from_fn(|index| unsafe { *first.add(index) });
    floats.iter().all(|&float| is_sole_owner(float)).then(|| floats.map(<*mut ffi::PyObject>::cast))
}

/// Where the parts of the tick classes lie behind the object pointer, bytes; read off live objects once. All 0: not yet.
#[derive(Clone, Copy)]
struct Offsets {
    record: usize,
    instrument: usize,
    slots: [usize; 4],
    count: usize,
}

impl Offsets {
    const UNKNOWN: Self = Self { record: 0, instrument: 0, slots: [0; 4], count: 0 };

    fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let start = object.as_ptr() as usize;
        let base = object.cast::<Tick>()?.get();
        let from = |field: usize| field - start;
        let (slots, count) = if let Ok(part) = object.cast_exact::<Quote>() {
            let part = part.get();
            let at = [&part.bid, &part.ask, &part.bid_size, &part.ask_size];
            (at.map(|field| from(std::ptr::from_ref(field) as usize)), 4)
        } else if let Ok(part) = object.cast_exact::<Trade>() {
            let part = part.get();
            let at = [&part.price, &part.size, &part.price, &part.size];
            (at.map(|field| from(std::ptr::from_ref(field) as usize)), 2)
        } else if let Ok(part) = object.cast_exact::<Bar>() {
            let part = part.get();
            let at = [&part.open, &part.high, &part.low, &part.close];
            (at.map(|field| from(std::ptr::from_ref(field) as usize)), 4)
        } else {
            ([0; 4], 0)
        };
        Ok(Self {
            record: from(std::ptr::from_ref(&base.record) as usize),
            instrument: from(std::ptr::from_ref(&base.instrument) as usize),
            slots,
            count,
        })
    }
}

/// Objects that are written again while nobody else holds them: two, for a generator or a `for` loop still holds the
/// last tick while the next is made.
struct Reused {
    object: Option<Py<PyAny>>,
    other: Option<Py<PyAny>>,
    offsets: Offsets,
}

impl Reused {
    const fn new() -> Self {
        Self { object: None, other: None, offsets: Offsets::UNKNOWN }
    }

    #[inline(always)]
    fn fill(&mut self, py: Python<'_>, record: &Record, instrument: &Py<InstrumentId>) -> PyResult<*mut ffi::PyObject> {
        if let Some(object) = self.rewritten(record, instrument) {
            return Ok(object);
        }
        self.fill_other(py, record, instrument)
    }

    /// The same where the last one is still held most times: the one before it is tried first.
    #[inline(always)]
    fn fill_other(
        &mut self,
        py: Python<'_>,
        record: &Record,
        instrument: &Py<InstrumentId>,
    ) -> PyResult<*mut ffi::PyObject> {
        std::mem::swap(&mut self.object, &mut self.other);
        match self.rewritten(record, instrument) {
            Some(object) => Ok(object),
            None => self.fresh(py, record, instrument),
        }
    }

    /// The object with `record` in it, if nobody else holds it.
    #[inline(always)]
    fn rewritten(&mut self, record: &Record, instrument: &Py<InstrumentId>) -> Option<*mut ffi::PyObject> {
        let (object, offsets) = (self.object.as_ref()?.as_ptr(), &self.offsets);
        if !is_sole_owner(object) {
            return None;
        }
        // SAFETY: sole owner, GIL held, and `offsets` were read off an object of this class.
        unsafe { rewrite(object, offsets, record, instrument) };
        Some(object)
    }

    /// A new reference to the object before the last one, with `record` in it, if nobody else holds it or any of its floats,
    /// and it was of the same instrument: `None`, and nothing is written, where anything would have to be made.
    #[inline(always)]
    fn write_other(&mut self, record: &Record) -> Option<*mut ffi::PyObject> {
        let (object, offsets) = (self.other.as_ref()?.as_ptr(), &self.offsets);
        if !is_sole_owner(object) {
            return None;
        }
        let [a, b, c, d] = record.values;
        // SAFETY: sole owner, GIL held; the offsets are those of its class, as there is an object of it. The floats that are
        // written can be seen by nobody else. The reference is counted before anything is written, while the compiler knows
        // the count.
        unsafe {
            let inside = object.byte_add(offsets.record).cast::<Record>();
            if (*inside).instrument != record.instrument {
                return None;
            }
            let first = object.byte_add(offsets.slots[0]).cast::<*mut ffi::PyObject>();
            match offsets.count {
                4 => {
                    let [first, second, third, fourth] = own_floats(first)?;
                    ffi::Py_INCREF(object);
                    (*first).ob_fval = a;
                    (*second).ob_fval = b;
                    (*third).ob_fval = c;
                    (*fourth).ob_fval = d;
                }
                2 => {
                    let [first, second] = own_floats(first)?;
                    ffi::Py_INCREF(object);
                    (*first).ob_fval = a;
                    (*second).ob_fval = c;
                }
                _ => return None,
            }
            inside.write(*record);
        }
        std::mem::swap(&mut self.object, &mut self.other);
        Some(object)
    }

    #[cold]
    fn fresh(
        &mut self,
        py: Python<'_>,
        record: &Record,
        instrument: &Py<InstrumentId>,
    ) -> PyResult<*mut ffi::PyObject> {
        let object = make(py, record, instrument.bind(py))?;
        if self.offsets.record == 0 {
            self.offsets = Offsets::of(object.bind(py))?;
        }
        let pointer = object.as_ptr();
        if let Some(before) = self.object.replace(object) {
            // Not by dropping it: `Pulls` comes here without PyO3's bookkeeping, which would put it off.
            // SAFETY: the GIL is held, and the reference was ours.
            unsafe { ffi::Py_DECREF(before.into_ptr()) };
        }
        Ok(pointer)
    }
}

/// Puts `record` into a tick object.
///
/// # Safety
/// The caller is the only owner of `object`, holds the GIL, and `offsets` belong to its class and to the record's kind.
#[inline(always)]
unsafe fn rewrite(object: *mut ffi::PyObject, offsets: &Offsets, record: &Record, instrument: &Py<InstrumentId>) {
    // SAFETY: the fields lie at `offsets` (read off a live object of the class); nobody else can look at them now. The
    // pointers come from the object pointer, never from a shared reference to the frozen class.
    unsafe {
        object.byte_add(offsets.record).cast::<Record>().write(*record);
        let held = object.byte_add(offsets.instrument).cast::<*mut ffi::PyObject>();
        if *held != instrument.as_ptr() {
            ffi::Py_INCREF(instrument.as_ptr());
            ffi::Py_DECREF(std::mem::replace(&mut *held, instrument.as_ptr()));
        }
        let slot = |index: usize| object.byte_add(offsets.slots[index]).cast::<*mut ffi::PyObject>();
        if offsets.count == 4 {
            write_float(slot(0), record.values[0]);
            write_float(slot(1), record.values[1]);
            write_float(slot(2), record.values[2]);
            write_float(slot(3), record.values[3]);
        } else if offsets.count == 2 {
            write_float(slot(0), record.values[0]);
            write_float(slot(1), record.values[2]);
        }
    }
}

/// Quote 1, trade 2, bar 3; all else shares place 0, whose class has no slots.
#[inline(always)]
const fn place_of(record: &Record) -> usize {
    if record.kind <= Kind::Bar as u8 { record.kind as usize } else { 0 }
}

/// The tick objects of one run.
pub struct TickObjects {
    reused: [Reused; 4],
    always_fresh: bool,
}

impl TickObjects {
    /// Objects that are re-used while nobody keeps them; with `always_fresh`, never (to find aliasing).
    pub const fn new(always_fresh: bool) -> Self {
        Self { reused: [Reused::new(), Reused::new(), Reused::new(), Reused::new()], always_fresh }
    }

    /// An object that holds `record`; borrowed from `self` until the next call.
    #[inline(always)]
    pub fn fill(
        &mut self,
        py: Python<'_>,
        record: &Record,
        instrument: &Py<InstrumentId>,
    ) -> PyResult<*mut ffi::PyObject> {
        let reused = &mut self.reused[place_of(record)];
        if self.always_fresh { reused.fresh(py, record, instrument) } else { reused.fill(py, record, instrument) }
    }

    /// A new reference to an object that holds `record`, where none has to be made; with `always_fresh` there is none.
    #[inline(always)]
    pub fn write_other(&mut self, record: &Record) -> Option<*mut ffi::PyObject> {
        self.reused[place_of(record)].write_other(record)
    }

    /// The same, for whoever holds the last one while the next is made.
    #[inline(always)]
    pub fn fill_other(
        &mut self,
        py: Python<'_>,
        record: &Record,
        instrument: &Py<InstrumentId>,
    ) -> PyResult<*mut ffi::PyObject> {
        let reused = &mut self.reused[place_of(record)];
        if self.always_fresh { reused.fresh(py, record, instrument) } else { reused.fill_other(py, record, instrument) }
    }
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
