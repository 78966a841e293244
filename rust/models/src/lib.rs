//! The lock-free sources of tickrail-core, as they are, over loom's primitives in the place of std's.
//!
//! The files are included by path; only [`sync`] and the bed that a waker sleeps in are other ones. The models are in
//! `tests/`.
#![allow(dead_code, reason = "the models use a part of what the sources offer")]

pub use tickrail_core::{source, tick};

pub mod aged;
pub mod command;
pub mod feed;
pub mod lane;
#[path = "../../core/src/ring/mod.rs"]
pub mod ring;
pub mod stop;
mod sync;
