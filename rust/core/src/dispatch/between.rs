//! What comes between two ticks, and when the loop has to look for it.

use super::flood::give_back_queue;
use super::host::Host;
use super::step::Steps;
use crate::source::Slice;

/// What comes between two ticks.
pub(super) enum Between {
    /// A step of a strategy's life.
    Life,
    OrderUpdate,
    /// Of a coroutine.
    Result,
    /// A result is waited for, and the run is to stop first.
    Stopped,
    /// A batch whose window has ended: no input.
    Window,
    /// A look at what strategies are worth: no input.
    Worth,
    /// Something that the venue does at a time of its own.
    Venue,
    Timer,
}

impl<H: Host> Steps<H> {
    /// Everything that comes before an input of `key`: pending updates, results, windows that ended, what is due.
    #[cold]
    pub(super) fn before_key(&mut self, slice: &Slice<'_>, key: i64) {
        while self.halted().is_none() && self.desk.position() < self.limit {
            if let None | Some(Between::Stopped) = self.between(slice, key) {
                break;
            }
        }
        self.set_gate();
    }

    /// The first of it, and what that was.
    pub(super) fn between(&mut self, slice: &Slice<'_>, key: i64) -> Option<Between> {
        if let Some(asked) = self.asked.pop_front() {
            self.serve(asked, slice);
            return Some(Between::Life);
        }
        if let Some(update) = self.updates.pop_front() {
            give_back_queue(&mut self.updates);
            self.update_step(slice, &update);
            return Some(Between::OrderUpdate);
        }
        if self.spawns.is_due() {
            return Some(if self.spawn_step(slice) { Between::Result } else { Between::Stopped });
        }
        let (timer_ns, venue_ns, life_ns) = (self.desk.next_timer(), self.venue.next_due_ns(), self.life_ns);
        if self.flush_window(slice, key.min(timer_ns).min(venue_ns).min(life_ns)) {
            Some(Between::Window)
        } else if self.sample_before(key.min(timer_ns).min(venue_ns).min(life_ns)) {
            Some(Between::Worth)
        } else if venue_ns < key && venue_ns <= timer_ns && venue_ns <= life_ns {
            self.venue_step(slice, key - 1);
            Some(Between::Venue)
        } else if life_ns < key && life_ns <= timer_ns {
            self.due_life_step(slice);
            Some(Between::Life)
        } else if timer_ns < key {
            self.timer_step(slice, key);
            Some(Between::Timer)
        } else {
            None
        }
    }

    pub(super) fn set_gate(&mut self) {
        let windows = self.subscribers.iter().map(|subscriber| subscriber.batcher.window_end().saturating_sub(1));
        let due = windows.min().unwrap_or(self.until).min(self.until);
        let due = due.min(self.desk.next_timer()).min(self.venue.next_due_ns()).min(self.life_ns);
        let due = due.min(self.sampler.gate_ns());
        self.gate = if self.is_quiet() { due } else { i64::MIN };
    }

    /// Whether nothing waits but what comes at a time of its own.
    pub(super) fn is_quiet(&self) -> bool {
        self.updates.is_empty() && self.asked.is_empty() && !self.spawns.is_due()
    }
}
