//! A strategy in Rust: a [`Handler`], and the dispatch loop around it.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tickrail_core::Tick;
use tickrail_core::dispatch::{Delivery, Desk, Dispatcher, Kinds, NoHost, Outcome, RunSettings, Subscription};
use tickrail_core::file;
use tickrail_core::handler::{Handler, HandlerError, Out};
use tickrail_core::source::ArraySource;
use tickrail_core::stop::StopFlag;
use tickrail_core::venue::SimulatedVenue;

/// Long while the fast average of the mid price is above the slow one, else flat.
#[derive(Debug, Default)]
pub struct EmaCross {
    fast: f64,
    slow: f64,
    is_long: bool,
}

impl EmaCross {
    const FAST: f64 = 2.0 / 21.0;
    const SLOW: f64 = 2.0 / 101.0;
}

impl Handler for EmaCross {
    fn on_tick(&mut self, tick: &Tick, out: &mut Out) -> Result<(), HandlerError> {
        let [bid, ask, ..] = tick.values;
        let mid = (bid + ask) * 0.5;
        if self.fast == 0.0 {
            (self.fast, self.slow) = (mid, mid);
        }
        self.fast += Self::FAST * (mid - self.fast);
        self.slow += Self::SLOW * (mid - self.slow);
        let is_long = self.fast > self.slow;
        if is_long != self.is_long {
            self.is_long = is_long;
            out.target(tick.instrument, if is_long { 1.0 } else { 0.0 });
        }
        Ok(())
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Ticks taken.
    pub ticks: u64,
    /// Orders filled.
    pub fills: usize,
    /// The run digest.
    pub digest: String,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ticks, {} fills, digest {}", self.ticks, self.fills, self.digest)
    }
}

/// Runs the strategy over a tick file.
///
/// # Errors
/// The file cannot be read, or the run could not go on.
pub fn backtest(path: &Path) -> Result<Summary, Box<dyn Error>> {
    let opened = file::open(path)?;
    let instruments = opened.instruments.to_vec();
    let venue = SimulatedVenue::new(vec![0.0; instruments.len()]);
    let settings = RunSettings {
        order: opened.header.order_by,
        fingerprints: vec![file::fingerprint(opened.block.as_slice()).to_le_bytes()],
        ..RunSettings::default()
    };
    let source = ArraySource::new(opened.block.clone(), 0);
    let mut run = Dispatcher::new(
        settings,
        Desk::new(instruments),
        Box::new(source),
        Box::new(venue),
        Arc::new(StopFlag::new()),
        NoHost,
    );
    let subscription =
        Subscription { delivery: Delivery::Records, kinds: Kinds::ALL, instruments: None, order_updates: false };
    run.register_handler(&subscription, Box::new(EmaCross::default()));
    let mut outcome = run.start();
    while outcome == Outcome::Slice {
        outcome = run.advance();
    }
    run.finish();
    if let Some(error) = run.errors().first() {
        return Err(format!("{} at {:?}: {:?}", error.handler, error.input, error.failure).into());
    }
    match outcome {
        Outcome::End => Ok(Summary { ticks: run.input_count(), fills: run.fills().len(), digest: run.digest() }),
        other => Err(format!("the run ended early: {other:?}").into()),
    }
}
