//! Timers within the loop: how strategies set them, and the step in which one fires.

use super::desk::Desk;
use super::host::Host;
use super::pulse::Doing;
use super::request::{Refusal, Request, TimerKey};
use super::step::{MAX_STEPS_AT_ONE_TIME, Steps};
use crate::clock::{Clock, ClockPort};
use crate::command::NO_STRATEGY;
use crate::digest::EventKind;
use crate::source::Slice;
use crate::timer::{Fired, Schedule, TimerId, TimerInfo, TimerQueue};

/// The timers of a run, and how many each strategy has asked for.
///
/// What a handler asks for stands in the queue at once, while other requests wait for the end of the step: until then
/// nobody else could tell the difference, and the strategy sees in its listing what it asked for.
#[derive(Default)]
pub(super) struct Timers {
    queue: TimerQueue,
    asked: Vec<u32>,
    asked_by_run: u32,
    /// Firings that wait until their strategies, which are paused, go on: of each timer the latest.
    held: Vec<Fired>,
}

impl Timers {
    pub fn add_strategy(&mut self) {
        self.asked.push(0);
    }

    /// Whether it was set, or its last firing still waits.
    fn cancel(&mut self, id: TimerId) -> bool {
        let waiting = self.held.len();
        self.held.retain(|fired| fired.id != id);
        self.queue.cancel(id) || self.held.len() < waiting
    }
}

impl Desk {
    /// Sets a timer of the run itself, for the host: a command that is sent by the clock. Due at or before now means in the
    /// next step.
    ///
    /// # Errors
    /// It cannot be kept.
    pub fn schedule_run(&self, schedule: &Schedule) -> Result<TimerKey, Refusal> {
        let mut timers = self.timers.borrow_mut();
        let number = timers.asked_by_run + 1;
        let set = timers.queue.schedule(NO_STRATEGY, number, schedule, self.now_ns());
        let (id, due_ns) = set.map_err(Refusal::Timer)?;
        timers.asked_by_run = number;
        let (strategy, interval_ns) = (NO_STRATEGY, schedule.interval_ns().unwrap_or(0));
        let end_ns = schedule.end_ns();
        self.requests.borrow_mut().push(Request::SetTimer { strategy, number, due_ns, interval_ns, end_ns });
        Ok(TimerKey { strategy, number, id })
    }

    /// Sets a timer of `strategy`; due at or before now means in the next step.
    ///
    /// # Errors
    /// It cannot be kept, or the strategy may not act.
    pub fn schedule(&self, strategy: u32, schedule: &Schedule) -> Result<TimerKey, Refusal> {
        self.acting(strategy)?;
        let mut timers = self.timers.borrow_mut();
        let number = timers.asked[strategy as usize] + 1;
        let set = timers.queue.schedule(strategy, number, schedule, self.now_ns());
        let (id, due_ns) = set.map_err(Refusal::Timer)?;
        timers.asked[strategy as usize] = number;
        let (interval_ns, end_ns) = (schedule.interval_ns().unwrap_or(0), schedule.end_ns());
        self.requests.borrow_mut().push(Request::SetTimer { strategy, number, due_ns, interval_ns, end_ns });
        Ok(TimerKey { strategy, number, id })
    }

    /// Takes a timer away; false if it is gone already, by firing or by an earlier call.
    pub fn cancel_timer(&self, timer: TimerKey) -> bool {
        let is_set = self.timers.borrow_mut().cancel(timer.id);
        if is_set {
            let TimerKey { strategy, number, .. } = timer;
            self.requests.borrow_mut().push(Request::CancelTimer { strategy, number });
        }
        is_set
    }

    /// What is known of a timer; `None`: it is gone.
    pub fn timer(&self, timer: TimerKey) -> Option<TimerInfo> {
        self.timers.borrow().queue.info(timer.id)
    }

    /// The timer of `strategy` with this name.
    pub fn timer_named(&self, strategy: u32, name: &str) -> Option<TimerKey> {
        let info = self.timers.borrow().queue.find(strategy, name)?;
        Some(TimerKey { strategy, number: info.number, id: info.id })
    }

    /// The timers of `strategy`, in the order in which they will fire.
    pub fn timers_of(&self, strategy: u32) -> Vec<TimerInfo> {
        self.timers.borrow().queue.of_owner(strategy)
    }

    /// The clock port of `strategy`.
    pub fn clock_of(&self, strategy: u32) -> StrategyClock<'_> {
        StrategyClock { desk: self, strategy }
    }

    /// When the next timer fires: `i64::MAX` if there is none, `i64::MIN` if one is due at once.
    #[inline]
    pub(super) fn next_timer(&self) -> i64 {
        self.timers.borrow().queue.next_due()
    }

    /// Whether any timer is set.
    pub fn has_timers(&self) -> bool {
        !self.timers.borrow().queue.is_empty()
    }

    /// Keeps a firing for when its strategy goes on, in the place of an earlier one of its timer.
    pub(super) fn hold_timer(&self, fired: &Fired) {
        let held = &mut self.timers.borrow_mut().held;
        match held.iter_mut().find(|known| known.id == fired.id) {
            Some(known) => known.clone_from(fired),
            None => held.push(fired.clone()),
        }
    }

    /// Takes the first firing that was kept for `strategy`.
    pub(super) fn next_held(&self, strategy: u32) -> Option<Fired> {
        let held = &mut self.timers.borrow_mut().held;
        let mine = held.iter().enumerate().filter(|(_, fired)| fired.owner == strategy);
        let (place, _) = mine.min_by_key(|(_, fired)| (fired.due_ns, fired.id.rank()))?;
        Some(held.remove(place))
    }

    pub(super) fn forget_timers(&self, strategy: u32) {
        let mut timers = self.timers.borrow_mut();
        timers.queue.cancel_owner(strategy);
        timers.held.retain(|fired| fired.owner != strategy);
    }
}

/// The clock as one strategy has it, in a simulation and live.
#[derive(Clone, Copy)]
pub struct StrategyClock<'a> {
    desk: &'a Desk,
    strategy: u32,
}

impl Clock for StrategyClock<'_> {
    fn now_ns(&self) -> i64 {
        self.desk.now_ns()
    }
}

impl ClockPort for StrategyClock<'_> {
    fn schedule(&self, schedule: &Schedule) -> Result<TimerKey, Refusal> {
        self.desk.schedule(self.strategy, schedule)
    }

    fn cancel(&self, timer: TimerKey) -> bool {
        timer.strategy == self.strategy && self.desk.cancel_timer(timer)
    }

    fn find(&self, name: &str) -> Option<TimerKey> {
        self.desk.timer_named(self.strategy, name)
    }

    fn timers(&self) -> Vec<TimerInfo> {
        self.desk.timers_of(self.strategy)
    }
}

impl<H: Host> Steps<H> {
    /// Fires the first timer that is due before `key`.
    pub(super) fn timer_step(&mut self, slice: &Slice<'_>, key: i64) {
        let popped = self.desk.timers.borrow_mut().queue.pop_due(key.saturating_sub(1), self.overdue);
        let Some(fired) = popped else { return };
        if fired.owner == NO_STRATEGY {
            return self.fire_for_run(&fired);
        }
        if !self.hold_timer(&fired) {
            self.fire(slice, &fired);
        }
    }

    /// A timer of the run itself, in a step of its own.
    fn fire_for_run(&mut self, fired: &Fired) {
        let position = self.begin_firing(fired);
        self.digest.event(position, NO_STRATEGY, EventKind::Timer, &firing_payload(fired));
        self.desk.pulse().enter(NO_STRATEGY, Doing::Command);
        if let Err(fault) = self.host.run_timer(fired) {
            self.command_fault(fault);
        }
        self.apply_requests();
        self.steps_at_one_time += 1;
        if self.steps_at_one_time > MAX_STEPS_AT_ONE_TIME {
            // Commands that schedule one another without end: whoever sent them has made a circle.
            self.steps_at_one_time = 0;
            self.desk.forget_timers(NO_STRATEGY);
            self.set_gate();
        }
    }

    fn begin_firing(&mut self, fired: &Fired) -> u64 {
        let position = self.next_position();
        if fired.due_ns > self.desk.now_ns() {
            self.desk.advance_clock(fired.due_ns);
            self.steps_at_one_time = 0;
        }
        self.timers_fired += 1;
        position
    }

    /// Hands a firing to its strategy, in a step of its own.
    pub(super) fn fire(&mut self, slice: &Slice<'_>, fired: &Fired) {
        let strategy = fired.owner;
        self.flush(slice, strategy);
        let position = self.begin_firing(fired);
        self.digest.event(position, strategy, EventKind::Timer, &firing_payload(fired));
        self.call_timer(strategy, fired);
        self.apply_requests();
        self.count_step(strategy);
    }

    fn call_timer(&mut self, strategy: u32, fired: &Fired) {
        if let Some(meter) = &mut self.meter {
            meter.timer(strategy, fired.due_ns);
        }
        let subscriber = &self.subscribers[strategy as usize];
        if !subscriber.state.takes_timers() {
        } else if subscriber.handler.is_some() {
            self.machine_timer(strategy, fired);
        } else {
            self.desk.pulse().enter(strategy, Doing::Timer);
            if let Err(fault) = self.host.timer(strategy, fired) {
                self.fault(strategy, "on_timer", None, fault);
            }
        }
    }

    /// Enters into the digest that a timer was set or, with `due_ns` at the beginning of time, taken away.
    pub(super) fn timer_event(&mut self, strategy: u32, number: u32, due_ns: i64, interval_ns: i64, end_ns: i64) {
        let mut payload = [0; 28];
        payload[..4].copy_from_slice(&number.to_le_bytes());
        payload[4..12].copy_from_slice(&due_ns.to_le_bytes());
        payload[12..20].copy_from_slice(&interval_ns.to_le_bytes());
        payload[20..].copy_from_slice(&end_ns.to_le_bytes());
        // What has no end enters as timers did before they could have one.
        let length = if end_ns == i64::MAX { 20 } else { 28 };
        self.digest.event(self.desk.position(), strategy, EventKind::TimerRequest, &payload[..length]);
    }
}

fn firing_payload(fired: &Fired) -> [u8; 12] {
    let mut payload = [0; 12];
    payload[..4].copy_from_slice(&fired.number.to_le_bytes());
    payload[4..].copy_from_slice(&fired.due_ns.to_le_bytes());
    payload
}
