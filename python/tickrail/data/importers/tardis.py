"""Tardis.dev's downloadable CSV files: quotes (and book_ticker, which has the same columns) and trades.

A file is in order of ``local_timestamp``, the time at which Tardis received the message. The venue's own ``timestamp``
runs backwards now and then, where messages overtook each other on the way; so ``ts_init`` is the order of the records.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import numpy as np

from tickrail.data.importers.chunk import ArrowChunk, ImportOptions
from tickrail.data.importers.extra import require
from tickrail.data.importers.names import instrument_id
from tickrail.data.importers.text_files import csv_batches, open_text
from tickrail.errors import ImportFormatError

__all__ = ["TardisImporter"]

_FILE: Final = re.compile(r"[^_]+_(quotes|book_ticker|trades)_\d{4}-\d\d-\d\d_.+\.csv(\.gz)?", re.IGNORECASE)
_SHARED: Final = {"ts_event": "timestamp", "ts_init": "local_timestamp"}
# A trade's id is text of any form at some venues, so it is no sequence.
_MAPPINGS: Final = {
    "quote": _SHARED | {"bid": "bid_price", "ask": "ask_price", "bid_size": "bid_amount", "ask_size": "ask_amount"},
    "trade": _SHARED | {"price": "price", "size": "amount", "side": "side"},
}
_LABELS: Final = ("exchange", "symbol")
_UNIT: Final = "us"
_LONGEST_HEADER: Final = 4_096


class TardisImporter:
    """Quotes and trades of any venue, with the time at which they were received."""

    name: str = "tardis"
    order_by: str = "ts_init"

    def __init__(self) -> None:
        self._notes: Counter[str] = Counter()

    def recognises(self, path: Path) -> bool:
        """By the name: ``binance_quotes_2020-09-01_BTCUSDT.csv.gz``."""
        return _FILE.fullmatch(path.name) is not None

    def chunks(self, path: Path, options: ImportOptions) -> Iterator[ArrowChunk]:
        """The records of one file; quotes that lack a price are left out."""
        names = _header(path)
        if not names:
            self._notes["empty files"] += 1  # how Tardis says that a day has no data
            return
        kind = _kind(names, str(path))
        columns = _MAPPINGS[kind] | {"instrument": "instrument"}
        with open_text(path) as (file, bytes_done):
            for batch, line in csv_batches(file, names, _types(kind), str(path), skip_lines=1, quoted=False):
                rows = _with_instrument(batch, columns, options)
                for start, end in self._runs(rows, kind):
                    yield ArrowChunk(
                        stream=rows.slice(start, end - start),
                        kind=kind,
                        columns=columns,
                        origin=str(path),
                        first_row=line + start,
                        time_unit=options.time_unit or _UNIT,
                        bytes_done=bytes_done(),
                    )

    def notes(self) -> dict[str, int]:
        """Quotes without a bid or an ask, and files without rows."""
        notes, self._notes = self._notes, Counter()
        return dict(notes)

    def _runs(self, rows: Any, kind: str) -> Iterator[tuple[int, int]]:
        """Stretches of rows that are kept: each is a chunk of its own, so that messages name the right line."""
        prices = [rows.column(name) for name in ("bid_price", "ask_price")] if kind == "quote" else []
        if not any(column.null_count for column in prices):
            yield 0, len(rows)
            return
        lacking = np.zeros(len(rows), np.bool_)
        for column in prices:
            lacking |= column.is_null().to_numpy(zero_copy_only=False)
        self._notes["quotes that lack a side"] += int(lacking.sum())
        edges = np.flatnonzero(np.diff(np.concatenate(([True], lacking, [True])).astype(np.int8)))
        yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _header(path: Path) -> list[str]:
    with open_text(path) as (file, _):
        line = file.readline(_LONGEST_HEADER).decode("utf-8-sig", "replace").strip()
    return [name.strip() for name in next(csv.reader([line]), [])]


def _kind(names: Sequence[str], origin: str) -> str:
    lacking = {
        kind: [column for column in (*_LABELS, *mapping.values()) if column not in names]
        for kind, mapping in _MAPPINGS.items()
    }
    nearest = min(lacking, key=lambda kind: len(lacking[kind]))
    if not lacking[nearest]:
        return nearest
    expected = ", ".join((*_LABELS, *_MAPPINGS[nearest].values()))
    msg = f"{origin}:1: expected a header with {expected}; there is '{','.join(names)[:200]}'"
    misses = [(near[0], name) for name in lacking[nearest] if (near := get_close_matches(name, names, n=1))]
    hint = f"'{misses[0][0]}' should be '{misses[0][1]}'" if misses else "--format csv with --map reads any columns"
    raise ImportFormatError(msg, hint=hint)


def _types(kind: str) -> dict[str, Any]:
    pa = require("pyarrow")
    words, int64 = pa.dictionary(pa.int32(), pa.string()), pa.int64()
    special = {"timestamp": int64, "local_timestamp": int64, "side": words, "exchange": words, "symbol": words}
    return {column: special.get(column, pa.float64()) for column in (*_LABELS, *_MAPPINGS[kind].values())}


def _with_instrument(batch: Any, columns: dict[str, str], options: ImportOptions) -> Any:
    """The batch with a column ``instrument`` in the place of exchange and symbol."""
    pa = require("pyarrow")
    arrays = [
        _instruments(batch, options) if column == "instrument" else batch.column(column) for column in columns.values()
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns.values()))


def _instruments(batch: Any, options: ImportOptions) -> Any:
    """One word for each pair of symbol and exchange: the texts of the rows are not touched."""
    pa, pc = require("pyarrow"), require("pyarrow.compute")
    symbol, exchange = batch.column("symbol"), batch.column("exchange")
    venues = exchange.dictionary.to_pylist()
    words = [instrument_id(name, venue.upper(), options) for name in symbol.dictionary.to_pylist() for venue in venues]
    places = pc.add(pc.multiply(symbol.indices, pa.scalar(len(venues), pa.int32())), exchange.indices)
    return pa.DictionaryArray.from_arrays(places, pa.array(words, pa.string()))
