//! Ring: publish and read on one thread, in records a second. `cargo bench -p tickrail-core --bench ring`
//!
//! On one thread on purpose: between two, the distance of the cores decides (300, 110 or 27 million records a second for
//! the same ring), and no run says which it had.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickrail_core::{Tick, ring};

fn publish_and_read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    for batch in [1, 16, 256] {
        let ticks = vec![Tick::quote(1, 0, 1.0, 2.0, 1.0, 1.0); batch];
        let (mut producer, mut consumer) = ring::ingress(0, 4096).expect("a power of two");
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            bencher.iter(|| {
                producer.try_publish(black_box(&ticks));
                let count = black_box(consumer.readable()).len();
                consumer.release(count);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, publish_and_read);
criterion_main!(benches);
