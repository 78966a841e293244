//! A simulation by hand: up to a time, or one step at a time. For tests and notebooks.
//!
//! Where it is cut makes no difference: the same inputs in the same order, and the same digest, as in one go. So what a
//! batch subscriber has collected stays collected, until an edge or the end of the run; only the clock of a batch that is
//! handed over later shows that it stood at the time of the cut meanwhile.

use super::between::Between;
use super::dispatcher::{Dispatcher, Outcome};
use super::host::Host;
use super::step::Steps;
use crate::source::{Advance, Slice};

/// What [`Dispatcher::step`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// A tick was taken; the pull subscriber may have it.
    Tick,
    /// A timer fired.
    Timer,
    /// The owner of an order was told of its change.
    OrderUpdate,
    /// The venue did what it does at a time of its own.
    Venue,
    /// The owner of a coroutine was told of its result.
    Result,
    /// Commands were taken from the lanes, or a step of a strategy's life.
    Command,
    /// Nothing is left: no tick, no timer.
    Nothing,
    /// The run has ended, or cannot go on.
    Ended(Outcome),
}

/// The end of time is that of the data.
const LATEST_NS: i64 = i64::MAX - 1;

impl<H: Host> Dispatcher<H> {
    /// Whether inputs go by arrival, so that nobody can say what will have come by a time: then there is no going up to one.
    pub fn is_by_arrival(&self) -> bool {
        self.arrival.is_some()
    }

    /// Goes on to the end of the slice, but takes nothing later than `until_ns`: [`Outcome::Reached`] once everything up to
    /// that time was taken, timers after ticks. The clock then stands there, beyond the end of the data too, which ends
    /// nothing.
    pub fn advance_until(&mut self, until_ns: i64) -> Outcome {
        self.steps.set_until(until_ns.min(LATEST_NS));
        let outcome = self.advance();
        self.steps.set_until(i64::MAX);
        outcome
    }

    /// Everything of the present slice up to the time was taken.
    pub(super) fn reached(&mut self) -> Outcome {
        let (until_ns, slice) = (self.steps.until, self.source.current());
        self.steps.before_key(&slice, until_ns.saturating_add(1));
        if let Some(outcome) = self.steps.halted() {
            return outcome;
        }
        self.steps.desk.advance_clock(until_ns);
        Outcome::Reached
    }

    /// Takes the next input, whatever it is, and says what that was.
    pub fn step(&mut self) -> Step {
        self.steps.desk.pulse().turn();
        let step = self.next_step();
        self.steps.desk.pulse().rest();
        step
    }

    fn next_step(&mut self) -> Step {
        self.complete_pull();
        if let Some(outcome) = self.steps.halted() {
            return Step::Ended(outcome);
        }
        if self.is_finished() {
            return Step::Ended(Outcome::End);
        }
        self.serve_lives();
        if self.take_externals(false) > 0 {
            return self.steps.halted().map_or(Step::Command, Step::Ended);
        }
        let key = self.next_key();
        let slice = self.source.current();
        if let Some(step) = self.steps.step_between(&slice, key.unwrap_or(i64::MAX)) {
            return step;
        }
        if key.is_none() {
            return if self.take_externals(true) > 0 { Step::Command } else { Step::Nothing };
        }
        let pass = self.steps.run_slice(&slice.first(self.index + 1), &mut self.index);
        match self.outcome_of(pass) {
            Outcome::Slice | Outcome::Pulled => Step::Tick,
            outcome => Step::Ended(outcome),
        }
    }

    /// The time of the next tick; `None`: there is none.
    fn next_key(&mut self) -> Option<i64> {
        if self.index >= self.source.current().ticks.len() {
            self.steps.leave_slice(&self.source.current());
            self.index = 0;
            if self.source.advance(self.settings.slice_ticks) != Advance::Ready {
                return None;
            }
        }
        Some(self.steps.keys.of(&self.source.current().ticks[self.index]))
    }
}

impl<H: Host> Steps<H> {
    fn set_until(&mut self, until_ns: i64) {
        self.until = until_ns;
        self.set_gate();
    }

    /// The first of what comes before an input of `key`; batches whose window has ended are no inputs.
    fn step_between(&mut self, slice: &Slice<'_>, key: i64) -> Option<Step> {
        let step = loop {
            if let Some(outcome) = self.halted() {
                break Some(Step::Ended(outcome));
            }
            let Some(between) = self.between(slice, key) else { break None };
            break match between {
                Between::Window | Between::Worth => continue,
                Between::Life => Some(Step::Command),
                Between::OrderUpdate => Some(Step::OrderUpdate),
                Between::Result => Some(Step::Result),
                Between::Stopped => Some(Step::Ended(self.halted().unwrap_or(Outcome::Stopped))),
                Between::Venue => Some(Step::Venue),
                Between::Timer => Some(Step::Timer),
            };
        };
        self.set_gate();
        step
    }
}
