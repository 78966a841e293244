//! The orders that stand at one instrument, by what wakes them.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::order::{Order, OrderKey};
use super::portfolio::held_after;
use super::terms::{OrderKind, Terms};
use crate::tick::{Kind, Side, Tick};

/// Index of a side in pairs: buys first.
pub(super) const fn index(side: Side) -> usize {
    match side {
        Side::Buy | Side::None => 0,
        Side::Sell => 1,
    }
}

/// An order at the venue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resting {
    pub key: OrderKey,
    pub side: Side,
    pub terms: Terms,
    /// What is not filled yet.
    pub left: f64,
    /// Of what it was given.
    pub quantity: f64,
    /// Fees of its fills, before the minimum.
    pub owed: f64,
    /// Fees that its fills have said.
    pub charged: f64,
    /// When it was decided to be what it is, ns UTC.
    pub since_ns: i64,
    /// The worst price of trades that went beyond its limit and did not tell what it takes at; NaN: there were none.
    pub beyond: f64,
}

impl Resting {
    pub const fn new(order: &Order) -> Self {
        Self {
            key: order.key,
            side: order.side,
            terms: order.terms,
            left: order.quantity,
            quantity: order.quantity,
            owed: 0.0,
            charged: 0.0,
            since_ns: order.made_ns,
            beyond: f64::NAN,
        }
    }

    /// Whether `price`, at which its side could trade now, is within its limit.
    pub fn takes(&self, price: f64) -> bool {
        match (self.terms.kind, self.side) {
            (OrderKind::Market | OrderKind::Stop, _) => !price.is_nan(),
            (_, Side::Sell) => price >= self.terms.limit,
            (_, Side::Buy | Side::None) => price <= self.terms.limit,
        }
    }

    /// The price that it takes at where `price` is seen: no better than that of a trade that went beyond its limit before.
    pub fn fair(&self, price: f64) -> f64 {
        match self.side {
            Side::Sell => price.min(self.beyond),
            Side::Buy | Side::None => price.max(self.beyond),
        }
    }
}

/// Rank of a price among ladders that begin with the lowest: the total order of floats as integers. `-0.0` is 0.
const fn rank(price: f64) -> i64 {
    let bits = (price + 0.0).to_bits().cast_signed();
    bits ^ (((bits >> 63).cast_unsigned()) >> 1).cast_signed()
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shelf {
    /// It was not looked at yet, or waits for any price at all.
    Fresh,
    Limit(Side),
    Stop(Side),
}

/// Room for one order; ladders and the index know it by its number, so that what they move about is small.
#[derive(Clone, Copy, Debug)]
struct Slot {
    entry: Resting,
    arrival: u64,
    shelf: Shelf,
}

/// Names of orders are small numbers, one after the other: one multiplication spreads them.
#[derive(Clone, Copy, Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(u32::from(byte)));
    }

    fn write_u32(&mut self, part: u32) {
        self.0 = self.0.rotate_left(32) ^ u64::from(part);
    }

    fn finish(&self) -> u64 {
        let wide = u128::from(self.0) * 0x9e37_79b9_7f4a_7c15;
        (wide >> 64) as u64 ^ wide as u64
    }
}

/// Slots of orders by price, then by arrival; the first is the one that the market reaches first.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    slots: BTreeMap<(i64, u64), u32>,
    /// Price of the first; NaN, which nothing reaches, while there is none.
    best: f64,
    highest_first: bool,
}

impl Ladder {
    fn new(highest_first: bool) -> Self {
        Self { slots: BTreeMap::new(), best: f64::NAN, highest_first }
    }

    /// Price of the first; NaN while there is none.
    pub const fn best(&self) -> f64 {
        self.best
    }

    /// Arrival of the first.
    pub fn first_number(&self) -> u64 {
        self.slots.first_key_value().map_or(u64::MAX, |(&(_, number), _)| number)
    }

    fn first(&self) -> Option<u32> {
        self.slots.first_key_value().map(|(_, &slot)| slot)
    }

    fn place(&self, price: f64, number: u64) -> (i64, u64) {
        (if self.highest_first { !rank(price) } else { rank(price) }, number)
    }

    fn price_of(&self, place: (i64, u64)) -> f64 {
        let ranked = if self.highest_first { !place.0 } else { place.0 };
        f64::from_bits((ranked ^ (((ranked >> 63).cast_unsigned()) >> 1).cast_signed()).cast_unsigned())
    }

    fn insert(&mut self, price: f64, number: u64, slot: u32) {
        self.slots.insert(self.place(price, number), slot);
        self.note_best();
    }

    fn remove(&mut self, price: f64, number: u64) {
        self.slots.remove(&self.place(price, number));
        self.note_best();
    }

    fn note_best(&mut self) {
        self.best = self.slots.first_key_value().map_or(f64::NAN, |(&place, _)| self.price_of(place));
    }
}

/// Stands among the fresh for an order that was taken out.
const GONE: u32 = u32::MAX;

/// Room among the fresh that is kept whatever comes.
const FRESH_KEPT: usize = 1_024;

/// All orders of one instrument.
#[derive(Debug)]
pub(super) struct Book {
    /// Arrivals and slots, in order of arrival; what was taken out leaves its place empty until the next tick looks: who takes
    /// back many orders at once would move all the others each time.
    pub fresh: Vec<(u64, u32)>,
    /// Buys, the highest first; sells, the lowest first.
    pub limits: [Ladder; 2],
    /// Buys, the lowest first; sells, the highest first.
    pub stops: [Ladder; 2],
    slots: Vec<Slot>,
    free: Vec<u32>,
    places: HashMap<OrderKey, u32, BuildHasherDefault<Spread>>,
    arrivals: u64,
    /// No order was decided after that.
    latest_ns: i64,
    /// When the bar before the present one came; `i64::MIN`: that is not known.
    pub bar_before_ns: i64,
    /// What each strategy holds by the venue's own account, which no report delays; and the most of it since it was flat.
    nets: Vec<(f64, f64)>,
}

impl Book {
    pub fn new() -> Self {
        Self {
            fresh: Vec::new(),
            limits: [Ladder::new(true), Ladder::new(false)],
            stops: [Ladder::new(false), Ladder::new(true)],
            slots: Vec::new(),
            free: Vec::new(),
            places: HashMap::default(),
            arrivals: 0,
            latest_ns: i64::MIN,
            bar_before_ns: i64::MIN,
            nets: Vec::new(),
        }
    }

    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether no price of a quote or trade reaches any order here; of other records that is not known while there is one.
    #[inline(always)]
    pub fn is_beyond(&self, tick: &Tick) -> bool {
        if self.is_empty() {
            return true;
        }
        let [first, second, ..] = tick.values;
        let (low, high) = match tick.kind {
            kind if kind == Kind::Quote as u8 => (first.min(second), first.max(second)),
            kind if kind == Kind::Trade as u8 => (first, first),
            _ => return false,
        };
        // NaN, where nobody waits or the tick has no price, is reached by nothing.
        let ([buys, sells], [buy_stops, sell_stops]) = (&self.limits, &self.stops);
        let is_reached =
            (low <= buys.best) | (high >= sells.best) | (high >= buy_stops.best) | (low <= sell_stops.best);
        self.fresh.is_empty() && !is_reached
    }

    /// Takes a new order: a stop waits for its price, the rest for the next tick.
    pub fn arrive(&mut self, entry: Resting) {
        match entry.terms.kind {
            OrderKind::Stop | OrderKind::StopLimit => self.shelve_stop(entry),
            OrderKind::Market | OrderKind::Limit => self.freshen(entry),
        }
    }

    /// Puts an order where the next tick looks first.
    pub fn freshen(&mut self, entry: Resting) {
        let (arrival, slot) = self.put(entry, Shelf::Fresh);
        self.fresh.push((arrival, slot));
    }

    /// Lets a limit order wait at its price, behind those that are there.
    pub fn shelve_limit(&mut self, entry: Resting) {
        let (arrival, slot) = self.put(entry, Shelf::Limit(entry.side));
        self.limits[index(entry.side)].insert(entry.terms.limit, arrival, slot);
    }

    fn shelve_stop(&mut self, entry: Resting) {
        let (arrival, slot) = self.put(entry, Shelf::Stop(entry.side));
        self.stops[index(entry.side)].insert(entry.terms.stop, arrival, slot);
    }

    /// Gives an order a slot, or that which it has, as the latest to arrive.
    fn put(&mut self, entry: Resting, shelf: Shelf) -> (u64, u32) {
        self.arrivals += 1;
        self.latest_ns = self.latest_ns.max(entry.since_ns);
        let slot = Slot { entry, arrival: self.arrivals, shelf };
        let (slots, free) = (&mut self.slots, &mut self.free);
        let place = *self.places.entry(entry.key).or_insert_with(|| {
            free.pop().unwrap_or_else(|| {
                slots.push(slot);
                u32::try_from(slots.len() - 1).expect("bounded by MAX_ORDERS a strategy")
            })
        });
        slots[place as usize] = slot;
        (self.arrivals, place)
    }

    /// Shows each fresh order, in order of arrival, to `attempt`, which says whether it stays; what is put there meanwhile
    /// comes behind.
    pub fn with_fresh(&mut self, mut attempt: impl FnMut(&mut Self, &mut Resting) -> bool) {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.retain(|&(_, slot)| {
            if slot == GONE {
                return false;
            }
            let mut entry = self.slots[slot as usize].entry;
            let stays = attempt(self, &mut entry);
            if stays {
                self.slots[slot as usize].entry = entry;
            }
            stays
        });
        fresh.append(&mut self.fresh);
        // After a flood its memory goes; where the same come and go it is kept.
        if fresh.capacity() > FRESH_KEPT && fresh.len() < fresh.capacity() / 8 {
            fresh.shrink_to(FRESH_KEPT.max(fresh.len()));
        }
        self.fresh = fresh;
    }

    /// Shows the first of a ladder of limits to `change`, which says whether it stays, in its place.
    pub fn with_first_limit(&mut self, side: usize, change: impl FnOnce(&mut Self, &mut Resting) -> bool) {
        let Some(slot) = self.limits[side].first() else { return };
        let Slot { mut entry, arrival, .. } = self.slots[slot as usize];
        if change(self, &mut entry) {
            self.slots[slot as usize].entry = entry;
        } else {
            self.limits[side].remove(entry.terms.limit, arrival);
            self.forget(entry.key);
        }
    }

    /// The first of a ladder of stops, for good: it is a market or a limit order from now on.
    pub fn trigger(&mut self, side: usize) -> Option<Resting> {
        let slot = self.stops[side].first()?;
        let mut entry = self.remove(self.slots[slot as usize].entry.key)?;
        entry.terms.kind = match entry.terms.kind {
            OrderKind::StopLimit => OrderKind::Limit,
            _ => OrderKind::Market,
        };
        Some(entry)
    }

    /// An order that stands nowhere any more gives its slot back.
    pub fn forget(&mut self, key: OrderKey) {
        if let Some(slot) = self.places.remove(&key) {
            self.free.push(slot);
        }
    }

    /// Takes an order out.
    pub fn remove(&mut self, key: OrderKey) -> Option<Resting> {
        let Slot { entry, arrival, shelf } = *self.slot(key)?;
        match shelf {
            Shelf::Fresh => {
                let place = self.fresh.binary_search_by_key(&arrival, |&(number, _)| number).ok()?;
                self.fresh[place].1 = GONE;
            }
            Shelf::Limit(side) => self.limits[index(side)].remove(entry.terms.limit, arrival),
            Shelf::Stop(side) => self.stops[index(side)].remove(entry.terms.stop, arrival),
        }
        self.forget(key);
        Some(entry)
    }

    /// Takes out the orders that were decided after `ts_ns`, in order of arrival: mostly none, and then nothing is looked at.
    pub fn take_since(&mut self, ts_ns: i64) -> Vec<Resting> {
        if self.latest_ns <= ts_ns {
            return Vec::new();
        }
        let mut taken: Vec<Slot> = self.places.values().map(|&place| self.slots[place as usize]).collect();
        taken.retain(|slot| slot.entry.since_ns > ts_ns);
        taken.sort_unstable_by_key(|slot| slot.arrival);
        taken.into_iter().filter_map(|slot| self.remove(slot.entry.key)).collect()
    }

    fn slot(&self, key: OrderKey) -> Option<&Slot> {
        self.places.get(&key).map(|&slot| &self.slots[slot as usize])
    }

    /// Changes what is left of an order, in its place: it keeps its turn.
    pub fn shrink(&mut self, key: OrderKey, left: f64, quantity: f64) {
        if let Some(&slot) = self.places.get(&key) {
            let entry = &mut self.slots[slot as usize].entry;
            (entry.left, entry.quantity) = (left, quantity);
        }
    }

    /// The order, if it stands here.
    pub fn get(&self, key: OrderKey) -> Option<&Resting> {
        self.slot(key).map(|slot| &slot.entry)
    }

    /// What `strategy` holds by the venue's account.
    pub fn net(&self, strategy: u32) -> f64 {
        self.nets.get(strategy as usize).map_or(0.0, |held| held.0)
    }

    /// Enters a fill into that account.
    pub fn hold(&mut self, strategy: u32, signed: f64) {
        let strategy = strategy as usize;
        if strategy >= self.nets.len() {
            self.nets.resize(strategy + 1, (0.0, 0.0));
        }
        let (net, largest) = &mut self.nets[strategy];
        *net = held_after(*net, signed, largest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(number: u32, side: Side, price: f64) -> Resting {
        let terms = Terms::limit(price);
        let key = OrderKey { strategy: 0, number };
        Resting { key, side, terms, left: 1.0, quantity: 1.0, owed: 0.0, charged: 0.0, since_ns: 0, beyond: f64::NAN }
    }

    fn drained(book: &mut Book, side: usize) -> Vec<u32> {
        let mut numbers = Vec::new();
        while !book.limits[side].best().is_nan() {
            book.with_first_limit(side, |_, entry| {
                numbers.push(entry.key.number);
                false
            });
        }
        numbers
    }

    #[test]
    fn the_best_price_comes_first_and_then_the_oldest() {
        let mut book = Book::new();
        for (number, price) in [(1, 5.0), (2, 7.0), (3, 5.0), (4, -1.0), (5, 7.0)] {
            book.shelve_limit(limit(number, Side::Buy, price));
            book.shelve_limit(limit(number + 10, Side::Sell, price));
        }
        assert_eq!((book.limits[0].best(), book.limits[1].best()), (7.0, -1.0));
        assert_eq!(drained(&mut book, 0), [2, 5, 1, 3, 4]);
        assert_eq!(drained(&mut book, 1), [14, 11, 13, 12, 15]);
        assert!(book.is_empty());
    }

    proptest! {
        /// A ladder with orders taken out is what sorting the rest gives.
        #[test]
        fn ladders_equal_a_stable_sort(
            prices in prop::collection::vec(prop_oneof![-1e6_f64..1e6, Just(0.0), Just(-0.0)], 1..60),
            removed in prop::collection::vec(0_usize..60, 0..20),
        ) {
            let mut book = Book::new();
            let mut model: Vec<(f64, u32)> = Vec::new();
            for (number, &price) in prices.iter().enumerate() {
                book.shelve_limit(limit(number as u32, Side::Buy, price));
                model.push((price + 0.0, number as u32));
            }
            for number in removed {
                let key = OrderKey { strategy: 0, number: number as u32 };
                let is_there = model.iter().any(|&(_, known)| known == key.number);
                prop_assert_eq!(book.get(key).is_some(), is_there);
                prop_assert_eq!(book.remove(key).is_some(), is_there);
                model.retain(|&(_, known)| known != key.number);
            }
            model.sort_by(|a, b| b.0.total_cmp(&a.0));
            let expected: Vec<u32> = model.into_iter().map(|(_, number)| number).collect();
            prop_assert_eq!(drained(&mut book, 0), expected);
        }
    }
}
