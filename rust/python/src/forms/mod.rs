//! The forms in which a strategy takes its ticks, beside the plain handlers.

pub mod compiled;
mod dry_run;
pub mod generator;
