"""Tardis' CSV files: two times a record, the instrument out of exchange and symbol."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from tickrail._native import TickArray
from tickrail.data.importers.registry import importer_for
from tickrail.data.importing import import_ticks
from tickrail.domain.ticks import Flag

pytest.importorskip("pyarrow")

LOCAL_US = 1_598_918_402_163_961
QUOTES = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n"
TRADES = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
#: The venue's own times run backwards.
TWO_QUOTES = (
    QUOTES
    + f"binance,BTCUSDT,{LOCAL_US - 900},{LOCAL_US},0.5,11657.08,11657.07,5.28\n"
    + f"binance,BTCUSDT,{LOCAL_US - 950},{LOCAL_US + 7},0,11657.09,11657.07,\n"
)


def source(folder: Path, text: str, name: str = "binance_quotes_2020-09-01_BTCUSDT.csv.gz") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def facts(path: Path) -> list[tuple[Any, ...]]:
    return [
        (tick.kind, str(tick.instrument), tick.ts_event, tick.ts_init, tick.sequence, tick.side, *tick.values)
        for tick in TickArray.open(path)
    ]


@pytest.mark.parametrize(
    "name",
    [
        "binance_quotes_2020-09-01_BTCUSDT.csv.gz",
        "binance-futures_quotes_2020-09-01_PERPETUALS.csv",
        "deribit_book_ticker_2020-09-01_OPTIONS.csv.gz",
    ],
)
def test_quotes(tmp_path: Path, name: str) -> None:
    assert importer_for(Path(name)) == "tardis"
    report = import_ticks(source(tmp_path, TWO_QUOTES, name), tmp_path / "out.ticks")
    assert (report.format, report.rows, report.count, report.notes) == ("tardis", 2, 2, {})
    ticks = TickArray.open(tmp_path / "out.ticks")
    first, second = facts(tmp_path / "out.ticks")
    event, init = (LOCAL_US - 900) * 1_000, LOCAL_US * 1_000
    assert first == ("QUOTE", "BTCUSDT.BINANCE", event, init, 0, "NONE", 11657.07, 11657.08, 5.28, 0.5)
    assert second[2:8] == (event - 50_000, init + 7_000, 0, "NONE", 11657.07, 11657.09)
    assert second[8] != second[8]  # not given: NaN
    assert (second[9], [tick.flags for tick in ticks]) == (0.0, [0, Flag.NO_SIZE])
    assert (ticks.order_by, report.first_ns, report.last_ns) == ("ts_init", init, init + 7_000)


def test_trades_and_their_sides(tmp_path: Path) -> None:
    sides = ["buy", "sell", "unknown", ""]
    rows = [f"ftx,BTC/USD,{LOCAL_US},{LOCAL_US + i},a-{i},{side},10.5,{i + 1}\n" for i, side in enumerate(sides)]
    report = import_ticks(
        source(tmp_path, TRADES + "".join(rows), "ftx_trades_2020-09-01_SPOT.csv.gz"), tmp_path / "out.ticks"
    )
    assert report.count == 4
    assert facts(tmp_path / "out.ticks") == [
        ("TRADE", "BTC/USD.FTX", LOCAL_US * 1_000, (LOCAL_US + i) * 1_000, 0, side, 10.5, 0.0, i + 1.0, 0.0)
        for i, side in enumerate(["BUY", "SELL", "NONE", "NONE"])
    ]


def test_symbols_and_exchanges_of_one_file_are_instruments(tmp_path: Path) -> None:
    pairs = [("deribit", "BTC"), ("deribit", "ETH"), ("bybit", "ETH"), ("deribit", "BTC")]
    rows = [f"{exchange},{symbol},{LOCAL_US},{LOCAL_US},1,2,1,1\n" for exchange, symbol in pairs]
    text = QUOTES + "".join(rows)
    report = import_ticks(source(tmp_path, text), tmp_path / "out.ticks")
    assert sorted(report.instruments) == ["BTC.DERIBIT", "ETH.BYBIT", "ETH.DERIBIT"]
    assert [fact[1] for fact in facts(tmp_path / "out.ticks")] == [
        f"{symbol}.{exchange.upper()}" for exchange, symbol in pairs
    ]


@pytest.mark.parametrize(
    ("options", "instrument"),
    [
        ({"venue": "V"}, "BTCUSDT.V"),
        ({"instrument": "XBT"}, "XBT.BINANCE"),
        ({"instrument": "XBT.W", "venue": "V"}, "XBT.W"),
    ],
)
def test_names_that_are_given_win(tmp_path: Path, options: dict[str, Any], instrument: str) -> None:
    assert import_ticks(source(tmp_path, TWO_QUOTES), tmp_path / "out.ticks", **options).instruments == [instrument]


def test_quotes_that_lack_a_side_are_noted_and_lines_stay_right(tmp_path: Path) -> None:
    good = "binance,BTCUSDT,{0},{0},1,2,1,1\n"
    no_ask, no_bid, negative = (good.replace("1,2,1,1", end) for end in (",,1,1", "1,2,,", "1,2,-1,1"))
    lines = [good, no_ask, good, good, no_bid, good, negative]
    text = QUOTES + "".join(line.format(LOCAL_US + i) for i, line in enumerate(lines))
    report = import_ticks(source(tmp_path, text), tmp_path / "out.ticks", on_bad="skip")
    assert (report.rows, report.count, report.notes) == (5, 4, {"quotes that lack a side": 2})
    assert report.problems == {"negative_price": 1}
    assert [bad["row"] for bad in report.offenders] == [8]
    times = [fact[3] for fact in facts(tmp_path / "out.ticks")]
    assert times == [(LOCAL_US + i) * 1_000 for i in (0, 2, 3, 5)]


def test_a_day_without_data_is_an_empty_file(tmp_path: Path) -> None:
    source(tmp_path, "", "binance_quotes_2020-08-31_BTCUSDT.csv.gz")
    source(tmp_path, TWO_QUOTES)
    report = import_ticks(tmp_path, tmp_path / "out.ticks")
    assert (report.files, report.count, report.notes) == (2, 2, {"empty files": 1})


def test_another_order_and_unit_can_be_said(tmp_path: Path) -> None:
    text = QUOTES + f"binance,BTCUSDT,{LOCAL_US},{LOCAL_US},1,2,1,1\n"
    report = import_ticks(source(tmp_path, text), tmp_path / "out.ticks", order_by="ts_event", time_unit="ns")
    assert TickArray.open(tmp_path / "out.ticks").order_by == "ts_event"
    assert report.first_ns == LOCAL_US
