//! What ties a lane's two rings together: records and letters are taken in the order in which they were written, and the
//! loop can tell that the lane is done with them.
//!
//! Between the two threads there are the rings, the waker and the words of [`Shared`], and nothing else; the models include
//! this file as it is.

use crate::ring::{self, CapacityError, CommandConsumer, CommandProducer, Observer, ObserverWriter, Seen};
use crate::stop::Waker;
use crate::sync::{Arc, AtomicBool, AtomicU64, Ordering};
use crate::tick::Tick;

/// What both ends of a lane see.
#[derive(Debug, Default)]
pub struct Shared {
    /// Wakes the lane's thread.
    pub waker: Waker,
    /// Records and letters that the lane is done with. Release by its thread, Acquire by the loop, which then sees what the
    /// handler wrote.
    done: AtomicU64,
    /// The lane takes no more. Release by its thread, after its last call of the handler; Acquire by the loop.
    over: AtomicBool,
    /// No more records, only letters: the run is to stop. Relaxed, as `leave`: nothing else is read on its word.
    hurry: AtomicBool,
    /// Nothing any more.
    leave: AtomicBool,
}

impl Shared {
    /// The lane ends where it is. Any end.
    pub fn leave(&self) {
        self.leave.store(true, Ordering::Relaxed);
    }

    /// Whether it is to.
    pub fn is_left(&self) -> bool {
        self.leave.load(Ordering::Relaxed)
    }

    /// Records are not handled any more, only counted.
    pub fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// Whether that is so.
    pub fn is_hurried(&self) -> bool {
        self.hurry.load(Ordering::Relaxed)
    }

    /// The lane has called its handler for the last time. By its thread.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Whether it has: then the loop sees all that the handler wrote.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// A letter, and how many records go before it.
#[derive(Debug)]
struct Letter<T> {
    after: u64,
    text: T,
}

/// The loop's end.
#[derive(Debug)]
pub struct NearEnd<T> {
    records: ObserverWriter,
    letters: CommandProducer<Letter<T>>,
    shared: Arc<Shared>,
    /// Records and letters that were written.
    sent: u64,
    mailed: u64,
}

/// The lane's end.
#[derive(Debug)]
pub struct FarEnd<T> {
    records: Observer,
    letters: CommandConsumer<Letter<T>>,
    shared: Arc<Shared>,
    /// The letter that comes next.
    next: Option<Letter<T>>,
    /// Records that were copied out or lost, and letters that were read.
    taken: u64,
    read: u64,
}

/// What comes next at the lane's end.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// So many records.
    Records(u64),
    /// A letter.
    Letter(T),
    /// A letter, behind records that this thread cannot see yet.
    Soon,
    /// Nothing.
    Nothing,
}

/// Both ends, over a ring of records with the lane's `observer`, and one of so many letters.
///
/// # Errors
/// A ring of letters cannot be of that size.
pub fn tie<T: Send>(
    records: ObserverWriter,
    observer: Observer,
    letters: usize,
) -> Result<(NearEnd<T>, FarEnd<T>), CapacityError> {
    let (letters, mail) = ring::commands(letters)?;
    let shared = Arc::new(Shared::default());
    let far = FarEnd { records: observer, letters: mail, shared: Arc::clone(&shared), next: None, taken: 0, read: 0 };
    Ok((NearEnd { records, letters, shared, sent: 0, mailed: 0 }, far))
}

impl<T: Send> NearEnd<T> {
    /// What both ends see.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Writes as many of `ticks`, from the first on, as there are slots for; says how many. Then [`Self::notify`].
    pub fn write(&mut self, ticks: &[Tick]) -> usize {
        let count = self.records.publish(ticks);
        self.sent += count as u64;
        count
    }

    /// Writes a letter behind all records so far, and wakes the lane; false where there is no slot for it.
    pub fn mail(&mut self, text: T) -> bool {
        let is_in = self.letters.push(Letter { after: self.sent, text }).is_ok();
        if is_in {
            self.mailed += 1;
            self.wake();
        }
        is_in
    }

    /// Wakes the lane's thread if it sleeps: records it finds by itself.
    pub fn notify(&self) {
        self.shared.waker.notify();
    }

    /// Wakes the lane's thread.
    pub fn wake(&self) {
        self.shared.waker.wake();
    }

    /// Whether the lane is done with all that was written: then the loop sees what the handler wrote.
    pub fn is_at_rest(&self) -> bool {
        self.shared.done.load(Ordering::Acquire) >= self.sent + self.mailed
    }

    /// The lane is waited for no more: it loses what it is late for.
    pub fn let_go(&mut self) {
        self.records.drop_gates_behind(0);
    }

    /// Nothing more is written, and nothing more is taken.
    pub fn close(&mut self) {
        self.shared.leave();
        self.records.close();
        self.wake();
    }
}

impl<T: Send> FarEnd<T> {
    /// What both ends see.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Records and letters that were taken.
    pub fn taken(&self) -> u64 {
        self.taken + self.read
    }

    /// Whether records wait: to be looked at before a sleep, from which [`NearEnd::notify`] wakes.
    pub fn has_records(&self) -> bool {
        self.records.lag() > 0
    }

    /// What comes next, and how many records wait; at most `most` of them at once.
    pub fn next(&mut self, most: u64) -> (Next<T>, u64) {
        // First the records, then the letter: what was written behind a letter is not seen without it.
        let there = self.records.lag();
        if self.next.is_none() {
            self.next = self.letters.pop();
        }
        let before = self.next.as_ref().map_or(u64::MAX, |letter| letter.after.saturating_sub(self.taken));
        let count = there.min(before).min(most);
        let next = if count > 0 {
            Next::Records(count)
        } else if before == 0
            && let Some(letter) = self.next.take()
        {
            self.read += 1;
            Next::Letter(letter.text)
        } else if before == u64::MAX {
            Next::Nothing
        } else {
            Next::Soon
        };
        (next, there)
    }

    /// Copies the oldest records to the end of `into`, at most `most`; those that were written over count as taken.
    pub fn look(&mut self, into: &mut Vec<Tick>, most: usize) -> Seen {
        let seen = self.records.look(into, most);
        self.taken += seen.lost + seen.count as u64;
        seen
    }

    /// The handler is done with all that was taken.
    pub fn mark_done(&self) {
        self.shared.done.store(self.taken + self.read, Ordering::Release);
    }
}
