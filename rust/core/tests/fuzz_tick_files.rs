//! Fuzzes the reader of tick files: whatever the bytes are, it answers, and it takes nothing for sound that was changed.
//!
//! Inputs are the files in `corpus/`, changed at random where it hurts: single bits, cuts, fields of the header and of
//! records. Most get new checksums, since no chance finds those, and behind them lies the rest of the reader. Some seconds
//! in the suite; `make fuzz` goes on for `FUZZ_SECONDS`, from a seed of its own each time.
#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "fuzzing lasts for some time")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tickrail_core::dispatch::{Delivery, Desk, Dispatcher, Kinds, NoHost, Outcome, RunSettings, Subscription};
use tickrail_core::file::{HEADER_SIZE, InstrumentTable, OpenedFile, TickFileWriter, open};
use tickrail_core::handler::{Handler, HandlerError, Out};
use tickrail_core::order::{Merge, MergeInput};
use tickrail_core::stop::StopFlag;
use tickrail_core::tick::{NO_SIZE, OrderBy, TICK_SIZE};
use tickrail_core::venue::SimulatedVenue;
use tickrail_core::{InstrumentInfo, Kind, Side, Tick};
use twox_hash::{XxHash3_64, XxHash3_128};

const QUICK_SECONDS: f64 = 2.5;
/// Where the header's fields are: place and size.
const FIELDS: [(usize, usize); 13] =
    [(0, 8), (8, 2), (10, 2), (12, 2), (14, 2), (16, 4), (20, 1), (24, 8), (32, 8), (40, 8), (64, 4), (68, 4), (72, 8)];
const NUMBERS: [u64; 10] = [0, 1, 2, 63, 64, 0x7f, 0xffff, 1 << 31, i64::MAX as u64, u64::MAX];

/// SplitMix64 (Steele, Lea, Flood 2014): a few lines, and the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A number that programs trip over, or one near it, or any.
    fn number(&mut self) -> u64 {
        match self.below(4) {
            0 => self.next(),
            1 => NUMBERS[self.below(NUMBERS.len())].wrapping_add(self.next() % 3).wrapping_sub(1),
            _ => NUMBERS[self.below(NUMBERS.len())],
        }
    }
}

fn put(bytes: &mut [u8], place: usize, size: usize, number: u64) {
    if let Some(part) = bytes.get_mut(place..place + size) {
        part.copy_from_slice(&number.to_le_bytes()[..size]);
    }
}

fn change(bytes: &mut Vec<u8>, random: &mut Random, corpus: &[Vec<u8>]) {
    let length = bytes.len();
    match random.below(8) {
        0 if length > 0 => bytes[random.below(length)] ^= 1 << random.below(8),
        1 => bytes.truncate(random.below(length + 1)),
        2 => bytes.extend((0..random.below(200)).map(|_| random.next() as u8)),
        3 => {
            let other = &corpus[random.below(corpus.len())];
            let cut = random.below(length.min(other.len()) + 1);
            bytes.truncate(cut);
            bytes.extend_from_slice(&other[cut..]);
        }
        4 if length > HEADER_SIZE + TICK_SIZE => {
            let record = HEADER_SIZE + random.below((length - HEADER_SIZE) / TICK_SIZE) * TICK_SIZE;
            let (field, number) = (random.below(8) * 8, random.number());
            put(bytes, record + field, [1, 2, 4, 8][random.below(4)], number);
        }
        5 if length > 0 => {
            let from = random.below(length);
            let part = bytes[from..(from + random.below(80)).min(length)].to_vec();
            let at = random.below(length);
            bytes.splice(at..at, part);
        }
        6 if length > HEADER_SIZE => {
            // The instrument table, at the end.
            let place = length - 1 - random.below((length - HEADER_SIZE).min(120));
            bytes[place] = random.number() as u8;
        }
        _ => {
            let ((place, size), number) = (FIELDS[random.below(FIELDS.len())], random.number());
            put(bytes, place, size, number);
        }
    }
}

/// Makes the checksums right again, and now and then the sizes, so that what lies behind them is reached.
fn seal(bytes: &mut [u8], random: &mut Random) {
    if bytes.len() < HEADER_SIZE {
        return;
    }
    let number = |bytes: &[u8], place: usize| u64::from_le_bytes(bytes[place..place + 8].try_into().expect("eight"));
    let table_size = (number(bytes, 64) >> 32) as usize;
    let body = bytes.len() - HEADER_SIZE;
    if random.chance(70) && table_size <= body {
        put(bytes, 24, 8, ((body - table_size) / TICK_SIZE) as u64);
    }
    let count = number(bytes, 24);
    let end = count.checked_mul(TICK_SIZE as u64).and_then(|size| size.checked_add(HEADER_SIZE as u64));
    if let Some(end) = end.filter(|&end| end <= bytes.len() as u64).map(|end| end as usize) {
        let checksum = XxHash3_128::oneshot(&bytes[HEADER_SIZE..end]);
        bytes[48..64].copy_from_slice(&checksum.to_le_bytes());
    }
    if table_size <= body {
        let checksum = XxHash3_64::oneshot(&bytes[bytes.len() - table_size..]);
        put(bytes, 72, 8, checksum);
    }
    let seal = XxHash3_64::oneshot(&bytes[..120]);
    put(bytes, 120, 8, seal);
}

struct Sums(f64);

impl Handler for Sums {
    fn on_tick(&mut self, tick: &Tick, _out: &mut Out) -> Result<(), HandlerError> {
        self.0 += tick.values[0];
        Ok(())
    }
}

/// Runs a strategy over the records, verified or not.
fn run(file: &OpenedFile) {
    let input = MergeInput { block: file.block.clone(), feed: 0, instruments: None };
    let Ok(merge) = Merge::new(vec![input], file.header.order_by) else { return };
    let desk: Rc<Desk> = Desk::new(file.instruments.to_vec());
    let venue = Box::new(SimulatedVenue::new(vec![0.0; file.instruments.len()]));
    let settings = RunSettings { order: file.header.order_by, ..RunSettings::default() };
    let mut run = Dispatcher::new(settings, desk, Box::new(merge), venue, Arc::new(StopFlag::new()), NoHost);
    let subscription =
        Subscription { delivery: Delivery::Records, kinds: Kinds::ALL, instruments: None, order_updates: false };
    run.register_handler(&subscription, Box::new(Sums(0.0)));
    let mut outcome = run.start();
    while outcome == Outcome::Slice {
        outcome = run.advance();
    }
    run.finish();
}

/// Writes the records again: what was verified can be, and comes back.
fn write_again(file: &OpenedFile, path: &Path) {
    let mut table = InstrumentTable::default();
    if file.instruments.iter().any(|info| table.declare(info).is_err()) || table.rows() != &*file.instruments {
        return; // names that nobody could import, or one twice
    }
    let mut writer = TickFileWriter::create(path, file.header.order_by).expect("a place to write");
    writer.write(file.block.as_slice()).expect("in order");
    let header = writer.commit(&table).expect("written");
    assert_eq!(header.count, file.header.count);
    let again = open(path).expect("sound");
    again.verify().expect("sound");
    assert_eq!(again.block.as_slice(), file.block.as_slice());
}

/// What has to hold of `bytes`; `is_sealed`: they have checksums of their own.
fn check(bytes: &[u8], is_sealed: bool, corpus: &[Vec<u8>], folder: &Path) {
    let path = folder.join("input.ticks");
    fs::write(&path, bytes).expect("a place to write");
    let opened = match open(&path) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!error.to_string().is_empty() && error.path() == path);
            assert!(!corpus.iter().any(|file| file == bytes), "a sound file was refused: {error}");
            return;
        }
    };
    assert_eq!(opened.header.file_size(), Some(bytes.len() as u64));
    assert_eq!(opened.block.as_slice().len() as u64, opened.header.count);
    assert!(opened.instruments.len() <= bytes.len() / 24, "more rows than there is room for");
    run(&opened);
    if opened.verify().is_ok() {
        assert!(is_sealed || corpus.iter().any(|file| file == bytes), "a changed file passes for a sound one");
        write_again(&opened, &folder.join("again.ticks"));
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).expect("a corpus").map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 3, "a corpus");
    paths.iter().map(|path| fs::read(path).expect("readable")).collect()
}

#[test]
fn the_reader_answers_whatever_the_bytes_are() {
    let setting = |name: &str| std::env::var(name).ok();
    let seconds = setting("FUZZ_SECONDS").map_or(QUICK_SECONDS, |seconds| seconds.parse().expect("a number"));
    let mut seed: u64 = setting("FUZZ_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let once = setting("FUZZ_ONCE").is_some();
    let corpus = corpus();
    // In memory where that can be had: files are written and synced for each input.
    let memory = Some(PathBuf::from("/dev/shm")).filter(|path| path.is_dir());
    let folder = memory.unwrap_or_else(std::env::temp_dir).join(format!("tickrail-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a place to write");
    for file in &corpus {
        check(file, false, &corpus, &folder);
    }
    if let Some(path) = setting("FUZZ_INPUT") {
        check(&fs::read(path).expect("readable"), true, &corpus, &folder);
    }
    let (started, mut inputs) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs_f64(seconds) {
        let mut random = Random(seed);
        let mut bytes = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(4) {
            change(&mut bytes, &mut random, &corpus);
        }
        let is_sealed = random.chance(75);
        if is_sealed {
            seal(&mut bytes, &mut random);
        }
        let result = catch_unwind(AssertUnwindSafe(|| check(&bytes, is_sealed, &corpus, &folder)));
        assert!(
            result.is_ok(),
            "again with FUZZ_SEED={seed} FUZZ_ONCE=1, or FUZZ_INPUT={}/input.ticks",
            folder.display()
        );
        inputs += 1;
        if once {
            break;
        }
        seed = seed.wrapping_add(1);
    }
    fs::remove_dir_all(&folder).expect("our own folder");
    println!("{inputs} inputs");
    assert!(inputs > 10 || once);
}

/// Small sound files: quotes with missing and zero sizes, trades, bars, nothing at all.
fn seeds() -> Vec<(&'static str, OrderBy, Vec<Tick>, Vec<InstrumentInfo>)> {
    let bare = |id: &str| InstrumentInfo::named(id);
    let gold = InstrumentInfo { price_increment: 0.01, currency: "USD".to_owned(), ..bare("XAUUSD.SIM") };
    let bars = InstrumentInfo { bar_duration_ns: 60, negative_prices: true, ..bare("ÖL.SIM") };
    let mut unsized_quote = Tick::quote(20, 1, 2_000.0, 2_001.0, f64::NAN, 0.0);
    unsized_quote.flags = NO_SIZE;
    let quotes = vec![Tick::quote(10, 0, 1.0, 1.5, 1.0, 2.0), unsized_quote, Tick::quote(20, 0, 1.1, 1.6, 0.0, 5.0)];
    let trades = [1, 2, 3].map(|number| Tick {
        sequence: number,
        ts_init: number as i64 * 5,
        ..Tick::trade(9, 0, number as f64, 1.0, [Side::None, Side::Buy, Side::Sell][number as usize - 1])
    });
    let bar = |close_ns, price: f64| Tick {
        kind: Kind::Bar as u8,
        sequence: 10_f64.to_bits(),
        values: [price, price + 1.0, price - 2.0, price],
        ..Tick::quote(close_ns, 0, 0.0, 0.0, 0.0, 0.0)
    };
    vec![
        ("quotes", OrderBy::TsEvent, quotes, vec![bare("EURUSD.SIM"), gold]),
        ("trades", OrderBy::TsInit, trades.to_vec(), vec![bare("A.B")]),
        ("bars", OrderBy::TsEvent, vec![bar(60, 1.0), bar(120, -2.0)], vec![bars]),
        ("empty", OrderBy::TsEvent, Vec::new(), Vec::new()),
    ]
}

/// The corpus is what the writer makes of the seeds: where the format changes, old files stop being sound, and this shows it.
/// `WRITE_CORPUS=1` writes it anew.
#[test]
fn the_corpus_is_what_the_writer_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let made = std::env::temp_dir().join(format!("tickrail-corpus-{}", std::process::id()));
    fs::create_dir_all(&made).expect("a place to write");
    for (name, order, ticks, infos) in seeds() {
        let path = made.join("seed.ticks");
        let mut table = InstrumentTable::default();
        for info in &infos {
            table.declare(info).expect("a sound row");
        }
        let mut writer = TickFileWriter::create(&path, order).expect("a place to write");
        writer.write(&ticks).expect("in order");
        writer.commit(&table).expect("written");
        let kept = folder.join(format!("{name}.ticks"));
        if std::env::var("WRITE_CORPUS").is_ok() {
            fs::copy(&path, &kept).expect("a place to write");
        }
        assert_eq!(fs::read(&path).expect("written"), fs::read(&kept).expect("kept"), "{name}");
    }
    fs::remove_dir_all(&made).expect("our own folder");
}
