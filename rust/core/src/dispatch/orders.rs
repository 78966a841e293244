//! Orders within the loop: matching, booking, and what handlers asked for.

use super::bars::NO_MARK;
use super::fill::Fill;
use super::flood::give_back;
use super::host::Host;
use super::pulse::Doing;
use super::request::Request;
use super::step::Steps;
use crate::command::NO_STRATEGY;
use crate::digest::EventKind;
use crate::lifecycle::{Asked, State};
use crate::risk::Verdict;
use crate::source::Slice;
use crate::tick::{Kind, Tick};
use crate::venue::{Amendment, Order, OrderKey, OrderKind, OrderStatus, OrderUpdate, Venue, VenueFill, VenueReport};

/// Times that what was asked for may ask for more within one step.
const MAX_ROUNDS: u32 = 1_000;

impl<H: Host> Steps<H> {
    /// The market moves: the venue matches where an order waits or a position is open, then everybody can see the tick.
    #[inline(always)]
    pub(super) fn enter_tick(&mut self, slice: &Slice<'_>, tick: &Tick, key: i64) {
        if self.watched[tick.instrument as usize] {
            self.match_tick(slice, tick, key);
        } else {
            self.desk.market().note(tick);
        }
        self.desk.advance_clock(key);
    }

    #[inline(never)]
    pub(super) fn match_tick(&mut self, slice: &Slice<'_>, tick: &Tick, key: i64) {
        if self.venue.leaves(tick) {
            return self.show(tick, key);
        }
        if tick.kind == Kind::Bar as u8 {
            self.venue.bar_follows(tick.instrument, self.bars.last_ns(tick.instrument));
        }
        let mut reports = std::mem::take(&mut self.reports);
        self.venue.match_tick(tick, key, &mut reports);
        self.gate = self.gate.min(self.venue.next_due_ns());
        self.tell_all(slice, &mut reports, key, Some(tick));
        self.reports = reports;
    }

    /// From now on everybody can see `tick`, and is worth what it says.
    #[inline(always)]
    fn show(&mut self, tick: &Tick, key: i64) {
        if let Some(mark) = tick.mark() {
            let is_over = self.bars.note(tick, key);
            let (mark, key) = if is_over { NO_MARK } else { (mark, key) };
            self.watched[tick.instrument as usize] &= !is_over;
            self.desk.portfolio.borrow_mut().set_mark(tick.instrument, mark, key);
        }
        self.desk.market().note(tick);
    }

    /// Something at the venue is due of itself: a message arrives there or comes back, or an order expires.
    pub(super) fn venue_step(&mut self, slice: &Slice<'_>, until_ns: i64) {
        let mut reports = std::mem::take(&mut self.reports);
        if let Some(due_ns) = self.venue.take_due(until_ns, &mut reports)
            && !reports.is_empty()
        {
            self.next_position();
            if due_ns > self.desk.now_ns() {
                self.steps_at_one_time = 0;
            }
            self.tell_all(slice, &mut reports, due_ns, None);
            self.apply_requests();
        }
        reports.clear();
        self.reports = reports;
    }

    /// Books what the venue reports and tells the owners. Whoever is told has its batch first, at the clock, the prices and the
    /// positions of its last tick: neither `tick` nor a fill may be seen in it.
    pub(super) fn tell_all(
        &mut self,
        slice: &Slice<'_>,
        reports: &mut Vec<VenueReport>,
        now_ns: i64,
        tick: Option<&Tick>,
    ) {
        self.is_reporting = true;
        for report in reports.iter() {
            self.flush_before_report(slice, report);
        }
        self.desk.advance_clock(now_ns);
        if let Some(tick) = tick {
            self.show(tick, now_ns);
        }
        let mut told = std::mem::take(&mut self.told);
        told.extend(reports.drain(..).map(|report| self.book(&report, now_ns)));
        self.is_reporting = false;
        while let Some(strategy) = self.fallen.pop() {
            self.drop_orders(strategy);
        }
        for update in &told {
            self.tell(slice, update);
        }
        told.clear();
        give_back(reports);
        give_back(&mut told);
        self.told = told;
    }

    fn flush_before_report(&mut self, slice: &Slice<'_>, report: &VenueReport) {
        let owner = report.order().strategy;
        let is_fill = matches!(report, VenueReport::Fill(_));
        for strategy in 0..self.subscribers.len() as u32 {
            let subscriber = &self.subscribers[strategy as usize];
            let is_told =
                (strategy == owner && subscriber.order_updates) || (is_fill && self.hears_of_fills(strategy, owner));
            if is_told && subscriber.state.takes_ticks() {
                self.flush(slice, strategy);
            }
        }
    }

    /// Enters what the venue says of an order into book and portfolio.
    pub(super) fn book(&mut self, report: &VenueReport, now_ns: i64) -> OrderUpdate {
        match *report {
            VenueReport::Submitted(key) => self.change(key, OrderStatus::Submitted, "", now_ns),
            VenueReport::Accepted(key) => self.change(key, OrderStatus::Accepted, "", now_ns),
            VenueReport::Rejected(key, reason) => self.close_order(key, OrderStatus::Rejected, reason, now_ns),
            VenueReport::Canceled(key, reason) => self.close_order(key, OrderStatus::Canceled, reason, now_ns),
            VenueReport::Expired(key) => self.close_order(key, OrderStatus::Expired, "its time has run out", now_ns),
            VenueReport::Fill(fill) => self.book_fill(&fill, now_ns),
            VenueReport::Filled(key) => self.close_order(key, OrderStatus::Filled, "", now_ns),
            VenueReport::Amended(key, change) => self.book_amendment(key, change, now_ns),
            VenueReport::NotAmended(key, change, reason) => {
                let order = self.known(key);
                self.desk.change_answered(&order, change);
                OrderUpdate::of(order, reason)
            }
        }
    }

    fn known(&self, key: OrderKey) -> Order {
        *self.desk.book.borrow().get(key).expect("requests and reports name orders of the book")
    }

    fn update_order(&mut self, key: OrderKey, now_ns: i64, change: impl FnOnce(&mut Order)) -> Order {
        let position = self.desk.position();
        self.desk.book.borrow_mut().update(key, |order| {
            change(order);
            (order.changed_position, order.changed_ns) = (position, now_ns);
        })
    }

    fn change(&mut self, key: OrderKey, status: OrderStatus, reason: &'static str, now_ns: i64) -> OrderUpdate {
        let order = self.update_order(key, now_ns, |order| {
            debug_assert!(order.status.may_become(status), "{:?} to {status:?}", order.status);
            order.status = status;
        });
        OrderUpdate::of(order, reason)
    }

    fn book_fill(&mut self, fill: &VenueFill, now_ns: i64) -> OrderUpdate {
        if fill.is_done {
            self.desk.changes_end(fill.order);
        }
        let order = self.update_order(fill.order, now_ns, |order| {
            order.fill(fill.quantity, fill.price, fill.fee, fill.is_done);
            order.status = if fill.is_done { OrderStatus::Filled } else { OrderStatus::PartiallyFilled };
        });
        let signed = order.side.sign() * fill.quantity;
        let (row, rate) = {
            let mut portfolio = self.desk.portfolio.borrow_mut();
            let row = portfolio.fill(&order, signed, fill.price, fill.fee, fill.is_done);
            (row, portfolio.rate(portfolio.books().currency_of(order.instrument)))
        };
        self.desk.show_position(order.key.strategy, order.instrument);
        self.note_fill(order.key.strategy, now_ns);
        self.fills.push(Fill {
            order: order.key,
            instrument: order.instrument,
            side: order.side,
            quantity: fill.quantity,
            price: fill.price,
            fee: fill.fee,
            is_maker: fill.is_maker,
            position: self.desk.position(),
            ts_ns: now_ns,
            made_position: order.made_position,
            realised: row.realised,
            rate,
        });
        OrderUpdate { order, fill_quantity: fill.quantity, fill_price: fill.price, reason: "" }
    }

    fn book_amendment(&mut self, key: OrderKey, change: Amendment, now_ns: i64) -> OrderUpdate {
        let before = self.known(key);
        let counted = self.desk.changes.borrow().counted(&before);
        let order = self.update_order(key, now_ns, |order| {
            order.quantity = change.quantity;
            (order.terms.limit, order.terms.stop) = (change.limit, change.stop);
        });
        self.desk.count_more(&order, self.desk.changes.borrow().counted(&order) - counted);
        self.desk.change_answered(&order, change);
        OrderUpdate::of(order, "")
    }

    pub(super) fn close_order(
        &mut self,
        key: OrderKey,
        status: OrderStatus,
        reason: &'static str,
        now_ns: i64,
    ) -> OrderUpdate {
        self.desk.changes_end(key);
        let update = self.change(key, status, reason, now_ns);
        let left = update.order.signed_left();
        let mut portfolio = self.desk.portfolio.borrow_mut();
        let row = portfolio.position_mut(key.strategy, update.order.instrument);
        row.drop_in_flight(left, update.order.terms.kind == OrderKind::Market);
        if update.order.gate == Verdict::Passed {
            row.end(left, update.order.terms.reduce_only);
        }
        update
    }

    /// Lets what was asked for take effect, in the order made.
    #[cold]
    pub(super) fn apply_requests(&mut self) {
        let mut requests = std::mem::take(&mut self.applying);
        // Commands that are handled here may ask for more; what goes round in circles goes on after the next input.
        for _ in 0..MAX_ROUNDS {
            std::mem::swap(&mut requests, &mut self.desk.requests.borrow_mut());
            if requests.is_empty() {
                break;
            }
            for request in requests.drain(..) {
                self.apply(request);
            }
        }
        give_back(&mut requests);
        give_back(&mut self.desk.requests.borrow_mut());
        self.applying = requests;
        self.set_gate();
    }

    pub(super) fn apply(&mut self, request: Request) {
        match request {
            Request::Order(key) => self.send_order(key),
            Request::HoldBack(key) => self.hold_back(key),
            Request::Life { strategy, ask, cause } => {
                self.asked.push_back(Asked { strategy, ask, cause, ticket: 0, is_local: true })
            }
            Request::Cancel(key) => self.cancel_order(key),
            Request::Amend(key, change) => self.amend_order(key, change),
            Request::SetTimer { strategy, number, due_ns, interval_ns, end_ns } => {
                self.timer_event(strategy, number, due_ns, interval_ns, end_ns);
            }
            Request::CancelTimer { strategy, number } => self.timer_event(strategy, number, i64::MIN, 0, i64::MAX),
            Request::Command => {
                self.desk.pulse().enter(NO_STRATEGY, Doing::Command);
                if let Err(fault) = self.host.local_command() {
                    self.command_fault(fault);
                }
            }
            Request::Tell { strategy, number } => self.tell_of_command(strategy, number),
            Request::Spawn(key) => self.begin_spawn(key),
            Request::CancelSpawn(key) => self.cancel_spawn(key),
            Request::Subscription { strategy, instrument, wanted } => {
                let mut payload = [0; 5];
                payload[..4].copy_from_slice(&instrument.to_le_bytes());
                payload[4] = u8::from(wanted);
                self.digest.event(self.desk.position(), strategy, EventKind::Subscription, &payload);
                self.routes.set(strategy, instrument, wanted);
            }
        }
    }

    pub(super) fn send_order(&mut self, key: OrderKey) {
        let order = self.known(key);
        if order.status != OrderStatus::Pending {
            return;
        }
        self.enter_order(&order);
        match self.pass_gate(&order) {
            Ok(pass) => {
                self.watched[order.instrument as usize] = true;
                self.bars.keep(order.instrument);
                self.ask_venue(|venue, now_ns, out| venue.submit(&order, pass, now_ns, out));
            }
            Err(verdict) => {
                let update = self.close_order(key, OrderStatus::Rejected, verdict.reason(), self.desk.now_ns());
                self.updates.push_back(update);
            }
        }
    }

    fn enter_order(&mut self, order: &Order) {
        let mut payload = [0; 45];
        payload[..4].copy_from_slice(&order.key.number.to_le_bytes());
        payload[4..8].copy_from_slice(&order.instrument.to_le_bytes());
        payload[8] = order.side as u8;
        payload[9..17].copy_from_slice(&order.quantity.to_bits().to_le_bytes());
        payload[17..].copy_from_slice(&order.terms.payload());
        self.digest.event(self.desk.position(), order.key.strategy, EventKind::Order, &payload);
    }

    /// Rejects an order that was never counted as in flight.
    pub(super) fn hold_back(&mut self, key: OrderKey) {
        let state = &self.subscribers[key.strategy as usize].state;
        let can_rest = self.desk.book.borrow().get(key).is_some_and(|order| order.terms.can_rest());
        let reason = match state.get() {
            _ if can_rest && state.lets_none_rest() => "the strategy is stopping: no order of it may rest any more",
            State::Paused => "the strategy is paused: it may only reduce positions",
            _ => "the strategy is stopping: it may only reduce positions",
        };
        let update = self.change(key, OrderStatus::Rejected, reason, self.desk.now_ns());
        self.enter_order(&update.order);
        self.updates.push_back(update);
    }

    /// What the venue answers at once is told in steps of its own, after this one.
    fn ask_venue(&mut self, ask: impl FnOnce(&mut dyn Venue, i64, &mut Vec<VenueReport>)) {
        let mut reports = std::mem::take(&mut self.reports);
        let now_ns = self.desk.now_ns();
        ask(self.venue.as_mut(), now_ns, &mut reports);
        for report in reports.drain(..) {
            let update = self.book(&report, now_ns);
            self.updates.push_back(update);
        }
        self.reports = reports;
    }

    pub(super) fn cancel_order(&mut self, key: OrderKey) {
        self.digest.event(self.desk.position(), key.strategy, EventKind::Cancel, &key.number.to_le_bytes());
        let order = self.known(key);
        if !order.status.is_final() {
            self.ask_venue(|venue, now_ns, out| venue.cancel(key, order.instrument, now_ns, out));
        }
    }

    fn amend_order(&mut self, key: OrderKey, change: Amendment) {
        let mut payload = [0; 28];
        payload[..4].copy_from_slice(&key.number.to_le_bytes());
        payload[4..].copy_from_slice(&change.payload());
        self.digest.event(self.desk.position(), key.strategy, EventKind::Amend, &payload);
        let order = self.known(key);
        if order.status.is_final() {
            self.desk.changes.borrow_mut().refuse(key, change);
            self.updates.push_back(OrderUpdate::of(order, "too late: the order is done"));
            return;
        }
        match self.pass_change(&order, change) {
            Ok(pass) => {
                self.ask_venue(|venue, now_ns, out| venue.amend(key, order.instrument, change, pass, now_ns, out));
            }
            Err(verdict) => self.updates.push_back(OrderUpdate::of(order, verdict.reason())),
        }
    }
}
