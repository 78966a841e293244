//! The 128 bytes before the records.

use std::path::Path;

use twox_hash::XxHash3_64;

use super::error::FileError;
use crate::tick::{LAYOUT_VERSION, OrderBy, TICK_SIZE};

/// The first eight bytes. As in PNG, a byte above 127 and a CR LF show up transfers that took the file for text.
pub const MAGIC: [u8; 8] = *b"\x89TICKS\r\n";
/// Version of the file's frame; the record has its own, [`LAYOUT_VERSION`].
pub const FORMAT_VERSION: u16 = 1;
/// Bytes before the first record; a multiple of 64, so that records of a mapped file lie on cache lines.
pub const HEADER_SIZE: usize = 128;

const BYTE_ORDER_MARK: u16 = 0x0102;
const CHECKED: usize = 120;

/// What a tick file says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// Which time never decreases.
    pub order_by: OrderBy,
    /// Records.
    pub count: u64,
    /// The first record's key; 0 where there is none.
    pub first_ns: i64,
    /// The last record's key; 0 where there is none.
    pub last_ns: i64,
    /// XXH3-128 of the records.
    pub checksum: u128,
    /// Rows of the instrument table.
    pub instruments: u32,
    /// Bytes of the instrument table.
    pub table_size: u32,
    /// XXH3-64 of the instrument table.
    pub table_checksum: u64,
}

impl Header {
    /// Length of the whole file, or `None` where no file can be that long.
    pub fn file_size(&self) -> Option<u64> {
        self.count.checked_mul(TICK_SIZE as u64)?.checked_add(HEADER_SIZE as u64 + u64::from(self.table_size))
    }

    /// The bytes that stand in the file.
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0_u8; HEADER_SIZE];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, &MAGIC);
        put(8, &BYTE_ORDER_MARK.to_le_bytes());
        put(10, &FORMAT_VERSION.to_le_bytes());
        put(12, &LAYOUT_VERSION.to_le_bytes());
        put(14, &(TICK_SIZE as u16).to_le_bytes());
        put(16, &(HEADER_SIZE as u32).to_le_bytes());
        put(20, &[self.order_by as u8]);
        put(24, &self.count.to_le_bytes());
        put(32, &self.first_ns.to_le_bytes());
        put(40, &self.last_ns.to_le_bytes());
        put(48, &self.checksum.to_le_bytes());
        put(64, &self.instruments.to_le_bytes());
        put(68, &self.table_size.to_le_bytes());
        put(72, &self.table_checksum.to_le_bytes());
        let seal = XxHash3_64::oneshot(&bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&seal.to_le_bytes());
        bytes
    }

    /// Reads the start of a file and checks all that can be checked without the rest; `path` is for messages.
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self, FileError> {
        check_magic(bytes, path)?;
        let Some(bytes) = bytes.first_chunk::<HEADER_SIZE>() else {
            let (found, expected) = (bytes.len() as u64, HEADER_SIZE as u64);
            return Err(FileError::WrongSize { path: path.to_owned(), found, expected });
        };
        check_versions(bytes, path)?;
        let damaged = |reason: &str| FileError::HeaderDamaged { path: path.to_owned(), reason: reason.to_owned() };
        if u64_at(bytes, CHECKED) != XxHash3_64::oneshot(&bytes[..CHECKED]) {
            return Err(damaged("its bytes do not match their checksum"));
        }
        let order_by = match bytes[20] {
            0 => OrderBy::TsEvent,
            1 => OrderBy::TsInit,
            _ => return Err(damaged("it names an unknown order key")),
        };
        let header = Self {
            order_by,
            count: u64_at(bytes, 24),
            first_ns: u64_at(bytes, 32) as i64,
            last_ns: u64_at(bytes, 40) as i64,
            checksum: u128::from_le_bytes(part(bytes, 48)),
            instruments: u32::from_le_bytes(part(bytes, 64)),
            table_size: u32::from_le_bytes(part(bytes, 68)),
            table_checksum: u64_at(bytes, 72),
        };
        if header.first_ns > header.last_ns {
            return Err(damaged("its first time lies after its last"));
        }
        Ok(header)
    }
}

fn check_magic(bytes: &[u8], path: &Path) -> Result<(), FileError> {
    if bytes.is_empty() {
        return Err(FileError::NotATickFile { path: path.to_owned(), found: "nothing: it is empty".to_owned() });
    }
    let start = &bytes[..bytes.len().min(MAGIC.len())];
    if MAGIC.starts_with(start) {
        return Ok(());
    }
    Err(FileError::NotATickFile { path: path.to_owned(), found: format!("\"{}\"", start.escape_ascii()) })
}

fn check_versions(bytes: &[u8; HEADER_SIZE], path: &Path) -> Result<(), FileError> {
    let mark = u16_at(bytes, 8);
    if mark == BYTE_ORDER_MARK.swap_bytes() {
        return Err(FileError::ForeignByteOrder { path: path.to_owned() });
    }
    let checks = [
        ("byte order mark", mark, BYTE_ORDER_MARK),
        ("tick file format", u16_at(bytes, 10), FORMAT_VERSION),
        ("record layout", u16_at(bytes, 12), LAYOUT_VERSION),
        ("record size", u16_at(bytes, 14), TICK_SIZE as u16),
    ];
    match checks.into_iter().find(|(_, found, expected)| found != expected) {
        Some((what, found, expected)) => Err(FileError::OtherVersion { path: path.to_owned(), what, found, expected }),
        None => Ok(()),
    }
}

fn part<const N: usize>(bytes: &[u8; HEADER_SIZE], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}

fn u16_at(bytes: &[u8; HEADER_SIZE], at: usize) -> u16 {
    u16::from_le_bytes(part(bytes, at))
}

fn u64_at(bytes: &[u8; HEADER_SIZE], at: usize) -> u64 {
    u64::from_le_bytes(part(bytes, at))
}
