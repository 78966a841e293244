//! Arrow columns as plain vectors: times in ns, numbers, sides, symbols. A null becomes the marker of its type.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal128Type, Float16Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use tickrail_core::check::{BAD_SIDE, NO_INSTRUMENT, TIME_MISSING, TIME_OVERFLOW};
use tickrail_core::file::InstrumentTable;

use crate::data_errors::DataFault;

fn unfit<T>(name: &str, array: &ArrayRef, expected: &str) -> Result<T, DataFault> {
    Err(DataFault::Layout(format!("column {name:?} has type {}: expected {expected}", array.data_type())))
}

fn fill<T: ArrowPrimitiveType, V: Copy>(
    array: &ArrayRef,
    out: &mut Vec<V>,
    null: V,
    convert: impl Fn(T::Native) -> V,
) -> Result<(), DataFault> {
    let array = array.as_primitive::<T>();
    out.clear();
    if array.null_count() == 0 {
        out.extend(array.values().iter().map(|&value| convert(value)));
    } else {
        out.extend(array.iter().map(|value| value.map_or(null, &convert)));
    }
    Ok(())
}

/// Numbers; a null is NaN.
pub fn numbers(name: &str, array: &ArrayRef, out: &mut Vec<f64>) -> Result<(), DataFault> {
    let nan = f64::NAN;
    match array.data_type() {
        DataType::Float64 => fill::<Float64Type, _>(array, out, nan, |value| value),
        DataType::Float32 => fill::<Float32Type, _>(array, out, nan, f64::from),
        DataType::Float16 => fill::<Float16Type, _>(array, out, nan, f64::from),
        DataType::Int8 => fill::<Int8Type, _>(array, out, nan, f64::from),
        DataType::Int16 => fill::<Int16Type, _>(array, out, nan, f64::from),
        DataType::Int32 => fill::<Int32Type, _>(array, out, nan, f64::from),
        DataType::Int64 => fill::<Int64Type, _>(array, out, nan, |value| value as f64),
        DataType::UInt8 => fill::<UInt8Type, _>(array, out, nan, f64::from),
        DataType::UInt16 => fill::<UInt16Type, _>(array, out, nan, f64::from),
        DataType::UInt32 => fill::<UInt32Type, _>(array, out, nan, f64::from),
        DataType::UInt64 => fill::<UInt64Type, _>(array, out, nan, |value| value as f64),
        DataType::Decimal128(_, scale) => {
            // Correctly rounded as long as the digits fit into 53 bits and the power into 10^22: all market prices do.
            let unit = 10_f64.powi(i32::from(scale.unsigned_abs()));
            let up = *scale < 0;
            let convert = move |value| if up { value as f64 * unit } else { value as f64 / unit };
            fill::<Decimal128Type, _>(array, out, nan, convert)
        }
        DataType::Null => {
            out.clear();
            out.resize(array.len(), nan);
            Ok(())
        }
        _ => unfit(name, array, "numbers (float, integer or decimal)"),
    }
}

/// Whole numbers; a null is 0.
pub fn counters(name: &str, array: &ArrayRef, out: &mut Vec<u64>) -> Result<(), DataFault> {
    match array.data_type() {
        DataType::Int32 => fill::<Int32Type, _>(array, out, 0, |value| value.max(0) as u64),
        DataType::Int64 => fill::<Int64Type, _>(array, out, 0, |value| value.max(0) as u64),
        DataType::UInt32 => fill::<UInt32Type, _>(array, out, 0, u64::from),
        DataType::UInt64 => fill::<UInt64Type, _>(array, out, 0, |value| value),
        _ => unfit(name, array, "integers of 32 or 64 bits"),
    }
}

const fn factor(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

fn scaled(factor: i64) -> impl Fn(i64) -> i64 {
    move |value| value.checked_mul(factor).unwrap_or(TIME_OVERFLOW)
}

/// Times in ns UTC; `unit` is that of columns of plain integers. Arrow stores zoned timestamps in UTC.
pub fn times(name: &str, array: &ArrayRef, unit: Option<TimeUnit>, out: &mut Vec<i64>) -> Result<(), DataFault> {
    match (array.data_type(), unit) {
        (DataType::Timestamp(unit, _), _) => {
            let convert = scaled(factor(*unit));
            match unit {
                TimeUnit::Second => fill::<TimestampSecondType, _>(array, out, TIME_MISSING, convert),
                TimeUnit::Millisecond => fill::<TimestampMillisecondType, _>(array, out, TIME_MISSING, convert),
                TimeUnit::Microsecond => fill::<TimestampMicrosecondType, _>(array, out, TIME_MISSING, convert),
                TimeUnit::Nanosecond => fill::<TimestampNanosecondType, _>(array, out, TIME_MISSING, convert),
            }
        }
        (DataType::Date32, _) => {
            let convert = scaled(86_400 * factor(TimeUnit::Second));
            fill::<Date32Type, _>(array, out, TIME_MISSING, |days| convert(i64::from(days)))
        }
        (DataType::Date64, _) => fill::<Date64Type, _>(array, out, TIME_MISSING, scaled(factor(TimeUnit::Millisecond))),
        (DataType::Int64, Some(unit)) => fill::<Int64Type, _>(array, out, TIME_MISSING, scaled(factor(unit))),
        (DataType::Int32, Some(unit)) => {
            let convert = scaled(factor(unit));
            fill::<Int32Type, _>(array, out, TIME_MISSING, |value| convert(i64::from(value)))
        }
        (DataType::UInt64, Some(unit)) => {
            let convert = scaled(factor(unit));
            let signed = |value| i64::try_from(value).map_or(TIME_OVERFLOW, &convert);
            fill::<UInt64Type, _>(array, out, TIME_MISSING, signed)
        }
        (DataType::Int64 | DataType::Int32 | DataType::UInt64, None) => {
            unfit(name, array, "timestamps, or integers together with a time unit (s, ms, us or ns)")
        }
        _ => unfit(name, array, "timestamps, dates or integers"),
    }
}

/// Texts of any Arrow form through `convert`, called once for each run of equal texts or each word of a dictionary.
fn texts<V: Copy>(
    name: &str,
    array: &ArrayRef,
    out: &mut Vec<V>,
    null: V,
    mut convert: impl FnMut(&str) -> Result<V, DataFault>,
) -> Result<(), DataFault> {
    out.clear();
    match array.data_type() {
        DataType::Utf8 => runs(array.as_string::<i32>().iter(), out, null, &mut convert),
        DataType::LargeUtf8 => runs(array.as_string::<i64>().iter(), out, null, &mut convert),
        DataType::Utf8View => runs(array.as_string_view().iter(), out, null, &mut convert),
        DataType::Dictionary(_, _) => words(name, array, out, null, &mut convert),
        DataType::Null => {
            out.resize(array.len(), null);
            Ok(())
        }
        _ => unfit(name, array, "text (string, large string, string view or dictionary)"),
    }
}

fn runs<'a, V: Copy>(
    texts: impl Iterator<Item = Option<&'a str>>,
    out: &mut Vec<V>,
    null: V,
    convert: &mut dyn FnMut(&str) -> Result<V, DataFault>,
) -> Result<(), DataFault> {
    let mut last: Option<(&str, V)> = None;
    for text in texts {
        let Some(text) = text else {
            out.push(null);
            continue;
        };
        let value = match last {
            Some((known, value)) if known == text => value,
            _ => convert(text)?,
        };
        last = Some((text, value));
        out.push(value);
    }
    Ok(())
}

fn words<V: Copy>(
    name: &str,
    array: &ArrayRef,
    out: &mut Vec<V>,
    null: V,
    convert: &mut dyn FnMut(&str) -> Result<V, DataFault>,
) -> Result<(), DataFault> {
    let dictionary = array.as_any_dictionary();
    let words = dictionary.values();
    if words.is_empty() {
        out.resize(array.len(), null);
        return Ok(());
    }
    let mut known: Vec<Option<V>> = vec![None; words.len()];
    for (row, &key) in dictionary.normalized_keys().iter().enumerate() {
        if array.is_null(row) || words.is_null(key) {
            out.push(null);
            continue;
        }
        if known[key].is_none() {
            // Only words that occur: a dictionary may hold symbols of other files.
            let mut one = Vec::with_capacity(1);
            texts(name, &words.slice(key, 1), &mut one, null, &mut *convert)?;
            known[key] = one.first().copied();
        }
        out.push(known[key].unwrap_or(null));
    }
    Ok(())
}

/// Symbols as rows of `table`, which grows; a null is no instrument.
pub fn symbols(name: &str, array: &ArrayRef, table: &mut InstrumentTable, out: &mut Vec<u32>) -> Result<(), DataFault> {
    texts(name, array, out, NO_INSTRUMENT, |symbol| Ok(table.resolve(symbol)?))
}

/// Sides: `buy`, `sell`, `b`, `s`, `none` or nothing in any case, 0 to 2, or booleans of which true is `side_true`.
pub fn sides(name: &str, array: &ArrayRef, side_true: u8, out: &mut Vec<u8>) -> Result<(), DataFault> {
    let code = |value: i64| u8::try_from(value).ok().filter(|&code| code <= 2).unwrap_or(BAD_SIDE);
    match array.data_type() {
        DataType::Boolean => {
            out.clear();
            // 1 is buy and 2 is sell, so 3 less the one is the other.
            let of = |value: bool| if value { side_true } else { 3 - side_true };
            out.extend(array.as_boolean().iter().map(|value| value.map_or(0, of)));
            Ok(())
        }
        DataType::Int8 => fill::<Int8Type, _>(array, out, 0, |value| code(value.into())),
        DataType::UInt8 => fill::<UInt8Type, _>(array, out, 0, |value| code(value.into())),
        DataType::Int16 => fill::<Int16Type, _>(array, out, 0, |value| code(value.into())),
        DataType::Int32 => fill::<Int32Type, _>(array, out, 0, |value| code(value.into())),
        DataType::Int64 => fill::<Int64Type, _>(array, out, 0, code),
        _ => texts(name, array, out, 0, |text| Ok(side_named(text))),
    }
}

fn side_named(text: &str) -> u8 {
    let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
    if is(&["buy", "b"]) {
        1
    } else if is(&["sell", "s"]) {
        2
    } else if is(&["", "none", "unknown"]) {
        0
    } else {
        BAD_SIDE
    }
}
