//! Tick objects that are written again for every tick while nobody else holds them.

use pyo3::ffi;
use pyo3::prelude::*;
use tickrail_core::{Kind, Tick as Record};

use crate::instrument::InstrumentId;
use crate::ownership::is_sole_owner;
use crate::tick::{Bar, Quote, Tick, Trade, make};

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
