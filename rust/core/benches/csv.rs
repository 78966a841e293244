//! Reading rows of aggregated trades, as venues dump them.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickrail_core::csv::{CellKind, Column, CsvReader, Form, TimeForm};

const ROWS: usize = 100_000;
const BLOCK: usize = 1 << 20;

fn kinds() -> [CellKind; 8] {
    let time = CellKind::Time { form: TimeForm::Epoch { digits: 6, fraction: false }, shift_ns: 0 };
    let (number, skip) = (CellKind::Number, CellKind::Skip);
    [CellKind::Integer, number, number, skip, skip, time, CellKind::Flag, skip]
}

fn read(text: &[u8]) -> usize {
    let column = |(place, kind): (usize, CellKind)| Column { name: place.to_string(), kind };
    let columns = kinds().into_iter().enumerate().map(column).collect();
    let mut reader = CsvReader::new(columns, Form { delimiter: b',', quoted: false, skip_lines: 0 });
    let mut rows = 0;
    for block in text.chunks(BLOCK).chain([&[][..]]) {
        reader.feed(block, block.is_empty());
        while let Some(batch) = reader.next_batch().unwrap() {
            rows += black_box(batch).rows;
        }
    }
    rows
}

fn rows(criterion: &mut Criterion) {
    let row = |i: usize| {
        let price = 60_000.0 + (i % 997) as f64 * 0.01;
        format!(
            "{},{price:.2},0.{:05},{i},{i},{},True,True\n",
            3_358_127_001 + i,
            100 + i % 9_000,
            1_723_075_200_000 + i
        )
    };
    let text: String = (0..ROWS).map(row).collect();
    let mut group = criterion.benchmark_group("csv");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("aggregated trades", |bencher| {
        bencher.iter(|| assert_eq!(read(text.as_bytes()), ROWS));
    });
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
