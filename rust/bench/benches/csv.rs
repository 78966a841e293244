//! Our reader of delimited text beside three from the registry, over the same rows, to the same columns.
//!
//! `cargo bench --package tickrail-bench --features peers --bench csv`; what came of it is in decision 21.

use std::hint::black_box;
use std::io::Cursor;
use std::sync::Arc;

use arrow_csv::ReaderBuilder;
use arrow_schema::{DataType, Field, Schema};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use csv_core::ReadRecordResult;
use tickrail_core::csv::{CellKind, Column, CsvReader, Form, TimeForm};

const ROWS: usize = 200_000;
const BLOCK: usize = 1 << 20;
/// Columns that are read: identity, price, size, time in ms, flag.
const WANTED: [usize; 5] = [0, 1, 2, 5, 6];
const COLUMNS: usize = 8;

/// Aggregated trades, as venues dump them.
fn text() -> String {
    let row = |i: usize| {
        let price = 60_000.0 + (i % 997) as f64 * 0.01;
        let (id, size, time) = (3_358_127_001 + i, 100 + i % 9_000, 1_723_075_200_000 + i);
        format!("{id},{price:.2},0.{size:05},{i},{i},{time},True,True\n")
    };
    (0..ROWS).map(row).collect()
}

fn ours(text: &[u8]) -> usize {
    let time = CellKind::Time { form: TimeForm::Epoch { digits: 6, fraction: false }, shift_ns: 0 };
    let (number, skip) = (CellKind::Number, CellKind::Skip);
    let kinds = [CellKind::Integer, number, number, skip, skip, time, CellKind::Flag, skip];
    let column = |(place, kind): (usize, CellKind)| Column { name: place.to_string(), kind };
    let columns = kinds.into_iter().enumerate().map(column).collect();
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

fn arrow(text: &[u8]) -> usize {
    let kinds = [
        DataType::Int64,
        DataType::Float64,
        DataType::Float64,
        DataType::Utf8,
        DataType::Utf8,
        DataType::Int64, // a time in ms, to be scaled afterwards; cheaper than its own timestamps
        DataType::Boolean,
        DataType::Utf8,
    ];
    let field = |(place, kind): (usize, DataType)| Field::new(place.to_string(), kind, true);
    let schema = Schema::new(kinds.into_iter().enumerate().map(field).collect::<Vec<_>>());
    let reader = ReaderBuilder::new(Arc::new(schema))
        .with_projection(WANTED.to_vec())
        .with_batch_size(16_384)
        .build(Cursor::new(text))
        .unwrap();
    reader.map(|batch| black_box(batch.unwrap()).num_rows()).sum()
}

/// The columns that a reader of cells fills.
#[derive(Default)]
struct Filled {
    ids: Vec<i64>,
    prices: Vec<f64>,
    sizes: Vec<f64>,
    times_ns: Vec<i64>,
    flags: Vec<bool>,
}

impl Filled {
    fn push<'a>(&mut self, cell: impl Fn(usize) -> &'a [u8]) {
        let [id, price, size, time, flag] = WANTED;
        self.ids.push(integer(cell(id)));
        self.prices.push(fast_float2::parse(cell(price)).unwrap());
        self.sizes.push(fast_float2::parse(cell(size)).unwrap());
        self.times_ns.push(integer(cell(time)).checked_mul(1_000_000).unwrap());
        self.flags.push(cell(flag) == b"True");
    }
}

fn integer(cell: &[u8]) -> i64 {
    atoi_simd::parse(cell).unwrap()
}

fn csv_core_and_fast_float(text: &[u8]) -> usize {
    let mut reader = csv_core::Reader::new();
    let (mut cells, mut ends) = (vec![0; 4_096], [0; COLUMNS + 1]);
    let (mut filled, mut rows, mut rest) = (Filled::default(), 0, text);
    loop {
        let (result, read, _, _) = reader.read_record(rest, &mut cells, &mut ends);
        rest = &rest[read..];
        match result {
            ReadRecordResult::Record => {
                let start = |place: usize| if place == 0 { 0 } else { ends[place - 1] };
                filled.push(|place| &cells[start(place)..ends[place]]);
                rows += 1;
            }
            ReadRecordResult::End => break,
            ReadRecordResult::InputEmpty => {}
            full => panic!("{full:?}"),
        }
    }
    black_box(filled);
    rows
}

/// No quotes, no careful way, no lines counted: what a splitter costs at least, with the parsers of the registry.
fn memchr_and_fast_float(text: &[u8]) -> usize {
    let (mut filled, mut rows, mut ends) = (Filled::default(), 0, [0; COLUMNS + 1]);
    let mut start = 0;
    let mut places = 0;
    for end in memchr::memchr2_iter(b',', b'\n', text) {
        ends[places + 1] = end + 1;
        places += 1;
        if text[end] == b'\n' {
            ends[0] = start;
            filled.push(|place| &text[ends[place]..ends[place + 1] - 1]);
            (rows, places, start) = (rows + 1, 0, end + 1);
        }
    }
    black_box(filled);
    rows
}

fn rows(criterion: &mut Criterion) {
    let text = text();
    let mut group = criterion.benchmark_group("csv");
    group.throughput(Throughput::Elements(ROWS as u64)).sample_size(30);
    let readers: [(&str, fn(&[u8]) -> usize); 4] = [
        ("ours", ours),
        ("arrow-csv", arrow),
        ("csv-core, fast-float2, atoi_simd", csv_core_and_fast_float),
        ("memchr, fast-float2, atoi_simd", memchr_and_fast_float),
    ];
    for (name, reader) in readers {
        group.bench_function(name, |bencher| bencher.iter(|| assert_eq!(reader(text.as_bytes()), ROWS)));
    }
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
