//! Files that are whole, and files that are not.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::instrument::InstrumentInfo;
use crate::tick::{OrderBy, Tick};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tickrail-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ticks(count: i64) -> Vec<Tick> {
    (1..=count).map(|time| Tick::quote(time * 10, 0, 1.0, 2.0, 3.0, 4.0)).collect()
}

fn table() -> InstrumentTable {
    let mut table = InstrumentTable::default();
    let info = InstrumentInfo { price_increment: 0.01, bar_duration_ns: 60, ..InstrumentInfo::named("EURUSD.OANDA") };
    table.declare(&info).unwrap();
    table.resolve("XAUUSD.OANDA").unwrap();
    table
}

fn write(path: &std::path::Path, ticks: &[Tick]) -> Header {
    let mut writer = TickFileWriter::create(path, OrderBy::TsEvent).unwrap();
    writer.write(ticks).unwrap();
    writer.commit(&table()).unwrap()
}

#[test]
fn a_file_gives_back_what_was_written() {
    let folder = Folder::new("roundtrip");
    for count in [0, 1, 3, 20_000, 40_000, 300_000] {
        let path = folder.0.join("a.ticks");
        let all = ticks(count);
        let mut writer = TickFileWriter::create(&path, OrderBy::TsEvent).unwrap();
        for part in all.chunks(7_001) {
            writer.write(part).unwrap();
        }
        let header = writer.commit(&table()).unwrap();
        let opened = open(&path).unwrap();
        assert_eq!(opened.header, header);
        assert_eq!(opened.block.as_slice(), all);
        assert_eq!(&*opened.instruments, table().rows());
        assert_eq!(header.checksum, fingerprint(&all));
        assert_eq!((header.first_ns, header.last_ns), if count == 0 { (0, 0) } else { (10, count * 10) });
        opened.verify().unwrap();
    }
    assert_eq!(folder.names(), ["a.ticks"]);
}

#[test]
fn records_of_a_mapped_file_lie_on_cache_lines() {
    let folder = Folder::new("aligned");
    let path = folder.0.join("a.ticks");
    write(&path, &ticks(3));
    assert_eq!(open(&path).unwrap().block.as_slice().as_ptr() as usize % 64, 0);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let folder = Folder::new("cut");
    let path = folder.0.join("a.ticks");
    write(&path, &ticks(3));
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let error = open(&path).expect_err("a part is no tick file");
        let expected = if length == 0 { "not_a_tick_file" } else { "truncated" };
        assert_eq!(error.problem(), expected, "cut at {length}: {error}");
        assert!(error.to_string().contains("a.ticks"), "{error}");
    }
    fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert_eq!(open(&path).unwrap_err().problem(), "too_long");
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let folder = Folder::new("flip");
    let path = folder.0.join("a.ticks");
    write(&path, &ticks(3));
    let whole = fs::read(&path).unwrap();
    let records = HEADER_SIZE..HEADER_SIZE + 3 * 64;
    for at in 0..whole.len() {
        for bit in if records.contains(&at) { 3..4 } else { 0..8 } {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            fs::write(&path, &bytes).unwrap();
            match open(&path) {
                Ok(opened) => {
                    assert!(records.contains(&at), "bit {bit} of byte {at} of the frame went unnoticed");
                    assert_eq!(opened.verify().unwrap_err().problem(), "records_damaged");
                }
                Err(error) => assert!(!records.contains(&at), "byte {at}: {error}"),
            }
        }
    }
}

#[test]
fn other_versions_and_byte_orders_are_named() {
    let folder = Folder::new("version");
    let path = folder.0.join("a.ticks");
    write(&path, &ticks(1));
    let whole = fs::read(&path).unwrap();
    for (at, problem, text) in [
        (10, "other_version", "tick file format 7; this tickrail reads tick file format 1"),
        (12, "other_version", "record layout 7; this tickrail reads record layout 1"),
        (14, "other_version", "record size 7; this tickrail reads record size 64"),
    ] {
        let mut bytes = whole.clone();
        bytes[at] = 7;
        fs::write(&path, &bytes).unwrap();
        let error = open(&path).unwrap_err();
        assert_eq!(error.problem(), problem);
        assert!(error.to_string().contains(text), "{error}");
    }
    let mut bytes = whole;
    bytes.swap(8, 9);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(open(&path).unwrap_err().problem(), "foreign_byte_order");
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = Folder::new("nofile");
    assert_eq!(open(&folder.0).unwrap_err().problem(), "io");
    assert_eq!(open(&folder.0.join("absent")).unwrap_err().problem(), "io");
    fs::write(folder.0.join("text"), "timestamp,bid,ask\n").unwrap();
    let error = open(&folder.0.join("text")).unwrap_err();
    assert!(error.to_string().contains("it starts with \"timestam\""), "{error}");
    assert!(TickFileWriter::create(&folder.0, OrderBy::TsEvent).is_err());
    assert!(TickFileWriter::create(&folder.0.join("no/such/a.ticks"), OrderBy::TsEvent).is_err());
}

#[test]
fn without_a_commit_nothing_is_left() {
    let folder = Folder::new("abort");
    let path = folder.0.join("a.ticks");
    let mut writer = TickFileWriter::create(&path, OrderBy::TsEvent).unwrap();
    writer.write(&ticks(20_000)).unwrap();
    assert_eq!(folder.names().len(), 1);
    assert!(!path.exists());
    drop(writer);
    assert!(folder.names().is_empty());
}

#[test]
fn a_mapped_file_survives_its_replacement() {
    let folder = Folder::new("replace");
    let path = folder.0.join("a.ticks");
    write(&path, &ticks(3));
    let old = open(&path).unwrap();
    write(&path, &ticks(5));
    assert_eq!(old.block.as_slice(), ticks(3));
    old.verify().unwrap();
    assert_eq!(open(&path).unwrap().block.len(), 5);
}

#[test]
fn symbols_are_completed_or_refused() {
    let mut table = InstrumentTable::new(Some("OANDA".to_owned()));
    assert_eq!(table.resolve("EURUSD"), Ok(0));
    assert_eq!(table.resolve("EURUSD.OANDA"), Ok(0));
    assert_eq!(table.resolve("EURUSD.FXCM"), Ok(1));
    for bad in ["", ".X", "X.", "A B.X", "a\n.X"] {
        assert!(matches!(table.resolve(bad), Err(TableError::NotAnId(_))), "{bad:?}");
    }
    assert_eq!(InstrumentTable::default().resolve("EURUSD"), Err(TableError::NoVenue("EURUSD".to_owned())));
    let dear = InstrumentInfo { currency: "USD".to_owned(), ..InstrumentInfo::named("EURUSD") };
    assert_eq!(table.declare(&dear), Ok(0));
    assert_eq!(table.rows()[0].currency, "USD");
    let other = InstrumentInfo { currency: "EUR".to_owned(), ..InstrumentInfo::named("EURUSD.OANDA") };
    assert!(matches!(table.declare(&other), Err(TableError::Conflict(_))));
}
