//! The ring of commands over every interleaving: each command arrives once, in its sender's order, or comes back.

use loom::thread;
use tickrail_models::aged;
use tickrail_models::ring::{CommandProducer, NotTaken};

/// False where the ring is full; nobody has closed it.
fn is_taken(producer: &CommandProducer<u32>, command: u32) -> bool {
    let result = producer.push(command);
    assert_ne!(result, Err(NotTaken::Closed(command)));
    result.is_ok()
}

fn send(producer: &CommandProducer<u32>, commands: [u32; 2]) -> Vec<u32> {
    commands.into_iter().filter(|&command| is_taken(producer, command)).collect()
}

#[test]
fn two_producers_and_a_ring_that_wraps() {
    loom::model(|| {
        let (producer, mut consumer) = aged::commands(2).unwrap();
        let other = producer.clone();
        let sender = thread::spawn(move || send(&other, [10, 11]));
        let mut arrived = Vec::new();
        let mut sent = send(&producer, [20, 21]);
        arrived.extend(consumer.pop());
        sent.extend(sender.join().unwrap());
        arrived.extend(std::iter::from_fn(|| consumer.pop()));
        for lane in [10, 20] {
            let of = |commands: &[u32]| -> Vec<u32> {
                commands.iter().copied().filter(|command| command / 10 * 10 == lane).collect()
            };
            assert_eq!(of(&arrived), of(&sent), "lost, doubled or out of order");
        }
    });
}

#[test]
fn one_producer_against_the_consumer_across_the_wrap() {
    loom::model(|| {
        let (producer, mut consumer) = aged::commands(2).unwrap();
        let sender =
            thread::spawn(move || (0..4).filter(|&command| is_taken(&producer, command)).collect::<Vec<u32>>());
        let mut arrived: Vec<u32> = (0..3).filter_map(|_| consumer.pop()).collect();
        let sent = sender.join().unwrap();
        arrived.extend(std::iter::from_fn(|| consumer.pop()));
        assert_eq!(arrived, sent);
    });
}

#[test]
fn what_was_taken_before_the_close_arrives() {
    loom::model(|| {
        let (producer, mut consumer) = aged::commands(2).unwrap();
        let closer = producer.clone();
        let sender = thread::spawn(move || producer.push(1));
        closer.close();
        let before = consumer.is_drained();
        let sent = sender.join().unwrap();
        assert!(!before || sent == Err(NotTaken::Closed(1)), "drained, and then one came");
        assert_eq!(consumer.pop(), sent.ok().map(|()| 1));
        assert!(consumer.is_drained());
    });
}

#[test]
fn a_command_that_nobody_takes_is_dropped() {
    loom::model(|| {
        let counted = loom::sync::Arc::new(());
        let (producer, consumer) = aged::commands(2).unwrap();
        let mine = loom::sync::Arc::clone(&counted);
        let sender = thread::spawn(move || drop(producer.push(mine)));
        drop(consumer);
        sender.join().unwrap();
        assert_eq!(loom::sync::Arc::strong_count(&counted), 1);
    });
}

#[test]
#[ignore = "deep: minutes"]
fn deep_three_producers() {
    loom::model(|| {
        let (producer, mut consumer) = aged::commands(2).unwrap();
        let senders: Vec<_> = [10, 20]
            .into_iter()
            .map(|lane| {
                let producer = producer.clone();
                thread::spawn(move || producer.push(lane).is_ok())
            })
            .collect();
        let mut sent = usize::from(producer.push(30).is_ok());
        let mut arrived: Vec<u32> = consumer.pop().into_iter().collect();
        sent += senders.into_iter().map(|sender| usize::from(sender.join().unwrap())).sum::<usize>();
        arrived.extend(std::iter::from_fn(|| consumer.pop()));
        assert_eq!(arrived.len(), sent);
        arrived.dedup();
        assert_eq!(arrived.len(), sent, "doubled");
    });
}
