"""Columns by the names of the record, as records of a run; the native publisher asks for it when such data come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tickrail.domain.near import did_you_mean
from tickrail.domain.ticks import BAR_DTYPE, QUOTE_DTYPE, TRADE_DTYPE
from tickrail.errors import DataError

__all__ = ["records_of_columns"]

CODES: Final = {"quote": (1, QUOTE_DTYPE), "trade": (2, TRADE_DTYPE), "bar": (3, BAR_DTYPE)}
SIDES: Final = {"NONE": 0, "BUY": 1, "SELL": 2}
NO_SIZE: Final = 1
SIZES: Final = {"quote": ("bid_size", "ask_size"), "trade": ("size",), "bar": ()}


def records_of_columns(
    columns: Mapping[str, Any], kind: str | None, instrument: str | None, instruments: Sequence[str]
) -> npt.NDArray[np.void]:
    """Columns by the record's names as records of the run.

    Args:
        columns: Arrays or lists of equal length; ``ts_event`` and the kind's prices at least. ``instrument`` holds ids.
        kind: ``quote``, ``trade`` or ``bar``; not given: what the columns are.
        instrument: Of all rows, where there is no such column.
        instruments: The run's table.

    Raises:
        DataError: A column is absent, unknown, or of another length.
    """
    kind = kind or _kind_of(columns)
    if kind not in CODES:
        raise DataError(f"kind is {kind!r}; expected 'quote', 'trade' or 'bar'")
    code, dtype = CODES[kind]
    _check_names(columns, kind, dtype)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
        raise DataError(f"columns differ in length: {lengths}")
    records = np.zeros(next(iter(lengths.values())), dtype)
    records["kind"] = code
    for size in SIZES[kind]:
        records[size] = np.nan
    for name, column in columns.items():
        records[name] = _coded(name, column, instruments)
    if instrument is not None:
        records["instrument"] = _numbers([instrument], instruments)[0]
    for size in SIZES[kind]:
        records["flags"][np.isnan(records[size])] |= NO_SIZE
    return records


def _kind_of(columns: Mapping[str, Any]) -> str:
    marks = {"bid": "quote", "price": "trade", "close": "bar"}
    return next((kind for mark, kind in marks.items() if mark in columns), "quote")


def _check_names(columns: Mapping[str, Any], kind: str, dtype: np.dtype[np.void]) -> None:
    prices = {"quote": ("bid", "ask"), "trade": ("price",), "bar": ("open", "high", "low", "close")}[kind]
    for name in ("ts_event", *prices):
        if name not in columns:
            raise DataError(f"a {kind} needs a column '{name}'; there are {', '.join(map(repr, columns)) or 'none'}")
    known = [name for name in dtype.names or () if name != "kind"]
    for name in columns:
        if name not in known:
            raise DataError(f"a {kind} has no column '{name}'{did_you_mean(str(name), known)}")


def _coded(name: str, column: Any, instruments: Sequence[str]) -> Any:
    if name == "instrument":
        return _numbers(column, instruments)
    if name == "side":
        # What is no side gets a number that the feed rejects and counts.
        return [SIDES.get(str(side), 255) for side in column]
    return column


def _numbers(names: Any, instruments: Sequence[str]) -> list[int]:
    """What is no instrument of the run gets a number that the feed rejects and counts."""
    places = {name: place for place, name in enumerate(instruments)}
    return [places.get(str(name), 2**32 - 1) for name in names]
