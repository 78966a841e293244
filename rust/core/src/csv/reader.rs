//! From blocks of text to batches of columns.

use super::words::Words;
use super::{Batch, CellKind, Cells, Column, CsvError, Form, NO_FLAG, NO_WORD, careful, fast};
use crate::check::TIME_MISSING;

/// Rows of a batch, at most: their columns stay in a core's cache until they are packed.
pub const ROWS_AT_ONCE: usize = 16_384;
/// Bytes of a row, at most: what is longer is no table of ticks.
pub const LONGEST_ROW: usize = 4 << 20;

const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Where the cell at `at` ends: at the delimiter or the end of the line.
#[inline(always)]
pub(super) fn cell_end(text: &[u8], at: usize, delimiter: u8) -> usize {
    let is_end = |&byte: &u8| byte == delimiter || byte == b'\n' || byte == b'\r';
    text[at..].iter().position(is_end).map_or(text.len(), |length| at + length)
}

/// What a column gathers; only the vector of its kind is used.
#[derive(Debug)]
pub(super) struct Store {
    pub kind: CellKind,
    pub numbers: Vec<f64>,
    /// Integers and times.
    pub integers: Vec<i64>,
    pub flags: Vec<u8>,
    pub places: Vec<i32>,
    pub words: Words,
}

impl Store {
    fn new(kind: CellKind) -> Self {
        let (numbers, integers, flags, places) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { kind, numbers, integers, flags, places, words: Words::default() }
    }

    #[inline]
    pub fn push_nothing(&mut self) {
        match self.kind {
            CellKind::Skip => {}
            CellKind::Number => self.numbers.push(f64::NAN),
            CellKind::Integer => self.integers.push(0),
            CellKind::Time { .. } => self.integers.push(TIME_MISSING),
            CellKind::Flag => self.flags.push(NO_FLAG),
            CellKind::Word => self.places.push(NO_WORD),
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.numbers.truncate(rows);
        self.integers.truncate(rows);
        self.flags.truncate(rows);
        self.places.truncate(rows);
    }

    fn take(&mut self) -> Cells {
        fn out<V>(values: &mut Vec<V>) -> Vec<V> {
            let next = Vec::with_capacity(values.len());
            std::mem::replace(values, next)
        }
        match self.kind {
            CellKind::Skip => Cells::Skipped,
            CellKind::Number => Cells::Numbers(out(&mut self.numbers)),
            CellKind::Integer => Cells::Integers(out(&mut self.integers)),
            CellKind::Time { .. } => Cells::Times(out(&mut self.integers)),
            CellKind::Flag => Cells::Flags(out(&mut self.flags)),
            CellKind::Word => Cells::Words(out(&mut self.places), self.words.share()),
        }
    }
}

/// Reads text that comes in blocks of any size.
///
/// ```
/// use tickrail_core::csv::{Cells, CellKind, Column, CsvReader, Form};
///
/// let column = |name: &str| Column { name: name.to_owned(), kind: CellKind::Number };
/// let form = Form { delimiter: b',', quoted: true, skip_lines: 1 };
/// let mut reader = CsvReader::new(vec![column("bid"), column("ask")], form);
/// reader.feed(b"bid,ask\n1.5,2\n1.2", false);
/// let batch = reader.next_batch()?.unwrap();
/// assert_eq!((batch.first_line, &batch.cells[0]), (2, &Cells::Numbers(vec![1.5])));
/// assert!(reader.next_batch()?.is_none());
/// reader.feed(b"5,3", true);
/// assert_eq!(reader.next_batch()?.unwrap().cells[0], Cells::Numbers(vec![1.25]));
/// # Ok::<(), tickrail_core::csv::CsvError>(())
/// ```
#[derive(Debug)]
pub struct CsvReader {
    columns: Vec<Column>,
    form: Form,
    stores: Vec<Store>,
    text: Vec<u8>,
    /// Where the next row begins.
    at: usize,
    /// Behind the last line that is there as a whole.
    whole: usize,
    /// Of the next row.
    line: u64,
    skip_lines: u64,
    has_begun: bool,
    has_ended: bool,
    failure: Option<CsvError>,
}

impl CsvReader {
    /// A reader before the first line.
    pub fn new(columns: Vec<Column>, form: Form) -> Self {
        let stores = columns.iter().map(|column| Store::new(column.kind)).collect();
        Self {
            columns,
            form,
            stores,
            text: Vec::new(),
            at: 0,
            whole: 0,
            line: 1,
            skip_lines: form.skip_lines,
            has_begun: false,
            has_ended: false,
            failure: None,
        }
    }

    /// Takes the next block of the text, once [`next_batch`](Self::next_batch) has nothing more of the ones before.
    pub fn feed(&mut self, block: &[u8], is_last: bool) {
        self.text.drain(..self.at);
        // Behind the lines that were whole before, what was seen has no end of a line; its last byte may be half of one.
        let (known, seen) = (self.whole.saturating_sub(self.at), self.text.len().saturating_sub(1));
        self.at = 0;
        self.text.extend_from_slice(block);
        self.has_ended = is_last;
        if !self.has_begun && (self.text.len() >= MARK.len() || is_last) {
            self.has_begun = true;
            if self.text.starts_with(MARK) {
                self.at = MARK.len();
            }
        }
        if is_last && !matches!(self.text.last(), None | Some(b'\n' | b'\r')) {
            self.text.push(b'\n');
        }
        self.whole = if is_last { self.text.len() } else { whole_lines(&self.text, seen).unwrap_or(known) };
        self.skip();
        if self.text.len() - self.whole > LONGEST_ROW {
            self.failure = Some(CsvError::TooLong { line: self.line });
        }
    }

    fn skip(&mut self) {
        while self.skip_lines > 0 && self.at < self.whole {
            let text = &self.text[..self.whole];
            let end =
                text[self.at..].iter().position(|byte| b"\r\n".contains(byte)).map_or(self.whole, |n| self.at + n);
            self.at = (end + line_end(text, end)).min(self.whole);
            self.skip_lines -= 1;
            self.line += 1;
        }
    }

    /// The next rows; `None`: [`feed`](Self::feed) more, or the text has ended. What is right before an error comes before it.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, CsvError> {
        if !self.has_begun || self.skip_lines > 0 {
            return self.failure.clone().map_or(Ok(None), Err);
        }
        let (mut first_line, mut rows) = (self.line, 0);
        while self.failure.is_none() && rows < ROWS_AT_ONCE && self.at < self.whole {
            let empty = line_end(&self.text[..self.whole], self.at);
            if empty > 0 {
                self.at += empty;
                self.line += 1;
                if rows > 0 {
                    break;
                }
                first_line = self.line;
                continue;
            }
            let lines = match self.row(rows) {
                Ok(0) => break,
                Ok(lines) => lines,
                Err(error) => {
                    self.failure = Some(error);
                    break;
                }
            };
            rows += 1;
            self.line += lines;
            // The rows of a batch stand on lines that follow each other.
            if lines > 1 {
                break;
            }
        }
        self.end_batch(first_line, rows)
    }

    fn end_batch(&mut self, first_line: u64, rows: usize) -> Result<Option<Batch>, CsvError> {
        self.stores.iter_mut().for_each(|store| store.truncate(rows));
        if rows > 0 {
            return Ok(Some(Batch { first_line, rows, cells: self.stores.iter_mut().map(Store::take).collect() }));
        }
        self.failure.clone().map_or(Ok(None), Err)
    }

    /// Reads one row; returns the lines that it takes, 0 if it goes on beyond the text.
    #[inline]
    fn row(&mut self, rows: usize) -> Result<u64, CsvError> {
        let text = &self.text[..self.whole];
        if let Some(next) = fast::row(text, self.at, &mut self.stores, &self.form) {
            self.at = next;
            return Ok(1);
        }
        self.careful_row(rows)
    }

    #[cold]
    fn careful_row(&mut self, rows: usize) -> Result<u64, CsvError> {
        self.stores.iter_mut().for_each(|store| store.truncate(rows));
        let text = &self.text[..self.whole];
        let next = careful::row(text, self.at, self.line, &mut self.stores, &self.columns, &self.form)?;
        let Some(next) = next else {
            return if self.has_ended {
                Err(CsvError::Unclosed { line: self.line })
            } else if self.text.len() - self.at > LONGEST_ROW {
                Err(CsvError::TooLong { line: self.line })
            } else {
                Ok(0)
            };
        };
        let lines = text[self.at..next].iter().filter(|&&byte| byte == b'\n').count();
        self.at = next;
        Ok(lines.max(1) as u64)
    }
}

/// How many bytes end the line at `at`; 0: none.
fn line_end(text: &[u8], at: usize) -> usize {
    match text.get(at..) {
        Some([b'\r', b'\n', ..]) => 2,
        Some([b'\n' | b'\r', ..]) => 1,
        _ => 0,
    }
}

/// Where the last line that ends behind `from` ends.
fn whole_lines(text: &[u8], from: usize) -> Option<usize> {
    let tail = &text[from..];
    let feed = tail.iter().rposition(|&byte| byte == b'\n');
    // A carriage return at the very end may be followed by a line feed.
    let last = feed.or_else(|| tail[..tail.len().saturating_sub(1)].iter().rposition(|&byte| byte == b'\r'));
    last.map(|last| from + last + 1)
}
