//! Measuring changes nothing, and measures what it says.

use std::sync::Arc;

use tickrail_core::digest::DigestMode;
use tickrail_core::dispatch::{
    BatchEdges, Delivery, Desk, Dispatcher, Kinds, Meters, NoHost, Outcome, RunSettings, Subscription,
};
use tickrail_core::handler::{Handler, HandlerError, Out};
use tickrail_core::order::{Merge, MergeInput};
use tickrail_core::stop::StopFlag;
use tickrail_core::tick::OrderBy;
use tickrail_core::venue::SimulatedVenue;
use tickrail_core::{InstrumentInfo, Tick, TickBlock};

struct Trades(u64);

impl Handler for Trades {
    fn on_tick(&mut self, tick: &Tick, out: &mut Out) -> Result<(), HandlerError> {
        self.0 += 1;
        if self.0.is_multiple_of(5) {
            out.target(tick.instrument, (self.0 % 3) as f64);
        }
        Ok(())
    }
}

fn run(measured: Option<(&Arc<Meters>, u32)>, deliveries: &[Delivery]) -> String {
    let desk = Desk::new(vec![InstrumentInfo::named("I.SIM")]);
    let ticks = (0..1_000).map(|time| Tick::quote(time, 0, 1.0, 2.0, 1.0, 1.0)).collect();
    let input = MergeInput { block: TickBlock::from_vec(ticks), feed: 0, instruments: None };
    let source = Box::new(Merge::new(vec![input], OrderBy::TsEvent).expect("one feed"));
    let settings = RunSettings { slice_ticks: 64, digest: DigestMode::Full, ..RunSettings::default() };
    let venue = Box::new(SimulatedVenue::new(vec![0.0]));
    let mut run = Dispatcher::new(settings, desk, source, venue, Arc::new(StopFlag::new()), NoHost);
    for &delivery in deliveries {
        let subscription = Subscription { delivery, kinds: Kinds::ALL, instruments: None, order_updates: false };
        run.register_handler(&subscription, Box::new(Trades(0)));
    }
    if let Some((meters, every)) = measured {
        run.measure(Arc::clone(meters), every, None);
    }
    let mut outcome = run.start();
    while outcome == Outcome::Slice {
        outcome = run.advance();
    }
    run.finish();
    assert_eq!(run.input_count(), 1_000);
    run.digest()
}

#[test]
fn each_nth_tick_is_measured_and_the_run_is_the_same() {
    let batches = Delivery::Batches(BatchEdges { max_ticks: 10, window_ns: 0 });
    for deliveries in [&[Delivery::Records][..], &[batches], &[Delivery::Records, batches, Delivery::Records]] {
        let plain = run(None, deliveries);
        for (every, stamped, batches_stamped) in
            [(1, 1_000, 100), (8, 125, 100), (64, 15, 15), (100, 7, 7), (4_096, 0, 0)]
        {
            let meters = Arc::new(Meters::default());
            assert_eq!(run(Some((&meters, every)), deliveries), plain, "every {every}");
            for (meter, delivery) in meters.strategies().iter().zip(deliveries) {
                let expected = if *delivery == Delivery::Records { stamped } else { batches_stamped };
                assert_eq!(meter.handler_ns.snapshot().count(), expected, "{delivery:?} every {every}");
                assert_eq!(meter.latency_ns.snapshot().count(), 0, "nothing is under way in a simulation");
            }
        }
    }
}
