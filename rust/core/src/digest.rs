//! The run digest: one number that two runs share exactly when they saw the same inputs and decided the same.
//!
//! `SHA-256(schema, mode, configuration, seed, I, E, per strategy delivered count and final state)`. `I` stands for the
//! inputs, `E` for everything that happened: both XXH3-128, streamed, so that no slicing of the input shows.

use std::ops::Range;

use sha2::{Digest as _, Sha256};
use twox_hash::XxHash3_128;

use crate::lifecycle::State;
use crate::source::Slice;
use crate::tick::{OrderBy, Tick, as_bytes};

/// Version of what enters the digest.
pub const SCHEMA_VERSION: u32 = 2;

/// In the place of an [`OrderBy`] code.
const BY_ARRIVAL: u8 = 2;

const FEED_BYTES: usize = size_of::<u32>();
const FEEDS_AT_ONCE: usize = 256;

/// Records that are hashed in one go (32 KB). After 256 KB of it, some 10 us of multiplying vectors, a Sapphire Rapids runs
/// everything 4 to 8 % slower for milliseconds: a Python handler of 187 ns took 15 ns more, and with pieces 3 (docs/decisions/0015).
const INPUTS_AT_ONCE: usize = 512;

/// How the inputs enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DigestMode {
    /// By the fingerprints of the sources, the merge rule and the input count; in a run by arrival by the order taken (time,
    /// feed, publisher and length of each slice). Nothing per tick (default).
    #[default]
    Events,
    /// By the 64 bytes and the feed number of every input tick, in loop order.
    Full,
}

/// What kind of event a record of `E` tells of. The codes never change.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A timer fired.
    Timer = 1,
    /// An order was asked for.
    Order = 2,
    /// A cancel was asked for.
    Cancel = 3,
    /// A timer was set or cancelled.
    TimerRequest = 4,
    /// A subscription was changed.
    Subscription = 5,
    /// An order changed.
    OrderUpdate = 6,
    /// A strategy changed its state.
    State = 7,
    /// A change of an order was asked for.
    Amend = 8,
    /// An external input was taken.
    External = 9,
    /// A coroutine was asked for.
    Spawn = 16,
    /// A coroutine was cancelled by its owner.
    SpawnCancel = 17,
    /// The result of a coroutine came in.
    SpawnResult = 18,
    /// The loop was farther behind than a strategy wants.
    Lag = 19,
    /// A feed told something of itself.
    Feed = 20,
}

/// XXH3-128 of records, as little-endian bytes: how a source names its content.
pub fn fingerprint(ticks: &[Tick]) -> [u8; 16] {
    XxHash3_128::oneshot(as_bytes(ticks)).to_le_bytes()
}

/// XXH3-128 of bytes, as little-endian bytes: how the payload of an external input enters.
pub(crate) fn fingerprint_bytes(bytes: &[u8]) -> [u8; 16] {
    XxHash3_128::oneshot(bytes).to_le_bytes()
}

/// Bytes of events that are gathered before they are hashed: a write costs as much for fifteen bytes as for hundreds.
const EVENTS_AT_ONCE: usize = 4_096;

/// Gathers `I` and `E` while a run goes on.
pub struct RunDigest {
    mode: DigestMode,
    records: XxHash3_128,
    feeds: XxHash3_128,
    events: XxHash3_128,
    /// Of the last events, what `events` has not seen yet; its room is there from the beginning.
    gathered: Vec<u8>,
    event_count: u64,
}

impl RunDigest {
    /// Nothing seen yet.
    pub fn new(mode: DigestMode) -> Self {
        Self {
            mode,
            records: XxHash3_128::new(),
            feeds: XxHash3_128::new(),
            events: XxHash3_128::new(),
            gathered: Vec::with_capacity(EVENTS_AT_ONCE),
            event_count: 0,
        }
    }

    /// How many input ticks should be given at once.
    pub fn piece(&self) -> usize {
        match self.mode {
            DigestMode::Events => usize::MAX,
            DigestMode::Full => INPUTS_AT_ONCE,
        }
    }

    /// Takes the ticks of `slice` in `range`, in loop order; does nothing in mode `events`.
    pub fn inputs(&mut self, slice: &Slice<'_>, range: Range<usize>) {
        if self.mode == DigestMode::Full {
            self.records.write(as_bytes(&slice.ticks[range.clone()]));
            // By the chunk: a write costs as much for four bytes as for hundreds.
            let mut chunk = [0; FEED_BYTES * FEEDS_AT_ONCE];
            for start in range.clone().step_by(FEEDS_AT_ONCE) {
                let count = FEEDS_AT_ONCE.min(range.end - start);
                let bytes = &mut chunk[..count * FEED_BYTES];
                for (index, feed) in bytes.chunks_exact_mut(FEED_BYTES).enumerate() {
                    feed.copy_from_slice(&slice.feeds.at(start + index).to_le_bytes());
                }
                self.feeds.write(bytes);
            }
        }
    }

    /// Takes what the loop took, in a run by arrival: in mode `events` the order stands for the inputs. Nothing per tick.
    pub fn taken(&mut self, now_ns: i64, feed: u32, publisher: u32, count: usize) {
        if self.mode == DigestMode::Events {
            let mut entry = [0_u8; 24];
            entry[..8].copy_from_slice(&now_ns.to_le_bytes());
            entry[8..12].copy_from_slice(&feed.to_le_bytes());
            entry[12..16].copy_from_slice(&publisher.to_le_bytes());
            entry[16..].copy_from_slice(&(count as u64).to_le_bytes());
            self.records.write(&entry);
        }
    }

    /// Takes one event: its loop position, its strategy, its kind and its payload in canonical little-endian bytes.
    pub fn event(&mut self, position: u64, strategy: u32, kind: EventKind, payload: &[u8]) {
        self.event_count += 1;
        let mut head = [0_u8; 15];
        head[..8].copy_from_slice(&position.to_le_bytes());
        head[8..12].copy_from_slice(&strategy.to_le_bytes());
        head[12] = kind as u8;
        head[13..].copy_from_slice(&(payload.len() as u16).to_le_bytes());
        if self.gathered.len() + head.len() + payload.len() > EVENTS_AT_ONCE {
            self.events.write(&self.gathered);
            self.gathered.clear();
        }
        self.gathered.extend_from_slice(&head);
        self.gathered.extend_from_slice(payload);
    }

    /// How many events were taken.
    pub fn event_count(&self) -> u64 {
        self.event_count
    }

    /// The digest of all that was taken and of `run`, as 64 hexadecimal digits.
    pub fn finish(&self, run: &RunFacts<'_>) -> String {
        let mut sha = Sha256::new();
        sha.update(SCHEMA_VERSION.to_le_bytes());
        let order = run.order.map_or(BY_ARRIVAL, |order| order as u8);
        sha.update([self.mode as u8, order, u8::from(run.interrupted)]);
        sha.update((run.configuration.len() as u64).to_le_bytes());
        sha.update(run.configuration);
        sha.update(run.seed.to_le_bytes());
        sha.update(run.input_count.to_le_bytes());
        match self.mode {
            DigestMode::Full => {
                sha.update(self.records.finish_128().to_le_bytes());
                sha.update(self.feeds.finish_128().to_le_bytes());
            }
            DigestMode::Events if run.order.is_none() => sha.update(self.records.finish_128().to_le_bytes()),
            DigestMode::Events => run.fingerprints.iter().for_each(|source| sha.update(source)),
        }
        let mut events = self.events.clone();
        events.write(&self.gathered);
        sha.update(events.finish_128().to_le_bytes());
        for (delivered, state) in run.strategies {
            sha.update(delivered.to_le_bytes());
            sha.update([*state as u8]);
        }
        sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What enters the digest beside inputs and events.
#[derive(Debug)]
pub struct RunFacts<'a> {
    /// Hash of the decision-relevant resolved configuration.
    pub configuration: &'a [u8],
    /// The seed.
    pub seed: u64,
    /// The rule by which feeds were merged; `None`: by arrival.
    pub order: Option<OrderBy>,
    /// How many ticks the loop took.
    pub input_count: u64,
    /// The content of each source, in feed order.
    pub fingerprints: &'a [[u8; 16]],
    /// Whether the run ended before its data did.
    pub interrupted: bool,
    /// Delivered ticks and final state of each strategy, in order of registration.
    pub strategies: &'a [(u64, State)],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Feeds;

    fn facts<'a>() -> RunFacts<'a> {
        RunFacts {
            configuration: b"",
            seed: 1,
            order: Some(OrderBy::TsEvent),
            input_count: 4,
            fingerprints: &[[7; 16]],
            interrupted: false,
            strategies: &[(4, State::Stopped)],
        }
    }

    #[test]
    fn slicing_does_not_show_but_feeds_and_bytes_do() {
        let ticks: Vec<Tick> = (0..4).map(|t| Tick::quote(t, 0, 1.0, 2.0, 1.0, 1.0)).collect();
        let digest_of = |cut: usize, feeds: Feeds<'_>| {
            let slice = Slice { ticks: &ticks, feeds, block: None };
            let mut digest = RunDigest::new(DigestMode::Full);
            digest.inputs(&slice.first(cut), 0..cut);
            digest.inputs(&slice, cut..ticks.len());
            digest.finish(&facts())
        };
        assert_eq!(digest_of(0, Feeds::One(3)), digest_of(3, Feeds::One(3)));
        assert_ne!(digest_of(0, Feeds::One(3)), digest_of(0, Feeds::One(4)));
        let each = [3, 4, 3, 3];
        assert_eq!(digest_of(0, Feeds::Each(&each)), digest_of(3, Feeds::Each(&each)));
        assert_ne!(digest_of(0, Feeds::Each(&each)), digest_of(0, Feeds::One(3)));
    }

    #[test]
    fn modes_events_and_interruption_differ() {
        let events = RunDigest::new(DigestMode::Events);
        assert_ne!(events.finish(&facts()), RunDigest::new(DigestMode::Full).finish(&facts()));
        assert_ne!(events.finish(&facts()), events.finish(&RunFacts { interrupted: true, ..facts() }));
        let mut other = RunDigest::new(DigestMode::Events);
        other.event(1, 0, EventKind::Timer, &[1]);
        assert_ne!(events.finish(&facts()), other.finish(&facts()));
    }
}
