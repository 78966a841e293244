//! Dates and times of day as files write them.

use crate::check::TIME_OVERFLOW;

const NS_PER_S: i64 = 1_000_000_000;
const S_PER_DAY: i64 = 86_400;
const DAYS: [u8; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// Digits of a second that a nanosecond holds.
const PLACES: usize = 9;

/// A moment in ns since the epoch, and whether it named its zone; without one it is local.
///
/// `2024-01-31`, also with `/` or `.`; then, after `T` or a blank, `09`, `09:30`, `09:30:00` or up to nine digits more;
/// then `Z`, `+01`, `+0100` or `+01:00`.
pub fn calendar(text: &[u8]) -> Option<(i64, bool)> {
    let (days, rest) = date(text)?;
    let (of_day, rest) = match rest.split_first() {
        Some((b'T' | b't' | b' ', rest)) => time_of_day(rest)?,
        _ => ((0, 0), rest),
    };
    let offset = if rest.is_empty() { None } else { Some(zone(rest)?) };
    let seconds = days * S_PER_DAY + of_day.0 - offset.unwrap_or(0);
    let ns = seconds.checked_mul(NS_PER_S).and_then(|ns| ns.checked_add(of_day.1)).unwrap_or(TIME_OVERFLOW);
    Some((ns, offset.is_some()))
}

/// Up to `most` digits; at least one.
fn digits(text: &[u8], most: usize) -> Option<(i64, &[u8])> {
    let count = text.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(count);
    let value = digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    (count > 0).then_some((value, rest))
}

fn two(text: &[u8]) -> Option<(i64, &[u8])> {
    let (value, rest) = digits(text, 2)?;
    (text.len() - rest.len() == 2).then_some((value, rest))
}

fn date(text: &[u8]) -> Option<(i64, &[u8])> {
    let (year, rest) = digits(text, 4).filter(|(_, rest)| text.len() - rest.len() == 4)?;
    let separator = *rest.first().filter(|byte| b"-/.".contains(byte))?;
    let (month, rest) = digits(&rest[1..], 2)?;
    let (day, rest) = digits(rest.strip_prefix(&[separator])?, 2)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let most = i64::from(*DAYS.get(usize::try_from(month - 1).ok()?)?) + i64::from(month == 2 && leap);
    (1..=most).contains(&day).then(|| (days(year, month, day), rest))
}

/// Days since the epoch, by the calendar that begins its years in March, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Seconds and nanoseconds since midnight.
fn time_of_day(text: &[u8]) -> Option<((i64, i64), &[u8])> {
    let (hour, mut rest) = two(text)?;
    let (mut minute, mut second, mut ns) = (0, 0, 0);
    if let Some(tail) = rest.strip_prefix(b":") {
        (minute, rest) = two(tail)?;
        if let Some(tail) = rest.strip_prefix(b":") {
            (second, rest) = two(tail)?;
            if let Some(tail) = rest.strip_prefix(b".") {
                (ns, rest) = fraction(tail)?;
            }
        }
    }
    (hour < 24 && minute < 60 && second < 60).then_some(((hour * 3_600 + minute * 60 + second, ns), rest))
}

fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let (value, rest) = digits(text, PLACES)?;
    let places = text.len() - rest.len();
    Some((value * 10_i64.pow((PLACES - places) as u32), rest))
}

/// Seconds that local time is ahead.
fn zone(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        b"Z" | b"z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = two(rest)?;
    let minutes = if rest.is_empty() {
        0
    } else {
        two(rest.strip_prefix(b":").unwrap_or(rest)).filter(|(_, end)| end.is_empty())?.0
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}
