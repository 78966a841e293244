//! Pulls that follow at once on one another, with nothing to be done in between.

use super::desk::Desk;
use super::host::Host;
use super::keys::Keys;
use super::step::Steps;
use super::subscriber::Delivery;
use crate::source::Slice;
use crate::stop::LIVES;
use crate::tick::Tick;

/// A tick that can be pulled with nothing to be done but to show it.
///
/// Nothing of this calls anybody or panics: a function that pulls by it needs hardly a frame, a tenth of what a pull costs.
pub struct Bare<'a, H> {
    /// Who shows it.
    pub host: &'a mut H,
    /// What is shown.
    pub tick: &'a Tick,
    pub(super) desk: &'a Desk,
    pub(super) keys: Keys,
    pub(super) index: &'a mut usize,
}

impl<H> Bare<'_, H> {
    /// It is taken: position and clock are its own.
    #[inline(always)]
    pub fn take(self) {
        *self.index = self.index.wrapping_add(1);
        self.desk.set_position(self.desk.position().wrapping_add(1));
        self.desk.advance_clock(self.keys.of(self.tick));
    }
}

impl<H: Host> Steps<H> {
    /// Whether something happened since the last step that the next one has to look after.
    #[inline(always)]
    pub(super) fn is_disturbed(&self) -> bool {
        self.has_requests() || self.stop.asks(self.heeds | LIVES)
    }

    /// The step of a record that concerns the pull subscriber alone, up to its delivery; says whose it is. `None`: it is
    /// no such record, and nothing was done.
    pub(super) fn pull_step(&mut self, slice: &Slice<'_>, index: usize, tick: &Tick) -> Option<u32> {
        let key = self.keys.of(tick);
        let strategy = self.routes.sole(tick.instrument)?;
        let subscriber = self.subscribers.get_mut(strategy as usize)?;
        let is_for_it = matches!(subscriber.delivery, Delivery::Pull)
            && subscriber.kinds.wants(tick.kind)
            && subscriber.state.takes_ticks();
        if !is_for_it || key > self.gate || key < self.last_key {
            return None;
        }
        subscriber.tallies.now.delivered += 1;
        self.last_key = key;
        self.desk.set_position(self.desk.position() + 1);
        self.enter_tick(slice, tick, key);
        self.count_stretch(index, 1);
        Some(strategy)
    }

    /// The index up to which records from `first` on are for `strategy` alone, with no price to be noted and nothing due;
    /// at most `reach` are looked at.
    pub(super) fn quiet_pulls(&self, slice: &Slice<'_>, first: usize, reach: usize, strategy: u32) -> usize {
        if self.watched[slice.ticks[first - 1].instrument as usize] {
            return 0;
        }
        let quiet = self.quiet(slice, first..slice.ticks.len().min(first.saturating_add(reach)), strategy);
        if quiet.marks { 0 } else { first + quiet.count }
    }

    /// The step of a record that [`Self::quiet_pulls`] has seen: what handlers can look at. What only the loop counts
    /// follows by [`Self::count_pulls`].
    #[inline(always)]
    pub(super) fn quiet_pull(&self, tick: &Tick) {
        self.desk.market().note(tick);
        self.desk.set_position(self.desk.position().wrapping_add(1));
        self.desk.advance_clock(self.keys.of(tick));
    }

    /// Counts `count` quiet pulls of `strategy`, of which `last` was the last, at `index`.
    pub(super) fn count_pulls(&mut self, strategy: u32, count: usize, index: usize, last: &Tick) {
        self.last_key = self.keys.of(last);
        self.inputs += count as u64;
        self.taken = index + 1;
        self.subscribers[strategy as usize].tallies.now.delivered += count as u64;
    }
}
