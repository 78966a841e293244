//! Coroutines that handlers have begun, and their results as inputs.
//!
//! The host runs them, on a thread of its own; the loop says when one begins (at the end of the step that asked for it) and
//! when its result is an input. In a simulation that is right after the step: the loop waits, so that no decision depends on
//! how long anything takes, and takes results in the order of spawning. Live, a result comes when it is there.

use std::collections::VecDeque;

use super::host::{Host, Settled};
use super::pulse::Doing;
use super::request::SpawnKey;
use super::step::Steps;
use crate::command::Command;
use crate::digest::EventKind;
use crate::lifecycle::State;
use crate::source::Slice;

/// Coroutines that run, in the order of spawning.
#[derive(Debug, Default)]
pub(super) struct Spawns {
    running: VecDeque<SpawnKey>,
    /// Whether results come when they are there, instead of being waited for.
    pub is_live: bool,
}

impl Spawns {
    /// Whether a result has to be waited for before the next input.
    pub fn is_due(&self) -> bool {
        !self.is_live && !self.running.is_empty()
    }
}

impl<H: Host> Steps<H> {
    /// A coroutine that was asked for begins.
    pub(super) fn begin_spawn(&mut self, key: SpawnKey) {
        self.digest.event(self.desk.position(), key.strategy, EventKind::Spawn, &key.number.to_le_bytes());
        match self.host.spawn(key) {
            Ok(()) => self.spawns.running.push_back(key),
            Err(fault) => {
                self.desk.spawn_ended(key.strategy);
                self.fault(key.strategy, "spawn", None, fault);
            }
        }
    }

    /// Waits for the oldest coroutine's result and makes it an input; `false`: the run is to stop first.
    pub(super) fn spawn_step(&mut self, slice: &Slice<'_>) -> bool {
        let Some(&key) = self.spawns.running.front() else { return false };
        // A wait with a time-out of its own.
        self.desk.pulse().rest();
        match self.host.settle(key) {
            Ok(Settled::Pending) => return false,
            Ok(Settled::Ended { failed }) => self.take_result(slice, key, failed),
            Err(fault) => {
                self.forget_spawn(key);
                self.next_position();
                self.fault(key.strategy, "spawn", None, fault);
                self.apply_requests();
            }
        }
        true
    }

    /// The result of a coroutine as an input. `failed`: it is an exception.
    fn take_result(&mut self, slice: &Slice<'_>, key: SpawnKey, failed: bool) {
        self.flush(slice, key.strategy);
        let position = self.next_position();
        let mut payload = [0; 5];
        payload[..4].copy_from_slice(&key.number.to_le_bytes());
        payload[4] = u8::from(failed);
        self.digest.event(position, key.strategy, EventKind::SpawnResult, &payload);
        self.tell_result(key);
        self.apply_requests();
        self.count_step(key.strategy);
    }

    /// A live coroutine's result has its turn among the external inputs; in a replay of them the coroutine runs anew, and is
    /// waited for.
    pub(super) fn live_result(&mut self, command: &Command) {
        let Some(number) = command.payload.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)) else { return };
        let key = SpawnKey { strategy: command.strategy, number };
        if command.attachment.is_none()
            && self.spawns.running.contains(&key)
            && let Err(fault) = self.host.settle(key)
        {
            self.forget_spawn(key);
            return self.fault(key.strategy, "spawn", None, fault);
        }
        self.tell_result(key);
    }

    /// The owner of a coroutine that has ended is told, if it still lives and did not cancel it.
    fn tell_result(&mut self, key: SpawnKey) {
        let Some(place) = self.spawns.running.iter().position(|&running| running == key) else { return };
        self.spawns.running.remove(place);
        self.desk.spawn_ended(key.strategy);
        if !matches!(self.subscribers[key.strategy as usize].state.get(), State::Running | State::Paused) {
            return self.host.forget(key);
        }
        self.desk.pulse().enter(key.strategy, Doing::Event);
        if let Err(fault) = self.host.spawned(key) {
            self.fault(key.strategy, "spawn", None, fault);
        }
    }

    /// Asked for by its owner; one that has ended stays as it is.
    pub(super) fn cancel_spawn(&mut self, key: SpawnKey) {
        self.digest.event(self.desk.position(), key.strategy, EventKind::SpawnCancel, &key.number.to_le_bytes());
        if self.spawns.running.contains(&key) {
            self.forget_spawn(key);
        }
    }

    fn forget_spawn(&mut self, key: SpawnKey) {
        self.spawns.running.retain(|&running| running != key);
        self.desk.spawn_ended(key.strategy);
        self.host.forget(key);
    }

    /// Cancels what `strategy` has begun: nobody wants its results any more.
    pub(super) fn forget_spawns(&mut self, strategy: u32) {
        let mine: Vec<SpawnKey> = self.spawns.running.iter().filter(|key| key.strategy == strategy).copied().collect();
        mine.into_iter().for_each(|key| self.forget_spawn(key));
    }

    /// A request that is void: the coroutine never begins.
    pub(super) fn void_spawn(&mut self, key: SpawnKey) {
        self.desk.spawn_ended(key.strategy);
        self.host.forget(key);
    }

    /// The run is over: whatever still runs is cancelled.
    pub(super) fn forget_all_spawns(&mut self) {
        for key in std::mem::take(&mut self.spawns.running) {
            self.desk.spawn_ended(key.strategy);
            self.host.forget(key);
        }
    }
}
