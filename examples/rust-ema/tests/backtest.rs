//! The example runs over a file that it writes, and trades.

use rust_ema::backtest;
use tickrail_core::InstrumentInfo;
use tickrail_core::file::{InstrumentTable, TickFileWriter};
use tickrail_core::generate::TickGenerator;
use tickrail_core::tick::OrderBy;

#[test]
fn it_trades_and_is_the_same_every_time() {
    let folder = std::env::temp_dir().join(format!("rust-ema-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let path = folder.join("made.ticks");
    let mut table = InstrumentTable::new(None);
    table.declare(&InstrumentInfo::named("EURUSD.SIM".to_owned())).expect("a first row");
    let mut writer = TickFileWriter::create(&path, OrderBy::TsEvent).expect("a new file");
    let ticks = TickGenerator::new(7, &[5], 1_704_067_200_000_000_000, 1_000_000).take(50_000);
    writer.write(&ticks).expect("ticks in order");
    writer.commit(&table).expect("a whole file");
    let first = backtest(&path).expect("a run");
    assert_eq!(first.ticks, 50_000);
    assert!(first.fills > 100, "{first}");
    assert_eq!(backtest(&path).expect("the same run"), first);
    std::fs::write(&path, b"no ticks").expect("a damaged file");
    assert!(backtest(&path).expect_err("no run").to_string().contains("made.ticks"));
    std::fs::remove_dir_all(&folder).expect("the folder that was made");
}
