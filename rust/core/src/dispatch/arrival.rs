//! The loop by arrival: live runs, and replays of them.
//!
//! The clock is read once a slice, and stands still for all of its steps. So what is due by then runs before the slice,
//! nothing is read per tick, and whoever knows the order of slices and their times can run it all again.

use super::dispatcher::{Dispatcher, Outcome};
use super::host::Host;
use super::keys::Keys;
use super::lag::Lagger;
use super::step::Steps;
use super::tape::Tape;
use crate::replay::Mark;
use crate::ring::{CapacityError, Observer, observer};
use crate::source::{Advance, Feeds, Slice, Taken};

/// Longest slice while a timer is pending: how many records one that falls due may have to wait for.
pub const TIMED_SLICE_TICKS: usize = 64;

/// Where a run by arrival stands.
#[derive(Default)]
pub(super) struct Arrival {
    now_ns: i64,
    /// Feed and publisher of the present slice.
    slice: Option<(u32, u32)>,
    /// How the source's slice was taken where the run was stopped by what was due before it: it is still to begin.
    waiting: Option<Taken>,
    tape: Option<Tape>,
}

impl Arrival {
    fn tell(&mut self, mark: Mark, position: u64, slice: Option<&Slice<'_>>) {
        if let Some(tape) = &mut self.tape {
            tape.write(mark, position, self.now_ns, slice.map_or(&[], |slice| slice.ticks));
        }
    }
}

impl<H: Host> Dispatcher<H> {
    /// Somebody who sees the order taken from now on: entries (see [`crate::replay`]), each slice's records behind its own.
    /// One that is `gating` misses nothing, and is waited for by the loop, for a tenth of a second and more; one that was then
    /// left behind sees how much it has lost.
    ///
    /// Observers share a ring, which has `capacity_slots` since the first. `None`: this run does not go by arrival.
    ///
    /// # Errors
    /// The capacity is no power of two, or out of range.
    pub fn observe(&mut self, capacity_slots: usize, gating: bool) -> Result<Option<Observer>, CapacityError> {
        let Some(arrival) = &mut self.arrival else { return Ok(None) };
        let tape = match &mut arrival.tape {
            Some(tape) => tape,
            none => none.insert(Tape::new(observer(capacity_slots)?)),
        };
        Ok(Some(if gating { tape.writer.gating_observer() } else { tape.writer.observer() }))
    }

    /// When the loop has something to do even if nothing arrives, ns UTC; `i64::MAX`: never.
    pub fn next_due_ns(&self) -> i64 {
        // The gate is the last time at which nothing is due.
        self.steps.gate.saturating_add(1).min(self.source.next_due_ns())
    }

    /// Sets the clock for the start of a run by arrival; false if this is none.
    pub(super) fn start_by_arrival(&mut self) -> bool {
        let Some(Taken { now_ns, .. }) = self.source.taken() else { return false };
        self.set_time(now_ns);
        self.tell(Mark::Start, None);
        true
    }

    /// Finds the next slice, or does what is due without one. `None`: there is a slice.
    pub(super) fn take_arrived(&mut self) -> Option<Outcome> {
        let most = if self.steps.desk.has_timers() {
            self.settings.slice_ticks.min(TIMED_SLICE_TICKS)
        } else {
            self.settings.slice_ticks
        };
        let advance = self.source.advance(most);
        // Before the clock is read: what is told has a time of its own, and that of the slice is not before it.
        self.hear_feeds();
        let taken = self.source.taken().unwrap_or(Taken { now_ns: self.steps.desk.now_ns(), publisher: 0, waiting: 0 });
        match advance {
            Advance::Ready => self.begin_slice(taken),
            // Turns of a rerun are those of its recording, all of them and no others: inputs are known by their number.
            Advance::Pending if self.source.is_recorded() && !self.source.is_turn() => Some(Outcome::Idle),
            Advance::Pending => Some(self.quiet_turn(taken.now_ns)),
            Advance::End if self.source.cut_at().is_some() => Some(Outcome::Stopped),
            // A run that is being ended goes on for the answers that it waits for.
            Advance::End if self.steps.is_ended() => {
                self.steps.is_drained = true;
                Some(self.quiet_turn(taken.now_ns))
            }
            Advance::End => {
                // A turn of its own: what comes from outside now is not what came after the last slice, at its time.
                self.steps.turns += 1;
                self.set_time(taken.now_ns);
                self.tell(Mark::Drained, None);
                Some(self.end_of_data())
            }
        }
    }

    /// Where a slice is known that has not begun, whether it does; a run that is being ended takes it all the same.
    pub(super) fn begin_waiting(&mut self) -> Option<Option<Outcome>> {
        let taken = self.arrival.as_mut()?.waiting.take()?;
        Some(self.begin_slice(taken))
    }

    /// What is due runs first.
    fn begin_slice(&mut self, taken: Taken) -> Option<Outcome> {
        self.index = 0;
        if taken.now_ns > self.steps.gate && !self.source.is_recorded() {
            self.turn(taken.now_ns);
            if let Some(halt) = self.steps.halted() {
                if let Some(arrival) = &mut self.arrival {
                    arrival.waiting = Some(taken);
                }
                return Some(halt);
            }
        }
        self.steps.turns += 1;
        self.set_time(taken.now_ns);
        let slice = self.source.current();
        self.steps.enter_feed(slice.feeds.at(0));
        if self.steps.has_lag_rules {
            self.steps.look_at_lag(&slice, &taken);
        }
        let (feed, publisher, count) = (slice.feeds.at(0), taken.publisher, slice.ticks.len() as u32);
        if let Some(meter) = &mut self.steps.meter {
            meter.slice(feed, &slice.ticks[0], taken.now_ns);
        }
        if let Some(arrival) = &mut self.arrival {
            arrival.slice = Some((feed, publisher));
            arrival.tell(
                Mark::Taken { feed, publisher, count, waiting: taken.waiting },
                self.steps.desk.position(),
                Some(&slice),
            );
        }
        None
    }

    /// Nothing has arrived.
    fn quiet_turn(&mut self, now_ns: i64) -> Outcome {
        // A recorded one that came to nothing was one too: who called had been heard already.
        let has_cause = now_ns > self.steps.gate || self.steps.is_collecting() || self.is_external_next();
        if !has_cause && !self.source.is_turn() {
            return Outcome::Idle;
        }
        self.turn(now_ns);
        if self.steps.halted().is_none() {
            self.take_externals(true);
        }
        self.steps.halted().unwrap_or(Outcome::Slice)
    }

    /// Without a slice: what is due runs; where nothing is, batches are handed over, as their ticks have waited long enough.
    fn turn(&mut self, now_ns: i64) {
        let is_due = now_ns > self.steps.gate;
        self.steps.turns += 1;
        self.set_time(now_ns);
        self.tell(Mark::Turn, None);
        if is_due {
            return self.steps.before_key(&NOTHING, now_ns);
        }
        self.steps.flush_all(&NOTHING);
        if self.steps.has_lag_rules {
            self.steps.end_windows();
        }
    }

    /// The present slice is about to go: how much of it was taken enters the digest.
    pub(super) fn leave_arrived(&mut self) {
        let Some(arrival) = &mut self.arrival else { return };
        if let Some((feed, publisher)) = arrival.slice.take()
            && self.steps.taken > 0
        {
            self.steps.digest.taken(arrival.now_ns, feed, publisher, self.steps.taken);
        }
    }

    /// The run is about to end.
    pub(super) fn end_by_arrival(&mut self) {
        if self.arrival.is_none() {
            return;
        }
        let is_within = self.arrival.as_ref().is_some_and(|arrival| arrival.slice.is_some());
        let taken = if is_within { self.steps.taken as u32 } else { ALL };
        self.leave_arrived();
        if let Some(now_ns) = self.source.end_ns() {
            self.set_time(now_ns);
        }
        self.tell(Mark::End { taken, is_complete: self.ended }, None);
        if let Some(tape) = self.arrival.as_mut().and_then(|arrival| arrival.tape.as_mut()) {
            tape.writer.close();
        }
    }

    pub(super) fn tell(&mut self, mark: Mark, slice: Option<&Slice<'_>>) {
        let position = self.steps.desk.position();
        if let Some(arrival) = &mut self.arrival {
            arrival.tell(mark, position, slice);
        }
    }

    pub(super) fn set_time(&mut self, now_ns: i64) {
        let Some(arrival) = &mut self.arrival else { return };
        arrival.now_ns = arrival.now_ns.max(now_ns);
        self.steps.set_time(arrival.now_ns);
    }
}

/// The last slice was not cut.
const ALL: u32 = u32::MAX;

/// What a turn without a slice has in its place.
pub(super) const NOTHING: Slice<'static> = Slice { ticks: &[], feeds: Feeds::One(0), block: None };

impl<H: Host> Steps<H> {
    /// All inputs are at `now_ns` until the next call.
    fn set_time(&mut self, now_ns: i64) {
        self.keys = Keys::Taken(now_ns);
        if now_ns > self.desk.now_ns() {
            self.steps_at_one_time = 0;
        }
        self.desk.advance_clock(now_ns);
        self.sample_live(now_ns);
    }

    fn is_collecting(&self) -> bool {
        self.subscribers
            .iter()
            .any(|one| one.batcher.len() > 0 || one.lagger.as_deref().is_some_and(Lagger::is_at_work))
    }

    pub(super) fn flush_all(&mut self, slice: &Slice<'_>) {
        for strategy in 0..self.subscribers.len() as u32 {
            self.flush(slice, strategy);
        }
        self.apply_requests();
    }
}
