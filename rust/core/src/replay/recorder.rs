//! From the observer ring to a recording.

use super::recording::{Recording, RecordingError};
use crate::ring::Observer;
use crate::tick::Tick;

/// Records that are copied out in one go.
const AT_ONCE: usize = 4_096;

/// Keeps what an observer sees. One thread at a time.
#[derive(Debug)]
pub struct Recorder {
    observer: Observer,
    stream: Vec<Tick>,
    lost: u64,
    /// Most records that are kept; what comes after is lost.
    most: usize,
}

impl Recorder {
    /// Keeps at most `most` records of what `observer` sees.
    pub fn new(observer: Observer, most: usize) -> Self {
        Self { observer, stream: Vec::new(), lost: 0, most }
    }

    /// Takes what is there now, and says how many records that were.
    pub fn look(&mut self) -> usize {
        let before = self.stream.len();
        loop {
            let seen = self.observer.look(&mut self.stream, AT_ONCE);
            self.lost += seen.lost;
            let count = seen.count;
            if self.stream.len() > self.most {
                self.lost += (self.stream.len() - self.most) as u64;
                self.stream.truncate(self.most);
                return self.most - before.min(self.most);
            }
            if count == 0 && seen.lost == 0 {
                return self.stream.len() - before;
            }
        }
    }

    /// Whether the run is over and everything was seen.
    pub fn is_done(&self) -> bool {
        self.observer.is_drained()
    }

    /// Records that were not kept.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// What was kept: the order and the records.
    ///
    /// # Errors
    /// Records are missing.
    pub fn finish(mut self) -> Result<Recording, RecordingError> {
        self.look();
        if self.lost > 0 {
            return Err(RecordingError::Lost { count: self.lost });
        }
        Recording::from_records(&self.stream)
    }
}
