"""Instruments: their names, and the table that a run makes of those of its feeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tickrail._native import InstrumentId
from tickrail.errors import DataError

__all__ = ["InstrumentId", "merge_tables"]

UNSET: Final[dict[str, Any]] = {
    "currency": "XXX",
    "price_increment": 0.0,
    "bar_duration_ns": 0,
    "negative_prices": False,
}


def merge_tables(tables: Iterable[tuple[str, Iterable[Mapping[str, Any]]]]) -> dict[str, dict[str, Any]]:
    """One row an instrument, from the tables of named feeds; what one leaves unset, another may say.

    Raises:
        DataError: Two feeds say different things of one instrument.
    """
    rows: dict[str, dict[str, Any]] = {}
    said: dict[tuple[str, str], str] = {}
    for feed, table in tables:
        for given in table:
            row = rows.setdefault(str(given["id"]), {"id": str(given["id"]), **UNSET})
            for name, value in _set_in(given):
                first = said.setdefault((row["id"], name), feed)
                if row[name] not in (UNSET[name], value):
                    raise _contradiction(f"{row['id']}: feed {first} says {name} = {row[name]!r}", feed, value)
                row[name] = value
    return rows


def _set_in(given: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((name, given[name]) for name, unset in UNSET.items() if given.get(name, unset) != unset)


def _contradiction(first: str, feed: str, value: Any) -> DataError:
    return DataError(f"{first}, feed {feed} says {value!r}", hint="import one of the two again with the right value")
