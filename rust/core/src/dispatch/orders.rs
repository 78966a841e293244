//! Orders within the loop: matching, booking, and what handlers asked for.

use super::host::Host;
use super::request::Request;
use super::step::{Fill, Steps};
use crate::digest::EventKind;
use crate::source::Slice;
use crate::tick::Tick;
use crate::venue::{Order, OrderKey, OrderStatus, OrderUpdate, VenueFill};

impl<H: Host> Steps<H> {
    #[inline(never)]
    pub(super) fn match_tick(&mut self, slice: &Slice<'_>, tick: &Tick, key: i64) {
        if let Some(mark) = tick.mark() {
            self.desk.portfolio.borrow_mut().set_mark(tick.instrument, mark);
        }
        if !self.venue.is_waiting(tick.instrument) {
            return;
        }
        let mut fills = std::mem::take(&mut self.venue_fills);
        let mut updates = std::mem::take(&mut self.fill_updates);
        self.venue.match_tick(tick, &mut fills);
        updates.extend(fills.drain(..).map(|fill| self.book_fill(&fill, key)));
        self.venue_fills = fills;
        for update in &updates {
            self.flush_before_update(slice, update);
        }
        self.desk.advance_clock(key);
        for update in updates.drain(..) {
            self.tell(slice, &update);
        }
        self.fill_updates = updates;
    }

    /// A batch that an update ends is handed over at the clock of its last tick, before the clock moves on.
    pub(super) fn flush_before_update(&mut self, slice: &Slice<'_>, update: &OrderUpdate) {
        let subscriber = &self.subscribers[update.order.key.strategy as usize];
        if subscriber.order_updates && subscriber.state.is_running() {
            self.flush(slice, update.order.key.strategy);
        }
    }

    pub(super) fn book_fill(&mut self, fill: &VenueFill, key: i64) -> OrderUpdate {
        let position = self.desk.position();
        let order = self.desk.book.borrow_mut().update(fill.order, |order| {
            order.status = OrderStatus::Filled;
            (order.price, order.fee) = (fill.price, fill.fee);
            (order.changed_position, order.changed_ns) = (position, key);
        });
        let mut portfolio = self.desk.portfolio.borrow_mut();
        let row = portfolio.position_mut(order.key.strategy, order.instrument);
        row.in_flight -= order.signed();
        row.fill(order.signed(), fill.price, fill.fee);
        self.fills.push(Fill {
            order: order.key,
            instrument: order.instrument,
            side: order.side,
            quantity: order.quantity,
            price: fill.price,
            fee: fill.fee,
            position,
            ts_ns: key,
            made_position: order.made_position,
            realised: row.realised,
        });
        OrderUpdate { order, reason: "" }
    }

    pub(super) fn close_order(&mut self, key: OrderKey, status: OrderStatus, reason: &'static str) -> OrderUpdate {
        let (position, now_ns) = (self.desk.position(), self.desk.now_ns());
        let order = self.desk.book.borrow_mut().update(key, |order| {
            order.status = status;
            (order.changed_position, order.changed_ns) = (position, now_ns);
        });
        let mut portfolio = self.desk.portfolio.borrow_mut();
        portfolio.position_mut(key.strategy, order.instrument).in_flight -= order.signed();
        OrderUpdate { order, reason }
    }

    /// Lets what was asked for take effect, in the order made.
    #[cold]
    pub(super) fn apply_requests(&mut self) {
        let mut requests = std::mem::take(&mut self.applying);
        std::mem::swap(&mut requests, &mut self.desk.requests.borrow_mut());
        for request in requests.drain(..) {
            self.apply(request);
        }
        self.applying = requests;
        self.set_gate();
    }

    pub(super) fn apply(&mut self, request: Request) {
        match request {
            Request::Order(key) => self.send_order(key),
            Request::Cancel(key) => self.cancel_order(key, "asked for"),
            Request::SetTimer { strategy, number, due_ns, interval_ns, end_ns } => {
                self.timer_event(strategy, number, due_ns, interval_ns, end_ns);
            }
            Request::CancelTimer { strategy, number } => self.timer_event(strategy, number, i64::MIN, 0, i64::MAX),
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
        let order: Order = *self.desk.book.borrow().get(key).expect("requests name orders of the book");
        if order.status != OrderStatus::Pending {
            return;
        }
        let mut payload = [0; 17];
        payload[..4].copy_from_slice(&key.number.to_le_bytes());
        payload[4..8].copy_from_slice(&order.instrument.to_le_bytes());
        payload[8] = order.side as u8;
        payload[9..].copy_from_slice(&order.quantity.to_bits().to_le_bytes());
        self.digest.event(self.desk.position(), key.strategy, EventKind::Order, &payload);
        let update = match self.venue.submit(&order) {
            Ok(()) => {
                self.watched[order.instrument as usize] = true;
                let accept = |order: &mut Order| order.status = OrderStatus::Accepted;
                OrderUpdate { order: self.desk.book.borrow_mut().update(key, accept), reason: "" }
            }
            Err(reason) => self.close_order(key, OrderStatus::Rejected, reason),
        };
        self.updates.push_back(update);
    }

    pub(super) fn cancel_order(&mut self, key: OrderKey, reason: &'static str) {
        self.digest.event(self.desk.position(), key.strategy, EventKind::Cancel, &key.number.to_le_bytes());
        let order: Order = *self.desk.book.borrow().get(key).expect("requests name orders of the book");
        if !order.status.is_final() {
            self.venue.cancel(key, order.instrument);
            let update = self.close_order(key, OrderStatus::Canceled, reason);
            self.updates.push_back(update);
        }
    }
}
