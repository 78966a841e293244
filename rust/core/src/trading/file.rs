//! The gate on disk: a process that starts again stays halted.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use thiserror::Error;

use super::{Kept, Trading, TradingGate};

/// Longest reason that is kept, in characters.
const MAX_REASON: usize = 500;
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
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => {
                gate.set(Trading::Halted);
                return Err(self.io(source));
            }
        };
        let Some((state, limit, kept)) = parse(&text) else {
            gate.set(Trading::Halted);
            return Err(GateFileError::Damaged { path: self.path.clone() });
        };
        gate.set_max_order_quantity(limit);
        gate.keep(|now| *now = kept);
        gate.set(state);
        Ok(())
    }

    /// Keeps what `gate` says, why, and the limits that were changed.
    ///
    /// # Errors
    /// The file system refused; the old state stands.
    pub fn save(&self, gate: &TradingGate) -> Result<(), GateFileError> {
        let _one = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let kept = gate.kept();
        let reason: String = kept.reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
        let (state, limit) = (gate.state().name(), gate.max_order_quantity());
        let mut text = format!("{HEADER}\nstate {state}\nmax_order_quantity {limit}\nreason {reason}\n");
        for ((table, key), value) in &kept.limits {
            // A name may have whatever a key of TOML may have.
            let _ = writeln!(text, "limit {key} {value} {}", serde_json::Value::from(table.as_str()));
        }
        self.replace(text.as_bytes()).map_err(|source| self.io(source))
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        // With the first change, so that a run that changes nothing leaves nothing. As private as the socket beside it.
        if let Some(folder) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        // Another process of this environment may be writing too.
        let beside = self.path.with_extension(format!("{}.new", std::process::id()));
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        // The name too has to outlive a crash.
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    fn io(&self, source: io::Error) -> GateFileError {
        GateFileError::Io { path: self.path.clone(), source }
    }
}

fn parse(text: &str) -> Option<(Trading, f64, Kept)> {
    let mut lines = text.lines();
    (lines.next()? == HEADER).then_some(())?;
    let state = Trading::from_name(lines.next()?.strip_prefix("state ")?)?;
    let limit: f64 = lines.next()?.strip_prefix("max_order_quantity ")?.parse().ok()?;
    let reason = lines.next()?.strip_prefix("reason ")?.to_owned();
    let limits = lines.map(parse_limit).collect::<Option<_>>()?;
    (limit > 0.0).then_some((state, limit, Kept { reason, limits }))
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
        gate.set(Trading::Halted);
        gate.set_max_order_quantity(2.5);
        let limit = |table: &str, key: &str| (table.to_owned(), key.to_owned());
        let limits = [(limit("a \"b\"\nc", "max_drawdown"), f64::INFINITY), (limit("all", "max_orders_per_s"), 20.5)];
        gate.keep(|kept| {
            *kept = Kept { reason: "flash crash\nstate ACTIVE".to_owned(), limits: limits.clone().into() };
        });
        file.save(&gate).expect("written");
        let other = TradingGate::default();
        GateFile::new(&path).load(&other).expect("readable");
        let kept = Kept { reason: "flash crashstate ACTIVE".to_owned(), limits: limits.into() };
        assert_eq!(other.kept(), kept);
        assert_eq!((other.state(), other.max_order_quantity()), (Trading::Halted, 2.5));
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_damaged_file_halts() {
        let folder = folder("damaged");
        let path = folder.join("trading");
        for text in [
            "",
            "something",
            "tickrail trading 1\nstate OPEN\nmax_order_quantity 1\nreason \n",
            "tickrail trading 1\nstate ACTIVE\nmax_order_quantity NaN\nreason \n",
            "tickrail trading 1\nstate ACTIVE\nmax_order_quantity 1\nreason \nlimit max_drawdown 5\n",
            "tickrail trading 1\nstate ACTIVE\nmax_order_quantity 1\nreason \nlimit max_drawdown NaN \"all\"\n",
        ] {
            fs::write(&path, text).expect("written");
            let gate = TradingGate::default();
            assert!(matches!(GateFile::new(&path).load(&gate), Err(GateFileError::Damaged { .. })), "{text:?}");
            assert_eq!(gate.state(), Trading::Halted);
        }
        fs::remove_dir_all(folder).expect("removed");
    }
}
