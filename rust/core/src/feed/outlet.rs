//! The publisher's end of a feed, by policy.

use std::sync::Arc;

use super::counters::Counters;
use super::gap::is_gap;
use super::held::Hold;
use super::policy::{Policy, Trades};
use super::sums::Sums;
use crate::ring::{ConflationWriter, DropOldestProducer, Producer};
use crate::sync::{spin_loop, yield_now};
use crate::tick::{Kind, Tick};

/// Most records that are checked and published at once: 8 KB, so that they are looked at while the first cache has them, where
/// they came from and where they went.
pub(super) const CHUNK: usize = 128;

/// How often the copy of a slice is waited for with a pause before the processor is given up.
const PAUSES: u32 = 64;

pub(super) enum Outlet {
    /// `block`, `reject`.
    Gated(Producer),
    DropNewest(Producer),
    DropOldest(DropOldestProducer),
    Conflate {
        quotes: ConflationWriter,
        others: Producer,
        trades: Trades,
        sums: Arc<Sums>,
    },
}

impl Outlet {
    /// How many records may come next without one of them being left over; none that would go before what is owed.
    pub fn room(&mut self, owes: bool) -> usize {
        match self {
            Self::Gated(_) | Self::Conflate { trades: Trades::Keep, .. } if owes => 0,
            Self::Gated(ring) => ring.free(CHUNK),
            Self::Conflate { others, trades: Trades::Keep, .. } => others.free(CHUNK),
            Self::DropNewest(_) | Self::DropOldest(_) | Self::Conflate { .. } => CHUNK,
        }
    }

    /// Slots of the ring itself, at most `wanted`, for records that can be looked at there; then [`Self::publish_filled`].
    /// `None`: none is free, or this policy has to see the records first.
    #[inline]
    pub fn slots(&mut self, wanted: usize) -> Option<&mut [Tick]> {
        match self {
            Self::Gated(ring) | Self::DropNewest(ring) => Some(ring.slots(wanted)).filter(|slots| !slots.is_empty()),
            Self::DropOldest(_) | Self::Conflate { .. } => None,
        }
    }

    /// Publishes the first `count` of those slots.
    #[inline]
    pub fn publish_filled(&mut self, count: usize) {
        if let Self::Gated(ring) | Self::DropNewest(ring) = self {
            ring.publish_filled(count);
        }
    }

    /// Whether a record of this kind takes a slot that may be wanting.
    pub const fn is_bounded_for(&self, kind: u8) -> bool {
        match self {
            Self::Gated(_) => true,
            Self::Conflate { trades: Trades::Keep, .. } => kind != Kind::Quote as u8,
            Self::DropNewest(_) | Self::DropOldest(_) | Self::Conflate { .. } => false,
        }
    }

    /// Publishes records for which [`Self::room`] was seen. A GAP that finds no slot, or loses it again, is owed from then on.
    pub fn push(&mut self, ticks: &[Tick], counters: &Counters, hold: &mut Hold<'_>) {
        match self {
            Self::Gated(ring) => {
                ring.try_publish(ticks);
            }
            Self::DropNewest(ring) => {
                // What is owed was told to go first, and found no slot.
                let taken = if hold.owes() { 0 } else { ring.try_publish(ticks) };
                counters.dropped_newest.add((ticks.len() - taken) as u64);
                ticks[taken..].iter().filter(|tick| is_gap(tick)).for_each(|gap| hold.owe(gap, counters));
            }
            Self::DropOldest(ring) => push_over(ring, ticks, counters, hold),
            Self::Conflate { quotes, others, trades, sums } => {
                for tick in ticks {
                    if tick.kind == Kind::Quote as u8 {
                        quotes.put(tick.instrument, tick);
                    } else {
                        push_other(others, tick, *trades, sums, counters, hold);
                    }
                }
            }
        }
    }

    /// The same for quotes or trades alone: among them no GAP has to be looked for, which took a third of a batch's time.
    #[inline]
    pub fn push_plain(&mut self, ticks: &[Tick], counters: &Counters, hold: &mut Hold<'_>) {
        match self {
            Self::DropOldest(ring) => push_run_over(ring, ticks, counters, hold),
            Self::Gated(_) | Self::DropNewest(_) | Self::Conflate { .. } => self.push(ticks, counters, hold),
        }
    }

    /// Publishes what is ready beside the ring; whether nothing is left. Under `drop_oldest` it stood before all that the ring
    /// has, and is the loop's to take.
    pub fn pay(&mut self, counters: &Counters, hold: &mut Hold<'_>) -> bool {
        match self {
            Self::Gated(ring) | Self::DropNewest(ring) | Self::Conflate { others: ring, .. } => {
                hold.pay(counters, |ready| ring.try_publish(ready))
            }
            Self::DropOldest(_) => true,
        }
    }

    /// Whether a GAP may find no slot, and has to be paid before the next record: under `drop_oldest` all find one.
    pub const fn may_owe(&self) -> bool {
        !matches!(self, Self::DropOldest(_))
    }

    /// Whether nothing may come as long as something is owed: other policies let records go, or hand them over by other ways.
    pub const fn waits_for_debts(&self) -> bool {
        matches!(self, Self::Gated(_))
    }

    /// How many records it has let go since the start, as far as the publisher can see: which quotes were replaced, only the
    /// loop does.
    pub fn lost(&self, counters: &Counters) -> u64 {
        let counted = counters.dropped_newest.get() + counters.merged.get();
        match self {
            Self::Gated(_) | Self::DropNewest(_) | Self::Conflate { .. } => counted,
            Self::DropOldest(ring) => counted + ring.dropped(),
        }
    }

    /// Ends the stream after what has been published.
    pub fn close(&mut self) {
        match self {
            Self::Gated(ring) | Self::DropNewest(ring) => ring.close(),
            Self::DropOldest(ring) => ring.close(),
            Self::Conflate { quotes, others, .. } => {
                quotes.close();
                others.close();
            }
        }
    }

    pub fn is_abandoned(&self) -> bool {
        match self {
            Self::Gated(ring) | Self::DropNewest(ring) | Self::Conflate { others: ring, .. } => ring.is_abandoned(),
            Self::DropOldest(ring) => ring.is_abandoned(),
        }
    }

    pub const fn policy(&self) -> Policy {
        match self {
            Self::Gated(_) => Policy::Block,
            Self::DropNewest(_) => Policy::DropNewest,
            Self::DropOldest(_) => Policy::DropOldest,
            Self::Conflate { trades, .. } => Policy::Conflate { trades: *trades },
        }
    }
}

/// By one where a GAP comes: it may give way to the rest of its own batch, and is watched from then on.
fn push_over(ring: &mut DropOldestProducer, ticks: &[Tick], counters: &Counters, hold: &mut Hold<'_>) {
    let mut rest = ticks;
    while let Some(first) = rest.first() {
        let run = rest.iter().position(is_gap).map_or(rest.len(), |place| place.max(1));
        push_run_over(ring, &rest[..run], counters, hold);
        if is_gap(first) {
            ring.watch();
        }
        rest = &rest[run..];
    }
}

/// Waits for the copy that is in the way, which takes less than a microsecond where the loop's thread runs.
///
/// A GAP that gives way is owed before the next record that stays. The lock is taken before any record gives way, so that the
/// loop, which sees that some did, and takes the lock then, finds what is owed.
fn push_run_over(ring: &mut DropOldestProducer, run: &[Tick], counters: &Counters, hold: &mut Hold<'_>) {
    let (mut done, mut pauses) = (0, 0);
    while done < run.len() && !ring.is_abandoned() {
        if ring.is_watching() {
            hold.inside();
        }
        done += ring.publish_telling(&run[done..], |gone| {
            if is_gap(gone) {
                hold.owe(gone, counters);
            }
        });
        if done < run.len() {
            pauses += 1;
            if pauses % PAUSES == 0 { yield_now() } else { spin_loop() }
        }
    }
}

fn push_other(
    others: &mut Producer,
    tick: &Tick,
    trades: Trades,
    sums: &Sums,
    counters: &Counters,
    hold: &mut Hold<'_>,
) {
    let is_trade = tick.kind == Kind::Trade as u8;
    match trades {
        Trades::Drop if is_trade => counters.dropped_newest.add(1),
        Trades::Sum if is_trade && (!sums.is_empty() || hold.owes() || others.try_push(*tick).is_err()) => {
            counters.merged.add(u64::from(sums.add(tick)));
        }
        Trades::Sum if is_trade => {}
        Trades::Keep | Trades::Sum | Trades::Drop => {
            let is_in = !hold.owes() && others.try_push(*tick).is_ok();
            counters.dropped_newest.add(u64::from(!is_in));
            if !is_in && is_gap(tick) {
                hold.owe(tick, counters);
            }
        }
    }
}
