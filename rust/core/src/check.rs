//! The rules of a record: what may enter a tick file or an array.

use std::sync::Arc;

use crate::instrument::InstrumentInfo;
use crate::tick::{Kind, NO_SIZE, OrderBy, Tick};

/// A packer puts this time where the source's does not fit into 64 bits of nanoseconds.
pub const TIME_OVERFLOW: i64 = i64::MIN;
/// A packer puts this time where the source has none.
pub const TIME_MISSING: i64 = i64::MIN + 1;
/// A packer puts this index where the source has no symbol.
pub const NO_INSTRUMENT: u32 = u32::MAX;
/// A packer puts this side where the source's cannot be understood.
pub const BAD_SIDE: u8 = u8::MAX;
/// How many offenders of a kind are kept with their place: enough to see the pattern.
pub const OFFENDERS_KEPT: usize = 5;

/// How a record breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Problem {
    /// A time is beyond what 64 bits of nanoseconds hold.
    TimeOverflow,
    /// There is no time.
    TimeMissing,
    /// A time at or before the epoch.
    TimeNotPositive,
    /// The key is smaller than the record's before.
    KeyBackwards,
    /// A live record's time lies too far ahead of the clock.
    TimeAhead,
    /// No symbol, or an index beyond the table.
    NoInstrument,
    /// A kind that no record has.
    UnknownKind,
    /// A side that is none of none, buy, sell.
    UnknownSide,
    /// A price is missing, NaN or infinite.
    PriceNotFinite,
    /// A price below zero where the instrument has none.
    NegativePrice,
    /// A size below zero, or infinite.
    BadSize,
    /// A trade of nothing.
    ZeroSizeTrade,
    /// A bar whose high is not its highest or whose low is not its lowest price.
    BarPrices,
    /// A bar whose volume is below zero or not finite.
    BarVolume,
}

impl Problem {
    /// All problems, in the order of their codes.
    pub const ALL: [Problem; 14] = [
        Self::TimeOverflow,
        Self::TimeMissing,
        Self::TimeNotPositive,
        Self::KeyBackwards,
        Self::TimeAhead,
        Self::NoInstrument,
        Self::UnknownKind,
        Self::UnknownSide,
        Self::PriceNotFinite,
        Self::NegativePrice,
        Self::BadSize,
        Self::ZeroSizeTrade,
        Self::BarPrices,
        Self::BarVolume,
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TimeOverflow => "time_overflow",
            Self::TimeMissing => "time_missing",
            Self::TimeNotPositive => "time_not_positive",
            Self::KeyBackwards => "key_backwards",
            Self::TimeAhead => "time_ahead",
            Self::NoInstrument => "no_instrument",
            Self::UnknownKind => "unknown_kind",
            Self::UnknownSide => "unknown_side",
            Self::PriceNotFinite => "price_not_finite",
            Self::NegativePrice => "negative_price",
            Self::BadSize => "bad_size",
            Self::ZeroSizeTrade => "zero_size_trade",
            Self::BarPrices => "bar_prices",
            Self::BarVolume => "bar_volume",
        }
    }

    /// The rule, for messages.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::TimeOverflow => "a time does not fit into int64 nanoseconds (years 1678 to 2262)",
            Self::TimeMissing => "there is no time",
            Self::TimeNotPositive => "a time must lie after 1970-01-01T00:00:00Z",
            Self::KeyBackwards => "the time runs backwards",
            Self::TimeAhead => "a live record's time must not lie more than a day ahead of the clock",
            Self::NoInstrument => "there is no instrument",
            Self::UnknownKind => "no such kind of record",
            Self::UnknownSide => "a side must be buy, sell or nothing",
            Self::PriceNotFinite => "a price must be a finite number",
            Self::NegativePrice => "a price must not be negative (unless the instrument says negative_prices)",
            Self::BadSize => "a size must be a finite number, not negative",
            Self::ZeroSizeTrade => "a trade must have a size above zero",
            Self::BarPrices => "a bar's high and low must enclose its open and close",
            Self::BarVolume => "a bar's volume must be a finite number, not negative",
        }
    }
}

/// One record that broke a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offence {
    /// The rule.
    pub problem: Problem,
    /// The value that broke it, as people read it.
    pub value: String,
}

/// An offence and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offender {
    /// What was wrong.
    pub offence: Offence,
    /// The file or stream.
    pub origin: Arc<str>,
    /// The row in it, by the source's own count.
    pub row: u64,
}

/// What a check has found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Bad records by [`Problem`] code.
    pub counts: [u64; Problem::ALL.len()],
    /// Crossed quotes: counted and kept.
    pub crossed: u64,
    /// The first [`OFFENDERS_KEPT`] of each problem.
    pub offenders: Vec<Offender>,
}

impl Report {
    /// All bad records.
    pub fn bad(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Counts `offence`, and keeps it if it is among the first of its kind.
    pub fn count(&mut self, offence: Offence, origin: &Arc<str>, row: u64) {
        let count = &mut self.counts[offence.problem as usize];
        *count += 1;
        if *count <= OFFENDERS_KEPT as u64 {
            self.offenders.push(Offender { offence, origin: Arc::clone(origin), row });
        }
    }
}

/// Checks records one after the other; knows the last good key.
#[derive(Clone, Debug)]
pub struct Checker {
    order_by: OrderBy,
    last_key: i64,
    crossed: u64,
}

impl Checker {
    /// A checker before the first record.
    pub const fn new(order_by: OrderBy) -> Self {
        Self { order_by, last_key: i64::MIN, crossed: 0 }
    }

    /// Crossed quotes among the good records so far.
    pub const fn crossed(&self) -> u64 {
        self.crossed
    }

    /// Whether `tick` may follow the good records so far; an offence leaves the checker as it was.
    #[inline]
    pub fn check(&mut self, tick: &Tick, instruments: &[InstrumentInfo]) -> Result<(), Offence> {
        check_times(tick)?;
        let key = tick.key(self.order_by);
        if key < self.last_key {
            return Err(backwards(key, self.last_key, self.order_by));
        }
        self.crossed += u64::from(check_content(tick, instruments)?);
        self.last_key = key;
        Ok(())
    }
}

/// Whether `tick` keeps every rule but that of order, and whether it is a crossed quote.
#[inline]
pub fn check_record(tick: &Tick, instruments: &[InstrumentInfo]) -> Result<bool, Offence> {
    check_times(tick)?;
    check_content(tick, instruments)
}

#[inline]
fn check_content(tick: &Tick, instruments: &[InstrumentInfo]) -> Result<bool, Offence> {
    let Some(info) = instruments.get(tick.instrument as usize) else {
        return Err(no_instrument(tick.instrument));
    };
    if tick.side > 2 {
        return Err(unknown_side(tick.side));
    }
    match Kind::from_code(tick.kind) {
        Some(Kind::Quote) => return check_quote(tick, info),
        Some(Kind::Trade) => check_trade(tick, info)?,
        Some(Kind::Bar) => check_bar(tick, info)?,
        Some(Kind::Gap | Kind::Stale | Kind::Custom) => {}
        None => return Err(offence(Problem::UnknownKind, &tick.kind)),
    }
    Ok(false)
}

#[inline]
fn check_quote(tick: &Tick, info: &InstrumentInfo) -> Result<bool, Offence> {
    let [bid, ask, bid_size, ask_size] = tick.values;
    check_price(bid, info)?;
    check_price(ask, info)?;
    check_size(bid_size, tick.flags)?;
    check_size(ask_size, tick.flags)?;
    Ok(bid > ask)
}

#[inline]
fn check_times(tick: &Tick) -> Result<(), Offence> {
    if tick.ts_event > 0 && tick.ts_init > 0 {
        return Ok(());
    }
    Err(bad_time(if tick.ts_event > 0 { tick.ts_init } else { tick.ts_event }))
}

#[inline]
fn check_price(price: f64, info: &InstrumentInfo) -> Result<(), Offence> {
    if !price.is_finite() {
        return Err(offence(Problem::PriceNotFinite, &price));
    }
    if price < 0.0 && !info.negative_prices {
        return Err(offence(Problem::NegativePrice, &price));
    }
    Ok(())
}

/// NaN stands for "not given", and then the record says so.
#[inline]
fn check_size(size: f64, flags: u16) -> Result<(), Offence> {
    let absent = size.is_nan() && flags & NO_SIZE != 0;
    if absent || (0.0..f64::INFINITY).contains(&size) { Ok(()) } else { Err(offence(Problem::BadSize, &size)) }
}

fn check_trade(tick: &Tick, info: &InstrumentInfo) -> Result<(), Offence> {
    let [price, _, size, _] = tick.values;
    check_price(price, info)?;
    check_size(size, tick.flags)?;
    if size == 0.0 { Err(offence(Problem::ZeroSizeTrade, &size)) } else { Ok(()) }
}

fn check_bar(tick: &Tick, info: &InstrumentInfo) -> Result<(), Offence> {
    let [open, high, low, close] = tick.values;
    for price in tick.values {
        check_price(price, info)?;
    }
    if high < open.max(close) || low > open.min(close) {
        return Err(offence(Problem::BarPrices, &format!("open {open} high {high} low {low} close {close}")));
    }
    let volume = f64::from_bits(tick.sequence);
    if (0.0..f64::INFINITY).contains(&volume) { Ok(()) } else { Err(offence(Problem::BarVolume, &volume)) }
}

#[cold]
fn offence(problem: Problem, value: &dyn std::fmt::Display) -> Offence {
    Offence { problem, value: value.to_string() }
}

/// A source without a name for the instrument gives no row of the table.
#[cold]
fn no_instrument(instrument: u32) -> Offence {
    if instrument == u32::MAX {
        offence(Problem::NoInstrument, &"null")
    } else {
        offence(Problem::NoInstrument, &instrument)
    }
}

/// A word that is no side comes as the highest code.
#[cold]
fn unknown_side(side: u8) -> Offence {
    if side == u8::MAX { offence(Problem::UnknownSide, &"another word") } else { offence(Problem::UnknownSide, &side) }
}

#[cold]
fn bad_time(time: i64) -> Offence {
    match time {
        TIME_OVERFLOW => offence(Problem::TimeOverflow, &"beyond int64 nanoseconds"),
        TIME_MISSING => offence(Problem::TimeMissing, &"null"),
        other => offence(Problem::TimeNotPositive, &other),
    }
}

#[cold]
fn backwards(key: i64, last: i64, order_by: OrderBy) -> Offence {
    offence(Problem::KeyBackwards, &format!("{} {key} after {last}", order_by.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tick::Side;

    fn problem_of(tick: Tick) -> Option<Problem> {
        let table =
            [InstrumentInfo::named("A.X"), InstrumentInfo { negative_prices: true, ..InstrumentInfo::named("B.X") }];
        Checker::new(OrderBy::TsEvent).check(&tick, &table).err().map(|offence| offence.problem)
    }

    #[test]
    fn every_rule_refuses_what_it_names() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let quote = |bid, ask, size| problem_of(Tick::quote(1, 0, bid, ask, size, 1.0));
        assert_eq!(quote(1.0, 2.0, 0.0), None);
        assert_eq!(quote(1.0, 2.0, nan), None);
        assert_eq!(quote(2.0, 1.0, 1.0), None);
        for (bid, ask) in [(nan, 1.0), (1.0, nan), (inf, 1.0), (1.0, -inf)] {
            assert_eq!(quote(bid, ask, 1.0), Some(Problem::PriceNotFinite));
        }
        assert_eq!(quote(-1.0, 2.0, 1.0), Some(Problem::NegativePrice));
        assert_eq!(quote(1.0, 2.0, -1.0), Some(Problem::BadSize));
        assert_eq!(quote(1.0, 2.0, inf), Some(Problem::BadSize));
        assert_eq!(problem_of(Tick::quote(1, 1, -3.0, -2.0, 1.0, 1.0)), None);
        assert_eq!(problem_of(Tick::quote(1, 2, 1.0, 2.0, 1.0, 1.0)), Some(Problem::NoInstrument));
        assert_eq!(problem_of(Tick::trade(1, 0, 1.0, 0.0, Side::Buy)), Some(Problem::ZeroSizeTrade));
        assert_eq!(problem_of(Tick::trade(1, 0, 1.0, nan, Side::Buy)), None);
        for (time, problem) in [
            (0, Problem::TimeNotPositive),
            (-1, Problem::TimeNotPositive),
            (TIME_OVERFLOW, Problem::TimeOverflow),
            (TIME_MISSING, Problem::TimeMissing),
        ] {
            assert_eq!(problem_of(Tick::trade(time, 0, 1.0, 1.0, Side::None)), Some(problem));
        }
        assert_eq!(problem_of(Tick { side: 3, ..Tick::trade(1, 0, 1.0, 1.0, Side::None) }), Some(Problem::UnknownSide));
        assert_eq!(problem_of(Tick { kind: 0, ..Tick::trade(1, 0, 1.0, 1.0, Side::None) }), Some(Problem::UnknownKind));
    }

    #[test]
    fn bars_must_enclose_their_prices() {
        let bar = |prices, volume| problem_of(Tick::bar(1, 0, prices, volume));
        assert_eq!(bar([2.0, 3.0, 1.0, 2.5], 0.0), None);
        assert_eq!(bar([2.0, 1.9, 1.0, 1.5], 1.0), Some(Problem::BarPrices));
        assert_eq!(bar([2.0, 3.0, 2.1, 2.5], 1.0), Some(Problem::BarPrices));
        assert_eq!(bar([2.0, 3.0, 1.0, 2.5], -1.0), Some(Problem::BarVolume));
        assert_eq!(bar([2.0, 3.0, 1.0, 2.5], f64::NAN), Some(Problem::BarVolume));
        assert_eq!(bar([2.0, f64::NAN, 1.0, 2.5], 1.0), Some(Problem::PriceNotFinite));
    }

    #[test]
    fn a_key_that_ran_backwards_does_not_become_the_last() {
        let table = [InstrumentInfo::named("A.X")];
        let mut checker = Checker::new(OrderBy::TsEvent);
        let mut at = |time| checker.check(&Tick::quote(time, 0, 2.0, 1.0, 1.0, 1.0), &table).is_ok();
        assert_eq!([at(5), at(4), at(5), at(3), at(6)], [true, false, true, false, true]);
        assert_eq!(checker.crossed(), 3);
    }

    #[test]
    fn only_the_first_offenders_are_kept() {
        let mut report = Report::default();
        for row in 0..20 {
            report.count(offence(Problem::BadSize, &-1.0), &Arc::from("f"), row);
        }
        assert_eq!((report.bad(), report.offenders.len()), (20, OFFENDERS_KEPT));
    }

    #[test]
    fn names_and_codes_agree() {
        for (code, problem) in Problem::ALL.into_iter().enumerate() {
            assert_eq!(problem as usize, code);
        }
    }
}
