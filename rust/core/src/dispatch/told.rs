//! What feeds tell of themselves, as inputs: a full ring, an empty one, a loss.

use super::dispatcher::Dispatcher;
use super::host::Host;
use super::pulse::Doing;
use super::step::Steps;
use crate::digest::EventKind;
use crate::feed::{FeedEvent, FeedEventKind, Loss};
use crate::lifecycle::State;
use crate::replay::Mark;
use crate::source::{Feeds, Slice};

/// In the place of a strategy's index: the event concerns all of them.
const EVERYBODY: u32 = u32::MAX;

/// No slice is at hand when feeds are heard.
const NOTHING: Slice<'static> = Slice { ticks: &[], feeds: Feeds::One(0), block: None };

impl<H: Host> Dispatcher<H> {
    /// Takes what feeds have to tell, before the slice that follows.
    pub(super) fn hear_feeds(&mut self) {
        while self.steps.halted().is_none()
            && let Some(event) = self.source.event()
        {
            self.set_time(event.now_ns);
            self.tell(Mark::Told(event), None);
            self.steps.feed_step(&event);
        }
    }
}

impl<H: Host> Steps<H> {
    fn feed_step(&mut self, event: &FeedEvent) {
        let position = self.next_position();
        self.digest.event(position, EVERYBODY, EventKind::Feed, &payload(event));
        self.desk.pulse().enter(EVERYBODY, Doing::Event);
        if let Err(fault) = self.host.feed_event(event) {
            self.command_fault(fault);
        }
        for strategy in 0..self.subscribers.len() as u32 {
            let state = self.subscribers[strategy as usize].state.get();
            if matches!(state, State::Running | State::Paused) && self.host.hears(strategy) {
                self.flush(&NOTHING, strategy);
                self.desk.pulse().enter(strategy, Doing::Event);
                if let Err(fault) = self.host.told(strategy, event) {
                    self.fault(strategy, "on_event", None, fault);
                }
            }
        }
        self.apply_requests();
    }
}

fn payload(event: &FeedEvent) -> [u8; 33] {
    let (kind, numbers) = match event.kind {
        FeedEventKind::High { waiting } => (0, [waiting, 0, 0]),
        FeedEventKind::Low { waiting } => (1, [waiting, 0, 0]),
        FeedEventKind::Lossy(Loss { dropped_newest, dropped_oldest, conflated, .. }) => {
            (2, [dropped_newest, dropped_oldest, conflated])
        }
    };
    let mut payload = [0; 33];
    payload[..4].copy_from_slice(&event.feed.to_le_bytes());
    payload[4..8].copy_from_slice(&event.publisher.to_le_bytes());
    payload[8] = kind;
    for (place, number) in numbers.into_iter().enumerate() {
        payload[9 + 8 * place..17 + 8 * place].copy_from_slice(&number.to_le_bytes());
    }
    payload
}
