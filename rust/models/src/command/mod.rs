//! The command lanes.

#[path = "../../../core/src/command/inbox.rs"]
mod inbox;
#[path = "../../../core/src/command/lanes.rs"]
mod lanes;

pub use inbox::Inbox;
pub use lanes::{Lane, LaneSettings, Sender, lanes};
