//! What a strategy misses while it is paused without ticks, and how it is told afterwards.

use super::host::Host;
use super::lag::Lagger;
use super::step::Steps;
use super::subscriber::Delivery;
use crate::source::Slice;
use crate::tick::{Kind, Tick};
use crate::timer::Fired;

/// What was held back from one strategy.
#[derive(Debug, Default)]
pub(super) struct Absence {
    /// Ticks skipped, by instrument.
    missed: Vec<u64>,
    /// Whether ticks flow again, and a GAP record is due before the next one of each instrument that has missed some.
    pub is_over: bool,
}

/// Whether somebody was told.
pub(super) enum Gaps {
    None,
    Told,
    /// The pull subscriber has this record.
    Pulled(Tick),
}

impl Absence {
    fn of(instruments: usize) -> Box<Self> {
        Box::new(Self { missed: vec![0; instruments], is_over: false })
    }
}

impl<H: Host> Steps<H> {
    /// Ticks and timers of `strategy` are held from now on.
    pub(super) fn hold(&mut self, strategy: u32) {
        let instruments = self.watched.len();
        let absence = &mut self.subscribers[strategy as usize].absence;
        match absence {
            // Paused again before every instrument had a tick: what was missed adds up.
            Some(absence) => {
                self.returning -= u32::from(std::mem::take(&mut absence.is_over));
            }
            None => *absence = Some(Absence::of(instruments)),
        }
    }

    /// Ticks and timers flow again: held timers fire, each once, in the order in which they were due.
    pub(super) fn release(&mut self, strategy: u32, slice: &Slice<'_>) {
        let Some(absence) = &mut self.subscribers[strategy as usize].absence else { return };
        if !std::mem::replace(&mut absence.is_over, true) {
            self.returning += 1;
        }
        // One after the other: a handler of one may have ended the strategy, or cancelled the next.
        while let Some(held) = self.desk.next_held(strategy) {
            if self.subscribers[strategy as usize].state.takes_timers() {
                self.fire(slice, &held);
            }
        }
        self.settle_absence(strategy);
    }

    /// Nothing of it matters any more.
    pub(super) fn forget_absence(&mut self, strategy: u32) {
        if let Some(absence) = self.subscribers[strategy as usize].absence.take() {
            self.returning -= u32::from(absence.is_over);
        }
    }

    /// Counts a tick that the strategy would have received.
    #[cold]
    pub(super) fn miss(&mut self, strategy: u32, instrument: u32) {
        let subscriber = &mut self.subscribers[strategy as usize];
        subscriber.tallies.now.skip(subscriber.state.get(), 1);
        if let Some(absence) = &mut subscriber.absence {
            absence.missed[instrument as usize] += 1;
        }
    }

    /// Keeps a timer that is due back for later; says whether it does.
    pub(super) fn hold_timer(&mut self, fired: &Fired) -> bool {
        let absence = &self.subscribers[fired.owner as usize].absence;
        let is_held = absence.as_ref().is_some_and(|absence| !absence.is_over);
        if is_held {
            self.desk.hold_timer(fired);
        }
        is_held
    }

    /// Tells whoever has missed ticks of this one's instrument so, in a step of its own.
    #[cold]
    pub(super) fn tell_gaps(&mut self, slice: &Slice<'_>, tick: &Tick) -> Gaps {
        let instrument = tick.instrument as usize;
        let mut gaps = Gaps::None;
        for place in 0..self.routes.of(tick.instrument).len() {
            let strategy = self.routes.of(tick.instrument)[place];
            let subscriber = &mut self.subscribers[strategy as usize];
            let Some(absence) = subscriber.absence.as_mut().filter(|absence| absence.is_over) else { continue };
            let missed = std::mem::take(&mut absence.missed[instrument]);
            let is_wanted = subscriber.kinds.wants(Kind::Gap as u8) && subscriber.state.takes_ticks();
            self.settle_absence(strategy);
            if missed == 0 || !is_wanted {
                continue;
            }
            self.next_position();
            let gap = self.gap(tick, missed);
            if self.deliver_gap(slice, strategy, &gap) {
                return Gaps::Pulled(gap);
            }
            self.apply_requests();
            gaps = Gaps::Told;
        }
        gaps
    }

    /// Ends an absence of which nothing is left to be told.
    fn settle_absence(&mut self, strategy: u32) {
        let told = |absence: &Absence| absence.is_over && absence.missed.iter().all(|&missed| missed == 0);
        if self.subscribers[strategy as usize].absence.as_deref().is_some_and(told) {
            self.forget_absence(strategy);
        }
    }

    /// The record that stands for `missed` ticks before `next`: how many, as the third value, as feeds write it.
    fn gap(&self, next: &Tick, missed: u64) -> Tick {
        let now_ns = self.desk.now_ns();
        Tick {
            ts_event: now_ns,
            ts_init: now_ns,
            sequence: 0,
            kind: Kind::Gap as u8,
            side: 0,
            flags: 0,
            values: [0.0, 0.0, missed as f64, 0.0],
            ..*next
        }
    }

    /// `true`: it is for the pull subscriber.
    fn deliver_gap(&mut self, slice: &Slice<'_>, strategy: u32, gap: &Tick) -> bool {
        let subscriber = &self.subscribers[strategy as usize];
        // Within a window of a rule for lag too: a gap is told where it is.
        let usual = subscriber.lagger.as_deref().map_or(subscriber.delivery, Lagger::usual);
        match usual {
            Delivery::Ticks => {
                if let Err(failure) = self.host.present(gap) {
                    self.cannot_show(failure);
                } else if let Err(fault) = self.called_with(strategy, gap) {
                    let handler = self.host.tick_handler(strategy, gap);
                    self.fault(strategy, handler, Some(*gap), fault);
                }
            }
            Delivery::Records => self.record(strategy, gap),
            Delivery::Batches(_) => {
                let batcher = &mut self.subscribers[strategy as usize].batcher;
                if batcher.push_made(slice, gap) {
                    self.flush(slice, strategy);
                }
            }
            Delivery::Pull => return true,
            Delivery::Lagging => unreachable!("nobody takes ticks so but within a window"),
        }
        false
    }
}
