"""Recorded websocket streams: receipt and venue's time of every message, and what is no record."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tickrail._native import TickArray
from tickrail.data.importers.registry import importer_for
from tickrail.data.importing import import_ticks
from tickrail.domain.ticks import TICK_DTYPE

pytest.importorskip("pyarrow")
pytest.importorskip("msgspec")

RECEIPT_NS = 1_723_161_255_088_169_167
VENUE_MS = 1_723_161_256_313
QUOTE = {"u": 77, "s": "BTCUSDT", "b": "61800.20", "B": "2.507", "a": "61800.30", "A": "2.510"}
TRADE = {"e": "trade", "s": "BTCUSDT", "t": 5, "p": "61800.30", "q": "0.006", "T": VENUE_MS, "m": False}
DEPTH = {"e": "depthUpdate", "s": "BTCUSDT", "b": [["58710.20", "0.014"]], "a": []}


def line(stream: str, data: dict[str, Any], after_ns: int = 0) -> str:
    return f"{RECEIPT_NS + after_ns} {json.dumps({'stream': stream, 'data': data})}\n"


def quote(after_ns: int = 0, **more: Any) -> str:
    return line("btcusdt@bookTicker", QUOTE | more, after_ns)


def trade(after_ns: int = 0, **more: Any) -> str:
    return line("btcusdt@trade", TRADE | more, after_ns)


def depth(after_ns: int = 0) -> str:
    return line("btcusdt@depth@100ms", DEPTH, after_ns)


def source(folder: Path, text: str, name: str = "btcusdt_20240808.jsonl") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def facts(path: Path) -> list[tuple[Any, ...]]:
    return [
        (tick.kind, str(tick.instrument), tick.ts_event, tick.ts_init, tick.sequence, tick.side, *tick.values)
        for tick in TickArray.open(path)
    ]


@pytest.mark.parametrize("name", ["usdm_btcusdt_20240808.gz", "btcusdt_20240808.jsonl", "x_20240808.jsonl.gz"])
def test_quotes_and_trades(tmp_path: Path, name: str) -> None:
    assert importer_for(Path(name)) == "binance-recording"
    report = import_ticks(source(tmp_path, quote() + trade(3), name), tmp_path / "out.ticks")
    assert (report.format, report.rows, report.count, report.notes) == ("binance-recording", 2, 2, {})
    assert facts(tmp_path / "out.ticks") == [
        ("QUOTE", "BTCUSDT.BINANCE", RECEIPT_NS, RECEIPT_NS, 77, "NONE", 61800.2, 61800.3, 2.507, 2.51),
        ("TRADE", "BTCUSDT.BINANCE", VENUE_MS * 10**6, RECEIPT_NS + 3, 5, "BUY", 61800.3, 0.0, 0.006, 0.0),
    ]
    ticks = TickArray.open(tmp_path / "out.ticks")
    assert (ticks.order_by, [tick.flags for tick in ticks]) == ("ts_init", [0, 0])


@pytest.mark.parametrize(
    ("times", "event_ns"),
    [
        ({"T": VENUE_MS, "E": VENUE_MS + 5}, VENUE_MS * 10**6),
        ({"E": VENUE_MS + 5}, (VENUE_MS + 5) * 10**6),
        ({}, RECEIPT_NS),
    ],
)
def test_the_time_of_the_event_is_the_best_that_there_is(tmp_path: Path, times: dict[str, int], event_ns: int) -> None:
    import_ticks(source(tmp_path, quote(**times)), tmp_path / "out.ticks")
    assert [(fact[2], fact[3]) for fact in facts(tmp_path / "out.ticks")] == [(event_ns, RECEIPT_NS)]


def test_the_seller_was_the_aggressor_where_the_buyer_was_the_maker(tmp_path: Path) -> None:
    import_ticks(source(tmp_path, trade(m=True) + trade(m=False)), tmp_path / "out.ticks")
    assert [fact[5] for fact in facts(tmp_path / "out.ticks")] == ["SELL", "BUY"]


def test_numbers_as_text_or_number(tmp_path: Path) -> None:
    import_ticks(source(tmp_path, quote(b=1.5, B=2, a="1.6", A="0.00000001")), tmp_path / "out.ticks")
    assert facts(tmp_path / "out.ticks")[0][6:] == (1.5, 1.6, 2.0, 1e-8)


def test_what_is_no_record_is_noted_by_name(tmp_path: Path) -> None:
    snapshot = f'{RECEIPT_NS} {{"lastUpdateId":9,"bids":[["1","2"]],"asks":[]}}\n'
    reply = f'{RECEIPT_NS} {{"result":null,"id":1}}\n'
    text = depth() + snapshot + quote() + depth() + reply + line("btcusdt@kline_1m", {}) + trade()
    report = import_ticks(source(tmp_path, text), tmp_path / "out.ticks")
    assert (report.rows, report.count) == (2, 2)
    assert report.notes == {"depth messages": 2, "snapshots": 1, "messages of no stream": 1, "kline_1m messages": 1}


def test_a_bad_record_is_named_by_its_line_between_others(tmp_path: Path) -> None:
    text = depth() + quote() + quote() + depth() + depth() + trade() + trade(q="0") + depth() + quote(1) + quote(0)
    report = import_ticks(source(tmp_path, text), tmp_path / "out.ticks", on_bad="skip")
    assert report.problems == {"zero_size_trade": 1, "key_backwards": 1}
    assert sorted(bad["row"] for bad in report.offenders) == [7, 10]
    assert (report.rows, report.count) == (6, 4)


def test_times_of_the_venue_may_run_backwards(tmp_path: Path) -> None:
    report = import_ticks(source(tmp_path, trade(0, T=VENUE_MS) + quote(1, T=VENUE_MS - 9)), tmp_path / "out.ticks")
    assert (report.count, report.problems, report.first_ns, report.last_ns) == (2, {}, RECEIPT_NS, RECEIPT_NS + 1)


def test_symbols_are_instruments_in_the_order_in_which_they_come(tmp_path: Path) -> None:
    text = trade(s="ETHUSDT") + depth() + quote() + trade(s="ETHUSDT")
    report = import_ticks(source(tmp_path, text), tmp_path / "out.ticks", venue="BINANCE-PERP")
    assert report.instruments == ["ETHUSDT.BINANCE-PERP", "BTCUSDT.BINANCE-PERP"]
    assert TickArray.open(tmp_path / "out.ticks").numpy()["instrument"].tolist() == [0, 1, 0]


@pytest.mark.parametrize(("given", "instrument"), [("XBT", "XBT.BINANCE"), ("XBT.V", "XBT.V")])
def test_an_instrument_that_is_given_wins(tmp_path: Path, given: str, instrument: str) -> None:
    report = import_ticks(source(tmp_path, quote()), tmp_path / "out.ticks", instrument=given)
    assert report.instruments == [instrument]


def test_crossed_quotes_are_kept(tmp_path: Path) -> None:
    report = import_ticks(source(tmp_path, quote(b="2", a="1")), tmp_path / "out.ticks")
    assert (report.count, report.crossed) == (1, 1)


def test_days_in_order_and_symbols_anew_in_each(tmp_path: Path) -> None:
    source(tmp_path, trade(9, s="ETHUSDT") + quote(9), "all_20240809.jsonl")
    source(tmp_path, quote() + trade(s="ETHUSDT"), "all_20240808.jsonl")
    report = import_ticks(tmp_path, tmp_path / "out.ticks")
    assert (report.files, report.count) == (2, 4)
    assert [fact[1] for fact in facts(tmp_path / "out.ticks")] == [
        f"{name}USDT.BINANCE" for name in ("BTC", "ETH", "ETH", "BTC")
    ]


def test_a_recording_in_a_zip_when_the_format_is_said(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", quote() * 3)
    assert import_ticks(tmp_path / "a.zip", tmp_path / "out.ticks", format="binance-recording").count == 3


def test_more_records_than_a_chunk_holds_and_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tickrail.data.importers import binance_recording

    monkeypatch.setattr(binance_recording, "CHUNK_BYTES", 4 * TICK_DTYPE.itemsize)
    path = source(tmp_path, "".join(trade(i, t=i, q="0" if i == 9 else "1") for i in range(11)))
    seen: list[tuple[int, int]] = []
    report = import_ticks(path, tmp_path / "out.ticks", on_bad="skip", progress=lambda *step: seen.append(step))
    assert [bad["row"] for bad in report.offenders] == [10]
    assert [fact[4] for fact in facts(tmp_path / "out.ticks")] == [*range(9), 10]
    assert (len(seen), seen[-1]) == (4, (path.stat().st_size, path.stat().st_size))
    assert seen == sorted(seen)


def test_the_packed_form_is_the_record() -> None:
    from tickrail.data.importers.binance_messages import RECORD

    assert RECORD.size == TICK_DTYPE.itemsize
