//! Writing a tick file: streaming, in bounded memory, whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use twox_hash::{XxHash3_64, XxHash3_128};

use super::error::FileError;
use super::header::{HEADER_SIZE, Header};
use super::table::InstrumentTable;
use crate::tick::{OrderBy, Tick, as_bytes};

/// Records gathered before they are hashed and written: 256 KiB, which a core's cache holds beside what they are made of.
const BUFFERED: usize = 4_096;

/// Bytes after which the kernel is asked to begin to write them to the disk. Left to itself it begins at the final sync, which
/// took 50 to 80 ns a record, a third of an import of Parquet; asked every 4 or 8 MiB it leaves 5 to 18, every 32 MiB 32.
const WRITE_BACK: u64 = 8 << 20;

/// Tells temporary names of one process apart; relaxed, as it orders nothing.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Streams records into a temporary file beside `path` and puts it there at [`commit`](Self::commit).
///
/// Dropped without a commit, it removes what it wrote. A process killed in the middle leaves a hidden `.tmp` file and
/// never anything at `path`. The caller checks the records; the writer asserts only what the header depends on.
#[derive(Debug)]
pub struct TickFileWriter {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    buffer: Vec<Tick>,
    hasher: Box<Hasher>,
    header: Header,
    /// Where the next record goes.
    end: u64,
    /// Up to where the kernel was asked to begin to write.
    begun: u64,
    committed: bool,
}

struct Hasher(XxHash3_128);

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl TickFileWriter {
    /// Starts a file that will stand at `path`.
    pub fn create(path: &Path, order_by: OrderBy) -> Result<Self, FileError> {
        let temporary = temporary_beside(path)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(FileError::io(path, "write in its folder"))?;
        if let Err(error) = file.write_all(&[0; HEADER_SIZE]) {
            let _ = fs::remove_file(&temporary);
            return Err(FileError::io(path, "write")(error));
        }
        Ok(Self {
            path: path.to_owned(),
            temporary,
            file,
            buffer: Vec::with_capacity(BUFFERED),
            hasher: Box::new(Hasher(XxHash3_128::new())),
            header: Header { order_by, ..Header::default() },
            end: HEADER_SIZE as u64,
            begun: 0,
            committed: false,
        })
    }

    /// Where the file will stand.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Records taken so far.
    pub fn count(&self) -> u64 {
        self.header.count
    }

    /// Takes `ticks`, whose keys go on from the last one's.
    ///
    /// # Panics
    /// A key runs backwards: the caller has not checked.
    pub fn write(&mut self, ticks: &[Tick]) -> Result<(), FileError> {
        let (Some(first), Some(last)) = (ticks.first(), ticks.last()) else { return Ok(()) };
        let (first, last) = (first.key(self.header.order_by), last.key(self.header.order_by));
        if self.header.count == 0 {
            self.header.first_ns = first;
        }
        assert!(
            self.header.count == 0 || first >= self.header.last_ns,
            "records must be checked before they are written"
        );
        assert!(ticks.is_sorted_by_key(|tick| tick.key(self.header.order_by)), "records must be in order");
        self.header.last_ns = last;
        self.header.count += ticks.len() as u64;
        if self.buffer.len() + ticks.len() > BUFFERED {
            self.flush()?;
        }
        if ticks.len() >= BUFFERED {
            return self.put(ticks);
        }
        self.buffer.extend_from_slice(ticks);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FileError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.put(&buffer);
        buffer.clear();
        self.buffer = buffer;
        result
    }

    fn put(&mut self, ticks: &[Tick]) -> Result<(), FileError> {
        let bytes = as_bytes(ticks);
        self.hasher.0.write(bytes);
        self.file.write_all(bytes).map_err(FileError::io(&self.path, "write"))?;
        self.end += bytes.len() as u64;
        if self.end - self.begun >= WRITE_BACK {
            begin_write_back(&self.file, self.begun..self.end);
            self.begun = self.end;
        }
        Ok(())
    }

    /// Writes the table and the header, syncs, and renames: from now on the file is there, through a power cut too.
    pub fn commit(mut self, table: &InstrumentTable) -> Result<Header, FileError> {
        self.flush()?;
        let bytes = table.encode();
        self.header.checksum = self.hasher.0.finish_128();
        self.header.instruments = table.rows().len() as u32;
        self.header.table_size = u32::try_from(bytes.len()).expect("the table's limits keep it below 4 GiB");
        self.header.table_checksum = XxHash3_64::oneshot(&bytes);
        self.finish(&bytes).map_err(FileError::io(&self.path, "write"))?;
        fs::rename(&self.temporary, &self.path).map_err(FileError::io(&self.path, "replace"))?;
        self.committed = true;
        sync_folder(&self.path).map_err(FileError::io(&self.path, "sync the folder of"))?;
        Ok(self.header.clone())
    }

    fn finish(&mut self, table: &[u8]) -> std::io::Result<()> {
        self.file.write_all(table)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&self.header.encode())?;
        self.file.sync_all()
    }
}

impl Drop for TickFileWriter {
    fn drop(&mut self) {
        if !self.committed {
            // Nobody can be told of a failure here, and a leftover is hidden and harms nothing.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Asks the kernel to begin to write `range` to the disk, without waiting for it.
#[cfg(target_os = "linux")]
fn begin_write_back(file: &File, range: Range<u64>) {
    let (from, length) = (range.start.cast_signed(), (range.end - range.start).cast_signed());
    // SAFETY: the descriptor is open as long as `file` is, and the call touches no memory of ours. A file system that
    // cannot do it says so; what goes wrong on the disk, the sync at the end tells.
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), from, length, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Elsewhere the final sync writes all.
#[cfg(not(target_os = "linux"))]
fn begin_write_back(_: &File, _: Range<u64>) {}

fn temporary_beside(path: &Path) -> Result<PathBuf, FileError> {
    let name = path.file_name().filter(|_| !path.is_dir());
    let Some(name) = name else {
        let source = std::io::Error::from(std::io::ErrorKind::IsADirectory);
        return Err(FileError::Io { path: path.to_owned(), action: "write", source });
    };
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}-{}.tmp", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    Ok(path.with_file_name(hidden))
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
