use proptest::prelude::*;

use super::*;
use crate::check::{TIME_MISSING, TIME_OVERFLOW};

const QUOTED: Form = Form { delimiter: b',', quoted: true, skip_lines: 0 };
const EPOCH_S: CellKind = CellKind::Time { form: TimeForm::Epoch { digits: 9, fraction: true }, shift_ns: 0 };
const WHOLE_MS: CellKind = CellKind::Time { form: TimeForm::Epoch { digits: 6, fraction: false }, shift_ns: 5 };
const LOCAL: CellKind = CellKind::Time { form: TimeForm::Calendar { zoned: false }, shift_ns: 0 };
const ZONED: CellKind = CellKind::Time { form: TimeForm::Calendar { zoned: true }, shift_ns: 0 };

fn columns(kinds: &[CellKind]) -> Vec<Column> {
    kinds.iter().enumerate().map(|(place, &kind)| Column { name: format!("c{place}"), kind }).collect()
}

/// All batches, the text fed by `block` bytes at a time.
fn read_by(text: &[u8], kinds: &[CellKind], form: Form, block: usize) -> Result<Vec<Batch>, CsvError> {
    let mut reader = CsvReader::new(columns(kinds), form);
    let mut batches = Vec::new();
    let mut blocks = text.chunks(block).peekable();
    loop {
        let next = blocks.next();
        reader.feed(next.unwrap_or_default(), blocks.peek().is_none());
        while let Some(batch) = reader.next_batch()? {
            batches.push(batch);
        }
        if blocks.peek().is_none() {
            return Ok(batches);
        }
    }
}

fn read(text: &str, kinds: &[CellKind], form: Form) -> Result<Vec<Batch>, CsvError> {
    read_by(text.as_bytes(), kinds, form, 1 << 20)
}

/// One cell, plain and in quotation marks: both ways must say the same.
fn one(cell: &str, kind: CellKind) -> Option<Cells> {
    let [plain, quoted] = [format!("1,{cell},1\n"), format!("1,\"{cell}\",1\n")].map(|text| {
        read(&text, &[CellKind::Skip, kind, CellKind::Skip], QUOTED).ok().map(|batches| batches[0].cells[1].clone())
    });
    assert_eq!(format!("{plain:?}"), format!("{quoted:?}"), "{cell}");
    plain
}

fn number(cell: &str) -> Option<f64> {
    one(cell, CellKind::Number).map(|cells| if let Cells::Numbers(values) = cells { values[0] } else { panic!() })
}

fn time(cell: &str, kind: CellKind) -> Option<i64> {
    one(cell, kind).map(|cells| if let Cells::Times(values) = cells { values[0] } else { panic!() })
}

#[test]
fn numbers_in_every_form() {
    for text in ["0", "-0.0", "1.5", "-1.25", "1.", ".5", "+2", " 3 ", "1e5", "-2.5E-3", "12345678", "123456789.125"] {
        assert_eq!(number(text).map(f64::to_bits), Some(text.trim().parse::<f64>().unwrap().to_bits()), "{text}");
    }
    let long = ["9007199254740993", "0.1234567890123456789", "123456789012345678901234567890", "1e400", "inf"];
    for text in long {
        assert_eq!(number(text), Some(text.parse().unwrap()), "{text}");
    }
    for text in ["", "nan", "NaN", "null", "N/A", " "] {
        assert!(number(text).unwrap().is_nan(), "{text}");
    }
    for text in ["x", "1x", "1 2", "--1", ".", "1.2.3", "0x10"] {
        assert_eq!(number(text), None, "{text}");
    }
}

#[test]
fn integers_flags_and_words() {
    let integers = |text| one(text, CellKind::Integer);
    assert_eq!(integers("9223372036854775807"), Some(Cells::Integers(vec![i64::MAX])));
    assert_eq!(integers("-12345678"), Some(Cells::Integers(vec![-12_345_678])));
    assert_eq!(integers(""), Some(Cells::Integers(vec![0])));
    for text in ["1.5", "9223372036854775808", "x", "-"] {
        assert_eq!(integers(text), None, "{text}");
    }
    let flags = |text| one(text, CellKind::Flag);
    for (text, flag) in [("true", 1), ("True", 1), ("1", 1), ("FALSE", 0), ("0", 0), ("", NO_FLAG), ("null", NO_FLAG)] {
        assert_eq!(flags(text), Some(Cells::Flags(vec![flag])), "{text}");
    }
    assert_eq!(flags("yes"), None);
    let text = "a,1\nb,1\nb,1\n,1\n,1\na,1\n\"x,\"\"y\"\"\",1\n";
    let Cells::Words(places, words) = &read(text, &[CellKind::Word, CellKind::Number], QUOTED).unwrap()[0].cells[0]
    else {
        panic!()
    };
    assert_eq!(places, &[0, 1, 1, NO_WORD, NO_WORD, 0, 2]);
    assert_eq!(**words, ["a", "b", "x,\"y\""]);
    assert!(read_by(b"\xff\xfe,1\n", &[CellKind::Word, CellKind::Number], QUOTED, 99).is_err());
}

#[test]
fn times_since_the_epoch_are_exact() {
    for (text, ns) in [
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000.000000001", 1_700_000_000_000_000_001),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("1700000000.1234567890", 1_700_000_000_123_456_789),
        ("1.7e9", 1_700_000_000_000_000_000),
        ("-1.5", -1_500_000_000),
        ("+1", 1_000_000_000),
        ("0.0", 0),
        ("99999999999", TIME_OVERFLOW),
        ("-99999999999.5", TIME_OVERFLOW),
        ("1e25", TIME_OVERFLOW),
        ("null", TIME_MISSING),
    ] {
        assert_eq!(time(text, EPOCH_S), Some(ns), "{text}");
    }
    for text in ["1.1234567891", "x", "1.", ".", "", "1e", "1.5e-10", "12345678901234567890123456789012"] {
        let expected = match text {
            "" => Some(TIME_MISSING),
            "1." => Some(1_000_000_000),
            _ => None,
        };
        assert_eq!(time(text, EPOCH_S), expected, "{text}");
    }
    assert_eq!(time("1723075200123", WHOLE_MS), Some(1_723_075_200_123_000_005));
    assert_eq!(time("9223372036855", WHOLE_MS), Some(TIME_OVERFLOW));
    assert_eq!(time("1.5", WHOLE_MS), None);
    assert_eq!(time("1e3", WHOLE_MS), None);
}

#[test]
fn times_of_the_calendar() {
    let at = 1_706_693_400_000_000_000; // 2024-01-31 09:30:00
    for text in ["2024-01-31T09:30:00", "2024-01-31 09:30", "2024.01.31 09:30:00", "2024/1/31 09:30:00.000"] {
        assert_eq!(time(text, LOCAL), Some(at), "{text}");
    }
    for text in ["2024-01-31T09:30:00Z", "2024-01-31 10:30:00+01:00", "2024-01-31T04:00-0530", "2024-01-31 08-01:30"] {
        assert_eq!(time(text, ZONED), Some(at), "{text}");
        assert_eq!(time(text, LOCAL), None, "{text}");
    }
    assert_eq!(time("2024-01-31T09:30:00.123456789", LOCAL), Some(at + 123_456_789));
    assert_eq!(time("1970-01-01", LOCAL), Some(0));
    assert_eq!(time("2000-02-29", LOCAL), Some(951_782_400_000_000_000));
    assert_eq!(time("1969-12-31T23:59:59", LOCAL), Some(-1_000_000_000));
    assert_eq!(time("2300-01-01", LOCAL), Some(TIME_OVERFLOW));
    let refused = [
        "2024-01-31T09:30:00.1234567890",
        "2023-02-29",
        "2024-13-01",
        "2024-00-10",
        "2024-01-32",
        "2024-01-31T24:00",
        "2024-01-31T09:60",
        "2024-01-31T9:30",
        "24-01-31",
        "2024-01/31",
        "2024-01-31 ",
        "2024-01-31T09:30:61",
        "x",
    ];
    for text in refused {
        assert_eq!(time(text, LOCAL).filter(|_| text != "2024-01-31 "), None, "{text}");
    }
}

#[test]
fn lines_are_counted_and_a_batch_has_no_gap() {
    let text = "\u{feff}head\r\n\r\n1,2\r\n3,4\r\n\n\"5\n\",6\n7,8";
    let form = Form { skip_lines: 1, ..QUOTED };
    for block in [1, 2, 3, 5, 7, 1_000] {
        let batches = read_by(text.as_bytes(), &[CellKind::Integer; 2], form, block).unwrap();
        let mut rows = Vec::new();
        for batch in &batches {
            let Cells::Integers(values) = &batch.cells[0] else { panic!() };
            rows.extend(values.iter().enumerate().map(|(row, &value)| (batch.first_line + row as u64, value)));
        }
        assert_eq!(rows, [(3, 1), (4, 3), (6, 5), (8, 7)], "{block}");
    }
    let old = read("1,2\r3,4\r", &[CellKind::Integer; 2], QUOTED).unwrap();
    assert_eq!(old[0].cells[0], Cells::Integers(vec![1, 3]));
    assert!(read("", &[CellKind::Integer; 2], QUOTED).unwrap().is_empty());
}

#[test]
fn faults_name_their_line_after_what_is_right_before() {
    let mut reader = CsvReader::new(columns(&[CellKind::Integer; 2]), QUOTED);
    reader.feed(b"1,2\n3,4\n5\n6,7\n", true);
    assert_eq!(reader.next_batch().unwrap().map(|batch| batch.rows), Some(2));
    let error = reader.next_batch().unwrap_err();
    assert_eq!(
        (error.line(), error.to_string().as_str()),
        (3, "expected 2 columns, as in the first row; here are 1: 5")
    );
    assert_eq!(reader.next_batch().unwrap_err(), error, "it stays");
    let fault = |text: &str| read(text, &[CellKind::Number; 2], QUOTED).unwrap_err();
    assert_eq!(fault("1,2\n3,4,5\n").to_string(), "Expected 2 columns, got 3: 3,4,5");
    assert_eq!(fault("1,x\n").to_string(), "column 'c1': to double: invalid value 'x'");
    assert_eq!(fault("1,\"2\n3,4\n"), CsvError::Unclosed { line: 1 });
    let bare = Form { quoted: false, ..QUOTED };
    let error = read("\"1\",2\n", &[CellKind::Number; 2], bare).unwrap_err();
    assert_eq!(error.to_string(), "column 'c0': to double: invalid value '\"1\"'");
    let long = fault(&format!("{},1\n", "9x".repeat(300)));
    assert!(long.to_string().len() < 200, "{long}");
}

#[test]
fn a_row_without_an_end_is_refused() {
    for text in [&b"1"[..], b"\"1"] {
        let mut reader = CsvReader::new(columns(&[CellKind::Number; 2]), QUOTED);
        reader.feed(text, false);
        let block = vec![if text[0] == b'"' { b'\n' } else { b'1' }; 1 << 20];
        let error = (0..=20).find_map(|_| {
            reader.feed(&block, false);
            reader.next_batch().err()
        });
        assert_eq!(error, Some(CsvError::TooLong { line: 1 }));
    }
}

#[test]
fn words_without_end_do_not_gather() {
    let text: String = (0..200_000).map(|word| format!("w{word},1\n")).collect();
    for batch in read_by(text.as_bytes(), &[CellKind::Word, CellKind::Integer], QUOTED, 1 << 20).unwrap() {
        let Cells::Words(places, words) = &batch.cells[0] else { panic!() };
        assert!(words.len() < 90_000);
        assert_eq!(words[places[0] as usize], format!("w{}", batch.first_line - 1));
    }
}

proptest! {
    #[test]
    fn both_ways_agree_with_the_standard_library(
        cells in prop::collection::vec(("[-+]?[0-9]{0,20}([.][0-9]{0,20})?(e[0-9])?", any::<i64>(), any::<bool>()), 1..50),
        block in 1_usize..200,
    ) {
        let plain: String = cells.iter().map(|(a, b, c)| format!("{a},{b},{c}\n")).collect();
        let quoted: String = cells.iter().map(|(a, b, c)| format!("\"{a}\",\"{b}\",\"{c}\"\n")).collect();
        let kinds = [CellKind::Number, CellKind::Integer, CellKind::Flag];
        let flat = |batches: Vec<Batch>| -> Vec<(u64, i64, u8)> {
            batches.into_iter().flat_map(|batch| {
                let [Cells::Numbers(a), Cells::Integers(b), Cells::Flags(c)] = &batch.cells[..] else { panic!() };
                a.iter().zip(b).zip(c).map(|((a, b), c)| (a.to_bits(), *b, *c)).collect::<Vec<_>>()
            }).collect()
        };
        let (a, b) = (read_by(plain.as_bytes(), &kinds, QUOTED, block), read_by(quoted.as_bytes(), &kinds, QUOTED, block));
        let expected: Option<Vec<_>> = cells.iter().map(|(a, b, c)| {
            let number = if a.is_empty() { f64::NAN } else { a.parse::<f64>().ok()? };
            Some((number.to_bits(), *b, u8::from(*c)))
        }).collect();
        prop_assert_eq!(a.ok().map(flat), expected.clone());
        prop_assert_eq!(b.ok().map(flat), expected);
    }

    #[test]
    fn no_text_makes_it_panic(text in prop::collection::vec(prop_oneof![any::<u8>(), Just(b','), Just(b'"'), Just(b'\n'), b'0'..=b'9', Just(b'e'), Just(b'-')], 0..200), block in 1_usize..50, quoted: bool) {
        let kinds = [CellKind::Number, EPOCH_S, LOCAL, CellKind::Word, CellKind::Flag];
        for count in 1..=5 {
            let _ = read_by(&text, &kinds[..count], Form { quoted, ..QUOTED }, block);
        }
    }

    /// An exponent may be any that an integer holds.
    #[test]
    fn no_exponent_makes_it_panic(mantissa: i64, exponent: i32, places in 0_u32..30) {
        let cell = format!("{mantissa}.{}1e{exponent}\n", "0".repeat(places as usize));
        for kind in [CellKind::Number, EPOCH_S] {
            let _ = read_by(cell.as_bytes(), &[kind], QUOTED, 64);
        }
    }
}

#[test]
fn a_missing_word_is_an_empty_one() {
    let batches = read_by(b"NA\n\"\"\nnull\n", &[CellKind::Word], QUOTED, 64).unwrap();
    let Cells::Words(places, words) = &batches[0].cells[0] else { panic!() };
    let named: Vec<Option<&str>> =
        places.iter().map(|&place| usize::try_from(place).ok().map(|place| words[place].as_str())).collect();
    assert_eq!(named, [Some("NA"), None, Some("null")]);
}
