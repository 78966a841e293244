//! The socket: who may connect, how much they may say, how long they may take.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::operator::Operator;

/// Longest request, in bytes.
pub const MAX_LINE: u64 = 64 * 1024;
/// Most connections at once: an operator has one, a monitor another.
const MAX_CONNECTIONS: u32 = 16;
/// Places beyond those, for a halt alone: whoever leaves connections lying keeps nobody from the emergency stop.
const RESERVED: u32 = 4;
/// How long such a place is kept for whoever says nothing.
const URGENT: Duration = Duration::from_secs(1);
/// Longest time from one answer to the end of the next request, and for an answer to be taken: for all of it, as whoever says
/// a byte now and then would else keep his place for ever.
const REQUEST: Duration = Duration::from_secs(30);

/// Serves a socket until it is dropped.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    /// Release by `close`, Acquire by the thread that accepts.
    is_over: Arc<AtomicBool>,
    listener: Arc<UnixListener>,
    thread: Option<JoinHandle<()>>,
}

impl ControlServer {
    /// Opens a socket at `path`, readable and writable by this user alone. A socket that nobody serves any more gives way.
    ///
    /// # Errors
    /// Somebody serves it, or the file system refuses.
    pub fn open(path: impl Into<PathBuf>, operator: Arc<Operator>) -> io::Result<Self> {
        Self::open_with(path, operator, REQUEST)
    }

    /// The same, where each request may take as long as `request`.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with(path: impl Into<PathBuf>, operator: Arc<Operator>, request: Duration) -> io::Result<Self> {
        let path = path.into();
        let listener = Arc::new(bind(&path)?);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let accepting = Arc::clone(&listener);
        let serve = move || accept(&accepting, &operator, &over, request);
        let thread = crate::threads::begin("tickrail-control", serve).inspect_err(|_| {
            let _ = std::fs::remove_file(&path); // nobody will ever serve it
        })?;
        Ok(Self { path, is_over, listener, thread: Some(thread) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes no more connections, and removes the socket. Idempotent.
    pub fn close(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.is_over.store(true, Ordering::Release);
        // Linux ends `accept` by this, which takes no descriptor where there is none left; elsewhere a connection does.
        // SAFETY: the descriptor is that of our listener, which is open.
        let is_shut = unsafe { libc::shutdown(self.listener.as_raw_fd(), libc::SHUT_RDWR) } == 0;
        let woken = (is_shut && cfg!(target_os = "linux")) || UnixStream::connect(&self.path).is_ok();
        let _ = std::fs::remove_file(&self.path);
        if woken {
            let _ = thread.join();
        }
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.close();
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if path.exists() {
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves this socket"));
        }
        std::fs::remove_file(path)?;
    }
    // Under another name until it is served: a socket that refuses a connection is taken for a dead process's, and removed.
    let begun = path.with_extension("new");
    let _ = std::fs::remove_file(&begun);
    let listener = UnixListener::bind(&begun)?;
    let private = std::fs::Permissions::from_mode(0o600);
    let shown = std::fs::set_permissions(&begun, private).and_then(|()| std::fs::rename(&begun, path));
    if shown.is_err() {
        let _ = std::fs::remove_file(&begun);
    }
    shown.map(|()| listener)
}

fn accept(listener: &UnixListener, operator: &Arc<Operator>, is_over: &AtomicBool, request: Duration) {
    let open = Arc::new(AtomicU32::new(0));
    for stream in listener.incoming() {
        if is_over.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else {
            // Out of descriptors: they come back when connections end.
            pause();
            continue;
        };
        if !is_own_user(&stream) {
            continue;
        }
        // Relaxed: a limit, which guards nothing.
        let others = open.fetch_add(1, Ordering::Relaxed);
        if others >= MAX_CONNECTIONS + RESERVED {
            open.fetch_sub(1, Ordering::Relaxed);
            refuse(&stream, operator);
            continue;
        }
        let (operator, count) = (Arc::clone(operator), Arc::clone(&open));
        let serve = move || {
            let _ = match others {
                0..MAX_CONNECTIONS => converse(&stream, &operator, request),
                _ => hear_halt(&stream, &operator, request),
            };
            count.fetch_sub(1, Ordering::Relaxed);
        };
        if std::thread::Builder::new().name("tickrail-operator".to_owned()).spawn(serve).is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Says why, to whoever is not served; an empty buffer takes the line at once.
fn refuse(stream: &UnixStream, operator: &Operator) {
    let mut writer = stream;
    if stream.set_nonblocking(true).is_ok() {
        let _ = writer.write_all(format!("{}\n", operator.refuse_connection(MAX_CONNECTIONS)).as_bytes());
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, which nothing can wake")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// Whether the other end is a process of this user, or of root.
fn is_own_user(stream: &UnixStream) -> bool {
    // SAFETY: asks for a number, and cannot fail.
    let own = unsafe { libc::geteuid() };
    peer_user(stream).is_some_and(|user| user == own || user == 0)
}

#[cfg(target_os = "linux")]
fn peer_user(stream: &UnixStream) -> Option<u32> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the descriptor is open; the buffer is a `ucred` of the length said, which the kernel fills.
    let answer = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    (answer == 0).then_some(credentials.uid)
}

#[cfg(not(target_os = "linux"))]
fn peer_user(stream: &UnixStream) -> Option<u32> {
    let (mut user, mut group) = (0, 0);
    // SAFETY: the descriptor is open, and both numbers are ours.
    let answer = unsafe { libc::getpeereid(stream.as_raw_fd(), &raw mut user, &raw mut group) };
    (answer == 0).then_some(user)
}

/// A connection for as long as one request or answer may take, however many reads and writes that is.
struct Bounded<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl Bounded<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Bounded<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(bytes)
    }
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Serves one request at a reserved place, if it is a halt.
fn hear_halt(stream: &UnixStream, operator: &Operator, request: Duration) -> io::Result<()> {
    let mut line = Vec::new();
    let asking = Bounded { stream, until: now() + URGENT.min(request) };
    let read = BufReader::new(asking).take(MAX_LINE).read_until(b'\n', &mut line);
    if read.is_ok() && line.last() == Some(&b'\n') && Operator::is_halt(&line) {
        let answer = operator.answer(&line);
        return Bounded { stream, until: now() + request }.write_all(format!("{answer}\n").as_bytes());
    }
    refuse(stream, operator);
    Ok(())
}

fn converse(stream: &UnixStream, operator: &Operator, request: Duration) -> io::Result<()> {
    let bounded = || Bounded { stream, until: now() + request };
    let mut reader = BufReader::new(bounded());
    loop {
        reader.get_mut().until = now() + request;
        let mut line = Vec::new();
        let count = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok(());
        }
        let is_whole = line.last() == Some(&b'\n');
        let mut answer = if is_whole { operator.answer(&line) } else { operator.refuse_length() };
        answer.push('\n');
        bounded().write_all(answer.as_bytes())?;
        if !is_whole {
            return Ok(());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "bounds a conversation; no decision sees it")]
fn now() -> Instant {
    Instant::now()
}
