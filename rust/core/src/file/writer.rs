//! Writing a tick file: streaming, in bounded memory, whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use twox_hash::{XxHash3_64, XxHash3_128};

use super::error::FileError;
use super::header::{HEADER_SIZE, Header};
use super::table::InstrumentTable;
use crate::tick::{OrderBy, Tick, as_bytes};

/// Records gathered before they are hashed and written: 256 KiB, which a core's cache holds beside what they are made of.
const BUFFERED: usize = 4_096;

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
        self.file.write_all(bytes).map_err(FileError::io(&self.path, "write"))
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
