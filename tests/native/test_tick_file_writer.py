# ruff: noqa: DTZ001
"""TickFileWriter: Arrow of every type in, checked records out, whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tickrail._native import TickArray, TickFileWriter
from tickrail.errors import BadRecord, ImportFormatError

QUOTE = {"ts_event": "t", "bid": "b", "ask": "a"}
TRADE = {"ts_event": "t", "price": "p", "size": "z"}
NAME = "EURUSD.OANDA"


def quotes(**columns: Any) -> pa.Table:
    base: dict[str, Any] = {
        "t": pa.array([1_000, 2_000, 3_000], pa.timestamp("ns")),
        "b": [1.0, 1.1, 1.2],
        "a": [1.1, 1.2, 1.3],
    }
    return pa.table(base | columns)


def trades(**columns: Any) -> pa.Table:
    base: dict[str, Any] = {"t": pa.array([1, 2, 3], pa.timestamp("ns")), "p": [1.0, 1.1, 1.2], "z": [1.0, 2.0, 3.0]}
    return pa.table(base | columns)


def packed(table: Any, columns: dict[str, str] = QUOTE, *, kind: str = "quote", **options: Any) -> TickArray:
    if "instrument" not in columns:
        options.setdefault("instrument", NAME)
    return TickArray.from_arrow(table, kind=kind, columns=columns, **options)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_round_trip_and_report(tmp_path: Path) -> None:
    path = tmp_path / "a.ticks"
    with TickFileWriter(path, instruments=[{"id": NAME, "currency": "USD", "price_increment": 1e-5}]) as writer:
        assert writer.append_arrow(quotes(), kind="quote", columns=QUOTE, instrument=NAME, origin="one") == 3
        later = quotes(t=pa.array([3_000, 4_000, 5_000], pa.timestamp("ns")))
        assert writer.append_arrow(later, kind="quote", columns=QUOTE, instrument="XAUUSD.OANDA") == 3
        report = writer.commit()
    assert leftovers(tmp_path) == ["a.ticks"]
    assert (report["count"], report["first_ns"], report["last_ns"]) == (6, 1_000, 5_000)
    assert report["problems"] == {} and report["offenders"] == [] and report["crossed"] == 0
    assert report["instruments"] == [NAME, "XAUUSD.OANDA"]
    ticks = TickArray.open(path)
    assert ticks.header()["checksum"] == report["checksum"]
    assert [str(tick.instrument) for tick in ticks] == [NAME] * 3 + ["XAUUSD.OANDA"] * 3
    assert np.isnan(ticks[0].bid_size) and ticks[0].flags == 1
    assert ticks.instrument_table[0]["price_increment"] == 1e-5
    ticks.verify()


@pytest.mark.parametrize(
    "times",
    [
        pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 3, pa.timestamp("s")),
        pa.array([datetime(2024, 1, 1)] * 3, pa.timestamp("ms")),
        pa.array([datetime(2024, 1, 1)] * 3, pa.timestamp("us")),
        pa.array([1_704_067_200_000_000_000] * 3).cast(pa.timestamp("ns")),
        pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 3, pa.timestamp("us", tz="America/New_York")),
        pa.array([19_723] * 3, pa.int32()).cast(pa.date32()),
    ],
)
def test_timestamps_of_any_unit_and_zone(times: pa.Array) -> None:
    assert packed(quotes(t=times))[0].ts_event == 1_704_067_200_000_000_000


@pytest.mark.parametrize(("unit", "factor"), [("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1)])
@pytest.mark.parametrize("dtype", [pa.int64(), pa.uint64(), pa.int32()])
def test_integer_times(unit: str, factor: int, dtype: pa.DataType) -> None:
    times = pa.array([7, 8, 9], dtype)
    assert [tick.ts_event for tick in packed(quotes(t=times), time_unit=unit)] == [7 * factor, 8 * factor, 9 * factor]
    with pytest.raises(ImportFormatError, match="time unit"):
        packed(quotes(t=times))


def test_time_overflow_and_null_are_bad_records() -> None:
    for times, problem in (
        (pa.array([1, 2, 9_300_000_000], pa.timestamp("s")), "time_overflow"),
        (pa.array([1, 2, None], pa.timestamp("s")), "time_missing"),
        (pa.array([3, 2, 3], pa.timestamp("s")), "key_backwards"),
        (pa.array([0, 2, 3], pa.timestamp("s")), "time_not_positive"),
    ):
        with pytest.raises(BadRecord) as caught:
            packed(quotes(t=times))
        assert caught.value.problem == problem


@pytest.mark.parametrize(
    "dtype",
    [pa.float64(), pa.float32(), pa.float16(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64()],
)
def test_numbers_of_any_type(dtype: pa.DataType) -> None:
    column = pa.array([1, 2, 3], pa.int64()).cast(dtype)
    assert [tick.bid for tick in packed(quotes(b=column))] == [1.0, 2.0, 3.0]


def test_decimals_are_rounded_once() -> None:
    column = pa.array([Decimal("1.10235"), Decimal("1.00001"), Decimal("0.29")], pa.decimal128(18, 5))
    assert [tick.bid for tick in packed(quotes(b=column))] == [1.10235, 1.00001, 0.29]


@pytest.mark.parametrize(
    "make",
    [
        lambda names: pa.array(names, pa.string()),
        lambda names: pa.array(names, pa.large_string()),
        lambda names: pa.array(names, pa.string_view()),
        lambda names: pa.array(names).dictionary_encode(),
        lambda names: pa.array(names).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string())),
        lambda names: (
            pa.array(names, pa.large_string()).dictionary_encode().cast(pa.dictionary(pa.uint32(), pa.large_string()))
        ),
    ],
)
def test_symbols_of_any_form(make: Any) -> None:
    names = ["A.X", "B.X", "A.X"]
    ticks = packed(quotes(s=make(names)), QUOTE | {"instrument": "s"})
    assert [str(tick.instrument) for tick in ticks] == names
    assert [str(one) for one in ticks.instruments] == ["A.X", "B.X"]


def test_unused_words_of_a_dictionary_do_not_enter_the_table() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([1, 1, 1]), ["UNUSED", "A.X"])
    assert packed(quotes(s=column), QUOTE | {"instrument": "s"}).instruments == ("A.X",)


def test_symbols_without_venue() -> None:
    table = quotes(s=["EURUSD", "EURUSD.FXCM", "EURUSD"])
    with pytest.raises(ImportFormatError, match=r"EURUSD.*venue"):
        packed(table, QUOTE | {"instrument": "s"})
    ticks = packed(table, QUOTE | {"instrument": "s"}, default_venue="OANDA")
    assert [str(tick.instrument) for tick in ticks] == ["EURUSD.OANDA", "EURUSD.FXCM", "EURUSD.OANDA"]
    with pytest.raises(BadRecord) as caught:
        packed(quotes(s=["A.X", None, "A.X"]), QUOTE | {"instrument": "s"})
    assert caught.value.problem == "no_instrument"
    with pytest.raises(ImportFormatError, match="which instrument"):
        TickArray.from_arrow(quotes(), kind="quote", columns=QUOTE)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["buy", "SELL", "b"], ["BUY", "SELL", "BUY"]),
        (pa.array(["S", None, "Buy"]), ["SELL", "NONE", "BUY"]),
        (pa.array(["s", "b", "s"]).dictionary_encode(), ["SELL", "BUY", "SELL"]),
        ([True, False, None], ["SELL", "BUY", "NONE"]),
        (pa.array([0, 1, 2], pa.uint8()), ["NONE", "BUY", "SELL"]),
    ],
)
def test_sides(column: Any, expected: list[str]) -> None:
    ticks = packed(trades(d=column), TRADE | {"side": "d"}, kind="trade")
    assert [tick.side for tick in ticks] == expected


def test_side_booleans_may_mean_buy_and_unknown_sides_are_bad() -> None:
    flags = trades(d=[True, False, True])
    ticks = packed(flags, TRADE | {"side": "d"}, kind="trade", side_bool="buy")
    assert [tick.side for tick in ticks] == ["BUY", "SELL", "BUY"]
    for bad in (["buy", "short", "sell"], pa.array([1, 3, 2])):
        with pytest.raises(BadRecord) as caught:
            packed(trades(d=bad), TRADE | {"side": "d"}, kind="trade")
        assert (caught.value.problem, caught.value.row) == ("unknown_side", 2)


def test_bars_and_their_volume() -> None:
    columns = {n: n for n in ("ts_event", "open", "high", "low", "close", "volume")}
    table = pa.table({"ts_event": pa.array([60, 120], pa.timestamp("s")), "open": [1.0, 2], "high": [3.0, 4],
                      "low": [0.5, 1], "close": [2.0, 3], "volume": [10, 20]})  # fmt: skip
    bars = packed(table, columns, kind="bar")
    assert [(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars] == [
        (1, 3, 0.5, 2, 10),
        (2, 4, 1, 3, 20),
    ]
    assert bars[0].sequence == 0
    without = packed(table.drop_columns(["volume"]), {k: v for k, v in columns.items() if k != "volume"}, kind="bar")
    assert without[0].volume == 0.0
    with pytest.raises(BadRecord) as caught:
        packed(table.set_column(2, "high", [[0.9, 4.0]]), columns, kind="bar")
    assert caught.value.problem == "bar_prices"


def test_nulls_of_prices_and_sizes() -> None:
    ticks = packed(quotes(q=[1.0, None, 3.0]), QUOTE | {"bid_size": "q", "ask_size": "q"})
    assert [tick.flags for tick in ticks] == [0, 1, 0]
    with pytest.raises(BadRecord) as caught:
        packed(quotes(b=[1.0, None, 2.0]))
    assert caught.value.problem == "price_not_finite"
    assert packed(trades(z=[1.0, None, 2.0]), TRADE, kind="trade")[1].flags == 1


@pytest.mark.parametrize("price", [float("nan"), float("inf"), float("-inf"), -1.0])
def test_bad_record_under_reject_leaves_nothing(tmp_path: Path, price: float) -> None:
    path = tmp_path / "a.ticks"
    writer = TickFileWriter(path)
    writer.append_arrow(quotes(), kind="quote", columns=QUOTE, instrument=NAME)
    with pytest.raises(BadRecord) as caught:
        bad = quotes(t=pa.array([4000, 5000, 6000], pa.timestamp("ns")), b=[1.0, price, 1.0])
        writer.append_arrow(bad, kind="quote", columns=QUOTE, instrument=NAME, origin="x.csv", first_row=100)
    error = caught.value
    assert (error.origin, error.row, sum(error.counts.values())) == ("x.csv", 101, 1)
    assert "x.csv: row 101" in str(error) and "--on-bad skip" in str(error)
    assert leftovers(tmp_path) == []
    with pytest.raises(ValueError, match="closed"):
        writer.commit()


def test_skip_counts_and_names_the_first_five(tmp_path: Path) -> None:
    count = 200_000
    sizes = np.ones(count)
    sizes[::1000] = 0.0
    prices = np.ones(count)
    prices[1::50_000] = np.nan
    table = pa.table({"t": np.arange(1, count + 1), "p": prices, "z": sizes})
    with TickFileWriter(tmp_path / "a.ticks", on_bad="skip", default_instrument=NAME) as writer:
        read = writer.append_arrow(table, kind="trade", columns=TRADE, time_unit="ns", origin="f", first_row=2)
        report = writer.commit()
    assert (read, report["count"]) == (count, count - 204)
    assert report["problems"] == {"price_not_finite": 4, "zero_size_trade": 200}
    rows = [one["row"] for one in report["offenders"] if one["problem"] == "zero_size_trade"]
    assert rows == [2, 1002, 2002, 3002, 4002]
    TickArray.open(tmp_path / "a.ticks").verify()


def test_crossed_quotes_are_counted_and_kept(tmp_path: Path) -> None:
    with TickFileWriter(tmp_path / "a.ticks", default_instrument=NAME) as writer:
        writer.append_arrow(quotes(a=[1.0, 1.0, 1.3]), kind="quote", columns=QUOTE)
        report = writer.commit()
    assert (report["count"], report["crossed"]) == (3, 1)


@pytest.mark.parametrize(
    ("columns", "kind", "message"),
    [
        (QUOTE | {"bid": "nope"}, "quote", "no column 'nope'|no column \"nope\""),
        ({"ts_event": "t", "bid": "b"}, "quote", "needs a column for ask"),
        (QUOTE | {"price": "b"}, "quote", 'a quote has no "price"'),
        (QUOTE, "depth", "kind is"),
        (QUOTE | {"bid": "text"}, "quote", 'column "text" has type'),
        (QUOTE | {"ts_event": "b"}, "quote", "expected timestamps"),
        (QUOTE | {"instrument": "b"}, "quote", "expected text"),
    ],
)
def test_wrong_mappings_are_explained(columns: dict[str, str], kind: str, message: str) -> None:
    with pytest.raises((ImportFormatError, ValueError), match=message):
        TickArray.from_arrow(
            quotes(text=["a", "b", "c"]),
            kind=kind,
            columns=columns,
            instrument=None if "instrument" in columns else NAME,
        )


@pytest.mark.parametrize("source", [5, "a.parquet", {"t": [1]}])
def test_what_has_no_stream_is_refused(source: object) -> None:
    with pytest.raises(TypeError, match="Arrow stream"):
        packed(source)


def test_other_libraries_and_capsules() -> None:
    table = quotes()
    expected = packed(table).fingerprint
    assert packed(pl.from_arrow(table)).fingerprint == expected
    assert packed(pd.DataFrame(table.to_pandas())).fingerprint == expected
    assert packed(table.__arrow_c_stream__()).fingerprint == expected
    reader = pa.RecordBatchReader.from_batches(table.schema, iter(table.to_batches(max_chunksize=1)))
    assert packed(reader).fingerprint == expected
    used = table.__arrow_c_stream__()
    packed(used)
    with pytest.raises(ValueError, match="released"):
        packed(used)


def test_an_error_inside_the_stream_is_reported(tmp_path: Path) -> None:
    def batches() -> Any:
        yield from quotes().to_batches()
        raise OSError("the disk is gone")

    reader = pa.RecordBatchReader.from_batches(quotes().schema, batches())
    writer = TickFileWriter(tmp_path / "a.ticks")
    with pytest.raises(ImportFormatError, match="the disk is gone"):
        writer.append_arrow(reader, kind="quote", columns=QUOTE, instrument=NAME)
    assert leftovers(tmp_path) == []


def test_append_records_and_ticks_map_instruments(tmp_path: Path) -> None:
    ticks = packed(quotes(s=["B.X", "A.X", "B.X"]), QUOTE | {"instrument": "s"})
    with TickFileWriter(tmp_path / "a.ticks", instruments=["A.X"]) as writer:
        writer.append_ticks(ticks)
        writer.append_records(ticks.numpy(), instruments=["A.X", "B.X"])
        writer.commit()
    names = [str(tick.instrument) for tick in TickArray.open(tmp_path / "a.ticks")]
    assert names == ["B.X", "A.X", "B.X", "A.X", "B.X", "A.X"]


def test_batches_larger_than_a_piece_keep_their_rows() -> None:
    count = 150_001
    table = pa.table({"t": np.arange(1, count + 1), "b": np.arange(count) / 8, "a": np.ones(count)})
    ticks = packed(table, time_unit="ns")
    assert len(ticks) == count
    assert np.array_equal(ticks.to_columns()["bid"], np.arange(count) / 8)


def test_a_sliced_table_is_read_from_its_slice() -> None:
    assert [tick.ts_event for tick in packed(quotes(s=["A.X", "B.X", "C.X"]).slice(1, 1))] == [2_000]


def test_leaving_without_commit_removes_everything(tmp_path: Path) -> None:
    with TickFileWriter(tmp_path / "a.ticks") as writer:
        writer.append_arrow(quotes(), kind="quote", columns=QUOTE, instrument=NAME)
        assert len(leftovers(tmp_path)) == 1
    assert leftovers(tmp_path) == []
    with TickFileWriter(tmp_path / "b.ticks") as writer:
        writer.abort()
        writer.abort()
        with pytest.raises(ValueError, match="closed"):
            writer.append_arrow(quotes(), kind="quote", columns=QUOTE, instrument=NAME)


def test_key_must_go_on_across_appends(tmp_path: Path) -> None:
    with TickFileWriter(tmp_path / "a.ticks", default_instrument=NAME) as writer:
        writer.append_arrow(quotes(), kind="quote", columns=QUOTE)
        with pytest.raises(BadRecord) as caught:
            writer.append_arrow(quotes(), kind="quote", columns=QUOTE, origin="second")
    assert caught.value.problem == "key_backwards" and caught.value.origin == "second"
