//! What orders may not go beyond: limits by name, and the rules that bind them to strategies and instruments.

use std::fmt;

/// What can be limited. The discriminants are places in [`Limits`].
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// Quantity of one order.
    OrderQuantity = 0,
    /// Price times quantity times multiplier of one order, in the currency of the instrument.
    OrderNotional = 1,
    /// Units of the position, long or short, that the orders which have left can make.
    PositionQuantity = 2,
    /// Orders that have left and are not done.
    OpenOrders = 3,
    /// New orders and amendments within any second; refused ones count.
    OrdersPerS = 4,
    /// How far a limit or stop may lie from the last price, as a fraction of that.
    PriceCollar = 5,
    /// Age of the last tick of the instrument, ns.
    TickAgeNs = 6,
    /// Equal orders one after the other.
    Repeats = 7,
    /// What the equity may lose since the UTC day began, in the currency of the run.
    DailyLoss = 8,
    /// How far the equity may fall from its peak, in the currency of the run.
    Drawdown = 9,
    /// Refused orders within any second, beyond which the strategy is halted.
    RefusedPerS = 10,
}

impl LimitKey {
    /// All of them, by place.
    pub const ALL: [Self; 11] = [
        Self::OrderQuantity,
        Self::OrderNotional,
        Self::PositionQuantity,
        Self::OpenOrders,
        Self::OrdersPerS,
        Self::PriceCollar,
        Self::TickAgeNs,
        Self::Repeats,
        Self::DailyLoss,
        Self::Drawdown,
        Self::RefusedPerS,
    ];

    /// The name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrderQuantity => "max_order_quantity",
            Self::OrderNotional => "max_order_notional",
            Self::PositionQuantity => "max_position_quantity",
            Self::OpenOrders => "max_open_orders",
            Self::OrdersPerS => "max_orders_per_s",
            Self::PriceCollar => "price_collar",
            Self::TickAgeNs => "max_tick_age_ns",
            Self::Repeats => "max_repeats",
            Self::DailyLoss => "max_daily_loss",
            Self::Drawdown => "max_drawdown",
            Self::RefusedPerS => "max_refused_per_s",
        }
    }

    /// The one called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// The largest value: windows are kept in memory.
    const fn most(self) -> f64 {
        match self {
            Self::OrdersPerS | Self::RefusedPerS => MAX_WINDOW as f64,
            _ => f64::INFINITY,
        }
    }
}

/// Most orders a second that a limit can name: their times are kept.
pub const MAX_WINDOW: usize = 1_000_000;

/// Values of limits; infinite where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits([f64; LimitKey::ALL.len()]);

impl Default for Limits {
    fn default() -> Self {
        Self([f64::INFINITY; LimitKey::ALL.len()])
    }
}

/// Why a limit cannot be set.
#[derive(Clone, Debug, PartialEq)]
pub enum LimitError {
    /// No rule has this name.
    Rule(String),
    /// Below zero, no number, or beyond what can be kept.
    Value(LimitKey, f64),
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(name) => write!(f, "there is no table of limits '{name}'"),
            Self::Value(key, value) => {
                write!(f, "{} is {value}: expected at least 0, and at most {}", key.name(), key.most())
            }
        }
    }
}

impl std::error::Error for LimitError {}

impl Limits {
    /// The value of a limit; infinite: there is none.
    #[inline]
    pub const fn of(&self, key: LimitKey) -> f64 {
        self.0[key as usize]
    }

    /// The same limits with another value of one; infinite: none.
    ///
    /// # Errors
    /// The value cannot be.
    pub fn with(mut self, key: LimitKey, value: f64) -> Result<Self, LimitError> {
        if value.is_nan() || value < 0.0 || (value > key.most() && value.is_finite()) {
            return Err(LimitError::Value(key, value));
        }
        self.0[key as usize] = value;
        Ok(self)
    }

    /// Whether there is such a limit.
    #[inline]
    pub fn has(&self, key: LimitKey) -> bool {
        self.of(key).is_finite()
    }

    /// Whether the price of an instrument has to be known for them.
    pub fn need_prices(&self) -> bool {
        use LimitKey::{DailyLoss, Drawdown, OrderNotional, PriceCollar, TickAgeNs};
        [OrderNotional, PriceCollar, TickAgeNs, DailyLoss, Drawdown].into_iter().any(|key| self.has(key))
    }
}

/// Limits, and whom they bind: each strategy by itself, over those of its instruments that it holds for.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name, by which it is changed.
    pub name: String,
    /// Numbers of the strategies; `None`: all.
    pub strategies: Option<Vec<u32>>,
    /// Indexes of the instruments; `None`: all.
    pub instruments: Option<Vec<u32>>,
    /// The limits.
    pub limits: Limits,
}

impl Rule {
    /// Whether it binds orders of `strategy` in `instrument`.
    #[inline]
    pub fn binds(&self, strategy: u32, instrument: u32) -> bool {
        let has = |list: &Option<Vec<u32>>, one| list.as_ref().is_none_or(|list| list.contains(&one));
        has(&self.strategies, strategy) && has(&self.instruments, instrument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_names_agree() {
        for (place, key) in LimitKey::ALL.into_iter().enumerate() {
            assert_eq!((key as usize, LimitKey::named(key.name())), (place, Some(key)));
        }
        assert_eq!(LimitKey::named("max_luck"), None);
    }

    #[test]
    fn a_limit_is_a_number_of_at_least_zero() {
        let limits = Limits::default();
        assert!(!limits.has(LimitKey::Drawdown) && !limits.need_prices());
        for value in [-1.0, f64::NAN] {
            assert!(limits.with(LimitKey::Drawdown, value).is_err());
        }
        assert!(limits.with(LimitKey::OrdersPerS, 1e7).is_err());
        let limited = limits.with(LimitKey::Drawdown, 0.0).unwrap();
        assert!(limited.has(LimitKey::Drawdown) && limited.need_prices());
        assert_eq!(limited.with(LimitKey::Drawdown, f64::INFINITY), Ok(limits));
    }
}
