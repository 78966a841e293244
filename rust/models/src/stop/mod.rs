//! The waker, over a futex that loom can see.

mod futex;
#[path = "../../../core/src/stop/waker.rs"]
mod waker;

pub use waker::{MAX_SLICE, WakeReason, Waker};
