//! The end of a live run that is to stop: orders are taken back and positions closed before `on_stop`, as far as each
//! strategy's rule goes, while the loop goes on for the answers. What `on_stop` itself orders may only reduce where it leaves
//! the process, and is awaited too. While orders are being taken back none is let in that could rest.
//!
//! Whoever drives the loop has the deadlines; here is what happens, and it is an input of its own, so that a replay of the
//! recorded inputs does the same.

use super::dispatcher::Dispatcher;
use super::host::{Hook, Host};
use super::step::Steps;
use crate::command::{Command, CommandKind, Lane, NO_STRATEGY};
use crate::source::Slice;
use crate::stop::HURRY;
use crate::venue::{Order, OrderKey, OrderStatus};

/// What the input says that begins an end: nothing, orders and positions end by their rules; this, `on_stop` runs.
const HOOKS: u8 = 1;

/// What becomes of a strategy's orders and positions when the run is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Open orders stay where they are, instead of being taken back.
    pub leaves_orders: bool,
    /// Positions are brought to zero, instead of being kept.
    pub closes_positions: bool,
}

/// How far a strategy's end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Winding {
    /// It has not begun.
    #[default]
    No,
    /// Its orders are being taken back.
    Orders,
    /// Its positions are being closed, or nothing is left to do.
    Closing,
    /// `on_stop` has run at this loop position: orders made since are awaited.
    Over(u64),
}

/// What the end of a run has not come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Residue {
    /// An order that was to be taken back, or to close a position, is still open.
    Order {
        /// Which.
        order: OrderKey,
        /// In which instrument.
        instrument: u32,
    },
    /// A position that was to be closed.
    Position {
        /// Whose.
        strategy: u32,
        /// In which instrument.
        instrument: u32,
        /// How much is left.
        net: f64,
        /// The order that was to close it and why the gate has refused it, where that is how it came.
        refused: Option<(u32, String)>,
    },
}

impl<H: Host> Dispatcher<H> {
    /// Gives a strategy a rule for the end of the run, before it begins.
    pub fn end_by(&mut self, strategy: u32, ending: Ending) {
        self.steps.subscribers[strategy as usize].ending = ending;
    }

    /// From now on a stop that was asked for lets the loop go on, and only a hurried one halts it; so does what interrupted a
    /// handler.
    pub fn begin_ending(&mut self) {
        self.complete_pull();
        self.steps.halts_on = HURRY;
        self.steps.heeds = self.externals.heeds(HURRY);
    }

    /// Whether positions are to be closed, which at a simulated venue takes ticks.
    pub fn has_positions_to_close(&self) -> bool {
        (0..self.steps.subscribers.len() as u32).any(|strategy| self.steps.has_to_close(strategy))
    }

    /// Whether an order that has left the process is not done: a run whose data has ended still has to hear of it.
    pub fn has_orders_away(&self) -> bool {
        let (desk, venue) = (&self.steps.desk, &self.steps.venue);
        let is_out = |order: &Order| !order.status.is_final() && venue.is_away(order.instrument);
        let is_busy = (0..desk.strategy_count()).any(|strategy| self.steps.open_count(strategy) > 0);
        is_busy && desk.with_orders(|book| book.all().iter().any(is_out))
    }

    /// Whether all feeds have ended and everything was taken.
    pub fn is_drained(&self) -> bool {
        self.steps.is_drained
    }

    /// Takes orders back and closes positions by the strategies' rules, where there are any: no strategy gets ticks or timers
    /// from now on, and its orders may only reduce.
    pub fn wind_down(&mut self) {
        if self.steps.halted().is_none() && self.steps.has_to_wind() {
            let command = Command::new(CommandKind::ENDING, NO_STRATEGY, []);
            self.steps.external_step(&self.source.current(), Lane::Control, command);
        }
    }

    /// Whether orders can leave the process.
    pub fn has_venues_away(&self) -> bool {
        self.steps.has_away()
    }

    /// Runs `on_stop` before [`Self::finish`] does, the last strategy first, where orders can leave the process: those that it
    /// makes may only reduce, and what does not end by itself is taken back, or left, by its strategy's rule. The loop can go on
    /// for the answers; it is an input like [`Self::wind_down`].
    pub fn call_stops(&mut self) {
        if !self.is_finished() && self.has_venues_away() {
            self.begin_ending();
            let command = Command::new(CommandKind::ENDING, NO_STRATEGY, [HOOKS]);
            self.steps.external_step(&self.source.current(), Lane::Control, command);
        }
    }

    /// Whether answers are awaited that end an order or a position.
    pub fn is_awaiting(&self) -> bool {
        // What is known and was not told yet is awaited too: `on_stop` comes after it.
        !self.steps.updates.is_empty()
            || (0..self.steps.subscribers.len() as u32).any(|strategy| self.steps.is_awaited(strategy))
    }

    /// What was to be done with orders and positions and is not, as things stand; of a run that did not wind down, orders that
    /// `on_stop` made.
    pub fn residue(&self, has_wound: bool) -> Vec<Residue> {
        let desk = &self.steps.desk;
        let ending = |strategy: u32| self.steps.subscribers[strategy as usize].ending;
        let is_left = |order: &&Order| self.steps.is_left(order, has_wound);
        let mut residue: Vec<Residue> = desk.with_orders(|book| {
            let open = book.all().iter().filter(is_left);
            open.map(|order| Residue::Order { order: order.key, instrument: order.instrument }).collect()
        });
        for strategy in (0..desk.strategy_count()).filter(|&strategy| has_wound && ending(strategy).closes_positions) {
            for instrument in 0..desk.instruments().len() as u32 {
                let net = desk.with_portfolio(|portfolio| portfolio.position(strategy, instrument).net);
                if net != 0.0 {
                    let refused = desk.last_refusal(strategy, instrument);
                    residue.push(Residue::Position { strategy, instrument, net, refused });
                }
            }
        }
        residue
    }
}

impl<H: Host> Steps<H> {
    /// Whether the run is being ended, and goes on for what it waits for.
    pub(super) fn is_ended(&self) -> bool {
        self.halts_on == HURRY
    }

    pub(super) fn has_away(&self) -> bool {
        (0..self.desk.instruments().len() as u32).any(|instrument| self.venue.is_away(instrument))
    }

    fn open_count(&self, strategy: u32) -> u32 {
        self.desk.book.borrow().open_count(strategy)
    }

    fn has_to_close(&self, strategy: u32) -> bool {
        let portfolio = self.desk.portfolio.borrow();
        let is_held = |instrument: u32| {
            let position = portfolio.position(strategy, instrument);
            position.net != 0.0 || position.market_orders > 0
        };
        self.subscribers[strategy as usize].ending.closes_positions
            && (0..self.desk.instruments().len() as u32).any(is_held)
    }

    fn has_to_wind(&self) -> bool {
        (0..self.subscribers.len() as u32).any(|strategy| {
            let leaves = self.subscribers[strategy as usize].ending.leaves_orders;
            !leaves && self.open_count(strategy) > 0 || self.has_to_close(strategy)
        })
    }

    fn is_awaited(&self, strategy: u32) -> bool {
        let subscriber = &self.subscribers[strategy as usize];
        match (subscriber.winding, subscriber.ending.leaves_orders) {
            (Winding::No, _) => false,
            (Winding::Over(since), _) => {
                let is_waited_for = |order: &Order| order.key.strategy == strategy && self.is_last(order, since);
                self.open_count(strategy) > 0 && self.desk.with_orders(|book| book.all().iter().any(is_waited_for))
            }
            (_, false) => self.open_count(strategy) > 0,
            // Which of them closes a position is not told apart from those that stay.
            (_, true) => self.open_count(strategy) > 0 && self.has_to_close(strategy),
        }
    }

    /// Whether an order that `on_stop` made is not where its strategy's rule wants it: at a venue outside of the process, and
    /// not done, or not known to rest where it may.
    fn is_last(&self, order: &Order, since: u64) -> bool {
        let is_known = !matches!(order.status, OrderStatus::Pending | OrderStatus::Submitted);
        let may_rest =
            self.subscribers[order.key.strategy as usize].ending.leaves_orders && order.terms.can_rest() && is_known;
        !order.status.is_final() && order.made_position >= since && self.venue.is_away(order.instrument) && !may_rest
    }

    fn is_left(&self, order: &Order, has_wound: bool) -> bool {
        let subscriber = &self.subscribers[order.key.strategy as usize];
        match subscriber.winding {
            Winding::Over(since) if order.made_position >= since => self.is_last(order, since),
            _ => has_wound && !order.status.is_final() && !subscriber.ending.leaves_orders,
        }
    }

    /// What the input of an end says is done.
    pub(super) fn end_step(&mut self, command: &Command, slice: &Slice<'_>) {
        match *command.payload {
            [HOOKS, ..] => self.stop_each(slice),
            _ => self.wind_all(slice),
        }
    }

    /// Runs `on_stop` of each, and lets what it orders leave.
    fn stop_each(&mut self, slice: &Slice<'_>) {
        self.is_ending = true;
        for strategy in (0..self.subscribers.len() as u32).rev() {
            if !self.is_to_stop(strategy) {
                continue;
            }
            self.flush(slice, strategy);
            self.apply_requests();
            if !self.is_alive(strategy) {
                continue;
            }
            let since = self.next_position();
            self.subscribers[strategy as usize].state.set_stopping();
            self.subscribers[strategy as usize].winding = Winding::Over(since);
            self.call_hook(strategy, Hook::Stop);
            self.apply_requests();
            self.desk.forget_timers(strategy);
            self.forget_absence(strategy);
            self.forget_spawns(strategy);
            if self.is_alive(strategy) && !self.subscribers[strategy as usize].ending.leaves_orders {
                self.subscribers[strategy as usize].state.set_taken_back();
                self.cancel_resting(strategy);
            }
        }
    }

    /// Whether the run's end still has to call the strategy's `on_stop`.
    pub(super) fn is_to_stop(&self, strategy: u32) -> bool {
        let subscriber = &self.subscribers[strategy as usize];
        let has_stopped = match subscriber.winding {
            Winding::Over(_) => true,
            // By somebody who stopped it alone.
            Winding::No => subscriber.state.is_stopping(),
            Winding::Orders | Winding::Closing => false,
        };
        self.is_alive(strategy) && !has_stopped
    }

    /// Whether the strategy was told of an order after its `on_stop`.
    pub(super) fn was_told_since(&self, strategy: u32) -> bool {
        let Winding::Over(since) = self.subscribers[strategy as usize].winding else { return false };
        let is_news = |order: &Order| order.key.strategy == strategy && order.changed_position >= since;
        self.desk.with_orders(|book| book.all().iter().any(is_news))
    }

    /// All strategies, in the order in which they stop.
    pub(super) fn wind_all(&mut self, slice: &Slice<'_>) {
        for strategy in (0..self.subscribers.len() as u32).rev() {
            self.wind(strategy, slice);
        }
    }

    fn wind(&mut self, strategy: u32, slice: &Slice<'_>) {
        if self.is_alive(strategy) {
            self.flush(slice, strategy);
            self.apply_requests();
        }
        if self.is_alive(strategy) {
            self.desk.forget_timers(strategy);
            self.forget_absence(strategy);
            let subscriber = &self.subscribers[strategy as usize];
            // What would be ordered anew for each that is taken back would stay, or come to no end.
            if subscriber.ending.leaves_orders {
                subscriber.state.set_stopping()
            } else {
                subscriber.state.set_taken_back()
            }
        }
        self.subscribers[strategy as usize].winding = Winding::Orders;
        if !self.subscribers[strategy as usize].ending.leaves_orders {
            let is_open = |order: &&Order| order.key.strategy == strategy && !order.status.is_final();
            let open: Vec<OrderKey> =
                self.desk.with_orders(|book| book.all().iter().filter(is_open).map(|order| order.key).collect());
            open.into_iter().for_each(|key| self.cancel_order(key));
        }
        self.wind_on(strategy);
    }

    /// Once no order is on its way any more, what is held is known, and can be closed.
    pub(super) fn wind_on(&mut self, strategy: u32) {
        let subscriber = &self.subscribers[strategy as usize];
        let is_free = subscriber.ending.leaves_orders || self.open_count(strategy) == 0;
        if subscriber.winding != Winding::Orders || !is_free {
            return;
        }
        self.subscribers[strategy as usize].winding = Winding::Closing;
        if self.has_to_close(strategy) {
            // A strategy that has made all the orders it may keeps what it holds, which is told as residue.
            let _ = self.desk.flatten(Some(strategy), None);
        }
    }
}
