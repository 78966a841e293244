"""Times as people give them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pandas as pd
import pytest

from tickrail.data.times import to_iso, to_ns

BASE = 1_704_067_200_000_000_000


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (5, 5),
        ("2024-01-01", BASE),
        ("2024-01-01T00:00:00Z", BASE),
        ("2024-01-01 00:00:00.25", BASE + 250_000_000),
        ("2024-01-01T00:00:00.123456789Z", BASE + 123_456_789),
        ("2024-01-01T01:00:00.5+01:00", BASE + 500_000_000),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        (datetime(2024, 1, 1), BASE),  # noqa: DTZ001
        (datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), BASE),
        (datetime(2024, 1, 1, 0, 0, 0, 7, tzinfo=UTC), BASE + 7_000),
        (pd.Timestamp(BASE + 1_001), BASE + 1_001),
        (pd.Timestamp(BASE + 1_001, tz="America/New_York"), BASE + 1_001),
    ],
)
def test_to_ns(moment: object, expected: int) -> None:
    assert to_ns(moment) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2024-13-01", "2024-01-01T00:00:00.1234567891", "2024-01-01T00:00:00."]
)
def test_text_that_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        to_ns(text)


@pytest.mark.parametrize("moment", [True, 1.5, None])
def test_other_types(moment: object) -> None:
    with pytest.raises(TypeError):
        to_ns(moment)  # type: ignore[arg-type]


@pytest.mark.parametrize("ns", [0, 1, BASE + 123_456_789, 2**63 - 1])
def test_there_and_back(ns: int) -> None:
    assert to_ns(to_iso(ns)) == ns
