//! Made-up quotes: a random walk that is the same everywhere.
//!
//! Integer arithmetic only, one division by a power of ten at the end: the same seed gives the same bytes on any
//! machine. The random numbers are xoshiro256++ (Blackman and Vigna) seeded by splitmix64, written out here because
//! crates that offer them may change their streams between versions.

use crate::pages::room_for;
use crate::tick::Tick;

/// splitmix64 and xoshiro256++: 1.1 ns a number, and the stream is fixed by this source.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut seed = seed;
        let state = std::array::from_fn(|_| {
            seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        });
        Self { state }
    }

    /// The next 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }
}

/// One instrument's walk, in price steps.
#[derive(Clone, Debug)]
struct Walk {
    bid: i64,
    floor: i64,
    ceiling: i64,
    /// Steps to one unit of price, a power of ten.
    steps_per_unit: f64,
}

/// Quotes of several instruments, in time order; as many as are asked for, in pieces of any length.
#[derive(Clone, Debug)]
pub struct TickGenerator {
    random: Random,
    walks: Vec<Walk>,
    now_ns: i64,
    mean_interval_ns: u64,
    sequence: u64,
}

/// Steps a price may fall to or rise to, from 100,000 at the start.
const START_STEPS: i64 = 100_000;
const LARGEST_SPREAD_STEPS: u64 = 4;

impl TickGenerator {
    /// A generator of `decimals.len()` instruments, prices of instrument i having `decimals[i]` (at most 9) digits after
    /// the point; ticks are `mean_interval_ns` (at least 1) apart on average, the first after `start_ns`.
    ///
    /// # Panics
    /// No instrument, or an argument out of its range.
    pub fn new(seed: u64, decimals: &[u32], start_ns: i64, mean_interval_ns: u64) -> Self {
        assert!(!decimals.is_empty() && decimals.iter().all(|&digits| digits <= 9), "instruments and their digits");
        assert!(start_ns >= 0 && (1..1 << 62).contains(&mean_interval_ns), "times");
        let walk = |(number, &digits): (usize, &u32)| {
            // Apart from each other, so that mixed-up instruments show.
            let bid = START_STEPS + 7_000 * (number as i64 % 13);
            Walk { bid, floor: bid / 2, ceiling: bid * 2, steps_per_unit: 10_i64.pow(digits) as f64 }
        };
        let walks = decimals.iter().enumerate().map(walk).collect();
        Self { random: Random::new(seed), walks, now_ns: start_ns, mean_interval_ns, sequence: 0 }
    }

    /// The next quote; `None` when the time would overflow.
    #[inline]
    pub fn tick(&mut self) -> Option<Tick> {
        let (choice, step) = (self.random.bits(), self.random.bits());
        // High half times n, shifted: even enough for a choice among few, and no division.
        let instrument = (((choice >> 32) * self.walks.len() as u64) >> 32) as u32;
        let gap = ((choice & 0xFFFF_FFFF) as u128 * (2 * self.mean_interval_ns - 1) as u128) >> 32;
        self.now_ns = self.now_ns.checked_add(i64::try_from(gap).ok()?)?.max(1);
        self.sequence += 1;
        let walk = &mut self.walks[instrument as usize];
        let bid = (walk.bid + (step & 7) as i64 - ((step >> 3) & 7) as i64).clamp(walk.floor, walk.ceiling);
        walk.bid = bid;
        let ask = bid + 1 + ((step >> 6) % LARGEST_SPREAD_STEPS) as i64;
        let size = |bits: u64| (1 + (bits & 63)) as f64 * 1_000.0;
        let (bid, ask) = (bid as f64 / walk.steps_per_unit, ask as f64 / walk.steps_per_unit);
        let mut tick = Tick::quote(self.now_ns, instrument, bid, ask, size(step >> 16), size(step >> 24));
        tick.sequence = self.sequence;
        Some(tick)
    }

    /// The next `count` quotes; fewer only when the time would overflow.
    pub fn take(&mut self, count: usize) -> Vec<Tick> {
        let mut ticks = room_for(count);
        ticks.extend(std::iter::from_fn(|| self.tick()).take(count));
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::fingerprint;

    #[test]
    fn the_stream_is_that_of_the_published_algorithm() {
        // First outputs of xoshiro256++ for the state 1, 2, 3, 4: 41943041, 58720359.
        let mut random = Random { state: [1, 2, 3, 4] };
        assert_eq!([random.bits(), random.bits()], [41_943_041, 58_720_359]);
    }

    #[test]
    fn the_pieces_do_not_matter() {
        let make = || TickGenerator::new(7, &[5, 2], 1_000, 50);
        let whole = make().take(1_000);
        let mut pieces = make();
        let parts: Vec<Tick> = [1, 99, 400, 500].into_iter().flat_map(|count| pieces.take(count)).collect();
        assert_eq!(whole, parts);
        assert!(whole.is_sorted_by_key(|tick| tick.ts_event));
        assert!(whole.iter().all(|tick| tick.values[0] < tick.values[1]));
    }

    #[test]
    fn the_bytes_of_a_seed_never_change() {
        let ticks = TickGenerator::new(42, &[5], 1_700_000_000_000_000_000, 1_000_000).take(10_000);
        assert_eq!(format!("{:032x}", fingerprint(&ticks)), "1c1392f8a5f9be4066580970f5d2bcce");
    }

    #[test]
    fn ends_where_time_ends() {
        assert!(TickGenerator::new(1, &[0], i64::MAX - 10, 100).take(1_000).len() < 1_000);
    }
}
