//! Whether the fields of a command have the types that they say, without a way over the wire.

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyType};

/// What is plain enough to be told by its class alone, as `plain` names it.
#[derive(Clone, Copy, Default)]
struct Plain {
    int: bool,
    float: bool,
    str: bool,
    bytes: bool,
    bool: bool,
    none: bool,
}

struct Field {
    name: Py<PyString>,
    plain: Plain,
    /// Classes whose objects all can be sent: of enumerations.
    classes: Vec<Py<PyType>>,
    /// Single values, by identity.
    values: Vec<Py<PyAny>>,
}

/// The fields of a command type, as far as they can be looked at natively.
///
/// It never says that a wrong field is right; of what is not plain it says that it does not know.
#[pyclass(frozen, module = "tickrail._native")]
pub struct CommandFields(Vec<Field>);

#[pymethods]
impl CommandFields {
    /// Of each field its name, the plain classes that it may have (``int``, ``float``, ``str``, ``bytes``, ``bool``,
    /// ``None``), other classes, and single values.
    #[new]
    #[expect(clippy::type_complexity, reason = "rows, which have no name of their own")]
    fn new(fields: Vec<(Py<PyString>, Vec<String>, Vec<Py<PyType>>, Vec<Py<PyAny>>)>) -> PyResult<Self> {
        let fields = fields
            .into_iter()
            .map(|(name, plain, classes, values)| Ok(Field { name, plain: plain_of(&plain)?, classes, values }));
        fields.collect::<PyResult<_>>().map(Self)
    }

    /// Whether all fields surely have the types that they say.
    fn __call__(&self, command: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.surely_hold(command)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.iter().try_for_each(|field| {
            field.classes.iter().try_for_each(|class| visit.call(class))?;
            field.values.iter().try_for_each(|value| visit.call(value))
        })
    }
}

impl CommandFields {
    /// See `__call__`.
    pub fn surely_hold(&self, command: &Bound<'_, PyAny>) -> PyResult<bool> {
        for field in &self.0 {
            if !field.surely_holds(&command.getattr(field.name.bind(command.py()))?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Field {
    fn surely_holds(&self, value: &Bound<'_, PyAny>) -> bool {
        let plain = self.plain;
        if let Ok(text) = value.cast_exact::<PyString>() {
            // One with half a surrogate is no text that could be sent.
            plain.str && text.to_str().is_ok() || self.is_named(value)
        } else if value.is_exact_instance_of::<PyFloat>() {
            plain.float
        } else if value.is_exact_instance_of::<PyInt>() {
            (plain.int || plain.float) && fits(value)
        } else if value.is_exact_instance_of::<PyBool>() {
            plain.bool || self.is_named(value)
        } else if value.is_none() {
            plain.none
        } else if value.is_exact_instance_of::<PyBytes>() {
            plain.bytes
        } else {
            self.is_named(value)
        }
    }

    fn is_named(&self, value: &Bound<'_, PyAny>) -> bool {
        self.values.iter().any(|known| known.is(value))
            || self.classes.iter().any(|class| value.get_type().is(class.bind(value.py())))
    }
}

/// Whether the wire has an integer of that size.
fn fits(value: &Bound<'_, PyAny>) -> bool {
    let mut overflow = 0;
    // SAFETY: an exact int, which raises nothing here.
    unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
    overflow == 0
}

fn plain_of(names: &[String]) -> PyResult<Plain> {
    let mut plain = Plain::default();
    for name in names {
        let place = match name.as_str() {
            "int" => &mut plain.int,
            "float" => &mut plain.float,
            "str" => &mut plain.str,
            "bytes" => &mut plain.bytes,
            "bool" => &mut plain.bool,
            "None" => &mut plain.none,
            _ => return Err(PyValueError::new_err(format!("{name} is no plain class"))),
        };
        *place = true;
    }
    Ok(plain)
}
