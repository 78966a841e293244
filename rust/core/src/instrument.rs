//! What is known of an instrument beside its prices.

/// One row of an instrument table, in tick files and in runs.
#[derive(Clone, Debug, PartialEq)]
pub struct InstrumentInfo {
    /// `SYMBOL.VENUE`.
    pub id: String,
    /// ISO code (or ticker) of the currency that prices are in; `XXX`, ISO's "no currency", where nobody said.
    pub currency: String,
    /// Smallest step of a price; 0 where nobody said.
    pub price_increment: f64,
    /// How long a bar of this instrument lasts, ns; 0 where it has no bars.
    pub bar_duration_ns: i64,
    /// Whether a price below zero is data and not a mistake (spreads, power, rates).
    pub negative_prices: bool,
}

impl InstrumentInfo {
    /// An instrument of which only the name is known.
    pub fn named(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            currency: "XXX".to_owned(),
            price_increment: 0.0,
            bar_duration_ns: 0,
            negative_prices: false,
        }
    }
}
