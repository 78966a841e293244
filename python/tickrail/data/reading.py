"""``read_ticks``: whatever holds ticks, as a ``TickArray``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from tickrail._native import TickArray
from tickrail.data.times import TimeLike, to_ns
from tickrail.errors import ImportFormatError

__all__ = ["read_ticks"]

#: What sources call the time of a row, best first.
_TIME_NAMES: Final = ("ts_event", "timestamp", "ts", "time", "datetime", "date")
_INSTRUMENT_NAMES: Final = ("instrument", "symbol", "ticker")
#: Columns that tell the kind, most telling first, and the ones that may be there as well.
_KINDS: Final = (
    ("quote", ("bid", "ask"), ("bid_size", "ask_size", "sequence")),
    ("bar", ("open", "high", "low", "close"), ("volume",)),
    ("trade", ("price",), ("size", "side", "sequence")),
)


def read_ticks(
    source: Any,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    *,
    instrument: str | None = None,
    instruments: Sequence[Mapping[str, Any] | str] | None = None,
    columns: Mapping[str, str] | None = None,
    kind: str | None = None,
    time_unit: str | None = None,
    default_venue: str | None = None,
    order_by: str | None = None,
) -> TickArray:
    """Read ticks from a file, an array or an Arrow object.

    A tick file is mapped, not read: it costs the same at any size. Everything else is checked record by record.

    Args:
        source: A path to a ``.ticks`` or ``.npy`` file; a ``TickArray``; a structured array of one of the dtypes of
            ``tickrail.domain.ticks`` (shared over ``bytes`` or a read-only mapping, else copied); any object with an
            Arrow stream (polars, pandas, pyarrow, duckdb), packed in memory.
        start: Leave out what comes before; int ns, ISO 8601 text or ``datetime`` (without a zone: UTC).
        end: Leave out what comes at or after.
        instrument: Of sources that do not name one, or name another.
        instruments: What the ``instrument`` of a structured array counts through; facts of the instruments of an Arrow
            object.
        columns: For Arrow objects: names of the record to the source's. Default: columns called like the record's.
        kind: For Arrow objects: ``"quote"``, ``"trade"`` or ``"bar"``; default: by the columns.
        time_unit: For Arrow objects with integer times: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"``.
        default_venue: Completes symbols without a venue.
        order_by: ``"ts_event"`` (default) or ``"ts_init"``; a tick file knows its own.

    Raises:
        FileNotFoundError: No such file.
        TickFileError: Not a tick file, or a damaged one.
        BadRecord: A record breaks the rules.
        ImportFormatError: The columns do not make ticks.
        TypeError: ``source`` is none of the above.
    """
    key = order_by or "ts_event"
    names = instruments if instruments is not None else ([instrument] if instrument else [])
    if isinstance(source, str | os.PathLike):
        ticks = _of_path(Path(os.fspath(source)), names, key)
    elif isinstance(source, TickArray):
        ticks = source
    elif isinstance(source, np.ndarray):
        ticks = _of_records(source, names, key)
    elif hasattr(source, "__arrow_c_stream__"):
        found_kind, found = _mapping(_column_names(source), columns, kind, with_instrument=instrument is None)
        ticks = TickArray.from_arrow(
            source,
            kind=found_kind,
            columns=found,
            time_unit=time_unit,
            instrument=instrument,
            instruments=instruments or (),
            default_venue=default_venue,
            order_by=key,
        )
    else:
        msg = f"ticks come from a path, a TickArray, a structured array or an Arrow object, not {type(source).__name__}"
        raise TypeError(msg)
    if start is None and end is None:
        return ticks
    return ticks.between(None if start is None else to_ns(start), None if end is None else to_ns(end))


def _of_path(path: Path, names: Sequence[Mapping[str, Any] | str], order_by: str) -> TickArray:
    if path.suffix == ".npy":
        return _of_records(np.load(path, mmap_mode="r", allow_pickle=False), names, order_by)
    return TickArray.open(path)


def _of_records(records: np.ndarray[Any, Any], names: Sequence[Mapping[str, Any] | str], order_by: str) -> TickArray:
    if not names:
        msg = "a structured array does not name its instruments"
        raise ImportFormatError(msg, hint="say read_ticks(records, instruments=['EURUSD.OANDA', ...])")
    return TickArray.from_records(records, names, order_by=order_by)


def _column_names(source: Any) -> list[str]:
    """Column names of an Arrow object, by the attribute that its library has for them."""
    schema = getattr(source, "schema", None)
    names = getattr(source, "columns", None) if schema is None else getattr(schema, "names", schema)
    if callable(names):
        names = names()
    if names is None:
        msg = f"the columns of {type(source).__name__} are unknown"
        raise ImportFormatError(msg, hint="name them: read_ticks(data, kind='quote', columns={'ts_event': ..., ...})")
    return [str(name) for name in names]


def _mapping(
    there: Sequence[str], columns: Mapping[str, str] | None, kind: str | None, *, with_instrument: bool
) -> tuple[str, dict[str, str]]:
    if columns is not None and kind is not None:
        return kind, dict(columns)
    given = dict(columns or {})
    known = {name: name for name in there} | given
    for name, required, optional in _KINDS:
        if kind in (None, name) and all(part in known for part in required):
            found = {part: known[part] for part in (*required, *optional, "ts_init") if part in known}
            time = next((known[part] for part in _TIME_NAMES if part in known), None)
            if time is not None:
                found["ts_event"] = time
            symbol = next((known[part] for part in _INSTRUMENT_NAMES if part in known), None)
            if symbol is not None and with_instrument:
                found["instrument"] = symbol
            if time is not None:
                return name, found | given
    msg = f"the columns {', '.join(there)} make neither quotes nor trades nor bars"
    raise ImportFormatError(
        msg,
        hint="expected a time (ts_event) with bid and ask, or price, or open, high, low and close; "
        "map other names with columns={'ts_event': 'when', 'bid': 'b', ...}",
    )
