//! What supervisors ask of a process: does it live, is it ready, what has it counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{Page, Pages};
use crate::dispatch::{Look, Pulse, described};
use crate::stop::StopFlag;
use crate::trading::{Trading, TradingGate};

/// Most scrapes at once: each may wait for the interpreter, and probes must find a connection meanwhile.
const MAX_SCRAPES: u32 = 2;

/// Where a process stands.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is put together, or its strategies start.
    Starting = 0,
    /// All strategies have been started.
    Running = 1,
    /// The loop has come to its end; results are written, services closed.
    Ended = 2,
}

/// What is known of one run.
pub struct Probed {
    /// What it is called.
    pub run: String,
    /// Names of its strategies, by number.
    pub names: Vec<String>,
    /// What its loop is doing.
    pub pulse: Arc<Pulse>,
    /// What its I/O thread is doing, which sends its orders.
    pub beside: Arc<Pulse>,
    /// Set where it is to stop.
    pub stop: Arc<StopFlag>,
    /// What its orders may do.
    pub gate: Arc<TradingGate>,
    /// How long one call may take before the loop hangs.
    pub call_deadline: Duration,
    /// How long the loop may stand still outside of calls: in a simulation it waits for coroutines.
    pub rest_deadline: Duration,
}

/// Makes the page of metrics.
pub type Scrape = Box<dyn Fn() -> Page + Send + Sync>;

/// The pages `/livez`, `/readyz` and `/metrics`.
pub struct Probes {
    run: Probed,
    scrape: Scrape,
    scrapes: AtomicU32,
    /// A [`Standing`]. Relaxed: it guards nothing.
    standing: AtomicU8,
    seen: Mutex<[Seen; 2]>,
}

/// How one of the two threads looked, and since when it has looked so.
struct Seen(Look, Instant);

impl Seen {
    /// For how long it has stood still; `None`: it has just gone on. Two equal looks say that it has not between them.
    fn still(&mut self, look: Look) -> Option<Duration> {
        if self.0 == look {
            return Some(self.1.elapsed());
        }
        *self = Self(look, now());
        None
    }
}

impl Probes {
    /// The pages of `run`.
    pub fn new(run: Probed, scrape: Scrape) -> Self {
        let seen = Mutex::new([&run.pulse, &run.beside].map(|pulse| Seen(pulse.look(), now())));
        Self { run, scrape, scrapes: AtomicU32::new(0), standing: AtomicU8::new(0), seen }
    }

    /// Says where the process stands now.
    pub fn set_standing(&self, standing: Standing) {
        self.standing.store(standing as u8, Ordering::Relaxed);
    }

    fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Relaxed) {
            0 => Standing::Starting,
            1 => Standing::Running,
            _ => Standing::Ended,
        }
    }

    fn state(&self) -> &'static str {
        match self.standing() {
            Standing::Ended => "ended",
            _ if self.run.stop.is_set() => "stopping",
            Standing::Running => "running",
            Standing::Starting => "starting",
        }
    }

    /// What keeps the loop or the I/O thread, where that goes on for too long.
    fn hangs(&self) -> Option<String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let [on_loop, beside] = &mut *seen;
        let (look, at) = (self.run.pulse.look(), self.run.beside.look());
        let (still, stuck) = (on_loop.still(look), beside.still(at));
        let of_loop = still.and_then(|age| self.keeps_the_loop(look, age).map(|what| (what, age)));
        let of_io = || stuck.and_then(|age| self.keeps_the_rest(at, age).map(|what| (what, age)));
        of_loop.or_else(of_io).map(|(what, age)| format!("{what} for {:.1} s", age.as_secs_f64()))
    }

    fn keeps_the_loop(&self, look: Look, age: Duration) -> Option<String> {
        match (self.standing(), look.call()) {
            (Standing::Ended, _) | (Standing::Starting, None) => None,
            (_, Some((strategy, doing))) if age >= self.run.call_deadline => {
                Some(described(&self.run.names, strategy, doing))
            }
            (Standing::Running, None) if age >= self.run.rest_deadline => Some("the loop has not gone on".to_owned()),
            _ => None,
        }
    }

    fn keeps_the_rest(&self, look: Look, age: Duration) -> Option<String> {
        let (strategy, doing) = look.call().filter(|_| self.standing() != Standing::Ended)?;
        (age >= self.run.call_deadline).then(|| described(&self.run.names, strategy, doing))
    }

    fn live(&self) -> Page {
        match self.hangs() {
            Some(what) => self.told(503, json!({"reason": "hangs", "message": what})),
            None => self.told(200, json!({})),
        }
    }

    fn ready(&self) -> Page {
        if let Some(what) = self.hangs() {
            return self.told(503, json!({"reason": "hangs", "message": what}));
        }
        let (reason, message) = match self.state() {
            "running" if self.run.gate.state() == Trading::Halted => ("halted", "trading is halted: no order leaves"),
            "running" => return self.told(200, json!({})),
            "starting" => ("starting", "strategies have not all been started"),
            "stopping" => ("stopping", "the run has been asked to stop"),
            _ => ("ended", "the run has come to its end"),
        };
        self.told(503, json!({"reason": reason, "message": message}))
    }

    fn told(&self, status: u16, more: Value) -> Page {
        let trading = self.run.gate.state().name();
        let mut facts = json!({"ok": status == 200, "run": self.run.run, "state": self.state(), "trading": trading});
        if let (Value::Object(facts), Value::Object(more)) = (&mut facts, more) {
            facts.extend(more);
        }
        Page { status, media: "application/json".to_owned(), body: format!("{facts}\n").into_bytes() }
    }

    fn metrics(&self) -> Page {
        // Relaxed: a limit, which guards nothing.
        let page = if self.scrapes.fetch_add(1, Ordering::Relaxed) < MAX_SCRAPES {
            (self.scrape)()
        } else {
            Page::text(503, "other scrapes are waiting for their answers")
        };
        self.scrapes.fetch_sub(1, Ordering::Relaxed);
        page
    }
}

impl Pages for Probes {
    fn page(&self, path: &str) -> Option<Page> {
        match path {
            "/livez" => Some(self.live()),
            "/readyz" => Some(self.ready()),
            "/metrics" => Some(self.metrics()),
            _ => None,
        }
    }

    fn look(&self) {
        let _ = self.hangs();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures how long the loop stands still; no decision of the run sees it"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes(deadline: Duration) -> Probes {
        let run = Probed {
            run: "live-1".to_owned(),
            names: vec!["ema".to_owned()],
            pulse: Arc::default(),
            beside: Arc::default(),
            stop: Arc::new(StopFlag::new()),
            gate: Arc::default(),
            call_deadline: deadline,
            rest_deadline: Duration::from_secs(60),
        };
        Probes::new(run, Box::new(|| Page::text(200, "metrics")))
    }

    fn asked(probes: &Probes, path: &str) -> (u16, String) {
        let page = probes.page(path).unwrap();
        let facts: Value = serde_json::from_slice(&page.body).unwrap();
        (page.status, facts["reason"].as_str().unwrap_or_default().to_owned())
    }

    #[test]
    fn ready_is_whoever_runs_and_may_trade() {
        let probes = probes(Duration::from_secs(60));
        assert_eq!(asked(&probes, "/readyz"), (503, "starting".to_owned()));
        probes.set_standing(Standing::Running);
        assert_eq!(asked(&probes, "/readyz").0, 200);
        probes.run.gate.set(Trading::Reducing);
        assert_eq!(asked(&probes, "/readyz").0, 200);
        probes.run.gate.set(Trading::Halted);
        assert_eq!(asked(&probes, "/readyz"), (503, "halted".to_owned()));
        probes.run.stop.request_stop();
        assert_eq!(asked(&probes, "/readyz"), (503, "stopping".to_owned()));
        probes.set_standing(Standing::Ended);
        assert_eq!(asked(&probes, "/readyz"), (503, "ended".to_owned()));
        assert_eq!(asked(&probes, "/livez").0, 200, "what ends is alive");
    }

    #[test]
    fn a_loop_that_stands_still_hangs_after_its_time_and_lives_again_once_it_goes_on() {
        let mut probes = probes(Duration::ZERO);
        probes.set_standing(Standing::Running);
        probes.run.pulse.enter(0, crate::dispatch::Doing::Timer);
        assert_eq!(asked(&probes, "/livez").0, 200, "the first look");
        let page = probes.page("/livez").unwrap();
        assert_eq!(page.status, 503);
        let text = String::from_utf8(page.body).unwrap();
        assert!(text.contains("strategy ema has not returned from on_timer for 0.0 s"), "{text}");
        assert_eq!(asked(&probes, "/readyz"), (503, "hangs".to_owned()));
        probes.run.pulse.rest();
        assert_eq!(asked(&probes, "/livez").0, 200);
        assert_eq!(asked(&probes, "/livez").0, 200, "at rest it has longer");
        probes.run.rest_deadline = Duration::ZERO;
        assert_eq!(asked(&probes, "/livez"), (503, "hangs".to_owned()));
        probes.run.pulse.enter(0, crate::dispatch::Doing::Stop);
        probes.set_standing(Standing::Ended);
        assert_eq!(asked(&probes, "/livez").0, 200);
        assert_eq!(asked(&probes, "/livez").0, 200, "its loop has come to its end, wherever it was looked at last");
    }

    #[test]
    fn an_io_thread_that_does_not_turn_hangs_too_and_one_that_rests_never_does() {
        let probes = probes(Duration::ZERO);
        probes.set_standing(Standing::Running);
        let beside = &probes.run.beside;
        assert_eq!(asked(&probes, "/livez").0, 200);
        assert_eq!(asked(&probes, "/livez").0, 200);
        beside.work_beside();
        assert_eq!(asked(&probes, "/livez").0, 200, "the first look");
        let text = String::from_utf8(probes.page("/livez").unwrap().body).unwrap();
        assert!(text.contains("a coroutine on the I/O thread has not returned for 0.0 s"), "{text}");
        assert_eq!(asked(&probes, "/readyz"), (503, "hangs".to_owned()));
        beside.work_beside();
        assert_eq!(asked(&probes, "/livez").0, 200, "it has turned");
        assert_eq!(asked(&probes, "/livez").0, 503);
        beside.rest();
        assert_eq!(asked(&probes, "/livez").0, 200);
        assert_eq!(asked(&probes, "/livez").0, 200);
    }

    #[test]
    fn scrapes_wait_for_one_another_only_as_far_as_probes_allow() {
        let probes = probes(Duration::ZERO);
        assert_eq!(probes.page("/metrics").unwrap().status, 200);
        probes.scrapes.store(MAX_SCRAPES, Ordering::Relaxed);
        assert_eq!(probes.page("/metrics").unwrap().status, 503);
        assert_eq!(probes.scrapes.load(Ordering::Relaxed), MAX_SCRAPES);
    }
}
