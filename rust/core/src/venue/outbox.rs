//! Venues outside of the process: what leaves to them waits in an outbox for whoever sends it.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Venue;
use super::order::{Amendment, Order, OrderKey};
use super::simulated::{SimulatedVenue, VenueReport};
use crate::risk::Pass;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::tick::Tick;
use crate::trading::{TakeBack, Trading, TradingGate, Unsent};

/// What the loop has let leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Leaving {
    /// An order.
    Order(Order),
    /// An order that is to be taken back.
    Cancel(OrderKey),
    /// An order that is to stand on other terms.
    Amend(OrderKey, Amendment),
    /// An order that does not leave any more: trading was halted while it waited.
    Stopped(Order),
    /// All orders are to be taken back, whatever the loop is doing.
    CancelAll,
    /// Those are, whose strategies' rule for the end of the run says so.
    CancelAtEnd,
}

/// What has left the loop and was not sent yet, in the order in which it left.
///
/// It holds each order once, and of each order at most one cancel and one amendment, the latest: so it needs no bound of its
/// own, which would let the speed of another thread decide what becomes of an order.
pub struct Outbox {
    waiting: Mutex<Waiting>,
    gate: Arc<TradingGate>,
    bell: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Waiting {
    queue: VecDeque<Leaving>,
    canceled: HashSet<OrderKey>,
    amended: HashMap<OrderKey, Amendment>,
    /// Orders that whoever sends is taking back, and no venue has heard of it yet.
    taking_back: usize,
}

impl Outbox {
    /// An empty one; `bell` is called after something was put in, mostly on the dispatch thread: it must not wait. `gate` is
    /// that of the run: who halts trading has orders taken back by this way too.
    pub fn new(gate: &Arc<TradingGate>, bell: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let made = Arc::new(Self { waiting: Mutex::default(), gate: Arc::clone(gate), bell: Box::new(bell) });
        let outbox = Arc::downgrade(&made);
        gate.taken_back_by(move |which| outbox.upgrade().is_some_and(|outbox| outbox.take_back(which)));
        let outbox = Arc::downgrade(&made);
        gate.sent_by(move || outbox.upgrade().map(|outbox| outbox.unsent()).unwrap_or_default());
        made
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, leaving: Leaving) {
        let is_new = {
            let mut waiting = self.waiting();
            let is_new = match leaving {
                Leaving::Order(_) | Leaving::Stopped(_) | Leaving::CancelAll | Leaving::CancelAtEnd => true,
                Leaving::Cancel(key) => waiting.canceled.insert(key),
                Leaving::Amend(key, change) => waiting.amended.insert(key, change).is_none(),
            };
            if is_new {
                waiting.queue.push_back(leaving);
            }
            is_new
        };
        if is_new {
            (self.bell)();
        }
    }

    /// Has orders taken back, by whoever sends: the loop may be busy for long. Any thread.
    fn take_back(&self, which: TakeBack) -> bool {
        self.put(match which {
            TakeBack::All => Leaving::CancelAll,
            TakeBack::AtTheEnd => Leaving::CancelAtEnd,
        });
        true
    }

    /// Whoever sends takes an order back, or (`false`) its venue has heard of that, or nobody wants it any more.
    pub fn note_taking_back(&self, begins: bool) {
        let taking_back = &mut self.waiting().taking_back;
        *taking_back = if begins { *taking_back + 1 } else { taking_back.saturating_sub(1) };
    }

    /// What has not reached its venue. Any thread.
    pub fn unsent(&self) -> Unsent {
        let waiting = self.waiting();
        let count = |is: fn(&Leaving) -> bool| waiting.queue.iter().filter(|leaving| is(leaving)).count();
        Unsent {
            cancels: waiting.taking_back + waiting.canceled.len(),
            orders: count(|leaving| matches!(leaving, Leaving::Order(_) | Leaving::Stopped(_))),
            all: count(|leaving| matches!(leaving, Leaving::CancelAll)) > 0,
        }
    }

    /// Whether no order may be sent any more, whatever let it leave before.
    pub fn is_halted(&self) -> bool {
        self.gate.state() == Trading::Halted
    }

    /// Takes what waits, the first first, at most `most`. Any thread. Orders have passed the gate when they were put in; it may
    /// have been shut since, and whoever shut it was promised that none leaves.
    pub fn take(&self, most: usize) -> Vec<Leaving> {
        let mut waiting = self.waiting();
        let count = most.min(waiting.queue.len());
        let taken: Vec<Leaving> = waiting.queue.drain(..count).collect();
        let latest = |leaving| match leaving {
            Leaving::Order(order) if self.is_halted() => Leaving::Stopped(order),
            Leaving::Order(_) | Leaving::Stopped(_) | Leaving::CancelAll | Leaving::CancelAtEnd => leaving,
            Leaving::Cancel(key) => {
                waiting.canceled.remove(&key);
                leaving
            }
            Leaving::Amend(key, change) => Leaving::Amend(key, waiting.amended.remove(&key).unwrap_or(change)),
        };
        taken.into_iter().map(latest).collect()
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outbox({} waiting)", self.waiting().queue.len())
    }
}

/// The venues of a run of which some are outside of the process: their orders go into the outbox, and what becomes of them
/// comes back as external inputs.
#[derive(Debug)]
pub struct RoutedVenue {
    near: SimulatedVenue,
    /// By instrument: whether its venue is outside.
    is_away: Vec<bool>,
    /// `None`: a replay, in which nothing is sent again.
    outbox: Option<Arc<Outbox>>,
}

impl RoutedVenue {
    /// Orders of instruments that are not `is_away` go to `near`.
    pub const fn new(near: SimulatedVenue, is_away: Vec<bool>, outbox: Option<Arc<Outbox>>) -> Self {
        Self { near, is_away, outbox }
    }

    fn send(&self, leaving: Leaving) {
        if let Some(outbox) = &self.outbox {
            outbox.put(leaving);
        }
    }
}

impl Venue for RoutedVenue {
    fn submit(&mut self, order: &Order, pass: Pass, now_ns: i64, out: &mut Vec<VenueReport>) {
        if !self.is_away[order.instrument as usize] {
            return self.near.submit(order, pass, now_ns, out);
        }
        out.push(VenueReport::Submitted(order.key));
        self.send(Leaving::Order(*order));
    }

    fn cancel(&mut self, order: OrderKey, instrument: u32, now_ns: i64, out: &mut Vec<VenueReport>) {
        if !self.is_away[instrument as usize] {
            return self.near.cancel(order, instrument, now_ns, out);
        }
        self.send(Leaving::Cancel(order));
    }

    fn amend(
        &mut self,
        order: OrderKey,
        instrument: u32,
        change: Amendment,
        pass: Pass,
        now_ns: i64,
        out: &mut Vec<VenueReport>,
    ) {
        if !self.is_away[instrument as usize] {
            return self.near.amend(order, instrument, change, pass, now_ns, out);
        }
        self.send(Leaving::Amend(order, change));
    }

    fn is_away(&self, instrument: u32) -> bool {
        self.is_away[instrument as usize]
    }

    fn is_waiting(&self, instrument: u32) -> bool {
        !self.is_away[instrument as usize] && self.near.is_waiting(instrument)
    }

    fn bar_follows(&mut self, instrument: u32, before_ns: i64) {
        self.near.bar_follows(instrument, before_ns);
    }

    fn match_tick(&mut self, tick: &Tick, now_ns: i64, out: &mut Vec<VenueReport>) {
        self.near.match_tick(tick, now_ns, out);
    }

    fn next_due_ns(&self) -> i64 {
        self.near.next_due_ns()
    }

    fn take_due(&mut self, until_ns: i64, out: &mut Vec<VenueReport>) -> Option<i64> {
        self.near.take_due(until_ns, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::Verdict;
    use crate::sync::{AtomicU64, Ordering};
    use crate::tick::Side;
    use crate::venue::{OrderStatus, Terms};

    #[test]
    fn it_holds_what_has_left_in_order_and_the_latest_change_of_each_order() {
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let gate = Arc::default();
        let outbox = Outbox::new(&gate, move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let key = |number| OrderKey { strategy: 0, number };
        let change = |quantity| Amendment { quantity, limit: 1.0, stop: f64::INFINITY };
        for leaving in [
            Leaving::Amend(key(1), change(1.0)),
            Leaving::Cancel(key(2)),
            Leaving::Amend(key(1), change(2.0)),
            Leaving::Cancel(key(2)),
            Leaving::Cancel(key(1)),
        ] {
            outbox.put(leaving);
        }
        assert_eq!(calls.load(Ordering::Relaxed), 3, "nothing new, no call");
        assert_eq!(outbox.take(2), [Leaving::Amend(key(1), change(2.0)), Leaving::Cancel(key(2))]);
        outbox.put(Leaving::Cancel(key(2)));
        assert_eq!(outbox.take(9), [Leaving::Cancel(key(1)), Leaving::Cancel(key(2))]);
    }
    fn order(key: OrderKey) -> Order {
        Order {
            key,
            instrument: 0,
            side: Side::Buy,
            status: OrderStatus::Submitted,
            gate: Verdict::Passed,
            terms: Terms::MARKET,
            quantity: 1.0,
            filled: 0.0,
            made_position: 0,
            made_ns: 0,
            changed_position: 0,
            changed_ns: 0,
            price: 0.0,
            fee: 0.0,
        }
    }

    #[test]
    fn what_waits_where_trading_is_halted_does_not_leave_and_what_has_left_is_taken_back() {
        let gate: Arc<TradingGate> = Arc::default();
        let outbox = Outbox::new(&gate, || ());
        let order = order(OrderKey { strategy: 0, number: 1 });
        outbox.put(Leaving::Order(order));
        outbox.put(Leaving::Cancel(order.key));
        gate.set(Trading::Halted);
        assert!(gate.take_back(TakeBack::All), "there is somebody who takes orders back");
        let taken = outbox.take(9);
        let is_stopped = |leaving: &Leaving| matches!(leaving, Leaving::Stopped(stopped) if stopped.key == order.key);
        assert!(is_stopped(&taken[0]), "{taken:?}");
        assert_eq!(taken[1..], [Leaving::Cancel(order.key), Leaving::CancelAll]);
        assert!(gate.take_back(TakeBack::AtTheEnd));
        assert_eq!(outbox.take(9), [Leaving::CancelAtEnd]);
        outbox.put(Leaving::Order(order));
        gate.set(Trading::Active);
        assert!(matches!(outbox.take(9)[..], [Leaving::Order(_)]));
        drop(outbox);
        assert!(!gate.take_back(TakeBack::All), "it is gone");
        assert_eq!(gate.unsent(), Unsent::default());
    }

    #[test]
    fn what_has_not_reached_its_venue_is_told_until_it_has() {
        let gate: Arc<TradingGate> = Arc::default();
        let outbox = Outbox::new(&gate, || ());
        let order = order(OrderKey { strategy: 0, number: 1 });
        outbox.put(Leaving::Order(order));
        outbox.put(Leaving::Cancel(order.key));
        assert_eq!(gate.unsent(), Unsent { cancels: 1, orders: 1, all: false });
        gate.take_back(TakeBack::All);
        assert_eq!(gate.unsent(), Unsent { cancels: 1, orders: 1, all: true });
        outbox.take(9);
        assert_eq!(gate.unsent(), Unsent::default());
        outbox.note_taking_back(true);
        assert!(gate.unsent().has_cancels());
        outbox.note_taking_back(false);
        assert!(!gate.unsent().has_cancels());
    }
}
