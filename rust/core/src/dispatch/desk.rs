//! The desk: what handlers reach while the loop calls them.
//!
//! Single-threaded and shared: the loop holds it, and so does every strategy's face. All of it is cells, so that a
//! handler may call back at any moment; no cell is held across a call of a handler.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::changing::Changes;
use super::market::Market;
use super::pulse::Pulse;
use super::request::{MAX_ORDERS, MAX_QUANTITY, MAX_SPAWNS, Refusal, Request, SpawnKey};
use super::snapshot::Traded;
use super::standing::{Stand, Standing};
use super::timers::Timers;
use crate::clock::{Clock as _, SimClock};
use crate::instrument::InstrumentInfo;
use crate::kept::Kept;
use crate::lifecycle::{Ask, Cause, ChangeLog, Inbox, State, StateByte, Transition, transition};
use crate::risk::{Risk, Verdict};
use crate::tick::Side;
use crate::trading::TradingGate;
use crate::venue::{Amendment, Order, OrderKey, OrderKind, OrderStatus, Portfolio, Position, Specification, Terms};

/// Every order of the run, in the order asked for.
#[derive(Debug, Default)]
pub struct OrderBook {
    orders: Kept<Order>,
    places: Vec<Vec<u32>>,
    /// By strategy; has how many of its orders are not done.
    stands: Vec<Arc<Stand>>,
}

impl OrderBook {
    /// The order named `key`.
    pub fn get(&self, key: OrderKey) -> Option<&Order> {
        let place = *self.places.get(key.strategy as usize)?.get((key.number as usize).checked_sub(1)?)?;
        self.orders.get(place as usize)
    }

    /// All orders, in the order asked for.
    pub fn all(&self) -> &Kept<Order> {
        &self.orders
    }

    /// What is not done, of `strategy` where one is named, in the order asked for. Looks no further back than the oldest of
    /// these: a run that has made a million orders mostly has its open ones among the last.
    pub fn open_orders(&self, strategy: Option<u32>) -> Vec<&Order> {
        let count = |strategy: u32| self.open_count(strategy) as usize;
        let open = strategy.map_or_else(|| (0..self.stands.len() as u32).map(count).sum(), count);
        let is_meant =
            |order: &&Order| !order.status.is_final() && strategy.is_none_or(|strategy| order.key.strategy == strategy);
        let mut found: Vec<&Order> = self.orders.iter().rev().filter(is_meant).take(open).collect();
        found.reverse();
        found
    }

    /// Changes an order that is known to be there.
    pub(super) fn update(&mut self, key: OrderKey, change: impl FnOnce(&mut Order)) -> Order {
        let place = self.places[key.strategy as usize][key.number as usize - 1];
        let order = self.orders.get_mut(place as usize).expect("a place that was given to an order");
        let was_open = !order.status.is_final();
        change(order);
        let order = *order;
        if was_open && order.status.is_final() {
            self.count_open(key.strategy, |open| open - 1);
        }
        order
    }

    fn open(&mut self, order: Order) {
        let place = u32::try_from(self.orders.len()).expect("bounded by MAX_ORDERS a strategy");
        self.places[order.key.strategy as usize].push(place);
        self.count_open(order.key.strategy, |open| open + 1);
        self.orders.push(order);
    }

    fn count_open(&self, strategy: u32, change: impl FnOnce(u32) -> u32) {
        let stand = &self.stands[strategy as usize];
        stand.set_open_orders(change(stand.open_orders()));
    }

    /// How many orders of `strategy` are not done.
    pub fn open_count(&self, strategy: u32) -> u32 {
        self.stands[strategy as usize].open_orders()
    }

    fn count(&self, strategy: u32) -> u32 {
        self.places[strategy as usize].len() as u32
    }
}

/// What handlers reach: clock, positions, orders, and the list of requests.
pub struct Desk {
    instruments: Vec<InstrumentInfo>,
    specifications: Vec<Specification>,
    clock: SimClock,
    /// Where the loop is; has its position.
    pulse: Arc<Pulse>,
    standing: Arc<Standing>,
    pub(super) requests: RefCell<Vec<Request>>,
    pub(super) portfolio: RefCell<Portfolio>,
    pub(super) book: RefCell<OrderBook>,
    pub(super) changes: RefCell<Changes>,
    states: RefCell<Vec<Arc<StateByte>>>,
    pub(super) timers: RefCell<Timers>,
    inbox: Arc<Inbox>,
    log: Arc<ChangeLog>,
    gate: Arc<TradingGate>,
    pub(super) risk: RefCell<Risk>,
    /// Per strategy: how many coroutines it has asked for, and how many of them have not ended.
    spawns: RefCell<Vec<(u32, u32)>>,
    market: Market,
    /// Per strategy: whether it is told of its own fills, and of everybody's.
    pub(super) listeners: RefCell<Vec<[bool; 2]>>,
    pub(super) has_listeners: Cell<bool>,
}

impl Desk {
    /// A desk for a run over `instruments`, whose orders are held to what is known of them.
    pub fn new(instruments: Vec<InstrumentInfo>) -> Rc<Self> {
        let known = |info: &InstrumentInfo| Specification {
            price_increment: info.price_increment,
            negative_prices: info.negative_prices,
            ..Specification::default()
        };
        let specifications = instruments.iter().map(known).collect();
        Self::specified(instruments, specifications)
    }

    /// The same with the rules of each instrument, in the order of the table.
    ///
    /// # Panics
    /// There are more or fewer of them than instruments.
    pub fn specified(instruments: Vec<InstrumentInfo>, specifications: Vec<Specification>) -> Rc<Self> {
        let count = instruments.len();
        assert_eq!(count, specifications.len(), "every instrument has its rules");
        Rc::new(Self {
            portfolio: RefCell::new(Portfolio::new(&instruments, &specifications)),
            standing: Arc::new(Standing::new(&instruments)),
            instruments,
            specifications,
            clock: SimClock::new(0),
            pulse: Arc::default(),
            requests: RefCell::default(),
            book: RefCell::default(),
            changes: RefCell::default(),
            states: RefCell::default(),
            timers: RefCell::default(),
            inbox: Arc::default(),
            log: Arc::default(),
            gate: Arc::default(),
            risk: RefCell::default(),
            spawns: RefCell::default(),
            market: Market::new(count),
            listeners: RefCell::default(),
            has_listeners: Cell::new(false),
        })
    }

    pub(super) fn add_strategy(&self) -> Arc<StateByte> {
        let state = Arc::new(StateByte::new(State::Created));
        self.portfolio.borrow_mut().add_strategy();
        self.book.borrow_mut().places.push(Vec::new());
        self.book.borrow_mut().stands.push(self.standing.add(Arc::clone(&state)));
        self.timers.borrow_mut().add_strategy();
        self.spawns.borrow_mut().push((0, 0));
        self.listeners.borrow_mut().push([false; 2]);
        self.risk.borrow_mut().add_strategy();
        self.states.borrow_mut().push(Arc::clone(&state));
        self.inbox.add_strategy(Arc::clone(&state));
        state
    }

    /// What other threads ask of lives.
    pub fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// Keeps the steps of all lives. Any thread may read it.
    pub fn log(&self) -> &Arc<ChangeLog> {
        &self.log
    }

    /// The gate that every order passes, at the end of the step that made it. Any thread may set it.
    pub fn gate(&self) -> &Arc<TradingGate> {
        &self.gate
    }

    /// The last records of each instrument.
    #[inline(always)]
    pub const fn market(&self) -> &Market {
        &self.market
    }

    /// The run's instrument table.
    pub fn instruments(&self) -> &[InstrumentInfo] {
        &self.instruments
    }

    /// The rules of an instrument.
    ///
    /// # Errors
    /// The run has no such instrument.
    pub fn specification(&self, instrument: u32) -> Result<&Specification, Refusal> {
        self.specifications.get(instrument as usize).ok_or(Refusal::Instrument(instrument))
    }

    /// The clock, ns UTC; fixed for the step.
    #[inline(always)]
    pub fn now_ns(&self) -> i64 {
        self.clock.now_ns()
    }

    #[inline(always)]
    pub(super) fn advance_clock(&self, now_ns: i64) {
        self.clock.advance_to(now_ns);
    }

    /// Where the loop is, for any thread.
    #[inline(always)]
    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// What is open and what is held, for any thread.
    pub const fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    /// Says to other threads what `strategy` holds of `instrument` now.
    pub(super) fn show_position(&self, strategy: u32, instrument: u32) {
        let net = self.portfolio.borrow().position(strategy, instrument).net;
        self.book.borrow().stands[strategy as usize].hold(instrument, net);
    }

    /// The loop position of the step; 0 before the first.
    #[inline(always)]
    pub fn position(&self) -> u64 {
        self.pulse.position()
    }

    #[inline(always)]
    pub(super) fn set_position(&self, position: u64) {
        self.pulse.set_position(position);
    }

    /// How many strategies there are.
    pub fn strategy_count(&self) -> u32 {
        self.states.borrow().len() as u32
    }

    /// Where a strategy stands.
    pub fn state(&self, strategy: u32) -> State {
        self.states.borrow()[strategy as usize].get()
    }

    /// What a strategy has of an instrument.
    ///
    /// # Errors
    /// The run has no such instrument.
    pub fn holding(&self, strategy: u32, instrument: u32) -> Result<Position, Refusal> {
        self.known(instrument)?;
        Ok(*self.portfolio.borrow().position(strategy, instrument))
    }

    /// Looks at all positions.
    pub fn with_portfolio<R>(&self, look: impl FnOnce(&Portfolio) -> R) -> R {
        look(&self.portfolio.borrow())
    }

    /// Looks at all orders.
    pub fn with_orders<R>(&self, look: impl FnOnce(&OrderBook) -> R) -> R {
        look(&self.book.borrow())
    }

    /// What a strategy has ordered, and what came of it.
    pub(super) fn traded(&self, strategy: u32) -> Traded {
        let (orders, open_orders) = self.with_orders(|book| (book.count(strategy), book.open_count(strategy)));
        let pnl = self.with_portfolio(|portfolio| {
            let worth = portfolio.worth(Some(strategy));
            let has_currency = !portfolio.books().currency().is_empty();
            Some(worth.equity() - worth.capital).filter(|pnl| has_currency && !pnl.is_nan())
        });
        Traded { orders, open_orders, pnl }
    }

    /// Asks for a market order.
    ///
    /// # Errors
    /// The refusal; nothing has changed then.
    pub fn order(&self, strategy: u32, instrument: u32, side: Side, quantity: f64) -> Result<OrderKey, Refusal> {
        self.order_on(strategy, instrument, side, quantity, Terms::MARKET)
    }

    /// Asks for an order on `terms`.
    ///
    /// # Errors
    /// The refusal; nothing has changed then.
    pub fn order_on(
        &self,
        strategy: u32,
        instrument: u32,
        side: Side,
        quantity: f64,
        terms: Terms,
    ) -> Result<OrderKey, Refusal> {
        self.acting(strategy)?;
        let rules = self.specification(instrument)?;
        if !(f64::MIN_POSITIVE..=MAX_QUANTITY).contains(&quantity) {
            return Err(Refusal::Quantity(quantity));
        }
        rules.check_quantity(quantity).map_err(Refusal::OffGrid)?;
        if terms != Terms::MARKET {
            self.check_terms(&terms, rules)?;
        }
        let may_rest = !self.states.borrow()[strategy as usize].lets_none_rest();
        let is_held_back = (self.only_reduces(strategy) && !self.reduces(strategy, instrument, side.sign() * quantity))
            || (!may_rest && terms.can_rest());
        if is_held_back {
            return self.hold_back(strategy, instrument, side, quantity, terms);
        }
        self.place(strategy, instrument, side, quantity, terms)
    }

    fn check_terms(&self, terms: &Terms, rules: &Specification) -> Result<(), Refusal> {
        terms.check(self.now_ns()).map_err(Refusal::Terms)?;
        check_prices(rules, terms.limit, terms.stop)
    }

    /// Asks to change an order; `None` leaves what it is, or is asked to be. Quantities are in all, what is filled among them. While the strategy
    /// may only reduce, an order does not grow, and one that might not reduce keeps its prices.
    ///
    /// # Errors
    /// The refusal; nothing has changed then.
    pub fn amend(
        &self,
        strategy: u32,
        number: u32,
        quantity: Option<f64>,
        limit: Option<f64>,
        stop: Option<f64>,
    ) -> Result<(), Refusal> {
        self.acting(strategy)?;
        let key = OrderKey { strategy, number };
        let order = *self.book.borrow().get(key).ok_or(Refusal::Order(number))?;
        if order.status.is_final() {
            return Err(Refusal::Done(number));
        }
        let has_limit = matches!(order.terms.kind, OrderKind::Limit | OrderKind::StopLimit);
        let has_stop = matches!(order.terms.kind, OrderKind::Stop | OrderKind::StopLimit);
        if (limit.is_some() && !has_limit) || (stop.is_some() && !has_stop) {
            return Err(Refusal::NoPrice(number));
        }
        let rules = self.specification(order.instrument)?;
        let wanted = self.changes.borrow().wanted(&order);
        let mut quantity = quantity.unwrap_or(wanted.quantity);
        let (mut limit, mut stop) = (limit, stop);
        if self.only_reduces(strategy) {
            quantity = quantity.min(order.quantity);
            let portfolio = self.portfolio.borrow();
            if !portfolio.position(strategy, order.instrument).surely_reduces(order.side, 0.0) {
                (limit, stop) = (None, None);
            }
        }
        if !(f64::MIN_POSITIVE..=MAX_QUANTITY).contains(&quantity) {
            return Err(Refusal::Quantity(quantity));
        }
        rules.check_quantity(quantity).map_err(Refusal::OffGrid)?;
        let change = Amendment { quantity, limit: limit.unwrap_or(wanted.limit), stop: stop.unwrap_or(wanted.stop) };
        for given in [limit, stop].into_iter().flatten() {
            rules.check_price(given).map_err(Refusal::OffGrid)?;
        }
        self.changes.borrow_mut().ask(key, change);
        self.requests.borrow_mut().push(Request::Amend(key, change));
        Ok(())
    }

    fn only_reduces(&self, strategy: u32) -> bool {
        self.states.borrow()[strategy as usize].only_reduces()
    }

    fn reduces(&self, strategy: u32, instrument: u32, signed: f64) -> bool {
        let most = self.portfolio.borrow().position(strategy, instrument).reducible();
        signed * most > 0.0 && signed.abs() <= most.abs()
    }

    /// Notes an order that a paused or stopping strategy may not have: it is in the book, and rejected at the end of the step.
    fn hold_back(
        &self,
        strategy: u32,
        instrument: u32,
        side: Side,
        quantity: f64,
        terms: Terms,
    ) -> Result<OrderKey, Refusal> {
        let key = self.enter(strategy, instrument, side, quantity, terms)?;
        self.requests.borrow_mut().push(Request::HoldBack(key));
        Ok(key)
    }

    /// Notes an order whose facts were checked.
    pub(super) fn place(
        &self,
        strategy: u32,
        instrument: u32,
        side: Side,
        quantity: f64,
        terms: Terms,
    ) -> Result<OrderKey, Refusal> {
        let key = self.enter(strategy, instrument, side, quantity, terms)?;
        self.portfolio
            .borrow_mut()
            .position_mut(strategy, instrument)
            .send(side.sign() * quantity, terms.kind == OrderKind::Market);
        self.requests.borrow_mut().push(Request::Order(key));
        Ok(key)
    }

    fn enter(
        &self,
        strategy: u32,
        instrument: u32,
        side: Side,
        quantity: f64,
        terms: Terms,
    ) -> Result<OrderKey, Refusal> {
        let mut book = self.book.borrow_mut();
        if book.count(strategy) >= MAX_ORDERS {
            return Err(Refusal::TooManyOrders);
        }
        let key = OrderKey { strategy, number: book.count(strategy) + 1 };
        book.open(self.pending(key, instrument, side, quantity, terms));
        Ok(key)
    }

    fn pending(&self, key: OrderKey, instrument: u32, side: Side, quantity: f64, terms: Terms) -> Order {
        Order {
            key,
            instrument,
            side,
            status: OrderStatus::Pending,
            gate: Verdict::NotAsked,
            terms,
            quantity,
            filled: 0.0,
            made_position: self.position(),
            made_ns: self.now_ns(),
            changed_position: self.position(),
            changed_ns: self.now_ns(),
            price: f64::NAN,
            fee: 0.0,
        }
    }

    /// Asks for the market order that brings the position, market orders on their way counted ([`Position::expected`]), to
    /// `quantity`; `None`: it is there, as near as the instrument's grid of quantities allows. While the strategy may only
    /// reduce, for as much as reduces.
    ///
    /// # Errors
    /// The refusal; nothing has changed then.
    #[inline]
    pub fn target(&self, strategy: u32, instrument: u32, quantity: f64) -> Result<Option<OrderKey>, Refusal> {
        if quantity.is_nan() || quantity.abs() > MAX_QUANTITY {
            return Err(Refusal::Quantity(quantity));
        }
        self.acting(strategy)?;
        let rules = self.specification(instrument)?;
        let missing = {
            let portfolio = self.portfolio.borrow();
            let position = portfolio.position(strategy, instrument);
            let missing = quantity - position.expected();
            let allowed =
                if self.only_reduces(strategy) { reducing_part(missing, position.reducible()) } else { missing };
            rules.round_quantity(allowed)
        };
        if missing == 0.0 || missing.abs() < rules.min_quantity {
            return Ok(None);
        }
        rules.check_quantity(missing.abs()).map_err(Refusal::OffGrid)?;
        let side = if missing > 0.0 { Side::Buy } else { Side::Sell };
        self.place(strategy, instrument, side, missing.abs(), Terms::MARKET).map(Some)
    }

    /// Asks to take an order back; one that is done already stays as it is.
    ///
    /// # Errors
    /// The strategy never made it, or may not act.
    pub fn cancel(&self, strategy: u32, number: u32) -> Result<(), Refusal> {
        self.acting(strategy)?;
        let key = OrderKey { strategy, number };
        self.book.borrow().get(key).ok_or(Refusal::Order(number))?;
        self.requests.borrow_mut().push(Request::Cancel(key));
        Ok(())
    }

    /// Asks for the command that was just sent on the dispatch thread to be handled at the end of the step.
    pub fn command(&self) {
        self.requests.borrow_mut().push(Request::Command);
    }

    /// Asks for a strategy to be told of event `number` of the host, at the end of the step and as its own handler.
    pub fn tell(&self, strategy: u32, number: u64) {
        self.requests.borrow_mut().push(Request::Tell { strategy, number });
    }

    /// Asks for a coroutine, which begins at the end of the step.
    ///
    /// # Errors
    /// Too many of the strategy's run, or it may not act.
    pub fn spawn(&self, strategy: u32) -> Result<SpawnKey, Refusal> {
        self.acting(strategy)?;
        let (asked, running) = &mut self.spawns.borrow_mut()[strategy as usize];
        if *running >= MAX_SPAWNS {
            return Err(Refusal::TooManySpawns);
        }
        (*asked, *running) = (*asked + 1, *running + 1);
        let key = SpawnKey { strategy, number: *asked };
        self.requests.borrow_mut().push(Request::Spawn(key));
        Ok(key)
    }

    /// Asks to cancel a coroutine: its result does not come. Idempotent.
    pub fn cancel_spawn(&self, key: SpawnKey) {
        self.requests.borrow_mut().push(Request::CancelSpawn(key));
    }

    /// A coroutine has ended, or never began.
    pub(super) fn spawn_ended(&self, strategy: u32) {
        self.spawns.borrow_mut()[strategy as usize].1 -= 1;
    }

    /// Asks for an instrument's ticks, or to be spared them, from the next step on.
    ///
    /// # Errors
    /// The run has no such instrument, or the strategy may not act.
    pub fn subscription(&self, strategy: u32, instrument: u32, wanted: bool) -> Result<(), Refusal> {
        self.acting(strategy)?;
        self.known(instrument)?;
        self.requests.borrow_mut().push(Request::Subscription { strategy, instrument, wanted });
        Ok(())
    }

    /// Asks for a step of a life, from within the loop: it is taken when the present step is over.
    ///
    /// # Errors
    /// There is no such strategy, or the table has no such step from where it stands.
    pub fn ask(&self, strategy: u32, ask: Ask, cause: Cause) -> Result<(), Refusal> {
        let state = self.states.borrow().get(strategy as usize).map(|byte| byte.get());
        let state = state.ok_or(Refusal::Strategy(strategy))?;
        if transition(state, ask.operation) == Transition::Refused {
            return Err(Refusal::Illegal(state, ask.operation));
        }
        self.requests.borrow_mut().push(Request::Life { strategy, ask, cause });
        Ok(())
    }

    #[inline]
    pub(super) fn acting(&self, strategy: u32) -> Result<(), Refusal> {
        match self.state(strategy) {
            State::Running | State::Paused => Ok(()),
            state => Err(Refusal::State(state)),
        }
    }

    #[inline]
    fn known(&self, instrument: u32) -> Result<(), Refusal> {
        if (instrument as usize) < self.instruments.len() { Ok(()) } else { Err(Refusal::Instrument(instrument)) }
    }
}

fn check_prices(rules: &Specification, limit: f64, stop: f64) -> Result<(), Refusal> {
    let mut given = [limit, stop].into_iter().filter(|price| !price.is_nan());
    given.try_for_each(|price| rules.check_price(price)).map_err(Refusal::OffGrid)
}

/// As much of `missing` as `most` allows, in whose direction it has to go.
fn reducing_part(missing: f64, most: f64) -> f64 {
    if missing * most > 0.0 { missing.abs().min(most.abs()).copysign(missing) } else { 0.0 }
}
