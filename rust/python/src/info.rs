//! How this module was built.

use std::collections::BTreeMap;

use pyo3::prelude::*;

/// Facts of the build: version, profile, target, panic strategy, compiler.
#[pyfunction]
fn build_info() -> BTreeMap<&'static str, String> {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let panic = if cfg!(panic = "unwind") { "unwind" } else { "abort" };
    BTreeMap::from([
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("profile", profile.to_owned()),
        ("target", target),
        ("panic", panic.to_owned()),
        ("rustc", env!("TICKRAIL_RUSTC").to_owned()),
        ("record_layout", tickrail_core::tick::LAYOUT_VERSION.to_string()),
    ])
}

/// Adds the function to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(build_info, m)?)
}
