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

/// What a look at an object says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// Nothing is known of it.
    Unknown,
    /// It has the type that it says, and the wire makes another of it: an int where a float is expected.
    Right,
    /// The wire gives back the same, and nobody can change it.
    Same,
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
        Ok(self.look(command)? != Look::Unknown)
    }

    /// Whether all fields surely are what the wire gives back for them, so that nothing is gained by another object.
    fn are_same(&self, command: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.look(command)? == Look::Same)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.iter().try_for_each(|field| {
            field.classes.iter().try_for_each(|class| visit.call(class))?;
            field.values.iter().try_for_each(|value| visit.call(value))
        })
    }
}

impl CommandFields {
    /// The least that is known of a field.
    pub fn look(&self, command: &Bound<'_, PyAny>) -> PyResult<Look> {
        let mut least = Look::Same;
        for field in &self.0 {
            least = least.min(field.look(&command.getattr(field.name.bind(command.py()))?));
            if least == Look::Unknown {
                break;
            }
        }
        Ok(least)
    }
}

impl Field {
    fn look(&self, value: &Bound<'_, PyAny>) -> Look {
        let plain = self.plain;
        let is_same = if let Ok(text) = value.cast_exact::<PyString>() {
            // One with half a surrogate is no text that could be sent.
            plain.str && text.to_str().is_ok() || self.is_named(value)
        } else if value.is_exact_instance_of::<PyFloat>() {
            plain.float
        } else if value.is_exact_instance_of::<PyInt>() {
            if !plain.int && plain.float && fits(value) {
                return Look::Right;
            }
            plain.int && fits(value)
        } else if value.is_exact_instance_of::<PyBool>() {
            plain.bool || self.is_named(value)
        } else if value.is_none() {
            plain.none
        } else if value.is_exact_instance_of::<PyBytes>() {
            plain.bytes
        } else {
            self.is_named(value)
        };
        if is_same { Look::Same } else { Look::Unknown }
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
