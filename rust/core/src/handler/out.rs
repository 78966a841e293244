//! What a handler in machine code asks for: fixed-size records, written in place.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};

use super::HandlerError;

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
    /// Bring the position in `instrument`, orders in flight counted, to `quantity`.
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
}

impl Wish {
    const ALL: [Self; 10] = [
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
    ];
}

/// One thing that a handler asks for; which fields count depends on the [`Wish`].
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
        Wish::ALL.into_iter().find(|&wish| wish as u32 == self.kind).ok_or(HandlerError::Unknown(self.kind))
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

    /// Bring the position, orders in flight counted, to `quantity`.
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
        let record = OutRecord { kind: 99, ..OutRecord::default() };
        assert_eq!(record.wish(), Err(HandlerError::Unknown(99)));
    }
}
