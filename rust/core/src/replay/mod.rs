//! The order that a live run took, kept and run again.
//!
//! The loop writes what it takes to an observer ring: an [`Entry`] for each slice, its records behind it. A [`Recorder`]
//! on another thread makes a [`Recording`] of that, and a [`Replay`] is a source that brings the same records in the same
//! slices at the same times, so that the run's decisions and its digest come out again.
//!
//! Reading order: [`Entry`], [`Recorder`], [`Recording`], [`Replay`].

mod entry;
mod recorder;
mod recording;
mod source;

pub use entry::{ENTRY_KIND, Entry, Mark};
pub use recorder::Recorder;
pub use recording::{Recording, RecordingError};
pub use source::Replay;
