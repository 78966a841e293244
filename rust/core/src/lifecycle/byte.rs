//! One strategy's state and what follows from it, in one byte.

use std::sync::atomic::{AtomicU8, Ordering};

use super::{PauseMode, State};

/// The states' own bits.
const STATE: u8 = 0b0000_0111;
/// No order may rest: those that do are being taken back.
const BRIEF: u8 = 1 << 4;
/// Orders may only reduce positions.
const REDUCES: u8 = 1 << 5;
/// `on_stop` has run, and the strategy waits for the end of its orders.
const STOPPING: u8 = 1 << 6;
/// Ticks are delivered.
const TICKS: u8 = 1 << 7;

/// One strategy's state: written by the dispatch thread only, read by anybody.
///
/// Relaxed throughout: the byte is the whole message and publishes no other memory.
///
/// ```
/// use tickrail_core::lifecycle::{PauseMode, State, StateByte};
/// let byte = StateByte::new(State::Running);
/// byte.set(State::Paused, PauseMode::NoNewOrders);
/// assert!(byte.takes_ticks() && byte.only_reduces());
/// ```
#[derive(Debug)]
pub struct StateByte(AtomicU8);

impl StateByte {
    /// A strategy in `state`.
    pub const fn new(state: State) -> Self {
        Self(AtomicU8::new(bits(state, PauseMode::NoNewOrders)))
    }

    /// The state now (relaxed).
    #[inline(always)]
    pub fn get(&self) -> State {
        State::ALL[(self.0.load(Ordering::Relaxed) & STATE) as usize]
    }

    /// Whether ticks are delivered: the one test a tick costs (relaxed).
    #[inline(always)]
    pub fn takes_ticks(&self) -> bool {
        self.0.load(Ordering::Relaxed) & TICKS != 0
    }

    /// Whether timers fire: they do as long as ticks are delivered, and are held otherwise (relaxed).
    #[inline]
    pub fn takes_timers(&self) -> bool {
        self.takes_ticks()
    }

    /// Whether order updates are delivered: to running, paused and stopping strategies (relaxed).
    #[inline]
    pub fn takes_updates(&self) -> bool {
        matches!(self.get(), State::Running | State::Paused)
    }

    /// Whether orders may only reduce positions (relaxed).
    #[inline]
    pub fn only_reduces(&self) -> bool {
        self.0.load(Ordering::Relaxed) & REDUCES != 0
    }

    /// Whether no order may rest at a venue (relaxed).
    #[inline]
    pub fn lets_none_rest(&self) -> bool {
        self.0.load(Ordering::Relaxed) & BRIEF != 0
    }

    /// Whether `on_stop` has run and orders are still open (relaxed).
    #[inline]
    pub fn is_stopping(&self) -> bool {
        self.0.load(Ordering::Relaxed) & STOPPING != 0
    }

    /// How a strategy is paused that is (relaxed).
    pub fn pause_mode(&self) -> Option<PauseMode> {
        let mode = if self.takes_ticks() { PauseMode::NoNewOrders } else { PauseMode::NoTicks };
        (self.get() == State::Paused).then_some(mode)
    }

    /// Goes to `state` (relaxed); `mode` is how it is paused, where it is. The dispatch thread is the only writer.
    pub fn set(&self, state: State, mode: PauseMode) {
        self.0.store(bits(state, mode), Ordering::Relaxed);
    }

    /// Orders may only reduce from now on (relaxed). The dispatch thread is the only writer.
    pub fn set_reducing(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) | REDUCES, Ordering::Relaxed);
    }

    /// `on_stop` has run: no more ticks, and orders may only reduce (relaxed). The dispatch thread is the only writer.
    pub fn set_stopping(&self) {
        self.0.store(self.get() as u8 | STOPPING | REDUCES, Ordering::Relaxed);
    }

    /// The same, and what rests is being taken back: no order may rest any more (relaxed). The dispatch thread is the only
    /// writer.
    pub fn set_taken_back(&self) {
        self.0.store(self.get() as u8 | STOPPING | REDUCES | BRIEF, Ordering::Relaxed);
    }
}

const fn bits(state: State, mode: PauseMode) -> u8 {
    match (state, mode) {
        (State::Running, _) => state as u8 | TICKS,
        (State::Paused, PauseMode::NoNewOrders) => state as u8 | TICKS | REDUCES,
        (State::Paused, PauseMode::NoTicks) => state as u8 | REDUCES,
        (State::Created | State::Initialised | State::Stopped | State::Failed, _) => state as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_each_state() {
        for state in State::ALL {
            for mode in [PauseMode::NoNewOrders, PauseMode::NoTicks] {
                let byte = StateByte::new(State::Created);
                byte.set(state, mode);
                let is_paused = state == State::Paused;
                let flows = state == State::Running || is_paused && mode == PauseMode::NoNewOrders;
                assert_eq!((byte.get(), byte.takes_ticks(), byte.only_reduces()), (state, flows, is_paused));
                assert_eq!(byte.pause_mode(), is_paused.then_some(mode));
                byte.set_reducing();
                assert_eq!((byte.get(), byte.takes_ticks(), byte.only_reduces()), (state, flows, true));
                assert_eq!(byte.takes_updates(), matches!(state, State::Running | State::Paused));
                byte.set_stopping();
                assert_eq!((byte.get(), byte.takes_ticks(), byte.is_stopping()), (state, false, true));
            }
        }
    }
}
