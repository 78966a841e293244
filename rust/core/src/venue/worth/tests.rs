//! Worth, conversion and peaks against sums over the fills themselves.

use proptest::prelude::*;

use super::*;
use crate::venue::{Order, OrderKey, Terms};

const HOUR_NS: i64 = DAY_NS / 24;

/// An order that leaves and is filled at once.
fn trade(portfolio: &mut Portfolio, strategy: u32, instrument: u32, signed: f64, price: f64, fee: f64) {
    portfolio.position_mut(strategy, instrument).send(signed, true);
    portfolio.position_mut(strategy, instrument).leave(signed, false);
    let order = Order::asked(OrderKey { strategy, number: 1 }, instrument, signed, Terms::MARKET);
    portfolio.fill(&order, signed, price, fee, true);
}

fn portfolio(rows: &[(&str, &str, f64)], strategies: u32) -> Portfolio {
    let info = |&(id, currency, _): &(&str, &str, f64)| InstrumentInfo {
        currency: currency.to_owned(),
        ..InstrumentInfo::named(id)
    };
    let rules = |&(_, _, multiplier): &(&str, &str, f64)| Specification { multiplier, ..Specification::default() };
    let instruments: Vec<_> = rows.iter().map(info).collect();
    let mut portfolio = Portfolio::new(&instruments, &rows.iter().map(rules).collect::<Vec<_>>());
    (0..strategies).for_each(|_| portfolio.add_strategy());
    portfolio
}

#[test]
fn one_currency_needs_no_rates_and_several_need_them_all() {
    let one = portfolio(&[("A.X", "USD", 1.0), ("B.X", "USD", 1.0)], 1);
    assert_eq!((one.books().currency(), one.rate(0)), ("USD", 1.0));
    let mut two = portfolio(&[("A.X", "USD", 1.0), ("B.X", "EUR", 1.0), ("EURUSD.X", "USD", 1.0)], 1);
    assert_eq!(two.books().currency(), "");
    trade(&mut two, 0, 1, 2.0, 10.0, 0.0);
    two.set_mark(1, 11.0, 0);
    assert!(two.worth(None).equity().is_nan());
    two.books.set_currency("USD", &[("EUR".to_owned(), Rate::Price(2))]).unwrap();
    assert!(two.worth(None).equity().is_nan(), "no price yet");
    two.set_mark(2, 1.25, 0);
    assert_eq!((two.worth(None).equity(), two.worth(Some(0)).gross), (2.5, 27.5));
    two.books.set_currency("USD", &[("EUR".to_owned(), Rate::Inverse(2))]).unwrap();
    assert_eq!(two.worth(None).equity(), 1.6);
    assert_eq!(two.books().priced_by().collect::<Vec<_>>(), [2]);
}

#[test]
fn rates_that_cannot_be_change_nothing() {
    let mut two = portfolio(&[("A.X", "USD", 1.0), ("B.X", "EUR", 1.0)], 1);
    let wrong = |rate| [("EUR".to_owned(), rate)];
    assert_eq!(two.books.set_currency("USD", &wrong(Rate::Fixed(0.0))), Err(RateError::Value(0.0)));
    assert!(two.books.set_currency("USD", &wrong(Rate::Fixed(f64::NAN))).is_err());
    assert_eq!(two.books.set_currency("USD", &wrong(Rate::Inverse(2))), Err(RateError::Instrument(2)));
    assert_eq!(two.books().currency(), "");
}

#[test]
fn orders_in_flight_take_buying_power_by_the_largest_position_they_can_make() {
    let mut one = portfolio(&[("A.X", "USD", 10.0)], 1);
    one.fund(0, 1_000.0, 2.0);
    one.set_mark(0, 5.0, 0);
    one.position_mut(0, 0).send(3.0, false);
    one.position_mut(0, 0).send(-8.0, false);
    let worth = one.worth(Some(0));
    assert_eq!((worth.gross, worth.committed, worth.buying_power()), (0.0, 400.0, 1_600.0));
    one.position_mut(0, 0).leave(3.0, false);
    let order = Order::asked(OrderKey { strategy: 0, number: 1 }, 0, 3.0, Terms::limit(5.0));
    one.fill(&order, 3.0, 5.0, 1.0, true);
    let worth = one.worth(Some(0));
    assert_eq!((worth.net, worth.committed), (150.0, 250.0));
    assert_eq!(worth.buying_power(), 2.0 * 999.0 - 250.0);
}

#[test]
fn a_peak_is_remembered_and_a_day_begins_at_midnight() {
    let mut one = portfolio(&[("A.X", "USD", 1.0)], 1);
    one.fund(0, 100.0, 1.0);
    one.set_mark(0, 10.0, 0);
    trade(&mut one, 0, 0, 1.0, 10.0, 0.0);
    let mut look = |price, hours| {
        one.set_mark(0, price, hours * HOUR_NS);
        one.observe(Some(0), hours * HOUR_NS);
        one.watermark(Some(0), hours * HOUR_NS)
    };
    look(10.0, 1);
    let seen = look(14.0, 5);
    assert_eq!((seen.peak, seen.deepest, seen.day_open), (104.0, 0.0, 100.0));
    let seen = look(11.0, 23);
    assert_eq!((seen.peak, seen.deepest, seen.day_open), (104.0, 3.0, 100.0));
    assert_eq!(look(12.0, 24).day_open, 102.0, "at midnight it is what it is then");
    assert_eq!(look(13.0, 49).day_open, 102.0, "nobody looked at midnight: nothing had moved");
    assert_eq!(one.watermark(None, 50 * HOUR_NS).peak, 103.0, "who was never looked at is looked at now");
}

#[test]
fn the_capital_is_a_peak_too() {
    let mut one = portfolio(&[("A.X", "USD", 1.0)], 1);
    one.fund(0, 100.0, 1.0);
    one.set_mark(0, 10.0, 0);
    trade(&mut one, 0, 0, 1.0, 10.0, 7.0);
    one.observe(Some(0), 1);
    let seen = one.watermark(Some(0), 1);
    assert_eq!((seen.peak, seen.deepest, seen.day_open), (100.0, 7.0, 100.0));
}

proptest! {
    /// Whatever is traded, by whom and where: cash and positions are sums over the fills, and equity is capital, cash and the
    /// value of what is held, each converted at the rate of now.
    #[test]
    fn cash_and_positions_reconcile_to_fills(
        fills in prop::collection::vec((0_u32..3, 0_u32..3, -5_i32..=5, 1_u32..100, 0_u32..20), 0..60),
        marks in prop::array::uniform3(1_u32..100),
    ) {
        let mut held = portfolio(&[("A.X", "USD", 1.0), ("B.X", "EUR", 50.0), ("C.X", "JPY", 0.1)], 3);
        let rates = [("EUR".to_owned(), Rate::Fixed(1.25)), ("JPY".to_owned(), Rate::Fixed(0.0078125))];
        held.books.set_currency("USD", &rates).unwrap();
        let (mut cash, mut net) = ([[0.0; 3]; 3], [[0.0; 3]; 3]);
        let (rates, multipliers) = ([1.0, 1.25, 0.0078125], [1.0, 50.0, 0.1]);
        for strategy in 0..3 {
            held.fund(strategy, 1_000.0 * f64::from(strategy), 1.0);
        }
        for &(strategy, instrument, signed, price, fee) in fills.iter().filter(|fill| fill.2 != 0) {
            let (signed, price, fee) = (f64::from(signed), f64::from(price), f64::from(fee) / 16.0);
            trade(&mut held, strategy, instrument, signed, price, fee);
            let (s, i) = (strategy as usize, instrument as usize);
            cash[s][i] -= signed * price * multipliers[i] + fee;
            net[s][i] += signed;
        }
        for (instrument, &mark) in marks.iter().enumerate() {
            held.set_mark(instrument as u32, f64::from(mark), 0);
        }
        let mut whole = 0.0;
        for strategy in 0..3_u32 {
            let s = strategy as usize;
            let mut equity = 1_000.0 * f64::from(strategy);
            for i in 0..3 {
                let position = held.position(strategy, i as u32);
                prop_assert_eq!((position.net, position.in_flight, position.selling), (net[s][i], 0.0, 0.0));
                prop_assert_eq!((position.sent, position.open), ([0.0; 2], 0));
                prop_assert!((held.cash(strategy)[i] - cash[s][i]).abs() < 1e-6);
                equity += (cash[s][i] + net[s][i] * f64::from(marks[i]) * multipliers[i]) * rates[i];
            }
            prop_assert!((held.worth(Some(strategy)).equity() - equity).abs() < 1e-4, "{:?}", held.worth(Some(strategy)));
            whole += equity;
        }
        prop_assert!((held.worth(None).equity() - whole).abs() < 1e-3);
        prop_assert_eq!(held.is_open(), net.iter().flatten().any(|&units| units != 0.0));
    }
}
