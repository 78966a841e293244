//! What the user declares of a feed: what happens when strategies are slower than the market, and to records that break a
//! rule.

use std::time::Duration;

/// What happens to a record for which the ring has no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The publisher waits for the loop, at most [`FeedSettings::block_timeout`]. Nothing is lost.
    Block,
    /// The publisher is told at once, and decides. Nothing is lost unseen.
    Reject,
    /// The record goes; what is in the ring stays.
    DropNewest,
    /// The oldest records in the ring give way.
    DropOldest,
    /// Of each instrument only the latest quote waits, in order of first arrival.
    Conflate {
        /// Trades and bars are never conflated into quotes; this says what becomes of trades.
        trades: Trades,
    },
}

impl Policy {
    /// The name in configuration and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Reject => "reject",
            Self::DropNewest => "drop_newest",
            Self::DropOldest => "drop_oldest",
            Self::Conflate { .. } => "conflate",
        }
    }

    /// The policy named `name`; `trades` matters to `conflate` alone.
    pub fn from_name(name: &str, trades: Trades) -> Option<Self> {
        [Self::Block, Self::Reject, Self::DropNewest, Self::DropOldest, Self::Conflate { trades }]
            .into_iter()
            .find(|policy| policy.name() == name)
    }
}

/// What becomes of trades where quotes are conflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trades {
    /// Each is kept; where the ring has no slot, the publisher is told (as by `reject`).
    Keep,
    /// Where the ring has no slot, those of one instrument and side become one, with their sizes summed and the last price; where
    /// a size is missing, that of the sum is.
    Sum,
    /// They go, and are counted.
    Drop,
}

impl Trades {
    /// The treatment named `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "keep" => Some(Self::Keep),
            "sum" => Some(Self::Sum),
            "drop" => Some(Self::Drop),
            _ => None,
        }
    }
}

/// What happens to a record whose time is before that of its publisher's last one; always counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backwards {
    /// It passes.
    Pass,
    /// It is rejected.
    Reject,
    /// Records wait until one is this many ns later, or for as long by the clock, and leave in order of time; what comes later
    /// still is rejected.
    Reorder {
        /// The window, ns.
        window_ns: i64,
    },
}

/// Within what the source counts its records, for whoever wants to know of gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// Its numbers are not looked at.
    Ignored,
    /// Each instrument has numbers of its own.
    ByInstrument,
    /// One count for all that the publisher brings.
    ByPublisher,
}

/// What happens to a record above the feed's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatePolicy {
    /// It is rejected, and counted.
    Reject,
    /// The publisher waits for its turn, at most [`FeedSettings::block_timeout`].
    Wait,
}

impl RatePolicy {
    /// The treatment named `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "reject" => Some(Self::Reject),
            "wait" => Some(Self::Wait),
            _ => None,
        }
    }
}

/// What is fixed for a feed when it is opened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeedSettings {
    /// What happens to a record for which there is no slot.
    pub policy: Policy,
    /// Slots of each publisher's ring; a power of two.
    pub capacity_slots: usize,
    /// How long `block` waits before it gives up.
    pub block_timeout: Duration,
    /// What happens to a record whose time runs backwards.
    pub backwards: Backwards,
    /// Within what the source counts.
    pub numbering: Numbering,
    /// After this long without a record of any publisher, strategies are told by a STALE record for each instrument; 0: never.
    pub stale_after_ns: i64,
    /// Most records per second, with bursts of a tenth of that or of one record; 0: no limit.
    pub rate_limit: u32,
    /// What happens to what is above it.
    pub rate_policy: RatePolicy,
    /// Strategies are told when so many records of a publisher wait; 0: never.
    pub high_watermark: usize,
    /// And again when so few do.
    pub low_watermark: usize,
    /// Records keep the receipt that they bear, which never decreases within a publisher, instead of getting the run's own:
    /// the source is a recording.
    pub keeps_receipt: bool,
}

impl Default for FeedSettings {
    fn default() -> Self {
        Self {
            policy: Policy::Block,
            capacity_slots: 8_192,
            block_timeout: Duration::from_secs(5),
            backwards: Backwards::Pass,
            numbering: Numbering::Ignored,
            stale_after_ns: 0,
            rate_limit: 0,
            rate_policy: RatePolicy::Reject,
            high_watermark: 0,
            low_watermark: 0,
            keeps_receipt: false,
        }
    }
}
