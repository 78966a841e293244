//! How long messages take on their way to the venue and back.

use super::random::Random;

/// Time that a message takes.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Latency {
    /// None: it is there in the same step.
    #[default]
    None,
    /// Always the same.
    Constant(i64),
    /// Drawn from a distribution by its quantiles at even steps from the least to the most, straight between two of them:
    /// arithmetic that is the same on every machine.
    Quantiles(Vec<i64>),
    /// As it was measured: `(time, latency)` by time; the last one before the message counts, the first one before that.
    Series(Vec<(i64, i64)>),
}

/// Why a latency cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatencyError {
    /// A time below zero.
    Negative(i64),
    /// Fewer than two quantiles, or none measured.
    TooFew,
    /// Quantiles that fall, or a series that is not in time order.
    Unordered,
}

impl std::fmt::Display for LatencyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Negative(ns) => write!(f, "a latency is {ns} ns: expected at least 0"),
            Self::TooFew => f.write_str("a distribution needs at least two quantiles, a series one measurement"),
            Self::Unordered => f.write_str("quantiles must not fall, and a series must be in time order"),
        }
    }
}

impl std::error::Error for LatencyError {}

impl Latency {
    /// Refuses what is no latency.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), LatencyError> {
        let (times, is_ordered): (Vec<i64>, bool) = match self {
            Self::None => return Ok(()),
            Self::Constant(ns) => (vec![*ns], true),
            Self::Quantiles(quantiles) if quantiles.len() < 2 => return Err(LatencyError::TooFew),
            Self::Series(series) if series.is_empty() => return Err(LatencyError::TooFew),
            Self::Quantiles(quantiles) => (quantiles.clone(), quantiles.is_sorted()),
            Self::Series(series) => {
                (series.iter().map(|&(_, ns)| ns).collect(), series.is_sorted_by_key(|&(time, _)| time))
            }
        };
        match times.into_iter().find(|&ns| ns < 0) {
            Some(ns) => Err(LatencyError::Negative(ns)),
            None if is_ordered => Ok(()),
            None => Err(LatencyError::Unordered),
        }
    }

    /// Whether messages take no time at all.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// How long a message sent at `now_ns` takes.
    pub(super) fn draw(&self, now_ns: i64, random: &mut Random) -> i64 {
        match self {
            Self::None => 0,
            Self::Constant(ns) => *ns,
            Self::Quantiles(quantiles) => between(quantiles, random.unit()),
            Self::Series(series) => {
                let after = series.partition_point(|&(time, _)| time <= now_ns);
                series[after.saturating_sub(1)].1
            }
        }
    }
}

fn between(quantiles: &[i64], unit: f64) -> i64 {
    let place = unit * (quantiles.len() - 1) as f64;
    let index = (place as usize).min(quantiles.len() - 2);
    let (low, high) = (quantiles[index], quantiles[index + 1]);
    low + ((high - low) as f64 * (place - index as f64)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_lie_between_the_quantiles_and_repeat_by_seed() {
        let latency = Latency::Quantiles(vec![10, 20, 100]);
        let draws = |seed| -> Vec<i64> {
            let mut random = Random::new(seed);
            (0..1_000).map(|_| latency.draw(0, &mut random)).collect()
        };
        assert_eq!(draws(7), draws(7));
        assert_ne!(draws(7), draws(8));
        assert!(draws(7).iter().all(|ns| (10..=100).contains(ns)));
        let below = draws(7).iter().filter(|&&ns| ns < 20).count();
        assert!((400..600).contains(&below), "{below} of 1,000 below the median");
    }

    #[test]
    fn a_series_counts_from_its_time_on() {
        let latency = Latency::Series(vec![(100, 5), (200, 9)]);
        let mut random = Random::new(0);
        let drawn = [0, 100, 199, 200, 1_000].map(|now_ns| latency.draw(now_ns, &mut random));
        assert_eq!(drawn, [5, 5, 5, 9, 9]);
    }

    #[test]
    fn what_is_no_latency_is_refused() {
        assert_eq!(Latency::Constant(-1).check(), Err(LatencyError::Negative(-1)));
        assert_eq!(Latency::Quantiles(vec![1]).check(), Err(LatencyError::TooFew));
        assert_eq!(Latency::Quantiles(vec![2, 1]).check(), Err(LatencyError::Unordered));
        assert_eq!(Latency::Series(vec![]).check(), Err(LatencyError::TooFew));
        assert_eq!(Latency::Series(vec![(2, 1), (1, 1)]).check(), Err(LatencyError::Unordered));
        assert_eq!(Latency::Series(vec![(1, 9), (2, 1)]).check(), Ok(()));
    }
}
