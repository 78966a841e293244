//! What comes back from venues outside of the process, as the bytes of an external input.

use std::collections::BTreeSet;

use crate::sync::{Mutex, PoisonError};

/// How far a venue says an order is, or what it says besides. The codes enter the run digest and never change.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// It stands, or a part of it is done.
    Accepted = 1,
    /// Done in full.
    Filled = 2,
    /// Taken back.
    Canceled = 3,
    /// Never taken.
    Rejected = 4,
    /// Its time has run out.
    Expired = 5,
    /// It stands on other terms: quantity, limit and stop.
    Amended = 6,
    /// It stands as it did.
    NotAmended = 7,
    /// What is held when the run begins: units, average price.
    Held = 8,
}

impl AnswerKind {
    /// All of them, by code less one.
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Filled,
        Self::Canceled,
        Self::Rejected,
        Self::Expired,
        Self::Amended,
        Self::NotAmended,
        Self::Held,
    ];

    /// The name as adapters say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "ACCEPTED",
            Self::Filled => "FILLED",
            Self::Canceled => "CANCELED",
            Self::Rejected => "REJECTED",
            Self::Expired => "EXPIRED",
            Self::Amended => "AMENDED",
            Self::NotAmended => "NOT_AMENDED",
            Self::Held => "HELD",
        }
    }

    /// The one called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What a venue says of one order of a strategy, or of what that strategy holds.
///
/// Figures are sums over the order's life, so an answer that comes twice, or after a later one, changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What it says.
    pub kind: AnswerKind,
    /// Which order of the strategy; of [`AnswerKind::Held`] which instrument.
    pub number: u32,
    /// Units done so far, their average price, and what they cost beside it; or what the kind says instead.
    pub figures: [f64; 3],
    /// Why, in the venue's words; at most [`LONGEST_REASON`] bytes.
    pub reason: String,
}

/// Longest reason that is kept.
pub const LONGEST_REASON: usize = 200;

/// Kind, number, figures.
const HEAD: usize = 1 + 4 + 3 * 8;

impl Answer {
    /// The canonical bytes.
    pub fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.reason.len());
        bytes.push(self.kind as u8);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        for figure in self.figures {
            bytes.extend_from_slice(&figure.to_bits().to_le_bytes());
        }
        let mut end = self.reason.len().min(LONGEST_REASON);
        while !self.reason.is_char_boundary(end) {
            end -= 1;
        }
        bytes.extend_from_slice(&self.reason.as_bytes()[..end]);
        bytes
    }

    /// What `bytes` say; `None`: they are no answer.
    pub fn from_payload(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        let kind = AnswerKind::ALL.get(usize::from(head[0].checked_sub(1)?)).copied()?;
        let number = u32::from_le_bytes(head[1..5].try_into().expect("four bytes"));
        let figure = |place: usize| {
            let at = 5 + 8 * place;
            f64::from_bits(u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes")))
        };
        let reason = String::from_utf8_lossy(&bytes[HEAD..]).into_owned();
        Some(Self { kind, number, figures: [figure(0), figure(1), figure(2)], reason })
    }
}

/// Most different reasons that are kept for good.
const MOST_REASONS: usize = 1_024;

/// `reason` as text that stays: orders are told theirs by reference, long after the answer is gone.
pub(crate) fn kept(reason: &str) -> &'static str {
    static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.get(reason) {
        return found;
    }
    if known.len() >= MOST_REASONS {
        return "the venue has said why, and too many different reasons are known already";
    }
    let found: &'static str = Box::leak(reason.to_owned().into_boxed_str());
    known.insert(found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_bytes() {
        for (place, kind) in AnswerKind::ALL.into_iter().enumerate() {
            assert_eq!((kind as usize, AnswerKind::named(kind.name())), (place + 1, Some(kind)));
            let answer = Answer { kind, number: 7, figures: [1.0, 2.0, -0.0], reason: "so".to_owned() };
            assert_eq!(Answer::from_payload(&answer.payload()), Some(answer));
        }
    }

    #[test]
    fn bytes_that_are_none_say_nothing() {
        let answer = Answer { kind: AnswerKind::Filled, number: 1, figures: [0.0; 3], reason: String::new() };
        let bytes = answer.payload();
        assert_eq!(Answer::from_payload(&bytes[..HEAD - 1]), None);
        for code in [0, 9, 255] {
            let mut bytes = bytes.clone();
            bytes[0] = code;
            assert_eq!(Answer::from_payload(&bytes), None);
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        let reason = "\u{e9}".repeat(LONGEST_REASON);
        let answer = Answer { kind: AnswerKind::Rejected, number: 1, figures: [0.0; 3], reason };
        let found = Answer::from_payload(&answer.payload()).unwrap().reason;
        assert_eq!(found, "\u{e9}".repeat(LONGEST_REASON / 2));
        assert_eq!(kept(&found).as_ptr(), kept(&found).as_ptr());
    }
}
