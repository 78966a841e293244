//! The lane's own end: a thread that takes records and letters in the order written and calls the handler.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::LanePlan;
use super::letter::Text;
use super::meter::LaneMeter;
use super::pinning::pin;
use super::tie::{FarEnd, Next};
use super::wire::pack;
use crate::clock::instant;
use crate::command::{Command, Lane};
use crate::dispatch::Hook;
use crate::handler::{Handler, HandlerError, Out};
use crate::ring::NotTaken;
use crate::stop::{MAX_SLICE, WaitStrategy};
use crate::tick::Tick;

/// Records that are copied out of the ring at once: what a writer may overtake meanwhile is little.
const AT_ONCE: u64 = 64;

/// Commands that wait for a slot at most, beside those in the loop's lane.
const MOST_UNSENT: usize = 65_536;

/// How long a full lane of commands is left alone.
const RETRY: Duration = Duration::from_millis(1);

/// The life on this lane is over, in peace or not.
struct Over;

/// What the thread has.
pub(super) struct LaneThread {
    plan: LanePlan,
    life: u32,
    handler: Box<dyn Handler + Send>,
    lane: FarEnd<Text>,
    out: Box<Out>,
    buffer: Vec<Tick>,
    batch: Vec<Tick>,
    unsent: VecDeque<Command>,
    /// Records since the last that was measured.
    unstamped: u64,
    wait: WaitStrategy,
}

impl LaneThread {
    pub fn new(plan: LanePlan, life: u32, handler: Box<dyn Handler + Send>, lane: FarEnd<Text>) -> Self {
        let wait = plan.rules.wait.fitted();
        Self {
            plan,
            life,
            handler,
            lane,
            out: Out::new(),
            buffer: Vec::with_capacity(AT_ONCE as usize),
            batch: Vec::new(),
            unsent: VecDeque::new(),
            // The first one is.
            unstamped: u64::MAX,
            wait,
        }
    }

    /// Goes on to the end of the strategy's life, or of the run.
    pub fn run(mut self: Box<Self>) {
        let ended = match self.plan.rules.processor {
            Some(processor) if !pin(processor) => {
                let error = HandlerError::Failed(format!("processor {processor} cannot be had"));
                self.answer("on_start", None, Err(error))
            }
            _ => Ok(()),
        };
        let mut goes_on = ended.is_ok();
        while goes_on && !self.lane.shared().is_left() {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => self.idle(),
                Err(Over) => goes_on = false,
            }
        }
        // Before what is still to be sent: the loop, which takes that, may be waiting for this lane.
        self.lane.shared().end();
        while !self.flush() && !self.lane.shared().is_left() {
            self.lane.shared().waker.wait(RETRY);
        }
    }

    /// Takes what comes next; whether there was something.
    fn turn(&mut self) -> Result<bool, Over> {
        self.flush();
        let (next, there) = self.lane.next(AT_ONCE);
        let most_ever = &self.plan.meter.high_water;
        if there > most_ever.load(Ordering::Relaxed) {
            most_ever.store(there, Ordering::Relaxed);
        }
        match next {
            Next::Records(most) => self.look(most as usize)?,
            Next::Letter(text) => {
                let done = self.open(&text);
                self.lane.mark_done();
                done?;
            }
            Next::Soon => {}
            Next::Nothing => return Ok(false),
        }
        Ok(true)
    }

    fn idle(&mut self) {
        let most = if self.unsent.is_empty() { MAX_SLICE } else { RETRY };
        let lane = &self.lane;
        self.wait.wait_for(&lane.shared().waker, most, || lane.has_records());
    }

    fn look(&mut self, most: usize) -> Result<(), Over> {
        let mut records = std::mem::take(&mut self.buffer);
        records.clear();
        let seen = self.lane.look(&mut records, most);
        if seen.lost > 0 {
            LaneMeter::add(&self.plan.meter.lost, seen.lost);
            LaneMeter::add(&self.plan.meter.gaps, 1);
        }
        let done = if self.lane.shared().is_hurried() {
            Ok(())
        } else if self.plan.rules.takes_batches {
            self.batch.extend_from_slice(&records);
            Ok(())
        } else {
            self.take(&records)
        };
        self.buffer = records;
        self.lane.mark_done();
        done
    }

    fn take(&mut self, records: &[Tick]) -> Result<(), Over> {
        let mut at = 0;
        while at < records.len() {
            // One alone where it is measured, so that it is the time of one.
            let most = if self.is_stamp_due() { 1 } else { self.plan.rules.at_once.max(1) };
            let offered = &records[at..records.len().min(at + most)];
            let mut count = offered.len();
            let result = self.call(offered.first(), |handler, out| {
                let (taken, result) = handler.take(offered, out);
                count = taken;
                result
            });
            at += count;
            self.count(count);
            self.answer("on_tick", records.get(at - 1), result)?;
        }
        Ok(())
    }

    fn open(&mut self, text: &Text) -> Result<(), Over> {
        let (name, result) = match text {
            Text::Batch => return self.take_batch(),
            Text::Timer(timer) => ("on_timer", self.call(None, |handler, out| handler.on_timer(timer, out))),
            Text::Update(update) => {
                ("on_order_update", self.call(None, |handler, out| handler.on_order_update(update, out)))
            }
            Text::Hook(hook) => {
                let call = |handler: &mut (dyn Handler + Send), out: &mut Out| match hook {
                    Hook::Start => handler.on_start(out),
                    Hook::Stop => handler.on_stop(out),
                    Hook::Pause => handler.on_pause(out),
                    Hook::Resume => handler.on_resume(out),
                };
                (hook.name(), self.call(None, call))
            }
        };
        self.answer(name, None, result)?;
        if matches!(text, Text::Hook(Hook::Stop)) { Err(Over) } else { Ok(()) }
    }

    fn take_batch(&mut self) -> Result<(), Over> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let result = self.call(batch.first(), |handler, out| handler.on_batch(&batch, out));
        self.count(batch.len());
        self.answer("on_batch", batch.last(), result)?;
        self.batch = batch;
        self.batch.clear();
        Ok(())
    }

    fn count(&mut self, records: usize) {
        self.unstamped = self.unstamped.saturating_add(records as u64);
        LaneMeter::add(&self.plan.meter.handled, records as u64);
    }

    fn is_stamp_due(&self) -> bool {
        let every = u64::from(self.plan.rules.sample_every);
        every > 0 && self.unstamped >= every
    }

    /// Calls the handler, with a stamp now and then, and catches it if it panics.
    fn call(
        &mut self,
        first: Option<&Tick>,
        call: impl FnOnce(&mut (dyn Handler + Send), &mut Out) -> Result<(), HandlerError>,
    ) -> Result<(), HandlerError> {
        let stamp = first.filter(|_| self.is_stamp_due()).map(|tick| {
            self.unstamped = 0;
            let began = instant();
            if let Some(clock) = &self.plan.clock {
                let waited = clock.at(began).saturating_sub(tick.ts_init).max(0);
                self.plan.meter.latency_ns.record(waited.unsigned_abs());
            }
            began
        });
        self.out.clear();
        let (handler, out) = (self.handler.as_mut(), self.out.as_mut());
        // Safe to go on after: neither is used again where the handler panicked.
        let result = catch_unwind(AssertUnwindSafe(|| call(handler, out)));
        if let Some(began) = stamp {
            self.plan.meter.handler_ns.record(began.elapsed().as_nanos() as u64);
        }
        result.unwrap_or_else(|panic| Err(HandlerError::Failed(format!("the handler panicked: {}", text_of(&*panic)))))
    }

    /// Sends the loop what the handler asked for, or why it can do no more.
    fn answer(
        &mut self,
        handler: &'static str,
        tick: Option<&Tick>,
        result: Result<(), HandlerError>,
    ) -> Result<(), Over> {
        let (strategy, life) = (self.plan.strategy, self.life);
        match result.and_then(|()| self.out.records()) {
            Ok([]) => return Ok(()),
            Ok(records) => {
                let command = pack(strategy, life, handler, tick, Ok(records));
                LaneMeter::add(&self.plan.meter.asked, 1);
                self.unsent.push_back(command);
            }
            Err(error) => {
                self.unsent.push_back(pack(strategy, life, handler, tick, Err(&error)));
                return Err(Over);
            }
        }
        if !self.flush() && self.unsent.len() > MOST_UNSENT {
            let error = HandlerError::Failed(format!("it asks for more than the loop takes: {MOST_UNSENT} calls wait"));
            self.unsent.push_back(pack(strategy, life, handler, tick, Err(&error)));
            return Err(Over);
        }
        Ok(())
    }

    /// Sends as much of what waits as the loop has slots for; whether that was all.
    fn flush(&mut self) -> bool {
        while let Some(command) = self.unsent.pop_front() {
            match self.plan.sender.push(Lane::Normal, command) {
                Ok(()) => {}
                Err(NotTaken::Full(command)) => {
                    self.unsent.push_front(command);
                    return false;
                }
                // The run is over: nobody wants it any more.
                Err(NotTaken::Closed(_)) => self.unsent.clear(),
            }
        }
        true
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl fmt::Debug for LaneThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LaneThread(strategy {}, life {}, {} taken)", self.plan.strategy, self.life, self.lane.taken())
    }
}
