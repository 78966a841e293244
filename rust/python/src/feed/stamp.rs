//! What a record begins with, as the arguments of one call say it.

use tickrail_core::tick::NO_SIZE;
use tickrail_core::{Kind, Side};

/// The values that a record begins with.
pub struct Stamp {
    /// Its kind.
    pub kind: Kind,
    /// The aggressor, of a trade.
    pub side: u8,
    /// The venue's time; not given: now.
    pub ts_event: Option<i64>,
    /// The source's number.
    pub sequence: u64,
    /// Its flags.
    pub flags: u16,
}

fn side_from(name: &str) -> u8 {
    match name {
        "BUY" => Side::Buy as u8,
        "SELL" => Side::Sell as u8,
        "NONE" => Side::None as u8,
        // What the feed rejects and counts.
        _ => u8::MAX,
    }
}

#[inline(always)]
const fn sized(flags: u16, first: f64, second: f64) -> u16 {
    if first.is_nan() || second.is_nan() { flags | NO_SIZE } else { flags }
}

/// Of a quote.
pub fn quote(bid_size: f64, ask_size: f64, ts_event: Option<i64>, sequence: u64, flags: u16) -> Stamp {
    Stamp { kind: Kind::Quote, side: 0, ts_event, sequence, flags: sized(flags, bid_size, ask_size) }
}

/// Of a trade.
pub fn trade(size: f64, side: &str, ts_event: Option<i64>, sequence: u64, flags: u16) -> Stamp {
    Stamp { kind: Kind::Trade, side: side_from(side), ts_event, sequence, flags: sized(flags, size, size) }
}
