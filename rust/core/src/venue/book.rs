//! The orders that stand at one instrument, by what wakes them.

use std::collections::{BTreeMap, HashMap};

use super::order::{Order, OrderKey};
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
#[derive(Clone, Debug)]
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
}

/// Rank of a price among ladders that begin with the lowest: the total order of floats as integers. `-0.0` is 0.
const fn rank(price: f64) -> i64 {
    let bits = (price + 0.0).to_bits().cast_signed();
    bits ^ (((bits >> 63).cast_unsigned()) >> 1).cast_signed()
}

/// Orders by price, then by arrival; the first is the one that the market reaches first.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    entries: BTreeMap<(i64, u64), Resting>,
    /// Price of the first; NaN, which nothing reaches, while there is none.
    best: f64,
    highest_first: bool,
}

impl Ladder {
    fn new(highest_first: bool) -> Self {
        Self { entries: BTreeMap::new(), best: f64::NAN, highest_first }
    }

    /// Price of the first; NaN while there is none.
    pub const fn best(&self) -> f64 {
        self.best
    }

    /// Arrival of the first.
    pub fn first_number(&self) -> u64 {
        self.entries.first_key_value().map_or(u64::MAX, |(&(_, number), _)| number)
    }

    fn place(&self, price: f64, number: u64) -> (i64, u64) {
        (if self.highest_first { !rank(price) } else { rank(price) }, number)
    }

    fn price_of(&self, place: (i64, u64)) -> f64 {
        let ranked = if self.highest_first { !place.0 } else { place.0 };
        f64::from_bits((ranked ^ (((ranked >> 63).cast_unsigned()) >> 1).cast_signed()).cast_unsigned())
    }

    fn insert(&mut self, place: (i64, u64), entry: Resting) {
        self.entries.insert(place, entry);
        self.note_best();
    }

    fn remove(&mut self, place: (i64, u64)) -> Option<Resting> {
        let entry = self.entries.remove(&place);
        self.note_best();
        entry
    }

    fn note_best(&mut self) {
        self.best = self.entries.first_key_value().map_or(f64::NAN, |(&place, _)| self.price_of(place));
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// It was not looked at yet, or waits for any price at all; its arrival.
    Fresh(u64),
    Limit(usize, (i64, u64)),
    Stop(usize, (i64, u64)),
}

/// All orders of one instrument.
#[derive(Debug)]
pub(super) struct Book {
    /// In order of arrival, with it; what was taken out leaves its place empty until the next tick looks: who takes back
    /// many orders at once would move all the others each time.
    pub fresh: Vec<(u64, Option<Resting>)>,
    /// Buys, the highest first; sells, the lowest first.
    pub limits: [Ladder; 2],
    /// Buys, the lowest first; sells, the highest first.
    pub stops: [Ladder; 2],
    places: HashMap<OrderKey, Place>,
    arrivals: u64,
    /// What each strategy holds by the venue's own account, which no report delays.
    nets: Vec<f64>,
}

impl Book {
    pub fn new() -> Self {
        Self {
            fresh: Vec::new(),
            limits: [Ladder::new(true), Ladder::new(false)],
            stops: [Ladder::new(false), Ladder::new(true)],
            places: HashMap::new(),
            arrivals: 0,
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
        let number = self.number();
        self.places.insert(entry.key, Place::Fresh(number));
        self.fresh.push((number, Some(entry)));
    }

    fn fresh_place(&self, number: u64) -> Option<usize> {
        self.fresh.binary_search_by_key(&number, |&(arrival, _)| arrival).ok()
    }

    const fn number(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Lets a limit order wait at its price, behind those that are there.
    pub fn shelve_limit(&mut self, entry: Resting) {
        let (side, number) = (index(entry.side), self.number());
        let place = self.limits[side].place(entry.terms.limit, number);
        self.places.insert(entry.key, Place::Limit(side, place));
        self.limits[side].insert(place, entry);
    }

    fn shelve_stop(&mut self, entry: Resting) {
        let (side, number) = (index(entry.side), self.number());
        let place = self.stops[side].place(entry.terms.stop, number);
        self.places.insert(entry.key, Place::Stop(side, place));
        self.stops[side].insert(place, entry);
    }

    /// The first of a ladder of limits, taken out; `change` says whether it stays, in its place.
    pub fn with_first_limit(&mut self, side: usize, change: impl FnOnce(&mut Self, &mut Resting) -> bool) {
        let Some((&place, _)) = self.limits[side].entries.first_key_value() else { return };
        let Some(mut entry) = self.limits[side].remove(place) else { return };
        if change(self, &mut entry) {
            self.limits[side].insert(place, entry);
        } else {
            self.places.remove(&entry.key);
        }
    }

    /// The first of a ladder of stops, for good: it is a market or a limit order from now on.
    pub fn trigger(&mut self, side: usize) -> Option<Resting> {
        let (&place, _) = self.stops[side].entries.first_key_value()?;
        let mut entry = self.stops[side].remove(place)?;
        self.places.remove(&entry.key);
        entry.terms.kind = match entry.terms.kind {
            OrderKind::StopLimit => OrderKind::Limit,
            _ => OrderKind::Market,
        };
        Some(entry)
    }

    /// An order that was fresh is gone, or stands elsewhere by now.
    pub fn forget(&mut self, key: OrderKey) {
        self.places.remove(&key);
    }

    /// Takes an order out.
    pub fn remove(&mut self, key: OrderKey) -> Option<Resting> {
        match self.places.remove(&key)? {
            Place::Fresh(number) => {
                let place = self.fresh_place(number)?;
                self.fresh[place].1.take()
            }
            Place::Limit(side, place) => self.limits[side].remove(place),
            Place::Stop(side, place) => self.stops[side].remove(place),
        }
    }

    /// Changes an order in its place: it keeps its turn.
    pub fn change(&mut self, key: OrderKey, change: impl FnOnce(&mut Resting)) {
        let entry = match self.places.get(&key) {
            Some(&Place::Fresh(number)) => self.fresh_place(number).and_then(|place| self.fresh[place].1.as_mut()),
            Some(Place::Limit(side, place)) => self.limits[*side].entries.get_mut(place),
            Some(Place::Stop(side, place)) => self.stops[*side].entries.get_mut(place),
            None => None,
        };
        if let Some(entry) = entry {
            change(entry);
        }
    }

    /// The order, if it stands here.
    pub fn get(&self, key: OrderKey) -> Option<&Resting> {
        match self.places.get(&key)? {
            &Place::Fresh(number) => self.fresh_place(number).and_then(|place| self.fresh[place].1.as_ref()),
            Place::Limit(side, place) => self.limits[*side].entries.get(place),
            Place::Stop(side, place) => self.stops[*side].entries.get(place),
        }
    }

    /// What `strategy` holds by the venue's account.
    pub fn net(&self, strategy: u32) -> f64 {
        self.nets.get(strategy as usize).copied().unwrap_or(0.0)
    }

    /// Enters a fill into that account.
    pub fn hold(&mut self, strategy: u32, signed: f64) {
        let strategy = strategy as usize;
        if strategy >= self.nets.len() {
            self.nets.resize(strategy + 1, 0.0);
        }
        self.nets[strategy] += signed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(number: u32, side: Side, price: f64) -> Resting {
        let terms = Terms::limit(price);
        let key = OrderKey { strategy: 0, number };
        Resting { key, side, terms, left: 1.0, quantity: 1.0, owed: 0.0, charged: 0.0 }
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
