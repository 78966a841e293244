//! The native core of tickrail: records, sources, the dispatch loop, timers and the simulated venue.
//!
//! Knows no Python. One dispatch thread owns everything that strategies touch; the loop is generic over a host that
//! calls the handlers, so that Rust strategies and the Python binding share it.
//!
//! Reading order: [`tick`] (the record), [`source`] (what hands slices of records to the loop).

pub mod block;
pub mod check;
pub mod file;
pub mod generate;
pub mod instrument;
pub mod source;
pub mod tick;

pub use block::TickBlock;
pub use instrument::InstrumentInfo;
pub use tick::{Kind, Side, Tick};
