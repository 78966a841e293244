//! The instrument table: names and facts that the records' `instrument` counts through.

use std::collections::HashMap;
use std::sync::Arc;

use crate::instrument::InstrumentInfo;

/// More instruments than any market lists: a column of prices taken for symbols must not eat the memory.
pub const MAX_INSTRUMENTS: usize = 1 << 20;
const MAX_ID_SIZE: usize = 255;
const MAX_CURRENCY_SIZE: usize = 32;
const FIXED: usize = 24;

// So that the size of a table always fits the header's u32.
const _: () = assert!(MAX_INSTRUMENTS * (FIXED + MAX_ID_SIZE + MAX_CURRENCY_SIZE) < u32::MAX as usize);

/// Why a symbol cannot enter the table.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A symbol alone, and nobody said which venue.
    #[error("{0:?} names no venue: expected SYMBOL.VENUE, or a default venue for all symbols")]
    NoVenue(String),
    /// Empty, too long, or with spaces or control characters.
    #[error("{0:?} is no instrument: expected SYMBOL.VENUE without spaces, such as EURUSD.OANDA")]
    NotAnId(String),
    /// A currency that is no code.
    #[error("{0:?} is no currency: expected a code such as USD")]
    NotACurrency(String),
    /// The table is full.
    #[error("more than {MAX_INSTRUMENTS} instruments: is the right column mapped to `instrument`?")]
    Full,
    /// The same instrument twice in one list, with other facts.
    #[error("{0} stands twice in the instrument table, with other facts")]
    Conflict(String),
}

/// Rows in the order of their first mention, and how to find them.
#[derive(Clone, Debug, Default)]
pub struct InstrumentTable {
    rows: Vec<InstrumentInfo>,
    /// By id, and by the symbols as sources spell them.
    index: HashMap<String, u32>,
    default_venue: Option<String>,
}

impl InstrumentTable {
    /// An empty table; symbols without a venue get `default_venue`.
    pub fn new(default_venue: Option<String>) -> Self {
        Self { default_venue, ..Self::default() }
    }

    /// The rows.
    pub fn rows(&self) -> &[InstrumentInfo] {
        &self.rows
    }

    /// The rows, shared.
    pub fn to_shared(&self) -> Arc<[InstrumentInfo]> {
        self.rows.clone().into()
    }

    /// Adds a row, or finds the one of that id; facts that nobody gave before are filled in.
    pub fn declare(&mut self, info: &InstrumentInfo) -> Result<u32, TableError> {
        if info.currency.is_empty() || info.currency.len() > MAX_CURRENCY_SIZE {
            return Err(TableError::NotACurrency(info.currency.clone()));
        }
        let index = self.resolve(&info.id)?;
        let row = &mut self.rows[index as usize];
        let id = row.id.clone();
        let bare = InstrumentInfo::named(id.clone());
        let given = InstrumentInfo { id, ..info.clone() };
        if *row == bare {
            *row = given;
        } else if given != bare && *row != given {
            return Err(TableError::Conflict(row.id.clone()));
        }
        Ok(index)
    }

    /// The row of `symbol`, made where there is none.
    #[inline]
    pub fn resolve(&mut self, symbol: &str) -> Result<u32, TableError> {
        match self.index.get(symbol) {
            Some(&index) => Ok(index),
            None => self.add(symbol),
        }
    }

    #[cold]
    fn add(&mut self, symbol: &str) -> Result<u32, TableError> {
        let id = self.complete(symbol)?;
        let index = match self.index.get(&id) {
            Some(&index) => index,
            None if self.index.len() >= MAX_INSTRUMENTS => return Err(TableError::Full),
            None => {
                self.rows.push(InstrumentInfo::named(id.clone()));
                (self.rows.len() - 1) as u32
            }
        };
        self.index.insert(symbol.to_owned(), index);
        self.index.insert(id, index);
        Ok(index)
    }

    fn complete(&self, symbol: &str) -> Result<String, TableError> {
        let clean = |text: &str| !text.chars().any(|c| c.is_whitespace() || c.is_control());
        let id = match (symbol.rfind('.'), &self.default_venue) {
            (Some(_), _) => symbol.to_owned(),
            (None, Some(venue)) if !symbol.is_empty() => format!("{symbol}.{venue}"),
            (None, _) if symbol.is_empty() => return Err(TableError::NotAnId(symbol.to_owned())),
            (None, _) => return Err(TableError::NoVenue(symbol.to_owned())),
        };
        let dot = id.rfind('.').unwrap_or(0);
        if dot == 0 || dot + 1 == id.len() || id.len() > MAX_ID_SIZE || !clean(&id) {
            return Err(TableError::NotAnId(symbol.to_owned()));
        }
        Ok(id)
    }

    /// The bytes that stand in a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for row in &self.rows {
            bytes.extend_from_slice(&row.price_increment.to_le_bytes());
            bytes.extend_from_slice(&row.bar_duration_ns.to_le_bytes());
            bytes.extend_from_slice(&(row.id.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&(row.currency.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&[u8::from(row.negative_prices), 0, 0, 0]);
            bytes.extend_from_slice(row.id.as_bytes());
            bytes.extend_from_slice(row.currency.as_bytes());
        }
        bytes
    }

    /// Reads `count` rows from exactly `bytes`; the error says what is wrong.
    pub fn decode(mut bytes: &[u8], count: u32) -> Result<Vec<InstrumentInfo>, String> {
        // Not `with_capacity(count)`: the count is a stranger's until the rows are there.
        let mut rows = Vec::new();
        for number in 0..count {
            let (row, rest) = decode_row(bytes).ok_or_else(|| format!("row {number} of the instrument table"))?;
            rows.push(row);
            bytes = rest;
        }
        if bytes.is_empty() { Ok(rows) } else { Err("bytes after the instrument table".to_owned()) }
    }
}

fn decode_row(bytes: &[u8]) -> Option<(InstrumentInfo, &[u8])> {
    let (fixed, rest) = bytes.split_first_chunk::<FIXED>()?;
    let id_size = usize::from(u16::from_le_bytes([fixed[16], fixed[17]]));
    let currency_size = usize::from(u16::from_le_bytes([fixed[18], fixed[19]]));
    let (id, rest) = rest.split_at_checked(id_size)?;
    let (currency, rest) = rest.split_at_checked(currency_size)?;
    let row = InstrumentInfo {
        id: std::str::from_utf8(id).ok()?.to_owned(),
        currency: std::str::from_utf8(currency).ok()?.to_owned(),
        price_increment: f64::from_le_bytes(fixed[0..8].try_into().ok()?),
        bar_duration_ns: i64::from_le_bytes(fixed[8..16].try_into().ok()?),
        negative_prices: fixed[20] != 0,
    };
    Some((row, rest))
}
