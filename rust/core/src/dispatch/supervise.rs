//! Supervision: what becomes of a strategy that has failed, by a rule that is fixed before the run.
//!
//! By the loop's clock and the run's seed alone, so that a rerun restarts at the same positions.

use std::collections::VecDeque;

use super::dispatcher::Dispatcher;
use super::host::Host;
use super::step::Steps;
use super::subscriber::Subscriber;
use crate::lifecycle::{Ask, Cause, Operation, PauseMode, State, by_strategy};
use crate::source::Slice;
use crate::venue::Random;

/// What is done about a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It stays FAILED, and the others go on.
    #[default]
    Stop,
    /// A new object takes its place, as long as the budget lasts.
    Restart,
    /// The run stops.
    StopRuntime,
}

impl OnError {
    /// The rule as users name it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "stop" => Some(Self::Stop),
            "restart" => Some(Self::Restart),
            "stop_runtime" => Some(Self::StopRuntime),
            _ => None,
        }
    }
}

/// A strategy's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supervision {
    /// What is done about a failure.
    pub on_error: OnError,
    /// Whether the run stops once the strategy stays FAILED.
    pub is_critical: bool,
    /// Most restarts within `within_ns`.
    pub max_restarts: u32,
    /// The time over which restarts are counted, ns.
    pub within_ns: i64,
    /// How long the first restart waits, ns; each further one within that time waits twice as long.
    pub backoff_ns: i64,
    /// Longest wait, ns.
    pub max_backoff_ns: i64,
}

impl Default for Supervision {
    /// A failure is final and harms nobody else; one restart a minute where restarts are asked for.
    fn default() -> Self {
        Self {
            on_error: OnError::Stop,
            is_critical: false,
            max_restarts: 1,
            within_ns: 60_000_000_000,
            backoff_ns: 1_000_000_000,
            max_backoff_ns: 60_000_000_000,
        }
    }
}

/// The rule at work.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    rule: Supervision,
    /// When the restarts were that still count.
    recent: VecDeque<i64>,
    /// How many there were in all.
    restarts: u32,
    /// When the next one is due.
    pub(super) due_ns: Option<i64>,
    /// How somebody else than the strategy has paused it, until somebody says otherwise: no failure undoes that.
    pub(super) paused: Option<PauseMode>,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Stay,
    Restart,
    StopRun,
}

impl Supervisor {
    /// Somebody asks for a step of the strategy's life, which may be taken.
    pub(super) fn heed(&mut self, ask: Ask, cause: &Cause) {
        match ask.operation {
            Operation::Pause if *cause != by_strategy() => self.paused = Some(ask.mode),
            Operation::Resume | Operation::Stop | Operation::Restart => self.paused = None,
            _ => {}
        }
    }

    /// The failure is at `now_ns`; `seed` is the run's and the strategy's.
    fn judge(&mut self, now_ns: i64, seed: u64) -> Verdict {
        let escalated = if self.rule.is_critical { Verdict::StopRun } else { Verdict::Stay };
        match self.rule.on_error {
            OnError::Stop => escalated,
            OnError::StopRuntime => Verdict::StopRun,
            OnError::Restart => {
                let within_ns = self.rule.within_ns;
                self.recent.retain(|&at_ns| now_ns.saturating_sub(at_ns) < within_ns);
                if self.recent.len() >= self.rule.max_restarts as usize {
                    return escalated;
                }
                self.due_ns = Some(now_ns.saturating_add(self.wait_ns(seed)));
                Verdict::Restart
            }
        }
    }

    /// From half of the backoff to all of it: strategies that fell by one cause do not come back at once.
    fn wait_ns(&self, seed: u64) -> i64 {
        let doublings = self.recent.len().min(62) as u32;
        let longest = self.rule.backoff_ns.saturating_mul(1_i64 << doublings).min(self.rule.max_backoff_ns);
        let part = Random::new(seed.wrapping_add(u64::from(self.restarts))).unit();
        (longest as f64 * (0.5 + part / 2.0)) as i64
    }
}

impl<H: Host> Dispatcher<H> {
    /// Gives a strategy a rule for its failures, before the run begins.
    pub fn supervise(&mut self, strategy: u32, rule: Supervision) {
        self.steps.subscribers[strategy as usize].supervisor.rule = rule;
    }

    /// The strategy whose failure has stopped the run, if one's has.
    pub fn stopped_by(&self) -> Option<u32> {
        self.steps.stopped_by
    }

    /// How often supervision has restarted each strategy, in order of registration.
    pub fn restarts(&self) -> impl Iterator<Item = u32> {
        self.steps.subscribers.iter().map(|one| one.supervisor.restarts)
    }
}

impl<H: Host> Steps<H> {
    /// Decides what becomes of `strategy`, which has just failed.
    pub(super) fn judge(&mut self, strategy: u32) {
        if self.is_ending || self.subscribers[strategy as usize].state.get() != State::Failed {
            return;
        }
        let (now_ns, seed) = (self.desk.now_ns(), self.seed ^ u64::from(strategy).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        match self.subscribers[strategy as usize].supervisor.judge(now_ns, seed) {
            Verdict::Stay => {}
            Verdict::Restart => {
                self.life_ns = self.next_life_ns();
                self.set_gate();
            }
            Verdict::StopRun => {
                self.stopped_by.get_or_insert(strategy);
                // What a live run does to end stands in its recording, after what it took meanwhile.
                if !self.ends_as_recorded {
                    self.stop.request_stop();
                }
            }
        }
    }

    pub(super) fn next_life_ns(&self) -> i64 {
        self.subscribers.iter().map(Subscriber::life_ns).min().unwrap_or(i64::MAX)
    }

    /// Carries out what is due first of the lives of strategies: a restart, or the end of one that waits for its orders.
    #[cold]
    pub(super) fn due_life_step(&mut self, slice: &Slice<'_>) {
        let due_ns = self.life_ns;
        let Some(strategy) = self.subscribers.iter().position(|one| one.life_ns() == due_ns) else {
            self.life_ns = self.next_life_ns(); // a stop that has come to its end
            return;
        };
        if self.subscribers[strategy].supervisor.due_ns == Some(due_ns) {
            self.restart_step(strategy, due_ns, slice);
        } else {
            self.enter_time(due_ns);
            self.give_up_orders(strategy as u32);
            self.life_ns = self.next_life_ns();
            self.apply_requests();
        }
    }

    fn enter_time(&mut self, due_ns: i64) {
        self.next_position();
        if due_ns > self.desk.now_ns() {
            self.desk.advance_clock(due_ns);
            self.steps_at_one_time = 0;
        }
    }

    fn restart_step(&mut self, strategy: usize, due_ns: i64, slice: &Slice<'_>) {
        let supervisor = &mut self.subscribers[strategy].supervisor;
        supervisor.due_ns = None;
        // Nobody starts any more where `on_stop` is being called.
        let is_failed = !self.is_ending && self.subscribers[strategy].state.get() == State::Failed;
        self.life_ns = self.next_life_ns();
        self.enter_time(due_ns);
        // Somebody else may have restarted or stopped it meanwhile.
        if is_failed {
            let supervisor = &mut self.subscribers[strategy].supervisor;
            supervisor.restarts += 1;
            supervisor.recent.push_back(due_ns);
            let cause = Cause::Owned(format!("supervision: restart {}", supervisor.restarts));
            if self.host.is_renewable(strategy as u32) {
                self.end(strategy as u32, Ask::new(Operation::Restart), cause, slice);
            }
        }
        self.apply_requests();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn supervisor(rule: Supervision) -> Supervisor {
        Supervisor { rule, ..Supervisor::default() }
    }

    fn restarted(supervisor: &mut Supervisor, now_ns: i64) -> Option<i64> {
        let due_ns = (supervisor.judge(now_ns, 7) == Verdict::Restart).then(|| supervisor.due_ns.take()).flatten()?;
        supervisor.restarts += 1;
        supervisor.recent.push_back(due_ns);
        Some(due_ns)
    }

    #[test]
    fn the_budget_is_per_time_and_then_a_failure_is_final() {
        let rule = Supervision { on_error: OnError::Restart, ..Supervision::default() };
        let mut one = supervisor(rule);
        let first = restarted(&mut one, 0).expect("within the budget");
        assert!((S / 2..=S).contains(&first));
        assert_eq!(one.judge(first + 59 * S, 7), Verdict::Stay);
        assert!(restarted(&mut one, first + 60 * S).is_some(), "the first one no longer counts");
        let mut critical = supervisor(Supervision { is_critical: true, max_restarts: 0, ..rule });
        assert_eq!(critical.judge(0, 7), Verdict::StopRun);
    }

    #[test]
    fn waits_double_up_to_the_longest_and_depend_on_the_seed_alone() {
        let rule = Supervision {
            on_error: OnError::Restart,
            max_restarts: 100,
            within_ns: i64::MAX,
            max_backoff_ns: 8 * S,
            ..Supervision::default()
        };
        let waits = |seed: u64| {
            let mut one = supervisor(rule);
            let mut wait = move || {
                one.judge(0, seed);
                one.restarts += 1;
                one.recent.push_back(0);
                one.due_ns.take().expect("within the budget")
            };
            (0..6).map(|_| wait()).collect::<Vec<_>>()
        };
        for (wait, longest) in waits(1).into_iter().zip([1, 2, 4, 8, 8, 8]) {
            assert!((longest * S / 2..=longest * S).contains(&wait), "{wait} of {longest} s");
        }
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    #[test]
    fn every_rule_has_its_verdict() {
        for (on_error, is_critical, verdict) in [
            (OnError::Stop, false, Verdict::Stay),
            (OnError::Stop, true, Verdict::StopRun),
            (OnError::StopRuntime, false, Verdict::StopRun),
        ] {
            assert_eq!(
                supervisor(Supervision { on_error, is_critical, ..Supervision::default() }).judge(0, 0),
                verdict
            );
        }
        assert_eq!(OnError::from_name("restart"), Some(OnError::Restart));
        assert_eq!(OnError::from_name("never"), None);
    }
}
