//! Signals and the deadline of a shutdown, on a thread that needs neither the loop nor an interpreter.
//!
//! Signal handlers write the numbers of signals to a descriptor; this thread reads them. The first stops the loop and starts
//! the clock, the second leaves a few seconds, the third, or the end of the time, ends the process. A stop that somebody else
//! asked for, by a command or from a strategy, starts the clock too.

use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::last_words::LastWords;
use super::{StopFlag, Waker};

/// How often it is looked whether a stop was asked for by something else than a signal.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Exit code of a shutdown that took too long: the number of EX_SOFTWARE.
pub const DEADLINE_EXCEEDED: i32 = 70;

/// How a shutdown is bounded.
#[derive(Clone, Debug)]
pub struct WatchdogSettings {
    /// From the first signal, or whatever else stops the run, to the end of the process.
    pub deadline: Duration,
    /// From the second signal to the end of the process.
    pub hurry: Duration,
    /// Where a service supervisor listens for what happens: the path in `NOTIFY_SOCKET`.
    pub notify: Option<String>,
    /// How often it wants to hear that the loop goes on; `None`: never.
    pub feed_every: Option<Duration>,
}

/// What there is to see of the loop.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Differs once the loop has gone on.
    pub mark: [u64; 3],
    /// What it is doing, in words; empty: nothing in particular.
    pub doing: String,
}

/// The run that the first signal stops.
pub struct Target {
    /// Set by it.
    pub stop: Arc<StopFlag>,
    /// Wakes the loop for it.
    pub waker: Arc<Waker>,
    /// Looks at the loop.
    pub look: Box<dyn Fn() -> Sight + Send>,
    /// Has orders at venues outside taken back where the loop does not come to it; it must not wait.
    pub take_back: Box<dyn Fn() + Send>,
}

#[derive(Default)]
struct Seen {
    signals: Vec<i32>,
    phase: String,
    target: Option<Target>,
    /// Whether the loop is what the process is about: else nobody expects it to go on.
    is_running: bool,
    is_over: bool,
    /// When the end began, by the first signal or another stop, and when the process is ended.
    began: Option<Instant>,
    until: Option<Instant>,
    /// When the process is ended if the present step of the end is not done, and how long that one may take.
    step: Option<(Instant, Duration)>,
    /// The loop as it was looked at last, while the run is to stop.
    looked: Option<Sight>,
    has_asked: bool,
}

impl Seen {
    /// How long ago the end began.
    fn stopping_for(&self) -> Duration {
        self.began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// The end begins, if it has not yet.
    fn begin(&mut self, settings: &WatchdogSettings) {
        if self.began.is_none() {
            notify(settings.notify.as_deref(), "STOPPING=1");
            self.began = Some(now());
            self.until = Some(now() + settings.deadline);
        }
    }

    /// Has orders taken back if the loop is in a call; `again`: in the same one as at the last look.
    fn take_back_if_it_hangs(&mut self, again: bool) {
        let Some(target) = self.target.as_ref().filter(|_| self.is_running && !self.has_asked) else { return };
        let sight = (target.look)();
        if !sight.doing.is_empty() && (!again || self.looked.as_ref() == Some(&sight)) {
            (target.take_back)();
            self.has_asked = true;
        }
        self.looked = Some(sight);
    }

    /// Until when the process may go on: what comes first.
    fn bound(&self) -> Option<Instant> {
        self.until.map(|until| self.step.map_or(until, |(step, _)| step.min(until)))
    }

    /// The same, where the run was told to stop, by whomever.
    fn look_for_a_stop(&mut self, settings: &WatchdogSettings) {
        if self.target.as_ref().is_some_and(|target| target.stop.is_set()) {
            self.begin(settings);
        }
    }
}

/// Watches until it is dropped.
pub struct Watchdog {
    seen: Arc<Mutex<Seen>>,
    settings: WatchdogSettings,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Reads signal numbers from `descriptor`, which stays open until the watchdog is gone. Closing its other end, or a zero
    /// byte, ends the watch. `words` are said where the process has to be ended.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn open(descriptor: RawFd, settings: WatchdogSettings, words: Arc<LastWords>) -> io::Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (shared, own) = (Arc::clone(&seen), settings.clone());
        let watch = move || watch(descriptor, &shared, &own, &words);
        let thread = crate::threads::begin("tickrail-watchdog", watch)?;
        Ok(Self { seen, settings, thread: Some(thread) })
    }

    fn seen<R>(&self, look: impl FnOnce(&mut Seen) -> R) -> R {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is stopped by the first signal; at once, if that has come.
    pub fn attach(&self, target: Target) {
        self.seen(|seen| {
            if !seen.signals.is_empty() {
                target.stop.request_stop();
                target.waker.wake();
            }
            seen.is_running = true;
            seen.target = Some(target);
        });
    }

    /// What the process is doing, for the report of one that took too long. In a shutdown each phase is progress, which a
    /// service supervisor is told with the time that is left. `within`: as long as it may take, of the whole.
    pub fn set_phase(&self, phase: &str, within: Option<Duration>) {
        let left = self.seen(|seen| {
            // The run may have ended between two looks.
            seen.look_for_a_stop(&self.settings);
            phase.clone_into(&mut seen.phase);
            seen.is_running = false;
            // What nobody waits for the end of has all its time.
            seen.step = within.filter(|_| seen.until.is_some()).map(|within| (now() + within, within));
            seen.until.map(|until| until.saturating_duration_since(now()))
        });
        if let Some(left) = left {
            self.notify(&format!("EXTEND_TIMEOUT_USEC={}", left.as_micros()));
        }
    }

    /// The signals that have come, in their order.
    pub fn signals(&self) -> Vec<i32> {
        self.seen(|seen| seen.signals.clone())
    }

    /// How long ago the end began: with the first of them, or another stop.
    pub fn stopping_for(&self) -> Option<Duration> {
        self.seen(|seen| seen.began.map(|_| seen.stopping_for()))
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

/// Tells a service supervisor that the loop goes on, as long as it does.
struct Feeding {
    every: Option<Duration>,
    next: Instant,
    fed: Option<[u64; 3]>,
}

impl Feeding {
    /// Until when nothing is to be told.
    fn due(&self) -> Option<Instant> {
        self.every.map(|_| self.next)
    }

    fn feed(&mut self, seen: &Seen, socket: Option<&str>) {
        let Some(every) = self.every.filter(|_| now() >= self.next) else { return };
        self.next = now() + every;
        let mark = seen.target.as_ref().filter(|_| seen.is_running).map(|target| (target.look)().mark);
        // Where no loop is expected to go on, the process itself is what lives.
        if mark.is_none() || mark != self.fed {
            notify(socket, "WATCHDOG=1");
        }
        self.fed = mark;
    }
}

fn watch(descriptor: RawFd, seen: &Mutex<Seen>, settings: &WatchdogSettings, words: &LastWords) {
    let mut feeding = Feeding { every: settings.feed_every, next: now(), fed: None };
    let mut bound: Option<Instant> = None;
    loop {
        // A step that begins meanwhile may have to end sooner.
        let next = now() + LOOK_EVERY;
        let look = bound.map_or(next, |bound| bound.min(next));
        let signals = read(descriptor, feeding.due().map_or(look, |due| due.min(look)));
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bytes) = signals.filter(|bytes| !seen.is_over && !bytes.contains(&0)) else { return };
        bytes.into_iter().for_each(|signal| take(&mut seen, i32::from(signal), settings, words));
        seen.look_for_a_stop(settings);
        if seen.stopping_for() >= settings.deadline / 2 && seen.began.is_some() {
            seen.take_back_if_it_hangs(true);
        }
        bound = seen.bound();
        feeding.feed(&seen, settings.notify.as_deref());
        if bound.is_some_and(|bound| now() >= bound) {
            give_up(&seen, settings, words);
        }
    }
}

/// One signal more.
fn take(seen: &mut Seen, signal: i32, settings: &WatchdogSettings, words: &LastWords) {
    // A terminal that is closed wants what SIGTERM does.
    if ![libc::SIGTERM, libc::SIGINT, libc::SIGHUP].contains(&signal) {
        return;
    }
    if signal == libc::SIGHUP {
        let_go_of_a_closed_terminal();
    }
    seen.signals.push(signal);
    match seen.signals.len() {
        1 => {
            if let Some(target) = &seen.target {
                target.stop.request_stop();
                target.waker.wake();
            }
            seen.begin(settings);
        }
        2 => {
            if let Some(target) = &seen.target {
                target.stop.request_hurry();
                target.waker.wake();
            }
            seen.until = Some(seen.until.unwrap_or_else(now).min(now() + settings.hurry));
            seen.take_back_if_it_hangs(false);
        }
        _ => {
            let code = 128 + seen.signals[0];
            words.note_signals(&seen.signals, seen.stopping_for());
            let why = "tickrail: a third signal ended the process at once; what was still to be done is abandoned";
            words.end_at_once(why, "forced", code)
        }
    }
}

/// Whatever is still said to a terminal that is gone goes nowhere, instead of failing whoever says it.
fn let_go_of_a_closed_terminal() {
    for descriptor in 0..=libc::STDERR_FILENO {
        let mut poll = libc::pollfd { fd: descriptor, events: 0, revents: 0 };
        // SAFETY: all zero is a valid record; it is only written to.
        let mut facts: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: one descriptor, whose records are ours; neither waits.
        let is_gone = unsafe { libc::poll(&raw mut poll, 1, 0) == 1 && libc::fstat(descriptor, &raw mut facts) == 0 }
            && poll.revents & libc::POLLHUP != 0
            && facts.st_mode & libc::S_IFMT == libc::S_IFCHR;
        if is_gone && let Ok(nothing) = std::fs::File::options().read(true).write(true).open("/dev/null") {
            // SAFETY: both are open; whoever uses the first meanwhile has the one or the other.
            unsafe { libc::dup2(nothing.as_raw_fd(), descriptor) };
        }
    }
}

fn give_up(seen: &Seen, settings: &WatchdogSettings, words: &LastWords) -> ! {
    let doing =
        seen.target.as_ref().filter(|_| seen.is_running).map(|target| (target.look)().doing).unwrap_or_default();
    let what = if doing.is_empty() { &seen.phase } else { &doing };
    let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
    let is_by_step = seen.step.is_some_and(|(step, _)| seen.until.is_none_or(|until| step < until));
    let time = match seen.step.filter(|_| is_by_step) {
        Some((_, step)) => format!("this step's time ({})", seconds(step)),
        None if seen.signals.len() > 1 && seen.stopping_for() < settings.deadline => {
            format!("its time ({} after the second signal)", seconds(settings.hurry))
        }
        None => format!("its time ({})", seconds(settings.deadline)),
    };
    let why = format!(
        "tickrail: the shutdown has had {time} and is given up while {what}; what was still to be done is abandoned"
    );
    words.note_signals(&seen.signals, seen.stopping_for());
    if seen.signals.len() > 1 {
        words.end(&why, "forced", 128 + seen.signals[0])
    }
    words.end(&why, "deadline_exceeded", DEADLINE_EXCEEDED)
}

/// The bytes that come until then; `None`: the other end is closed.
fn read(descriptor: RawFd, until: Instant) -> Option<Vec<u8>> {
    // Rounded up: a wait that ends early would only be followed by another.
    let left = i32::try_from(until.saturating_duration_since(now()).as_millis() + 1).unwrap_or(i32::MAX);
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

#[expect(clippy::disallowed_methods, reason = "bounds a shutdown; no decision sees it")]
fn now() -> Instant {
    Instant::now()
}

/// As `sd_notify(3)`: a datagram; nobody minds if it is lost.
fn notify(socket: Option<&str>, state: &str) {
    let (Some(path), Ok(from)) = (socket, std::os::unix::net::UnixDatagram::unbound()) else { return };
    // A supervisor that does not read must not keep whoever ends the process.
    if from.set_nonblocking(true).is_err() {
        return;
    }
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
