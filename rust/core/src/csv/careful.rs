//! The way that knows every form of a row, and says what is wrong with it.

use std::borrow::Cow;

use super::fast::flag;
use super::reader::{Store, cell_end};
use super::{CellKind, Column, CsvError, Form, TimeForm, number, time};
use crate::check::TIME_OVERFLOW;

/// How much of a row or a value a message shows.
const SHOWN: usize = 100;
/// Decimal digits that are looked at: more than any time has.
const LONGEST_DECIMAL: usize = 30;
/// Cells that stand for no number: those that other readers of CSV agree on.
const NOTHING: [&[u8]; 17] = [
    b"",
    b"nan",
    b"NaN",
    b"-nan",
    b"-NaN",
    b"null",
    b"NULL",
    b"NA",
    b"N/A",
    b"n/a",
    b"#N/A",
    b"#NA",
    b"#N/A N/A",
    b"1.#QNAN",
    b"-1.#QNAN",
    b"1.#IND",
    b"-1.#IND",
];

/// Whether a cell stands for nothing. A word does only where it is empty: NA, NULL and NAN are tickers.
fn is_nothing(cell: &[u8], kind: CellKind) -> bool {
    if kind == CellKind::Word { cell.is_empty() } else { NOTHING.contains(&cell) }
}

/// Reads the row at `at`, on line `line`, into `stores`; returns where the next begins. `None`: the row goes on beyond the
/// text.
///
/// After an error or `None` some stores may have a value too many.
pub fn row(
    text: &[u8],
    at: usize,
    line: u64,
    stores: &mut [Store],
    columns: &[Column],
    form: &Form,
) -> Result<Option<usize>, CsvError> {
    let mut cells = Vec::with_capacity(columns.len());
    let Some(next) = split(text, at, form, &mut cells) else { return Ok(None) };
    if cells.len() != columns.len() {
        let text = shown(text[at..next].trim_ascii_end());
        return Err(CsvError::Columns { line, expected: columns.len(), got: cells.len(), text });
    }
    for ((cell, store), column) in cells.iter().zip(stores).zip(columns) {
        let trimmed = cell.trim_ascii();
        if is_nothing(trimmed, column.kind) {
            store.push_nothing();
        } else if push(trimmed, store).is_none() {
            let (column, wanted, value) = (column.name.clone(), wanted(column.kind), shown(cell));
            return Err(CsvError::Value { line, column, wanted, value });
        }
    }
    Ok(Some(next))
}

fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

const fn wanted(kind: CellKind) -> &'static str {
    match kind {
        CellKind::Number => "a number",
        CellKind::Integer | CellKind::Time { form: TimeForm::Epoch { fraction: false, .. }, .. } => "a whole number",
        CellKind::Time { form: TimeForm::Epoch { .. }, .. } => "a time of at most nine places of a second",
        CellKind::Time { form: TimeForm::Calendar { zoned: true }, .. } => "a time with a zone, as in the first row",
        CellKind::Time { .. } => "a date, or a time without a zone",
        CellKind::Flag => "true or false",
        CellKind::Skip | CellKind::Word => "text (UTF-8)",
    }
}

/// The cells of the row at `at`, without their quotation marks, and where the next row begins.
fn split<'a>(text: &'a [u8], mut at: usize, form: &Form, cells: &mut Vec<Cow<'a, [u8]>>) -> Option<usize> {
    loop {
        let (cell, end) = if form.quoted && text.get(at) == Some(&b'"') {
            quoted(text, at + 1, form.delimiter)?
        } else {
            let end = cell_end(text, at, form.delimiter);
            (Cow::Borrowed(&text[at..end]), end)
        };
        cells.push(cell);
        match text.get(end..)? {
            [b'\r', b'\n', ..] => return Some(end + 2),
            [b'\n' | b'\r', ..] => return Some(end + 1),
            [] => return None,
            _ => at = end + 1,
        }
    }
}

/// The cell whose text begins at `start`, behind a quotation mark: to the next one that is not doubled, and what follows.
fn quoted(text: &[u8], start: usize, delimiter: u8) -> Option<(Cow<'_, [u8]>, usize)> {
    let (mut cell, mut from) = (Cow::Borrowed(&text[start..start]), start);
    loop {
        let mark = from + text.get(from..)?.iter().position(|&byte| byte == b'"')?;
        append(&mut cell, &text[from..mark]);
        if text.get(mark + 1) != Some(&b'"') {
            let end = cell_end(text, mark + 1, delimiter);
            append(&mut cell, &text[mark + 1..end]);
            return Some((cell, end));
        }
        append(&mut cell, b"\"");
        from = mark + 2;
    }
}

fn append<'a>(cell: &mut Cow<'a, [u8]>, part: &'a [u8]) {
    match cell {
        Cow::Borrowed(b"") => *cell = Cow::Borrowed(part),
        _ if part.is_empty() => {}
        other => other.to_mut().extend_from_slice(part),
    }
}

fn push(cell: &[u8], store: &mut Store) -> Option<()> {
    match store.kind {
        CellKind::Skip => {}
        CellKind::Number => store.numbers.push(std::str::from_utf8(cell).ok()?.parse().ok()?),
        CellKind::Integer => store.integers.push(std::str::from_utf8(cell).ok()?.parse().ok()?),
        CellKind::Flag => store.flags.push(flag(cell)?),
        CellKind::Word => store.places.push(store.words.place(cell)?),
        CellKind::Time { form, shift_ns } => {
            let ns = match form {
                TimeForm::Epoch { digits, fraction } => epoch(cell, digits, fraction)?,
                TimeForm::Calendar { zoned } => {
                    time::calendar(cell).filter(|(_, has_zone)| *has_zone == zoned).map(|(ns, _)| ns)?
                }
            };
            let shifted = (ns != TIME_OVERFLOW).then(|| ns.checked_add(shift_ns)).flatten();
            store.integers.push(shifted.unwrap_or(TIME_OVERFLOW));
        }
    }
    Some(())
}

/// A number of a unit of `digits` places as ns; `TIME_OVERFLOW` where 64 bits do not hold it. Nothing is rounded.
fn epoch(cell: &[u8], digits: u8, fraction: bool) -> Option<i64> {
    let text = std::str::from_utf8(cell).ok()?;
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) if fraction => (mantissa, exponent.parse::<i32>().ok()?),
        Some(_) => return None,
        None => (text, 0),
    };
    let (whole, part) = match mantissa.split_once('.') {
        Some((whole, part)) if fraction => (whole, part),
        Some(_) => return None,
        None => (mantissa, ""),
    };
    let (minus, whole) = match whole.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, whole.strip_prefix('+').unwrap_or(whole)),
    };
    let places = part.trim_end_matches('0');
    let written = [whole, places].concat();
    if written.len() > LONGEST_DECIMAL || !(whole.to_owned() + part).bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let value: i128 = if written.is_empty() { 0 } else { written.parse().ok()? };
    let up = i32::from(digits).checked_add(exponent)?.checked_sub(i32::try_from(places.len()).ok()?)?;
    let ns = if value == 0 { 0 } else { number::scaled(value, up)? };
    i64::try_from(if minus { -ns } else { ns }).map_or(Some(TIME_OVERFLOW), Some)
}
