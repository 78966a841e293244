"""Structured arrays, in memory or mapped from ``.npy`` files: our own records, or any with named fields."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tickrail.data.importers.arrow import ColumnShaper
from tickrail.data.importers.chunk import ArrowChunk, ImportOptions, RecordChunk
from tickrail.data.importers.extra import require
from tickrail.data.importers.layout import find_layout
from tickrail.domain.ticks import BAR_DTYPE, QUOTE_DTYPE, TICK_DTYPE, TRADE_DTYPE
from tickrail.errors import ImportFormatError

__all__ = ["NumpyImporter"]

#: Records handed over at once; 8 MB of our own.
CHUNK_ROWS: Final = 131_072
_OURS: Final = (TICK_DTYPE, QUOTE_DTYPE, TRADE_DTYPE, BAR_DTYPE)


class NumpyImporter:
    """``.npy`` files; nothing in them is executed (no pickles)."""

    name: str = "numpy"
    order_by: str = "ts_event"

    def recognises(self, path: Path) -> bool:
        """By the suffix."""
        return path.suffix.lower() == ".npy"

    def chunks(self, path: Path, options: ImportOptions) -> Iterator[ArrowChunk | RecordChunk]:
        """The records of one file, mapped, not read."""
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            msg = f"{path}: is no .npy file of plain records, or a damaged one: {error}"
            raise ImportFormatError(msg) from None
        yield from self.chunks_of(array, options, str(path))

    def chunks_of(
        self, array: npt.NDArray[Any], options: ImportOptions, origin: str = "array"
    ) -> Iterator[ArrowChunk | RecordChunk]:
        """The records of an array."""
        if array.dtype.names is None or array.ndim != 1:
            msg = f"{origin}: expected one row of records with named fields, not {array.dtype} of shape {array.shape}"
            raise ImportFormatError(
                msg, hint="numpy.rec.fromarrays([...], names='ts_event,bid,ask') makes such records"
            )
        ours = any(array.dtype == dtype for dtype in _OURS)
        yield from (_records if ours else _fields)(array, options, origin)

    def notes(self) -> dict[str, int]:
        """Nothing is left out."""
        return {}


def _records(array: npt.NDArray[Any], options: ImportOptions, origin: str) -> Iterator[RecordChunk]:
    if options.instrument is None:
        msg = f"{origin}: tick records count through a list of instruments that the array does not hold"
        raise ImportFormatError(
            msg, hint="name them in that order: --instrument EURUSD.OANDA,XAUUSD.OANDA (instrument=)"
        )
    instruments = options.instrument.split(",")
    for start in range(0, len(array), CHUNK_ROWS):
        part = array[start : start + CHUNK_ROWS]
        done = (start + len(part)) * array.dtype.itemsize
        yield RecordChunk(np.asarray(part), instruments, origin, first_row=start + 1, bytes_done=done)


def _fields(array: npt.NDArray[Any], options: ImportOptions, origin: str) -> Iterator[ArrowChunk]:
    pa = require("pyarrow")
    layout = find_layout(array.dtype.names or (), options, origin)
    shaper = ColumnShaper(layout, options, origin)
    names = sorted(set(layout.columns.values()))
    for start in range(0, len(array), CHUNK_ROWS):
        part = array[start : start + CHUNK_ROWS]
        batch = pa.RecordBatch.from_arrays([_column(part[name]) for name in names], names=names)
        yield shaper.chunk(batch, bytes_done=(start + len(part)) * array.dtype.itemsize)


def _column(field: npt.NDArray[Any]) -> Any:
    plain = field.astype(str) if field.dtype.kind == "S" else np.ascontiguousarray(field)
    return require("pyarrow").array(plain.astype(plain.dtype.newbyteorder("="), copy=False))
