//! The simulated venue: takes orders as a venue would, matches them against the ticks that follow, and reports.
//!
//! Messages may take time: an order arrives later than it was sent, and its owner hears of a fill later than it happened.
//! What is on its way waits in one heap, by time and then by the order sent; two messages of one venue in one direction never
//! overtake each other. What fills when, at which price: see `matching`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::book::{Book, Resting};
use super::costs::{Fees, Slippage};
use super::latency::Latency;
use super::matching::Matching;
use super::order::{Order, OrderKey};
use super::portfolio::FLAT_FRACTION;
use super::random::Random;
use super::sessions::Sessions;
use super::terms::{OrderKind, TimeInForce};
use super::{Amendment, Venue};
use crate::risk::Pass;
use crate::tick::{Kind, Tick};

/// When an order that waits is filled, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FillModel {
    /// In full, once the market touches its price.
    #[default]
    Touch,
    /// In full, once the market has gone through its price.
    Through,
    /// Once the market touches its price, at most the size on offer; a missing size is unlimited.
    Size,
}

impl FillModel {
    /// How much is on offer, as this model has it.
    pub(super) fn quantity(self, size: f64) -> f64 {
        if self == Self::Size && !size.is_nan() { size.max(0.0) } else { f64::INFINITY }
    }
}

/// Which extreme of a bar the price is taken to have met first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BarPath {
    /// The one that is nearer to the open; the low where both are as near.
    #[default]
    Nearest,
    /// The high.
    HighFirst,
    /// The low.
    LowFirst,
}

/// What trading one instrument costs, and at which venue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InstrumentTerms {
    /// Fees.
    pub fees: Fees,
    /// Slippage.
    pub slippage: Slippage,
    /// What one unit at a price of 1 is worth.
    pub multiplier: f64,
    /// How long its bars are; 0: that is not known, and a bar begins with the end of the one before.
    pub bar_duration_ns: i64,
    /// Index of its venue among the settings.
    pub venue: usize,
}

impl Default for InstrumentTerms {
    fn default() -> Self {
        Self { fees: Fees::default(), slippage: Slippage::default(), multiplier: 1.0, bar_duration_ns: 0, venue: 0 }
    }
}

/// How one venue behaves.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct VenueSettings {
    /// When waiting orders fill.
    pub fill_model: FillModel,
    /// How a bar is walked.
    pub bar_path: BarPath,
    /// From the owner to the venue.
    pub order_latency: Latency,
    /// From the venue to the owner.
    pub report_latency: Latency,
    /// Share of orders that it rejects for no reason, 0 to 1.
    pub reject_rate: f64,
    /// Times, from (included) to (excluded), in which it cannot be reached: orders are rejected and none is amended; cancels and
    /// reports get through at its end. What stands there trades on.
    pub outages: Vec<(i64, i64)>,
    /// When it trades.
    pub sessions: Sessions,
}

impl VenueSettings {
    /// When it can be reached again; `None`: it can be at `ts_ns`.
    fn out_until(&self, ts_ns: i64) -> Option<i64> {
        let holds = |time: i64| move |&&(from, to): &&(i64, i64)| (from..to).contains(&time);
        let mut until = self.outages.iter().find(holds(ts_ns))?.1;
        while let Some(&(_, to)) = self.outages.iter().find(holds(until)) {
            until = to;
        }
        Some(until)
    }
}

/// A fill that the venue made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VenueFill {
    /// Whose order.
    pub order: OrderKey,
    /// How much.
    pub quantity: f64,
    /// At which price.
    pub price: f64,
    /// What it cost beside the price, in the currency of the price.
    pub fee: f64,
    /// Whether the order waited, and somebody else came to it.
    pub is_maker: bool,
    /// Whether it was the last of its order.
    pub is_done: bool,
}

/// What a venue tells of an order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum VenueReport {
    /// On its way.
    Submitted(OrderKey),
    /// It stands.
    Accepted(OrderKey),
    /// The venue does not take it.
    Rejected(OrderKey, &'static str),
    /// Some or all of it is done.
    Fill(VenueFill),
    /// The fills that were told are all there is to it.
    Filled(OrderKey),
    /// It is gone, and why.
    Canceled(OrderKey, &'static str),
    /// Its time has run out.
    Expired(OrderKey),
    /// It stands on other terms.
    Amended(OrderKey, Amendment),
    /// It stands as it did, not as this says, and why.
    NotAmended(OrderKey, Amendment, &'static str),
}

impl VenueReport {
    /// Whose order it is about.
    pub const fn order(&self) -> OrderKey {
        match self {
            Self::Submitted(key)
            | Self::Accepted(key)
            | Self::Filled(key)
            | Self::Rejected(key, _)
            | Self::Canceled(key, _)
            | Self::Expired(key)
            | Self::Amended(key, _)
            | Self::NotAmended(key, ..) => *key,
            Self::Fill(fill) => fill.order,
        }
    }
}

const REFUSED_AT_RANDOM: &str = "the venue rejected it (reject_rate)";
const UNREACHABLE: &str = "the venue cannot be reached (outages)";
const CLOSED: &str = "the venue is closed (sessions)";
const UNKNOWN: &str = "unknown instrument";
const TOO_LATE: &str = "too late: the venue has it no more";
const BELOW_FILLED: &str = "the new quantity is filled already";
const WOKEN: &str = "too late: the market has come to its stop, which can be another one no more";

#[derive(Clone, Debug)]
enum Message {
    Order(Order),
    Cancel(OrderKey, u32),
    /// And when it was sent.
    Amend(OrderKey, u32, Amendment, i64),
    Expiry(OrderKey, u32, i64),
    Report(VenueReport),
}

/// Something on its way; ordered by time, then by the order sent.
#[derive(Debug)]
struct Due {
    due_ns: i64,
    number: u64,
    message: Message,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.due_ns, self.number) == (other.due_ns, other.number)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ns, self.number).cmp(&(other.due_ns, other.number))
    }
}

/// Which way a message goes.
#[derive(Clone, Copy)]
enum Way {
    In = 0,
    Out = 1,
}

/// All simulated venues of a run.
#[derive(Debug)]
pub struct SimulatedVenue {
    instruments: Vec<InstrumentTerms>,
    venues: Vec<VenueSettings>,
    books: Vec<Book>,
    due: BinaryHeap<Reverse<Due>>,
    messages: u64,
    /// When the last message of each venue arrives, by direction.
    last_ns: Vec<[i64; 2]>,
    random: Random,
    reports: Vec<VenueReport>,
}

impl SimulatedVenue {
    /// One venue with default settings, for as many instruments as there are fee rates (fraction of the notional).
    pub fn new(fee_rates: Vec<f64>) -> Self {
        let terms = |rate| InstrumentTerms { fees: Fees::rate(rate), ..InstrumentTerms::default() };
        Self::with(fee_rates.into_iter().map(terms).collect(), vec![VenueSettings::default()], 0)
    }

    /// Venues with these settings; `seed` decides what is drawn.
    ///
    /// # Panics
    /// An instrument names a venue that is not there.
    pub fn with(instruments: Vec<InstrumentTerms>, venues: Vec<VenueSettings>, seed: u64) -> Self {
        assert!(instruments.iter().all(|terms| terms.venue < venues.len()), "every instrument's venue has settings");
        Self {
            books: instruments.iter().map(|_| Book::new()).collect(),
            last_ns: vec![[i64::MIN; 2]; venues.len()],
            instruments,
            venues,
            due: BinaryHeap::new(),
            messages: 0,
            random: Random::new(seed),
            reports: Vec::new(),
        }
    }

    fn venue_of(&self, instrument: u32) -> usize {
        self.instruments[instrument as usize].venue
    }

    fn schedule(&mut self, due_ns: i64, message: Message) {
        self.messages += 1;
        self.due.push(Reverse(Due { due_ns, number: self.messages, message }));
    }

    /// When a message that is sent now arrives; `None`: at once. Reports wait for the end of an outage.
    fn arrival_ns(&mut self, venue: usize, way: Way, now_ns: i64) -> Option<i64> {
        let settings = &self.venues[venue];
        let latency = match way {
            Way::In => &settings.order_latency,
            Way::Out => &settings.report_latency,
        };
        let mut arrives = now_ns.saturating_add(latency.draw(now_ns, &mut self.random));
        if let (Way::Out, Some(until)) = (way, settings.out_until(arrives)) {
            arrives = until;
        }
        let last = &mut self.last_ns[venue][way as usize];
        if latency.is_none() && arrives == now_ns && *last < now_ns {
            return None;
        }
        *last = arrives.max(*last);
        Some(*last)
    }

    /// Sends a message to the venue, or gives it back where it is there at once.
    fn send(&mut self, instrument: u32, now_ns: i64, message: Message) -> Option<Message> {
        let venue = self.venue_of(instrument);
        match self.arrival_ns(venue, Way::In, now_ns) {
            None => Some(message),
            Some(due_ns) => {
                self.schedule(due_ns, message);
                None
            }
        }
    }

    /// Sends a report to the owner.
    fn report(&mut self, venue: usize, now_ns: i64, report: VenueReport, out: &mut Vec<VenueReport>) {
        match self.arrival_ns(venue, Way::Out, now_ns) {
            None => out.push(report),
            Some(due_ns) => self.schedule(due_ns, Message::Report(report)),
        }
    }

    /// A message is there.
    fn receive(&mut self, message: Message, now_ns: i64, out: &mut Vec<VenueReport>) {
        match message {
            Message::Order(order) => self.take_order(&order, now_ns, out),
            Message::Cancel(key, instrument) => self.take_cancel(key, instrument, now_ns, out),
            Message::Amend(key, instrument, change, sent_ns) => {
                self.take_amendment(key, instrument, (change, sent_ns), now_ns, out);
            }
            Message::Expiry(key, instrument, expires_ns) => self.expire(key, instrument, expires_ns, now_ns, out),
            Message::Report(report) => out.push(report),
        }
    }

    fn take_order(&mut self, order: &Order, now_ns: i64, out: &mut Vec<VenueReport>) {
        let venue = self.venue_of(order.instrument);
        if self.venues[venue].out_until(now_ns).is_some() {
            // Whoever sends it finds out.
            return out.push(VenueReport::Rejected(order.key, UNREACHABLE));
        }
        if let Some(reason) = self.refusal(venue, now_ns) {
            return self.report(venue, now_ns, VenueReport::Rejected(order.key, reason), out);
        }
        self.report(venue, now_ns, VenueReport::Accepted(order.key), out);
        let expires_ns = match order.terms.time_in_force {
            TimeInForce::Day => self.venues[venue].sessions.day_end_ns(now_ns),
            TimeInForce::Gtd => order.terms.expires_ns,
            _ => i64::MAX,
        };
        if expires_ns != i64::MAX {
            self.schedule(expires_ns.max(now_ns), Message::Expiry(order.key, order.instrument, expires_ns));
        }
        self.books[order.instrument as usize].arrive(Resting::new(order));
    }

    fn refusal(&mut self, venue: usize, now_ns: i64) -> Option<&'static str> {
        let rate = self.venues[venue].reject_rate;
        if rate > 0.0 && self.random.unit() < rate {
            return Some(REFUSED_AT_RANDOM);
        }
        (!self.venues[venue].sessions.is_open(now_ns)).then_some(CLOSED)
    }

    fn take_cancel(&mut self, key: OrderKey, instrument: u32, now_ns: i64, out: &mut Vec<VenueReport>) {
        if let Some(until) = self.venues[self.venue_of(instrument)].out_until(now_ns) {
            // As cancels at venues outside are: tried until they get there.
            self.schedule(until, Message::Cancel(key, instrument));
        } else if self.books[instrument as usize].remove(key).is_some() {
            self.report(self.venue_of(instrument), now_ns, VenueReport::Canceled(key, "asked for"), out);
        }
    }

    fn expire(&mut self, key: OrderKey, instrument: u32, expires_ns: i64, now_ns: i64, out: &mut Vec<VenueReport>) {
        let book = &mut self.books[instrument as usize];
        // An amended order may have another time by now.
        let is_meant = book
            .get(key)
            .is_some_and(|entry| entry.terms.time_in_force == TimeInForce::Day || entry.terms.expires_ns == expires_ns);
        if is_meant && book.remove(key).is_some() {
            self.report(self.venue_of(instrument), now_ns, VenueReport::Expired(key), out);
        }
    }

    fn take_amendment(
        &mut self,
        key: OrderKey,
        instrument: u32,
        (change, sent_ns): (Amendment, i64),
        now_ns: i64,
        out: &mut Vec<VenueReport>,
    ) {
        if self.venues[self.venue_of(instrument)].out_until(now_ns).is_some() {
            return out.push(VenueReport::NotAmended(key, change, UNREACHABLE));
        }
        let report = match self.amend_book(key, instrument, change, sent_ns) {
            Ok(()) => VenueReport::Amended(key, change),
            Err(reason) => VenueReport::NotAmended(key, change, reason),
        };
        self.report(self.venue_of(instrument), now_ns, report, out);
    }

    /// A smaller quantity keeps its turn; anything else goes to the back, as at venues.
    fn amend_book(
        &mut self,
        key: OrderKey,
        instrument: u32,
        change: Amendment,
        sent_ns: i64,
    ) -> Result<(), &'static str> {
        let book = &mut self.books[instrument as usize];
        let entry = book.get(key).ok_or(TOO_LATE)?;
        let left = change.quantity - (entry.quantity - entry.left);
        // What arithmetic on decimals leaves behind is no rest to wait for.
        if left <= change.quantity.max(entry.quantity) * FLAT_FRACTION {
            return Err(BELOW_FILLED);
        }
        let waits_for_stop = matches!(entry.terms.kind, OrderKind::Stop | OrderKind::StopLimit);
        if !waits_for_stop && entry.terms.stop != change.stop && !change.stop.is_nan() {
            return Err(WOKEN);
        }
        let is_smaller = change.quantity <= entry.quantity;
        if is_smaller && change.keeps_prices(&entry.terms) {
            book.shrink(key, left, change.quantity);
        } else if let Some(mut entry) = book.remove(key) {
            (entry.left, entry.quantity) = (left, change.quantity);
            (entry.terms.limit, entry.terms.stop) = (change.limit, change.stop);
            (entry.since_ns, entry.beyond) = (sent_ns, f64::NAN);
            book.arrive(entry);
        }
        Ok(())
    }
}

impl Venue for SimulatedVenue {
    fn submit(&mut self, order: &Order, _pass: Pass, now_ns: i64, out: &mut Vec<VenueReport>) {
        let Some(terms) = self.instruments.get(order.instrument as usize) else {
            return out.push(VenueReport::Rejected(order.key, UNKNOWN));
        };
        if let Some(due_ns) = self.arrival_ns(terms.venue, Way::In, now_ns) {
            self.schedule(due_ns, Message::Order(*order));
            return out.push(VenueReport::Submitted(order.key));
        }
        let told = out.len();
        self.take_order(order, now_ns, out);
        if out.len() == told {
            // It is there, and what the venue says of it is on its way.
            out.push(VenueReport::Submitted(order.key));
        }
    }

    fn cancel(&mut self, order: OrderKey, instrument: u32, now_ns: i64, out: &mut Vec<VenueReport>) {
        if let Some(message) = self.send(instrument, now_ns, Message::Cancel(order, instrument)) {
            self.receive(message, now_ns, out);
        }
    }

    fn amend(
        &mut self,
        order: OrderKey,
        instrument: u32,
        change: Amendment,
        _pass: Pass,
        now_ns: i64,
        out: &mut Vec<VenueReport>,
    ) {
        if let Some(message) = self.send(instrument, now_ns, Message::Amend(order, instrument, change, now_ns)) {
            self.receive(message, now_ns, out);
        }
    }

    #[inline(always)]
    fn is_waiting(&self, instrument: u32) -> bool {
        !self.books[instrument as usize].is_empty()
    }

    #[inline]
    fn leaves(&self, tick: &Tick) -> bool {
        self.books[tick.instrument as usize].is_beyond(tick)
    }

    fn bar_follows(&mut self, instrument: u32, before_ns: i64) {
        self.books[instrument as usize].bar_before_ns = before_ns;
    }

    fn match_tick(&mut self, tick: &Tick, now_ns: i64, out: &mut Vec<VenueReport>) {
        let terms = &self.instruments[tick.instrument as usize];
        let settings = &self.venues[terms.venue];
        if !settings.sessions.is_open_for(tick.kind == Kind::Bar as u8, now_ns) {
            return;
        }
        let (model, path) = (settings.fill_model, settings.bar_path);
        let is_prompt = settings.report_latency.is_none() && settings.outages.is_empty();
        let book = &mut self.books[tick.instrument as usize];
        if is_prompt {
            Matching { book, terms, model, out }.tick(tick, path, now_ns);
            return;
        }
        let venue = terms.venue;
        let mut reports = std::mem::take(&mut self.reports);
        Matching { book, terms, model, out: &mut reports }.tick(tick, path, now_ns);
        for report in reports.drain(..) {
            self.report(venue, now_ns, report, out);
        }
        self.reports = reports;
    }

    fn next_due_ns(&self) -> i64 {
        self.due.peek().map_or(i64::MAX, |Reverse(due)| due.due_ns)
    }

    fn take_due(&mut self, until_ns: i64, out: &mut Vec<VenueReport>) -> Option<i64> {
        if self.next_due_ns() > until_ns {
            return None;
        }
        let Reverse(due) = self.due.pop()?;
        self.receive(due.message, due.due_ns, out);
        Some(due.due_ns)
    }
}
