//! What the book does is what looking at every order would, by the simplest means: all kinds of orders, changes and ticks.

use super::*;

/// One order, as the model has it.
#[derive(Clone, Copy, Debug)]
struct Plain {
    number: u32,
    side: Side,
    terms: Terms,
    quantity: f64,
    left: f64,
    /// Its turn: what came later stands behind.
    turn: u64,
    stands: Stands,
    /// Trades that did not tell what it takes at, while it was fresh.
    beyond: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stands {
    Fresh,
    Waits,
    Sleeps,
}

/// A report: the order, and a fill or why it is gone or not changed.
type Told = (u32, Result<(f64, f64, bool), &'static str>);

#[derive(Default)]
struct Model {
    open: Vec<Plain>,
    net: f64,
    turns: u64,
    told: Vec<Told>,
}

/// What a tick offers to buys and to sells.
#[derive(Clone, Copy)]
struct Offered {
    taker: [f64; 2],
    maker: [f64; 2],
    tells: [bool; 2],
    left: [f64; 2],
    is_shared: bool,
}

fn place(side: Side) -> usize {
    usize::from(side == Side::Sell)
}

impl Model {
    fn arrive(&mut self, mut order: Plain) {
        self.turns += 1;
        (order.turn, order.beyond) = (self.turns, f64::NAN);
        let is_stop = matches!(order.terms.kind, OrderKind::Stop | OrderKind::StopLimit);
        order.stands = if is_stop { Stands::Sleeps } else { Stands::Fresh };
        self.open.push(order);
    }

    fn take(&mut self, number: u32) -> Option<Plain> {
        let at = self.open.iter().position(|order| order.number == number)?;
        Some(self.open.remove(at))
    }

    fn amend(&mut self, number: u32, quantity: f64, price: f64) {
        let Some(mut order) = self.take(number) else {
            return self.told.push((number, Err("too late: the venue has it no more")));
        };
        let left = quantity - (order.quantity - order.left);
        if left <= 0.0 {
            self.open.push(order);
            return self.told.push((number, Err("the new quantity is filled already")));
        }
        let moved = repriced(&order.terms, price);
        if order.stands != Stands::Sleeps && !moved.stop.is_nan() && moved.stop.total_cmp(&order.terms.stop).is_ne() {
            self.open.push(order);
            let said = "too late: the market has come to its stop, which can be another one no more";
            return self.told.push((number, Err(said)));
        }
        let is_moved =
            moved.limit.total_cmp(&order.terms.limit).is_ne() || moved.stop.total_cmp(&order.terms.stop).is_ne();
        let grows = quantity > order.quantity;
        (order.quantity, order.left) = (quantity, left);
        if is_moved || grows {
            (order.terms.limit, order.terms.stop) = (moved.limit, moved.stop);
            self.arrive(order);
        } else {
            self.open.push(order);
        }
    }

    fn in_turn(&self, stands: Stands, side: Option<Side>, rank: impl Fn(&Plain) -> f64) -> Vec<u32> {
        let chosen = |order: &&Plain| order.stands == stands && side.is_none_or(|side| order.side == side);
        let mut found: Vec<&Plain> = self.open.iter().filter(chosen).collect();
        found.sort_by(|a, b| rank(a).total_cmp(&rank(b)).then(a.turn.cmp(&b.turn)));
        found.into_iter().map(|order| order.number).collect()
    }

    fn tick(&mut self, mut offered: Offered) {
        for number in self.in_turn(Stands::Fresh, None, |_| 0.0) {
            self.attempt(number, &mut offered);
        }
        for side in [Side::Buy, Side::Sell] {
            let reached = offered.maker[place(side)];
            for number in self.in_turn(Stands::Waits, Some(side), |order| -side.sign() * order.terms.limit) {
                let mut order = self.take(number).expect("it was there");
                let is_reached = side.sign() * (order.terms.limit - reached) >= 0.0;
                if is_reached && offered.left[place(side)] > 0.0 {
                    let price = order.terms.limit;
                    if !self.fill(&mut order, &mut offered, price, true) {
                        continue;
                    }
                }
                self.open.push(order);
            }
        }
        for side in [Side::Buy, Side::Sell] {
            let price = offered.maker[place(side)];
            for number in self.in_turn(Stands::Sleeps, Some(side), |order| side.sign() * order.terms.stop) {
                let at = self.open.iter().position(|order| order.number == number).expect("it was there");
                if side.sign() * (price - self.open[at].terms.stop) >= 0.0 {
                    let mut order = self.open.remove(at);
                    let is_limit = order.terms.kind == OrderKind::StopLimit;
                    order.terms.kind = if is_limit { OrderKind::Limit } else { OrderKind::Market };
                    self.arrive(order);
                    self.attempt(number, &mut offered);
                }
            }
        }
    }

    fn attempt(&mut self, number: u32, offered: &mut Offered) {
        let mut order = self.take(number).expect("it was there");
        let (side, terms) = (place(order.side), order.terms);
        let price = offered.taker[side];
        let takes = match terms.kind {
            OrderKind::Limit => order.side.sign() * (terms.limit - price) >= 0.0,
            _ => !price.is_nan(),
        };
        if takes {
            if terms.post_only {
                return self.told.push((number, Err("post_only: it would have matched at once")));
            }
            let room = if terms.reduce_only { self.reducible(order.side) } else { f64::INFINITY };
            if terms.time_in_force == TimeInForce::Fok && room.min(offered.left[side]) < order.left {
                let said =
                    ["FOK: less than the quantity was on offer", "reduce_only: there is no position left to reduce"];
                return self.told.push((number, Err(said[usize::from(room <= 0.0)])));
            }
            let worst = if order.side == Side::Buy { price.max(order.beyond) } else { price.min(order.beyond) };
            if !self.fill(&mut order, offered, worst, false) {
                return;
            }
        }
        if terms.time_in_force.is_immediate() && offered.tells[side] {
            let is_ioc = terms.time_in_force == TimeInForce::Ioc;
            let (ioc, fok) = ("IOC: nothing more was on offer", "FOK: less than the quantity was on offer");
            return self.told.push((number, Err(if is_ioc { ioc } else { fok })));
        }
        let traded = offered.maker[side];
        let is_beyond = order.side.sign() * (terms.limit - traded) > 0.0;
        let may_wait = terms.kind == OrderKind::Limit && !terms.time_in_force.is_immediate();
        if may_wait && !offered.tells[side] && is_beyond && !terms.post_only {
            order.beyond = if order.side == Side::Buy { traded.max(order.beyond) } else { traded.min(order.beyond) };
        } else if may_wait {
            self.turns += 1;
            (order.turn, order.stands) = (self.turns, Stands::Waits);
        }
        self.open.push(order);
    }

    fn reducible(&self, side: Side) -> f64 {
        (-side.sign() * self.net).max(0.0)
    }

    /// Whether the order stays.
    fn fill(&mut self, order: &mut Plain, offered: &mut Offered, price: f64, is_maker: bool) -> bool {
        let room = if order.terms.reduce_only { self.reducible(order.side) } else { f64::INFINITY };
        let nothing = (order.number, Err("reduce_only: there is no position left to reduce"));
        if room <= 0.0 {
            self.told.push(nothing);
            return false;
        }
        let side = place(order.side);
        let quantity = order.left.min(room).min(offered.left[side]);
        if quantity <= 0.0 {
            return true;
        }
        offered.left[side] -= quantity;
        if offered.is_shared {
            offered.left[1 - side] = offered.left[side];
        }
        order.left -= quantity;
        self.net += order.side.sign() * quantity;
        self.told.push((order.number, Ok((quantity, price, is_maker))));
        if order.left > 0.0 && quantity >= room {
            self.told.push(nothing);
            return false;
        }
        order.left > 0.0
    }
}

fn repriced(terms: &Terms, price: f64) -> Terms {
    let given = |old: f64, new: f64| if old.is_nan() { old } else { new };
    Terms { limit: given(terms.limit, price), stop: given(terms.stop, price + 1.0), ..*terms }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Order { is_buy: bool, quantity: u8, terms: Terms },
    Amend { number: u32, quantity: u8, price: u8 },
    Cancel { number: u32 },
    Quote { bid: u8, sizes: [u8; 2] },
    Trade { price: u8, size: u8, aggressor: u8 },
}

fn terms() -> impl Strategy<Value = Terms> {
    let kind = (0_u8..4, 1_u8..12, 0_i32..4).prop_map(|(kind, price, apart)| {
        let price = f64::from(price);
        match kind {
            0 => Terms::MARKET,
            1 => Terms::limit(price),
            2 => Terms::stop(price),
            _ => Terms::stop_limit(price, price + f64::from(apart - 2)),
        }
    });
    (kind, prop::sample::select(vec![TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok]), any::<[bool; 2]>())
        .prop_map(|(terms, time_in_force, [post_only, reduce_only])| {
            let whole = Terms { time_in_force, post_only, reduce_only, ..terms };
            let plain = Terms { reduce_only, ..terms };
            if whole.check(0).is_ok() { whole } else { plain }
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 1_u8..5, terms()).prop_map(|(is_buy, quantity, terms)| Step::Order { is_buy, quantity, terms }),
        1 => (1_u32..20, 1_u8..6, 1_u8..12).prop_map(|(number, quantity, price)| Step::Amend { number, quantity, price }),
        1 => (1_u32..20).prop_map(|number| Step::Cancel { number }),
        3 => (1_u8..12, any::<[u8; 2]>()).prop_map(|(bid, sizes)| Step::Quote { bid, sizes: sizes.map(|size| size % 6) }),
        1 => (1_u8..12, 1_u8..6, 0_u8..3).prop_map(|(price, size, aggressor)| Step::Trade { price, size, aggressor }),
    ]
}

fn told(reports: &[VenueReport]) -> Vec<Told> {
    let one = |report: &VenueReport| match *report {
        VenueReport::Fill(fill) => Some((fill.order.number, Ok((fill.quantity, fill.price, fill.is_maker)))),
        VenueReport::Canceled(key, reason) | VenueReport::NotAmended(key, _, reason) => Some((key.number, Err(reason))),
        _ => None,
    };
    reports.iter().filter_map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// The same fills and ends of the same orders, in the same order, at the same prices.
    #[test]
    fn a_book_does_what_looking_at_every_order_would(steps in prop::collection::vec(step(), 1..60)) {
        let mut sim = Sim::new(sizes());
        let mut model = Model::default();
        let sides = [Side::None, Side::Buy, Side::Sell];
        for step in &steps {
            let found = match *step {
                Step::Order { is_buy, quantity, terms } => {
                    let (side, quantity) = (if is_buy { Side::Buy } else { Side::Sell }, f64::from(quantity));
                    let number = sim.order(side, quantity, terms).number;
                    let stands = Stands::Fresh;
                    model.arrive(Plain { number, side, terms, quantity, left: quantity, turn: 0, stands, beyond: f64::NAN });
                    Vec::new()
                }
                Step::Amend { number, quantity, price } => {
                    let key = OrderKey { strategy: 0, number };
                    let (quantity, price) = (f64::from(quantity), f64::from(price));
                    let known = model.open.iter().find(|order| order.number == number).map_or(Terms::MARKET, |order| order.terms);
                    let moved = repriced(&known, price);
                    model.amend(number, quantity, price);
                    let change = Amendment { quantity, limit: moved.limit, stop: moved.stop };
                    sim.venue.amend(key, 0, change, Pass::TEST, sim.now_ns, &mut sim.reports);
                    std::mem::take(&mut sim.reports)
                }
                Step::Cancel { number } => {
                    let is_there = model.take(number).is_some();
                    sim.venue.cancel(OrderKey { strategy: 0, number }, 0, sim.now_ns, &mut sim.reports);
                    let gone = std::mem::take(&mut sim.reports);
                    prop_assert_eq!(gone.iter().any(|report| matches!(report, VenueReport::Canceled(..))), is_there);
                    Vec::new()
                }
                Step::Quote { bid, sizes } => {
                    let (bid, [bid_size, ask_size]) = (f64::from(bid), sizes.map(f64::from));
                    let price = |price: f64, size: f64| if size == 0.0 { f64::NAN } else { price };
                    let prices = [price(bid + 1.0, ask_size), price(bid, bid_size)];
                    let left = [ask_size, bid_size];
                    model.tick(Offered { taker: prices, maker: prices, tells: [true; 2], left, is_shared: false });
                    sim.sized(bid, bid + 1.0, bid_size, ask_size)
                }
                Step::Trade { price, size, aggressor } => {
                    let (price, size, aggressor) = (f64::from(price), f64::from(size), sides[usize::from(aggressor)]);
                    let tells = [aggressor != Side::Sell, aggressor != Side::Buy];
                    let taker = tells.map(|tells| if tells { price } else { f64::NAN });
                    model.tick(Offered { taker, maker: [price; 2], tells, left: [size; 2], is_shared: true });
                    sim.trade(price, size, aggressor)
                }
            };
            prop_assert_eq!(told(&found), std::mem::take(&mut model.told), "at {:?}", step);
        }
        prop_assert_eq!(sim.venue.is_waiting(0), !model.open.is_empty());
    }
}
