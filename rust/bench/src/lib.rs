//! What a C extension does without tickrail: one object, written again for every record, handed to a handler.
//!
//! Members are read by the interpreter's own getters for C structs (`PyMemberDef`), and the handler is called with one argument.
//! Nothing is routed, counted, timed or matched: a dispatcher that costs no more than this costs nothing.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::mem::{MaybeUninit, offset_of, size_of};

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;

/// A record of 64 bytes, as tick files have it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Record {
    ts_event: i64,
    ts_init: i64,
    sequence: u64,
    instrument: u32,
    kind: u8,
    side: u8,
    flags: u16,
    values: [f64; 4],
}

#[repr(C)]
struct BaseTick {
    head: ffi::PyObject,
    record: Record,
}

const RECORD: usize = offset_of!(BaseTick, record);
const VALUES: usize = RECORD + offset_of!(Record, values);

const fn member(name: &'static CStr, kind: c_int, offset: usize) -> ffi::PyMemberDef {
    ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: kind,
        offset: offset as ffi::Py_ssize_t,
        flags: ffi::Py_READONLY,
        doc: std::ptr::null(),
    }
}

/// A table that the interpreter keeps a pointer to.
struct Members([ffi::PyMemberDef; 12]);

// SAFETY: constant data; the pointers in it are to constant text.
unsafe impl Sync for Members {}

static MEMBERS: Members = Members([
    member(c"ts_event", ffi::Py_T_LONGLONG, RECORD + offset_of!(Record, ts_event)),
    member(c"ts_init", ffi::Py_T_LONGLONG, RECORD + offset_of!(Record, ts_init)),
    member(c"sequence", ffi::Py_T_ULONGLONG, RECORD + offset_of!(Record, sequence)),
    member(c"instrument", ffi::Py_T_UINT, RECORD + offset_of!(Record, instrument)),
    member(c"kind", ffi::Py_T_UBYTE, RECORD + offset_of!(Record, kind)),
    member(c"side", ffi::Py_T_UBYTE, RECORD + offset_of!(Record, side)),
    member(c"flags", ffi::Py_T_USHORT, RECORD + offset_of!(Record, flags)),
    member(c"bid", ffi::Py_T_DOUBLE, VALUES),
    member(c"ask", ffi::Py_T_DOUBLE, VALUES + 8),
    member(c"bid_size", ffi::Py_T_DOUBLE, VALUES + 16),
    member(c"ask_size", ffi::Py_T_DOUBLE, VALUES + 24),
    ffi::PyMemberDef { name: std::ptr::null(), type_code: 0, offset: 0, flags: 0, doc: std::ptr::null() },
]);

fn tick_type(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let mut slots = [
        ffi::PyType_Slot { slot: ffi::Py_tp_members, pfunc: MEMBERS.0.as_ptr().cast_mut().cast() },
        ffi::PyType_Slot { slot: 0, pfunc: std::ptr::null_mut() },
    ];
    const NAME: *const c_char = c"_bench_base.BaseTick".as_ptr();
    let mut spec = ffi::PyType_Spec {
        name: NAME,
        basicsize: size_of::<BaseTick>() as c_int,
        itemsize: 0,
        flags: ffi::Py_TPFLAGS_DEFAULT as c_uint,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the spec and its slots outlive the call; name and members are static.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&mut spec)) }.map(Bound::unbind)
}

/// A tick object whose record nobody has written yet.
fn new_tick(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let class = tick_type(py)?;
    // SAFETY: a type object that was just made; the allocator fills the object with zeros, which is a valid record.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_GenericAlloc(class.as_ptr().cast(), 0)) }.map(Bound::unbind)
}

fn records(buffer: &PyBuffer<u8>) -> PyResult<&[MaybeUninit<Record>]> {
    if !buffer.is_c_contiguous() || !buffer.len_bytes().is_multiple_of(size_of::<Record>()) {
        return Err(PyValueError::new_err("records are a contiguous buffer of 64-byte records, as bytes"));
    }
    let count = buffer.len_bytes() / size_of::<Record>();
    // SAFETY: the buffer is contiguous and lives as long as the slice; every pattern of bits is a record; numpy aligns to 8.
    Ok(unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast(), count) })
}

/// Hand every record of ``records`` (bytes of ``TICK_DTYPE``) to each of ``handlers``, in turn; returns how many.
#[pyfunction]
fn run(py: Python<'_>, records_: &Bound<'_, PyAny>, handlers: Vec<Bound<'_, PyAny>>) -> PyResult<usize> {
    let buffer = PyBuffer::<u8>::get(records_)?;
    let tick = new_tick(py)?;
    let object = tick.as_ptr();
    let records = records(&buffer)?;
    for record in records {
        // SAFETY: the object is ours, of the type with that layout; handlers only read it, and the GIL is held.
        unsafe { object.byte_add(RECORD).cast::<MaybeUninit<Record>>().write(*record) };
        for handler in &handlers {
            // SAFETY: both objects are alive; the answer is an owned reference or null.
            let answer = unsafe { ffi::PyObject_CallOneArg(handler.as_ptr(), object) };
            if answer.is_null() {
                return Err(PyErr::fetch(py));
            }
            // SAFETY: the call gave us this reference.
            unsafe { ffi::Py_DECREF(answer) };
        }
    }
    Ok(records.len())
}

#[pymodule(gil_used = true)]
fn _bench_base(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(run, m)?)
}
