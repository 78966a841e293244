//! What an order may be: its kind, how long it stands, and at which prices.

use std::fmt;

/// What makes an order match.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OrderKind {
    /// At whatever the market offers.
    #[default]
    Market = 0,
    /// At `limit` or better.
    Limit = 1,
    /// Becomes a market order once the market has come to `stop`.
    Stop = 2,
    /// Becomes a limit order once the market has come to `stop`.
    StopLimit = 3,
}

impl OrderKind {
    /// All of them, by discriminant.
    pub const ALL: [Self; 4] = [Self::Market, Self::Limit, Self::Stop, Self::StopLimit];

    /// The name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Market => "MARKET",
            Self::Limit => "LIMIT",
            Self::Stop => "STOP",
            Self::StopLimit => "STOP_LIMIT",
        }
    }
}

/// How long an order stands.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimeInForce {
    /// Until it is done or taken back.
    #[default]
    Gtc = 0,
    /// What does not match at once is taken back.
    Ioc = 1,
    /// All of it at once, or nothing.
    Fok = 2,
    /// To the end of the trading session: of the UTC day where the venue has none.
    Day = 3,
    /// To `expires_ns`: ticks at that time still match.
    Gtd = 4,
}

impl TimeInForce {
    /// All of them, by discriminant.
    pub const ALL: [Self; 5] = [Self::Gtc, Self::Ioc, Self::Fok, Self::Day, Self::Gtd];

    /// The name as users see it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gtc => "GTC",
            Self::Ioc => "IOC",
            Self::Fok => "FOK",
            Self::Day => "DAY",
            Self::Gtd => "GTD",
        }
    }

    /// The one called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tif| tif.name() == name)
    }

    /// Whether it matches at its first chance or not at all.
    pub const fn is_immediate(self) -> bool {
        matches!(self, Self::Ioc | Self::Fok)
    }
}

/// Everything about an order but instrument, side and quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// What makes it match.
    pub kind: OrderKind,
    /// How long it stands.
    pub time_in_force: TimeInForce,
    /// Taken back where it would match at once: it wants to be the one that waits.
    pub post_only: bool,
    /// Never more than brings the position to zero.
    pub reduce_only: bool,
    /// Worst price; NaN where the kind has none.
    pub limit: f64,
    /// Price that wakes it; NaN where the kind has none.
    pub stop: f64,
    /// When it expires, ns UTC; `i64::MAX` where it does not.
    pub expires_ns: i64,
}

impl Terms {
    /// A market order that stands until it is done.
    pub const MARKET: Self = Self {
        kind: OrderKind::Market,
        time_in_force: TimeInForce::Gtc,
        post_only: false,
        reduce_only: false,
        limit: f64::NAN,
        stop: f64::NAN,
        expires_ns: i64::MAX,
    };

    /// Whether an order may stand at its venue for long: it waits for a price.
    pub fn can_rest(&self) -> bool {
        let is_brief = matches!(self.time_in_force, TimeInForce::Ioc | TimeInForce::Fok);
        self.kind != OrderKind::Market && !is_brief
    }

    /// An order at `limit` or better.
    pub const fn limit(limit: f64) -> Self {
        Self { kind: OrderKind::Limit, limit, ..Self::MARKET }
    }

    /// A market order once the market has come to `stop`.
    pub const fn stop(stop: f64) -> Self {
        Self { kind: OrderKind::Stop, stop, ..Self::MARKET }
    }

    /// A limit order once the market has come to `stop`.
    pub const fn stop_limit(stop: f64, limit: f64) -> Self {
        Self { kind: OrderKind::StopLimit, stop, limit, ..Self::MARKET }
    }

    /// The kind that these prices make, where NaN stands for none.
    #[must_use]
    pub const fn priced(limit: f64, stop: f64) -> Self {
        match (limit.is_nan(), stop.is_nan()) {
            (true, true) => Self::MARKET,
            (false, true) => Self::limit(limit),
            (true, false) => Self::stop(stop),
            (false, false) => Self::stop_limit(stop, limit),
        }
    }

    /// The same, standing for as long as `time_in_force` says.
    #[must_use]
    pub const fn standing(self, time_in_force: TimeInForce) -> Self {
        Self { time_in_force, ..self }
    }

    /// The same, standing to `expires_ns`.
    #[must_use]
    pub const fn until(self, expires_ns: i64) -> Self {
        Self { time_in_force: TimeInForce::Gtd, expires_ns, ..self }
    }

    /// What does not go together, if so. Prices are looked at by [`super::Specification`].
    ///
    /// # Errors
    /// Which terms exclude each other.
    pub const fn check(&self, now_ns: i64) -> Result<(), TermsError> {
        let is_timed = matches!(self.time_in_force, TimeInForce::Gtd);
        if is_timed != (self.expires_ns != i64::MAX) {
            return Err(TermsError::Expiry);
        }
        if is_timed && self.expires_ns <= now_ns {
            return Err(TermsError::Expired);
        }
        if self.post_only && !matches!(self.kind, OrderKind::Limit) {
            return Err(TermsError::PostOnlyKind);
        }
        if self.post_only && self.time_in_force.is_immediate() {
            return Err(TermsError::PostOnlyAtOnce);
        }
        if matches!(self.kind, OrderKind::Stop | OrderKind::StopLimit) && self.time_in_force.is_immediate() {
            return Err(TermsError::StopAtOnce);
        }
        Ok(())
    }

    /// The canonical bytes that enter the run digest.
    pub fn payload(&self) -> [u8; 28] {
        let mut bytes = [0; 28];
        bytes[0] = self.kind as u8;
        bytes[1] = self.time_in_force as u8;
        bytes[2] = u8::from(self.post_only);
        bytes[3] = u8::from(self.reduce_only);
        bytes[4..12].copy_from_slice(&self.limit.to_bits().to_le_bytes());
        bytes[12..20].copy_from_slice(&self.stop.to_bits().to_le_bytes());
        bytes[20..].copy_from_slice(&self.expires_ns.to_le_bytes());
        bytes
    }
}

/// Terms that exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermsError {
    /// GTD without a time, or a time without GTD.
    Expiry,
    /// The time has passed.
    Expired,
    /// Post-only, and not a limit order.
    PostOnlyKind,
    /// Post-only, and to match at once.
    PostOnlyAtOnce,
    /// A stop that is to match at once.
    StopAtOnce,
}

impl fmt::Display for TermsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expiry => "GTD and expires_ns go together: give both, or neither",
            Self::Expired => "expires_ns has passed already",
            Self::PostOnlyKind => "post_only is for limit orders: give a limit and no stop",
            Self::PostOnlyAtOnce => "post_only wants to wait, IOC and FOK want to match at once",
            Self::StopAtOnce => "a stop waits for its price, IOC and FOK want to match at once",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_make_the_kind() {
        let nan = f64::NAN;
        let kinds =
            [(nan, nan), (1.0, nan), (nan, 1.0), (1.0, 2.0)].map(|(limit, stop)| Terms::priced(limit, stop).kind);
        assert_eq!(kinds, OrderKind::ALL);
        for (code, tif) in TimeInForce::ALL.into_iter().enumerate() {
            assert_eq!((tif as usize, TimeInForce::named(tif.name())), (code, Some(tif)));
        }
        assert_eq!(TimeInForce::named("gtc"), None);
    }

    #[test]
    fn what_excludes_each_other_is_refused() {
        let limit = Terms::limit(1.0);
        assert_eq!(limit.check(0), Ok(()));
        assert_eq!(limit.until(5).check(4), Ok(()));
        assert_eq!(limit.until(5).check(5), Err(TermsError::Expired));
        assert_eq!(limit.standing(TimeInForce::Gtd).check(0), Err(TermsError::Expiry));
        assert_eq!(Terms { expires_ns: 5, ..limit }.check(0), Err(TermsError::Expiry));
        assert_eq!(Terms { post_only: true, ..Terms::MARKET }.check(0), Err(TermsError::PostOnlyKind));
        let at_once = Terms { post_only: true, ..limit.standing(TimeInForce::Ioc) };
        assert_eq!(at_once.check(0), Err(TermsError::PostOnlyAtOnce));
        assert_eq!(Terms::stop(1.0).standing(TimeInForce::Fok).check(0), Err(TermsError::StopAtOnce));
    }
}
