//! The observer ring: one thread writes, any number of others look on, each at its own pace.
//!
//! A gating observer is waited for: what it has not taken is not written over. A lossy one is not; overtaken, it goes on
//! with newer records and says how many it has lost, exactly. Records are copied out and validated (see `line`), so an
//! observer that gates no more, since its thread is stuck, does no harm: the writer drops its gate and it becomes lossy.

use std::fmt;

use super::line::{Line, Words};
use super::padded::Padded;
use super::sequence::{after, before, distance};
use super::{CapacityError, check_capacity};
use crate::sync::{Arc, AtomicU64, Ordering};
use crate::tick::Tick;

/// `closed_at` of an open ring; no sequence.
const OPEN: u64 = u64::MAX;

/// The cursor of an observer that is waited for no more, gone or taken off by the writer; no sequence.
const LEFT: u64 = u64::MAX;

struct Shared {
    words: Box<[Words]>,
    /// Those of the records, eight to a cache line: with one beside each record every record was two lines.
    stamps: Box<[AtomicU64]>,
    /// The sequence after the last record that is published; written by the writer.
    tail: Padded<AtomicU64>,
    /// The tail with which the ring was closed, or `OPEN`; written once.
    closed_at: Padded<AtomicU64>,
}

impl Shared {
    fn line(&self, sequence: u64) -> Line<'_> {
        let slot = (sequence & (self.words.len() as u64 - 1)) as usize;
        Line { words: &self.words[slot], stamp: &self.stamps[slot] }
    }

    /// Acquire; partner: the store in `publish`, so that the records below the count are there.
    fn tail_acquire(&self) -> u64 {
        self.tail.load(Ordering::Acquire)
    }
}

/// How far a gating observer has come: its sequence, or `LEFT`.
type Gate = Arc<Padded<AtomicU64>>;

/// The half that publishes; one thread at a time has it. Dropping it closes the ring.
pub struct ObserverWriter {
    shared: Arc<Shared>,
    tail: u64,
    gates: Vec<Gate>,
    /// The slowest gate as last seen; may be stale, and then shows fewer free slots than there are.
    slowest_seen: u64,
}

/// A half that looks on.
pub struct Observer {
    shared: Arc<Shared>,
    next: u64,
    gate: Option<Gate>,
    lost: u64,
}

/// What one look brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Records that were copied out.
    pub count: usize,
    /// Records that were written over before they could be, right before those.
    pub lost: u64,
}

/// An observer ring without observers.
///
/// # Errors
/// The capacity is no power of two, or out of range.
///
/// ```
/// use tickrail_core::{Tick, ring};
/// let mut writer = ring::observer(4)?;
/// let mut looks_on = writer.observer();
/// let ticks: Vec<Tick> = (0..6).map(|time| Tick::quote(time, 0, 1.0, 2.0, 1.0, 1.0)).collect();
/// assert_eq!(writer.publish(&ticks), 6);
/// let mut seen = Vec::new();
/// let look = looks_on.look(&mut seen, 16);
/// assert_eq!((look.count as u64 + look.lost, seen.last()), (6, ticks.last()));
/// # Ok::<(), ring::CapacityError>(())
/// ```
pub fn observer(capacity_slots: usize) -> Result<ObserverWriter, CapacityError> {
    observer_from(capacity_slots, 0)
}

/// The same with `first` as the first record's sequence: what a ring is like that has run for long.
pub(crate) fn observer_from(capacity_slots: usize, first: u64) -> Result<ObserverWriter, CapacityError> {
    check_capacity(capacity_slots)?;
    let shared = Arc::new(Shared {
        words: std::iter::repeat_with(Words::new).take(capacity_slots).collect(),
        stamps: std::iter::repeat_with(|| AtomicU64::new(0)).take(capacity_slots).collect(),
        tail: Padded::new(AtomicU64::new(first)),
        closed_at: Padded::new(AtomicU64::new(OPEN)),
    });
    Ok(ObserverWriter { shared, tail: first, gates: Vec::new(), slowest_seen: first })
}

impl ObserverWriter {
    /// Publishes as many of `ticks`, from the first on, as gating observers leave room for, and says how many that were;
    /// without such observers all of them.
    pub fn publish(&mut self, ticks: &[Tick]) -> usize {
        let count = self.claim(ticks.len());
        for tick in &ticks[..count] {
            let next = after(self.tail, 1);
            self.shared.line(self.tail).write(next, tick);
            self.tail = next;
        }
        if count > 0 {
            // Release; partner `tail_acquire`.
            self.shared.tail.store(self.tail, Ordering::Release);
        }
        count
    }

    /// Somebody who sees what is published from now on, and is not waited for.
    pub fn observer(&self) -> Observer {
        self.observer_at_tail(None)
    }

    /// Somebody who sees everything that is published from now on: nothing is written over before it has it.
    pub fn gating_observer(&mut self) -> Observer {
        let gate: Gate = Arc::new(Padded::new(AtomicU64::new(self.tail)));
        self.slowest_seen = self.slowest();
        self.gates.push(Arc::clone(&gate));
        self.observer_at_tail(Some(gate))
    }

    fn observer_at_tail(&self, gate: Option<Gate>) -> Observer {
        Observer { shared: Arc::clone(&self.shared), next: self.tail, gate, lost: 0 }
    }

    /// Waits no more for observers that are `lag` records behind or more; says how many those were. They go on as lossy
    /// ones.
    pub fn drop_gates_behind(&mut self, lag: u64) -> usize {
        let before = self.gates.len();
        let tail = self.tail;
        self.gates.retain(|gate| {
            // Acquire; partner: the store in `advance_gate`. Who moves on meanwhile is let go all the same.
            let at = gate.load(Ordering::Acquire);
            let stays = at == LEFT || distance(at, tail) < lag;
            if !stays {
                // Relaxed: the observer needs nothing of ours with it; what it reads, it validates.
                gate.store(LEFT, Ordering::Relaxed);
            }
            stays
        });
        before - self.gates.len()
    }

    /// Ends the stream after what has been published; idempotent. Observers still get all of that.
    pub fn close(&mut self) {
        // Release; partner: the load in `is_drained`.
        self.shared.closed_at.store(self.tail, Ordering::Release);
    }

    /// How many records were published since the start.
    pub fn published(&self) -> u64 {
        self.tail
    }

    /// How many slots the ring has.
    pub fn capacity_slots(&self) -> usize {
        self.shared.words.len()
    }

    fn claim(&mut self, wanted: usize) -> usize {
        if self.gates.is_empty() {
            return wanted;
        }
        if self.free_slots() < wanted {
            self.slowest_seen = self.slowest();
        }
        self.free_slots().min(wanted)
    }

    fn free_slots(&self) -> usize {
        if self.gates.is_empty() {
            return usize::MAX;
        }
        self.capacity_slots() - distance(self.slowest_seen, self.tail) as usize
    }

    /// The cursor of the slowest gate; those that were left are forgotten.
    fn slowest(&mut self) -> u64 {
        let mut behind = 0;
        let tail = self.tail;
        self.gates.retain(|gate| {
            // Acquire; partner: the store in `advance_gate`: the records were read before they are written over.
            let at = gate.load(Ordering::Acquire);
            if at != LEFT {
                behind = distance(at, tail).max(behind);
            }
            at != LEFT
        });
        before(tail, behind)
    }
}

impl Drop for ObserverWriter {
    fn drop(&mut self) {
        self.close();
    }
}

impl Observer {
    /// Appends what is there to `into`, at most `most` records, and says how many were lost before them.
    pub fn look(&mut self, into: &mut Vec<Tick>, most: usize) -> Seen {
        let tail = self.shared.tail_acquire();
        let mut seen = self.catch_up(tail);
        into.reserve(most.min(distance(self.next, tail) as usize));
        while seen.count < most && self.next != tail {
            match self.shared.line(self.next).read_into(&mut into.spare_capacity_mut()[0]) {
                Some(version) if version == after(self.next, 1) => {
                    // SAFETY: room was made for all that is there, and this record was just written behind the last.
                    unsafe { into.set_len(into.len() + 1) };
                    self.next = version;
                    seen.count += 1;
                }
                // Overtaken while looking. What was seen stays seen; the gap is told with the next records.
                _ if seen.count > 0 => break,
                _ => {
                    seen.lost += self.skip_to(self.shared.tail_acquire());
                    break;
                }
            }
        }
        self.lost += seen.lost;
        self.advance_gate();
        seen
    }

    /// How many records it has not looked at; those that are lost already among them.
    pub fn lag(&self) -> u64 {
        distance(self.next, self.shared.tail_acquire())
    }

    /// How many it has lost since the start.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether the writer waits for it.
    pub fn is_gating(&self) -> bool {
        // Relaxed; partner: the store in `drop_gates_behind`, of which nothing else is wanted.
        self.gate.as_ref().is_some_and(|gate| gate.load(Ordering::Relaxed) != LEFT)
    }

    /// Whether the ring is closed and everything was looked at.
    pub fn is_drained(&self) -> bool {
        // Acquire; partner: the store in `close`.
        self.shared.closed_at.load(Ordering::Acquire) == self.next
    }

    /// Where it was overtaken it goes on with what is left; says how many records are gone.
    fn catch_up(&mut self, tail: u64) -> Seen {
        let is_overtaken = distance(self.next, tail) > self.shared.words.len() as u64;
        Seen { count: 0, lost: if is_overtaken { self.skip_to(tail) } else { 0 } }
    }

    /// Goes on a quarter of the ring behind the oldest record, so that the writer is not at its heels at once.
    fn skip_to(&mut self, tail: u64) -> u64 {
        let slots = self.shared.words.len() as u64;
        let behind = distance(self.next, tail);
        let kept = behind.min(slots - slots / 4);
        self.next = before(tail, kept);
        behind - kept
    }

    fn advance_gate(&self) {
        if let Some(gate) = &self.gate {
            // Relaxed: only the writer writes it besides, and only `LEFT`, which the exchange then finds.
            let at = gate.load(Ordering::Relaxed);
            if at != LEFT {
                // Release; partner `slowest`: what was copied out was read before. Failing says that the gate is dropped.
                let _ = gate.compare_exchange(at, self.next, Ordering::Release, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            // Release; partner `slowest`.
            gate.store(LEFT, Ordering::Release);
        }
    }
}

impl fmt::Debug for ObserverWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ObserverWriter({} published, {} slots, {} gates)",
            self.tail,
            self.capacity_slots(),
            self.gates.len()
        )
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observer({} behind, {} lost)", self.lag(), self.lost)
    }
}
