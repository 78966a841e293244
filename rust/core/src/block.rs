//! Records that never change and are owned together: a mapped file, a numpy array, a vector.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::tick::Tick;

/// A contiguous run of immutable records with shared ownership; cloning and slicing copy nothing.
///
/// ```
/// use tickrail_core::{Tick, TickBlock};
/// let block = TickBlock::from_vec(vec![Tick::quote(1, 0, 1.0, 2.0, 1.0, 1.0); 3]);
/// assert_eq!(block.slice(1..3).len(), 2);
/// ```
#[derive(Clone)]
pub struct TickBlock {
    start: *const Tick,
    len: usize,
    owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: the records behind `start` are immutable for as long as `owner` lives (contract of `from_raw_parts`), and the
// owner itself is Send + Sync.
unsafe impl Send for TickBlock {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for TickBlock {}

impl TickBlock {
    /// Takes the records of `ticks`.
    pub fn from_vec(ticks: Vec<Tick>) -> Self {
        let (start, len) = (ticks.as_ptr(), ticks.len());
        // SAFETY: the vector moves into the owner and is never touched again, so its buffer stays where it is.
        unsafe { Self::from_raw_parts(start, len, Arc::new(ticks)) }
    }

    /// Looks at `len` records at `start`, which `owner` keeps alive.
    ///
    /// # Safety
    /// `start` is aligned for [`Tick`]; `len` records behind it are readable and do not change while `owner` lives.
    pub unsafe fn from_raw_parts(start: *const Tick, len: usize, owner: Arc<dyn Any + Send + Sync>) -> Self {
        Self { start, len, owner }
    }

    /// The records.
    pub fn as_slice(&self) -> &[Tick] {
        // SAFETY: contract of `from_raw_parts`, and `self.owner` is alive.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// The records in `range`, sharing the owner.
    ///
    /// # Panics
    /// `range` reaches beyond the block.
    pub fn slice(&self, range: Range<usize>) -> Self {
        let part = &self.as_slice()[range];
        Self { start: part.as_ptr(), len: part.len(), owner: Arc::clone(&self.owner) }
    }

    /// How many records the block holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What keeps the records alive.
    pub fn owner(&self) -> &Arc<dyn Any + Send + Sync> {
        &self.owner
    }
}

impl fmt::Debug for TickBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TickBlock({} ticks)", self.len)
    }
}
