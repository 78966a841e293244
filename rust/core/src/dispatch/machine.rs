//! Strategies in machine code within the loop: the same steps as for the others, without the host.

use super::host::{Fault, Hook, Host};
use super::pulse::Doing;
use super::request::Refusal;
use super::step::Steps;
use super::stretch::Quiet;
use crate::handler::{Handler, HandlerError, Out, OutRecord, TimerRecord, UpdateRecord, Wish};
use crate::source::Slice;
use crate::tick::{Side, Tick};
use crate::timer::{Fired, Schedule};
use crate::venue::OrderUpdate;

/// Most records that are looked through and offered at once; wrappers of handlers ask for memory so far ahead.
pub const MOST_OFFERED: usize = 1_024;
/// And the fewest.
const LEAST_OFFERED: usize = 32;

impl<H: Host> Steps<H> {
    /// Records that concern this strategy alone and between which nothing is due go to its handler in one call, which ends
    /// with the first that makes it ask for something. One step each, as everywhere.
    pub(super) fn record_stretch(&mut self, slice: &Slice<'_>, index: usize, strategy: u32) -> usize {
        if !self.subscribers[strategy as usize].state.takes_ticks() {
            return 0;
        }
        let quiet = self.offered(slice, index, strategy);
        if quiet.count == 0 {
            return 0;
        }
        let ticks = &slice.ticks[index..index + quiet.count];
        let (taken, result) = self.call(strategy, |handler, out| handler.take(ticks, out));
        self.subscribers[strategy as usize].tallies.now.delivered += taken as u64;
        let last = &ticks[taken - 1];
        // What was looked through beyond a wish has to be looked through again, unless it is known to be alike.
        let is_lost = taken < quiet.count && (!quiet.is_uniform || self.venue.is_waiting(last.instrument));
        let subscriber = &mut self.subscribers[strategy as usize];
        subscriber.reach = if is_lost { LEAST_OFFERED } else { (subscriber.reach * 2).min(MOST_OFFERED) };
        self.pass(slice, index, taken, &quiet);
        self.settle_tick(strategy, last, result);
        if self.has_requests() {
            self.apply_requests();
        }
        taken
    }

    /// The quiet stretch from `index` on, as far as it is worth looking. What one look finds to be alike is not looked through
    /// again behind each wish.
    #[inline]
    fn offered(&mut self, slice: &Slice<'_>, index: usize, strategy: u32) -> Quiet {
        if let Some(known) = slice.ticks.get(index..self.alike_until)
            && let Some(quiet) = self.quiet_of(known, strategy)
        {
            return quiet;
        }
        let most = self.subscribers[strategy as usize].reach.min(slice.ticks.len() - index);
        let quiet = self.quiet(slice, index..index + most, strategy);
        if quiet.is_uniform {
            self.alike_until = self.alike_until.max(index + quiet.count);
        }
        quiet
    }

    /// One record, in the general step.
    pub(super) fn record(&mut self, strategy: u32, tick: &Tick) {
        let (_, result) = self.call(strategy, |handler, out| handler.take(std::slice::from_ref(tick), out));
        self.settle_tick(strategy, tick, result);
    }

    #[inline]
    fn settle_tick(&mut self, strategy: u32, tick: &Tick, result: Result<(), HandlerError>) {
        if result.is_err() || self.out.as_ref().is_some_and(|out| !out.is_empty()) {
            let handler = self.host.tick_handler(strategy, tick);
            self.settle(strategy, handler, Some(*tick), result);
        }
    }

    pub(super) fn machine_batch(&mut self, strategy: u32, ticks: &[Tick], last: Option<Tick>) {
        let result = self.call(strategy, |handler, out| handler.on_batch(ticks, out));
        self.settle(strategy, "on_batch", last, result);
    }

    pub(super) fn machine_timer(&mut self, strategy: u32, fired: &Fired) {
        let tags = &mut self.subscribers[strategy as usize].tags;
        let tag = if fired.is_last { tags.remove(&fired.number) } else { tags.get(&fired.number).copied() };
        let tag = tag.map_or(i64::from(fired.number), |(tag, _)| tag);
        let record = TimerRecord { ts_ns: fired.due_ns, tag, count: fired.count };
        let result = self.call(strategy, |handler, out| handler.on_timer(&record, out));
        self.settle(strategy, "on_timer", None, result);
    }

    pub(super) fn machine_order_update(&mut self, strategy: u32, update: &OrderUpdate) {
        let record = UpdateRecord::new(update, self.desk.now_ns());
        let result = self.call(strategy, |handler, out| handler.on_order_update(&record, out));
        self.settle(strategy, "on_order_update", None, result);
    }

    pub(super) fn machine_hook(&mut self, strategy: u32, hook: Hook) {
        let (name, result) = match hook {
            Hook::Start => ("on_start", self.call(strategy, |handler, out| handler.on_start(out))),
            Hook::Stop => ("on_stop", self.call(strategy, |handler, out| handler.on_stop(out))),
            Hook::Pause => ("on_pause", self.call(strategy, |handler, out| handler.on_pause(out))),
            Hook::Resume => ("on_resume", self.call(strategy, |handler, out| handler.on_resume(out))),
        };
        self.settle(strategy, name, None, result);
    }

    #[inline(always)]
    fn call<R>(&mut self, strategy: u32, call: impl FnOnce(&mut dyn Handler, &mut Out) -> R) -> R {
        self.desk.pulse().enter(strategy, Doing::Machine);
        let handler = self.subscribers[strategy as usize].handler.as_deref_mut();
        let out = self.out.get_or_insert_with(Out::new);
        call(handler.expect("records and machine_* go to strategies with a handler"), out)
    }

    /// Turns what the handler asked for into requests, or its failure into that of the strategy.
    pub(super) fn settle(
        &mut self,
        strategy: u32,
        handler: &'static str,
        input: Option<Tick>,
        result: Result<(), HandlerError>,
    ) {
        let granted = result.and_then(|()| self.grant(strategy));
        if let Some(out) = &mut self.out {
            out.clear();
        }
        match granted {
            Ok(false) => {}
            Ok(true) => self.fault(strategy, handler, input, Fault::Ended),
            Err(error) => {
                let failure = self.host.handler_failure(strategy, error);
                self.fault(strategy, handler, input, Fault::Failed(failure));
            }
        }
    }

    /// Says whether the strategy wants to stop.
    fn grant(&mut self, strategy: u32) -> Result<bool, HandlerError> {
        let mut stop = false;
        let Some(out) = &self.out else { return Ok(false) };
        for record in out.records()? {
            let tags = &mut self.subscribers[strategy as usize].tags;
            let wish = record.wish()?;
            stop |= wish == Wish::Stop;
            let granted = match wish {
                Wish::Buy => self.desk.order(strategy, record.instrument, Side::Buy, record.quantity).map(drop),
                Wish::Sell => self.desk.order(strategy, record.instrument, Side::Sell, record.quantity).map(drop),
                Wish::BuyOn | Wish::SellOn => {
                    let side = if wish == Wish::BuyOn { Side::Buy } else { Side::Sell };
                    let terms = record.terms()?;
                    self.desk.order_on(strategy, record.instrument, side, record.quantity, terms).map(drop)
                }
                Wish::Amend => {
                    let quantity = record.amended_quantity();
                    self.desk.amend(strategy, record.instrument, quantity, record.limit(), record.stop())
                }
                Wish::Target => self.desk.target(strategy, record.instrument, record.quantity).map(drop),
                Wish::Cancel => self.desk.cancel(strategy, u32::try_from(record.tag).unwrap_or(0)),
                Wish::TimerAt | Wish::TimerEvery => {
                    self.desk.schedule(strategy, &schedule_of(record, wish)).map(|timer| {
                        tags.insert(timer.number, (record.tag, timer));
                    })
                }
                Wish::CancelTimer => {
                    tags.retain(|_, &mut (tag, timer)| {
                        let is_meant = tag == record.tag;
                        if is_meant {
                            self.desk.cancel_timer(timer);
                        }
                        !is_meant
                    });
                    Ok(())
                }
                Wish::Subscribe => self.desk.subscription(strategy, record.instrument, true),
                Wish::Unsubscribe => self.desk.subscription(strategy, record.instrument, false),
                Wish::Stop => Ok::<(), Refusal>(()),
            };
            granted.map_err(HandlerError::Refused)?;
        }
        Ok(stop)
    }
}

fn schedule_of(record: &OutRecord, wish: Wish) -> Schedule {
    match (wish, record.ts_ns) {
        (Wish::TimerAt, ts_ns) => Schedule::at(ts_ns),
        (_, 0) => Schedule::every(record.interval_ns),
        (_, start_ns) => Schedule::every(record.interval_ns).starting(start_ns),
    }
}
