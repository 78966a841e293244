//! One pass over a message: an object of a stream's name and its data, which is an object without objects in it.
//!
//! Stricter than JSON: no blanks, no escapes, only ASCII, no numbers but integers. Never laxer: what is taken here any
//! reader of JSON takes, for the same values.

use crate::csv::number;

/// Up to it, every integer is a double.
const LARGEST_EXACT: u64 = 1 << 53;

/// What a message holds, as far as anybody wants it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Message<'a> {
    pub stream: &'a [u8],
    pub data: Data,
    /// When it was recorded, in replays.
    pub receipt: Option<i64>,
}

/// A quote's or a trade's fields: which, the stream says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Data {
    pub update: Option<u64>,
    pub bid: Option<f64>,
    pub bid_size: Option<f64>,
    pub ask: Option<f64>,
    pub ask_size: Option<f64>,
    pub trade: Option<u64>,
    pub price: Option<f64>,
    pub quantity: Option<f64>,
    pub trade_ms: Option<i64>,
    pub event_ms: Option<i64>,
    pub buyer_is_maker: bool,
}

/// A value of a flat object.
#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a [u8]),
    Integer(i64),
    Flag(bool),
    Null,
}

impl Value<'_> {
    fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(value),
            _ => None,
        }
    }

    fn number(self) -> Option<u64> {
        self.integer().and_then(|value| u64::try_from(value).ok())
    }

    fn flag(self) -> Option<bool> {
        match self {
            Self::Flag(value) => Some(value),
            _ => None,
        }
    }

    /// A decimal in quotation marks, as the venue writes prices: `-?(0|[1-9][0-9]*)(\.[0-9]+)?`; or an integer without.
    fn float(self) -> Option<f64> {
        let text = match self {
            Self::Text(text) => text,
            Self::Integer(value) if value.unsigned_abs() <= LARGEST_EXACT => return Some(value as f64),
            _ => return None,
        };
        let unsigned = text.strip_prefix(b"-").unwrap_or(text);
        let begins = match unsigned {
            // An integer to whoever reads it as one, and then its sign is gone.
            [b'0'] if unsigned.len() < text.len() => false,
            [b'0'] | [b'0', b'.', ..] => true,
            [first, ..] => (b'1'..=b'9').contains(first),
            [] => false,
        };
        if !begins || !text.last().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        number::float(text, 0).filter(|&(_, end)| end == text.len()).map(|(value, _)| value)
    }
}

/// What stands before the cursor is read.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        let found = self.text[self.at..].starts_with(expected);
        self.at += if found { expected.len() } else { 0 };
        found.then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// What stands between two quotation marks.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.skip(b"\"")?;
        let from = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' | 0..=0x1F | 0x7F.. => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(&self.text[from..self.at - 1])
    }

    fn integer(&mut self) -> Option<i64> {
        let from = self.at + usize::from(self.peek()? == b'-');
        let (value, end) = number::integer(self.text, self.at)?;
        // No zero before other digits, no "-0".
        if self.text[from] == b'0' && (end > from + 1 || from > self.at) {
            return None;
        }
        self.at = end;
        Some(value)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Value::Text),
            b't' => self.skip(b"true").map(|()| Value::Flag(true)),
            b'f' => self.skip(b"false").map(|()| Value::Flag(false)),
            b'n' => self.skip(b"null").map(|()| Value::Null),
            _ => self.integer().map(Value::Integer),
        }
    }
}

/// The whole of `text`, or `None`.
pub(super) fn message(text: &[u8]) -> Option<Message<'_>> {
    let mut cursor = Cursor { text, at: 0 };
    cursor.skip(b"{\"stream\":")?;
    let stream = cursor.string()?;
    cursor.skip(b",\"data\":{")?;
    let mut data = Data::default();
    loop {
        let key = cursor.string()?;
        cursor.skip(b":")?;
        let value = cursor.value()?;
        enter(&mut data, key, value)?;
        if cursor.skip(b",").is_none() {
            break;
        }
    }
    cursor.skip(b"}")?;
    let receipt = if cursor.skip(b",\"receipt\":").is_some() { Some(cursor.integer()?) } else { None };
    cursor.skip(b"}")?;
    (cursor.at == text.len()).then_some(Message { stream, data, receipt })
}

/// A field of ours has to be of its type, whichever stream's it is; others are passed over. One that comes twice counts
/// as it came last.
fn enter(data: &mut Data, key: &[u8], value: Value<'_>) -> Option<()> {
    match key {
        b"u" => data.update = Some(value.number()?),
        b"b" => data.bid = Some(value.float()?),
        b"B" => data.bid_size = Some(value.float()?),
        b"a" => data.ask = Some(value.float()?),
        b"A" => data.ask_size = Some(value.float()?),
        b"t" => data.trade = Some(value.number()?),
        b"p" => data.price = Some(value.float()?),
        b"q" => data.quantity = Some(value.float()?),
        b"T" => data.trade_ms = Some(value.integer()?),
        b"E" => data.event_ms = Some(value.integer()?),
        b"m" => data.buyer_is_maker = value.flag()?,
        _ => {}
    }
    Some(())
}
