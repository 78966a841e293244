//! The end of a process that does not end by itself: what it says, the stacks of its threads, and its report.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// How long the stacks of all threads may take to be written before the process ends.
const STACKS: Duration = Duration::from_millis(300);

/// How long the report may take to be written.
const SAVED: Duration = Duration::from_millis(500);

/// Longest text that a pipe takes at once, wherever it says that it takes any: `PIPE_BUF` of Linux.
const AT_ONCE: usize = 4096;

/// Says where a run stands: the facts, and the same in lines.
pub type Stands = Box<dyn Fn() -> (Map<String, Value>, Vec<String>) + Send>;

/// What is known of a shutdown, in case it has to be given up.
#[derive(Default)]
struct Report {
    facts: Map<String, Value>,
    file: Option<PathBuf>,
    to_stdout: bool,
    stands: Option<Stands>,
    /// Steps of the loop's own, as they were done.
    done: Vec<Value>,
    /// What was tried beside the steps.
    notes: Vec<String>,
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Report").field("facts", &self.facts).field("file", &self.file).finish_non_exhaustive()
    }
}

/// Ends the process. Any thread, at any moment: it takes no lock that somebody could keep, and waits for nobody.
#[derive(Debug, Default)]
pub struct LastWords {
    /// The signal that makes the process write the stacks of its threads; 0: none. Relaxed: set once, before.
    dump_signal: AtomicI32,
    report: Mutex<Report>,
}

impl LastWords {
    /// From now on `signal` is sent to this process where stacks are wanted.
    pub fn dump_by(&self, signal: i32) {
        self.dump_signal.store(signal, Ordering::Relaxed);
    }

    /// What is reported if the process has to be ended from now on: a JSON object, into `file`, and on stdout too where
    /// that is what somebody waits for. A text that is no JSON object changes nothing.
    pub fn set_report(&self, facts: &str, file: Option<PathBuf>, to_stdout: bool) {
        if let (Ok(Value::Object(facts)), Ok(mut report)) = (serde_json::from_str(facts), self.report.lock()) {
            (report.facts, report.file, report.to_stdout) = (facts, file, to_stdout);
        }
    }

    /// The step `name` of the end is done, in time or not: it is not told as abandoned any more.
    pub fn done(&self, name: &str, took: Duration, deadline: Option<Duration>, is_late: bool) {
        let deadline_s = deadline.map(|deadline| deadline.as_secs_f64());
        let step = json!({"name": name, "took_s": took.as_secs_f64(), "deadline_s": deadline_s, "late": is_late});
        if let Ok(mut report) = self.report.lock() {
            report.done.push(step);
        }
    }

    /// Something was tried for the end that is no step of it; said once.
    pub fn note(&self, text: &str) {
        if let Ok(mut report) = self.report.lock()
            && !report.notes.iter().any(|known| known == text)
        {
            report.notes.push(text.to_owned());
        }
    }

    /// From now on `stands` is asked where the process has to be ended. It must wait for nobody.
    pub fn stand_by(&self, stands: Stands) {
        if let Ok(mut report) = self.report.lock() {
            report.stands = Some(stands);
        }
    }

    /// Says `text` on stderr, and writes the stacks of all threads.
    pub fn say_with_stacks(&self, text: &str) {
        say(libc::STDERR_FILENO, text);
        self.write_stacks();
    }

    fn write_stacks(&self) {
        let signal = self.dump_signal.load(Ordering::Relaxed);
        if signal != 0 {
            // SAFETY: sends this process a signal for which it has a handler.
            unsafe { libc::kill(libc::getpid(), signal) };
            pause();
        }
    }

    /// Says in the report too which signals have come, and since when it is the process's end.
    pub(super) fn note_signals(&self, signals: &[i32], took: Duration) {
        if let Ok(mut report) = self.report.try_lock()
            && !report.facts.is_empty()
        {
            report.facts.insert("signals".to_owned(), json!(signals));
            report.facts.insert("took_s".to_owned(), json!(took.as_secs_f64()));
        }
    }

    /// Reports `outcome` and what is abandoned, `why` first, and says `why` and where the run stands.
    fn report(&self, why: &str, outcome: &str, code: i32) {
        let lines = match self.report.try_lock() {
            Ok(mut report) => report.write(why, outcome, code),
            Err(_) => Vec::new(),
        };
        say(libc::STDERR_FILENO, why);
        lines.iter().for_each(|line| say(libc::STDERR_FILENO, line));
    }

    /// Ends the process with `code` after it has reported, and written the stacks of all threads.
    pub fn end(&self, why: &str, outcome: &str, code: i32) -> ! {
        self.report(why, outcome, code);
        self.write_stacks();
        end(code)
    }

    /// The same, without the time that stacks take.
    pub(super) fn end_at_once(&self, why: &str, outcome: &str, code: i32) -> ! {
        self.report(why, outcome, code);
        end(code)
    }
}

impl Report {
    /// Writes it, and gives the lines that say where the run stands.
    fn write(&mut self, why: &str, outcome: &str, code: i32) -> Vec<String> {
        let (standing, mut lines) = self.stands.as_ref().map(|stands| stands()).unwrap_or_default();
        lines.extend(self.notes.iter().cloned());
        if self.facts.is_empty() {
            return lines;
        }
        self.facts.insert("standing".to_owned(), standing.into());
        self.facts.insert("notes".to_owned(), json!(self.notes));
        self.facts.insert("outcome".to_owned(), outcome.into());
        self.facts.insert("exit_code".to_owned(), code.into());
        let done: Vec<&Value> = self.done.iter().map(|step| &step["name"]).collect();
        let abandoned = self.facts.entry("abandoned").or_insert_with(|| json!([]));
        if let Value::Array(all) = abandoned {
            all.retain(|what| !done.contains(&what));
            all.insert(0, why.into());
        }
        let steps = self.facts.entry("steps").or_insert_with(|| json!([]));
        if let Value::Array(all) = steps {
            all.splice(0..0, self.done.iter().cloned());
        }
        let text = json!(self.facts).to_string();
        if let Some(file) = &self.file {
            save_in_time(file.clone(), format!("{text}\n"));
        }
        if self.to_stdout {
            say(libc::STDOUT_FILENO, &json!({ "shutdown": self.facts }).to_string());
        }
        lines
    }
}

/// Writes `text` to `file`, if the file system takes it: one that hangs may be why the process has to be ended.
fn save_in_time(file: PathBuf, text: String) {
    let (tell, told) = sync_channel(1);
    let save = move || {
        // Whoever reads it finds all of it or none.
        let beside = file.with_extension("new");
        let _ = file.parent().map(std::fs::create_dir_all);
        let _ = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &file));
        let _ = tell.try_send(());
    };
    if std::thread::Builder::new().name("tickrail-report".to_owned()).spawn(save).is_ok() {
        let _ = told.recv_timeout(SAVED);
    }
}

/// Writes a line, if whoever reads it takes it: a pipe that is full must not keep the process from its end.
fn say(descriptor: i32, text: &str) {
    let line = format!("{text}\n");
    for part in line.as_bytes().chunks(AT_ONCE) {
        if !is_writable(descriptor) {
            return;
        }
        // SAFETY: the buffer is ours and as long as said.
        let written = unsafe { libc::write(descriptor, part.as_ptr().cast(), part.len()) };
        if written < part.len() as isize {
            return;
        }
    }
}

fn is_writable(descriptor: i32) -> bool {
    let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one descriptor, whose record is ours; it does not wait.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 && poll.revents & libc::POLLOUT != 0 }
}

/// Ends the process without anything that could hang: no destructor, no interpreter.
pub(super) fn end(code: i32) -> ! {
    // SAFETY: ends the process, always.
    unsafe { libc::_exit(code) }
}

#[expect(clippy::disallowed_methods, reason = "the last thing that the process does")]
fn pause() {
    std::thread::sleep(STACKS);
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write as _};
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_report_names_why_and_what_is_abandoned() {
        let folder = std::env::temp_dir().join(format!("tickrail-words-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let words = LastWords::default();
        let file = folder.join("shutdown.json");
        words.set_report("no JSON", Some(file.clone()), false);
        let stands = || (Map::from_iter([("ema".to_owned(), json!({"open_orders": 2}))]), vec!["ema".to_owned()]);
        words.stand_by(Box::new(stands));
        assert_eq!(words.report.lock().unwrap().write("nothing is known", "forced", 1), ["ema"]);
        assert!(!file.exists());
        words.done("drain", Duration::from_secs(2), Some(Duration::from_secs(1)), true);
        words.set_report(r#"{"abandoned": ["drain", "services"], "deadline_s": 25}"#, Some(file.clone()), false);
        let lines = words.report.lock().unwrap().write("orders hang", "deadline_exceeded", 70);
        assert_eq!(lines, ["ema"], "what is to be reported has changed, and who stands where has not");
        let said: Value = serde_json::from_slice(&std::fs::read(&file).expect("written")).expect("JSON");
        assert_eq!(said["abandoned"], json!(["orders hang", "services"]));
        assert_eq!(
            said["steps"],
            json!([{"name": "drain", "took_s": 2.0, "deadline_s": 1.0, "late": true}]),
            "done, and so not abandoned"
        );
        assert_eq!(said["standing"], json!({"ema": {"open_orders": 2}}));
        assert_eq!((&said["outcome"], &said["exit_code"]), (&json!("deadline_exceeded"), &json!(70)));
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_file_system_that_hangs_keeps_nobody() {
        let folder = std::env::temp_dir().join(format!("tickrail-hangs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let beside = folder.join("shutdown.new");
        let name = std::ffi::CString::new(beside.to_str().expect("text")).expect("no zero");
        // SAFETY: a path that ends with a zero.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let words = LastWords::default();
        words.set_report(r#"{"abandoned": []}"#, Some(folder.join("shutdown.json")), false);
        words.note("asked");
        words.note("asked");
        let (tell, told) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            let lines = words.report.lock().unwrap().write("a pipe that nobody reads", "forced", 1);
            tell.send(lines).expect("waited for");
        });
        assert_eq!(told.recv_timeout(SAVED * 20).expect("in time"), ["asked"]);
        thread.join().expect("ended");
        drop(std::fs::File::open(beside)); // lets the writer go
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_full_pipe_keeps_nobody() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        // SAFETY: the descriptor is open; only its mode changes.
        unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        while writer.write(&[0; AT_ONCE]).is_ok() {}
        // SAFETY: as above.
        unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, 0) };
        say(writer.as_raw_fd(), "nobody reads this");
        drop(reader);
    }
}
