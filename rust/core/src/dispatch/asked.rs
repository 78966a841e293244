//! What other threads ask of lives, as external inputs: with a loop position, in the digest and in the recording.
//!
//! What the dispatch thread asks within a step is decided by what came before, and asked again in a replay; it has its step
//! and is not recorded. Both wait in one list, in whose order they are served.

use std::collections::VecDeque;

use super::dispatcher::Dispatcher;
use super::external::{Externals, take_one};
use super::host::Host;
use super::step::Steps;
use crate::command::{Command, CommandKind, ExternalRecord, Lane};
use crate::lifecycle::{Ask, Asked, Cause, Operation, PauseMode, Ticket};
use crate::source::Slice;
use crate::stop::LIVES;

/// Longest cause that is kept, in bytes.
const MAX_CAUSE: usize = 1_000;

impl<H: Host> Dispatcher<H> {
    /// Takes what is asked of lives, each in a step of its own; in a replay what was recorded, and what handlers ask anew.
    pub(super) fn serve_lives(&mut self) {
        self.externals.serve_lives(&mut self.steps, &self.source.current());
    }
}

impl Externals {
    /// See [`Dispatcher::serve_lives`].
    #[inline]
    pub(super) fn serve_lives<H: Host>(&mut self, steps: &mut Steps<H>, slice: &Slice<'_>) {
        match self {
            Self::Replay(records) => serve_replayed(records, steps, slice),
            _ => steps.serve_inbox(slice),
        }
    }
}

/// A record whose place this is goes before what handlers have asked, which follows it in the list.
pub(super) fn serve_replayed<H: Host>(records: &mut VecDeque<ExternalRecord>, steps: &mut Steps<H>, slice: &Slice<'_>) {
    steps.stop.answer(LIVES);
    while steps.halted().is_none() {
        if !take_one(records, steps, slice) {
            let Some(asked) = steps.inbox.take() else { break };
            steps.serve_asked(asked, slice);
        }
    }
    steps.set_gate();
}

impl<H: Host> Steps<H> {
    /// Takes what is asked, where something is.
    #[inline]
    pub(super) fn serve_inbox(&mut self, slice: &Slice<'_>) {
        if self.stop.asks(LIVES) && self.stop.answer(LIVES) != 0 {
            self.serve_all(slice);
        }
    }

    #[cold]
    fn serve_all(&mut self, slice: &Slice<'_>) {
        while self.halted().is_none()
            && let Some(asked) = self.inbox.take()
        {
            self.serve_asked(asked, slice);
        }
        self.set_gate();
    }

    fn serve_asked(&mut self, asked: Asked, slice: &Slice<'_>) {
        if asked.is_local {
            self.next_position();
            self.serve(asked, slice);
        } else {
            let (strategy, ticket) = (asked.strategy, asked.ticket);
            let command = Command::new(CommandKind::LIFE, strategy, payload(&asked)).with(ticket);
            self.external_step(slice, Lane::Control, command);
        }
    }

    /// A request of another thread has its turn.
    pub(super) fn life_step(&mut self, command: &Command, slice: &Slice<'_>) {
        let Some((ask, cause)) = read(&command.payload) else { return };
        let ticket = command.attachment.as_ref().and_then(|attached| attached.downcast_ref::<Ticket>());
        let (strategy, ticket) = (command.strategy, ticket.copied().unwrap_or(0));
        self.serve(Asked { strategy, ask, cause, ticket, is_local: false }, slice);
    }
}

/// Operation, mode, cause.
fn payload(asked: &Asked) -> Vec<u8> {
    let mut bytes = vec![asked.ask.operation as u8, asked.ask.mode as u8];
    let cause = asked.cause.as_bytes();
    bytes.extend_from_slice(&cause[..cause.len().min(MAX_CAUSE)]);
    bytes
}

fn read(payload: &[u8]) -> Option<(Ask, Cause)> {
    let (operation, mode) = (*payload.first()?, *payload.get(1)?);
    let operation = *Operation::ALL.get(usize::from(operation))?;
    let mode = [PauseMode::NoNewOrders, PauseMode::NoTicks].into_iter().find(|known| *known as u8 == mode)?;
    Some((Ask { operation, mode }, Cause::Owned(String::from_utf8_lossy(&payload[2..]).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_not_is_refused() {
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place, "recordings have the number");
            for mode in [PauseMode::NoNewOrders, PauseMode::NoTicks] {
                let ask = Ask { operation, mode };
                let cause = Cause::Borrowed("the night desk");
                let asked = Asked { strategy: 3, ask, cause: cause.clone(), ticket: 9, is_local: false };
                assert_eq!(read(&payload(&asked)), Some((ask, cause)));
            }
        }
        for damaged in [&[][..], &[1], &[99, 0], &[0, 99]] {
            assert_eq!(read(damaged), None);
        }
    }
}
