//! What the loop is doing at this moment, for whoever watches it from another thread.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a strategy is being called with.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// A tick, or a record that the loop made.
    Tick,
    /// A batch.
    Batch,
    /// A timer.
    Timer,
    /// The change of an order.
    OrderUpdate,
    /// An event of a feed, a lag, or the result of a coroutine.
    Event,
    /// A command; of no strategy in particular.
    Command,
    /// `on_start`.
    Start,
    /// `on_stop`.
    Stop,
    /// `on_pause`.
    Pause,
    /// `on_resume`.
    Resume,
    /// The making of a new object for a restart.
    Renew,
    /// Whatever a handler in machine code is called with.
    Machine,
    /// Not of the loop: coroutines and callbacks beside it, of no strategy in particular.
    Beside,
}

impl Doing {
    const ALL: [Doing; 13] = [
        Doing::Tick,
        Doing::Batch,
        Doing::Timer,
        Doing::OrderUpdate,
        Doing::Event,
        Doing::Command,
        Doing::Start,
        Doing::Stop,
        Doing::Pause,
        Doing::Resume,
        Doing::Renew,
        Doing::Machine,
        Doing::Beside,
    ];

    /// The handler as users know it; which one of several takes a tick is not told.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tick => "on_tick",
            Self::Batch => "on_batch",
            Self::Timer => "on_timer",
            Self::OrderUpdate => "on_order_update",
            Self::Event => "on_event",
            Self::Command => "a command's handler",
            Self::Start => "on_start",
            Self::Stop => "on_stop",
            Self::Pause => "on_pause",
            Self::Resume => "on_resume",
            Self::Renew => "its constructor",
            Self::Machine => "a compiled handler",
            Self::Beside => "a coroutine on the I/O thread",
        }
    }
}

/// The call in words, as it is told while it goes on; `names` are those of the strategies.
pub fn described(names: &[String], strategy: u32, doing: Doing) -> String {
    match names.get(strategy as usize) {
        Some(name) => format!("strategy {name} has not returned from {}", doing.name()),
        None => format!("{} has not returned", doing.name()),
    }
}

/// No handler is being called.
const AT_REST: u64 = u64::MAX;

/// One look at the loop. Two equal ones with a handler in them say that it has not returned meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    which: u64,
    position: u64,
    turns: u64,
}

impl Look {
    /// Who is being called with what; `None`: nobody. The strategy is [`NO_STRATEGY`](crate::command::NO_STRATEGY) for a
    /// command that concerns none.
    pub fn call(&self) -> Option<(u32, Doing)> {
        (self.which != AT_REST)
            .then(|| ((self.which >> 8) as u32, Doing::ALL[(self.which & 0xff) as usize % Doing::ALL.len()]))
    }

    /// The loop position.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// All of it, as numbers that differ once the loop has gone on.
    pub const fn mark(&self) -> [u64; 3] {
        [self.which, self.position, self.turns]
    }
}

/// Where the loop is: written by the dispatch thread alone, read by any. Another one is that of the I/O thread.
///
/// Relaxed throughout: each word is looked at by itself, and a look that mixes two steps differs from the next one. A store
/// a call is all that it costs.
#[derive(Debug)]
pub struct Pulse {
    which: AtomicU64,
    /// The loop position: the loop itself has it here.
    position: AtomicU64,
    /// How often the loop was asked to go on.
    turns: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { which: AtomicU64::new(AT_REST), position: AtomicU64::new(0), turns: AtomicU64::new(0) }
    }
}

impl Pulse {
    /// What there is to see now.
    pub fn look(&self) -> Look {
        Look {
            which: self.which.load(Ordering::Relaxed),
            position: self.position.load(Ordering::Relaxed),
            turns: self.turns.load(Ordering::Relaxed),
        }
    }

    /// `strategy` is about to be called.
    #[inline(always)]
    pub(crate) fn enter(&self, strategy: u32, doing: Doing) {
        self.which.store(u64::from(strategy) << 8 | doing as u64, Ordering::Relaxed);
    }

    /// The I/O thread has been woken, and works until it rests again.
    #[inline]
    pub fn work_beside(&self) {
        self.turn();
        self.enter(crate::command::NO_STRATEGY, Doing::Beside);
    }

    /// Nobody is being called, and the loop may wait for long.
    #[inline]
    pub fn rest(&self) {
        self.which.store(AT_REST, Ordering::Relaxed);
    }

    /// The loop was asked to go on.
    pub(super) fn turn(&self) {
        // Not an exchange: there is one writer.
        self.turns.store(self.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn set_position(&self, position: u64) {
        self.position.store(position, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_tells_who_is_called_and_differs_once_the_loop_has_gone_on() {
        let pulse = Pulse::default();
        assert_eq!(pulse.look().call(), None);
        for doing in Doing::ALL {
            pulse.enter(7, doing);
            assert_eq!(pulse.look().call(), Some((7, doing)));
        }
        pulse.enter(crate::command::NO_STRATEGY, Doing::Command);
        let before = pulse.look();
        assert_eq!(before.call(), Some((crate::command::NO_STRATEGY, Doing::Command)));
        assert_eq!(pulse.look(), before);
        pulse.turn();
        assert_ne!(pulse.look(), before);
        pulse.rest();
        assert_eq!(pulse.look().call(), None);
        pulse.work_beside();
        let before = pulse.look();
        assert_eq!(before.call(), Some((crate::command::NO_STRATEGY, Doing::Beside)));
        pulse.rest();
        pulse.work_beside();
        assert_ne!(pulse.look(), before, "the next turn, in which it does the same");
    }
}
