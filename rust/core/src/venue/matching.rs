//! What fills when, at which price, and in which order. `docs/reference/simulated-venue.md` says the same in words.

use super::book::{Book, Resting, index};
use super::offer::Offer;
use super::portfolio::FLAT_FRACTION;
use super::simulated::{BarPath, FillModel, InstrumentTerms, VenueFill, VenueReport};
use super::terms::{OrderKind, TimeInForce};
use crate::tick::{Kind, Side, Tick};

/// Reasons, as owners of orders read them.
pub(super) mod reason {
    pub const IOC: &str = "IOC: nothing more was on offer";
    pub const FOK: &str = "FOK: less than the quantity was on offer";
    pub const POST_ONLY: &str = "post_only: it would have matched at once";
    pub const REDUCE_ONLY: &str = "reduce_only: there is no position left to reduce";
}

/// One tick at one instrument's book.
pub(super) struct Matching<'a> {
    pub book: &'a mut Book,
    pub terms: &'a InstrumentTerms,
    pub model: FillModel,
    pub out: &'a mut Vec<VenueReport>,
}

impl Matching<'_> {
    /// Matches the whole book against `tick`.
    pub fn tick(&mut self, tick: &Tick, path: BarPath, now_ns: i64) {
        if let Some(offer) = Offer::of(tick, self.model) {
            self.moment(offer);
        } else if tick.kind == Kind::Bar as u8 {
            self.bar(tick, path, now_ns);
        }
    }

    /// One moment: first those that came since the last tick, in order of arrival; then those that wait, the best price
    /// first; then stops that the price wakes.
    fn moment(&mut self, mut offer: Offer) -> Offer {
        self.fresh(&mut offer);
        self.waiting(&mut offer);
        self.stops(&mut offer);
        offer
    }

    fn fresh(&mut self, offer: &mut Offer) {
        if self.book.fresh.is_empty() {
            return;
        }
        let (terms, model) = (self.terms, self.model);
        let out = &mut *self.out;
        self.book.with_fresh(|book, entry| Matching { book, terms, model, out: &mut *out }.attempt(entry, offer));
    }

    /// Gives an order its chance to take; says whether it stays where the next tick looks first.
    fn attempt(&mut self, entry: &mut Resting, offer: &mut Offer) -> bool {
        let price = offer.taker[index(entry.side)];
        if entry.takes(price) {
            if entry.terms.post_only {
                return self.cancel(entry, reason::POST_ONLY);
            }
            let most = entry.left - entry.quantity * FLAT_FRACTION;
            if entry.terms.time_in_force == TimeInForce::Fok && self.room(entry, offer) < most {
                let is_flat = self.allowed(entry) <= 0.0;
                return self.cancel(entry, if is_flat { reason::REDUCE_ONLY } else { reason::FOK });
            }
            let slipped = self.terms.slippage.apply(entry.side, entry.fair(price), entry.terms.limit);
            if !self.fill(entry, offer, slipped, false) {
                return false;
            }
        }
        if entry.terms.time_in_force.is_immediate() {
            let is_told = offer.tells[index(entry.side)];
            return if is_told { self.cancel(entry, immediate(entry)) } else { true };
        }
        if entry.terms.kind == OrderKind::Market {
            return true;
        }
        if is_untold(entry, offer) {
            return true;
        }
        self.book.shelve_limit(*entry);
        false
    }

    /// How much of an order could be filled now.
    fn room(&self, entry: &Resting, offer: &Offer) -> f64 {
        offer.left[index(entry.side)].min(self.allowed(entry))
    }

    /// What reduce-only leaves of an order.
    fn allowed(&self, entry: &Resting) -> f64 {
        if !entry.terms.reduce_only {
            return f64::INFINITY;
        }
        (-entry.side.sign() * self.book.net(entry.key.strategy)).max(0.0)
    }

    /// Fills what there is; `false`: the order is gone.
    fn fill(&mut self, entry: &mut Resting, offer: &mut Offer, price: f64, is_maker: bool) -> bool {
        let allowed = self.allowed(entry);
        if allowed <= 0.0 {
            return self.cancel(entry, reason::REDUCE_ONLY);
        }
        let mut quantity = offer.take(entry.side, entry.left.min(allowed));
        if quantity <= 0.0 {
            return true;
        }
        // What arithmetic on decimals leaves behind is no rest to wait for.
        if entry.left - quantity <= entry.quantity * FLAT_FRACTION {
            quantity = entry.left;
        }
        entry.left -= quantity;
        let fee = self.fee(entry, price, quantity, is_maker);
        self.book.hold(entry.key.strategy, entry.side.sign() * quantity);
        let is_done = entry.left <= 0.0;
        self.out.push(VenueReport::Fill(VenueFill { order: entry.key, quantity, price, fee, is_maker, is_done }));
        if is_done {
            self.book.forget(entry.key);
            return false;
        }
        if quantity >= allowed { self.cancel(entry, reason::REDUCE_ONLY) } else { true }
    }

    fn fee(&self, entry: &mut Resting, price: f64, quantity: f64, is_maker: bool) -> f64 {
        let fees = &self.terms.fees;
        entry.owed += fees.of(price.abs() * quantity * self.terms.multiplier, quantity, is_maker);
        let fee = fees.due(entry.owed) - entry.charged;
        entry.charged += fee;
        fee
    }

    /// The order is gone.
    fn cancel(&mut self, entry: &Resting, reason: &'static str) -> bool {
        self.book.forget(entry.key);
        self.out.push(VenueReport::Canceled(entry.key, reason));
        false
    }

    fn waiting(&mut self, offer: &mut Offer) {
        for side in [Side::Buy, Side::Sell] {
            let reached = offer.maker[index(side)];
            while self.reaches(side, reached) && offer.left[index(side)] > 0.0 {
                self.fill_first(side, offer, reached);
            }
        }
    }

    /// Whether a price reaches the best order that waits on `side`.
    fn reaches(&self, side: Side, price: f64) -> bool {
        let best = self.book.limits[index(side)].best();
        match (side, self.model) {
            (Side::Sell, FillModel::Through) => price > best,
            (Side::Sell, _) => price >= best,
            (_, FillModel::Through) => price < best,
            (_, _) => price <= best,
        }
    }

    fn fill_first(&mut self, side: Side, offer: &mut Offer, reached: f64) {
        let (terms, model) = (self.terms, self.model);
        let out = &mut *self.out;
        self.book.with_first_limit(index(side), |book, entry| {
            let price = if offer.is_open { reached } else { entry.terms.limit };
            Matching { book, terms, model, out }.fill(entry, offer, price, true)
        });
    }

    fn stops(&mut self, offer: &mut Offer) {
        for side in [Side::Buy, Side::Sell] {
            while self.wakes(side, offer.maker[index(side)]) {
                self.wake(side, offer);
            }
        }
    }

    /// Whether a price wakes the first stop on `side`.
    fn wakes(&self, side: Side, price: f64) -> bool {
        let first = self.book.stops[index(side)].best();
        if side == Side::Sell { price <= first } else { price >= first }
    }

    fn wake(&mut self, side: Side, offer: &mut Offer) {
        if let Some(mut entry) = self.book.trigger(index(side))
            && self.attempt(&mut entry, offer)
        {
            self.book.freshen(entry);
        }
    }

    /// When a bar that came at `now_ns` opened. Where records come later than they bear, the one before it did as well, more or
    /// less by as much, and who decided on that one decided in time.
    ///
    /// Never before the end of the one before it, which may be nearer where a day is short; where nobody has said how long bars
    /// are, right then.
    fn opened_ns(&self, tick: &Tick, now_ns: i64) -> i64 {
        let (duration_ns, before_ns) = (self.terms.bar_duration_ns, self.book.bar_before_ns);
        if duration_ns == 0 && before_ns != i64::MIN {
            return before_ns;
        }
        let opened_ns = now_ns.saturating_sub(duration_ns).saturating_add(now_ns.saturating_sub(tick.ts_event));
        opened_ns.max(before_ns)
    }

    /// A bar: its open as one moment, then along the path between its four prices. What was decided while it went on would
    /// have come to prices from before its decision: it has the close.
    fn bar(&mut self, tick: &Tick, path: BarPath, now_ns: i64) {
        let [open, high, low, close] = tick.values;
        if ![open, high, low, close].into_iter().all(f64::is_finite) {
            return;
        }
        let late = self.book.take_since(self.opened_ns(tick, now_ns));
        let volume = self.model.quantity(f64::from_bits(tick.sequence));
        let mut left = self.moment(Offer::at(open, volume, true)).left[0];
        let is_low_first = match path {
            BarPath::LowFirst => true,
            BarPath::HighFirst => false,
            BarPath::Nearest => open - low <= high - open,
        };
        let [first, second] = if is_low_first { [low, high] } else { [high, low] };
        for (from, to) in [(open, first), (first, second), (second, close)] {
            left = self.walk(from, to, left);
        }
        if !late.is_empty() {
            late.into_iter().for_each(|entry| self.book.arrive(entry));
            self.moment(Offer::at(close, left, false));
        }
    }

    /// The price goes from one level to another: whatever it reaches matches there, in the order reached.
    fn walk(&mut self, from: f64, to: f64, mut left: f64) -> f64 {
        let (waits, stops) = if to < from { (Side::Buy, Side::Sell) } else { (Side::Sell, Side::Buy) };
        loop {
            let is_filled = left > 0.0 && self.reaches(waits, to);
            let is_woken = self.wakes(stops, to);
            let (limit, stop) = (&self.book.limits[index(waits)], &self.book.stops[index(stops)]);
            let limit_first = match (is_filled, is_woken) {
                (false, false) => return left,
                (true, true) => precedes(limit, stop, to < from),
                (is_filled, _) => is_filled,
            };
            // A level that lies behind the start was there before the bar: it is reached at the start.
            let level = if limit_first { limit.best() } else { stop.best() };
            let level = if to < from { level.min(from) } else { level.max(from) };
            let mut offer = Offer::at(level, left, false);
            if limit_first {
                self.fill_first(waits, &mut offer, level)
            } else {
                self.wake(stops, &mut offer)
            }
            left = offer.left[0];
        }
    }
}

/// Whether a trade has gone beyond a limit that may have been marketable: what a buy takes at, a trade of a seller does not tell.
/// As an order that waits, it would fill at its limit, however far that is from the market; so it stays where the next tick
/// looks first, until one tells.
fn is_untold(entry: &mut Resting, offer: &Offer) -> bool {
    let (side, price) = (index(entry.side), offer.maker[index(entry.side)]);
    let is_beyond = entry.side.sign() * (entry.terms.limit - price) > 0.0;
    if offer.tells[side] || !is_beyond || entry.terms.post_only {
        return false;
    }
    entry.beyond = entry.fair(price);
    true
}

/// Whether the limit comes before the stop on the way: by price, and the older one where they are level.
fn precedes(limit: &super::book::Ladder, stop: &super::book::Ladder, is_falling: bool) -> bool {
    let (first, second) = (limit.best(), stop.best());
    if first == second {
        return limit.first_number() < stop.first_number();
    }
    if is_falling { first > second } else { first < second }
}

const fn immediate(entry: &Resting) -> &'static str {
    match entry.terms.time_in_force {
        TimeInForce::Fok => reason::FOK,
        _ => reason::IOC,
    }
}
