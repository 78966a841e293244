"""Whatever a user calls data, as named arrays of ticks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tickrail._native import TickArray
from tickrail.domain.near import did_you_mean
from tickrail.domain.time import TimeLike, parse_ns
from tickrail.errors import DataError

__all__ = ["Data", "named_arrays", "order_key"]

Data: TypeAlias = Any
"""A path, a ``TickArray``, any Arrow object, a list of these, or a dict of these by instrument."""


def named_arrays(data: Data, *, start: TimeLike | None = None, end: TimeLike | None = None) -> dict[str, TickArray]:
    """Feed name -> its ticks between ``start`` and ``end``, in the order given.

    Raises:
        DataError: Something is no data, or there is none.
    """
    start_ns, end_ns = (None if time is None else parse_ns(time) for time in (start, end))
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise DataError(f"start {start!r} is not before end {end!r}")
    found: dict[str, TickArray] = {}
    for name, array in _each(data):
        whole = start_ns is None and end_ns is None
        found[_free(name, found)] = array if whole else array.between(start_ns, end_ns)
    if not found:
        raise DataError("there is no data: an empty list", hint="give a path, a TickArray, an Arrow object, or a list")
    return found


def order_key(arrays: Mapping[str, TickArray]) -> str:
    """The key that all of them are ordered by.

    Raises:
        DataError: They differ.
    """
    keys = {name: array.order_by for name, array in arrays.items()}
    if len(set(keys.values())) > 1:
        listed = ", ".join(f"{name} by {key}" for name, key in keys.items())
        raise DataError(f"feeds are ordered by different times: {listed}", hint="import them with the same order_by")
    return next(iter(keys.values()))


def _each(data: Data) -> Iterator[tuple[str, TickArray]]:
    if isinstance(data, Mapping):
        for instrument, one in data.items():
            yield str(instrument), _of_instrument(str(instrument), one)
    elif isinstance(data, Sequence) and not isinstance(data, str | bytes | TickArray) and not _is_arrow(data):
        for number, one in enumerate(data):
            yield _name(one, f"data{number}"), _array(one)
    else:
        yield _name(data, "data"), _array(data)


def _of_instrument(instrument: str, one: Data) -> TickArray:
    array = _array(one, instrument)
    names = [str(known) for known in array.instruments]
    if instrument not in names:
        near = did_you_mean(instrument, names)
        raise DataError(f"data['{instrument}'] has no instrument '{instrument}'{near}; it has {', '.join(names)}")
    return array


def _array(one: Data, instrument: str | None = None) -> TickArray:
    if isinstance(one, TickArray):
        return one
    if isinstance(one, str | os.PathLike) and Path(one).suffix == ".ticks":
        return TickArray.open(one)
    if isinstance(one, str | os.PathLike) or _is_arrow(one) or hasattr(one, "dtype"):
        from tickrail.data.reading import read_ticks  # late: importers bring what a run of tick files does not need

        return read_ticks(one) if instrument is None else read_ticks(one, instrument=instrument)
    raise DataError(
        f"{type(one).__name__} is no data",
        hint="a path, a TickArray, an Arrow object (polars, pandas, pyarrow, duckdb), a list, or a dict by instrument",
    )


def _is_arrow(one: object) -> bool:
    return hasattr(one, "__arrow_c_stream__")


def _name(one: object, otherwise: str) -> str:
    path = one.path if isinstance(one, TickArray) else one
    return Path(path).stem if isinstance(path, str | os.PathLike) else otherwise


def _free(name: str, taken: Mapping[str, object]) -> str:
    number = 2
    candidate = name
    while candidate in taken:
        candidate, number = f"{name}-{number}", number + 1
    return candidate
