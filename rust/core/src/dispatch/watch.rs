//! Watches for handlers that do not return, on a thread that needs neither the loop nor an interpreter.
//!
//! The loop reads no clock for it: the thread looks at the [`Pulse`] a few times a deadline, and where two looks are equal
//! the same call goes on. What it tells is so right to one interval between looks. While the whole process stands still
//! (SIGSTOP, a container that is paused, a debugger of machine code) the thread does too, and nobody's time goes by.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pulse::{Doing, Look, Pulse};
use crate::stop::StopFlag;

/// Looks within the shorter of the two times.
const LOOKS: u32 = 4;
/// Between two looks: a thread that wakes more often costs what it watches.
const SHORTEST: Duration = Duration::from_millis(2);
/// And at most, so that a shutdown's shorter deadline is kept.
const LONGEST: Duration = Duration::from_millis(500);

/// More than that between two looks, and the process has stood still: the thread wakes ten times as often.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// How long handlers may take.
#[derive(Clone, Copy, Debug)]
pub struct WatchSettings {
    /// Longer ones are counted as slow.
    pub slow: Duration,
    /// Longer ones are stuck.
    pub deadline: Duration,
    /// The same once the run is to stop, from then on or from the beginning of the call, where that is sooner.
    pub last_deadline: Duration,
    /// The same for an `on_stop` then, where that is shorter.
    pub last_hook: Duration,
}

impl WatchSettings {
    /// When something is late that began at `from`. What began before the run was to stop (at `stopped`) is given the last
    /// deadline from then on: a handler that may take a minute is not late because somebody ends the run in its midst.
    fn due(&self, from: Instant, stopped: Option<Instant>) -> Instant {
        let due = from + self.deadline;
        stopped.map_or(due, |stopped| due.min(from.max(stopped) + self.last_deadline))
    }

    /// When a call is stuck that began at `from`.
    fn stuck(&self, doing: Doing, from: Instant, stopped: Option<Instant>) -> Instant {
        let due = self.due(from, stopped);
        stopped.filter(|_| doing == Doing::Stop).map_or(due, |stopped| due.min(from.max(stopped) + self.last_hook))
    }
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

    /// It still goes on, once more its deadline after it was told of as stuck.
    fn hopeless(&mut self, call: &Call);
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct HandlerWatch {
    patrol: Arc<Patrol>,
    watched: Arc<Watched>,
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
        watcher: impl Watcher + 'static,
    ) -> io::Result<Self> {
        let shorter = settings.slow.min(settings.deadline).min(settings.last_deadline).min(settings.last_hook);
        let seen = Seen::new(pulse.look(), now());
        let watched = Arc::new(Watched {
            interval: (shorter / LOOKS).clamp(SHORTEST, LONGEST),
            pulse,
            stop,
            settings,
            inside: Mutex::new((seen, Box::new(watcher))),
        });
        let patrol = Patrol::here();
        patrol.add(&watched)?;
        Ok(Self { patrol, watched })
    }
}

impl Drop for HandlerWatch {
    fn drop(&mut self) {
        self.patrol.remove(&self.watched);
        // The call that the run ended with. Whoever looks at this moment is waited for.
        self.watched.look();
    }
}

/// One loop that is watched.
struct Watched {
    interval: Duration,
    pulse: Arc<Pulse>,
    stop: Arc<StopFlag>,
    settings: WatchSettings,
    inside: Mutex<(Seen, Box<dyn Watcher>)>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Watched {
    fn look(&self) {
        let (seen, watcher) = &mut *self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        seen.note(now(), self.pulse.look(), self.stop.is_set(), &self.settings, watcher.as_mut());
    }
}

/// The thread that watches all loops of a process. To begin and end one for each run would cost a short run more than the
/// run itself; it ends when nothing was watched for [`LINGERS`].
#[derive(Debug)]
struct Patrol {
    process: u32,
    beat: Mutex<Beat>,
    called: Condvar,
}

#[derive(Debug, Default)]
struct Beat {
    watched: Vec<Arc<Watched>>,
    is_walking: bool,
    /// How long the thread sleeps at this moment.
    sleeps: Duration,
}

/// How long the thread stays without anything to watch.
const LINGERS: Duration = Duration::from_millis(100);

impl Patrol {
    /// That of this process: a process that was forked off has no thread of its parent's.
    fn here() -> Arc<Self> {
        static HERE: Mutex<Option<Arc<Patrol>>> = Mutex::new(None);
        let mut here = HERE.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        let fresh = || Arc::new(Self { process, beat: Mutex::default(), called: Condvar::new() });
        match &*here {
            Some(patrol) if patrol.process == process => Arc::clone(patrol),
            _ => Arc::clone(here.insert(fresh())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Beat> {
        // Nothing is called while it is held, so a panic leaves it whole.
        self.beat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Self>, watched: &Arc<Watched>) -> io::Result<()> {
        let mut beat = self.lock();
        if !beat.is_walking {
            let patrol = Arc::clone(self);
            crate::threads::begin("tickrail-handlers", move || patrol.walk())?;
            beat.is_walking = true;
        } else if watched.interval < beat.sleeps {
            self.called.notify_all();
        }
        beat.watched.push(Arc::clone(watched));
        Ok(())
    }

    fn remove(&self, watched: &Arc<Watched>) {
        self.lock().watched.retain(|one| !Arc::ptr_eq(one, watched));
    }

    fn walk(&self) {
        let mut beat = self.lock();
        let mut idle = Duration::ZERO;
        while idle < LINGERS {
            beat.sleeps = beat.watched.iter().map(|one| one.interval).min().unwrap_or(LONGEST).min(LINGERS);
            let before = now();
            let slept = beat.sleeps;
            (beat, _) = self.called.wait_timeout(beat, slept).unwrap_or_else(PoisonError::into_inner);
            idle = if beat.watched.is_empty() { idle + before.elapsed() } else { Duration::ZERO };
            let all = beat.watched.clone();
            drop(beat);
            all.iter().for_each(|watched| watched.look());
            beat = self.lock();
        }
        // Under the lock, so that whoever comes now begins another one.
        beat.is_walking = false;
    }
}

/// What is known of the call that goes on.
struct Seen {
    look: Look,
    since: Instant,
    stage: Stage,
    /// When it was first seen that the run is to stop.
    stopped: Option<Instant>,
    /// When it was looked at last.
    looked: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Fine,
    Slow,
    /// Told of as stuck at that moment.
    Stuck(Instant),
    Hopeless,
}

impl Seen {
    const fn new(look: Look, now: Instant) -> Self {
        Self { look, since: now, stage: Stage::Fine, stopped: None, looked: now }
    }

    /// Time in which nobody could do anything is taken from nobody.
    fn leave_out(&mut self, stood_still: Duration) {
        self.since += stood_still;
        self.stopped = self.stopped.map(|stopped| stopped + stood_still);
        if let Stage::Stuck(told) = &mut self.stage {
            *told += stood_still;
        }
    }

    fn note(&mut self, now: Instant, look: Look, stops: bool, settings: &WatchSettings, watcher: &mut dyn Watcher) {
        let between = now - std::mem::replace(&mut self.looked, now);
        if between > STOOD_STILL {
            self.leave_out(between);
        }
        if stops {
            self.stopped.get_or_insert(now);
        }
        let call = self.call(now);
        if look != self.look {
            if let Some(call) = call.filter(|_| self.stage != Stage::Fine) {
                watcher.slow(&call);
            }
            (self.look, self.since, self.stage) = (look, now, Stage::Fine);
            return;
        }
        let Some(call) = call else { return };
        match self.stage {
            Stage::Stuck(told) if now >= settings.due(told, self.stopped) => {
                self.stage = Stage::Hopeless;
                watcher.hopeless(&call);
            }
            Stage::Fine | Stage::Slow if now >= settings.stuck(call.doing, self.since, self.stopped) => {
                self.stage = Stage::Stuck(now);
                watcher.stuck(&call, self.look);
            }
            Stage::Fine if call.age >= settings.slow => self.stage = Stage::Slow,
            _ => {}
        }
    }

    fn call(&self, now: Instant) -> Option<Call> {
        let (strategy, doing) = self.look.call()?;
        Some(Call { strategy, doing, position: self.look.position(), age: now - self.since })
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
        let settings = WatchSettings {
            slow: Duration::from_millis(10),
            deadline: Duration::from_millis(60),
            last_deadline: LONG,
            last_hook: LONG,
        };
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
    fn a_process_that_stood_still_has_kept_nobody() {
        let settings = WatchSettings {
            slow: Duration::from_secs(1),
            deadline: Duration::from_secs(10),
            last_deadline: Duration::from_secs(5),
            last_hook: LONG,
        };
        let (pulse, began) = (Pulse::default(), now());
        pulse.enter(3, Doing::Tick);
        let (tell, told) = mpsc::channel();
        let mut teller = Teller(tell);
        let mut seen = Seen::new(pulse.look(), began);
        let mut look = |tenths: u64, seen: &mut Seen| {
            seen.note(began + Duration::from_millis(tenths * 100), pulse.look(), false, &settings, &mut teller);
        };
        let still = 3_600 * 10;
        (1..=90).for_each(|tenths| look(tenths, &mut seen));
        (still + 90..still + 100).for_each(|tenths| look(tenths, &mut seen));
        assert!(told.try_recv().is_err(), "of the ten seconds of its own it has had less");
        (still + 100..still + 190).for_each(|tenths| look(tenths, &mut seen));
        let (word, call) = told.try_recv().expect("a handler that hangs is found all the same");
        assert_eq!(word, "stuck");
        assert!(call.age < Duration::from_secs(11), "{:?}: nobody's time went by", call.age);
        assert!(told.try_recv().is_err(), "and has its second deadline from then on");
    }

    /// What is told of a call that began `stopped_after` before the stop, looked at every quarter of a second, and when.
    fn told_of(settings: WatchSettings, doing: Doing, stopped_after: f64, looked_for: f64) -> Vec<(&'static str, f64)> {
        let (pulse, began) = (Pulse::default(), now());
        pulse.enter(3, doing);
        let (tell, told) = mpsc::channel();
        let mut teller = Teller(tell);
        let mut seen = Seen::new(pulse.look(), began);
        let looks = (0..).map(|look| f64::from(look) / 4.0).take_while(|&at| at <= looked_for);
        let mut said = Vec::new();
        for at in looks {
            seen.note(began + Duration::from_secs_f64(at), pulse.look(), at >= stopped_after, &settings, &mut teller);
            said.extend(told.try_iter().map(|(word, _)| (word, at)));
        }
        said
    }

    #[test]
    fn a_call_has_the_last_deadline_from_the_stop_on_and_once_more_before_it_is_hopeless() {
        let seconds = Duration::from_secs;
        let settings = |deadline| WatchSettings {
            slow: LONG,
            deadline: seconds(deadline),
            last_deadline: seconds(5),
            last_hook: seconds(2),
        };
        let (minute, usual) = (settings(60), settings(10));
        assert_eq!(told_of(minute, Doing::Tick, 12.0, 30.0), [("stuck", 17.0), ("hopeless", 22.0)]);
        assert_eq!(told_of(usual, Doing::Tick, 6.0, 9.75), [], "it had ten seconds, and has them still");
        assert_eq!(told_of(usual, Doing::Tick, 6.0, 30.0), [("stuck", 10.0), ("hopeless", 15.0)]);
        assert_eq!(told_of(usual, Doing::Tick, 0.0, 30.0), [("stuck", 5.0), ("hopeless", 10.0)]);
        assert_eq!(
            told_of(usual, Doing::Tick, 12.0, 30.0),
            [("stuck", 10.0), ("hopeless", 17.0)],
            "stuck before the stop"
        );
        assert_eq!(told_of(usual, Doing::Tick, 40.0, 50.0), [("stuck", 10.0), ("hopeless", 20.0)]);
        assert_eq!(
            told_of(minute, Doing::Stop, 0.0, 30.0),
            [("stuck", 2.0), ("hopeless", 7.0)],
            "its part of the whole"
        );
        assert_eq!(
            told_of(usual, Doing::Stop, 40.0, 15.0),
            [("stuck", 10.0)],
            "of one strategy, while the others go on"
        );
    }

    #[test]
    fn a_stop_shortens_the_deadline() {
        let (pulse, stop) = (Arc::new(Pulse::default()), Arc::new(StopFlag::new()));
        let (tell, told) = mpsc::channel();
        let settings =
            WatchSettings { slow: LONG, deadline: LONG, last_deadline: Duration::from_millis(8), last_hook: LONG };
        let _watch = HandlerWatch::open(Arc::clone(&pulse), Arc::clone(&stop), settings, Teller(tell)).unwrap();
        pulse.enter(0, Doing::Tick);
        assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
        stop.request_stop();
        assert_eq!(told.recv_timeout(LONG).map(|(word, _)| word), Ok("stuck"));
    }
}
