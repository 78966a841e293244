//! When the last bar of each instrument came: what was decided since has come into the midst of the next one.
//!
//! A bar says when it ends and not when it began. Where nobody has said how long it is, it began with the end of the one before;
//! so an instrument is watched from the run's first record on as long as only bars of it come. Its first quote or trade ends
//! that, and costs nothing from then on.

use crate::tick::{Kind, Tick};

/// The price and time of an instrument that nobody looks at any more: what was noted of it would grow old.
pub(super) const NO_MARK: (f64, i64) = (f64::NAN, i64::MIN);

/// By instrument.
#[derive(Debug)]
pub(super) struct Bars {
    last_ns: Vec<i64>,
    /// Watched for its bars alone: nothing but bars has come, and nobody else needs its price.
    is_scouted: Vec<bool>,
}

impl Bars {
    /// Of instruments, and whether each is watched anyway.
    pub fn new(watched: &[bool]) -> Self {
        let is_scouted = watched.iter().map(|&is_watched| !is_watched).collect();
        Self { last_ns: vec![i64::MIN; watched.len()], is_scouted }
    }

    /// When the last bar came; `i64::MIN`: that is not known.
    pub fn last_ns(&self, instrument: u32) -> i64 {
        self.last_ns[instrument as usize]
    }

    /// Somebody needs its price from now on, whatever comes.
    pub fn keep(&mut self, instrument: u32) {
        self.is_scouted[instrument as usize] = false;
    }

    /// A record with a price has come at `key`; whether its instrument is not watched from now on.
    #[inline(always)]
    pub fn note(&mut self, tick: &Tick, key: i64) -> bool {
        let index = tick.instrument as usize;
        if tick.kind == Kind::Bar as u8 {
            self.last_ns[index] = key;
            return false;
        }
        if !self.is_scouted[index] {
            return false;
        }
        // Bars that come from now on are not seen until somebody orders.
        self.last_ns[index] = i64::MIN;
        std::mem::take(&mut self.is_scouted[index])
    }
}
