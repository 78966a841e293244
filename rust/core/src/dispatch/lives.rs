//! The lives of strategies within the loop: starting, stopping, failing, and their accounts.

use super::account::Account;
use super::host::{Fault, Hook, Host};
use super::request::Request;
use super::step::{ErrorRecord, Steps};
use crate::digest::EventKind;
use crate::lifecycle::{Operation, State, Transition};
use crate::source::Slice;
use crate::tick::Tick;
use crate::venue::{Order, OrderKey, OrderStatus};

impl<H: Host> Steps<H> {
    pub(super) fn operate(&mut self, strategy: u32, operation: Operation) -> Transition {
        let subscriber = &self.subscribers[strategy as usize];
        let from = subscriber.state.get();
        let answer = subscriber.state.apply(operation);
        if let Transition::To(to) = answer {
            self.digest.event(self.desk.position(), strategy, EventKind::State, &[from as u8, to as u8]);
        }
        answer
    }

    pub(super) fn apply_operation(&mut self, strategy: u32, operation: Operation, slice: &Slice<'_>) -> Transition {
        self.flush(slice, strategy);
        let answer = match operation {
            Operation::Fail => {
                self.fail(strategy);
                Transition::To(State::Failed)
            }
            _ => self.operate(strategy, operation),
        };
        if answer == Transition::To(State::Stopped) {
            self.forget_spawns(strategy);
        }
        self.apply_requests();
        answer
    }

    pub(super) fn start(&mut self) {
        for strategy in 0..self.subscribers.len() as u32 {
            if self.halted().is_some() || self.desk.position() >= self.limit {
                return;
            }
            self.next_position();
            self.operate(strategy, Operation::Start);
            if let Err(fault) = self.host.hook(strategy, Hook::Start) {
                self.fault(strategy, "on_start", None, fault);
            } else if self.subscribers[strategy as usize].handler.is_some() {
                self.machine_hook(strategy, Hook::Start);
            }
            self.apply_requests();
        }
    }

    /// Timers that are due by now still fire, updates arrive, batches are flushed.
    pub(super) fn end_of_data(&mut self, slice: &Slice<'_>) {
        let now_ns = self.desk.now_ns();
        self.before_key(slice, now_ns.saturating_add(1));
        self.flush_all(slice);
        self.before_key(slice, now_ns.saturating_add(1));
    }

    pub(super) fn stop_all(&mut self, slice: &Slice<'_>) {
        for strategy in (0..self.subscribers.len() as u32).rev() {
            if matches!(self.subscribers[strategy as usize].state.get(), State::Running | State::Paused) {
                self.next_position();
                self.flush(slice, strategy);
                self.apply_requests();
            }
            if matches!(self.subscribers[strategy as usize].state.get(), State::Running | State::Paused) {
                if self.subscribers[strategy as usize].handler.is_some() {
                    self.machine_hook(strategy, Hook::Stop);
                }
                if let Err(fault) = self.host.hook(strategy, Hook::Stop) {
                    self.fault(strategy, "on_stop", None, fault);
                }
                self.apply_requests();
            }
            if self.subscribers[strategy as usize].state.get() != State::Failed {
                self.operate(strategy, Operation::Stop);
            }
        }
        while let Some(update) = self.updates.pop_front() {
            self.tell(slice, &update);
        }
        self.forget_all_spawns();
    }

    #[cold]
    pub(super) fn fault(
        &mut self,
        strategy: u32,
        handler: &'static str,
        input: Option<Tick>,
        fault: Fault<H::Failure>,
    ) {
        match fault {
            Fault::Failed(failure) => {
                self.record_error(strategy, handler, input, Some(failure));
                self.fail(strategy);
            }
            Fault::Interrupted(failure) => self.interruption = Some(failure),
            Fault::Ended => self.end_life(strategy),
        }
    }

    /// A strategy wants no more: `on_stop` runs, its timers are forgotten, its orders stand.
    fn end_life(&mut self, strategy: u32) {
        match self.host.hook(strategy, Hook::Stop) {
            Ok(()) | Err(Fault::Ended) => {
                self.operate(strategy, Operation::Stop);
                self.desk.forget_timers(strategy);
                self.forget_spawns(strategy);
                self.set_gate();
            }
            Err(fault) => self.fault(strategy, "on_stop", None, fault),
        }
    }

    fn void_requests(&mut self, strategy: u32) {
        let mut void = Vec::new();
        self.desk.requests.borrow_mut().retain(|request| {
            let is_mine = request.strategy() == strategy;
            if let (true, Request::Spawn(key)) = (is_mine, request) {
                void.push(*key);
            }
            !is_mine
        });
        void.into_iter().for_each(|key| self.void_spawn(key));
    }

    pub(super) fn record_error(
        &mut self,
        strategy: u32,
        handler: &'static str,
        input: Option<Tick>,
        failure: Option<H::Failure>,
    ) {
        let (position, now_ns) = (self.desk.position(), self.desk.now_ns());
        self.errors.push(ErrorRecord { strategy, position, now_ns, handler, input, failure });
    }

    /// Stops a strategy: what it asked for in this step is void, its orders are canceled, its timers forgotten.
    pub(super) fn fail(&mut self, strategy: u32) {
        self.operate(strategy, Operation::Fail);
        self.void_requests(strategy);
        self.forget_spawns(strategy);
        let open: Vec<OrderKey> = {
            let book = self.desk.book.borrow();
            let mine = |order: &&Order| order.key.strategy == strategy && !order.status.is_final();
            book.all().iter().filter(mine).map(|order| order.key).collect()
        };
        for key in open {
            self.drop_order(key);
        }
        self.desk.forget_timers(strategy);
        let subscriber = &mut self.subscribers[strategy as usize];
        let discarded = subscriber.batcher.discard() as u64;
        subscriber.tallies.settle(discarded, |tally, count| tally.failed += count);
        self.set_gate();
    }

    /// An order of a failed strategy: taken back where it stands, void where it has not left.
    fn drop_order(&mut self, key: OrderKey) {
        let status = self.desk.book.borrow().get(key).map(|order| order.status);
        if status == Some(OrderStatus::Pending) {
            let update = self.close_order(key, OrderStatus::Canceled, "strategy failed", self.desk.now_ns());
            self.updates.push_back(update);
        } else {
            self.cancel_order(key);
        }
    }

    pub(super) fn accounts(&self) -> Vec<Account> {
        self.subscribers.iter().map(|subscriber| subscriber.account(self.inputs)).collect()
    }
}
