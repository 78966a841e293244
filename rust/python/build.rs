//! Hands the compiler's version to `build_info`, and the interpreter's to conditions such as `Py_3_14`.

use std::process::Command;

#[expect(clippy::disallowed_macros, clippy::disallowed_methods, reason = "this is how a build script speaks to cargo")]
fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let said = Command::new(rustc).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&said);
    println!("cargo::rustc-env=TICKRAIL_RUSTC={}", version.trim());
    println!("cargo::rerun-if-changed=build.rs");
}
