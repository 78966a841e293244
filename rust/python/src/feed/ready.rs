//! A descriptor that can be read when slots are free, for event loops that must not wait.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::Arc;

#[cfg(target_os = "linux")]
use std::fs::File;
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd as _;

/// An eventfd where there is one, else a pipe; neither blocks.
#[derive(Debug)]
pub struct Ready {
    #[cfg(target_os = "linux")]
    file: File,
    #[cfg(not(target_os = "linux"))]
    pipe: (io::PipeReader, io::PipeWriter),
}

#[cfg(target_os = "linux")]
impl Ready {
    /// Not ready.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Arc<Self>> {
        // SAFETY: takes no memory of ours.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open and nobody else has it.
        Ok(Arc::new(Self { file: unsafe { File::from_raw_fd(descriptor) } }))
    }

    /// What a loop watches for reading.
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Makes it readable. From the dispatch thread: one system call, and none waits.
    pub fn set(&self) {
        // Full means that it is readable.
        let _ = (&self.file).write(&1_u64.to_ne_bytes());
    }

    /// Makes it unreadable.
    pub fn clear(&self) {
        let _ = (&self.file).read(&mut [0; 8]);
    }
}

#[cfg(not(target_os = "linux"))]
impl Ready {
    /// Not ready.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Arc<Self>> {
        let pipe = io::pipe()?;
        for descriptor in [pipe.0.as_raw_fd(), pipe.1.as_raw_fd()] {
            // SAFETY: both descriptors are open and ours.
            if unsafe { libc::fcntl(descriptor, libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(Arc::new(Self { pipe }))
    }

    /// What a loop watches for reading.
    pub fn descriptor(&self) -> RawFd {
        self.pipe.0.as_raw_fd()
    }

    /// Makes it readable. From the dispatch thread: one system call, and none waits.
    pub fn set(&self) {
        // Full means that it is readable.
        let _ = (&self.pipe.1).write(&[1]);
    }

    /// Makes it unreadable.
    pub fn clear(&self) {
        while matches!((&self.pipe.0).read(&mut [0; 64]), Ok(64)) {}
    }
}
