"""Tables of other programs become the records that their columns say."""

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tickrail._native import TickArray
from tickrail.data.importers.layout import find_layout, unit_by_digits
from tickrail.data.importers.zones import zone_of
from tickrail.data.importing import import_ticks
from tickrail.data.instrument_facts import currency_of
from tickrail.domain.ticks import BAR_DTYPE, QUOTE_DTYPE, TICK_DTYPE
from tickrail.errors import BadRecord, ImportFormatError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

START_NS = 1_700_000_000_000_000_000
MINUTE_NS = 60_000_000_000


def quotes(rows: int = 3, unit: str = "ns") -> Any:
    step = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}[unit]
    times = [START_NS // step + i for i in range(rows)]
    return pa.table(
        {
            "Time": pa.array(times, pa.timestamp(unit, tz="UTC")),
            "bidPrice": [1.0 + i for i in range(rows)],
            "askPrice": [1.5 + i for i in range(rows)],
            "symbol": pa.array(["EURUSD"] * rows).dictionary_encode(),
        }
    )


def records(path: Path) -> Any:
    return TickArray.open(path).numpy()


def text(folder: Path, body: str, name: str = "source.csv") -> Path:
    path = folder / name
    path.write_text(body)
    return path


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parquet_of_any_time_unit(tmp_path: Path, unit: str) -> None:
    pq.write_table(quotes(unit=unit), tmp_path / "q.parquet")
    report = import_ticks(tmp_path / "q.parquet", tmp_path / "q.ticks", venue="SIM")
    assert (report.count, report.format, report.instruments) == (3, "arrow", ["EURUSD.SIM"])
    found = records(tmp_path / "q.ticks").view(QUOTE_DTYPE)
    assert found["ts_event"][0] == START_NS
    assert found["bid"].tolist() == [1.0, 2.0, 3.0]
    assert found["ask"].tolist() == [1.5, 2.5, 3.5]
    assert TickArray.open(tmp_path / "q.ticks").instrument_table[0]["currency"] == "USD"


@pytest.mark.parametrize("as_stream", [True, False])
def test_ipc_file_and_stream_give_the_same(tmp_path: Path, as_stream: bool) -> None:
    table = quotes(1_000)
    make = pa.ipc.new_stream if as_stream else pa.ipc.new_file
    with make(str(tmp_path / "q.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=300)
    seen: list[tuple[int, int]] = []
    report = import_ticks(
        tmp_path / "q.arrow", tmp_path / "q.ticks", venue="SIM", progress=lambda *step: seen.append(step)
    )
    assert report.count == 1_000
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_an_object_with_an_arrow_stream(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {"ts": [START_NS, START_NS + 1], "price": [1, 2], "qty": [3.0, 4.0], "side": ["buy", "SELL"]}
    )
    report = import_ticks(frame, tmp_path / "t.ticks", instrument="BTCUSDT.SIM")
    ticks = TickArray.open(tmp_path / "t.ticks")
    assert report.count == 2
    assert [(tick.kind, tick.price, tick.size, tick.ts_event) for tick in ticks] == [
        ("TRADE", 1.0, 3.0, START_NS),
        ("TRADE", 2.0, 4.0, START_NS + 1),
    ]
    assert [int(side) for side in records(tmp_path / "t.ticks")["side"]] == [1, 2]


@pytest.mark.parametrize(("bar_time", "shift"), [("close", 0), ("open", MINUTE_NS)])
def test_a_bar_has_the_time_of_its_close(tmp_path: Path, bar_time: str, shift: int) -> None:
    body = f"time,Open,High,Low,Close,Volume\n{START_NS},1,3,0.5,2,10\n{START_NS + MINUTE_NS},2,4,1,3,5\n"
    import_ticks(
        text(tmp_path, body),
        tmp_path / "b.ticks",
        instrument="EURUSD.SIM",
        bar_time=bar_time,
        bar_duration_ns=MINUTE_NS,
    )
    found = records(tmp_path / "b.ticks").view(BAR_DTYPE)
    assert found["ts_event"].tolist() == [START_NS + shift, START_NS + MINUTE_NS + shift]
    assert found["high"].tolist() == [3.0, 4.0]
    assert found["volume"][0] == 10.0
    assert TickArray.open(tmp_path / "b.ticks").instrument_table[0]["bar_duration_ns"] == MINUTE_NS


def test_bars_of_their_opening_need_their_duration(tmp_path: Path) -> None:
    source = text(tmp_path, f"time,open,high,low,close\n{START_NS},1,1,1,1\n")
    with pytest.raises(ImportFormatError, match="need their duration"):
        import_ticks(source, tmp_path / "b.ticks", instrument="A.B", bar_time="open")


@pytest.mark.parametrize(
    ("written", "ns"),
    [
        ("1700000000", START_NS),
        ("1700000000123", START_NS + 123_000_000),
        ("1700000000123456", START_NS + 123_456_000),
        ("1700000000123456789", START_NS + 123_456_789),
        ("1700000000.123456789", START_NS + 123_456_789),
        ("1700000000123.4567", START_NS + 123_456_700),
        ("2023-11-14T22:13:20.123456789Z", START_NS + 123_456_789),
        ("2023-11-14 22:13:20", START_NS),
        ("2023.11.14 22:13:20", START_NS),
    ],
)
def test_times_of_csv_are_exact(tmp_path: Path, written: str, ns: int) -> None:
    import_ticks(text(tmp_path, f"time,bid,ask\n{written},1,2\n"), tmp_path / "q.ticks", instrument="EURUSD.SIM")
    assert records(tmp_path / "q.ticks")["ts_event"].tolist() == [ns]


def test_csv_without_header_semicolons_gzip_and_mapping(tmp_path: Path) -> None:
    path = tmp_path / "q.csv.gz"
    path.write_bytes(gzip.compress(b"X;1700000000;1.5;1.25\r\nX;1700000001;1.5;1.25"))
    mapping = {"ts_event": "2", "bid": "4", "ask": "3"}
    report = import_ticks(path, tmp_path / "q.ticks", instrument="EURUSD.SIM", columns=mapping)
    assert report.count == 2
    assert records(tmp_path / "q.ticks").view(QUOTE_DTYPE)["bid"].tolist() == [1.25, 1.25]


def test_local_times_of_csv_by_the_zone_across_a_change(tmp_path: Path) -> None:
    body = "time,price\n2024-03-10 01:30:00,1\n2024-03-10 03:30:00,1\n"
    import_ticks(text(tmp_path, body), tmp_path / "t.ticks", instrument="A.B", time_zone="America/New_York")
    expected = [datetime(2024, 3, 10, hour, 30, tzinfo=UTC).timestamp() for hour in (6, 7)]
    assert (records(tmp_path / "t.ticks")["ts_event"] / 1e9).tolist() == expected


@pytest.mark.parametrize(("zone", "hours"), [("America/New_York", (6, 7)), ("-05:00", (6, 8)), (None, (1, 3))])
def test_local_bars_of_their_opening(tmp_path: Path, zone: str | None, hours: tuple[int, int]) -> None:
    """The change of clocks is looked for at the opening, and the duration added after it."""
    body = "time,ts_init,open,high,low,close\n" + "".join(
        f"2024-03-10 0{hour}:30,{START_NS},1,1,1,1\n" for hour in (1, 3)
    )
    options = {"bar_time": "open", "bar_duration_ns": 60 * MINUTE_NS, "time_zone": zone}
    import_ticks(text(tmp_path, body), tmp_path / "b.ticks", instrument="A.B", **options)  # type: ignore[arg-type]
    found = records(tmp_path / "b.ticks")
    expected = [int(datetime(2024, 3, 10, hour + 1, 30, tzinfo=UTC).timestamp()) * 1_000_000_000 for hour in hours]
    assert found["ts_event"].tolist() == expected
    assert found["ts_init"].tolist() == [START_NS + 60 * MINUTE_NS] * 2


def test_lines_are_right_behind_empty_ones_and_quoted_ends_of_lines(tmp_path: Path) -> None:
    body = '\n\ntime,bid,ask,note\r\n1700000000,1,2,"two\nlines"\n\n1700000000,1,2,x\n1700000000,-1,2,x\n'
    with pytest.raises(BadRecord) as caught:
        import_ticks(text(tmp_path, body), tmp_path / "q.ticks", instrument="A.B")
    assert caught.value.row == 8


def test_symbols_of_a_column_are_instruments_as_they_turn_up(tmp_path: Path) -> None:
    body = "time,price,symbol\n" + "".join(f"{1_700_000_000 + i},1,S{i % 7}\n" for i in range(50_000))
    report = import_ticks(text(tmp_path, body), tmp_path / "t.ticks", venue="V")
    assert report.instruments == [f"S{number}.V" for number in range(7)]
    assert records(tmp_path / "t.ticks")["instrument"].tolist() == [i % 7 for i in range(50_000)]


def test_booleans_are_sides(tmp_path: Path) -> None:
    body = "timestamp,price,qty,is_buyer_maker\n1700000000000,1,1,True\n1700000000001,1,1,false\n"
    import_ticks(text(tmp_path, body), tmp_path / "t.ticks", instrument="A.B")
    assert records(tmp_path / "t.ticks")["side"].tolist() == [2, 1]


def test_our_records_from_npy(tmp_path: Path) -> None:
    array = np.zeros(4, QUOTE_DTYPE)
    array["ts_event"] = array["ts_init"] = START_NS + np.arange(4)
    array["bid"], array["ask"], array["kind"], array["instrument"] = 1, 2, 1, [0, 1, 0, 1]
    np.save(tmp_path / "r.npy", array.view(TICK_DTYPE))
    report = import_ticks(tmp_path / "r.npy", tmp_path / "r.ticks", instrument="EURUSD.SIM,USDJPY.SIM")
    assert report.count == 4
    table = TickArray.open(tmp_path / "r.ticks").instrument_table
    assert [(row["id"], row["currency"]) for row in table] == [("EURUSD.SIM", "USD"), ("USDJPY.SIM", "JPY")]
    assert records(tmp_path / "r.ticks")["instrument"].tolist() == [0, 1, 0, 1]


def test_named_fields_of_any_array(tmp_path: Path) -> None:
    array = np.array(
        [(np.datetime64("2023-11-14T22:13:20", "ms"), 1.0, 2, b"EURUSD.SIM")],
        dtype=[("time", "M8[ms]"), ("bid", ">f4"), ("ask", "i4"), ("symbol", "S12")],
    )
    import_ticks(array, tmp_path / "r.ticks")
    (tick,) = TickArray.open(tmp_path / "r.ticks")
    assert (tick.ts_event, tick.bid, tick.ask, str(tick.instrument)) == (START_NS, 1.0, 2.0, "EURUSD.SIM")


def test_facts_of_instruments_are_written(tmp_path: Path) -> None:
    facts = [{"id": "EURUSD.SIM", "price_increment": 0.00001, "currency": "EUR"}]
    import_ticks(quotes(), tmp_path / "q.ticks", venue="SIM", instruments=facts)
    (row,) = TickArray.open(tmp_path / "q.ticks").instrument_table
    assert (row["currency"], row["price_increment"]) == ("EUR", 0.00001)


def test_facts_join_what_the_name_tells(tmp_path: Path) -> None:
    import_ticks(quotes(), tmp_path / "q.ticks", venue="SIM", instruments=[{"id": "EURUSD", "price_increment": 0.1}])
    (row,) = TickArray.open(tmp_path / "q.ticks").instrument_table
    assert (row["id"], row["currency"], row["price_increment"]) == ("EURUSD.SIM", "USD", 0.1)


def test_bad_records_are_counted_with_their_line(tmp_path: Path) -> None:
    body = "time,bid,ask\n1700000000,1,2\n1700000001,nan,2\n1700000002,3,2\n"
    source = text(tmp_path, body)
    report = import_ticks(source, tmp_path / "q.ticks", instrument="A.B", on_bad="skip")
    assert (report.rows, report.count, report.crossed) == (3, 2, 1)
    assert sum(report.problems.values()) == 1
    assert (report.offenders[0]["origin"], report.offenders[0]["row"]) == (str(source), 3)
    assert report.to_dict()["rows_per_s"] > 0


def test_the_usual_names_tell_the_kind() -> None:
    from tickrail.data.importers.chunk import ImportOptions

    options = ImportOptions()
    assert find_layout(["ts", "best_bid", "best_ask", "last"], options, "x").kind == "quote"
    assert find_layout(["date", "o", "h", "l", "c", "v"], options, "x").kind == "bar"
    assert find_layout(["ts", "px", "sz"], options, "x").columns == {"ts_event": "ts", "price": "px", "size": "sz"}


@pytest.mark.parametrize(
    ("value", "unit"), [(1_700_000_000, "s"), (1_700_000_000_000, "ms"), (10**15, "us"), (10**18, "ns")]
)
def test_units_by_digits(value: int, unit: str) -> None:
    assert unit_by_digits(value) == unit


@pytest.mark.parametrize(
    ("name", "hours"), [("UTC", 0), ("-05:00", -5), ("UTC+2", 2), ("+0530", 5.5), ("gmt-3", -3), ("Asia/Tokyo", None)]
)
def test_zones(name: str, hours: float | None) -> None:
    zone = zone_of(name)
    assert zone.fixed_offset_ns == (None if hours is None else int(hours * 3_600) * 1_000_000_000)


def test_an_unknown_zone_has_a_near_miss() -> None:
    with pytest.raises(ImportFormatError) as caught:
        zone_of("America/NewYork")
    assert caught.value.hint == "did you mean 'America/New_York'?"


@pytest.mark.parametrize(
    ("instrument", "currency"),
    [("EURUSD.OANDA", "USD"), ("USDJPY.X", "JPY"), ("BTCUSDT.BINANCE", None), ("GOOGLE.X", None), ("XAUUSD", "USD")],
)
def test_currencies_of_fx_symbols(instrument: str, currency: str | None) -> None:
    assert currency_of(instrument) == currency
