//! Rows of delimited text as typed columns: streamed, in bounded memory, exact.
//!
//! A row whose cells are plain is read in one pass, each cell parsed where it stands (`fast`). Whatever that pass does not
//! expect (quotes, blanks, words for "nothing", numbers of twenty digits) sends the row through `careful`, which knows every
//! form and says what is wrong with line and column. Both give the same values; a property test compares them.

mod careful;
mod fast;
pub(crate) mod number;
mod reader;
#[cfg(test)]
mod tests;
mod time;
mod words;

use std::sync::Arc;

pub use reader::{CsvReader, LONGEST_ROW, ROWS_AT_ONCE};

/// What the cells of a column are read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Not read.
    Skip,
    /// A float; nothing is NaN.
    Number,
    /// An integer; nothing is 0.
    Integer,
    /// A time in ns; nothing is `TIME_MISSING`, and what 64 bits do not hold is `TIME_OVERFLOW`.
    Time {
        /// How it is written.
        form: TimeForm,
        /// Added to every time.
        shift_ns: i64,
    },
    /// True or false.
    Flag,
    /// One of few words.
    Word,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// A number since the epoch.
    Epoch {
        /// Decimal places from its unit to a nanosecond: 9 for seconds.
        digits: u8,
        /// Whether it may have a fraction.
        fraction: bool,
    },
    /// A date, mostly with a time of day: `2024-01-31T09:30:00.25Z`, `2024.01.31 09:30`.
    Calendar {
        /// Whether it ends in a zone or offset; if so it is turned into UTC.
        zoned: bool,
    },
}

/// A column in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// For messages.
    pub name: String,
    /// What it holds.
    pub kind: CellKind,
}

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Between cells.
    pub delimiter: u8,
    /// Whether a cell may stand in quotation marks.
    pub quoted: bool,
    /// Lines before the first row.
    pub skip_lines: u64,
}

/// The values of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// Of a column that is not read.
    Skipped,
    /// Floats.
    Numbers(Vec<f64>),
    /// Integers.
    Integers(Vec<i64>),
    /// Times in ns.
    Times(Vec<i64>),
    /// 0, 1, or [`NO_FLAG`].
    Flags(Vec<u8>),
    /// Places in the words, or [`NO_WORD`].
    Words(Vec<i32>, Arc<Vec<String>>),
}

/// Stands for a flag that is not there.
pub const NO_FLAG: u8 = 2;
/// Stands for a word that is not there.
pub const NO_WORD: i32 = -1;

/// Rows that stand on lines that follow each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Line of the first row, from 1.
    pub first_line: u64,
    /// How many rows.
    pub rows: usize,
    /// A column each, in the order of the file.
    pub cells: Vec<Cells>,
}

/// Why a text is not what it was said to be.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// A row with more or fewer cells.
    #[error("expected {expected} columns, as in the first row; here are {got}: {text}")]
    Columns {
        /// Where it begins.
        line: u64,
        /// What the others have.
        expected: usize,
        /// What it has.
        got: usize,
        /// Its beginning.
        text: String,
    },
    /// A cell that is none of its kind.
    #[error("column '{column}': expected {wanted}; there is '{value}'")]
    Value {
        /// Where its row begins.
        line: u64,
        /// Name of its column.
        column: String,
        /// What it should be.
        wanted: &'static str,
        /// What it is.
        value: String,
    },
    /// A quotation mark without a second.
    #[error("a quotation mark is never closed")]
    Unclosed {
        /// Where its row begins.
        line: u64,
    },
    /// A row that does not end.
    #[error("a row is longer than {LONGEST_ROW} bytes")]
    TooLong {
        /// Where it begins.
        line: u64,
    },
}

impl CsvError {
    /// The line that the offending row begins on.
    pub const fn line(&self) -> u64 {
        match self {
            Self::Columns { line, .. }
            | Self::Value { line, .. }
            | Self::Unclosed { line }
            | Self::TooLong { line } => *line,
        }
    }
}
