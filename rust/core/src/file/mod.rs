//! Tick files: a header of 128 bytes, the records as they stand in memory, and the instrument table.
//!
//! The layout, byte by byte, is in `docs/reference/tick-file.md`. A file is written under another name and renamed when
//! it is whole; it is read by mapping it.

mod error;
mod header;
mod intake;
mod reader;
mod table;
mod writer;

pub use error::FileError;
pub use header::{FORMAT_VERSION, HEADER_SIZE, Header, MAGIC};
pub use intake::{Intake, IntakeError, OnBad, RecordSink};
pub use reader::{OpenedFile, fingerprint, open};
pub use table::{InstrumentTable, MAX_INSTRUMENTS, TableError};
pub use writer::TickFileWriter;

#[cfg(test)]
mod tests;
