//! A small HTTP server for machines that watch a process: pages without arguments, one request a connection.
//!
//! Its threads need neither the loop nor an interpreter. Everything is bounded: connections, the head of a request, the
//! time that one may take.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Most connections at once: a supervisor has one or two, a scraper another.
const MAX_CONNECTIONS: usize = 16;
/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 8 * 1024;
/// Most header lines of a request.
const MAX_HEADERS: usize = 64;
/// From the first byte of a request to the last of its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often pages look at what they tell of.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// While descriptors or threads lack, and for requests that nobody can take: they come back when connections end.
const PAUSE: Duration = Duration::from_millis(10);

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Status code.
    pub status: u16,
    /// Media type.
    pub media: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Page {
    /// Plain text.
    pub fn text(status: u16, text: &str) -> Self {
        Self { status, media: "text/plain; charset=utf-8".to_owned(), body: format!("{text}\n").into_bytes() }
    }
}

/// What can be asked for.
pub trait Pages: Send + Sync {
    /// The page at `path`, which begins with a slash and has no query; `None`: there is none.
    fn page(&self, path: &str) -> Option<Page>;

    /// Called several times a second, by one thread.
    fn look(&self) {}
}

/// Serves until it is dropped.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    over: PipeWriter,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Listens at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// Nothing can listen there, or the system has no thread for it.
    pub fn open(address: impl ToSocketAddrs, pages: Arc<dyn Pages>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (ended, over) = pipe()?;
        let serve = move || accept(&listener, &ended, &pages);
        let thread = crate::threads::begin("tickrail-http", serve)?;
        Ok(Self { address, over, thread: Some(thread) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers nobody any more; whoever is being answered is cut off. Idempotent.
    pub fn close(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // Fails only where the other end is gone, and with it the thread.
        let _ = self.over.write_all(&[0]);
        let _ = thread.join();
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.close();
    }
}

/// One connection, and who serves it.
struct Served {
    stream: TcpStream,
    thread: JoinHandle<()>,
}

fn accept(listener: &TcpListener, ended: &PipeReader, pages: &Arc<dyn Pages>) {
    let mut served: Vec<Served> = Vec::new();
    loop {
        if wait(listener, ended) {
            break;
        }
        pages.look();
        served.retain(|one| !one.thread.is_finished());
        while let Ok((stream, _)) = listener.accept() {
            // Beyond the limit it is closed without an answer, which would be one more thing to wait for.
            if served.len() < MAX_CONNECTIONS {
                served.extend(serve(stream, pages).ok());
            }
        }
    }
    for one in &served {
        let _ = one.stream.shutdown(Shutdown::Both);
    }
    for one in served {
        let _ = one.thread.join();
    }
}

/// Until somebody connects, or it is time to look; whether all is over.
fn wait(listener: &TcpListener, ended: &PipeReader) -> bool {
    let watched = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut polled = [watched(ended.as_raw_fd()), watched(listener.as_raw_fd())];
    // SAFETY: two entries, which live through the call.
    let found = unsafe { libc::poll(polled.as_mut_ptr(), 2, LOOK_EVERY.as_millis() as i32) };
    found > 0 && polled[0].revents != 0
}

fn serve(stream: TcpStream, pages: &Arc<dyn Pages>) -> io::Result<Served> {
    stream.set_nonblocking(false)?;
    let (mine, pages) = (stream.try_clone()?, Arc::clone(pages));
    let thread = std::thread::Builder::new().name("tickrail-page".to_owned()).spawn(move || {
        let _ = converse(&stream, pages.as_ref());
        // The other copy of the descriptor is kept until the next look; whoever asked need not wait for that.
        let _ = stream.shutdown(Shutdown::Both);
    });
    match thread {
        Ok(thread) => Ok(Served { stream: mine, thread }),
        Err(error) => {
            pause();
            Err(error)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, which nothing has to wake")]
fn pause() {
    std::thread::sleep(PAUSE);
}

fn converse(mut stream: &TcpStream, pages: &dyn Pages) -> io::Result<()> {
    let until = now() + PATIENCE;
    let head = read_head(stream, until)?;
    let (has_body, page) = answer(&head, pages);
    stream.set_write_timeout(Some(left(until)?))?;
    let allow = if page.status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
    let lines = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{allow}Connection: close\r\n\r\n",
        page.status,
        reason(page.status),
        page.media,
        page.body.len(),
    );
    let mut bytes = lines.into_bytes();
    bytes.extend(page.body.iter().filter(|_| has_body));
    stream.write_all(&bytes)
}

/// Up to the empty line, or to the limit.
fn read_head(mut stream: &TcpStream, until: Instant) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut some = [0_u8; 1024];
    while head.len() < MAX_HEAD && !head.windows(4).any(|four| four == b"\r\n\r\n") {
        // Anew for each piece: who sends a byte now and then is bounded too.
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut some)? {
            0 => break,
            count => head.extend_from_slice(&some[..count]),
        }
    }
    Ok(head)
}

/// Whether the body is sent, and the page.
fn answer(head: &[u8], pages: &dyn Pages) -> (bool, Page) {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if head.len() < MAX_HEAD => return (true, Page::text(400, "half a request")),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return (
                true,
                Page::text(431, &format!("a request has at most {MAX_HEAD} bytes and {MAX_HEADERS} headers")),
            );
        }
        Err(error) => return (true, Page::text(400, &format!("this is no request: {error}"))),
    }
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    if method != "GET" && method != "HEAD" {
        return (true, Page::text(405, "pages can be read (GET, HEAD), and nothing else"));
    }
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let missing = || Page::text(404, "there is /livez, /readyz and /metrics");
    (method == "GET", pages.page(path).unwrap_or_else(missing))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[expect(clippy::disallowed_methods, reason = "bounds a connection; no decision of the run sees it")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    struct Echo;

    impl Pages for Echo {
        fn page(&self, path: &str) -> Option<Page> {
            (path == "/livez").then(|| Page::text(200, "alive"))
        }
    }

    fn ask(server: &HttpServer, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(request).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn pages_are_read_and_everything_else_is_refused() {
        let server = HttpServer::open("127.0.0.1:0", Arc::new(Echo)).unwrap();
        let page = ask(&server, b"GET /livez?verbose=1 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("\r\n\r\nalive\n"), "{page}");
        let head = ask(&server, b"HEAD /livez HTTP/1.0\r\n\r\n");
        assert!(head.contains("Content-Length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        for (request, status) in [
            (&b"GET /other HTTP/1.1\r\n\r\n"[..], "404 Not Found"),
            (b"POST /livez HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
            (b"GET /livez", "400 Bad Request"),
            (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", "400 Bad Request"),
            (&[b'A'; MAX_HEAD], "431 Request Header Fields Too Large"),
        ] {
            let answer = ask(&server, request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        }
    }

    #[test]
    fn it_ends_at_once_though_somebody_is_silent_and_takes_no_more_than_it_can() {
        let mut server = HttpServer::open("127.0.0.1:0", Arc::new(Echo)).unwrap();
        let mut silent: Vec<_> = (0..MAX_CONNECTIONS).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        let mut beyond = TcpStream::connect(server.address()).unwrap();
        assert_eq!(beyond.read(&mut [0; 8]).unwrap_or(0), 0, "one too many is closed");
        let before = now();
        server.close();
        assert!(before.elapsed() < PATIENCE / 2);
        assert_eq!(silent[0].read(&mut [0; 8]).unwrap_or(0), 0);
        assert!(TcpStream::connect(server.address()).is_err());
    }
}
