//! The order of a backtest: feeds merged by (key, feed number, position in feed).

mod interleave;
mod tournament;

use thiserror::Error;

use crate::block::TickBlock;
use crate::prefetch::streamed;
use crate::source::{Advance, ArraySource, Slice, Source};
use crate::tick::OrderBy;
use interleave::Interleave;

/// Most inputs a merge takes: far above any real run, and low enough that a mistaken caller learns of it early.
pub const MAX_INPUTS: usize = 1 << 16;

/// One feed of a merge.
#[derive(Clone, Debug)]
pub struct MergeInput {
    /// The feed's records, in their own order.
    pub block: TickBlock,
    /// The feed's number: which of two records of equal time comes first.
    pub feed: u32,
    /// `instruments[i]` is the run's index for the block's instrument `i`; `None`: they are the same.
    pub instruments: Option<Vec<u32>>,
}

/// Why inputs cannot be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MergeError {
    /// Two inputs have the same number, so that nothing would order their records of equal time.
    #[error("feed {feed} is given twice; each input of a merge needs a number of its own")]
    DuplicateFeed {
        /// The number.
        feed: u32,
    },
    /// A record names an instrument that the input's table does not have.
    #[error("feed {feed}, record {position}: instrument {instrument}, but the feed's table has only {known}")]
    UnknownInstrument {
        /// The feed's number.
        feed: u32,
        /// The record's place in the block.
        position: usize,
        /// What the record says.
        instrument: u32,
        /// How many instruments the table has.
        known: usize,
    },
    /// More than [`MAX_INPUTS`].
    #[error("{count} inputs; a merge takes at most {MAX_INPUTS}")]
    TooManyInputs {
        /// How many were given.
        count: usize,
    },
}

/// Merges feeds into one order, in O(log k) per record.
///
/// The order is (key, feed number, position in feed) and does not depend on how the records are sliced. A single feed
/// whose instruments need no new numbers is handed out without a copy; otherwise records are copied into a buffer that
/// is used again for each slice.
///
/// ```
/// use tickrail_core::order::{Merge, MergeInput};
/// use tickrail_core::source::{Advance, Source};
/// use tickrail_core::tick::OrderBy;
/// use tickrail_core::{Tick, TickBlock};
///
/// let feed = |feed, times: &[i64]| MergeInput {
///     block: TickBlock::from_vec(times.iter().map(|&t| Tick::quote(t, 0, 1.0, 2.0, 1.0, 1.0)).collect()),
///     feed,
///     instruments: Some(vec![feed]),
/// };
/// let mut merge = Merge::new(vec![feed(0, &[10, 30]), feed(1, &[10, 20])], OrderBy::TsEvent)?;
/// assert_eq!(merge.advance(4096), Advance::Ready);
/// let order: Vec<_> = merge.current().ticks.iter().map(|tick| (tick.ts_event, tick.instrument)).collect();
/// assert_eq!(order, [(10, 0), (10, 1), (20, 1), (30, 0)]);
/// # Ok::<(), tickrail_core::order::MergeError>(())
/// ```
#[derive(Debug)]
pub struct Merge {
    form: Form,
}

#[derive(Debug)]
enum Form {
    Whole(ArraySource),
    Copied(Interleave),
}

impl Merge {
    /// Merges `inputs` by the time that `order` names.
    ///
    /// Reads every record of an input with a table once, so that a wrong one is refused here and not in the middle of a
    /// run; inputs without a table are not read.
    ///
    /// # Errors
    /// Two inputs have one number, a record has no row in its input's table, or there are too many inputs.
    pub fn new(mut inputs: Vec<MergeInput>, order: OrderBy) -> Result<Self, MergeError> {
        if inputs.len() > MAX_INPUTS {
            return Err(MergeError::TooManyInputs { count: inputs.len() });
        }
        inputs.sort_by_key(|input| input.feed);
        if let Some(pair) = inputs.windows(2).find(|pair| pair[0].feed == pair[1].feed) {
            return Err(MergeError::DuplicateFeed { feed: pair[0].feed });
        }
        inputs.iter().try_for_each(check_instruments)?;
        for input in &mut inputs {
            input.instruments = input.instruments.take().filter(|table| !is_identity(table));
        }
        Ok(Self { form: Form::of(inputs, order) })
    }
}

impl Form {
    fn of(inputs: Vec<MergeInput>, order: OrderBy) -> Self {
        match inputs.as_slice() {
            [MergeInput { block, feed, instruments: None }] => Self::Whole(ArraySource::new(block.clone(), *feed)),
            _ => Self::Copied(Interleave::new(inputs, order)),
        }
    }
}

fn check_instruments(input: &MergeInput) -> Result<(), MergeError> {
    let Some(table) = &input.instruments else { return Ok(()) };
    let known = table.len();
    match streamed(input.block.as_slice()).position(|tick| tick.instrument as usize >= known) {
        None => Ok(()),
        Some(position) => Err(MergeError::UnknownInstrument {
            feed: input.feed,
            position,
            instrument: input.block.as_slice()[position].instrument,
            known,
        }),
    }
}

fn is_identity(table: &[u32]) -> bool {
    table.iter().enumerate().all(|(index, &to)| index == to as usize)
}

impl Source for Merge {
    fn advance(&mut self, max: usize) -> Advance {
        match &mut self.form {
            Form::Whole(array) => array.advance(max),
            Form::Copied(interleave) => interleave.advance(max),
        }
    }

    fn current(&self) -> Slice<'_> {
        match &self.form {
            Form::Whole(array) => array.current(),
            Form::Copied(interleave) => interleave.current(),
        }
    }

    fn remaining(&self) -> Option<u64> {
        match &self.form {
            Form::Whole(array) => array.remaining(),
            Form::Copied(interleave) => interleave.remaining(),
        }
    }
}

#[cfg(test)]
mod tests;
