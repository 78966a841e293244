//! What strategies are worth: money of several currencies as one figure, what it is exposed to, how far it has fallen.

use super::portfolio::Portfolio;
use super::specification::Specification;
use crate::instrument::InstrumentInfo;

const DAY_NS: i64 = 86_400_000_000_000;

/// How an amount of a currency becomes one of the run's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Nobody said; amounts of this currency are in no sum.
    Unknown,
    /// Always the same.
    Fixed(f64),
    /// What the last tick of an instrument says.
    Price(u32),
    /// One over that.
    Inverse(u32),
}

/// Why a rate cannot be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateError {
    /// Not above zero, or not finite.
    Value(f64),
    /// The run has no such instrument.
    Instrument(u32),
}

impl std::fmt::Display for RateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(value) => write!(f, "a rate is {value}: expected a finite number above zero"),
            Self::Instrument(index) => {
                write!(f, "a rate is the price of instrument number {index}, which is not there")
            }
        }
    }
}

impl std::error::Error for RateError {}

/// In which currencies instruments are priced, and what these are worth in that of the run.
#[derive(Debug)]
pub struct Books {
    currencies: Vec<String>,
    rates: Vec<Rate>,
    /// Per instrument: place among the currencies, and what a unit at a price of 1 is worth.
    instruments: Vec<(usize, f64)>,
    /// The run's currency; empty: that of all instruments, where they have one in common.
    currency: String,
}

impl Books {
    pub(super) fn new(instruments: &[InstrumentInfo], rules: &[Specification]) -> Self {
        let mut currencies: Vec<String> = Vec::new();
        let mut places = Vec::with_capacity(instruments.len());
        for (info, rules) in instruments.iter().zip(rules) {
            let place = currencies.iter().position(|known| *known == info.currency).unwrap_or_else(|| {
                currencies.push(info.currency.clone());
                currencies.len() - 1
            });
            places.push((place, rules.multiplier));
        }
        let common = if currencies.len() == 1 { currencies[0].clone() } else { String::new() };
        let rate = if currencies.len() == 1 { Rate::Fixed(1.0) } else { Rate::Unknown };
        Self { rates: vec![rate; currencies.len()], currencies, instruments: places, currency: common }
    }

    /// Names of the currencies, in the order in which the table names them.
    pub fn currencies(&self) -> &[String] {
        &self.currencies
    }

    /// The currency of sums; empty where there is none, as the run has several and nobody chose.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Place of an instrument's currency in [`Self::currencies`].
    #[inline]
    pub fn currency_of(&self, instrument: u32) -> usize {
        self.instruments[instrument as usize].0
    }

    /// What one unit of an instrument at a price of 1 is worth, in its currency.
    #[inline]
    pub fn multiplier(&self, instrument: u32) -> f64 {
        self.instruments[instrument as usize].1
    }

    /// Sums in `currency`, which the others become by `rates`, named.
    ///
    /// # Errors
    /// A rate that cannot be; nothing has changed then.
    pub fn set_currency(&mut self, currency: &str, rates: &[(String, Rate)]) -> Result<(), RateError> {
        for (_, rate) in rates {
            match *rate {
                Rate::Fixed(value) if !(value.is_finite() && value > 0.0) => return Err(RateError::Value(value)),
                Rate::Price(index) | Rate::Inverse(index) if index as usize >= self.instruments.len() => {
                    return Err(RateError::Instrument(index));
                }
                _ => {}
            }
        }
        currency.clone_into(&mut self.currency);
        for (name, rate) in self.currencies.iter().zip(&mut self.rates) {
            let said = rates.iter().find(|(known, _)| known == name).map_or(Rate::Unknown, |&(_, rate)| rate);
            *rate = if name == currency { Rate::Fixed(1.0) } else { said };
        }
        Ok(())
    }

    /// Instruments whose prices are needed for rates.
    pub fn priced_by(&self) -> impl Iterator<Item = u32> + '_ {
        self.rates.iter().filter_map(|rate| match *rate {
            Rate::Price(index) | Rate::Inverse(index) => Some(index),
            Rate::Unknown | Rate::Fixed(_) => None,
        })
    }
}

/// What a strategy was given to trade with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Account {
    /// In the run's currency.
    pub capital: f64,
    /// How many times what it is worth it may be exposed to.
    pub leverage: f64,
    pub(super) watermark: Watermark,
}

impl Default for Account {
    fn default() -> Self {
        Self { capital: 0.0, leverage: 1.0, watermark: Watermark::default() }
    }
}

/// The highest that was seen, and where the day began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watermark {
    /// Highest equity seen.
    pub peak: f64,
    /// Deepest fall from a peak seen.
    pub deepest: f64,
    /// Equity when the UTC day began.
    pub day_open: f64,
    /// Deepest fall from there that was seen since.
    pub day_deepest: f64,
    last: f64,
    last_ns: i64,
}

impl Default for Watermark {
    fn default() -> Self {
        Self { peak: f64::NAN, deepest: 0.0, day_open: f64::NAN, day_deepest: 0.0, last: f64::NAN, last_ns: i64::MIN }
    }
}

impl Watermark {
    /// Notes what it is worth at `now_ns`; what cannot be told counts as not seen.
    pub(super) fn observe(&mut self, equity: f64, now_ns: i64) {
        if equity.is_nan() {
            return;
        }
        let day = now_ns.div_euclid(DAY_NS);
        if self.last.is_nan() {
            self.day_open = equity;
        } else if day > self.last_ns.div_euclid(DAY_NS) {
            // Whoever looks comes by at midnight; where not, nothing has moved since the last look.
            self.day_open = if now_ns == day * DAY_NS { equity } else { self.last };
            self.day_deepest = 0.0;
        }
        self.day_deepest = self.day_deepest.max(self.day_open - equity);
        // `max` leaves out the NaN that stands there at first.
        self.peak = self.peak.max(equity);
        self.deepest = self.deepest.max(self.peak - equity);
        (self.last, self.last_ns) = (equity, now_ns);
    }
}

/// What a strategy, or all of them, are worth at one moment, in the run's currency; NaN where a rate or a price is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Worth {
    /// What it was given.
    pub capital: f64,
    /// Made by closing, fees apart.
    pub realised: f64,
    /// What closing now would make.
    pub unrealised: f64,
    /// Fees paid.
    pub fees: f64,
    /// Value of what is held, long less short.
    pub net: f64,
    /// Value of what is held, long and short.
    pub gross: f64,
    /// Value of the largest positions that orders in flight can make.
    pub committed: f64,
    /// What it may be exposed to.
    pub allowed: f64,
}

impl Worth {
    /// Capital and what was made of it.
    pub fn equity(&self) -> f64 {
        self.capital + self.realised + self.unrealised - self.fees
    }

    /// What new positions may still be worth; below zero: more than that is taken.
    pub fn buying_power(&self) -> f64 {
        self.allowed - self.committed
    }

    fn add(&mut self, other: &Self) {
        self.capital += other.capital;
        self.realised += other.realised;
        self.unrealised += other.unrealised;
        self.fees += other.fees;
        self.net += other.net;
        self.gross += other.gross;
        self.committed += other.committed;
        self.allowed += other.allowed;
    }
}

impl Portfolio {
    /// Sums in `currency`; see [`Books::set_currency`].
    ///
    /// # Errors
    /// A rate that cannot be; nothing has changed then.
    pub fn set_currency(&mut self, currency: &str, rates: &[(String, Rate)]) -> Result<(), RateError> {
        self.books.set_currency(currency, rates)
    }

    /// Gives a strategy capital, and says how many times its worth it may be exposed to.
    pub fn fund(&mut self, strategy: u32, capital: f64, leverage: f64) {
        let account = &mut self.accounts[strategy as usize];
        (account.capital, account.leverage) = (capital, leverage);
    }

    /// What a strategy was given; `None`: all of them together.
    pub fn capital(&self, strategy: Option<u32>) -> f64 {
        match strategy {
            Some(strategy) => self.accounts[strategy as usize].capital,
            None => self.accounts.iter().map(|account| account.capital).sum(),
        }
    }

    /// What one unit of a currency, by its place in [`Books::currencies`], is worth in the run's; NaN: unknown.
    pub fn rate(&self, currency: usize) -> f64 {
        match self.books.rates[currency] {
            Rate::Unknown => f64::NAN,
            Rate::Fixed(rate) => rate,
            Rate::Price(instrument) => self.mark(instrument).price,
            Rate::Inverse(instrument) => 1.0 / self.mark(instrument).price,
        }
    }

    /// What `units` of an instrument are worth now, in the run's currency; 0 for none, whatever the price.
    pub fn value(&self, instrument: u32, units: f64) -> f64 {
        if units == 0.0 {
            return 0.0;
        }
        units * self.mark(instrument).price * self.books.multiplier(instrument) * self.rate_of(instrument)
    }

    fn rate_of(&self, instrument: u32) -> f64 {
        self.rate(self.books.currency_of(instrument))
    }

    /// What `strategy` is worth now; `None`: all of them together.
    pub fn worth(&self, strategy: Option<u32>) -> Worth {
        self.sum_of(strategy, |one| Worth { committed: self.committed(one), ..self.worth_of(one) })
    }

    fn sum_of(&self, strategy: Option<u32>, worth: impl Fn(u32) -> Worth) -> Worth {
        match strategy {
            Some(strategy) => worth(strategy),
            None => {
                let mut sum = Worth::default();
                (0..self.accounts.len() as u32).for_each(|one| sum.add(&worth(one)));
                sum
            }
        }
    }

    fn committed(&self, strategy: u32) -> f64 {
        let rows = self.of_strategy(strategy).iter().enumerate();
        rows.map(|(index, row)| self.value(index as u32, row.reach()).abs()).sum()
    }

    /// All but what orders in flight can make of it.
    fn worth_of(&self, strategy: u32) -> Worth {
        let account = &self.accounts[strategy as usize];
        let mut worth = Worth { capital: account.capital, ..Worth::default() };
        for &instrument in self.traded(strategy) {
            let row = self.position(strategy, instrument);
            let rate = self.rate_of(instrument);
            let multiplier = self.books.multiplier(instrument);
            worth.realised += row.realised * rate;
            worth.unrealised += row.unrealised(self.mark(instrument).price, multiplier) * rate;
            worth.fees += row.fees * rate;
            let value = self.value(instrument, row.net);
            worth.net += value;
            worth.gross += value.abs();
        }
        worth.allowed = account.leverage * worth.equity();
        worth
    }

    /// Notes what `strategy` is worth at `now_ns`, or all of them together, and gives that; orders in flight are left out.
    pub fn observe(&mut self, strategy: Option<u32>, now_ns: i64) -> Worth {
        let worth = self.sum_of(strategy, |one| self.worth_of(one));
        let watermark = match strategy {
            Some(strategy) => &mut self.accounts[strategy as usize].watermark,
            None => &mut self.whole,
        };
        if watermark.peak.is_nan() {
            watermark.observe(worth.capital, now_ns);
        }
        watermark.observe(worth.equity(), now_ns);
        worth
    }

    /// What was seen of a strategy so far, with the present counted; `None`: of all together. Changes nothing.
    pub fn watermark(&self, strategy: Option<u32>, now_ns: i64) -> Watermark {
        let mut mark = match strategy {
            Some(strategy) => self.accounts[strategy as usize].watermark,
            None => self.whole,
        };
        if mark.peak.is_nan() {
            mark.observe(self.capital(strategy), now_ns);
        }
        mark.observe(self.sum_of(strategy, |one| self.worth_of(one)).equity(), now_ns);
        mark
    }
}

#[cfg(test)]
mod tests;
