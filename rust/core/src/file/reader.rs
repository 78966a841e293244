//! Reading a tick file by mapping it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use twox_hash::{XxHash3_64, XxHash3_128};

use super::error::FileError;
use super::header::{HEADER_SIZE, Header};
use super::table::InstrumentTable;
use crate::block::TickBlock;
use crate::instrument::InstrumentInfo;
use crate::tick::{Kind, Tick, as_bytes};

/// A mapped tick file whose frame is sound; [`verify`](Self::verify) looks at the records as well.
#[derive(Debug)]
pub struct OpenedFile {
    /// Where it was opened.
    pub path: PathBuf,
    /// What it says of itself.
    pub header: Header,
    /// Its instrument table.
    pub instruments: Arc<[InstrumentInfo]>,
    /// Its records.
    pub block: TickBlock,
}

/// Maps the tick file at `path` and checks all of its frame: the cost does not grow with the records.
///
/// The file must not be changed while it is mapped. [`super::TickFileWriter`] never does: it replaces files as a whole,
/// and whoever mapped the old one keeps it.
pub fn open(path: &Path) -> Result<OpenedFile, FileError> {
    let file = File::open(path).map_err(FileError::io(path, "open"))?;
    let facts = file.metadata().map_err(FileError::io(path, "open"))?;
    if facts.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::IsADirectory);
        return Err(FileError::Io { path: path.to_owned(), action: "open", source });
    }
    if facts.len() == 0 {
        return Err(Header::decode(&[], path).expect_err("nothing is no header"));
    }
    // SAFETY: the mapping is read-only and private to this process; that nobody changes the file under it is the
    // documented condition of tick files, which our own writer keeps by renaming.
    let map = unsafe { Mmap::map(&file) }.map_err(FileError::io(path, "map"))?;
    let header = Header::decode(&map, path)?;
    let expected = header.file_size().unwrap_or(u64::MAX);
    if map.len() as u64 != expected {
        return Err(FileError::WrongSize { path: path.to_owned(), found: map.len() as u64, expected });
    }
    let instruments = read_table(&map, &header, path)?;
    let block = records_of(map, header.count as usize);
    Ok(OpenedFile { path: path.to_owned(), header, instruments, block })
}

fn read_table(map: &[u8], header: &Header, path: &Path) -> Result<Arc<[InstrumentInfo]>, FileError> {
    let damaged = |reason: String| FileError::HeaderDamaged { path: path.to_owned(), reason };
    let table = &map[map.len() - header.table_size as usize..];
    if XxHash3_64::oneshot(table) != header.table_checksum {
        return Err(damaged("the instrument table does not match its checksum".to_owned()));
    }
    InstrumentTable::decode(table, header.instruments).map(Into::into).map_err(damaged)
}

fn records_of(map: Mmap, count: usize) -> TickBlock {
    let start = map[HEADER_SIZE..].as_ptr().cast::<Tick>();
    // SAFETY: mappings start on a page and HEADER_SIZE is a multiple of 64; the file is long enough (checked by the
    // caller); a read-only mapping stays where it is while its owner lives.
    unsafe { TickBlock::from_raw_parts(start, count, Arc::new(map)) }
}

impl OpenedFile {
    /// Reads every record: checksum, order, first and last time, kinds and instruments.
    pub fn verify(&self) -> Result<(), FileError> {
        let ticks = self.block.as_slice();
        let damaged = |reason: String| FileError::RecordsDamaged { path: self.path.clone(), reason };
        if fingerprint(ticks) != self.header.checksum {
            return Err(damaged("they do not match their checksum".to_owned()));
        }
        let mut last = i64::MIN;
        for (row, tick) in ticks.iter().enumerate() {
            let key = tick.key(self.header.order_by);
            if key < last {
                return Err(damaged(format!("record {row} has {} {key} after {last}", self.header.order_by.name())));
            }
            if Kind::from_code(tick.kind).is_none() || tick.instrument as usize >= self.instruments.len() {
                return Err(damaged(format!("record {row} has kind {}, instrument {}", tick.kind, tick.instrument)));
            }
            last = key;
        }
        let ends = ticks.first().zip(ticks.last());
        let (first, last) = ends.map_or((0, 0), |(a, b)| (a.key(self.header.order_by), b.key(self.header.order_by)));
        if (first, last) != (self.header.first_ns, self.header.last_ns) {
            return Err(damaged("their first and last times are not the header's".to_owned()));
        }
        Ok(())
    }
}

/// XXH3-128 over the bytes of `ticks`: what the header of a file of exactly these records holds.
pub fn fingerprint(ticks: &[Tick]) -> u128 {
    XxHash3_128::oneshot(as_bytes(ticks))
}
