//! What can be wrong with a tick file.

use std::io;
use std::path::{Path, PathBuf};

/// Why a tick file could not be read or written; each names the file.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The refusal.
        source: io::Error,
    },
    /// Other bytes where the magic number should be.
    #[error("{}: not a tick file (it starts with {found})", path.display())]
    NotATickFile {
        /// The file.
        path: PathBuf,
        /// Its first bytes, for people.
        found: String,
    },
    /// The file is of a machine with the other byte order.
    #[error("{}: written in big-endian byte order; tick files are little-endian", path.display())]
    ForeignByteOrder {
        /// The file.
        path: PathBuf,
    },
    /// A version that this build does not read.
    #[error("{}: {what} {found}; this tickrail reads {what} {expected}", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Which of the versions.
        what: &'static str,
        /// The file's.
        found: u16,
        /// Ours.
        expected: u16,
    },
    /// Shorter or longer than its header says.
    #[error("{}: {found} bytes long, but its header asks for {expected}", path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Bytes there are.
        found: u64,
        /// Bytes there should be.
        expected: u64,
    },
    /// The header or the instrument table does not match its checksum, or contradicts itself.
    #[error("{}: damaged header: {reason}", path.display())]
    HeaderDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        reason: String,
    },
    /// The records do not match their checksum or contradict the header.
    #[error("{}: damaged records: {reason}", path.display())]
    RecordsDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong in them.
        reason: String,
    },
    /// The writer was committed or aborted before.
    #[error("{}: the writer is closed", path.display())]
    Closed {
        /// The file it wrote.
        path: PathBuf,
    },
}

impl FileError {
    /// Wraps a refusal of the operating system.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }

    /// The file that the error is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::NotATickFile { path, .. }
            | Self::ForeignByteOrder { path }
            | Self::OtherVersion { path, .. }
            | Self::WrongSize { path, .. }
            | Self::HeaderDamaged { path, .. }
            | Self::RecordsDamaged { path, .. }
            | Self::Closed { path } => path,
        }
    }

    /// The problem in one word, for programs.
    pub fn problem(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::NotATickFile { .. } => "not_a_tick_file",
            Self::ForeignByteOrder { .. } => "foreign_byte_order",
            Self::OtherVersion { .. } => "other_version",
            Self::WrongSize { found, expected, .. } if found < expected => "truncated",
            Self::WrongSize { .. } => "too_long",
            Self::HeaderDamaged { .. } => "header_damaged",
            Self::RecordsDamaged { .. } => "records_damaged",
            Self::Closed { .. } => "closed",
        }
    }
}
