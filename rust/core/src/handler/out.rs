//! What a handler in machine code asks for: fixed-size records, written in place.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};

use super::HandlerError;
use crate::dispatch::Refusal;
use crate::venue::{OffGrid, Terms, TimeInForce};

/// Most things that one call may ask for.
pub const OUT_CAPACITY: usize = 1_024;

/// What a record of [`Out`] asks for; the discriminants are part of the C interface and never change.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Buy `quantity` of `instrument` at the market.
    Buy = 1,
    /// Sell `quantity` of `instrument` at the market.
    Sell = 2,
    /// Bring the position in `instrument`, market orders on their way counted, to `quantity`.
    Target = 3,
    /// Take back the order numbered `tag`.
    Cancel = 4,
    /// A timer called `tag`, once at `ts_ns`.
    TimerAt = 5,
    /// A timer called `tag`, every `interval_ns`, first at `ts_ns`, or one interval from now where that is 0.
    TimerEvery = 6,
    /// Forget all timers called `tag`.
    CancelTimer = 7,
    /// Receive the ticks of `instrument`.
    Subscribe = 8,
    /// Be spared the ticks of `instrument`.
    Unsubscribe = 9,
    /// No more ticks: the strategy is STOPPED at the end of the step.
    Stop = 10,
    /// Buy on terms; see [`OutRecord`].
    BuyOn = 11,
    /// Sell on terms.
    SellOn = 12,
    /// Let the order numbered `instrument` stand on other terms.
    Amend = 13,
}

impl Wish {
    const ALL: [Self; 13] = [
        Self::Buy,
        Self::Sell,
        Self::Target,
        Self::Cancel,
        Self::TimerAt,
        Self::TimerEvery,
        Self::CancelTimer,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Stop,
        Self::BuyOn,
        Self::SellOn,
        Self::Amend,
    ];
}

/// That a record of terms says its limit.
pub const HAS_LIMIT: u32 = 1;
/// That it says its stop.
pub const HAS_STOP: u32 = 2;
/// That it says when it expires.
pub const HAS_EXPIRY: u32 = 4;
/// That an amendment says its quantity.
pub const HAS_QUANTITY: u32 = 8;
/// See [`Terms::post_only`].
pub const POST_ONLY: u32 = 16;
/// See [`Terms::reduce_only`].
pub const REDUCE_ONLY: u32 = 32;

/// One thing that a handler asks for; which fields count depends on the [`Wish`].
///
/// A record of terms ([`Wish::BuyOn`], [`Wish::SellOn`], [`Wish::Amend`]) has more to say than there are fields: `kind` is the
/// wish, and from bit 8 on a [`TimeInForce`], from bit 16 on the flags [`HAS_LIMIT`] to [`REDUCE_ONLY`]; `ts_ns` is when the order
/// expires, `interval_ns` has the bits of the limit, `tag` those of the stop. A price that is flagged and is no number is
/// refused: it never makes a market order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OutRecord {
    /// A [`Wish`].
    pub kind: u32,
    /// Index of an instrument in the run's table.
    pub instrument: u32,
    /// Units of the instrument.
    pub quantity: f64,
    /// A time, ns UTC.
    pub ts_ns: i64,
    /// A period, ns.
    pub interval_ns: i64,
    /// Number of an order, or the handler's own name for a timer.
    pub tag: i64,
}

impl OutRecord {
    /// What it asks for.
    ///
    /// # Errors
    /// The kind is none that we know.
    pub fn wish(&self) -> Result<Wish, HandlerError> {
        let has_terms = self.kind & 0xff > Wish::Stop as u32;
        let kind = if has_terms { self.kind & 0xff } else { self.kind };
        Wish::ALL.into_iter().find(|&wish| wish as u32 == kind).ok_or(HandlerError::Unknown(self.kind))
    }

    const fn says(&self, flag: u32) -> bool {
        self.kind >> 16 & flag != 0
    }

    /// The limit, if it says one.
    pub fn limit(&self) -> Option<f64> {
        self.says(HAS_LIMIT).then(|| f64::from_bits(self.interval_ns.cast_unsigned()))
    }

    /// The stop, if it says one.
    pub fn stop(&self) -> Option<f64> {
        self.says(HAS_STOP).then(|| f64::from_bits(self.tag.cast_unsigned()))
    }

    /// The quantity of an amendment, if it says one.
    pub fn amended_quantity(&self) -> Option<f64> {
        self.says(HAS_QUANTITY).then_some(self.quantity)
    }

    /// What it says of an order beside instrument and quantity.
    ///
    /// # Errors
    /// A price is no number, or there is no such time in force.
    pub fn terms(&self) -> Result<Terms, HandlerError> {
        let prices = [self.limit(), self.stop()];
        if let Some(price) = prices.into_iter().flatten().find(|price| price.is_nan()) {
            return Err(HandlerError::Refused(Refusal::OffGrid(OffGrid::Price(price))));
        }
        let [limit, stop] = prices.map(|price| price.unwrap_or(f64::NAN));
        let code = self.kind >> 8 & 0xff;
        let standing = TimeInForce::ALL.into_iter().find(|&tif| tif as u32 == code);
        let mut terms = Terms::priced(limit, stop).standing(standing.ok_or(HandlerError::Unknown(self.kind))?);
        if self.says(HAS_EXPIRY) {
            terms.expires_ns = self.ts_ns;
            if terms.time_in_force == TimeInForce::Gtc {
                terms.time_in_force = TimeInForce::Gtd;
            }
        }
        Ok(Terms { post_only: self.says(POST_ONLY), reduce_only: self.says(REDUCE_ONLY), ..terms })
    }

    /// A record of terms.
    fn of_terms(wish: Wish, terms: &Terms) -> Self {
        let mut record = Self { kind: wish as u32 | (terms.time_in_force as u32) << 8, ..Self::default() };
        record.price(terms.limit, terms.stop);
        if terms.expires_ns != i64::MAX {
            record.kind |= HAS_EXPIRY << 16;
            record.ts_ns = terms.expires_ns;
        }
        record.kind |= if terms.post_only { POST_ONLY << 16 } else { 0 };
        record.kind |= if terms.reduce_only { REDUCE_ONLY << 16 } else { 0 };
        record
    }

    fn price(&mut self, limit: f64, stop: f64) {
        if !limit.is_nan() {
            self.kind |= HAS_LIMIT << 16;
            self.interval_ns = limit.to_bits().cast_signed();
        }
        if !stop.is_nan() {
            self.kind |= HAS_STOP << 16;
            self.tag = stop.to_bits().cast_signed();
        }
    }
}

/// A `T` of zero bytes, made where it stays: an [`Out`] has 40 kB, which a value would carry over the stack.
///
/// # Safety
/// Zero bytes are a valid `T`, which is not empty.
pub unsafe fn zeroed<T>() -> Box<T> {
    let layout = Layout::new::<T>();
    // SAFETY: the layout has a size, by contract.
    let place = unsafe { alloc_zeroed(layout) }.cast::<T>();
    if place.is_null() {
        handle_alloc_error(layout);
    }
    // SAFETY: allocated just now with the layout of `T`, and zero bytes are one, by contract.
    unsafe { Box::from_raw(place) }
}

/// What one call asks for, in order.
#[repr(C)]
#[derive(Debug)]
pub struct Out {
    count: i64,
    records: [OutRecord; OUT_CAPACITY],
}

impl Out {
    /// Nothing asked for.
    pub fn new() -> Box<Self> {
        // SAFETY: a count and records of plain numbers, for all of which zero stands.
        unsafe { zeroed() }
    }

    /// Whether nothing was asked for.
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets everything.
    #[inline(always)]
    pub const fn clear(&mut self) {
        self.count = 0;
    }

    /// What was asked for.
    ///
    /// # Errors
    /// The count is none that this `Out` can have.
    pub fn records(&self) -> Result<&[OutRecord], HandlerError> {
        let count = usize::try_from(self.count).map_err(|_| HandlerError::Overrun(self.count))?;
        self.records.get(..count).ok_or(HandlerError::Overrun(self.count))
    }

    /// Adds a record; beyond the capacity only the count grows, and the loop refuses the whole call.
    pub fn push(&mut self, record: OutRecord) {
        if let Some(place) = usize::try_from(self.count).ok().and_then(|place| self.records.get_mut(place)) {
            *place = record;
        }
        self.count = self.count.saturating_add(1);
    }

    fn wish(&mut self, wish: Wish, fill: impl FnOnce(&mut OutRecord)) {
        let mut record = OutRecord { kind: wish as u32, ..OutRecord::default() };
        fill(&mut record);
        self.push(record);
    }

    /// Buy at the market.
    pub fn buy(&mut self, instrument: u32, quantity: f64) {
        self.wish(Wish::Buy, |record| (record.instrument, record.quantity) = (instrument, quantity));
    }

    /// Sell at the market.
    pub fn sell(&mut self, instrument: u32, quantity: f64) {
        self.wish(Wish::Sell, |record| (record.instrument, record.quantity) = (instrument, quantity));
    }

    /// Buy on `terms`.
    pub fn buy_on(&mut self, instrument: u32, quantity: f64, terms: &Terms) {
        self.push(OutRecord { instrument, quantity, ..OutRecord::of_terms(Wish::BuyOn, terms) });
    }

    /// Sell on `terms`.
    pub fn sell_on(&mut self, instrument: u32, quantity: f64, terms: &Terms) {
        self.push(OutRecord { instrument, quantity, ..OutRecord::of_terms(Wish::SellOn, terms) });
    }

    /// Let an order stand on other terms; `None` leaves what it is.
    pub fn amend(&mut self, order: u32, quantity: Option<f64>, limit: Option<f64>, stop: Option<f64>) {
        let mut record = OutRecord { kind: Wish::Amend as u32, instrument: order, ..OutRecord::default() };
        record.price(limit.unwrap_or(f64::NAN), stop.unwrap_or(f64::NAN));
        if let Some(quantity) = quantity {
            record.kind |= HAS_QUANTITY << 16;
            record.quantity = quantity;
        }
        self.push(record);
    }

    /// Bring the position, market orders on their way counted, to `quantity`.
    pub fn target(&mut self, instrument: u32, quantity: f64) {
        self.wish(Wish::Target, |record| (record.instrument, record.quantity) = (instrument, quantity));
    }

    /// Take back an order by its number.
    pub fn cancel(&mut self, order: u32) {
        self.wish(Wish::Cancel, |record| record.tag = i64::from(order));
    }

    /// A timer called `tag`, once.
    pub fn schedule_at(&mut self, ts_ns: i64, tag: i64) {
        self.wish(Wish::TimerAt, |record| (record.ts_ns, record.tag) = (ts_ns, tag));
    }

    /// A timer called `tag`, again and again; first at `start_ns`, or one interval from now where that is 0.
    pub fn schedule_every(&mut self, interval_ns: i64, tag: i64, start_ns: i64) {
        self.wish(Wish::TimerEvery, |record| {
            (record.interval_ns, record.tag, record.ts_ns) = (interval_ns, tag, start_ns);
        });
    }

    /// Forget all timers called `tag`.
    pub fn cancel_timer(&mut self, tag: i64) {
        self.wish(Wish::CancelTimer, |record| record.tag = tag);
    }

    /// Receive the ticks of an instrument from the next step on.
    pub fn subscribe(&mut self, instrument: u32) {
        self.wish(Wish::Subscribe, |record| record.instrument = instrument);
    }

    /// Be spared the ticks of an instrument from the next step on.
    pub fn unsubscribe(&mut self, instrument: u32) {
        self.wish(Wish::Unsubscribe, |record| record.instrument = instrument);
    }

    /// Want no more ticks.
    pub fn stop(&mut self) {
        self.wish(Wish::Stop, |_| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let mut out = Out::new();
        out.buy(3, 2.0);
        out.schedule_every(1_000, 7, 0);
        out.stop();
        let wishes: Vec<_> = out.records().unwrap().iter().map(|record| record.wish().unwrap()).collect();
        assert_eq!(wishes, [Wish::Buy, Wish::TimerEvery, Wish::Stop]);
        assert_eq!((out.records[0].instrument, out.records[0].quantity), (3, 2.0));
        assert_eq!((out.records[1].interval_ns, out.records[1].tag), (1_000, 7));
        out.clear();
        assert!(out.is_empty() && out.records().unwrap().is_empty());
    }

    #[test]
    fn more_than_it_holds_is_an_overrun_and_writes_nothing_beyond() {
        let mut out = Out::new();
        (0..=OUT_CAPACITY).for_each(|_| out.stop());
        assert_eq!(out.records().unwrap_err(), HandlerError::Overrun(OUT_CAPACITY as i64 + 1));
        out.count = -1;
        assert_eq!(out.records().unwrap_err(), HandlerError::Overrun(-1));
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        let kind_of = |kind| OutRecord { kind, ..OutRecord::default() };
        for kind in [0, 14, 99, 1 | 1 << 8, 10 | HAS_LIMIT << 16] {
            assert_eq!(kind_of(kind).wish(), Err(HandlerError::Unknown(kind)));
        }
        let no_time_in_force = kind_of(Wish::BuyOn as u32 | 5 << 8);
        assert_eq!(no_time_in_force.terms(), Err(HandlerError::Unknown(no_time_in_force.kind)));
    }

    #[test]
    fn terms_come_out_as_they_went_in_and_a_price_that_is_no_number_is_refused() {
        let limit = Terms::limit(-0.25);
        let every = [
            Terms::MARKET,
            limit,
            Terms::stop(5.5),
            Terms { reduce_only: true, ..Terms::stop_limit(5.0, 4.0) },
            Terms { post_only: true, ..limit.until(77) },
            limit.standing(TimeInForce::Fok),
            Terms::stop(2.0).standing(TimeInForce::Day),
        ];
        for terms in every {
            let mut out = Out::new();
            out.buy_on(3, 2.0, &terms);
            out.sell_on(3, 2.0, &terms);
            let records = out.records().unwrap();
            assert_eq!([records[0].wish(), records[1].wish()], [Ok(Wish::BuyOn), Ok(Wish::SellOn)]);
            assert!(records.iter().all(|record| (record.instrument, record.quantity) == (3, 2.0)));
            let found = records[1].terms().unwrap();
            assert_eq!(found.payload(), terms.payload());
        }
        let bits = f64::NAN.to_bits().cast_signed();
        for kind in [HAS_LIMIT, HAS_STOP, HAS_LIMIT | HAS_STOP] {
            let record = OutRecord { kind: 11 | kind << 16, interval_ns: bits, tag: bits, ..OutRecord::default() };
            assert!(matches!(record.terms(), Err(HandlerError::Refused(Refusal::OffGrid(OffGrid::Price(_))))));
        }
        let mut out = Out::new();
        out.amend(7, Some(2.0), None, Some(4.0));
        let record = out.records().unwrap()[0];
        assert_eq!((record.wish(), record.instrument), (Ok(Wish::Amend), 7));
        assert_eq!((record.amended_quantity(), record.limit(), record.stop()), (Some(2.0), None, Some(4.0)));
    }
}
