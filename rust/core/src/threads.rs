//! Threads of ours, begun by name: where the system has none, the error says which one is missing.

use std::error::Error;
use std::fmt;
use std::io;
use std::thread::{Builder, JoinHandle};

/// The system has no thread for us: too many processes, or no memory for a stack. Inside of an [`io::Error`].
#[derive(Debug)]
pub struct NoThread {
    name: &'static str,
    source: io::Error,
}

impl fmt::Display for NoThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {} cannot be started: {}", self.name, self.source)
    }
}

impl Error for NoThread {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Begins a thread called `name`.
///
/// # Errors
/// [`NoThread`], as an [`io::Error`] of the system's kind.
///
/// ```
/// assert_eq!(tickrail_core::threads::begin("tickrail-sum", || 1 + 1)?.join().unwrap(), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn begin<R: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> R + Send + 'static,
) -> io::Result<JoinHandle<R>> {
    let began = Builder::new().name(name.to_owned()).spawn(work);
    began.map_err(|source| io::Error::new(source.kind(), NoThread { name, source }))
}
