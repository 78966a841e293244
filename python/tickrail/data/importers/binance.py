"""Binance's public dumps: aggTrades, trades and bookTicker of spot and futures."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tickrail.data.importers.binance_layouts import DumpLayout, layout_named, layout_of
from tickrail.data.importers.chunk import ArrowChunk, ImportOptions
from tickrail.data.importers.layout import unit_or_none
from tickrail.data.importers.names import instrument_id
from tickrail.data.importers.text_files import csv_batches, open_text
from tickrail.errors import ImportFormatError

__all__ = ["BinanceImporter"]

_FILE: Final = re.compile(
    r"(?P<symbol>[^-.]+)-(?P<layout>aggTrades|trades|bookTicker)(-\d{4}-\d\d(-\d\d)?)?\.(zip|csv|csv\.gz|csv\.zip)",
    re.IGNORECASE,
)
_VENUE: Final = "BINANCE"
#: A row of a dump has at most eight short cells.
_LONGEST_ROW: Final = 4_096
_UNITS: Final = frozenset({"ms", "us"})
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class _Dump:
    """What the beginning of a file tells."""

    layout: DumpLayout
    names: list[str]
    header_lines: int
    time_unit: str


class BinanceImporter:
    """Trades, aggregated trades and best quotes, a file a symbol and day or month."""

    name: str = "binance"
    order_by: str = "ts_event"

    def recognises(self, path: Path) -> bool:
        """By the name: ``BTCUSDT-aggTrades-2024-08-08.zip``."""
        return _FILE.fullmatch(path.name) is not None

    def chunks(self, path: Path, options: ImportOptions) -> Iterator[ArrowChunk]:
        """The records of one file."""
        instrument = _instrument(path, options)
        dump = _look(path, options)
        with open_text(path) as (file, bytes_done):
            kinds = _kinds(dump.layout, dump.time_unit)
            for batch in csv_batches(file, dump.names, kinds, str(path), skip_lines=dump.header_lines, quoted=False):
                yield ArrowChunk(
                    stream=batch,
                    kind=dump.layout.kind,
                    columns=dump.layout.mapping,
                    origin=str(path),
                    first_row=batch.first_line,
                    instrument=instrument,
                    side_bool="buyer_maker",
                    bytes_done=bytes_done(),
                )

    def notes(self) -> dict[str, int]:
        """Nothing is left out."""
        return {}


def _instrument(path: Path, options: ImportOptions) -> str:
    found = _FILE.fullmatch(path.name)
    if found is None and options.instrument is None:
        msg = f"{path}: the name of the file tells no symbol; expected such as BTCUSDT-aggTrades-2024-08-08.zip"
        raise ImportFormatError(msg, hint="name it: --instrument BTCUSDT (instrument=)")
    return instrument_id("" if found is None else found["symbol"].upper(), _VENUE, options)


def _look(path: Path, options: ImportOptions) -> _Dump:
    with open_text(path) as (file, _):
        lines = [file.readline(_LONGEST_ROW).decode("utf-8-sig", "replace").strip() for _ in range(2)]
    first, second = ([cell.strip() for cell in next(csv.reader([line]), [])] for line in lines)
    if not first:
        msg = f"{path}: is empty"
        raise ImportFormatError(msg)
    layout, names = layout_of(first, _said(path, options), str(path))
    header_lines = 0 if first[0].isdigit() else 1
    row = second if header_lines else first
    unit = options.time_unit or _unit(row, names, layout, f"{path}:{header_lines + 1}")
    return _Dump(layout, names, header_lines, unit)


def _said(path: Path, options: ImportOptions) -> str | None:
    if options.layout is not None:
        return layout_named(options.layout)
    found = _FILE.fullmatch(path.name)
    return None if found is None else layout_named(found["layout"])


def _unit(row: list[str], names: list[str], layout: DumpLayout, place: str) -> str:
    """By the first record: dumps of spot changed from ms to us at the beginning of 2025, each file has one unit."""
    at = names.index(layout.mapping["ts_event"])
    if not row:
        return "ms"  # of nothing
    unit = unit_or_none(int(row[at])) if at < len(row) and row[at].isdigit() else None
    if unit in _UNITS:
        return unit
    expected = f"expected a time in ms or us as column {at + 1} ({names[at]})"
    msg = f"{place}: {expected}; the row is '{','.join(row)[:_SHOWN]}'"
    raise ImportFormatError(msg, hint=f"a row has {len(names)} columns: {','.join(names)}")


def _kinds(layout: DumpLayout, time_unit: str) -> dict[str, str]:
    special = {"sequence": "integer", "ts_event": time_unit, "side": "flag"}
    return {column: special.get(name, "number") for name, column in layout.mapping.items()}
