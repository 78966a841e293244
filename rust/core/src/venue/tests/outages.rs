//! A venue that cannot be reached for a while.

use super::*;

fn cut_off() -> Sim {
    Sim::new(VenueSettings { outages: vec![(10, 20), (20, 30)], ..VenueSettings::default() })
}

fn due(sim: &mut Sim) -> Vec<(i64, VenueReport)> {
    let mut told = Vec::new();
    while let Some(due_ns) = sim.venue.take_due(i64::MAX, &mut sim.reports) {
        told.extend(std::mem::take(&mut sim.reports).into_iter().map(|report| (due_ns, report)));
    }
    told
}

#[test]
fn orders_are_rejected_changes_refused_and_cancels_get_there_afterwards() {
    let mut sim = cut_off();
    let stands = sim.order(Side::Buy, 1.0, Terms::limit(5.0));
    sim.reports.clear();
    sim.now_ns = 12;
    let lost = sim.order(Side::Buy, 1.0, Terms::MARKET);
    let change = Amendment { quantity: 1.0, limit: 6.0, stop: f64::NAN };
    sim.venue.amend(stands, 0, change, Pass::TEST, 12, &mut sim.reports);
    let reason = "the venue cannot be reached (outages)";
    let reports = std::mem::take(&mut sim.reports);
    assert_eq!(reports[0], VenueReport::Rejected(lost, reason), "who asks finds out at once");
    assert!(
        matches!(reports[1..], [VenueReport::NotAmended(key, not, said)] if key == stands && not.is(&change) && said == reason),
        "{reports:?}"
    );
    sim.venue.cancel(stands, 0, 13, &mut sim.reports);
    assert_eq!(sim.reports, []);
    assert_eq!(due(&mut sim), [(30, VenueReport::Canceled(stands, "asked for"))]);
}

#[test]
fn what_stands_trades_on_and_is_heard_of_afterwards_in_order() {
    let mut sim = cut_off();
    let (first, second) = (sim.order(Side::Buy, 1.0, Terms::limit(5.0)), sim.order(Side::Sell, 1.0, Terms::limit(7.0)));
    sim.reports.clear();
    sim.quote(5.5, 6.5);
    sim.now_ns = 14;
    assert_eq!(sim.quote(4.0, 5.0), []);
    // Too late, and nobody knows.
    sim.venue.cancel(first, 0, 15, &mut sim.reports);
    sim.now_ns = 29;
    let tick = Tick::quote(30, 0, 7.0, 8.0, f64::NAN, f64::NAN);
    sim.venue.match_tick(&tick, 30, &mut sim.reports);
    assert_eq!(sim.reports, [], "it does not overtake what waits for the end");
    let told = due(&mut sim);
    assert!(told.iter().all(|&(due_ns, _)| due_ns == 30));
    let told: Vec<_> = told.into_iter().map(|(_, report)| report).collect();
    assert_eq!(fills(&told), [(first.number, 1.0, 5.0, true), (second.number, 1.0, 7.0, true)]);
    assert_eq!(told.len(), 2);
}
