//! External inputs as they are kept: what came, and at which place of the total order.

use thiserror::Error;

use super::lanes::Lane;
use super::{CommandKind, MAX_PAYLOAD};

/// One external input that the loop has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalRecord {
    /// Its loop position.
    pub position: u64,
    /// How many ticks the loop had taken before it.
    pub inputs: u64,
    /// How many slices and moments without one a run by arrival had come to; 0 in others.
    pub turn: u64,
    /// The clock of its step, ns UTC.
    pub now_ns: i64,
    /// The lane that it came by; decides nothing.
    pub lane: Lane,
    /// What it is.
    pub kind: CommandKind,
    /// Which strategy it concerns, or [`super::NO_STRATEGY`].
    pub strategy: u32,
    /// What decides its effect.
    pub payload: Box<[u8]>,
}

/// Why bytes are no recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// They begin with something else.
    #[error("this is no recording of external inputs")]
    Foreign,
    /// They were written by another version.
    #[error("the recording has version {found}; this version reads {VERSION}")]
    Version {
        /// Which.
        found: u8,
    },
    /// The record at `offset` is cut off or says what cannot be.
    #[error("the recording is damaged at byte {offset}")]
    Damaged {
        /// Where the record begins.
        offset: usize,
    },
}

const MAGIC: &[u8; 7] = b"TRKLEXT";
const VERSION: u8 = 1;
/// Length, position, inputs, turn, clock, strategy, kind, lane, a spare byte; all little-endian.
const HEAD: usize = 4 + 8 + 8 + 8 + 8 + 4 + 2 + 1 + 1;

impl ExternalRecord {
    /// What a recording begins with.
    pub fn header() -> [u8; 8] {
        let mut header = [VERSION; 8];
        header[..7].copy_from_slice(MAGIC);
        header
    }

    /// Adds the record to a recording.
    pub fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&(self.payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.position.to_le_bytes());
        bytes.extend_from_slice(&self.inputs.to_le_bytes());
        bytes.extend_from_slice(&self.turn.to_le_bytes());
        bytes.extend_from_slice(&self.now_ns.to_le_bytes());
        bytes.extend_from_slice(&self.strategy.to_le_bytes());
        bytes.extend_from_slice(&self.kind.0.to_le_bytes());
        bytes.extend_from_slice(&[self.lane as u8, 0]);
        bytes.extend_from_slice(&self.payload);
    }

    /// The record that `bytes` begin with, and how long it is.
    fn first(bytes: &[u8]) -> Option<(Self, usize)> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let half = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let length = half(0) as usize;
        if length > MAX_PAYLOAD {
            return None;
        }
        let record = Self {
            position: word(4),
            inputs: word(12),
            turn: word(20),
            now_ns: word(28) as i64,
            strategy: half(36),
            kind: CommandKind(u16::from_le_bytes([head[40], head[41]])),
            lane: *Lane::ALL.get(usize::from(head[42]))?,
            payload: bytes.get(HEAD..HEAD + length)?.into(),
        };
        Some((record, HEAD + length))
    }
}

/// The records of a recording, in their order.
///
/// # Errors
/// The bytes are no recording, or a record is cut off.
///
/// ```
/// use tickrail_core::command::{ExternalRecord, read_records};
/// let bytes = ExternalRecord::header();
/// assert_eq!(read_records(&bytes), Ok(vec![]));
/// assert!(read_records(b"something else").is_err());
/// ```
pub fn read_records(bytes: &[u8]) -> Result<Vec<ExternalRecord>, RecordError> {
    match bytes.first_chunk::<8>() {
        Some(header) if header[..7] == MAGIC[..] && header[7] == VERSION => {}
        Some(header) if header[..7] == MAGIC[..] => return Err(RecordError::Version { found: header[7] }),
        _ => return Err(RecordError::Foreign),
    }
    let (mut records, mut offset) = (Vec::new(), 8);
    while offset < bytes.len() {
        let (record, length) = ExternalRecord::first(&bytes[offset..]).ok_or(RecordError::Damaged { offset })?;
        records.push(record);
        offset += length;
    }
    Ok(records)
}
