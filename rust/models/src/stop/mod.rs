//! The flag, and the waker, over a futex that loom can see.

#[path = "../../../core/src/stop/flag.rs"]
mod flag;
mod futex;
#[path = "../../../core/src/stop/waker.rs"]
mod waker;

pub use flag::StopFlag;
pub(crate) use flag::{CONTROL, OTHERS};
pub use waker::{MAX_SLICE, WakeReason, Waker};
