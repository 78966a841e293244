//! Driving a live run: what to do where nothing arrives.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::dispatcher::{Dispatcher, Outcome};
use super::host::Host;
use crate::clock::Clock as _;
use crate::feed::FeedHub;
use crate::stop::{Pace, WaitStrategy, WakeReason};

/// How the loop waits for its feeds. Apart from the loop, so that whoever drives that can let go of what it holds meanwhile.
#[derive(Clone)]
pub struct LiveWait {
    hub: Arc<FeedHub>,
    strategy: WaitStrategy,
    pace: Arc<Pace>,
}

impl LiveWait {
    /// For the feeds of `hub`, by `strategy` as far as the processors allow it.
    pub fn new(hub: &Arc<FeedHub>, strategy: WaitStrategy) -> Self {
        Self { hub: Arc::clone(hub), strategy: strategy.fitted(), pace: Arc::default() }
    }

    /// Waits for a record, a new feed or a stop, until `due_ns` (see [`Dispatcher::next_due_ns`]) or the end of a slice:
    /// then look at signals, and wait again.
    pub fn wait(&self, due_ns: i64) -> WakeReason {
        self.strategy.wait_by(&self.pace, self.hub.waker(), self.left(due_ns), self.hub.look())
    }

    /// The same without sleep or giving up the processor, for at most `time`: whether there was a call.
    pub fn spin(&self, due_ns: i64, time: Duration) -> bool {
        let spin = time.min(self.left(due_ns));
        let strategy = WaitStrategy { spin, ..WaitStrategy::SPIN };
        strategy.wait_for(self.hub.waker(), spin, self.hub.look()) == WakeReason::Woken
    }

    fn left(&self, due_ns: i64) -> Duration {
        if due_ns == i64::MAX {
            return Duration::MAX;
        }
        let left_ns = due_ns.saturating_sub(self.hub.clock().now_ns()).max(0);
        Duration::from_nanos(left_ns.unsigned_abs())
    }
}

impl fmt::Debug for LiveWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveWait({:?})", self.strategy)
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
