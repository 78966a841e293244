//! The forms in which a strategy takes its ticks, beside the plain handlers.

pub mod generator;
