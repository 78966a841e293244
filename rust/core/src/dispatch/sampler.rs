//! What strategies are worth over time: noted at each fill, and at even times while anybody holds anything.
//!
//! A look is no input: it has no loop position, enters no digest and changes nothing but what was seen (peaks, where the day
//! began, the curve of the result). Its times are those of the clock of the run and not of its slices, so that they are the
//! same wherever a run is cut.

use std::collections::BTreeMap;

use super::desk::Desk;
use super::host::Host;
use super::step::Steps;
use crate::source::Slice;
use crate::venue::{DAY_NS, OrderUpdate, Rate, RateError, Worth};

/// How often it is looked at what strategies are worth, where nobody said; a day has to be a multiple of it.
pub const WORTH_EVERY_NS: i64 = 60_000_000_000;

/// Looks that are kept, all strategies together; beyond that they are thinned out to half of it.
const MAX_SAMPLES: usize = 1 << 18;

/// The place of all strategies together among the points.
pub const ALL_STRATEGIES: u32 = u32::MAX;

/// What a strategy was worth at one moment, in the run's currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorthPoint {
    /// When, ns UTC.
    pub ts_ns: i64,
    /// Capital and what was made of it.
    pub equity: f64,
    /// Value of what it held, long and short.
    pub gross: f64,
    /// Which; [`ALL_STRATEGIES`]: all together, where there are several.
    pub strategy: u32,
    /// Whether it is one of many looks at even times, and no fill and not the last one.
    pub is_look: bool,
}

/// When to look, and what was seen.
#[derive(Debug)]
pub(super) struct Sampler {
    interval_ns: i64,
    /// Of looks that were thinned out the last one within each such time stands, its end counted: that of midnight among them.
    kept_ns: i64,
    /// The next look; `i64::MAX`: nobody holds anything.
    next_ns: i64,
    looks: usize,
    /// In a run by arrival slices bring the time, and nothing is due by itself.
    pub is_live: bool,
    pub points: Vec<WorthPoint>,
}

impl Sampler {
    pub fn new(interval_ns: i64) -> Self {
        assert!(interval_ns > 0, "a time between two looks");
        Self { interval_ns, kept_ns: interval_ns, next_ns: i64::MAX, looks: 0, is_live: false, points: Vec::new() }
    }

    /// The last time at which nothing is due.
    pub fn gate_ns(&self) -> i64 {
        if self.is_live { i64::MAX } else { self.next_ns }
    }

    /// The first multiple of the interval that is later than `ns`.
    fn after(&self, ns: i64) -> i64 {
        (ns.div_euclid(self.interval_ns) + 1).saturating_mul(self.interval_ns)
    }

    fn note(&mut self, strategy: u32, ts_ns: i64, worth: &Worth, is_look: bool) {
        let (equity, gross) = (worth.equity(), worth.gross);
        if equity.is_nan() {
            return;
        }
        self.points.push(WorthPoint { ts_ns, equity, gross, strategy, is_look });
        self.looks += usize::from(is_look);
    }

    /// Lets looks go until there are no more than `most`: evenly over time, however far apart they are.
    fn thin_out(&mut self, most: usize) {
        while self.looks > most && self.kept_ns < i64::MAX {
            self.kept_ns = coarser(self.kept_ns);
            let mut last = BTreeMap::new();
            let mut stands = vec![true; self.points.len()];
            for (stands, point) in stands.iter_mut().zip(&self.points).rev().filter(|(_, point)| point.is_look) {
                let span = (point.ts_ns - 1).div_euclid(self.kept_ns);
                *stands = last.insert(point.strategy, span) != Some(span);
                self.looks -= usize::from(!*stands);
            }
            let mut stands = stands.into_iter();
            self.points.retain(|_| stands.next().unwrap_or(true));
        }
    }
}

/// The next longer time that is a whole part of a day, or a whole number of days.
fn coarser(ns: i64) -> i64 {
    let parts = DAY_NS / ns;
    // A day of nanoseconds has no other prime factors.
    ns.saturating_mul([2, 3, 5].into_iter().find(|factor| parts % factor == 0).unwrap_or(2))
}

impl<H: Host> Steps<H> {
    /// `strategy` has had a fill.
    pub(super) fn note_fill(&mut self, strategy: u32, now_ns: i64) {
        self.look_after_fill(Some(strategy), now_ns);
        if self.subscribers.len() > 1 {
            self.look_after_fill(None, now_ns);
        }
        if self.sampler.next_ns == i64::MAX {
            self.sampler.next_ns = self.sampler.after(now_ns);
            self.gate = self.gate.min(self.sampler.gate_ns());
        }
    }

    fn look_at(&mut self, strategy: Option<u32>, now_ns: i64, is_last: bool) {
        let worth = self.desk.portfolio.borrow_mut().observe(strategy, now_ns);
        self.sampler.note(strategy.unwrap_or(ALL_STRATEGIES), now_ns, &worth, !is_last);
    }

    fn look_after_fill(&mut self, strategy: Option<u32>, now_ns: i64) {
        let worth = self.desk.portfolio.borrow_mut().observe(strategy, now_ns);
        self.sampler.note(strategy.unwrap_or(ALL_STRATEGIES), now_ns, &worth, false);
    }

    fn look_at_all(&mut self, now_ns: i64, is_last: bool) {
        for strategy in 0..self.subscribers.len() as u32 {
            self.look_at(Some(strategy), now_ns, is_last);
        }
        if self.subscribers.len() > 1 {
            self.look_at(None, now_ns, is_last);
        }
        if self.sampler.looks > MAX_SAMPLES {
            self.sampler.thin_out(MAX_SAMPLES / 2);
        }
    }

    /// Looks, where that is due before anything that happens at `next_ns`; then nothing is due again before that has happened.
    pub(super) fn sample_before(&mut self, next_ns: i64) -> bool {
        let due_ns = self.sampler.next_ns;
        if due_ns >= next_ns || next_ns == i64::MAX || self.sampler.is_live {
            return false;
        }
        self.look_at_all(due_ns, false);
        // Nothing moves until then, so that one look is as good as many.
        self.set_next_look(due_ns.max(next_ns - 1));
        true
    }

    fn set_next_look(&mut self, now_ns: i64) {
        let is_open = self.desk.portfolio.borrow().is_open();
        self.sampler.next_ns = if is_open { self.sampler.after(now_ns) } else { i64::MAX };
    }

    /// In a run by arrival: the time is `now_ns`.
    pub(super) fn sample_live(&mut self, now_ns: i64) {
        if self.sampler.is_live && now_ns > self.sampler.next_ns {
            self.look_at_all(self.sampler.after(now_ns) - self.sampler.interval_ns, false);
            self.set_next_look(now_ns);
        }
    }

    /// The last look, when the run has ended.
    pub(super) fn sample_last(&mut self) {
        let now_ns = self.desk.now_ns();
        if self.sampler.next_ns != i64::MAX {
            self.sampler.next_ns = i64::MAX;
            self.look_at_all(now_ns, true);
        }
    }

    /// Whether `strategy` has asked to be told of the fills of `owner`.
    #[inline]
    pub(super) fn hears_of_fills(&self, strategy: u32, owner: u32) -> bool {
        if !self.desk.has_listeners.get() {
            return false;
        }
        let [own, whole] = self.desk.listeners.borrow()[strategy as usize];
        whole || (own && strategy == owner)
    }

    /// Tells those who have asked for it of a fill, in order of registration.
    #[cold]
    pub(super) fn tell_listeners(&mut self, slice: &Slice<'_>, update: &OrderUpdate) {
        let owner = update.order.key.strategy;
        for strategy in 0..self.subscribers.len() as u32 {
            if !self.hears_of_fills(strategy, owner) || !self.subscribers[strategy as usize].state.takes_updates() {
                continue;
            }
            self.flush(slice, strategy);
            let is_own = strategy == owner;
            if let Err(fault) = self.host.filled(strategy, is_own) {
                self.fault(strategy, "portfolio listener", None, fault);
            }
        }
    }
}

impl Desk {
    /// From now on the host is told of fills: those of `strategy`, or with `whole` of all strategies.
    pub fn listen(&self, strategy: u32, whole: bool) {
        self.listeners.borrow_mut()[strategy as usize][usize::from(whole)] = true;
        self.has_listeners.set(true);
    }

    /// Per instrument, whether its price is needed though nobody trades it.
    pub(super) fn needed_prices(&self) -> Vec<bool> {
        let mut needed = vec![false; self.instruments().len()];
        self.portfolio.borrow().books().priced_by().for_each(|instrument| needed[instrument as usize] = true);
        let risk = self.risk.borrow();
        for rule in risk.rules().iter().filter(|rule| rule.limits.need_prices()) {
            let all = (0..needed.len() as u32).collect::<Vec<_>>();
            for &instrument in rule.instruments.as_ref().unwrap_or(&all) {
                needed[instrument as usize] = true;
            }
        }
        needed
    }

    /// Says in which currency sums are, and what others are worth in it. Before the run begins.
    ///
    /// # Errors
    /// A rate that cannot be.
    pub fn set_currency(&self, currency: &str, rates: &[(String, Rate)]) -> Result<(), RateError> {
        self.portfolio.borrow_mut().set_currency(currency, rates)
    }

    /// Gives a strategy capital, and says how many times its worth it may be exposed to.
    pub fn fund(&self, strategy: u32, capital: f64, leverage: f64) {
        self.portfolio.borrow_mut().fund(strategy, capital, leverage);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: i64 = DAY_NS / 24;

    /// Looks of two strategies at `times`, and a fill after each fifth one; then thinned out to at most `most`.
    fn thinned(times: impl Iterator<Item = i64>, most: usize) -> (Sampler, Vec<i64>) {
        let mut sampler = Sampler::new(WORTH_EVERY_NS);
        for (count, ts_ns) in times.enumerate() {
            for strategy in [0, ALL_STRATEGIES] {
                sampler.note(strategy, ts_ns, &Worth::default(), true);
            }
            if count % 5 == 0 {
                sampler.note(0, ts_ns + 1, &Worth::default(), false);
            }
        }
        sampler.thin_out(most);
        let of_all = sampler.points.iter().filter(|point| point.strategy == ALL_STRATEGIES);
        let looks = of_all.map(|point| point.ts_ns).collect();
        (sampler, looks)
    }

    #[test]
    fn every_midnight_stays_until_days_are_thinned_out_themselves() {
        let (sampler, looks) = thinned((1..=30 * 24 * 60).map(|minute| minute * WORTH_EVERY_NS), 1_000);
        assert_eq!(sampler.kept_ns, 96 * WORTH_EVERY_NS, "32 minutes, and then three times that: a part of a day");
        assert_eq!((looks.len(), sampler.looks), (450, 900));
        assert_eq!(looks.iter().filter(|&&ns| ns % DAY_NS == 0).count(), 30);
        assert!(sampler.points.is_sorted_by_key(|point| point.ts_ns));
        assert_eq!(sampler.points.len() - sampler.looks, 30 * 24 * 60 / 5, "fills stay");
    }

    #[test]
    fn looks_that_are_far_apart_are_thinned_out_evenly_too() {
        // Bars of an hour, each followed by a look a minute later.
        let (_, looks) = thinned((1..=1_000).map(|hour| hour * HOUR_NS + WORTH_EVERY_NS), 600);
        assert!((200..=300).contains(&looks.len()), "{}", looks.len());
        let apart: Vec<i64> = looks.windows(2).map(|pair| (pair[1] - pair[0]) / HOUR_NS).collect();
        assert!(apart.iter().all(|hours| (1..=8).contains(hours)), "{apart:?}");
    }

    #[test]
    fn times_grow_by_parts_of_a_day_and_then_by_days() {
        let mut ns = WORTH_EVERY_NS;
        for _ in 0..24 {
            let longer = coarser(ns);
            assert!(longer > ns && longer % ns == 0);
            assert!(DAY_NS % longer == 0 || longer % DAY_NS == 0, "{longer}");
            ns = longer;
        }
        assert_eq!(coarser(i64::MAX), i64::MAX);
    }
}
