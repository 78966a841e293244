//! What a lane sends to the loop, as the payload of an external input: canonical bytes, little-endian.
//!
//! Life (4), handler (1), whether a tick follows (1), zero (2), the tick that it is about (64); then records of `Out`, or
//! what went wrong: a code (4) and a text.

use crate::command::{Command, CommandKind};
use crate::handler::{HandlerError, OutRecord};
use crate::tick::{TICK_SIZE, Tick};

/// What a handler is called in records of errors; the places are part of the payload and never change.
const NAMES: [&str; 8] =
    ["on_tick", "on_batch", "on_timer", "on_order_update", "on_start", "on_stop", "on_pause", "on_resume"];
const HEAD: usize = 8;
const RECORD: usize = 40;
const FAILED: u32 = 0;
const RAISED: u32 = 1;
const OVERRUN: u32 = 2;

/// What the loop reads of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Sent {
    /// Which life of the strategy sent it.
    pub life: u32,
    /// The handler; `None`: that of its tick.
    pub handler: Option<&'static str>,
    /// The tick that it was called with.
    pub tick: Option<Tick>,
    /// What it asked for, or what went wrong.
    pub said: Result<Vec<OutRecord>, HandlerError>,
}

/// A command that says so.
pub(super) fn pack(
    strategy: u32,
    life: u32,
    handler: &str,
    tick: Option<&Tick>,
    said: Result<&[OutRecord], &HandlerError>,
) -> Command {
    let mut bytes = Vec::with_capacity(HEAD + TICK_SIZE + RECORD);
    bytes.extend_from_slice(&life.to_le_bytes());
    let place = NAMES.iter().position(|&name| name == handler).unwrap_or(0);
    bytes.extend_from_slice(&[place as u8, u8::from(tick.is_some()), 0, 0]);
    if let Some(tick) = tick {
        bytes.extend_from_slice(tick.as_bytes());
    }
    let kind = match said {
        Ok(records) => {
            records.iter().for_each(|record| bytes.extend_from_slice(&record_bytes(record)));
            CommandKind::ORDER
        }
        Err(error) => {
            append_error(&mut bytes, error);
            CommandKind::LANE_FAILED
        }
    };
    Command::new(kind, strategy, bytes)
}

fn append_error(bytes: &mut Vec<u8>, error: &HandlerError) {
    let (code, text) = match error {
        HandlerError::Failed(message) => (FAILED, message.clone()),
        HandlerError::Raised => (RAISED, String::new()),
        HandlerError::Overrun(count) => (OVERRUN, count.to_string()),
        other => (FAILED, other.to_string()),
    };
    bytes.extend_from_slice(&code.to_le_bytes());
    // A text is for people: what does not fit a command goes.
    let most = (0..=MAX_TEXT.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    bytes.extend_from_slice(&text.as_bytes()[..most]);
}

/// Longest text of what went wrong.
const MAX_TEXT: usize = 4_096;

fn record_bytes(record: &OutRecord) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes[..4].copy_from_slice(&record.kind.to_le_bytes());
    bytes[4..8].copy_from_slice(&record.instrument.to_le_bytes());
    bytes[8..16].copy_from_slice(&record.quantity.to_bits().to_le_bytes());
    bytes[16..24].copy_from_slice(&record.ts_ns.to_le_bytes());
    bytes[24..32].copy_from_slice(&record.interval_ns.to_le_bytes());
    bytes[32..].copy_from_slice(&record.tag.to_le_bytes());
    bytes
}

fn record_of(bytes: &[u8; RECORD]) -> OutRecord {
    let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    OutRecord {
        kind: half(0),
        instrument: half(4),
        quantity: f64::from_bits(word(8)),
        ts_ns: word(16) as i64,
        interval_ns: word(24) as i64,
        tag: word(32) as i64,
    }
}

/// What `command` says, if a lane sent it.
pub(crate) fn unpack(command: &Command) -> Option<Sent> {
    let (head, mut rest) = command.payload.split_at_checked(HEAD)?;
    let life = u32::from_le_bytes(head[..4].try_into().ok()?);
    let tick = match head[5] {
        0 => None,
        _ => {
            let (bytes, behind) = rest.split_first_chunk::<TICK_SIZE>()?;
            rest = behind;
            Some(Tick::from_bytes(bytes))
        }
    };
    let handler = *NAMES.get(usize::from(head[4]))?;
    let said = if command.kind == CommandKind::ORDER {
        let (records, []) = rest.as_chunks::<RECORD>() else { return None };
        Ok(records.iter().map(record_of).collect())
    } else {
        Err(error_of(rest)?)
    };
    Some(Sent { life, handler: (tick.is_none() || head[4] != 0).then_some(handler), tick, said })
}

fn error_of(bytes: &[u8]) -> Option<HandlerError> {
    let (code, text) = bytes.split_first_chunk::<4>()?;
    let text = String::from_utf8_lossy(text).into_owned();
    Some(match u32::from_le_bytes(*code) {
        RAISED => HandlerError::Raised,
        OVERRUN => HandlerError::Overrun(text.parse().ok()?),
        _ => HandlerError::Failed(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick() -> Tick {
        Tick::quote(7, 3, 1.0, 2.0, f64::NAN, 4.0)
    }

    #[test]
    fn what_was_asked_for_comes_out_as_it_went_in() {
        let record = OutRecord { kind: 6, instrument: 2, quantity: -1.5, ts_ns: -7, interval_ns: 9, tag: i64::MIN };
        let command = pack(4, 2, "on_tick", Some(&tick()), Ok(&[record, OutRecord::default()]));
        assert_eq!((command.kind, command.strategy), (CommandKind::ORDER, 4));
        let sent = unpack(&command).unwrap();
        assert_eq!((sent.life, sent.handler), (2, None));
        assert_eq!(sent.tick.map(|tick| *tick.as_bytes()), Some(*tick().as_bytes()));
        assert_eq!(sent.said, Ok(vec![record, OutRecord::default()]));
    }

    #[test]
    fn what_went_wrong_comes_out_with_its_handler() {
        for error in [HandlerError::Raised, HandlerError::Overrun(-5), HandlerError::Failed("é".repeat(10))] {
            let sent = unpack(&pack(0, 0, "on_timer", None, Err(&error))).unwrap();
            assert_eq!((sent.handler, sent.tick, sent.said), (Some("on_timer"), None, Err(error)));
        }
        let long = HandlerError::Failed("é".repeat(MAX_TEXT));
        let Err(HandlerError::Failed(text)) = unpack(&pack(0, 0, "on_tick", None, Err(&long))).unwrap().said else {
            panic!()
        };
        assert_eq!(text.len(), MAX_TEXT);
    }

    #[test]
    fn other_bytes_are_nothing() {
        for bytes in [&[][..], &[0; 7], &[0, 0, 0, 0, 99, 0, 0, 0], &[0, 0, 0, 0, 0, 1, 0, 0, 5], &[0; 9]] {
            assert_eq!(unpack(&Command::new(CommandKind::ORDER, 0, bytes)), None, "{bytes:?}");
        }
        assert_eq!(unpack(&Command::new(CommandKind::LANE_FAILED, 0, [0; 10])), None);
    }
}
