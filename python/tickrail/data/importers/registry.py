"""The formats by name, and which of them a file is, as far as its name tells."""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tickrail.data.importers.chunk import Importer
from tickrail.errors import ImportFormatError

__all__ = ["format_names", "importer_for", "importer_named"]

_ROOM: Final = "tickrail.data.importers"
#: The most particular first, for the first that recognises a file has it: a Binance dump is also a zip of CSV.
_FORMATS: Final = {
    "fx": "fx:FxImporter",
    "binance-recording": "binance_recording:BinanceRecordingImporter",
    "binance": "binance:BinanceImporter",
    "tardis": "tardis:TardisImporter",
    "arrow": "arrow:ArrowImporter",
    "numpy": "numpy_file:NumpyImporter",
    "csv": "csv_file:CsvImporter",
}


@cache
def format_names() -> tuple[str, ...]:
    """The formats of this installation."""
    return tuple(name for name, target in _FORMATS.items() if find_spec(f"{_ROOM}.{target.partition(':')[0]}"))


def importer_named(name: str) -> Importer:
    """A new importer of the format.

    Raises:
        ImportFormatError: No such format; says the near miss.
    """
    if name not in format_names():
        near = get_close_matches(name, format_names(), n=1, cutoff=0.4)
        msg = f"there is no format '{name}'; there are {', '.join(sorted(format_names()))}"
        raise ImportFormatError(msg, hint=f"did you mean '{near[0]}'?" if near else None)
    module, _, attribute = _FORMATS[name].partition(":")
    importer: Importer = getattr(importlib.import_module(f"{_ROOM}.{module}"), attribute)()
    return importer


def importer_for(path: Path) -> str | None:
    """The name of the first format that recognises ``path``; ``None`` where none does."""
    return next((name for name in format_names() if importer_named(name).recognises(path)), None)
