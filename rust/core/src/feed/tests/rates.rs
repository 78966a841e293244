//! How many records a second a feed lets through.

#![expect(clippy::disallowed_methods, reason = "rates and waits are of the wall clock")]

use std::time::Instant;

use super::*;

#[test]
fn what_is_above_the_rate_is_rejected() {
    let (mut publisher, mut arrivals) = open(FeedSettings { rate_limit: 100, ..settings(Policy::Block, 64) });
    publisher.publish(&quotes(0..50), || true).unwrap();
    let taken = drain(&mut arrivals).len();
    assert!((10..15).contains(&taken), "a burst of a tenth of a second: {taken}");
    assert_eq!(account(&mut arrivals).rate_limited, 50 - taken as u64);
}

#[test]
fn what_is_above_the_rate_waits_where_the_feed_says_so() {
    let rate = FeedSettings { rate_limit: 1_000, rate_policy: RatePolicy::Wait, ..settings(Policy::DropNewest, 1_024) };
    let (mut publisher, mut arrivals) = open(FeedSettings { block_timeout: Duration::from_secs(60), ..rate });
    publisher.publish(&quotes(0..200), || true).unwrap();
    assert_eq!(drain(&mut arrivals).len(), 200);
    let paid = account(&mut arrivals);
    assert_eq!((paid.rate_limited, paid.refused, paid.waits), (0, 0, 1));
    assert!(paid.waited_ns > 50_000_000, "100 beyond the burst take a tenth of a second: {}", paid.waited_ns);
    let (mut publisher, mut arrivals) = open(rate);
    let refused = publisher.publish(&quotes(0..200), || true).unwrap_err();
    assert!(matches!(refused, NotPublished::RateTimedOut { offered: 200, .. }));
    assert!(refused.to_string().starts_with("the rate of the feed let "), "{refused}");
    assert_eq!(account(&mut arrivals).refused, 200 - refused.taken() as u64);
}

#[test]
fn rates_below_ten_a_second_hold_too() {
    for rate_limit in [1, 2, 5, 7] {
        let (mut publisher, mut arrivals) = open(FeedSettings { rate_limit, ..settings(Policy::Block, 64) });
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(250) {
            publisher.publish(&quotes(0..1), || true).unwrap();
            thread::sleep(Duration::from_millis(5));
        }
        let most = 1 + (began.elapsed().as_secs_f64() * f64::from(rate_limit)) as usize;
        let taken = drain(&mut arrivals).len();
        assert!((1..=most).contains(&taken), "{taken} at {rate_limit} a second");
    }
}
