//! The lives of strategies within the loop: each step of them, what waits for it, and their accounts.

use super::account::Account;
use super::host::{Fault, Hook, Host, LifeAnswer};
use super::pulse::Doing;
use super::request::Request;
use super::step::{ErrorRecord, Steps};
use super::winding::Winding;
use crate::digest::EventKind;
use crate::lifecycle::{
    Ask, Asked, Cause, Operation, PauseMode, State, StateChange, Ticket, Transition, by_run, by_strategy, transition,
};
use crate::source::Slice;
use crate::tick::Tick;
use crate::venue::{Order, OrderKey, OrderKind, OrderStatus, OrderUpdate};

/// How long one strategy that stops waits for venues outside, ns: less than who asks for it waits for an answer.
const ORDERS_NS: i64 = 4_000_000_000;

/// What becomes of a strategy once its orders have ended.
#[derive(Debug)]
pub(super) struct Pending {
    /// A stop, or a restart.
    ask: Ask,
    cause: Cause,
    /// Requests that are settled then.
    tickets: Vec<Ticket>,
    /// When it no longer waits for venues outside; `i64::MAX`: it has none to wait for.
    pub(super) due_ns: i64,
}

/// Says that `handler` raised; without a new text where it is one of those that there are.
fn raised(handler: &'static str) -> Cause {
    macro_rules! known {
        ($($name:literal),+) => {
            match handler {
                $($name => Cause::Borrowed(concat!($name, " raised")),)+
                _ => Cause::Owned(format!("{handler} raised")),
            }
        };
    }
    known!("on_tick", "on_quote", "on_trade", "on_bar", "on_batch", "on_timer", "on_order_update", "ticks")
}

impl<H: Host> Steps<H> {
    /// One step of a life, by the table.
    pub(super) fn operate(&mut self, strategy: u32, ask: Ask, cause: Cause) -> Transition {
        let from = self.subscribers[strategy as usize].state.get();
        let answer = transition(from, ask.operation);
        if let Transition::To(to) = answer {
            self.enter_state(strategy, ask, from, to, cause);
        }
        answer
    }

    fn enter_state(&mut self, strategy: u32, ask: Ask, from: State, to: State, cause: Cause) {
        self.subscribers[strategy as usize].state.set(to, ask.mode);
        let (position, now_ns) = (self.desk.position(), self.desk.now_ns());
        let payload = [from as u8, to as u8, ask.mode as u8];
        let length = if to == State::Paused { 3 } else { 2 };
        self.digest.event(position, strategy, EventKind::State, &payload[..length]);
        let change = StateChange { strategy, position, now_ns, ask, from, to, cause };
        self.host.changed(&change);
        self.desk.log().push(change);
    }

    /// Does what was asked for, and says so to whoever asked.
    pub(super) fn serve(&mut self, asked: Asked, slice: &Slice<'_>) {
        let Asked { strategy, ask, cause, ticket, .. } = asked;
        let answer = self.apply_ask(strategy, ask, cause, slice);
        let subscriber = &mut self.subscribers[strategy as usize];
        let state = subscriber.state.get();
        let ends = matches!(ask.operation, Operation::Stop | Operation::Restart);
        match &mut subscriber.pending {
            _ if ticket == 0 => {}
            Some(pending) if ends => pending.tickets.push(ticket),
            _ if answer == Transition::Refused => self.host.settled(ticket, strategy, LifeAnswer::Refused(state)),
            _ => self.host.settled(ticket, strategy, LifeAnswer::Done(state)),
        }
    }

    /// Moves a strategy as `ask` says, between two steps; a stop or a restart may have to wait for its orders.
    pub(super) fn apply_ask(&mut self, strategy: u32, ask: Ask, cause: Cause, slice: &Slice<'_>) -> Transition {
        let state = &self.subscribers[strategy as usize].state;
        let (from, is_stopping) = (state.get(), state.is_stopping());
        let answer = transition(from, ask.operation);
        let is_new_mode = ask.operation == Operation::Pause && state.pause_mode().is_some_and(|mode| mode != ask.mode);
        if answer != Transition::Refused && !(is_stopping && ask.operation == Operation::Pause) {
            self.subscribers[strategy as usize].supervisor.heed(ask, &cause);
        }
        match ask.operation {
            _ if answer == Transition::Refused => return answer,
            Operation::Pause | Operation::Resume if is_stopping => return Transition::Refused,
            Operation::Restart if self.is_ending || !self.host.is_renewable(strategy) => return Transition::Refused,
            Operation::Pause if is_new_mode => self.change_mode(strategy, ask, cause, slice),
            _ if answer == Transition::Already => return answer,
            Operation::Initialise | Operation::Start => drop(self.operate(strategy, ask, cause)),
            Operation::Pause => self.pause(strategy, ask, cause, slice),
            Operation::Resume => self.resume(strategy, ask, cause, slice),
            Operation::Fail => {
                self.record_error_because(strategy, cause.clone());
                self.fail(strategy, cause);
                self.judge(strategy);
            }
            Operation::Stop | Operation::Restart => self.end(strategy, ask, cause, slice),
        }
        self.apply_requests();
        answer
    }

    fn pause(&mut self, strategy: u32, ask: Ask, cause: Cause, slice: &Slice<'_>) {
        self.flush(slice, strategy);
        // The hook comes before the state, so that it may still act freely.
        if self.is_alive(strategy) && self.call_hook(strategy, Hook::Pause) {
            self.apply_requests();
            self.operate(strategy, ask, cause);
            if ask.mode == PauseMode::NoTicks {
                self.hold(strategy);
            }
        }
    }

    fn change_mode(&mut self, strategy: u32, ask: Ask, cause: Cause, slice: &Slice<'_>) {
        self.flush(slice, strategy);
        if self.subscribers[strategy as usize].state.get() == State::Paused {
            self.enter_state(strategy, ask, State::Paused, State::Paused, cause);
            match ask.mode {
                PauseMode::NoTicks => self.hold(strategy),
                PauseMode::NoNewOrders => self.release(strategy, slice),
            }
        }
    }

    fn resume(&mut self, strategy: u32, ask: Ask, cause: Cause, slice: &Slice<'_>) {
        self.flush(slice, strategy);
        if self.subscribers[strategy as usize].state.get() != State::Paused {
            return; // the batch made it fail
        }
        self.operate(strategy, ask, cause);
        if self.call_hook(strategy, Hook::Resume) {
            self.apply_requests();
            self.release(strategy, slice);
        }
    }

    /// Stops a strategy, or stops and renews it; one that acts is told, and keeps its order updates until its orders end.
    pub(super) fn end(&mut self, strategy: u32, ask: Ask, cause: Cause, slice: &Slice<'_>) {
        if let Some(pending) = &mut self.subscribers[strategy as usize].pending {
            pending.ask = ask;
            return;
        }
        if self.is_alive(strategy) {
            self.flush(slice, strategy);
            self.apply_requests();
        }
        if self.is_alive(strategy) && !matches!(self.subscribers[strategy as usize].winding, Winding::Over(_)) {
            if !self.call_hook(strategy, Hook::Stop) {
                if ask.operation == Operation::Restart {
                    self.renew(strategy, cause);
                }
                return;
            }
            self.apply_requests();
            self.desk.forget_timers(strategy);
            self.forget_absence(strategy);
            self.forget_spawns(strategy);
            self.cancel_resting(strategy);
            self.subscribers[strategy as usize].state.set_taken_back();
        }
        let tickets = Vec::new();
        let due_ns = if self.has_away() { self.desk.now_ns().saturating_add(ORDERS_NS) } else { i64::MAX };
        self.subscribers[strategy as usize].pending = Some(Box::new(Pending { ask, cause, tickets, due_ns }));
        self.look_at_end(strategy);
        self.life_ns = self.next_life_ns();
        self.set_gate();
    }

    /// A strategy that stops has waited long enough for venues outside: it is over, and its change says how many orders are
    /// still open. Those of the simulated venue end with its ticks, and are waited for.
    pub(super) fn give_up_orders(&mut self, strategy: u32) {
        let open: Vec<u32> =
            self.desk.book.borrow().open_orders(Some(strategy)).iter().map(|order| order.instrument).collect();
        let (is_ended, again_ns) = (self.is_ended(), self.desk.now_ns().saturating_add(ORDERS_NS));
        let has_near = open.iter().any(|&instrument| !self.venue.is_away(instrument));
        let Some(pending) = &mut self.subscribers[strategy as usize].pending else { return };
        // The end of the run has deadlines of its own.
        pending.due_ns = if is_ended { i64::MAX } else { again_ns };
        if is_ended || has_near {
            return;
        }
        if !open.is_empty() {
            pending.cause = Cause::Owned(format!("{}; orders still open: {}", pending.cause, open.len()));
        }
        self.end_pending(strategy);
    }

    /// Completes the end of a strategy that was waiting for its orders, once they are done.
    #[inline]
    pub(super) fn look_at_end(&mut self, strategy: u32) {
        let subscriber = &self.subscribers[strategy as usize];
        let is_winding = subscriber.winding != Winding::No;
        if subscriber.pending.is_some() {
            self.complete_end(strategy);
        }
        if is_winding {
            self.wind_on(strategy);
        }
    }

    #[cold]
    fn complete_end(&mut self, strategy: u32) {
        self.apply_requests();
        let waits = self.is_alive(strategy) && self.desk.book.borrow().open_count(strategy) > 0;
        let told = self.updates.iter().all(|update| update.order.key.strategy != strategy);
        if !waits && told {
            self.end_pending(strategy);
        }
    }

    fn end_pending(&mut self, strategy: u32) {
        let Some(pending) = self.subscribers[strategy as usize].pending.take() else { return };
        let Pending { ask, cause, tickets, .. } = *pending;
        self.operate(strategy, Ask::new(Operation::Stop), cause.clone());
        if ask.operation == Operation::Restart {
            self.renew(strategy, cause);
        }
        self.settle_tickets(strategy, &tickets);
        self.set_gate();
    }

    fn settle_tickets(&mut self, strategy: u32, tickets: &[Ticket]) {
        let state = self.subscribers[strategy as usize].state.get();
        tickets.iter().for_each(|&ticket| self.host.settled(ticket, strategy, LifeAnswer::Done(state)));
    }

    /// A new object takes the place of one that is over, and starts.
    fn renew(&mut self, strategy: u32, cause: Cause) {
        self.operate(strategy, Ask::new(Operation::Restart), cause.clone());
        self.desk.pulse().enter(strategy, Doing::Renew);
        match self.host.renew(strategy) {
            Ok(handler) => {
                let subscriber = &mut self.subscribers[strategy as usize];
                subscriber.handler = handler;
                subscriber.life += 1;
                subscriber.winding = Winding::No;
                subscriber.tags.clear();
                self.routes.reset(strategy, subscriber.instruments.as_deref());
                self.operate(strategy, Ask::new(Operation::Initialise), cause.clone());
                self.start_one(strategy, cause);
                self.pause_again(strategy);
                self.apply_requests();
            }
            Err(fault) => self.fault(strategy, "restart", None, fault),
        }
    }

    /// What somebody has paused stays so when supervision has put a new object in its place, which has just started: before
    /// anything that it asked for is done. Its orders may only reduce from its start on.
    fn pause_again(&mut self, strategy: u32) {
        let Some(mode) = self.subscribers[strategy as usize].supervisor.paused else { return };
        if self.is_alive(strategy) && self.call_hook(strategy, Hook::Pause) {
            let ask = Ask { operation: Operation::Pause, mode };
            self.operate(strategy, ask, Cause::Borrowed("supervision: it was paused before"));
            if mode == PauseMode::NoTicks {
                self.hold(strategy);
            }
        }
    }

    pub(super) fn hook(&mut self, strategy: u32, hook: Hook) -> Result<(), Fault<H::Failure>> {
        let doing = match hook {
            Hook::Start => Doing::Start,
            Hook::Stop => Doing::Stop,
            Hook::Pause => Doing::Pause,
            Hook::Resume => Doing::Resume,
        };
        self.desk.pulse().enter(strategy, doing);
        self.host.hook(strategy, hook)
    }

    /// What the handler raises is the strategy's failure, and none of the command's sender. One that waits for its start is
    /// told too; one that is over has nothing left to tell.
    pub(super) fn tell_of_command(&mut self, strategy: u32, number: u64) {
        if matches!(self.subscribers[strategy as usize].state.get(), State::Stopped | State::Failed) {
            return;
        }
        self.desk.pulse().enter(strategy, Doing::Event);
        if let Err(fault) = self.host.commanded(strategy, number) {
            self.fault(strategy, "on_event", None, fault);
        }
    }

    pub(super) fn is_alive(&self, strategy: u32) -> bool {
        self.subscribers[strategy as usize].state.takes_updates()
    }

    /// Calls a hook of the handler in machine code, where there is one, and of the host; says whether the strategy is none
    /// the worse for it.
    pub(super) fn call_hook(&mut self, strategy: u32, hook: Hook) -> bool {
        let is_first = matches!(hook, Hook::Start | Hook::Resume);
        let has_handler = self.subscribers[strategy as usize].handler.is_some();
        if has_handler && !is_first {
            self.machine_hook(strategy, hook);
        }
        if self.is_alive(strategy)
            && let Err(fault) = self.host_hook(strategy, hook)
        {
            self.fault(strategy, hook.name(), None, fault);
        }
        if has_handler && is_first && self.is_alive(strategy) {
            self.machine_hook(strategy, hook);
        }
        self.is_alive(strategy)
    }

    /// Starts strategies, in their order, up to loop position `until`.
    pub(super) fn start(&mut self, until: u64) {
        for strategy in 0..self.subscribers.len() as u32 {
            if self.halted().is_some() || self.desk.position() >= until.min(self.limit) {
                break;
            }
            if self.subscribers[strategy as usize].state.get() == State::Initialised {
                self.next_position();
                self.start_one(strategy, by_run());
                if self.has_requests() {
                    self.apply_requests();
                }
            }
        }
        self.set_gate();
    }

    fn start_one(&mut self, strategy: u32, cause: Cause) {
        self.operate(strategy, Ask::new(Operation::Start), cause);
        if self.subscribers[strategy as usize].supervisor.paused.is_some() {
            self.subscribers[strategy as usize].state.set_reducing(); // see `pause_again`
        }
        self.call_hook(strategy, Hook::Start);
    }

    /// Timers that are due by now still fire, updates arrive, batches are flushed.
    pub(super) fn end_of_data(&mut self, slice: &Slice<'_>) {
        let now_ns = self.desk.now_ns();
        self.before_key(slice, now_ns.saturating_add(1));
        self.flush_all(slice);
        self.before_key(slice, now_ns.saturating_add(1));
    }

    pub(super) fn stop_all(&mut self, slice: &Slice<'_>) {
        self.is_ending = true;
        for strategy in (0..self.subscribers.len() as u32).rev() {
            if self.is_to_stop(strategy) {
                self.next_position();
                self.flush(slice, strategy);
                self.apply_requests();
                if self.is_alive(strategy) {
                    self.call_hook(strategy, Hook::Stop);
                    self.apply_requests();
                }
            }
            self.tell_rest(slice, strategy);
            self.keep_again(strategy);
            if self.subscribers[strategy as usize].state.get() != State::Failed {
                self.operate(strategy, Ask::new(Operation::Stop), by_run());
            }
        }
        while let Some(update) = self.updates.pop_front() {
            self.tell(slice, &update);
        }
        self.close_inbox();
        self.forget_all_spawns();
    }

    /// What has happened to the orders of a strategy by the end of its life.
    fn tell_rest(&mut self, slice: &Slice<'_>, strategy: u32) {
        let is_mine = |update: &OrderUpdate| update.order.key.strategy == strategy;
        let mine: Vec<OrderUpdate> = self.updates.iter().copied().filter(is_mine).collect();
        self.updates.retain(|update| !is_mine(update));
        for update in &mine {
            self.tell(slice, update);
        }
    }

    /// Whoever still waits for an answer gets one.
    pub(super) fn close_inbox(&mut self) {
        self.inbox.close();
        while let Some(asked) = self.inbox.take() {
            let state = self.subscribers[asked.strategy as usize].state.get();
            self.host.settled(asked.ticket, asked.strategy, LifeAnswer::Over(state));
        }
        for strategy in 0..self.subscribers.len() as u32 {
            if let Some(pending) = self.subscribers[strategy as usize].pending.take() {
                self.settle_tickets(strategy, &pending.tickets);
            }
        }
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
                self.fail(strategy, raised(handler));
                // Whoever asked for its end has it.
                if handler != Hook::Stop.name() {
                    self.judge(strategy);
                }
            }
            Fault::Interrupted(failure) => self.interruption = Some(failure),
            Fault::Ended => self.end_life(strategy),
        }
    }

    /// A strategy wants no more: `on_stop` runs, its timers are forgotten, its orders stand.
    fn end_life(&mut self, strategy: u32) {
        match self.host_hook(strategy, Hook::Stop) {
            Ok(()) | Err(Fault::Ended) => {
                self.operate(strategy, Ask::new(Operation::Stop), by_strategy());
                self.desk.forget_timers(strategy);
                self.forget_absence(strategy);
                self.forget_spawns(strategy);
                self.set_gate();
            }
            Err(fault) => self.fault(strategy, "on_stop", None, fault),
        }
    }

    pub(super) fn record_error(
        &mut self,
        strategy: u32,
        handler: &'static str,
        input: Option<Tick>,
        failure: Option<H::Failure>,
    ) {
        let (position, now_ns) = (self.desk.position(), self.desk.now_ns());
        let nothing = failure.is_none();
        let reason = if nothing { "the strategy kept the clock from moving for 100000 steps" } else { "" };
        let reason = Cause::Borrowed(reason);
        self.errors.push(ErrorRecord { strategy, position, now_ns, handler, input, failure, reason });
    }

    /// An error that nobody raised: somebody said that the strategy has failed.
    fn record_error_because(&mut self, strategy: u32, reason: Cause) {
        let (position, now_ns) = (self.desk.position(), self.desk.now_ns());
        let (handler, input, failure) = ("fail", None, None);
        self.errors.push(ErrorRecord { strategy, position, now_ns, handler, input, failure, reason });
    }

    /// Stops a strategy: what it asked for in this step is void, its orders are canceled, its timers forgotten.
    pub(super) fn fail(&mut self, strategy: u32, cause: Cause) {
        self.operate(strategy, Ask::new(Operation::Fail), cause);
        self.void_requests(strategy);
        self.forget_spawns(strategy);
        if self.is_reporting {
            self.fallen.push(strategy);
        } else {
            self.drop_orders(strategy);
        }
        self.desk.forget_timers(strategy);
        self.forget_absence(strategy);
        let subscriber = &mut self.subscribers[strategy as usize];
        let discarded = subscriber.batcher.discard() as u64;
        subscriber.tallies.settle(discarded, |tally, count| tally.failed += count);
        if let Some(pending) = subscriber.pending.take() {
            self.settle_tickets(strategy, &pending.tickets);
        }
        self.discard_latest(strategy);
        // What the strategy waited for is gone, so the gate may be too early, which the next look mends; but its orders may
        // have ended. To look at all others here would make the failure of many cost the square of their number.
        if !self.is_quiet() {
            self.gate = i64::MIN;
        }
    }

    fn keep_request(&self, request: Request) {
        self.desk.requests.borrow_mut().push(request);
    }

    /// What a strategy asked for in this step is void; what others ask of it is not.
    fn void_requests(&mut self, strategy: u32) {
        let requests = std::mem::take(&mut *self.desk.requests.borrow_mut());
        for request in requests {
            match request {
                // In the book, but in no position: rejecting it is all there is to do.
                Request::HoldBack(key) if key.strategy == strategy => self.hold_back(key),
                Request::Spawn(key) if key.strategy == strategy => self.void_spawn(key),
                Request::Life { ref cause, .. } if *cause != by_strategy() => self.keep_request(request),
                _ if request.strategy() == strategy => {}
                _ => self.keep_request(request),
            }
        }
        self.asked.retain(|asked| asked.strategy != strategy || asked.cause != by_strategy());
    }

    /// Takes back what a failed strategy has ordered.
    pub(super) fn drop_orders(&mut self, strategy: u32) {
        let open: Vec<OrderKey> =
            self.desk.book.borrow().open_orders(Some(strategy)).iter().map(|order| order.key).collect();
        open.into_iter().for_each(|key| self.drop_order(key));
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

    /// Orders that may wait for ever are taken back: a strategy that stops is told of the end of each.
    pub(super) fn cancel_resting(&mut self, strategy: u32) {
        let resting: Vec<OrderKey> = {
            let book = self.desk.book.borrow();
            let rests = |order: &&&Order| order.terms.kind != OrderKind::Market;
            book.open_orders(Some(strategy)).iter().filter(rests).map(|order| order.key).collect()
        };
        resting.into_iter().for_each(|key| self.cancel_order(key));
    }

    pub(super) fn accounts(&self) -> Vec<Account> {
        self.subscribers.iter().map(|subscriber| subscriber.account(self.inputs)).collect()
    }
}
