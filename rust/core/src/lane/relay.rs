//! The loop's end of a lane.

use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle, park_timeout};
use std::time::Duration;

use super::letter::{LETTERS, Text};
use super::meter::LaneMeter;
use super::thread::LaneThread;
use super::tie::{NearEnd, tie};
use super::wire::pack;
use super::{LaneError, LanePlan, LanePolicy};
use crate::clock::{Moment, instant};
use crate::command::{Command, Lane};
use crate::dispatch::Hook;
use crate::handler::{Handler, HandlerError, Out, TimerRecord, UpdateRecord};
use crate::ring;
use crate::tick::Tick;

/// How long the loop waits for a lane once the run is to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// Looks at a lane before the loop's thread sleeps for a moment between them.
const LOOKS: u32 = 200;

/// That moment: a lane that is waited for is slow, and has the processor meanwhile.
const NAP: Duration = Duration::from_micros(50);

/// Stands in the loop for a handler that is called on a lane.
#[derive(Debug)]
pub struct Relay {
    plan: LanePlan,
    life: u32,
    lane: NearEnd<Text>,
    /// Until the strategy starts.
    waiting: Option<Box<LaneThread>>,
    thread: Option<JoinHandle<()>>,
    /// Whether this end has given the lane up.
    has_failed: bool,
    /// What the loop is to be told of that, while it found no slot.
    untold: Option<Command>,
}

impl Relay {
    pub(super) fn new(plan: LanePlan, life: u32, handler: Box<dyn Handler + Send>) -> Result<Self, LaneError> {
        let mut records = ring::observer(plan.rules.capacity_slots)?;
        let observer = match plan.rules.policy {
            LanePolicy::Gating => records.gating_observer(),
            LanePolicy::Lossy => records.observer(),
        };
        let (lane, far) = tie(records, observer, LETTERS)?;
        let thread = LaneThread::new(plan.clone(), life, handler, far);
        Ok(Self { plan, life, lane, waiting: Some(Box::new(thread)), thread: None, has_failed: false, untold: None })
    }

    fn is_over(&mut self) -> bool {
        if let Some(command) = self.untold.take() {
            self.tell(command);
        }
        self.has_failed || self.lane.shared().is_over()
    }

    fn write(&mut self, ticks: &[Tick]) {
        let (mut rest, mut wait) = (ticks, None);
        loop {
            let count = self.lane.write(rest);
            LaneMeter::add(&self.plan.meter.by_loop.offered, count as u64);
            rest = &rest[count..];
            if rest.is_empty() || !self.wait_for_slot(&mut wait) {
                break;
            }
        }
        self.lane.notify();
    }

    /// A moment of waiting for the lane to move on; false where it is waited for no more.
    fn wait_for_slot(&mut self, wait: &mut Option<Wait>) -> bool {
        let wait = wait.get_or_insert_with(|| {
            LaneMeter::add(&self.plan.meter.by_loop.waits, 1);
            self.lane.wake();
            Wait::new()
        });
        if self.plan.stop.is_set() {
            // The run is to end: nobody is waited for, and what does not fit is lost and counted.
            self.lane.let_go();
            return true;
        }
        if wait.is_longer_than(self.plan.rules.timeout) {
            let (waiting, timeout) = (self.plan.rules.capacity_slots, self.plan.rules.timeout.as_secs_f64());
            self.give_up(format!("its lane has made no room for {timeout} s: {waiting} records wait"));
            return false;
        }
        wait.pause();
        !self.is_over()
    }

    fn mail(&mut self, text: Text) {
        if self.is_over() {
            return;
        }
        if !self.lane.mail(text) {
            self.give_up(format!("its lane does not keep up: {LETTERS} timers, order updates and hooks wait"));
        }
    }

    /// Nothing more goes to the lane; its strategy fails by an external input, as if the lane had said so.
    fn give_up(&mut self, message: String) {
        self.has_failed = true;
        self.lane.shared().leave();
        self.lane.wake();
        let error = HandlerError::Failed(message);
        self.tell(pack(self.plan.strategy, self.life, "on_tick", None, Err(&error)));
    }

    fn tell(&mut self, command: Command) {
        if let Err(ring::NotTaken::Full(command)) = self.plan.sender.push(Lane::Control, command) {
            self.untold = Some(command);
        }
    }

    fn start(&mut self) {
        let Some(lane) = self.waiting.take() else { return };
        let name = format!("tickrail-lane-{}", self.plan.strategy);
        match Builder::new().name(name).spawn(move || lane.run()) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => self.give_up(format!("its lane has no thread: {error}")),
        }
    }
}

impl Handler for Relay {
    fn on_tick(&mut self, tick: &Tick, out: &mut Out) -> Result<(), HandlerError> {
        self.take(std::slice::from_ref(tick), out).1
    }

    fn take(&mut self, ticks: &[Tick], _out: &mut Out) -> (usize, Result<(), HandlerError>) {
        if !self.is_over() {
            self.write(ticks);
        }
        (ticks.len(), Ok(()))
    }

    fn on_batch(&mut self, ticks: &[Tick], out: &mut Out) -> Result<(), HandlerError> {
        self.take(ticks, out).1?;
        self.mail(Text::Batch);
        Ok(())
    }

    fn on_timer(&mut self, timer: &TimerRecord, _out: &mut Out) -> Result<(), HandlerError> {
        self.mail(Text::Timer(*timer));
        Ok(())
    }

    fn on_order_update(&mut self, update: &UpdateRecord, _out: &mut Out) -> Result<(), HandlerError> {
        self.mail(Text::Update(*update));
        Ok(())
    }

    fn on_start(&mut self, _out: &mut Out) -> Result<(), HandlerError> {
        self.start();
        self.mail(Text::Hook(Hook::Start));
        Ok(())
    }

    fn on_stop(&mut self, _out: &mut Out) -> Result<(), HandlerError> {
        self.mail(Text::Hook(Hook::Stop));
        Ok(())
    }

    fn on_pause(&mut self, _out: &mut Out) -> Result<(), HandlerError> {
        self.mail(Text::Hook(Hook::Pause));
        Ok(())
    }

    fn on_resume(&mut self, _out: &mut Out) -> Result<(), HandlerError> {
        self.mail(Text::Hook(Hook::Resume));
        Ok(())
    }

    fn is_elsewhere(&self) -> bool {
        true
    }

    fn come_to_rest(&mut self) -> bool {
        let mut wait = Wait::new();
        while self.thread.is_some() && !self.is_over() {
            if self.lane.is_at_rest() {
                return true;
            }
            let mut patience = self.plan.rules.timeout;
            if self.plan.stop.is_set() {
                self.lane.shared().hurry();
                patience = patience.min(STOP_PATIENCE);
            }
            if wait.is_longer_than(patience) {
                self.plan.meter.by_loop.abandoned.store(true, Ordering::Relaxed);
                self.give_up(format!("its lane has not come to rest for {} s", patience.as_secs_f64()));
            }
            self.lane.wake();
            wait.pause();
        }
        !self.has_failed || self.lane.shared().is_over()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.lane.close();
        let Some(thread) = self.thread.take() else { return };
        let mut wait = Wait::new();
        while !thread.is_finished() {
            if self.has_failed || wait.is_longer_than(STOP_PATIENCE) {
                // It is in a call that does not return; it ends with the process, or after that call.
                self.plan.meter.by_loop.abandoned.store(true, Ordering::Relaxed);
                return;
            }
            wait.pause();
        }
        drop(thread.join());
    }
}

/// Waiting for another thread, at first with an eye on it.
struct Wait {
    began: Moment,
    looks: u32,
}

impl Wait {
    fn new() -> Self {
        Self { began: instant(), looks: 0 }
    }

    fn is_longer_than(&self, time: Duration) -> bool {
        self.began.elapsed() >= time
    }

    fn pause(&mut self) {
        if self.looks < LOOKS {
            self.looks += 1;
            std::thread::yield_now();
        } else {
            park_timeout(NAP);
        }
    }
}
