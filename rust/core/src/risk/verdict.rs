//! What the gate says of an order, and what is kept of it.

use super::limits::LimitKey;
use crate::trading::Stopped;
use crate::venue::OrderKey;

/// What the gate said of an order. The discriminants enter results and never change.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Verdict {
    /// It was not asked: the order has not left.
    #[default]
    NotAsked = 0,
    /// The order may leave.
    Passed = 1,
    /// Trading is halted.
    Halted = 2,
    /// Only orders that reduce a position may leave.
    NotReducing = 3,
    /// The strategy is halted.
    StrategyHalted = 4,
    /// A limit needs a price, and there is none.
    NoPrice = 5,
    /// Above the limit of an operator.
    TooLarge = 6,
    /// [`LimitKey::OrderQuantity`].
    OrderQuantity = 16,
    /// [`LimitKey::OrderNotional`].
    OrderNotional = 17,
    /// [`LimitKey::PositionQuantity`].
    PositionQuantity = 18,
    /// [`LimitKey::OpenOrders`].
    OpenOrders = 19,
    /// [`LimitKey::OrdersPerS`].
    OrdersPerS = 20,
    /// [`LimitKey::PriceCollar`].
    PriceCollar = 21,
    /// [`LimitKey::TickAgeNs`].
    TickAge = 22,
    /// [`LimitKey::Repeats`].
    Repeats = 23,
    /// [`LimitKey::DailyLoss`].
    DailyLoss = 24,
    /// [`LimitKey::Drawdown`].
    Drawdown = 25,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::NotAsked,
        Self::Passed,
        Self::Halted,
        Self::NotReducing,
        Self::StrategyHalted,
        Self::NoPrice,
        Self::TooLarge,
        Self::OrderQuantity,
        Self::OrderNotional,
        Self::PositionQuantity,
        Self::OpenOrders,
        Self::OrdersPerS,
        Self::PriceCollar,
        Self::TickAge,
        Self::Repeats,
        Self::DailyLoss,
        Self::Drawdown,
    ];

    /// The name as users see it: that of the limit, where it is one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAsked => "not_asked",
            Self::Passed => "passed",
            Self::Halted => "halted",
            Self::NotReducing => "not_reducing",
            Self::StrategyHalted => "strategy_halted",
            Self::NoPrice => "no_price",
            Self::TooLarge => "operator_limit",
            Self::OrderQuantity => LimitKey::OrderQuantity.name(),
            Self::OrderNotional => LimitKey::OrderNotional.name(),
            Self::PositionQuantity => LimitKey::PositionQuantity.name(),
            Self::OpenOrders => LimitKey::OpenOrders.name(),
            Self::OrdersPerS => LimitKey::OrdersPerS.name(),
            Self::PriceCollar => LimitKey::PriceCollar.name(),
            Self::TickAge => LimitKey::TickAgeNs.name(),
            Self::Repeats => LimitKey::Repeats.name(),
            Self::DailyLoss => LimitKey::DailyLoss.name(),
            Self::Drawdown => LimitKey::Drawdown.name(),
        }
    }

    /// The reason as the order's owner is told.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotAsked | Self::Passed => "",
            Self::Halted => Stopped::Halted.reason(),
            Self::NotReducing => Stopped::NotReducing.reason(),
            Self::TooLarge => Stopped::TooLarge.reason(),
            Self::StrategyHalted => {
                "the strategy is halted: too many of its orders were refused (limit max_refused_per_s)"
            }
            Self::NoPrice => "a limit needs a price, and there is none yet",
            Self::OrderQuantity => "the quantity is above the limit max_order_quantity",
            Self::OrderNotional => "the notional is above the limit max_order_notional",
            Self::PositionQuantity => "the position could go above the limit max_position_quantity",
            Self::OpenOrders => "as many orders are open as the limit max_open_orders allows",
            Self::OrdersPerS => "more orders within a second than the limit max_orders_per_s allows",
            Self::PriceCollar => "the price is farther from the market than the limit price_collar allows",
            Self::TickAge => "STALE: the last tick is older than the limit max_tick_age_ns allows",
            Self::Repeats => "more equal orders one after the other than the limit max_repeats allows",
            Self::DailyLoss => {
                "the strategy has lost more today than the limit max_daily_loss allows: only orders that reduce leave"
            }
            Self::Drawdown => {
                "the strategy has fallen farther than the limit max_drawdown allows: only orders that reduce leave"
            }
        }
    }
}

impl From<Stopped> for Verdict {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Halted => Self::Halted,
            Stopped::NotReducing => Self::NotReducing,
            Stopped::TooLarge => Self::TooLarge,
        }
    }
}

/// A refusal, with the figure that was found and the one that was allowed; NaN where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refused {
    /// Which order.
    pub order: OrderKey,
    /// Why.
    pub verdict: Verdict,
    /// Loop position of the step.
    pub position: u64,
    /// Its time, ns UTC.
    pub ts_ns: i64,
    /// What was found: a quantity, an age in ns, a number of orders, ...
    pub found: f64,
    /// What is allowed.
    pub limit: f64,
}

impl Refused {
    /// Why, with the figures where there are some.
    pub fn told(&self) -> String {
        let Self { found, limit, .. } = *self;
        if found.is_nan() || limit.is_nan() {
            return self.verdict.reason().to_owned();
        }
        format!("{}: it would be {found}, and {limit} is allowed", self.verdict.reason())
    }
}

/// A limit that was changed while the run went on.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitChange {
    /// Name of the rule.
    pub rule: String,
    /// Which limit.
    pub key: LimitKey,
    /// The value before; infinite: none.
    pub before: f64,
    /// The value after.
    pub after: f64,
    /// Loop position of the step.
    pub position: u64,
    /// Its time, ns UTC.
    pub ts_ns: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_why_and_names_its_limit() {
        for verdict in Verdict::ALL {
            let refuses = !matches!(verdict, Verdict::NotAsked | Verdict::Passed);
            assert_eq!(verdict.reason().is_empty(), !refuses, "{verdict:?}");
            if verdict as u8 >= Verdict::OrderQuantity as u8 {
                assert!(verdict.reason().contains(verdict.name()), "{verdict:?}");
            }
        }
    }
}
