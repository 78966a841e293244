//! The keywords of `buy` and `sell` as terms of an order.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt};
use tickrail_core::venue::{Terms, TimeInForce};

use crate::errors::hinted;

/// Units of an instrument; `True` is no number of units, though Python counts it as 1.
#[derive(Clone, Copy)]
pub struct Quantity(pub f64);

impl<'py> FromPyObject<'_, 'py> for Quantity {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if value.is_exact_instance_of::<PyBool>() {
            return Err(PyTypeError::new_err(format!("a quantity is a number, not {}", value.repr()?)));
        }
        value.extract().map(Self)
    }
}

/// The number of an order within its strategy; what can be none is refused as one that there is not.
#[derive(Clone, Copy)]
pub struct OrderNumber(pub u32);

impl<'py> FromPyObject<'_, 'py> for OrderNumber {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if value.is_exact_instance_of::<PyBool>() {
            return Err(PyTypeError::new_err(format!("an order is named by its number, not {}", value.repr()?)));
        }
        value.extract().map(Self).map_err(|error| match value.is_instance_of::<PyInt>() {
            true => hinted(
                value.py(),
                "OrderRefused",
                &format!("there is no order number {}", *value),
                "buy(), sell() and target() return the number of the order",
            ),
            false => error,
        })
    }
}

/// When an order expires; what 64 bits do not hold is refused by name.
#[derive(Clone, Copy)]
pub struct ExpiresNs(pub i64);

impl<'py> FromPyObject<'_, 'py> for ExpiresNs {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        value.extract().map(Self).map_err(|error: PyErr| match value.is_instance_of::<PyInt>() {
            true => hinted(
                value.py(),
                "OrderRefused",
                &format!("expires_ns is {}: expected ns since 1970, UTC, before the year 2262", *value),
                "leave it out for an order that stands until it is done",
            ),
            false => error,
        })
    }
}

/// What an order may say beside instrument and quantity.
#[derive(Clone, Copy)]
pub struct Keywords<'a> {
    /// Worst price.
    pub limit: Option<f64>,
    /// Price that wakes it.
    pub stop: Option<f64>,
    /// How long it stands.
    pub time_in_force: Option<&'a str>,
    /// When it expires, ns UTC.
    pub expires_ns: Option<i64>,
    /// It wants to wait.
    pub post_only: bool,
    /// Never more than brings the position to zero.
    pub reduce_only: bool,
}

impl Keywords<'_> {
    /// The terms; a price that is given as NaN is refused like any other that is none.
    pub fn terms(&self, py: Python<'_>) -> PyResult<Terms> {
        for (name, price) in [("limit", self.limit), ("stop", self.stop)] {
            if price.is_some_and(f64::is_nan) {
                let message = format!("{name} is nan: expected a price");
                return Err(hinted(py, "OrderRefused", &message, "leave it out for an order without one"));
            }
        }
        let time_in_force = match (self.time_in_force, self.expires_ns) {
            (None, None) => TimeInForce::Gtc,
            (None, Some(_)) => TimeInForce::Gtd,
            (Some(name), _) => TimeInForce::named(name).ok_or_else(|| {
                let message =
                    format!("time_in_force is {name:?}: expected \"GTC\", \"IOC\", \"FOK\", \"DAY\" or \"GTD\"");
                hinted(py, "OrderRefused", &message, "GTD follows from expires_ns alone")
            })?,
        };
        Ok(Terms {
            time_in_force,
            post_only: self.post_only,
            reduce_only: self.reduce_only,
            expires_ns: self.expires_ns.unwrap_or(i64::MAX),
            ..Terms::priced(self.limit.unwrap_or(f64::NAN), self.stop.unwrap_or(f64::NAN))
        })
    }
}
