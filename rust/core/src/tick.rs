//! The record: 64 bytes, one cache line, little-endian, the same in memory, in tick files and as a numpy dtype.

use std::fmt;

/// Version of the record's layout; part of tick file headers, pickles and dtype fingerprints.
pub const LAYOUT_VERSION: u16 = 1;

/// `flags`: the source gave no size; the size fields are NaN and the venue treats them as unlimited.
pub const NO_SIZE: u16 = 1 << 0;
/// `flags`: the record restates the present, as after a reconnect; it is no new event of the market.
pub const SNAPSHOT: u16 = 1 << 1;
/// `flags`: last record of a group that the venue published at once.
pub const LAST_IN_GROUP: u16 = 1 << 2;

/// What a record is. The discriminants are stored in files and never change.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Best bid and ask.
    Quote = 1,
    /// One trade.
    Trade = 2,
    /// An aggregate over an interval that ends at `ts_event`.
    Bar = 3,
    /// Records are missing before this one.
    Gap = 4,
    /// The feed has been silent for longer than it should be.
    Stale = 5,
    /// Values whose meaning the user gives.
    Custom = 6,
}

impl Kind {
    /// All kinds, in the order of their discriminants.
    pub const ALL: [Kind; 6] = [Kind::Quote, Kind::Trade, Kind::Bar, Kind::Gap, Kind::Stale, Kind::Custom];

    /// The kind stored as `code`, or `None` where no kind has it.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Quote),
            2 => Some(Self::Trade),
            3 => Some(Self::Bar),
            4 => Some(Self::Gap),
            5 => Some(Self::Stale),
            6 => Some(Self::Custom),
            _ => None,
        }
    }

    /// The kind's name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quote => "QUOTE",
            Self::Trade => "TRADE",
            Self::Bar => "BAR",
            Self::Gap => "GAP",
            Self::Stale => "STALE",
            Self::Custom => "CUSTOM",
        }
    }
}

/// Who was aggressive in a trade, and which way an order goes.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Unknown or not meant.
    None = 0,
    /// A buyer.
    Buy = 1,
    /// A seller.
    Sell = 2,
}

impl Side {
    /// The side stored as `code`, or `None` where no side has it.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Buy),
            2 => Some(Self::Sell),
            _ => None,
        }
    }

    /// `+1` for a buyer, `-1` for a seller, `0` for none.
    pub const fn sign(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Buy => 1.0,
            Self::Sell => -1.0,
        }
    }
}

/// One market data record.
///
/// `values` holds, by kind: quote `bid, ask, bid_size, ask_size`; trade `price, (spare), size, (spare)`; bar
/// `open, high, low, close`, whose volume is in `sequence` as `f64` bits. `kind` and `side` are plain bytes, so that
/// bytes from a file can be looked at as records before they are checked.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct Tick {
    /// When it happened at the venue, ns since the Unix epoch, UTC; for a bar its close.
    pub ts_event: i64,
    /// When this process first had it, ns UTC.
    pub ts_init: i64,
    /// The source's own number, for gap detection only; a bar keeps its volume here as `f64` bits.
    pub sequence: u64,
    /// Index into the run's instrument table.
    pub instrument: u32,
    /// A [`Kind`] as its code.
    pub kind: u8,
    /// A [`Side`] as its code: the aggressor of a trade.
    pub side: u8,
    /// [`NO_SIZE`], [`SNAPSHOT`], [`LAST_IN_GROUP`].
    pub flags: u16,
    /// The four numbers, by kind.
    pub values: [f64; 4],
}

/// Size of a record in bytes.
pub const TICK_SIZE: usize = 64;

/// Where [`Tick::head`] has instrument and kind.
pub(crate) const SORT: u64 = (1 << 40) - 1;

const _: () = {
    assert!(size_of::<Tick>() == TICK_SIZE);
    assert!(align_of::<Tick>() == 8);
    assert!(std::mem::offset_of!(Tick, ts_event) == 0);
    assert!(std::mem::offset_of!(Tick, ts_init) == 8);
    assert!(std::mem::offset_of!(Tick, sequence) == 16);
    assert!(std::mem::offset_of!(Tick, instrument) == 24);
    assert!(std::mem::offset_of!(Tick, kind) == 28);
    assert!(std::mem::offset_of!(Tick, side) == 29);
    assert!(std::mem::offset_of!(Tick, flags) == 30);
    assert!(std::mem::offset_of!(Tick, values) == 32);
    assert!(cfg!(target_endian = "little"), "tick files and records are little-endian");
};

impl Tick {
    /// A quote; a missing size is NaN, and then `NO_SIZE` is set.
    ///
    /// ```
    /// use tickrail_core::Tick;
    /// let quote = Tick::quote(1_000, 0, 1.1, 1.2, f64::NAN, f64::NAN);
    /// assert_eq!(quote.flags, tickrail_core::tick::NO_SIZE);
    /// ```
    pub fn quote(ts_event: i64, instrument: u32, bid: f64, ask: f64, bid_size: f64, ask_size: f64) -> Self {
        let flags = if bid_size.is_nan() || ask_size.is_nan() { NO_SIZE } else { 0 };
        Self::new(ts_event, instrument, Kind::Quote, Side::None, flags, [bid, ask, bid_size, ask_size])
    }

    /// A trade; a missing size is NaN, and then `NO_SIZE` is set.
    pub fn trade(ts_event: i64, instrument: u32, price: f64, size: f64, side: Side) -> Self {
        let flags = if size.is_nan() { NO_SIZE } else { 0 };
        Self::new(ts_event, instrument, Kind::Trade, side, flags, [price, 0.0, size, 0.0])
    }

    /// A bar that closes at `ts_event`; `prices` are open, high, low, close.
    pub fn bar(ts_event: i64, instrument: u32, prices: [f64; 4], volume: f64) -> Self {
        let mut bar = Self::new(ts_event, instrument, Kind::Bar, Side::None, 0, prices);
        bar.sequence = volume.to_bits();
        bar
    }

    fn new(ts_event: i64, instrument: u32, kind: Kind, side: Side, flags: u16, values: [f64; 4]) -> Self {
        Self { ts_event, ts_init: ts_event, sequence: 0, instrument, kind: kind as u8, side: side as u8, flags, values }
    }

    /// The 64 bytes as they stand in a file.
    pub fn as_bytes(&self) -> &[u8; TICK_SIZE] {
        // SAFETY: Tick is repr(C), exactly 64 bytes and without padding (asserted above), and every byte is initialised.
        unsafe { &*std::ptr::from_ref(self).cast::<[u8; TICK_SIZE]>() }
    }

    /// The record that `bytes` hold; any bytes are a record, checking it is the reader's task.
    pub fn from_bytes(bytes: &[u8; TICK_SIZE]) -> Self {
        // SAFETY: every bit pattern is a valid Tick (integers and floats only); the read is unaligned.
        unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast::<Self>()) }
    }

    /// Instrument, kind, side and flags by one look; instrument and kind are where [`SORT`] has ones.
    #[inline(always)]
    pub(crate) fn head(&self) -> u64 {
        let bytes = self.as_bytes()[24..32].first_chunk().expect("eight of 64 bytes");
        u64::from_le_bytes(*bytes)
    }

    /// Instrument and kind in one number: equal where both are.
    #[inline(always)]
    pub(crate) fn sort(&self) -> u64 {
        self.head() & SORT
    }

    /// The time by which a merge orders records.
    #[inline(always)]
    pub fn key(&self, order: OrderBy) -> i64 {
        match order {
            OrderBy::TsEvent => self.ts_event,
            OrderBy::TsInit => self.ts_init,
        }
    }

    /// What one unit is worth by this record: the mid of a quote, the price of a trade, the close of a bar.
    #[inline]
    pub fn mark(&self) -> Option<f64> {
        match Kind::from_code(self.kind)? {
            Kind::Quote => Some((self.values[0] + self.values[1]) * 0.5),
            Kind::Trade => Some(self.values[0]),
            Kind::Bar => Some(self.values[3]),
            Kind::Gap | Kind::Stale | Kind::Custom => None,
        }
    }
}

/// A slice of records as the bytes that a file holds.
pub fn as_bytes(ticks: &[Tick]) -> &[u8] {
    // SAFETY: a slice of Tick is `len * 64` initialised bytes without padding.
    unsafe { std::slice::from_raw_parts(ticks.as_ptr().cast::<u8>(), size_of_val(ticks)) }
}

impl PartialEq for Tick {
    /// Equal bytes: a NaN equals itself, and `0.0` differs from `-0.0`.
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Tick {}

impl fmt::Debug for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = Kind::from_code(self.kind).map_or("?", Kind::name);
        write!(f, "Tick({kind} i{} t={} {:?})", self.instrument, self.ts_event, self.values)
    }
}

/// Which time orders a feed and the merge of feeds.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OrderBy {
    /// The venue's time (default).
    #[default]
    TsEvent = 0,
    /// The receipt time: for recorded sessions.
    TsInit = 1,
}

impl OrderBy {
    /// The name in configuration and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TsEvent => "ts_event",
            Self::TsInit => "ts_init",
        }
    }

    /// The order named `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ts_event" => Some(Self::TsEvent),
            "ts_init" => Some(Self::TsInit),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sort_is_instrument_and_kind_alone() {
        let quote = Tick::quote(1, 7, 1.0, 2.0, 1.0, 1.0);
        let other = Tick {
            side: Side::Sell as u8,
            flags: u16::MAX,
            sequence: u64::MAX,
            ..Tick::quote(2, 7, 3.0, 4.0, 5.0, 6.0)
        };
        assert_eq!(quote.sort(), other.sort());
        assert_ne!(quote.sort(), Tick { instrument: 8, ..quote }.sort());
        assert_ne!(quote.sort(), Tick { kind: Kind::Trade as u8, ..quote }.sort());
        assert_eq!(Tick { instrument: u32::MAX, kind: u8::MAX, ..quote }.sort(), SORT);
    }
}
