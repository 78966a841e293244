//! What ties a lane's two rings together.

#[path = "../../../core/src/lane/tie.rs"]
mod tie;

pub use tie::{FarEnd, NearEnd, Next, Shared, tie};
