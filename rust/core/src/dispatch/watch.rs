//! Watches for handlers that do not return, on a thread that needs neither the loop nor an interpreter.
//!
//! The loop reads no clock for it: the thread looks at the [`Pulse`] a few times a deadline, and where two looks are equal
//! the same call goes on. What it tells is so right to one interval between looks.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::pulse::{Doing, Look, Pulse};
use crate::stop::StopFlag;

/// Looks within the shorter of the two times.
const LOOKS: u32 = 4;
/// Between two looks: a thread that wakes more often costs what it watches.
const SHORTEST: Duration = Duration::from_millis(2);
/// And at most, so that a shutdown's shorter deadline is kept.
const LONGEST: Duration = Duration::from_millis(500);

/// How long handlers may take.
#[derive(Clone, Copy, Debug)]
pub struct WatchSettings {
    /// Longer ones are counted as slow.
    pub slow: Duration,
    /// Longer ones are stuck.
    pub deadline: Duration,
    /// The same once the run is to stop, where that is shorter.
    pub last_deadline: Duration,
}

/// A call that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Of which strategy.
    pub strategy: u32,
    /// With what.
    pub doing: Doing,
    /// At which loop position.
    pub position: u64,
    /// For how long.
    pub age: Duration,
}

/// Hears of it, on the watching thread, which it must not keep: it may take no lock that the interpreter's holder has.
pub trait Watcher: Send {
    /// A call that took longer than it should has returned.
    fn slow(&mut self, call: &Call);

    /// A call has passed its deadline, and goes on; `seen` is how the loop looked all the time.
    fn stuck(&mut self, call: &Call, seen: Look);

    /// It still goes on, twice its deadline after it began.
    fn hopeless(&mut self, call: &Call);
}

#[derive(Debug, Default)]
struct Over {
    is_over: Mutex<bool>,
    told: Condvar,
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct HandlerWatch {
    over: Arc<Over>,
    thread: Option<JoinHandle<()>>,
}

impl HandlerWatch {
    /// Watches the loop of `pulse`; `stop` tells when the run is to stop.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn open(
        pulse: Arc<Pulse>,
        stop: Arc<StopFlag>,
        settings: WatchSettings,
        mut watcher: impl Watcher + 'static,
    ) -> io::Result<Self> {
        let over = Arc::new(Over::default());
        let end = Arc::clone(&over);
        let watch = move || watch(&end, &pulse, &stop, settings, &mut watcher);
        let thread = std::thread::Builder::new().name("tickrail-handlers".to_owned()).spawn(watch)?;
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for HandlerWatch {
    fn drop(&mut self) {
        *self.over.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.told.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is known of the call that goes on.
struct Seen {
    look: Look,
    since: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Fine,
    Slow,
    Stuck,
    Hopeless,
}

fn watch(over: &Over, pulse: &Pulse, stop: &StopFlag, settings: WatchSettings, watcher: &mut dyn Watcher) {
    let shorter = settings.slow.min(settings.deadline).min(settings.last_deadline);
    let interval = (shorter / LOOKS).clamp(SHORTEST, LONGEST);
    let mut seen = Seen { look: pulse.look(), since: now(), stage: Stage::Fine };
    while over.sleep(interval) {
        seen.note(pulse.look(), stop.is_set(), &settings, watcher);
    }
    // The call that the run ended with.
    seen.note(pulse.look(), stop.is_set(), &settings, watcher);
}

impl Over {
    /// Whether to go on.
    fn sleep(&self, interval: Duration) -> bool {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let slept = self.told.wait_timeout_while(is_over, interval, |is_over| !*is_over);
        !*slept.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Seen {
    fn note(&mut self, look: Look, stops: bool, settings: &WatchSettings, watcher: &mut dyn Watcher) {
        let call = self.call();
        if look != self.look {
            if let Some(call) = call.filter(|_| self.stage > Stage::Fine) {
                watcher.slow(&call);
            }
            *self = Self { look, since: now(), stage: Stage::Fine };
            return;
        }
        let Some(call) = call else { return };
        let deadline = if stops { settings.deadline.min(settings.last_deadline) } else { settings.deadline };
        match self.stage {
            Stage::Stuck if call.age >= 2 * deadline => {
                self.stage = Stage::Hopeless;
                watcher.hopeless(&call);
            }
            Stage::Fine | Stage::Slow if call.age >= deadline => {
                self.stage = Stage::Stuck;
                watcher.stuck(&call, self.look);
            }
            Stage::Fine if call.age >= settings.slow => self.stage = Stage::Slow,
            _ => {}
        }
    }

    fn call(&self) -> Option<Call> {
        let (strategy, doing) = self.look.call()?;
        Some(Call { strategy, doing, position: self.look.position(), age: self.since.elapsed() })
    }
}

#[expect(clippy::disallowed_methods, reason = "measures how long a handler takes; no decision of the run sees it")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    struct Teller(mpsc::Sender<(&'static str, Call)>);

    impl Watcher for Teller {
        fn slow(&mut self, call: &Call) {
            let _ = self.0.send(("slow", *call));
        }

        fn stuck(&mut self, call: &Call, _seen: Look) {
            let _ = self.0.send(("stuck", *call));
        }

        fn hopeless(&mut self, call: &Call) {
            let _ = self.0.send(("hopeless", *call));
        }
    }

    #[test]
    fn a_call_that_goes_on_is_told_stage_by_stage_and_once() {
        let (pulse, stop) = (Arc::new(Pulse::default()), Arc::new(StopFlag::new()));
        let (tell, told) = mpsc::channel();
        let settings =
            WatchSettings { slow: Duration::from_millis(10), deadline: Duration::from_millis(60), last_deadline: LONG };
        let watch = HandlerWatch::open(Arc::clone(&pulse), Arc::clone(&stop), settings, Teller(tell)).unwrap();
        pulse.set_position(9);
        pulse.enter(3, Doing::Timer);
        for (word, least_ms) in [("stuck", 60), ("hopeless", 120)] {
            let (told, call) = told.recv_timeout(LONG).unwrap();
            assert_eq!((told, call.strategy, call.doing, call.position), (word, 3, Doing::Timer, 9));
            assert!(call.age >= Duration::from_millis(least_ms));
        }
        pulse.rest();
        assert_eq!(told.recv_timeout(LONG).map(|(word, _)| word), Ok("slow"));
        drop(watch);
        assert!(told.try_recv().is_err(), "nothing is told twice, and a loop at rest is never late");
    }

    #[test]
    fn a_stop_shortens_the_deadline() {
        let (pulse, stop) = (Arc::new(Pulse::default()), Arc::new(StopFlag::new()));
        let (tell, told) = mpsc::channel();
        let settings = WatchSettings { slow: LONG, deadline: LONG, last_deadline: Duration::from_millis(8) };
        let _watch = HandlerWatch::open(Arc::clone(&pulse), Arc::clone(&stop), settings, Teller(tell)).unwrap();
        pulse.enter(0, Doing::Tick);
        assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
        stop.request_stop();
        assert_eq!(told.recv_timeout(LONG).map(|(word, _)| word), Ok("stuck"));
    }
}
