"""Times, instrument tables, positions, near misses."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tickrail.domain.instruments import merge_tables
from tickrail.domain.near import did_you_mean
from tickrail.domain.positions import Position, by_currency
from tickrail.domain.time import format_ns, parse_ns
from tickrail.errors import DataError

NS = 1_706_693_400_123_456_789


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (NS, NS),
        (np.int64(NS), NS),
        ("2024-01-31T09:30:00.123456789Z", NS),
        ("2024-01-31 09:30:00.123456789", NS),
        ("2024-01-31T10:30:00.123456789+01:00", NS),
        (pd.Timestamp("2024-01-31T09:30:00.123456789"), NS),
        (np.datetime64("2024-01-31T09:30:00.123456789"), NS),
        (datetime(2024, 1, 31, 9, 30), NS // 10**9 * 10**9),  # noqa: DTZ001  (what has no zone is UTC)
        (datetime(2024, 1, 31, 4, 30, tzinfo=timezone(timedelta(hours=-5))), NS // 10**9 * 10**9),
        ("2024-01-31", 1_706_659_200 * 10**9),
        (date(2024, 1, 31), 1_706_659_200 * 10**9),
        (np.datetime64("2024-01-31"), 1_706_659_200 * 10**9),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1_000),
    ],
)
def test_times_as_people_write_them(written: Any, expected: int) -> None:
    assert parse_ns(written) == expected


@pytest.mark.parametrize("ns", [0, NS, -1, 10**9, NS // 1000 * 1000])
def test_text_of_a_time_reads_back(ns: int) -> None:
    assert parse_ns(format_ns(ns)) == ns


@pytest.mark.parametrize(
    "wrong", ["yesterday", "2024-13-01", "2024-01-31T09:30:00.1234567891Z", "", np.datetime64("NaT")]
)
def test_what_is_no_time(wrong: Any) -> None:
    with pytest.raises(ValueError, match="no time"):
        parse_ns(wrong)


def test_times_beyond_64_bits_and_of_other_types() -> None:
    with pytest.raises(ValueError, match="1677 to 2262"):
        parse_ns("2300-01-01")
    for wrong in (True, 1.5, None):
        with pytest.raises(TypeError, match="a time is int nanoseconds"):
            parse_ns(wrong)  # type: ignore[arg-type]


def test_tables_complete_each_other_and_must_not_contradict() -> None:
    bare, full = {"id": "A.X", "currency": "XXX"}, {"id": "A.X", "currency": "USD", "price_increment": 0.01}
    rows = merge_tables([("one", [bare, {"id": "B.X"}]), ("two", [full])])
    assert list(rows) == ["A.X", "B.X"]
    assert rows["A.X"]["currency"] == "USD"
    assert rows["A.X"]["price_increment"] == 0.01
    with pytest.raises(DataError, match=r"A.X: feed two says currency = 'USD', feed three says 'EUR'"):
        merge_tables([("two", [full]), ("three", [{**full, "currency": "EUR"}])])


def position(currency: str, realised: float, unrealised: float, fees: float) -> Position:
    return Position("A.X", currency, 1.0, 1.0, realised, unrealised, fees, 1, 1.0)


def test_currencies_are_never_added() -> None:
    sums = by_currency(
        [position("USD", 5.0, 1.0, 0.5), position("EUR", 1.0, float("nan"), 0.25), position("USD", 1.0, 0, 0)]
    )
    assert (sums["USD"].pnl, sums["EUR"].pnl) == (6.5, 0.75)


def test_near_misses() -> None:
    assert did_you_mean("EURUSD.OANDO", ["EURUSD.OANDA", "GBPUSD.OANDA"]) == "; did you mean 'EURUSD.OANDA'?"
    assert did_you_mean("x", ["EURUSD.OANDA"]) == ""
