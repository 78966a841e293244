//! A stream ends for good: what was brought before its end is found, and nothing is brought after it.

use loom::sync::Arc;
use loom::thread;
use tickrail_models::aged;
use tickrail_models::feed::Latch;
use tickrail_models::ring::Consumer;
use tickrail_models::tick::Tick;

fn tick(sequence: u64) -> Tick {
    Tick { sequence, ..Tick::quote(sequence as i64, 0, 1.0, 2.0, 1.0, 1.0) }
}

#[test]
fn what_a_publisher_was_told_is_in_is_found_after_the_shut() {
    loom::model(|| {
        let (mut producer, mut consumer) = aged::ingress(0, 4).unwrap();
        let latch = Arc::new(Latch::default());
        let theirs = Arc::clone(&latch);
        let publisher = thread::spawn(move || {
            let mut told = 0;
            for sequence in 0..2 {
                if !theirs.enter() {
                    break;
                }
                told += producer.try_publish(&[tick(sequence)]);
                theirs.leave();
            }
            // Kept: closing the ring would tell the loop as well.
            (told, producer)
        });
        let mut found = 0;
        let mut look = |consumer: &mut Consumer| {
            let count = consumer.readable().len();
            consumer.release(count);
            found += count;
        };
        look(&mut consumer);
        let is_shut = latch.shut();
        look(&mut consumer);
        let (told, producer) = publisher.join().unwrap();
        assert!(!is_shut || found == told, "{told} were told to be in, {found} were found");
        assert!(!is_shut || !latch.enter(), "open again");
        drop(producer);
    });
}
