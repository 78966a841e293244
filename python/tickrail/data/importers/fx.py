"""FX quotes as Lean keeps them: a zip a day, in it rows of milliseconds since midnight, bid, ask.

Date and symbol stand in the path only (``oanda/eurusd/20140501_quote.zip``), and midnight is that of the market's zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tickrail.data.importers.chunk import ArrowChunk, ImportOptions
from tickrail.data.importers.local_times import LocalTimes
from tickrail.data.importers.text_files import csv_batches, open_text
from tickrail.data.importers.zones import Zone, zone_of
from tickrail.errors import ImportFormatError

__all__ = ["FxImporter"]

_FILE: Final = re.compile(r"(\d{8})_quote\.zip", re.IGNORECASE)
#: Zones in which markets write their files; FXCM's clock keeps winter time all year.
_ZONES: Final = {"oanda": "UTC", "fxcm": "-05:00"}
#: Lean puts the resolution between market and symbol.
_RESOLUTIONS: Final = frozenset({"tick", "second", "minute"})
_COLUMNS: Final = ("ms", "bid", "ask")
_KINDS: Final = {"ms": "ms.", "bid": "number", "ask": "number"}
_MAPPING: Final = {"ts_event": "ms", "bid": "bid", "ask": "ask"}


class FxImporter:
    """Tick quotes of FX in zips, one a day; no sizes."""

    name: str = "fx"
    order_by: str = "ts_event"

    def recognises(self, path: Path) -> bool:
        """By the name: a date, then ``_quote.zip``."""
        return _FILE.fullmatch(path.name) is not None

    def chunks(self, path: Path, options: ImportOptions) -> Iterator[ArrowChunk]:
        """The quotes of one day."""
        midnight_ns = _midnight_ns(path)
        symbol, market = _names(path)
        zone = _zone(path, market, options)
        instrument = _instrument(path, symbol, market, options)
        times = LocalTimes(["ms"], [], zone, local_ns=midnight_ns)
        with open_text(path) as (file, bytes_done):
            for batch in csv_batches(file, _COLUMNS, _KINDS, str(path), shifts=times.shifts):
                yield ArrowChunk(
                    stream=times.in_utc(batch),
                    kind="quote",
                    columns=_MAPPING,
                    origin=str(path),
                    first_row=batch.first_line,
                    instrument=instrument,
                    bytes_done=bytes_done(),
                )

    def notes(self) -> dict[str, int]:
        """Nothing is left out."""
        return {}


def _midnight_ns(path: Path) -> int:
    found = _FILE.fullmatch(path.name)
    try:
        if found is None:
            raise ValueError
        day = datetime.strptime(found[1], "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        msg = f"{path}: the date of FX quotes stands in the name of their file; expected such as 20140501_quote.zip"
        raise ImportFormatError(msg) from None
    return int(day.timestamp()) * 1_000_000_000


def _names(path: Path) -> tuple[str, str]:
    """Symbol and market, as the folders say; empty where there are none."""
    folders = [name for name in path.absolute().parent.parts if name.lower() not in _RESOLUTIONS]
    symbol, market = (["", "", *folders])[-1], (["", "", *folders])[-2]
    return symbol, market


def _zone(path: Path, market: str, options: ImportOptions) -> Zone:
    known = (options.venue or "", market)
    name = options.time_zone or next((_ZONES[place.lower()] for place in known if place.lower() in _ZONES), None)
    if name is None:
        msg = f"{path}: the time zone of the market '{market}' is not known; known are {', '.join(sorted(_ZONES))}"
        raise ImportFormatError(msg, hint="say it: --tz UTC, --tz=-05:00 or --tz America/New_York (time_zone=)")
    return zone_of(name)


def _instrument(path: Path, symbol: str, market: str, options: ImportOptions) -> str:
    if options.instrument is not None and "." in options.instrument:
        return options.instrument
    venue = options.venue or market.upper()
    found = f"{options.instrument or symbol.upper()}.{venue}"
    if found.startswith(".") or found.endswith(".") or any(char.isspace() for char in found):
        msg = f"{path}: the folders name no instrument; expected such as oanda/eurusd/{path.name}"
        raise ImportFormatError(msg, hint="name it: --instrument EURUSD.OANDA (instrument=)")
    return found
