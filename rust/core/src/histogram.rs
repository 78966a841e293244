//! Histograms of times: written by one thread, readable from any while it writes.
//!
//! In the manner of HDR histograms: 64 buckets of equal width for each power of two, so that a value is known to 1.6 %
//! whatever its size. The crate `hdrhistogram` counts in plain words, so that whoever reads has to stop the writer or wait
//! for it; this one's words are atomic, and recording costs the same (docs/decisions/0041).

use crate::sync::{AtomicU64, Ordering};

/// Buckets for each power of two.
const PER_OCTAVE: usize = 1 << OCTAVE_BITS;
const OCTAVE_BITS: u32 = 6;

/// Values from here on count as this one: 2^42 ns are more than an hour.
pub const MAX_VALUE: u64 = (1 << VALUE_BITS) - 1;
const VALUE_BITS: u32 = 42;

/// The first two octaves are exact, and there are as many values in them.
const BUCKETS: usize = (VALUE_BITS - OCTAVE_BITS + 1) as usize * PER_OCTAVE;

/// Counts of values by size. Recording allocates nothing; one thread records, any may read.
///
/// ```
/// use tickrail_core::histogram::Histogram;
/// let histogram = Histogram::new();
/// (1..=1_000).for_each(|ns| histogram.record(ns));
/// let seen = histogram.snapshot();
/// assert_eq!((seen.count(), seen.max(), seen.mean()), (1_000, 1_000, 500.5));
/// assert!((500..=508).contains(&seen.quantile(0.5)));
/// ```
#[derive(Debug)]
pub struct Histogram {
    /// Relaxed, as `sum` and `max`: one writer, and a reader wants no two of them from the same moment.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// Nothing counted yet; 18 KB.
    pub fn new() -> Self {
        let counts = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { counts, sum: AtomicU64::new(0), max: AtomicU64::new(0) }
    }

    /// Counts `value`. Only the one writer may call this.
    #[inline]
    pub fn record(&self, value: u64) {
        let value = value.min(MAX_VALUE);
        let count = &self.counts[bucket_of(value)];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.sum.store(self.sum.load(Ordering::Relaxed).saturating_add(value), Ordering::Relaxed);
        if value > self.max.load(Ordering::Relaxed) {
            self.max.store(value, Ordering::Relaxed);
        }
    }

    /// What was counted so far; what is being recorded meanwhile may be among it or not.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let total = counts.iter().sum();
        let (sum, max) = (self.sum.load(Ordering::Relaxed), self.max.load(Ordering::Relaxed));
        HistogramSnapshot { counts, total, sum, max }
    }
}

/// A histogram at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    counts: Vec<u64>,
    total: u64,
    sum: u64,
    max: u64,
}

impl HistogramSnapshot {
    /// How many values were counted.
    pub const fn count(&self) -> u64 {
        self.total
    }

    /// The largest of them, exact up to [`MAX_VALUE`]; 0 where there is none.
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// Their mean, exact up to [`MAX_VALUE`]; 0 where there is none.
    pub fn mean(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.sum as f64 / self.total as f64 }
    }

    /// The least value that at least `part` of the values do not exceed, to 1.6 % and never below it; 0 where there is none.
    pub fn quantile(&self, part: f64) -> u64 {
        let wanted = ((self.total as f64 * part.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        let holds = |&count: &u64| {
            seen += count;
            seen >= wanted
        };
        self.counts.iter().position(holds).map_or(0, |bucket| last_of(bucket).min(self.max))
    }

    /// The buckets that hold something: their least and greatest value and their count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let filled = self.counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        filled.map(|(bucket, &count)| (first_of(bucket), last_of(bucket), count))
    }
}

#[inline]
fn bucket_of(value: u64) -> usize {
    // The last octave of exact values has the shift 0, and those below it too.
    let shift = (value | PER_OCTAVE as u64).ilog2() - OCTAVE_BITS;
    shift as usize * PER_OCTAVE + (value >> shift) as usize
}

const fn first_of(bucket: usize) -> u64 {
    if bucket < 2 * PER_OCTAVE {
        return bucket as u64;
    }
    let shift = bucket / PER_OCTAVE - 1;
    ((bucket - shift * PER_OCTAVE) as u64) << shift
}

const fn last_of(bucket: usize) -> u64 {
    first_of(bucket + 1) - 1
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_bucket_begins_where_the_one_before_it_ends() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(first_of(bucket)), bucket);
            assert_eq!(bucket_of(last_of(bucket)), bucket);
            let width = last_of(bucket) - first_of(bucket) + 1;
            assert!(width == 1 || width as f64 / first_of(bucket) as f64 <= 1.0 / 64.0, "{bucket}");
        }
        assert_eq!(last_of(BUCKETS - 1), MAX_VALUE);
    }

    #[test]
    fn nothing_counted_is_all_zero_and_what_is_too_large_counts_as_the_largest() {
        let histogram = Histogram::new();
        let empty = histogram.snapshot();
        assert_eq!((empty.count(), empty.max(), empty.mean(), empty.quantile(0.5)), (0, 0, 0.0, 0));
        histogram.record(u64::MAX);
        assert_eq!(histogram.snapshot().quantile(1.0), MAX_VALUE);
        assert_eq!(histogram.snapshot().buckets().count(), 1);
    }

    #[test]
    fn it_can_be_read_while_it_is_written() {
        let histogram = Arc::new(Histogram::new());
        let read = Arc::clone(&histogram);
        let writer = thread::spawn(move || (0..200_000).for_each(|value| histogram.record(value % 1_000)));
        let mut before = 0;
        while !writer.is_finished() {
            let seen = read.snapshot();
            assert!(seen.count() >= before && seen.quantile(1.0) < 1_000);
            before = seen.count();
        }
        writer.join().unwrap();
        assert_eq!(read.snapshot().count(), 200_000);
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_values(
            mut values in prop::collection::vec(prop_oneof![0..200u64, 0..1_000_000u64, 0..MAX_VALUE], 1..300),
            part in 0.0..=1.0f64,
        ) {
            let histogram = Histogram::new();
            values.iter().for_each(|&value| histogram.record(value));
            values.sort_unstable();
            let rank = ((values.len() as f64 * part).ceil() as usize).clamp(1, values.len());
            let (exact, seen) = (values[rank - 1], histogram.snapshot());
            let found = seen.quantile(part);
            prop_assert!(found >= exact && found as f64 <= exact as f64 * (1.0 + 1.0 / 64.0), "{found} for {exact}");
            prop_assert_eq!(seen.max(), *values.last().unwrap());
            prop_assert_eq!(seen.buckets().map(|(.., count)| count).sum::<u64>(), values.len() as u64);
        }
    }
}
