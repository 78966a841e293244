//! Quantities that binary fractions cannot say: no dust stays behind, in orders, on offer, in positions.

use super::*;

#[test]
fn ten_tenths_are_one() {
    let mut sim = Sim::new(sizes());
    sim.buy(1.0, Terms::MARKET);
    let told: Vec<_> = (0..10).flat_map(|_| fills(&sim.sized(9.0, 10.0, 0.1, 0.1))).collect();
    assert_eq!((told.len(), sim.venue.is_waiting(0)), (10, false));
    assert!(told.iter().all(|fill| (fill.1 - 0.1).abs() < 1e-12));
}

#[test]
fn what_is_on_offer_is_shared_without_a_rest() {
    let mut sim = Sim::new(sizes());
    for _ in 0..4 {
        sim.buy(0.1, Terms::MARKET.standing(TimeInForce::Fok));
    }
    let told = sim.sized(9.0, 10.0, 0.3, 0.3);
    assert_eq!(fills(&told), [(1, 0.1, 10.0, false), (2, 0.1, 10.0, false), (3, 0.1, 10.0, false)]);
    assert_eq!(gone(&told), [(4, "FOK: less than the quantity was on offer")]);
}

#[test]
fn a_position_of_fractions_is_reduced_to_nothing_and_not_beyond() {
    let mut sim = Sim::new(sizes());
    for _ in 0..3 {
        sim.buy(0.1, Terms::MARKET);
        sim.sized(9.0, 10.0, 1.0, 1.0);
    }
    sim.sell(0.3, Terms { reduce_only: true, ..Terms::MARKET });
    sim.sell(0.3, Terms { reduce_only: true, ..Terms::MARKET });
    let told = sim.sized(9.0, 10.0, 1.0, 1.0);
    assert_eq!((fills(&told).len(), gone(&told)), (1, vec![(5, "reduce_only: there is no position left to reduce")]));
}

proptest! {
    /// Whole numbers of lots give the fills that exact arithmetic gives, whatever decimals they are.
    #[test]
    fn lots_of_decimals_are_whole_numbers(
        digits in 1_i32..6,
        orders in prop::collection::vec(1_u32..400, 1..6),
        offers in prop::collection::vec(0_u32..120, 1..40),
    ) {
        let lot = 1.0 / 10_f64.powi(digits);
        let mut sim = Sim::new(sizes());
        let mut left: std::collections::VecDeque<(u32, u32)> = std::collections::VecDeque::new();
        for &lots in &orders {
            left.push_back((sim.buy(f64::from(lots) * lot, Terms::MARKET), lots));
        }
        for &lots in &offers {
            let (mut rest, mut expected) = (lots, Vec::new());
            while let Some((number, wanted)) = left.front_mut().filter(|_| rest > 0) {
                let taken = rest.min(*wanted);
                expected.push((*number, taken));
                (rest, *wanted) = (rest - taken, *wanted - taken);
                if *wanted == 0 {
                    left.pop_front();
                }
            }
            let size = f64::from(lots) * lot;
            let told = fills(&sim.sized(9.0, 10.0, size, size));
            let found: Vec<_> = told.iter().map(|fill| (fill.0, (fill.1 / lot).round() as u32)).collect();
            prop_assert_eq!(found, expected);
            for fill in told {
                prop_assert!((fill.1 / lot - (fill.1 / lot).round()).abs() < 1e-6, "{} is no number of lots", fill.1);
            }
        }
        prop_assert_eq!(sim.venue.is_waiting(0), !left.is_empty());
    }
}

#[test]
fn a_maker_is_paid_its_rebate() {
    let fees = Fees { maker_rate: -1.0 / 1_024.0, taker_rate: 0.002, per_unit: 0.0, minimum: 0.0 };
    let mut sim = Sim::with(InstrumentTerms { fees, ..InstrumentTerms::default() }, VenueSettings::default());
    sim.buy(2.0, Terms::limit(9.0));
    sim.quote(9.0, 10.0);
    let fee = |reports: Vec<VenueReport>| match reports[..] {
        [VenueReport::Fill(fill)] => fill.fee,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(fee(sim.quote(8.0, 9.0)), -18.0 / 1_024.0);
}
