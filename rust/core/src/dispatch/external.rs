//! External inputs within the loop: commands from the lanes, or those of a recording at their places.

use std::collections::VecDeque;

use super::asked::serve_replayed;
use super::dispatcher::{Dispatcher, Outcome};
use super::host::{Fault, Host};
use super::pulse::Doing;
use super::run_error::RunError;
use super::step::Steps;
use crate::command::{
    Command, CommandKind, ExternalRecord, Handled, Inbox, Lane, LaneSettings, NO_STRATEGY, QUANTUM, Sender, lanes,
};
use crate::digest::{EventKind, fingerprint_bytes};
use crate::lifecycle::{Ask, Cause};
use crate::ring::CapacityError;
use crate::source::Slice;
use crate::stop::{CONTROL, LIVES, STOP, Waker};
use crate::sync::Arc;

/// Where external inputs come from.
#[derive(Default)]
pub(super) enum Externals {
    /// Nowhere.
    #[default]
    Closed,
    /// From the lanes.
    Lanes(Inbox<Command>),
    /// From a recording; what was taken is gone.
    Replay(VecDeque<ExternalRecord>),
}

/// Receives each external input that the loop takes.
pub type ExternalSink = Box<dyn FnMut(ExternalRecord)>;

/// Times that the end of a run yields to a sender that is between its two writes: it needs some nanoseconds of processor.
const MAX_YIELDS: u32 = 10_000;

impl<H: Host> Dispatcher<H> {
    /// Opens the command lanes; `waker` is what the loop's thread waits on where it has nothing to do. One inbox a run:
    /// opened again, what waits in the old lanes is abandoned and their senders are told so.
    ///
    /// # Errors
    /// A capacity is no power of two, or out of range.
    pub fn open_lanes(&mut self, settings: LaneSettings, waker: Arc<Waker>) -> Result<Sender<Command>, CapacityError> {
        let (sender, inbox) = lanes(settings, Arc::clone(&self.steps.stop), waker)?;
        self.adopt_lanes(inbox);
        Ok(sender)
    }

    /// The same with lanes that were made before, over this run's stop flag.
    pub fn adopt_lanes(&mut self, inbox: Inbox<Command>) {
        self.close_lanes();
        self.externals = Externals::Lanes(inbox);
        self.steps.heeds = STOP | CONTROL;
    }

    /// Takes external inputs from a recording, each at its place, instead of from lanes. Before [`Self::start`].
    pub fn replay(&mut self, records: impl IntoIterator<Item = ExternalRecord>) {
        self.close_lanes();
        self.steps.heeds = STOP;
        self.steps.inbox.take_no_others();
        self.externals = Externals::Replay(records.into_iter().collect());
    }

    /// Shows every external input that the loop takes to `sink`, in the total order.
    pub fn record_externals(&mut self, sink: ExternalSink) {
        self.steps.sink = Some(sink);
    }

    /// Whether external inputs are due at known places, so that nothing may be looked at ahead.
    pub(super) fn is_replaying(&self) -> bool {
        matches!(&self.externals, Externals::Replay(records) if !records.is_empty())
    }

    /// Whether the next moment without a slice is one for external inputs.
    pub(super) fn is_external_next(&self) -> bool {
        match &self.externals {
            Externals::Closed => false,
            Externals::Lanes(inbox) => inbox.is_called(),
            Externals::Replay(records) => {
                let next = (self.steps.turns + 1, self.steps.inputs);
                records.front().is_some_and(|record| (record.turn, record.inputs) == next)
            }
        }
    }

    /// Takes what may be taken now. `idle`: no tick waits.
    #[inline(always)]
    pub(super) fn take_externals(&mut self, idle: bool) -> u64 {
        let before = self.steps.externals_taken;
        self.externals.take(&mut self.steps, &self.source.current(), idle);
        self.steps.externals_taken - before
    }

    /// The data has ended: what was sent until now still counts, but no more than fits the lanes, so that a flood ends.
    pub(super) fn take_last_externals(&mut self) {
        let waiting = match &mut self.externals {
            Externals::Lanes(inbox) => inbox.pending(),
            Externals::Closed | Externals::Replay(_) => u64::from(u32::MAX),
        };
        let mut taken = 0;
        while taken < waiting && self.steps.halted().is_none() {
            match self.take_externals_here() {
                0 => break,
                count => taken += count,
            }
        }
    }

    /// What may be taken where no tick waits; of a recording no more than stands at this very place.
    fn take_externals_here(&mut self) -> u64 {
        let Externals::Replay(records) = &mut self.externals else { return self.take_externals(true) };
        u64::from(take_one(records, &mut self.steps, &self.source.current()))
    }

    /// A recording of which something is left at its end was not come to as it was made.
    pub(super) fn look_for_divergence(&mut self) {
        if let Externals::Replay(records) = &self.externals
            && let Some(record) = records.front()
            && self.steps.halted().is_none()
        {
            self.steps.run_error = Some(RunError::Diverged { position: record.position });
        }
    }

    /// No more commands: senders are told, and what waits goes back to the host as abandoned.
    pub(super) fn close_lanes(&mut self) {
        let Externals::Lanes(mut inbox) = std::mem::take(&mut self.externals) else { return };
        inbox.close();
        let mut yields = 0;
        loop {
            while let Some((_, command)) = inbox.drain() {
                self.steps.host.abandoned(command);
            }
            if inbox.is_drained() || yields == MAX_YIELDS {
                return;
            }
            yields += 1;
            std::thread::yield_now();
        }
    }

    /// How many external inputs the loop has taken.
    pub fn external_count(&self) -> u64 {
        self.steps.externals_taken
    }
}

impl Externals {
    /// The loop position before which strategies are started, where something was recorded before any turn: nothing is taken
    /// between two starts, so the run was stopped there, or had started them all.
    pub(super) fn first_at(&self) -> u64 {
        match self {
            Self::Replay(records) => match records.front() {
                Some(first) if (first.turn, first.inputs) == (0, 0) => first.position.saturating_sub(1),
                _ => u64::MAX,
            },
            Self::Closed | Self::Lanes(_) => u64::MAX,
        }
    }

    /// How many ticks may be taken before external inputs are looked at again.
    #[inline(always)]
    pub(super) fn reach(&self, inputs: u64) -> usize {
        match self {
            Self::Closed => usize::MAX,
            Self::Lanes(inbox) if inbox.is_short() => QUANTUM as usize,
            Self::Lanes(_) => usize::MAX,
            Self::Replay(records) => records
                .front()
                .map_or(usize::MAX, |next| usize::try_from(next.inputs.saturating_sub(inputs)).unwrap_or(usize::MAX)),
        }
    }

    /// `inputs` ticks were taken since the run began.
    #[inline(always)]
    pub(super) fn note(&mut self, inputs: u64) {
        if let Self::Lanes(inbox) = self {
            inbox.note(inputs);
        }
    }

    /// What the loop looks at between ticks: commands whose credit is used up wait for ticks, not the other way round.
    #[inline(always)]
    pub(super) fn heeds(&self, halts_on: u32) -> u32 {
        match self {
            Self::Lanes(inbox) if !inbox.is_spent() => halts_on | CONTROL,
            _ => halts_on,
        }
    }

    /// Takes what may be taken now, and then what its handlers ask of lives: whatever comes next, the end of the data or
    /// another turn, finds nothing asked, in a run as in its replay.
    #[inline(always)]
    pub(super) fn take<H: Host>(&mut self, steps: &mut Steps<H>, slice: &Slice<'_>, idle: bool) {
        match self {
            Self::Closed => {}
            Self::Lanes(inbox) => {
                if inbox.is_called() {
                    take_sent(inbox, steps, slice, idle);
                    steps.serve_inbox(slice);
                }
            }
            Self::Replay(records) => {
                if records.front().is_some_and(|next| steps.has_come_to(next)) {
                    take_recorded(records, steps, slice);
                    serve_replayed(records, steps, slice);
                }
            }
        }
    }
}

#[cold]
fn take_sent<H: Host>(inbox: &mut Inbox<Command>, steps: &mut Steps<H>, slice: &Slice<'_>, idle: bool) {
    inbox.note(steps.inputs);
    if idle {
        inbox.refill();
    }
    while steps.halted().is_none() {
        let Some((lane, command)) = inbox.take() else { return };
        match steps.host.admits(&command) {
            Ok(true) => steps.external_step(slice, lane, command),
            Ok(false) => {}
            Err(fault) => steps.command_fault(fault),
        }
    }
}

/// Takes the next record, if this is its place.
pub(super) fn take_one<H: Host>(
    records: &mut VecDeque<ExternalRecord>,
    steps: &mut Steps<H>,
    slice: &Slice<'_>,
) -> bool {
    if !records.front().is_some_and(|next| steps.has_come_to(next) && steps.is_at(next)) {
        return false;
    }
    let Some(record) = records.pop_front() else { return false };
    let command = Command::new(record.kind, record.strategy, record.payload);
    match steps.host.admits(&command) {
        Ok(_) => steps.external_step(slice, record.lane, command),
        // What nobody can handle as it was handled would make another run, and nobody would be told.
        Err(fault) => steps.command_fault(fault),
    }
    true
}

#[cold]
fn take_recorded<H: Host>(records: &mut VecDeque<ExternalRecord>, steps: &mut Steps<H>, slice: &Slice<'_>) {
    while steps.halted().is_none() && take_one(records, steps, slice) {}
    // What is asked of lives may come before the next one.
    if steps.halted().is_none()
        && !steps.stop.asks(LIVES)
        && let Some(next) = records.front()
        && steps.has_come_to(next)
    {
        steps.run_error = Some(RunError::Diverged { position: next.position });
    }
}

impl<H: Host> Steps<H> {
    /// Whether the run is where `record` was taken, or beyond.
    fn has_come_to(&self, record: &ExternalRecord) -> bool {
        record.turn <= self.turns && record.inputs <= self.inputs
    }

    /// Whether the next step has the place of `record`.
    fn is_at(&self, record: &ExternalRecord) -> bool {
        let place = (record.turn, record.inputs, record.position, record.now_ns);
        place == (self.turns, self.inputs, self.desk.position() + 1, self.desk.now_ns())
    }

    /// One external input: a step of its own.
    pub(super) fn external_step(&mut self, slice: &Slice<'_>, lane: Lane, command: Command) {
        let strategy = command.strategy;
        let is_known = (strategy as usize) < self.subscribers.len();
        // What a lane sends concerns nothing that was collected for it since.
        if is_known && !command.kind.is_of_lane() {
            self.flush(slice, strategy);
            if self.has_requests() {
                self.apply_requests();
            }
        }
        let position = self.next_position();
        self.externals_taken += 1;
        self.digest.event(position, strategy, EventKind::External, &digest_payload(&command));
        self.record_external(position, lane, &command);
        let handled = match command.kind.operation() {
            Some(operation) if is_known => {
                let ask = Ask::new(operation);
                Handled::Operation(self.apply_ask(strategy, ask, Cause::Borrowed("a command"), slice))
            }
            None if is_known || strategy == NO_STRATEGY => Handled::ByHost,
            Some(_) | None => Handled::UnknownStrategy,
        };
        let kind = command.kind;
        if kind == CommandKind::LIFE && is_known {
            self.life_step(&command, slice);
            return self.apply_requests();
        }
        if kind == CommandKind::ENDING {
            self.end_step(&command, slice);
            return self.apply_requests();
        }
        if is_known && kind == CommandKind::VENUE {
            self.venue_answer(&command, slice);
            return self.apply_requests();
        }
        if is_known && (kind == CommandKind::RESULT || kind.is_of_lane()) {
            match kind {
                CommandKind::RESULT => self.live_result(&command),
                _ => self.lane_input(&command),
            }
            return self.apply_requests();
        }
        self.desk.pulse().enter(strategy, Doing::Command);
        match self.host.external(command, handled) {
            Ok(()) => {}
            Err(fault) if is_known => self.fault(strategy, self.host.external_handler(kind), None, fault),
            Err(fault) => self.command_fault(fault),
        }
        if self.has_requests() {
            self.apply_requests();
        }
    }

    /// A command that concerns no strategy cannot fail one.
    #[cold]
    pub(super) fn command_fault(&mut self, fault: Fault<H::Failure>) {
        match fault {
            Fault::Interrupted(failure) => self.interruption = Some(failure),
            Fault::Failed(failure) => self.cannot_show(failure),
            Fault::Ended => {}
        }
    }

    fn record_external(&mut self, position: u64, lane: Lane, command: &Command) {
        let Some(sink) = &mut self.sink else { return };
        sink(ExternalRecord {
            position,
            inputs: self.inputs,
            turn: self.turns,
            now_ns: self.desk.now_ns(),
            lane,
            kind: command.kind,
            strategy: command.strategy,
            payload: command.payload.clone(),
        });
    }
}

/// Kind and hash of the payload; position and strategy stand beside them.
fn digest_payload(command: &Command) -> [u8; 18] {
    let mut payload = [0; 18];
    payload[..2].copy_from_slice(&command.kind.0.to_le_bytes());
    payload[2..].copy_from_slice(&fingerprint_bytes(&command.payload));
    payload
}

/// What an external input may have made of the loop.
pub(super) fn after_externals(halted: Option<Outcome>, taken: u64) -> Option<Outcome> {
    halted.or((taken > 0).then_some(Outcome::Slice))
}
