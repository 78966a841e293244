//! The gate on disk: a process that starts again stays halted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use thiserror::Error;

use super::{Kept, Trading, TradingGate};

/// Longest reason that is kept, in characters.
const MAX_REASON: usize = 500;
/// How long another process may write before it is taken for one that hangs: a halt is not to wait for that.
const LOCK_PAUSE: Duration = Duration::from_millis(2);
const LOCK_LOOKS: u32 = 250;
const HEADER: &str = "tickrail trading 1";

/// Why the state cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GateFileError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file says something else than a state; nobody may trade on a guess.
    #[error("{} is no trading state of this version; look at it, and remove it to trade again", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

/// What a request changes of what is kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Orders are stopped as the gate says, for its reason. Never weakens what is kept.
    Halted,
    /// Orders leave again: nothing else takes a halt away.
    Resumed {
        /// Why.
        reason: String,
    },
    /// Limits were set.
    Limits {
        /// The largest quantity of one order, where that was set; infinite: any.
        max_order_quantity: Option<f64>,
        /// By table and key; infinite: none.
        limits: BTreeMap<(String, String), f64>,
    },
}

/// Where the state of a gate is kept. Replaced whole and synced, so that a crash leaves the old state or the new one.
#[derive(Debug)]
pub struct GateFile {
    path: PathBuf,
    /// One writer at a time.
    writing: Mutex<()>,
}

impl GateFile {
    /// The file at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), writing: Mutex::new(()) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets `gate` to what is kept; a missing file changes nothing. Limits that were kept are the caller's to set.
    ///
    /// # Errors
    /// The file cannot be read, or does not say what it should; the gate is halted then.
    pub fn load(&self, gate: &TradingGate) -> Result<(), GateFileError> {
        let found = self.read().inspect_err(|_| gate.set(Trading::Halted))?;
        if let Some(Whole { state, max_order_quantity, kept }) = found {
            gate.set_max_order_quantity(max_order_quantity);
            gate.keep(|now| *now = kept);
            gate.set(state);
        }
        Ok(())
    }

    /// Keeps `change`; everything else stays as it is on disk, where another run of the environment may have put it.
    ///
    /// # Errors
    /// The file system refused, or another process is writing and does not end; the old state stands.
    pub fn save(&self, gate: &TradingGate, change: &Change) -> Result<(), GateFileError> {
        let _one = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _alone = self.alone().map_err(|source| self.io(source))?;
        let mut whole = match (self.read(), change) {
            (Ok(found), _) => found.unwrap_or_default(),
            // A halt is written over whatever stands there, and trading that is resumed over what nobody can read.
            (Err(_), Change::Halted) | (Err(GateFileError::Damaged { .. }), Change::Resumed { .. }) => Whole::of(gate),
            (Err(error), _) => return Err(error),
        };
        whole.change(gate, change);
        self.replace(whole.text().as_bytes()).map_err(|source| self.io(source))
    }

    fn read(&self) -> Result<Option<Whole>, GateFileError> {
        match fs::read_to_string(&self.path) {
            Ok(text) => parse(&text).map(Some).ok_or_else(|| GateFileError::Damaged { path: self.path.clone() }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) if matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::IsADirectory) => {
                Err(GateFileError::Damaged { path: self.path.clone() })
            }
            Err(source) => Err(self.io(source)),
        }
    }

    /// Until the handle is dropped no other process changes what is kept. On the folder, which outlives the file's
    /// replacement; a file system that knows no locks gives none.
    #[expect(clippy::disallowed_methods, reason = "a lock of the system wakes nobody; off the decision path")]
    fn alone(&self) -> io::Result<Option<File>> {
        let Some(folder) = self.path.parent() else { return Ok(None) };
        // With the first change, so that a run that changes nothing leaves nothing. As private as the socket beside it.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let folder = File::open(folder)?;
        for _ in 0..LOCK_LOOKS {
            match try_lock(&folder) {
                Ok(()) => return Ok(Some(folder)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(LOCK_PAUSE),
                Err(_) => return Ok(None),
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "another process writes the state of trading, and does not end"))
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        // Where there are no locks, another process of this environment may be writing too.
        let beside = self.path.with_extension(format!("{}.new", std::process::id()));
        let written = write_synced(&beside, bytes).and_then(|()| fs::rename(&beside, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written?;
        // The name too has to outlive a crash.
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    fn io(&self, source: io::Error) -> GateFileError {
        GateFileError::Io { path: self.path.clone(), source }
    }
}

/// Takes the file's lock, which ends with the handle, or says that somebody else has it.
fn try_lock(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is that of `file`, which is open; no memory is handed over.
    match unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// All that the file says.
struct Whole {
    state: Trading,
    max_order_quantity: f64,
    kept: Kept,
}

impl Default for Whole {
    fn default() -> Self {
        Self { state: Trading::Active, max_order_quantity: f64::INFINITY, kept: Kept::default() }
    }
}

impl Whole {
    fn of(gate: &TradingGate) -> Self {
        Self { state: gate.state(), max_order_quantity: gate.max_order_quantity(), kept: gate.kept() }
    }

    fn change(&mut self, gate: &TradingGate, change: &Change) {
        match change {
            Change::Halted => {
                let (state, reason) = (gate.state(), gate.kept().reason);
                // What another run has halted stays halted, for the reason that was said.
                if state as u8 > self.state as u8 || (state == self.state && !reason.is_empty()) {
                    (self.state, self.kept.reason) = (state, reason);
                }
            }
            Change::Resumed { reason } => {
                (self.state, self.kept.reason) = (Trading::Active, reason.clone());
            }
            Change::Limits { max_order_quantity, limits } => {
                self.max_order_quantity = max_order_quantity.unwrap_or(self.max_order_quantity);
                self.kept.limits.extend(limits.clone());
            }
        }
    }

    fn text(&self) -> String {
        let reason: String = self.kept.reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
        let (state, limit) = (self.state.name(), self.max_order_quantity);
        let mut text = format!("{HEADER}\nstate {state}\nmax_order_quantity {limit}\nreason {reason}\n");
        for ((table, key), value) in &self.kept.limits {
            // A name may have whatever a key of TOML may have.
            let _ = writeln!(text, "limit {key} {value} {}", serde_json::Value::from(table.as_str()));
        }
        text
    }
}

fn parse(text: &str) -> Option<Whole> {
    let mut lines = text.lines();
    (lines.next()? == HEADER).then_some(())?;
    let state = Trading::from_name(lines.next()?.strip_prefix("state ")?)?;
    let max_order_quantity: f64 = lines.next()?.strip_prefix("max_order_quantity ")?.parse().ok()?;
    let reason = lines.next()?.strip_prefix("reason ")?.to_owned();
    let limits = lines.map(parse_limit).collect::<Option<_>>()?;
    (max_order_quantity > 0.0).then_some(Whole { state, max_order_quantity, kept: Kept { reason, limits } })
}

fn parse_limit(line: &str) -> Option<((String, String), f64)> {
    let mut words = line.strip_prefix("limit ")?.splitn(3, ' ');
    let (key, value) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
    let table: String = serde_json::from_str(words.next()?).ok()?;
    (value >= 0.0).then_some(((table, key), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tickrail-gate-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        folder
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = folder("saved");
        let path = folder.join("control").join("trading");
        let (file, gate) = (GateFile::new(&path), TradingGate::default());
        file.load(&gate).expect("nothing there");
        assert!(!folder.join("control").exists(), "nothing is left by who only looks");
        assert_eq!((gate.state(), gate.kept()), (Trading::Active, Kept::default()));
        let limit = |table: &str, key: &str| (table.to_owned(), key.to_owned());
        let limits = [(limit("a \"b\"\nc", "max_drawdown"), f64::INFINITY), (limit("all", "max_orders_per_s"), 20.5)];
        halt(&gate, Trading::Halted, "flash crash\nstate ACTIVE");
        file.save(&gate, &Change::Halted).expect("written");
        let change = Change::Limits { max_order_quantity: Some(2.5), limits: limits.clone().into() };
        file.save(&gate, &change).expect("written");
        let other = TradingGate::default();
        GateFile::new(&path).load(&other).expect("readable");
        let kept = Kept { reason: "flash crashstate ACTIVE".to_owned(), limits: limits.into() };
        assert_eq!(other.kept(), kept);
        assert_eq!((other.state(), other.max_order_quantity()), (Trading::Halted, 2.5));
        fs::remove_dir_all(folder).expect("removed");
    }

    fn halt(gate: &TradingGate, state: Trading, reason: &str) {
        gate.keep(|kept| reason.clone_into(&mut kept.reason));
        gate.set(state);
    }

    fn said(path: &Path) -> (Trading, f64, Kept) {
        let gate = TradingGate::default();
        GateFile::new(path).load(&gate).expect("readable");
        (gate.state(), gate.max_order_quantity(), gate.kept())
    }

    #[test]
    fn a_run_writes_what_it_changes_and_leaves_what_its_neighbour_wrote() {
        let folder = folder("neighbours");
        let path = folder.join("paper.trading");
        let (a, b) = (TradingGate::default(), TradingGate::default());
        let (files, none) = ((GateFile::new(&path), GateFile::new(&path)), BTreeMap::new());
        halt(&a, Trading::Halted, "crash");
        files.0.save(&a, &Change::Halted).expect("written");
        let limit = BTreeMap::from([(("all".to_owned(), "max_drawdown".to_owned()), 7.0)]);
        files.1.save(&b, &Change::Limits { max_order_quantity: Some(5.0), limits: limit.clone() }).expect("written");
        let kept = |reason: &str| Kept { reason: reason.to_owned(), limits: limit.clone() };
        assert_eq!(said(&path), (Trading::Halted, 5.0, kept("crash")), "limits resume no trading");
        halt(&b, Trading::Reducing, "less");
        files.1.save(&b, &Change::Halted).expect("written");
        files.0.save(&a, &Change::Limits { max_order_quantity: None, limits: none }).expect("written");
        assert_eq!(said(&path), (Trading::Halted, 5.0, kept("crash")), "and neither does a halt that says less");
        halt(&b, Trading::Halted, "");
        files.1.save(&b, &Change::Halted).expect("written");
        assert_eq!(said(&path).2.reason, "crash", "what gives no reason takes none away");
        files.1.save(&b, &Change::Resumed { reason: "over".to_owned() }).expect("written");
        assert_eq!(said(&path), (Trading::Active, 5.0, kept("over")));
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_and_who_does_not_let_go_is_not_waited_for() {
        let folder = folder("refused");
        let path = folder.join("paper.trading");
        let (file, gate) = (GateFile::new(&path), TradingGate::default());
        halt(&gate, Trading::Halted, "");
        let other = File::open(&folder).expect("there");
        try_lock(&other).expect("a lock");
        let refused = file.save(&gate, &Change::Halted).expect_err("another holds it");
        assert!(refused.to_string().contains("another process writes"), "{refused}");
        drop(other);
        fs::create_dir(&path).expect("a folder where the file belongs");
        file.save(&gate, &Change::Halted).expect_err("no file can be put there");
        assert_eq!(fs::read_dir(&folder).expect("there").count(), 1, "nothing half written is left");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn limits_are_not_written_over_what_nobody_can_read() {
        let folder = folder("unread");
        let path = folder.join("trading");
        let (file, gate) = (GateFile::new(&path), TradingGate::default());
        fs::write(&path, "something").expect("written");
        let change = Change::Limits { max_order_quantity: Some(1.0), limits: BTreeMap::new() };
        assert!(matches!(file.save(&gate, &change), Err(GateFileError::Damaged { .. })));
        file.save(&gate, &Change::Resumed { reason: String::new() }).expect("written");
        assert_eq!(said(&path).0, Trading::Active);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_damaged_file_halts() {
        let folder = folder("damaged");
        let path = folder.join("trading");
        let texts: [&[u8]; 7] = [
            b"",
            b"something",
            b"tickrail trading 1\nstate ACTIVE\nmax_order_quantity 1\nreason \xff\n",
            b"tickrail trading 1\nstate OPEN\nmax_order_quantity 1\nreason \n",
            b"tickrail trading 1\nstate ACTIVE\nmax_order_quantity NaN\nreason \n",
            b"tickrail trading 1\nstate ACTIVE\nmax_order_quantity 1\nreason \nlimit max_drawdown 5\n",
            b"tickrail trading 1\nstate ACTIVE\nmax_order_quantity 1\nreason \nlimit max_drawdown NaN \"all\"\n",
        ];
        let is_damaged = || {
            let gate = TradingGate::default();
            let refused = matches!(GateFile::new(&path).load(&gate), Err(GateFileError::Damaged { .. }));
            refused && gate.state() == Trading::Halted
        };
        for text in texts {
            fs::write(&path, text).expect("written");
            assert!(is_damaged(), "{}", String::from_utf8_lossy(text));
        }
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("a folder where the file belongs");
        assert!(is_damaged());
        fs::remove_dir_all(folder).expect("removed");
    }
}
