//! The native core of tickrail: records, sources, the dispatch loop, timers and the simulated venue.
//!
//! Knows no Python. One dispatch thread owns everything that strategies touch; the loop is generic over a host that
//! calls the handlers, so that Rust strategies and the Python binding share it.
//!
//! Reading order: [`tick`] (the record), [`source`] (what hands slices of records to the loop), [`order`] (feeds merged
//! into one), [`ring`] (records from another thread), [`feed`] (rings, rules and accounts of a live run), [`messages`] (texts of market streams as records), [`file`], [`check`] and [`generate`] (records on disk, their rules,
//! and made ones), [`clock`] and [`timer`] (time in a simulation), [`venue`] (orders and what they make), [`lifecycle`],
//! [`dispatch`] (the loop that brings them together), [`replay`] (a live run's order, kept and run again), [`handler`] (strategies in machine code), [`lane`] (such a strategy on a thread of its own), [`stop`] (how it is told to stop), [`command`] (what others tell it), [`trading`] (the gate that orders pass), [`control`] (an operator's socket), [`digest`] (one number for a
//! whole run).

pub mod block;
pub mod check;
pub mod clock;
pub mod command;
pub mod control;
pub mod csv;
pub mod digest;
pub mod dispatch;
pub mod feed;
pub mod file;
pub mod generate;
pub mod handler;
pub mod histogram;
pub mod instrument;
pub mod kept;
pub mod lane;
pub mod lifecycle;
pub mod messages;
pub mod order;
pub mod pages;
mod prefetch;
pub mod replay;
pub mod ring;
pub mod risk;
pub mod source;
pub mod stop;
#[cfg_attr(shuttle, path = "../../models/schedules/src/sync.rs")]
mod sync;
pub mod threads;
pub mod tick;
pub mod timer;
pub mod trading;
pub mod venue;

pub use block::TickBlock;
pub use instrument::InstrumentInfo;
pub use tick::{Kind, Side, Tick};
