//! The memory of a ring: records side by side, so that a run of them is a slice.

use std::cell::UnsafeCell;

use crate::sync::Watch;
use crate::tick::{TICK_SIZE, Tick};

/// One record, on a cache line of its own.
#[repr(C, align(64))]
struct Slot(UnsafeCell<Tick>);

const _: () = assert!(size_of::<Slot>() == TICK_SIZE, "records must lie side by side");

/// Slots by sequence: record number `s` lies in slot `s & mask`.
pub(super) struct Slots {
    slots: Box<[Slot]>,
    watch: Watch,
}

// SAFETY: `write` and `read` ask their callers to keep writers and readers of a slot apart.
unsafe impl Sync for Slots {}

impl Slots {
    /// `capacity` is a power of two.
    pub(super) fn new(capacity: usize) -> Self {
        let blank = || Slot(UnsafeCell::new(Tick::from_bytes(&[0; TICK_SIZE])));
        Self { slots: std::iter::repeat_with(blank).take(capacity).collect(), watch: Watch::new(capacity) }
    }

    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Copies `ticks` to the slots from `sequence` on.
    ///
    /// # Safety
    /// `ticks` are no more than the capacity, and until this returns nobody else reads or writes their slots.
    pub(super) unsafe fn write(&self, sequence: u64, ticks: &[Tick]) {
        let first = self.index(sequence);
        let (before_wrap, after_wrap) = ticks.split_at(ticks.len().min(self.capacity() - first));
        // SAFETY: contract of this function; the first part ends at the last slot, the second is what is left.
        unsafe {
            self.write_run(first, before_wrap);
            self.write_run(0, after_wrap);
        }
    }

    /// Copies one record to the slot of `sequence`; a run of one would take two copies of a length found out at run time.
    ///
    /// # Safety
    /// Until this returns nobody else reads or writes the slot.
    pub(super) unsafe fn write_one(&self, sequence: u64, tick: Tick) {
        let slot = self.index(sequence);
        self.watch.writes(slot);
        // SAFETY: the slot exists, as the index is below the capacity, and is ours alone; a slot is exactly one Tick.
        unsafe { self.start().add(slot).write(tick) };
    }

    /// # Safety
    /// As `write`, and `ticks` do not reach beyond the last slot.
    unsafe fn write_run(&self, first: usize, ticks: &[Tick]) {
        (first..first + ticks.len()).for_each(|slot| self.watch.writes(slot));
        // SAFETY: the slots `first..first + len` exist and are ours alone; a slot is exactly one Tick.
        unsafe { std::ptr::copy_nonoverlapping(ticks.as_ptr(), self.start().add(first), ticks.len()) };
    }

    /// The slots from `sequence` on, to be written in place: at most `count` of them, and none beyond the last slot.
    ///
    /// # Safety
    /// Nobody else reads or writes the slots of `sequence..sequence + count` while the slice lives.
    #[expect(clippy::mut_from_ref, reason = "slots are cells, and the caller keeps others away")]
    pub(super) unsafe fn fill(&self, sequence: u64, count: usize) -> &mut [Tick] {
        let first = self.index(sequence);
        let count = count.min(self.capacity() - first);
        (first..first + count).for_each(|slot| self.watch.writes(slot));
        // SAFETY: the slots `first..first + count` exist, hold initialised records and are the caller's alone meanwhile.
        unsafe { std::slice::from_raw_parts_mut(self.start().add(first), count) }
    }

    /// The records from `sequence` on: at most `count` of them, and none beyond the last slot.
    ///
    /// # Safety
    /// Nobody writes the slots of `sequence..sequence + count` while the slice lives.
    pub(super) unsafe fn read(&self, sequence: u64, count: usize) -> &[Tick] {
        let first = self.index(sequence);
        let count = count.min(self.capacity() - first);
        (first..first + count).for_each(|slot| self.watch.reads(slot));
        // SAFETY: the slots `first..first + count` exist, hold initialised records and are not written meanwhile.
        unsafe { std::slice::from_raw_parts(self.start().add(first), count) }
    }

    fn index(&self, sequence: u64) -> usize {
        (sequence & (self.capacity() as u64 - 1)) as usize
    }

    fn start(&self) -> *mut Tick {
        // A slot is a Tick in an UnsafeCell, at the same address and of the same size (asserted above).
        self.slots.as_ptr().cast::<Tick>().cast_mut()
    }
}
