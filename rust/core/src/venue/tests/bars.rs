//! Bars: their path, and who was there when they began.

use super::*;

#[test]
fn a_bar_fills_at_its_open_and_then_along_its_path() {
    let mut sim = Sim::new(VenueSettings::default());
    sim.buy(1.0, Terms::MARKET);
    sim.buy(1.0, Terms::limit(95.0));
    sim.sell(1.0, Terms::stop(97.0));
    sim.sell(1.0, Terms::limit(108.0));
    // The low is nearer to the open: 100, 94, 110, 105.
    let told = sim.bar([100.0, 110.0, 94.0, 105.0]);
    let expected = [(1, 1.0, 100.0, false), (3, 1.0, 97.0, false), (2, 1.0, 95.0, true), (4, 1.0, 108.0, true)];
    assert_eq!(fills(&told), expected);
}

#[test]
fn the_path_of_a_bar_is_a_setting_and_decides_which_of_two_exits_comes_first() {
    for (bar_path, expected) in [(BarPath::LowFirst, 98.0), (BarPath::HighFirst, 104.0)] {
        let mut sim = Sim::new(VenueSettings { bar_path, ..VenueSettings::default() });
        sim.buy(1.0, Terms::MARKET);
        sim.bar([100.0, 100.0, 100.0, 100.0]);
        let reducing = |terms| Terms { reduce_only: true, ..terms };
        sim.sell(1.0, reducing(Terms::stop(98.0)));
        sim.sell(1.0, reducing(Terms::limit(104.0)));
        assert_eq!(fills(&sim.bar([101.0, 105.0, 97.0, 101.0]))[0].2, expected, "{bar_path:?}");
    }
}

#[test]
fn what_waits_over_a_gap_fills_at_the_open() {
    let mut sim = Sim::new(VenueSettings::default());
    sim.buy(1.0, Terms::limit(99.0));
    sim.sell(1.0, Terms::stop(98.0));
    sim.bar([100.0, 101.0, 99.5, 100.0]);
    assert_eq!(fills(&sim.bar([90.0, 91.0, 89.0, 90.0])), [(1, 1.0, 90.0, true), (2, 1.0, 90.0, false)]);
}

#[test]
fn a_bars_volume_is_its_size_on_offer() {
    let mut sim = Sim::new(sizes());
    sim.buy(600.0, Terms::MARKET);
    sim.buy(600.0, Terms::limit(99.0));
    assert_eq!(fills(&sim.bar([100.0, 101.0, 98.0, 100.0])), [(1, 600.0, 100.0, false), (2, 400.0, 99.0, true)]);
}

/// A venue whose bars last ten.
fn of_ten(settings: VenueSettings) -> Sim {
    Sim::with(InstrumentTerms { bar_duration_ns: 10, ..InstrumentTerms::default() }, settings)
}

#[test]
fn what_was_decided_while_a_bar_went_on_has_its_close_and_nothing_before() {
    let mut sim = of_ten(VenueSettings { order_latency: Latency::Constant(2), ..VenueSettings::default() });
    sim.now_ns = 100;
    sim.buy(1.0, Terms::limit(95.0));
    sim.buy(1.0, Terms::MARKET);
    sim.now_ns = 103;
    // Five that see the prices of 100 to 110 in the midst of it.
    sim.buy(1.0, Terms::MARKET);
    sim.buy(1.0, Terms::limit(95.0));
    sim.sell(1.0, Terms::limit(109.0));
    sim.sell(1.0, Terms::stop(97.0));
    sim.buy(1.0, Terms::stop(104.0));
    sim.buy(1.0, Terms::limit(105.0));
    sim.now_ns = 109;
    let told = fills(&sim.bar([100.0, 110.0, 94.0, 105.0]));
    let (early, late) = told.split_at(2);
    assert_eq!(
        early,
        [(2, 1.0, 100.0, false), (1, 1.0, 95.0, true)],
        "decided when it opened, whatever their way took"
    );
    assert_eq!(late, [(3, 1.0, 105.0, false), (8, 1.0, 105.0, false), (7, 1.0, 105.0, false)]);
    // From the next bar on they are like all others.
    sim.now_ns = 119;
    assert_eq!(
        fills(&sim.bar([105.0, 109.0, 95.0, 105.0])),
        [(5, 1.0, 109.0, true), (6, 1.0, 97.0, false), (4, 1.0, 95.0, true)]
    );
}

#[test]
fn a_change_that_was_decided_while_a_bar_went_on_counts_from_its_close_and_a_smaller_quantity_from_the_first() {
    let mut sim = of_ten(VenueSettings::default());
    let (moved, smaller) =
        (sim.order(Side::Buy, 2.0, Terms::limit(90.0)), sim.order(Side::Buy, 2.0, Terms::limit(95.0)));
    sim.now_ns = 105;
    sim.venue.amend(
        moved,
        0,
        Amendment { quantity: 2.0, limit: 96.0, stop: f64::NAN },
        Pass::TEST,
        105,
        &mut sim.reports,
    );
    sim.venue.amend(
        smaller,
        0,
        Amendment { quantity: 1.0, limit: 95.0, stop: f64::NAN },
        Pass::TEST,
        105,
        &mut sim.reports,
    );
    sim.now_ns = 109;
    let told = sim.bar([100.0, 101.0, 94.0, 98.0]);
    assert_eq!(fills(&told), [(2, 1.0, 95.0, true)]);
    sim.now_ns = 119;
    assert_eq!(fills(&sim.bar([98.0, 98.0, 96.0, 98.0])), [(1, 2.0, 96.0, true)]);
}

/// A bar at `ts_ns`, before which one came at `before_ns`.
fn following(sim: &mut Sim, before_ns: i64, ts_ns: i64, prices: [f64; 4]) -> Vec<(u32, f64, f64, bool)> {
    sim.now_ns = ts_ns - 1;
    sim.venue.bar_follows(0, before_ns);
    fills(&sim.bar(prices))
}

#[test]
fn a_bar_of_unknown_length_began_with_the_end_of_the_one_before() {
    let mut sim = Sim::new(VenueSettings::default());
    sim.now_ns = 100;
    sim.buy(1.0, Terms::MARKET);
    sim.now_ns = 101;
    sim.buy(1.0, Terms::MARKET);
    let told = following(&mut sim, 100, 150, [7.0, 8.0, 6.0, 7.5]);
    assert_eq!(
        told,
        [(1, 1.0, 7.0, false), (2, 1.0, 7.5, false)],
        "decided on the bar before; in the midst of this one"
    );
    sim.now_ns = 151;
    sim.buy(1.0, Terms::MARKET);
    assert_eq!(following(&mut sim, i64::MIN, 200, [7.0; 4])[0].2, 7.0, "nothing is known");
}

#[test]
fn a_short_day_does_not_make_what_was_decided_at_its_end_late() {
    let mut sim = of_ten(VenueSettings::default());
    sim.now_ns = 103;
    sim.buy(1.0, Terms::MARKET);
    // It ended at 103 and lasts ten as all do, so they say: the next one is of 103 to 110.
    assert_eq!(following(&mut sim, 103, 110, [7.0, 8.0, 6.0, 7.5])[0].2, 7.0);
    sim.now_ns = 150;
    sim.buy(1.0, Terms::MARKET);
    // A night in between: it opened at 190, after the decision.
    assert_eq!(following(&mut sim, 110, 200, [9.0, 9.0, 8.0, 8.5])[0].2, 9.0);
}

#[test]
fn a_bar_that_comes_late_opened_by_as_much_later() {
    let mut sim = of_ten(VenueSettings::default());
    sim.now_ns = 103;
    sim.buy(1.0, Terms::MARKET);
    // It bears 110 and came at 113, as the one before, on which was decided, came at 103.
    sim.now_ns = 113;
    sim.venue.match_tick(&Tick::bar(110, 0, [7.0, 8.0, 6.0, 7.5], 1.0), 113, &mut sim.reports);
    assert_eq!(fills(&sim.reports)[0].2, 7.0);
}

#[test]
fn a_bar_trades_in_the_session_that_it_tells_of() {
    let sessions = Sessions::new(vec![Session { open_ns: 10, close_ns: 20, weekdays: 0x7F }]).unwrap();
    let mut sim = of_ten(VenueSettings { sessions, ..VenueSettings::default() });
    sim.now_ns = 10;
    sim.buy(1.0, Terms::limit(5.0).standing(TimeInForce::Day));
    sim.buy(1.0, Terms::limit(4.0).standing(TimeInForce::Day));
    assert_eq!(sim.bar([9.0; 4]), []);
    sim.now_ns = 19;
    assert_eq!(fills(&sim.bar([9.0, 9.0, 5.0, 9.0])), [(1, 1.0, 5.0, true)], "the last one of the day");
    sim.now_ns = 29;
    assert_eq!(gone(&sim.bar([3.0; 4])), [(2, "expired")], "and that of the night brings nothing");
    sim.reports.clear();
    let sessions = Sessions::new(vec![Session { open_ns: 10, close_ns: 20, weekdays: 0x7F }]).unwrap();
    let mut sim = of_ten(VenueSettings { sessions, order_latency: Latency::Constant(1), ..VenueSettings::default() });
    sim.now_ns = 9;
    sim.buy(1.0, Terms::MARKET);
    assert_eq!(fills(&sim.bar([9.0; 4])), [], "the bar that ends where the session begins is of before");
}

#[test]
fn a_day_of_daily_bars_has_its_bar() {
    let terms = InstrumentTerms { bar_duration_ns: DAY_NS, ..InstrumentTerms::default() };
    let mut sim = Sim::with(terms, VenueSettings::default());
    sim.now_ns = DAY_NS;
    sim.buy(1.0, Terms::MARKET.standing(TimeInForce::Day));
    sim.buy(1.0, Terms::limit(1.0).standing(TimeInForce::Day));
    sim.now_ns = 2 * DAY_NS - 1;
    assert_eq!(fills(&sim.bar([9.0; 4])), [(1, 1.0, 9.0, false)]);
    assert_eq!(gone(&sim.bar([9.0; 4])), [(2, "expired")]);
}
