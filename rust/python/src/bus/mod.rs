//! The command bus where it is hot: what every command costs, whoever sends it. What is rare is Python's.
//!
//! Bus, routes, refusals and dead letters are `tickrail.orchestration.command_bus`; measured, a Python frame, a lock or an
//! object more a command was what kept `post` at a fifth of its rate (docs/decisions/0079).

mod core;
mod envelope;
mod fields;
mod outside;
mod plan;
mod receipt;
mod trace;
mod within;

use pyo3::prelude::*;

pub use self::core::CommandBusCore;
pub use envelope::Envelope;
pub use outside::is_outside;

/// Adds the classes to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<core::CommandBusCore>()?;
    m.add_class::<envelope::Envelope>()?;
    m.add_class::<fields::CommandFields>()?;
    m.add_class::<plan::CommandPlan>()?;
    m.add_class::<receipt::Receipt>()?;
    m.add_class::<trace::Trace>()?;
    m.add_function(wrap_pyfunction!(outside::call_outside, m)?)
}
