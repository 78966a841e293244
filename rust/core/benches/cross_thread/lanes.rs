//! A strategy on a lane of its own: how many ticks a second it takes, and what each costs the loop that hands it on.

use std::hint::spin_loop;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tickrail_core::clock::LiveClock;
use tickrail_core::command::LaneSettings;
use tickrail_core::dispatch::{Delivery, Desk, Dispatcher, Kinds, NoHost, Outcome, RunSettings, Subscription};
use tickrail_core::feed::{FeedHub, FeedSettings};
use tickrail_core::handler::{Handler, HandlerError, Out};
use tickrail_core::lane::{LaneRules, allowed_processors};
use tickrail_core::stop::{StopFlag, WaitStrategy, Waker};
use tickrail_core::venue::SimulatedVenue;
use tickrail_core::{InstrumentInfo, Tick};

use crate::probe::{pin, unpin};

/// Ticks that are published, and then taken: what the loop does is measured without whoever brings them.
const AT_ONCE: usize = 4_096;
const TURNS: usize = 64;

/// Looks at each tick, and no more.
struct Looks(u64);

impl Handler for Looks {
    fn on_tick(&mut self, tick: &Tick, _out: &mut Out) -> Result<(), HandlerError> {
        self.0 = std::hint::black_box(self.0.wrapping_add(tick.sequence));
        Ok(())
    }
}

/// Nanoseconds a tick: of the loop alone, and until the strategy has taken it.
struct Took {
    loop_ns: f64,
    whole_ns: f64,
}

/// A run with one strategy on a lane, or with none.
fn drive(has_lane: bool) -> Took {
    // A lane may only be kept on a processor that the thread which opens it may use.
    unpin();
    let instruments = || vec![InstrumentInfo::named("A.SIM")];
    let hub = FeedHub::new(Arc::new(LiveClock::new()), instruments().into(), Arc::new(Waker::new()));
    let settings = FeedSettings { capacity_slots: AT_ONCE, ..FeedSettings::default() };
    let mut publisher = hub.publisher(&hub.open("ticks", settings).expect("a feed")).expect("a publisher");
    let (arrivals, venue) = (Box::new(hub.arrivals()), Box::new(SimulatedVenue::new(vec![0.0])));
    let (desk, stop) = (Desk::new(instruments()), Arc::new(StopFlag::new()));
    let mut run = Dispatcher::new(RunSettings::default(), desk, arrivals, venue, stop, NoHost);
    let sender = run.open_lanes(LaneSettings::default(), Arc::clone(hub.waker())).expect("lanes");
    if has_lane {
        let processor = allowed_processors().get(1).copied();
        let rules = LaneRules { wait: WaitStrategy::SPIN, processor, at_once: 64, ..LaneRules::default() };
        let delivery = Delivery::Records;
        let wanted = Subscription { delivery, kinds: Kinds::ALL, instruments: None, order_updates: false };
        run.register_on_lane(&wanted, Box::new(Looks(0)), rules, sender, None).expect("a lane");
    }
    run.start();
    pin(0);
    let ticks = vec![Tick::quote(1, 0, 1.0, 2.0, 1.0, 1.0); AT_ONCE];
    let (mut looped, mut whole) = (Duration::ZERO, Duration::ZERO);
    for turn in 1..=TURNS {
        publisher.publish(&ticks, || true).expect("the loop is there");
        let began = Instant::now();
        while run.advance() != Outcome::Idle {}
        looped += began.elapsed();
        let is_behind = |handled: u64| handled < (turn * AT_ONCE) as u64;
        while run.lanes().first().is_some_and(|(_, meter)| is_behind(meter.counts().handled)) {
            spin_loop();
        }
        whole += began.elapsed();
    }
    hub.close();
    while !matches!(run.advance(), Outcome::End) {}
    run.finish();
    let a_tick = |time: Duration| time.as_nanos() as f64 / (TURNS * AT_ONCE) as f64;
    Took { loop_ns: a_tick(looped), whole_ns: a_tick(whole) }
}

/// Ticks a second, from the feed's ring to the handler on its lane.
pub fn rate() -> f64 {
    1e9 / drive(true).whole_ns
}

/// What the loop needs for a tick more than without the strategy, ns.
pub fn loop_cost_ns() -> f64 {
    drive(true).loop_ns - drive(false).loop_ns
}
