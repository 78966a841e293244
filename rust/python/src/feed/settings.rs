//! What Python says of a feed, as the core wants it.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tickrail_core::feed::{Backwards, FeedSettings, Numbering, Policy, RatePolicy, Trades};
use tickrail_core::stop::WaitStrategy;

use crate::plan::named;

/// Longest time that a publisher waits by configuration: beyond that it is a mistake in the unit.
const MAX_TIMEOUT_S: f64 = 86_400.0;

/// Everything that Python says of a feed.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Said {
    policy: String,
    capacity: usize,
    timeout_s: f64,
    trades: String,
    backwards: String,
    reorder_ns: i64,
    numbering: String,
    stale_after_ns: i64,
    rate_limit: u32,
    rate_policy: String,
    high_watermark: usize,
    low_watermark: usize,
    receipt: String,
}

impl Said {
    /// As settings.
    ///
    /// # Errors
    /// A word that is none, or a number out of its range.
    pub fn settings(&self) -> PyResult<FeedSettings> {
        let trades = named("trades", &self.trades, "'keep', 'sum' or 'drop'", Trades::from_name(&self.trades))?;
        let policies = "'block', 'reject', 'drop_newest', 'drop_oldest' or 'conflate'";
        let policy = named("policy", &self.policy, policies, Policy::from_name(&self.policy, trades))?;
        if !(0.0..=MAX_TIMEOUT_S).contains(&self.timeout_s) {
            let message = format!("timeout_s is {}: expected seconds, 0 to {MAX_TIMEOUT_S}", self.timeout_s);
            return Err(PyValueError::new_err(message));
        }
        for (name, value) in [("stale_after_ns", self.stale_after_ns), ("reorder_ns", self.reorder_ns)] {
            if value < 0 {
                return Err(PyValueError::new_err(format!("{name} is {value}: expected nanoseconds, at least 0")));
            }
        }
        Ok(FeedSettings {
            policy,
            capacity_slots: self.capacity,
            block_timeout: Duration::from_secs_f64(self.timeout_s),
            backwards: self.backwards()?,
            numbering: self.numbering()?,
            stale_after_ns: self.stale_after_ns,
            rate_limit: self.rate_limit,
            rate_policy: named(
                "rate_policy",
                &self.rate_policy,
                "'reject' or 'wait'",
                RatePolicy::from_name(&self.rate_policy),
            )?,
            high_watermark: self.high_watermark,
            low_watermark: self.low_watermark,
            keeps_receipt: self.keeps_receipt()?,
        })
    }

    fn backwards(&self) -> PyResult<Backwards> {
        let found = match self.backwards.as_str() {
            "pass" => Some(Backwards::Pass),
            "reject" => Some(Backwards::Reject),
            "reorder" => Some(Backwards::Reorder { window_ns: self.reorder_ns }),
            _ => None,
        };
        named("backwards", &self.backwards, "'pass', 'reject' or 'reorder'", found)
    }

    fn keeps_receipt(&self) -> PyResult<bool> {
        let found = match self.receipt.as_str() {
            "now" => Some(false),
            "given" => Some(true),
            _ => None,
        };
        named("receipt", &self.receipt, "'now' or 'given'", found)
    }

    fn numbering(&self) -> PyResult<Numbering> {
        let found = match self.numbering.as_str() {
            "ignored" => Some(Numbering::Ignored),
            "by_instrument" => Some(Numbering::ByInstrument),
            "by_publisher" => Some(Numbering::ByPublisher),
            _ => None,
        };
        named("numbering", &self.numbering, "'ignored', 'by_instrument' or 'by_publisher'", found)
    }
}

/// How the loop waits, and how long it looks before with the GIL held.
///
/// # Errors
/// No such way.
pub fn wait_from(name: &str) -> PyResult<(WaitStrategy, Duration)> {
    const HELD: Duration = Duration::from_micros(50);
    let found = match name {
        "park" => Some((WaitStrategy::PARK, Duration::ZERO)),
        "spin_then_park" => Some((WaitStrategy::default(), Duration::ZERO)),
        "yield" => Some((WaitStrategy::YIELD, Duration::ZERO)),
        "spin" => Some((WaitStrategy::SPIN, Duration::ZERO)),
        "spin_held" => Some((WaitStrategy::default(), HELD)),
        _ => None,
    };
    named("wait", name, "'spin_then_park', 'park', 'yield', 'spin' or 'spin_held'", found)
}
