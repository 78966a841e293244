//! The native core of tickrail: records, sources, the dispatch loop, timers and the simulated venue.
//!
//! Knows no Python. One dispatch thread owns everything that strategies touch; the loop is generic over a host that
//! calls the handlers, so that Rust strategies and the Python binding share it.
//!
//! Reading order: [`tick`] (the record), [`source`] (what hands slices of records to the loop), [`order`] (feeds merged
//! into one), [`ring`] (records from another thread), [`clock`] and [`timer`] (time in a simulation), [`stop`] (how a run
//! is told to stop).

pub mod block;
pub mod clock;
pub mod instrument;
pub mod order;
pub mod ring;
pub mod source;
pub mod stop;
mod sync;
pub mod tick;
pub mod timer;

pub use block::TickBlock;
pub use instrument::InstrumentInfo;
pub use tick::{Kind, Side, Tick};
