//! The one pass over a row of plain cells.

use super::reader::{Store, cell_end};
use super::{CellKind, Form, TimeForm, number, time};
use crate::check::TIME_OVERFLOW;

/// Reads the row at `at` into `stores`; returns where the next begins. `None`: not a row that this way understands, and
/// some stores have a value too many.
#[inline]
pub fn row(text: &[u8], mut at: usize, stores: &mut [Store], form: &Form) -> Option<usize> {
    let (last, others) = stores.split_last_mut()?;
    for store in others {
        at = cell(text, at, store, form)?;
        if text.get(at) != Some(&form.delimiter) {
            return None;
        }
        at += 1;
    }
    at = cell(text, at, last, form)?;
    match text.get(at..)? {
        [b'\n', ..] => Some(at + 1),
        [b'\r', b'\n', ..] => Some(at + 2),
        _ => None,
    }
}

#[inline(always)]
fn cell(text: &[u8], at: usize, store: &mut Store, form: &Form) -> Option<usize> {
    let first = *text.get(at)?;
    if first == form.delimiter || first == b'\n' || first == b'\r' {
        store.push_nothing();
        return Some(at);
    }
    match store.kind {
        CellKind::Number => {
            let (value, end) = number::float(text, at)?;
            store.numbers.push(value);
            Some(end)
        }
        CellKind::Integer => {
            let (value, end) = number::integer(text, at)?;
            store.integers.push(value);
            Some(end)
        }
        CellKind::Time { form: TimeForm::Epoch { digits, fraction }, shift_ns } => {
            let (ns, end) = epoch(text, at, digits, fraction)?;
            store.integers.push(ns.checked_add(shift_ns)?);
            Some(end)
        }
        _ if first == b'"' && form.quoted => None,
        _ => text_cell(text, at, store, form),
    }
}

#[inline(always)]
fn epoch(text: &[u8], at: usize, digits: u8, fraction: bool) -> Option<(i64, usize)> {
    if fraction {
        return number::decimal(text, at, digits);
    }
    let (value, end) = number::integer(text, at)?;
    Some((value.checked_mul(number::power(digits)?)?, end))
}

#[inline(always)]
fn text_cell(text: &[u8], at: usize, store: &mut Store, form: &Form) -> Option<usize> {
    let end = cell_end(text, at, form.delimiter);
    let cell = &text[at..end];
    match store.kind {
        CellKind::Flag => store.flags.push(flag(cell)?),
        CellKind::Word => store.places.push(store.words.place(cell)?),
        CellKind::Time { form: TimeForm::Calendar { zoned }, shift_ns } => {
            let (ns, has_zone) = time::calendar(cell)?;
            if has_zone != zoned || ns == TIME_OVERFLOW {
                return None;
            }
            store.integers.push(ns.checked_add(shift_ns)?);
        }
        _ => {}
    }
    Some(end)
}

/// 1 for true.
#[inline(always)]
pub fn flag(cell: &[u8]) -> Option<u8> {
    match cell {
        b"true" | b"True" | b"TRUE" | b"1" => Some(1),
        b"false" | b"False" | b"FALSE" | b"0" => Some(0),
        _ => None,
    }
}
