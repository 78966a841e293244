"""``read_ticks``: whatever holds ticks, as a ``TickArray``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tickrail._native import TickArray
from tickrail.data.importers.chunk import ImportOptions
from tickrail.data.importers.layout import find_layout
from tickrail.data.times import TimeLike, to_ns
from tickrail.errors import BadRecord, ImportFormatError

__all__ = ["read_ticks"]


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
        columns: For Arrow objects: names of the record to the source's, where they are not the usual ones (an import
            guesses alike).
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
        ticks = _of_arrow(
            source,
            ImportOptions(instrument, default_venue, None, dict(columns or {}), kind, time_unit),
            instruments or (),
            key,
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


def _of_arrow(
    source: Any, options: ImportOptions, instruments: Sequence[Mapping[str, Any] | str], order_by: str
) -> TickArray:
    layout = find_layout(_column_names(source), options, f"the {type(source).__name__}")
    try:
        return TickArray.from_arrow(
            source,
            kind=layout.kind,
            columns=layout.columns,
            time_unit=options.time_unit,
            instrument=options.instrument,
            instruments=instruments,
            default_venue=options.venue,
            order_by=order_by,
        )
    except BadRecord as error:
        error.hint = "leave such rows out beforehand, or import with on_bad='skip': tickrail.data.import_ticks"
        raise
    except ImportFormatError as error:
        if options.time_unit is None and "time unit" in error.message:
            error.hint = "say it: tickrail.read_ticks(data, time_unit='ms')"
        raise


def _column_names(source: Any) -> list[str]:
    """Column names of an Arrow object, by the attribute that its library has for them; those of an index among them."""
    if type(source).__module__.partition(".")[0] == "pandas":
        return [*map(str, source.columns), *_index_names(source.index)]
    schema = getattr(source, "schema", None)
    names = getattr(source, "columns", None) if schema is None else getattr(schema, "names", schema)
    if callable(names):
        names = names()
    if names is None:
        msg = f"the columns of {type(source).__name__} are unknown"
        raise ImportFormatError(msg, hint="name them: read_ticks(data, kind='quote', columns={'ts_event': ..., ...})")
    return [str(name) for name in names]


def _index_names(index: Any) -> list[str]:
    """What Arrow calls the levels of a pandas index; one that only counts is no column there."""
    if type(index).__name__ == "RangeIndex":
        return []
    return [f"__index_level_{level}__" if name is None else str(name) for level, name in enumerate(index.names)]
