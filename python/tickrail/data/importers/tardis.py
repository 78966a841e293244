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
from typing import Final

import numpy as np

from tickrail._native import ColumnBatch
from tickrail.data.importers.chunk import ArrowChunk, ImportOptions
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
        kinds, pairs = _kinds(kind, options.time_unit or _UNIT), _Pairs(options)
        with open_text(path) as (file, bytes_done):
            for batch in csv_batches(file, names, kinds, str(path), skip_lines=1, quoted=False):
                rows = pairs.joined(batch)
                for start, end in self._runs(rows, kind):
                    yield ArrowChunk(
                        stream=rows.rows(start, end),
                        kind=kind,
                        columns=columns,
                        origin=str(path),
                        first_row=batch.first_line + start,
                        bytes_done=bytes_done(),
                    )

    def notes(self) -> dict[str, int]:
        """Quotes without a bid or an ask, and files without rows."""
        notes, self._notes = self._notes, Counter()
        return dict(notes)

    def _runs(self, rows: ColumnBatch, kind: str) -> Iterator[tuple[int, int]]:
        """Stretches of rows that are kept: each is a chunk of its own, so that messages name the right line."""
        lacking = np.zeros(len(rows), np.bool_)
        for name in ("bid_price", "ask_price") if kind == "quote" else ():
            lacking |= np.isnan(rows.column(name))
        if not lacking.any():
            yield 0, len(rows)
            return
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


def _kinds(kind: str, unit: str) -> dict[str, str]:
    words = dict.fromkeys(("side", *_LABELS), "word")
    special = words | {"timestamp": unit, "local_timestamp": unit}
    return {column: special.get(column, "number") for column in (*_LABELS, *_MAPPINGS[kind].values())}


class _Pairs:
    """Instruments out of pairs of symbol and exchange; files of options have tens of thousands, which come again."""

    def __init__(self, options: ImportOptions) -> None:
        self._options = options
        self._symbols: list[str] = []
        self._venues: list[str] = []
        self._words: list[str] = []

    def joined(self, batch: ColumnBatch) -> ColumnBatch:
        """The batch with a column ``instrument``, one word for each pair."""
        symbols, exchanges = batch.column("symbol"), batch.column("exchange")
        words = self._words_of(batch.words("symbol"), batch.words("exchange"))
        places = np.where((symbols < 0) | (exchanges < 0), -1, symbols * len(self._venues) + exchanges)
        return batch.with_words("instrument", places.astype(np.int32), words)

    def _words_of(self, symbols: list[str], venues: list[str]) -> list[str]:
        if (symbols, venues) != (self._symbols, self._venues):
            self._symbols, self._venues = symbols, venues
            self._words = [
                instrument_id(symbol, venue.upper(), self._options) for symbol in symbols for venue in venues
            ]
        return self._words
