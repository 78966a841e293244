//! Strategies on lanes of their own, within the loop: what comes back from there.

use super::dispatcher::Dispatcher;
use super::host::{Fault, Hook, Host};
use super::run_error::RunError;
use super::step::Steps;
use super::subscriber::{Delivery, Subscription};
use crate::clock::LiveClock;
use crate::command::{Command, Sender};
use crate::handler::{Handler, Out};
use crate::lane::{LaneError, LanePlan, LaneRules, unpack};
use crate::lifecycle::State;
use crate::sync::Arc;

impl<H: Host> Dispatcher<H> {
    /// Adds a strategy in machine code whose handler is called on a thread of its own, and says its index. `sender` is that
    /// of this run's lanes ([`Self::open_lanes`]); with the run's `clock` the lane measures latencies.
    ///
    /// Where ticks come by their own time, in a backtest, there is no lane: the handler is called by the loop. In a run of a
    /// recording, register [`crate::lane::Silent`] instead and give it the recorded external inputs.
    ///
    /// # Errors
    /// The rules cannot be kept on this machine.
    pub fn register_on_lane(
        &mut self,
        subscription: &Subscription,
        handler: Box<dyn Handler + Send>,
        rules: LaneRules,
        sender: Sender<Command>,
        clock: Option<Arc<LiveClock>>,
    ) -> Result<u32, LaneError> {
        if self.arrival.is_none() {
            return Ok(self.register_handler(subscription, handler));
        }
        let strategy = self.steps.subscribers.len() as u32;
        let rules = LaneRules { takes_batches: matches!(subscription.delivery, Delivery::Batches(_)), ..rules };
        let plan = LanePlan::new(strategy, rules, sender, Arc::clone(&self.steps.stop), clock)?;
        let relay = plan.open(handler)?;
        self.lanes.push((strategy, Arc::clone(plan.meter())));
        Ok(self.register_handler(subscription, Box::new(relay)))
    }

    /// What is counted of the lanes that [`Self::register_on_lane`] has opened, by strategy.
    pub fn lanes(&self) -> &[(u32, Arc<crate::lane::LaneMeter>)] {
        &self.lanes
    }
}

impl<H: Host> Steps<H> {
    /// What a lane sends takes effect, as if its strategy's handler had been called here. What comes from a life that is over
    /// does nothing.
    pub(super) fn lane_input(&mut self, command: &Command) {
        let Some(sent) = unpack(command) else { return };
        let strategy = command.strategy;
        let subscriber = &self.subscribers[strategy as usize];
        if !subscriber.handler.as_ref().is_some_and(|handler| handler.is_elsewhere()) {
            // A recording of a run with lanes, and whoever runs it has not said so: every order would be made twice.
            self.run_error = Some(RunError::Diverged { position: self.desk.position() });
            return;
        }
        let acts = matches!(subscriber.state.get(), State::Running | State::Paused);
        if sent.life != subscriber.life || !acts {
            return;
        }
        let handler = match (sent.handler, &sent.tick) {
            (Some(name), _) => name,
            (None, Some(tick)) => self.host.tick_handler(strategy, tick),
            (None, None) => "on_tick",
        };
        let out = self.out.get_or_insert_with(Out::new);
        out.clear();
        let result = sent.said.map(|records| records.into_iter().for_each(|record| out.push(record)));
        self.settle(strategy, handler, sent.tick, result);
    }

    /// Waits, for as long as their rules say, until the lanes have done all that they were given.
    pub(super) fn rest_lanes(&mut self) {
        for handler in self.subscribers.iter_mut().filter_map(|one| one.handler.as_deref_mut()) {
            handler.come_to_rest();
        }
    }

    /// Calls a hook of the host, while no handler of the strategy is under way elsewhere. Where one does not come to an end
    /// there is no such moment, and no hook: the strategy fails by what the lane's end has sent.
    pub(super) fn host_hook(&mut self, strategy: u32, hook: Hook) -> Result<(), Fault<H::Failure>> {
        match self.subscribers[strategy as usize].handler.as_deref_mut().is_none_or(Handler::come_to_rest) {
            true => self.hook(strategy, hook),
            false => Ok(()),
        }
    }

    /// What a strategy has learned of its orders since its `on_stop` is kept too, for its next life.
    pub(super) fn keep_again(&mut self, strategy: u32) {
        if !self.is_alive(strategy) || !self.was_told_since(strategy) {
            return;
        }
        let handler = &mut self.subscribers[strategy as usize].handler;
        if handler.as_deref_mut().is_none_or(Handler::come_to_rest)
            && let Err(fault) = self.host.keep(strategy)
        {
            self.fault(strategy, Hook::Stop.name(), None, fault);
        }
    }
}
