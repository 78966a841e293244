use super::scan::message;
use super::*;

const READ_NS: i64 = 1_800_000_000_000_000_000;
const SPOT_QUOTE: &str = r#"{"stream":"a@bookTicker","data":{"u":9,"s":"A","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.60520000"}}"#;
const QUOTE: &str = r#"{"stream":"a@bookTicker","data":{"e":"bookTicker","u":9,"s":"A","b":"1.20","B":"2.507","a":"1.30","A":"2.510","T":1723161256313,"E":1723161256314}}"#;
const TRADE: &str = r#"{"stream":"a@trade","data":{"e":"trade","E":1723161255343,"s":"A","t":7,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}"#;

fn streams() -> Streams {
    Streams::new([("a@trade".to_owned(), 3, true), ("a@bookTicker".to_owned(), 3, false)].into_iter())
}

fn only(text: &str) -> Tick {
    let mut all = streams();
    assert!(all.take(text.as_bytes(), READ_NS), "{text}");
    assert_eq!(all.records().len(), 1);
    all.records()[0]
}

#[test]
fn quotes_and_trades_are_read_in_the_venues_shapes() {
    let spot = only(SPOT_QUOTE);
    assert_eq!((spot.ts_event, spot.ts_init, spot.sequence, spot.instrument), (READ_NS, UNSTAMPED, 9, 3));
    assert_eq!((spot.kind, spot.side, spot.flags), (Kind::Quote as u8, 0, 0));
    assert_eq!(spot.values, [61_837.63, 61_837.64, 3.788_26, 1.605_2]);
    let future = only(QUOTE);
    assert_eq!((future.ts_event, future.values), (1_723_161_256_313_000_000, [1.2, 1.3, 2.507, 2.51]));
    let trade = only(TRADE);
    assert_eq!((trade.ts_event, trade.sequence, trade.kind), (1_723_161_255_342_000_000, 7, Kind::Trade as u8));
    assert_eq!((trade.side, trade.values), (Side::Sell as u8, [61_837.63, 0.0, 0.02, 0.0]));
    assert_eq!(only(&TRADE.replace("\"m\":true", "\"m\":false")).side, Side::Buy as u8);
    assert_eq!(only(&QUOTE.replace("\"1.20\"", "-12")).values[0], -12.0);
}

#[test]
fn a_recorded_receipt_is_kept_and_is_the_time_of_a_quote_without_one() {
    let said = |text: &str| text.replace("}}", "},\"receipt\":1723161254087891268}");
    let quote = only(&said(SPOT_QUOTE));
    assert_eq!((quote.ts_event, quote.ts_init), (1_723_161_254_087_891_268, 1_723_161_254_087_891_268));
    let trade = only(&said(TRADE));
    assert_eq!((trade.ts_event, trade.ts_init), (1_723_161_255_342_000_000, 1_723_161_254_087_891_268));
}

#[test]
fn what_does_not_follow_on_the_last_number_is_left_to_the_caller_and_changes_nothing() {
    let number = |text: &str, number: &str| text.replace("\"t\":7", number).replace("\"u\":9", number);
    let mut all = streams();
    assert!(all.take(TRADE.as_bytes(), READ_NS) && all.take(QUOTE.as_bytes(), READ_NS));
    for odd in ["\"t\":7", "\"t\":6", "\"t\":9", "\"t\":0"] {
        assert!(!all.take(number(TRADE, odd).as_bytes(), READ_NS), "{odd}");
    }
    for odd in ["\"u\":9", "\"u\":8", "\"u\":0"] {
        assert!(!all.take(number(QUOTE, odd).as_bytes(), READ_NS), "{odd}");
    }
    assert_eq!((all.records().len(), all.last("a@trade"), all.last("a@bookTicker")), (2, Some(7), Some(9)));
    assert!(all.take(number(TRADE, "\"t\":8").as_bytes(), READ_NS));
    assert!(all.take(number(QUOTE, "\"u\":90").as_bytes(), READ_NS), "update ids of quotes may jump");
    assert_eq!(all.take_records().len(), 4);
    all.enter("a@trade", 20, &[only(TRADE)]);
    assert!(all.take(number(TRADE, "\"t\":21").as_bytes(), READ_NS), "from where the caller has come");
    assert_eq!(all.records().len(), 2);
}

#[test]
fn anything_else_is_left_to_the_caller() {
    let bid = |value: &str| QUOTE.replace("\"1.20\"", value);
    let odd = [
        bid("\"1.\""),
        bid("\".5\""),
        bid("\"01.5\""),
        bid("\"1e3\""),
        bid("\"nan\""),
        bid("\"\""),
        bid("\"-\""),
        bid("\"-0\""),
        bid("\"+1\""),
        bid("\" 1\""),
        bid("null"),
        bid("true"),
        bid("1.5"),
        bid("9007199254740993"),
        bid("[1]"),
        bid("\"1.2.3\""),
        bid("\"12345678901234567890.5\""),
        bid("\"1\u{e9}\""),
        bid("\"1\\u0030\""),
        QUOTE.replace("\"u\":9", "\"u\":09"),
        QUOTE.replace("\"u\":9", "\"u\":-9"),
        QUOTE.replace("\"u\":9", "\"u\":9.0"),
        QUOTE.replace("\"u\":9", "\"u\":\"9\""),
        QUOTE.replace("\"u\":9", "\"u\":18446744073709551615"),
        QUOTE.replace("\"u\":9,", ""),
        QUOTE.replace("1723161256313", "9223372036854775807"),
        QUOTE.replace("1723161256313", "-0"),
        QUOTE.replace("a@bookTicker", "b@bookTicker"),
        QUOTE.replace("\"s\":\"A\"", "\"s\":{}"),
        QUOTE.replace(",\"data\"", ", \"data\""),
        QUOTE.replace("\"A\"", "\"\u{e9}\""),
        TRADE.replace("\"q\":\"0.02000000\",", ""),
        TRADE.replace("\"T\":1723161255342,", ""),
        TRADE.replace("61837.63000000", "0.00000000"),
        TRADE.replace("61837.63000000", "-1"),
        TRADE.replace("0.02000000", "0.00000000"),
        TRADE.replace("1723161255342", "0"),
        TRADE.replace("1723161255342", "1800086400001"),
        TRADE.replace("\"m\":true", "\"m\":1"),
        TRADE.replace("true}}", "true,}}"),
        format!("{QUOTE} "),
        format!(" {QUOTE}"),
        format!("{QUOTE}{QUOTE}"),
        r#"{"stream":"a@bookTicker","data":{}}"#.to_owned(),
        r#"{"result":null,"id":1}"#.to_owned(),
        String::new(),
    ];
    for text in odd {
        let mut all = streams();
        assert!(!all.take(text.as_bytes(), READ_NS), "{text}");
        assert_eq!(
            (all.records().len(), all.last("a@trade"), all.last("a@bookTicker")),
            (0, Some(0), Some(0)),
            "{text}"
        );
    }
}

#[test]
fn a_message_that_is_cut_off_anywhere_is_none_and_reads_nothing_behind_its_end() {
    for text in [SPOT_QUOTE, QUOTE, TRADE] {
        for end in 0..text.len() {
            assert_eq!(message(&text.as_bytes()[..end]), None, "{}", &text[..end]);
        }
        assert!(message(text.as_bytes()).is_some());
    }
}
