//! What a loop that waits looks at: nobody calls it for a record while it is awake.

use super::counters::Counters;
use super::held::Held;
use super::lookout::{RingView, View};
use super::*;

fn opened(policy: Policy) -> (Arc<FeedHub>, Publisher, Arrivals) {
    let hub = hub();
    let feed = hub.open("feed", settings(policy, 4)).unwrap();
    let (publisher, mut arrivals) = (hub.publisher(&feed).unwrap(), hub.arrivals());
    assert_eq!(arrivals.advance(64), Advance::Pending, "who was let in is looked at from here on");
    (hub, publisher, arrivals)
}

#[test]
fn a_look_finds_what_was_published_under_every_policy_and_nothing_once_it_is_taken() {
    let conflate = Policy::Conflate { trades: Trades::Sum };
    for policy in [Policy::Block, Policy::Reject, Policy::DropNewest, Policy::DropOldest, conflate] {
        let (hub, mut publisher, mut arrivals) = opened(policy);
        for turn in 0..3 {
            let look = hub.look();
            assert!(!look(), "{policy:?}, turn {turn}");
            publisher.publish(&[quote(turn)], || true).unwrap();
            assert!(look(), "{policy:?}, turn {turn}");
            assert_eq!(drain(&mut arrivals).len(), 1);
        }
        assert!(!hub.look()());
    }
}

#[test]
fn a_look_finds_trades_that_are_summed_beside_the_ring() {
    let (hub, mut publisher, mut arrivals) = opened(Policy::Conflate { trades: Trades::Sum });
    let trades: Vec<Tick> = (0..6).map(|number| Tick::trade(number + 1, 0, 1.0, 1.0, Side::Buy)).collect();
    publisher.publish(&trades, || true).unwrap();
    assert_eq!(arrivals.advance(4), Advance::Ready);
    assert!(hub.look()(), "the ring is empty, and the sums are not");
    assert!(!drain(&mut arrivals).is_empty());
    assert!(!hub.look()());
}

#[test]
fn a_look_finds_a_gap_that_stands_beside_an_empty_ring() {
    let (_producer, consumer) = crate::ring::ingress(0, 4).unwrap();
    let held = Arc::new(Held::new(&settings(Policy::DropNewest, 4), Arc::default()));
    let view = View { ring: RingView::Gated(consumer.glance()), held: Arc::clone(&held) };
    assert!(!view.finds());
    // As a publisher does that found no slot, while the loop took the last record.
    held.lock().owe(&Tick { kind: Kind::Gap as u8, ..quote(1) }, &Counters::default());
    assert!(view.finds());
    held.lock().pay(&Counters::default(), <[Tick]>::len);
    assert!(!view.finds());
}
