"""Fuzzes the Arrow import: one table in many encodings gives one result, and what makes no ticks is said, never worse.

Some seconds in the suite, the same ones each time; ``make fuzz`` goes on for ``FUZZ_EXAMPLES``, never the same.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tickrail
from tickrail.errors import BadRecord, ImportFormatError

pa = pytest.importorskip("pyarrow")

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "80"))
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600 if "FUZZ_EXAMPLES" in os.environ else 300)]

DAY_NS = 86_400 * 1_000_000_000
SYMBOLS = ["EURUSD.SIM", "XAUUSD.SIM", "ÄÖ.SIM", "A" * 200 + ".SIM"]
#: Encodings of whole numbers of days, by what an integer of them counts.
TIMES: list[tuple[Any, int, str | None]] = [
    (pa.timestamp("s"), 86_400, None),
    (pa.timestamp("ms", "UTC"), 86_400_000, None),
    (pa.timestamp("us", "Europe/Berlin"), 86_400_000_000, None),
    (pa.timestamp("ns", "UTC"), DAY_NS, None),
    (pa.date32(), 1, None),
    (pa.date64(), 86_400_000, None),
    (pa.int64(), 86_400_000, "ms"),
    (pa.int32(), 86_400, "s"),
    (pa.uint64(), DAY_NS, "ns"),
]
NUMBERS = [
    *(pa.float64(), pa.float32(), pa.float16(), pa.decimal128(9, 2), pa.decimal128(38, 10)),
    *(pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
]
TEXTS = [
    *(pa.string(), pa.large_string(), pa.string_view()),
    *(pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.uint32(), pa.large_string())),
]


@st.composite
def chunked(draw: st.DrawFn, array: Any) -> Any:
    """The same values as a column of chunks, each a slice of something longer."""
    cuts = sorted(draw(st.lists(st.integers(0, len(array)), max_size=3)))
    chunks = []
    for start, end in zip([0, *cuts], [*cuts, len(array)], strict=True):
        part = array.slice(start, end - start)
        if draw(st.booleans()) and len(array):
            longer = pa.concat_arrays([array.slice(0, 1), part, array.slice(0, 1)])
            part = longer.slice(1, len(part))
        chunks.append(part)
    return pa.chunked_array(chunks, type=array.type)


def numbers(values: list[int | None], kind: Any) -> Any:
    if pa.types.is_decimal(kind):
        return pa.array([None if value is None else Decimal(value) for value in values], kind)
    if kind == pa.float16():
        return pa.array([None if value is None else np.float16(value) for value in values], kind)
    return pa.array(values, kind)


@st.composite
def sound(draw: st.DrawFn) -> tuple[Any, str | None, dict[str, list[Any]]]:
    """A table of quotes in some encoding, the unit of its times, and what its records are."""
    rows = draw(st.integers(0, 12))
    steps = draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))
    days = [10_000 + int(step) for step in np.cumsum(steps)] if rows else []
    small = st.integers(1, 120)
    bid = draw(st.lists(small, min_size=rows, max_size=rows))
    ask = [price + draw(st.integers(0, 5)) for price in bid]
    sizes = draw(st.lists(st.none() | small, min_size=rows, max_size=rows))
    symbols = draw(st.lists(st.sampled_from(SYMBOLS), min_size=rows, max_size=rows))
    time_type, per_day, unit = draw(st.sampled_from(TIMES))
    # Values of the storage type, then read as what they are: no conversion of pyarrow's comes between.
    stored = {pa.date32(): pa.int32()}.get(time_type, time_type if pa.types.is_integer(time_type) else pa.int64())
    times = pa.array([day * per_day for day in days], stored).view(time_type)
    columns = {
        "ts_event": times,
        "instrument": pa.array(symbols, pa.string()).cast(draw(st.sampled_from(TEXTS))),
        "bid": numbers(list(bid), draw(st.sampled_from(NUMBERS))),
        "ask": numbers(list(ask), draw(st.sampled_from(NUMBERS))),
        "bid_size": numbers(sizes, draw(st.sampled_from(NUMBERS))),
    }
    names = draw(st.permutations(sorted(columns)))
    table = pa.table({name: draw(chunked(columns[name])) for name in names})
    expected = {"ts_event": [day * DAY_NS for day in days], "bid": bid, "ask": ask, "size": sizes, "symbol": symbols}
    return table, unit, expected


@FUZZ
@given(sound())
def test_the_encoding_does_not_matter(case: tuple[Any, str | None, dict[str, list[Any]]]) -> None:
    table, unit, expected = case
    ticks = tickrail.read_ticks(table, time_unit=unit)
    records = ticks.numpy()
    ids = [row["id"] for row in ticks.instrument_table]
    assert records["ts_event"].tolist() == expected["ts_event"]
    assert records["value_0"].tolist() == expected["bid"]
    assert records["value_1"].tolist() == expected["ask"]
    assert [None if np.isnan(size) else size for size in records["value_2"].tolist()] == expected["size"]
    assert [ids[number] for number in records["instrument"].tolist()] == expected["symbol"]


ANY_TYPE = [
    *NUMBERS,
    *TEXTS,
    *(kind for kind, _, _ in TIMES),
    *(pa.bool_(), pa.null(), pa.binary(), pa.list_(pa.int8()), pa.struct([("a", pa.int8())])),
    *(pa.time64("ns"), pa.duration("ns"), pa.decimal128(5, -2), pa.decimal256(40, 3), pa.binary_view()),
    *(pa.run_end_encoded(pa.int32(), pa.string()), pa.dictionary(pa.int16(), pa.int64())),
]


def some_values(kind: Any, rows: int, draw: st.DrawFn) -> Any:
    """An array of ``kind`` from bytes that mean nothing, where that can be; nulls in any case."""
    value = draw(
        st.sampled_from([None, 0, 1, -1, 2**31 - 1, 2**63 - 1, -(2**63), float("nan"), "x", "A.B", "", b"\xff"])
    )
    values = [value if draw(st.booleans()) else None for _ in range(rows)]
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, AttributeError):
        return pa.nulls(rows, kind)


@st.composite
def anything(draw: st.DrawFn) -> tuple[Any, dict[str, Any]]:
    rows = draw(st.integers(0, 6))
    names = draw(st.lists(st.sampled_from(["ts_event", "instrument", "bid", "ask", "price", "side", "x"]), max_size=7))
    arrays = [draw(chunked(some_values(draw(st.sampled_from(ANY_TYPE)), rows, draw))) for _ in names]
    options: dict[str, Any] = {
        "time_unit": draw(st.sampled_from([None, "s", "ns"])),
        "instrument": draw(st.sampled_from([None, "A.B"])),
        "kind": draw(st.sampled_from([None, "quote", "trade"])),
    }
    return pa.table(arrays, names=names), options


@FUZZ
@given(anything())
def test_what_makes_no_ticks_is_said(case: tuple[Any, dict[str, Any]]) -> None:
    table, options = case
    try:
        ticks = tickrail.read_ticks(table, **options)
    except (ImportFormatError, BadRecord) as error:
        assert str(error)
    else:
        assert len(ticks) == table.num_rows
