//! Signals and the deadline of a shutdown, on a thread that needs neither the loop nor an interpreter.
//!
//! Signal handlers write the numbers of signals to a descriptor; this thread reads them. The first stops the loop and starts
//! the clock, the second leaves a few seconds, the third, or the end of the time, ends the process.

use std::io::{self, Write as _};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{StopFlag, Waker};

/// How long the stacks of all threads may take to be written before the process ends.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Exit code of a shutdown that took too long: the number of EX_SOFTWARE.
pub const DEADLINE_EXCEEDED: i32 = 70;

/// How a shutdown is bounded.
#[derive(Clone, Debug)]
pub struct WatchdogSettings {
    /// From the first signal to the end of the process.
    pub deadline: Duration,
    /// From the second signal to the end of the process.
    pub hurry: Duration,
    /// The signal that makes the process write the stacks of its threads; 0: none.
    pub dump_signal: i32,
    /// Where a service supervisor listens for what happens: the path in `NOTIFY_SOCKET`.
    pub notify: Option<String>,
}

#[derive(Debug, Default)]
struct Seen {
    signals: Vec<i32>,
    phase: String,
    target: Option<(Arc<StopFlag>, Arc<Waker>)>,
    is_over: bool,
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    seen: Arc<Mutex<Seen>>,
    settings: WatchdogSettings,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Reads signal numbers from `descriptor`, which stays open until the watchdog is gone. Closing its other end, or a zero
    /// byte, ends the watch.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn open(descriptor: RawFd, settings: WatchdogSettings) -> io::Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (shared, own) = (Arc::clone(&seen), settings.clone());
        let watch = move || watch(descriptor, &shared, &own);
        let thread = std::thread::Builder::new().name("tickrail-watchdog".to_owned()).spawn(watch)?;
        Ok(Self { seen, settings, thread: Some(thread) })
    }

    fn seen<R>(&self, look: impl FnOnce(&mut Seen) -> R) -> R {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is stopped by the first signal; at once, if that has come.
    pub fn attach(&self, stop: Arc<StopFlag>, waker: Arc<Waker>) {
        self.seen(|seen| {
            if !seen.signals.is_empty() {
                stop.request_stop();
                waker.wake();
            }
            seen.target = Some((stop, waker));
        });
    }

    /// What the process is doing, for the report of one that took too long.
    pub fn set_phase(&self, phase: &str) {
        self.seen(|seen| phase.clone_into(&mut seen.phase));
    }

    /// The signals that have come, in their order.
    pub fn signals(&self) -> Vec<i32> {
        self.seen(|seen| seen.signals.clone())
    }

    /// Tells a service supervisor, if there is one.
    pub fn notify(&self, state: &str) {
        notify(self.settings.notify.as_deref(), state);
    }

    /// Ends the watch: nothing ends the process any more. Whoever calls this writes a zero byte to the descriptor first.
    pub fn close(&mut self) {
        self.seen(|seen| seen.is_over = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(descriptor: RawFd, seen: &Mutex<Seen>, settings: &WatchdogSettings) {
    let mut until: Option<Instant> = None;
    loop {
        let signals = read(descriptor, until);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_over || signals.as_ref().is_some_and(|bytes| bytes.contains(&0)) {
            return;
        }
        match signals {
            None => return,
            Some(bytes) => {
                bytes.into_iter().for_each(|signal| until = take(&mut seen, i32::from(signal), until, settings))
            }
        }
        if until.is_some_and(|until| now() >= until) {
            let code = if seen.signals.len() > 1 { 128 + seen.signals[0] } else { DEADLINE_EXCEEDED };
            give_up(&seen.phase, settings, code);
        }
    }
}

/// One signal more; says until when the process may go on.
fn take(seen: &mut Seen, signal: i32, until: Option<Instant>, settings: &WatchdogSettings) -> Option<Instant> {
    if signal != libc::SIGTERM && signal != libc::SIGINT {
        return until;
    }
    seen.signals.push(signal);
    match seen.signals.len() {
        1 => {
            if let Some((stop, waker)) = &seen.target {
                stop.request_stop();
                waker.wake();
            }
            notify(settings.notify.as_deref(), "STOPPING=1");
            Some(now() + settings.deadline)
        }
        2 => Some(until.unwrap_or_else(now).min(now() + settings.hurry)),
        _ => end(128 + seen.signals[0]),
    }
}

/// The bytes that come until then; `None`: the other end is closed.
fn read(descriptor: RawFd, until: Option<Instant>) -> Option<Vec<u8>> {
    let left = until.map_or(-1, |until| {
        // Rounded up: a wait that ends early would only be followed by another.
        i32::try_from(until.saturating_duration_since(now()).as_millis() + 1).unwrap_or(i32::MAX)
    });
    let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    // SAFETY: one descriptor, whose record is ours.
    if unsafe { libc::poll(&raw mut poll, 1, left) } <= 0 {
        return Some(Vec::new());
    }
    let mut bytes = [0_u8; 64];
    // SAFETY: the buffer is ours and as long as said.
    let count = unsafe { libc::read(descriptor, bytes.as_mut_ptr().cast(), bytes.len()) };
    match count {
        0 => None,
        1.. => Some(bytes[..count.unsigned_abs()].to_vec()),
        _ => Some(Vec::new()),
    }
}

fn give_up(phase: &str, settings: &WatchdogSettings, code: i32) -> ! {
    let _ = writeln!(
        io::stderr(),
        "tickrail: the shutdown has had its time ({} s) and is given up while {phase}; what was still to be done is abandoned",
        settings.deadline.as_secs_f64()
    );
    if settings.dump_signal != 0 {
        // SAFETY: sends this process a signal for which it has a handler.
        unsafe { libc::kill(libc::getpid(), settings.dump_signal) };
        pause();
    }
    end(code)
}

/// Ends the process without anything that could hang: no destructor, no interpreter.
fn end(code: i32) -> ! {
    // SAFETY: ends the process, always.
    unsafe { libc::_exit(code) }
}

#[expect(clippy::disallowed_methods, reason = "the last thing that the process does")]
fn pause() {
    std::thread::sleep(LAST_WORDS);
}

#[expect(clippy::disallowed_methods, reason = "bounds a shutdown; no decision sees it")]
fn now() -> Instant {
    Instant::now()
}

/// As `sd_notify(3)`: a datagram; nobody minds if it is lost.
fn notify(socket: Option<&str>, state: &str) {
    let (Some(path), Ok(from)) = (socket, std::os::unix::net::UnixDatagram::unbound()) else { return };
    let _ = match path.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            std::os::unix::net::SocketAddr::from_abstract_name(name)
                .and_then(|address| from.send_to_addr(state.as_bytes(), &address))
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => return,
        None => from.send_to(state.as_bytes(), path),
    };
}
