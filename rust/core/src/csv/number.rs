//! Numbers as they are written, read where they stand.

/// Digits of which any number fits into 64 bits.
const DIGITS_HELD: usize = 19;
/// Below it, every integer is a double.
const LARGEST_EXACT: u64 = 1 << 53;

/// Powers of ten that are doubles without rounding, as far as [`DIGITS_HELD`] places ask for.
#[rustfmt::skip]
const POWERS: [f64; DIGITS_HELD + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
];

/// Reads digits from `at` on, after `value`; returns the number, modulo 2^64, and where the digits end.
#[inline(always)]
fn digits(text: &[u8], mut at: usize, mut value: u64) -> (u64, usize) {
    while let Some(eight) = eight_digits(text, at) {
        value = value.wrapping_mul(100_000_000).wrapping_add(eight);
        at += 8;
    }
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10) {
        value = value.wrapping_mul(10).wrapping_add(digit.into());
        at += 1;
    }
    (value, at)
}

/// The number that the eight bytes from `at` on are, if all are digits: in nine operations, as a word.
#[inline(always)]
fn eight_digits(text: &[u8], at: usize) -> Option<u64> {
    let word = u64::from_le_bytes(*text.get(at..)?.first_chunk()?);
    let high = 0xF0F0_F0F0_F0F0_F0F0;
    if (word & high) | ((word.wrapping_add(0x0606_0606_0606_0606) & high) >> 4) != 0x3333_3333_3333_3333 {
        return None;
    }
    // Neighbours are joined: to pairs, to fours, to all eight.
    let pairs = (word & 0x0F0F_0F0F_0F0F_0F0F).wrapping_mul(10 * 256 + 1) >> 8;
    let fours = (pairs & 0x00FF_00FF_00FF_00FF).wrapping_mul(100 * 65_536 + 1) >> 16;
    Some((fours & 0x0000_FFFF_0000_FFFF).wrapping_mul(10_000 * (1 << 32) + 1) >> 32)
}

/// A sign, and where what follows it begins.
#[inline(always)]
fn sign(text: &[u8], at: usize) -> (bool, usize) {
    let minus = text.get(at) == Some(&b'-');
    (minus, at + usize::from(minus))
}

/// A float written in digits and perhaps a point, rounded correctly, and where it ends; `None`: the careful way knows.
///
/// Up to 2^53 over a power of ten up to 10^22, both exact, one division rounds once (Clinger's fast path).
#[inline(always)]
pub fn float(text: &[u8], at: usize) -> Option<(f64, usize)> {
    let (minus, start) = sign(text, at);
    let (mut value, mut end) = digits(text, start, 0);
    let (mut count, mut places) = (end - start, 0);
    if text.get(end) == Some(&b'.') {
        let point = end + 1;
        (value, end) = digits(text, point, value);
        places = end - point;
        count += places;
    }
    if count == 0 || count > DIGITS_HELD || value > LARGEST_EXACT {
        return None;
    }
    let float = value as f64 / POWERS[places];
    Some((if minus { -float } else { float }, end))
}

/// An integer and where it ends.
#[inline(always)]
pub fn integer(text: &[u8], at: usize) -> Option<(i64, usize)> {
    let (minus, start) = sign(text, at);
    let (value, end) = digits(text, start, 0);
    if end == start || end - start > DIGITS_HELD {
        return None;
    }
    let value = i64::try_from(value).ok()?;
    Some((if minus { -value } else { value }, end))
}

/// A decimal with up to `places` places in units of its last, and where it ends.
#[inline(always)]
pub fn decimal(text: &[u8], at: usize, places: u8) -> Option<(i64, usize)> {
    let (minus, start) = sign(text, at);
    let (mut value, mut end) = digits(text, start, 0);
    let (mut count, mut found) = (end - start, 0);
    if text.get(end) == Some(&b'.') {
        let point = end + 1;
        (value, end) = digits(text, point, value);
        found = end - point;
        count += found;
    }
    let lacking = usize::from(places).checked_sub(found)?;
    if count == 0 || count > DIGITS_HELD {
        return None;
    }
    let value = i64::try_from(value).ok()?.checked_mul(10_i64.checked_pow(lacking as u32)?)?;
    Some((if minus { -value } else { value }, end))
}

/// 10 to the `digits`.
#[inline(always)]
pub fn power(digits: u8) -> Option<i64> {
    const WHOLE: [i64; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
    WHOLE.get(usize::from(digits)).copied()
}

/// `value` times 10 to the `up`, as far as that is an integer; at most the largest there is.
pub fn scaled(value: i128, up: i32) -> Option<i128> {
    if up >= 0 {
        let power = 10_i128.checked_pow(up.unsigned_abs()).unwrap_or(i128::MAX);
        return Some(value.saturating_mul(power));
    }
    let power = 10_i128.checked_pow(up.unsigned_abs())?;
    (value % power == 0).then_some(value / power)
}
