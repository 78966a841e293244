//! Messages of a market's combined streams as records, read where they stand.
//!
//! A quote or a trade in the shape in which Binance sends it is read in one pass, without an allocation. Whatever that pass
//! does not expect (other fields' types, escapes, blanks, a jump in the numbers of trades, a number that comes again, an answer
//! to a subscription) it leaves to the caller, who knows every form and says what is wrong. Both give the same records; a
//! property test compares them.

mod scan;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::feed::MAX_AHEAD_NS;
use crate::tick::{Kind, Side, Tick};
use scan::{Data, Message};

const NS_PER_MS: i64 = 1_000_000;
/// A record whose receipt the feed stamps has to bear some time until then.
const UNSTAMPED: i64 = 1;
/// Room that is made at once for the records of the next read, if the one before had as many.
const AT_ONCE: usize = 1_024;

/// One stream: whose it is, and how far its numbers have come.
#[derive(Clone, Copy, Debug)]
struct Stream {
    instrument: u32,
    is_trade: bool,
    /// The number of its last record; 0: there is none.
    last: u64,
}

/// The streams of a subscription, and the records of their messages.
///
/// ```
/// use tickrail_core::messages::Streams;
/// let mut streams = Streams::new(["btcusdt@bookTicker".to_owned()].into_iter().map(|name| (name, 0, false)));
/// let text = br#"{"stream":"btcusdt@bookTicker","data":{"u":7,"b":"1.5","B":"2","a":"1.6","A":"3"}}"#;
/// assert!(streams.take(text, 1_800_000_000_000_000_000));
/// assert_eq!(streams.records()[0].values, [1.5, 1.6, 2.0, 3.0]);
/// assert!(!streams.take(text, 1_800_000_000_000_000_000), "it comes again: for the caller to count");
/// ```
#[derive(Debug, Default)]
pub struct Streams {
    by_name: HashMap<Box<[u8]>, usize>,
    streams: Vec<Stream>,
    records: Vec<Tick>,
}

impl Streams {
    /// Of names, each with the number of its instrument and whether it brings trades; else it brings quotes.
    pub fn new(named: impl Iterator<Item = (String, u32, bool)>) -> Self {
        let mut all = Self::default();
        for (name, instrument, is_trade) in named {
            all.by_name.insert(name.into_bytes().into(), all.streams.len());
            all.streams.push(Stream { instrument, is_trade, last: 0 });
        }
        all
    }

    /// Makes a record of `text`, which was read at `read_ns`, if it is plain and goes on from its stream's last number; else
    /// changes nothing and is false.
    pub fn take(&mut self, text: &[u8], read_ns: i64) -> bool {
        let Some(message) = scan::message(text) else { return false };
        let Some(stream) = self.by_name.get(message.stream).map(|&at| &mut self.streams[at]) else { return false };
        let record = if stream.is_trade { trade(&message, stream, read_ns) } else { quote(&message, stream, read_ns) };
        let Some(record) = record else { return false };
        stream.last = record.sequence;
        self.records.push(record);
        true
    }

    /// The number of a stream's last record.
    pub fn last(&self, name: &str) -> Option<u64> {
        self.by_name.get(name.as_bytes()).map(|&at| self.streams[at].last)
    }

    /// The caller has made records of a message itself: `records`, of which the last has the number `last`.
    pub fn enter(&mut self, name: &str, last: u64, records: &[Tick]) {
        if let Some(&at) = self.by_name.get(name.as_bytes()) {
            self.streams[at].last = last;
        }
        self.records.extend_from_slice(records);
    }

    /// The records since they were last taken away.
    pub fn records(&self) -> &[Tick] {
        &self.records
    }

    /// Takes the records away.
    pub fn take_records(&mut self) -> Vec<Tick> {
        let room = self.records.capacity().min(AT_ONCE);
        std::mem::replace(&mut self.records, Vec::with_capacity(room))
    }
}

/// `None`: a field lacks or says what no trade can be, or its number does not follow on the last one.
fn trade(message: &Message<'_>, stream: &Stream, read_ns: i64) -> Option<Tick> {
    let Data { trade: number, trade_ms, price, quantity, buyer_is_maker, .. } = message.data;
    let number = number.filter(|&number| number > 0 && (stream.last == 0 || number == stream.last + 1))?;
    let above_zero = |value: Option<f64>| value.filter(|&value| value > 0.0);
    let ts_event = trade_ms.filter(|&ms| ms > 0)?.checked_mul(NS_PER_MS)?;
    if ts_event.saturating_sub(read_ns) > MAX_AHEAD_NS {
        return None;
    }
    Some(Tick {
        ts_event,
        ts_init: message.receipt.unwrap_or(UNSTAMPED),
        sequence: number,
        instrument: stream.instrument,
        kind: Kind::Trade as u8,
        // Where the buyer was the maker, the seller was the aggressor.
        side: if buyer_is_maker { Side::Sell as u8 } else { Side::Buy as u8 },
        flags: 0,
        values: [above_zero(price)?, 0.0, above_zero(quantity)?, 0.0],
    })
}

/// `None`: a field lacks, or its number is not above the last one.
fn quote(message: &Message<'_>, stream: &Stream, read_ns: i64) -> Option<Tick> {
    let Data { update, trade_ms, event_ms, bid, ask, bid_size, ask_size, .. } = message.data;
    let receipt = message.receipt.unwrap_or(UNSTAMPED);
    let ts_event = match trade_ms.or(event_ms) {
        Some(time_ms) => time_ms.checked_mul(NS_PER_MS)?,
        // Spot: the receipt is all there is.
        None if receipt != UNSTAMPED => receipt,
        None => read_ns,
    };
    Some(Tick {
        ts_event,
        ts_init: receipt,
        sequence: update.filter(|&number| number > stream.last)?,
        instrument: stream.instrument,
        kind: Kind::Quote as u8,
        side: 0,
        flags: 0,
        values: [bid?, ask?, bid_size?, ask_size?],
    })
}
