//! Driving a live run: what to do where nothing arrives.

use std::sync::Arc;
use std::time::Duration;

use super::dispatcher::{Dispatcher, Outcome};
use super::host::Host;
use crate::clock::{Clock as _, LiveClock};
use crate::feed::FeedHub;
use crate::stop::{Pace, WaitStrategy, WakeReason, Waker};

/// How the loop waits for its feeds. Apart from the loop, so that whoever drives that can let go of what it holds meanwhile.
#[derive(Clone, Debug)]
pub struct LiveWait {
    waker: Arc<Waker>,
    clock: Arc<LiveClock>,
    strategy: WaitStrategy,
    pace: Arc<Pace>,
}

impl LiveWait {
    /// For the feeds of `hub`, by `strategy` as far as the processors allow it.
    pub fn new(hub: &FeedHub, strategy: WaitStrategy) -> Self {
        Self {
            waker: Arc::clone(hub.waker()),
            clock: Arc::clone(hub.clock()),
            strategy: strategy.fitted(),
            pace: Arc::default(),
        }
    }

    /// Waits for a record, a new feed or a stop, until `due_ns` (see [`Dispatcher::next_due_ns`]) or the end of a slice:
    /// then look at signals, and wait again.
    pub fn wait(&self, due_ns: i64) -> WakeReason {
        let left_ns = due_ns.saturating_sub(self.clock.now_ns()).max(0);
        self.strategy.wait_by(&self.pace, &self.waker, Duration::from_nanos(left_ns.unsigned_abs()))
    }

    /// The same without sleep or giving up the processor, for at most `time`: whether there was a call.
    pub fn spin(&self, due_ns: i64, time: Duration) -> bool {
        let left_ns = due_ns.saturating_sub(self.clock.now_ns()).max(0);
        let spin = time.min(Duration::from_nanos(left_ns.unsigned_abs()));
        WaitStrategy { spin, ..WaitStrategy::SPIN }.wait(&self.waker, spin) == WakeReason::Woken
    }
}

/// Runs to the end: until all feeds have ended, or until a stop. `go_on` is asked after each slice and each wait.
///
/// ```
/// use std::sync::Arc;
/// use std::thread;
/// use tickrail_core::clock::LiveClock;
/// use tickrail_core::dispatch::{Desk, Dispatcher, LiveWait, NoHost, Outcome, RunSettings, run_live};
/// use tickrail_core::feed::{FeedHub, FeedSettings};
/// use tickrail_core::stop::{StopFlag, WaitStrategy, Waker};
/// use tickrail_core::venue::SimulatedVenue;
/// use tickrail_core::{InstrumentInfo, Tick};
///
/// let instruments = vec![InstrumentInfo::named("EURUSD.SIM")];
/// let hub = FeedHub::new(Arc::new(LiveClock::new()), instruments.clone().into(), Arc::new(Waker::new()));
/// let feed = hub.open("quotes", FeedSettings::default())?;
/// let mut publisher = hub.publisher(&feed)?;
/// let source = thread::spawn(move || {
///     let quotes = [Tick::quote(1_700_000_000_000_000_000, 0, 1.0, 1.1, 1.0, 1.0); 1_000];
///     publisher.publish(&quotes, || true) // waits while the ring is full; dropping it ends its stream
/// });
///
/// let (desk, venue) = (Desk::new(instruments), Box::new(SimulatedVenue::new(vec![0.0])));
/// let arrivals = Box::new(hub.arrivals());
/// let mut run = Dispatcher::new(RunSettings::default(), desk, arrivals, venue, Arc::new(StopFlag::new()), NoHost);
/// hub.seal(); // no more feeds: the run ends with those that there are
/// let outcome = run_live(&mut run, &LiveWait::new(&hub, WaitStrategy::default()), |_| true);
/// source.join().unwrap()?;
/// assert_eq!((outcome, run.input_count()), (Outcome::End, 1_000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run_live<H: Host>(
    run: &mut Dispatcher<H>,
    wait: &LiveWait,
    mut go_on: impl FnMut(&mut Dispatcher<H>) -> bool,
) -> Outcome {
    let mut outcome = run.start();
    loop {
        match outcome {
            Outcome::Slice => {}
            Outcome::Idle => {
                wait.wait(run.next_due_ns());
            }
            other => {
                run.finish();
                return other;
            }
        }
        if !go_on(run) {
            run.finish();
            return Outcome::Stopped;
        }
        outcome = run.advance();
    }
}
