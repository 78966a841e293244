"""Parquet, Arrow IPC (``.arrow``, ``.feather``, streams) and any object with an Arrow stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tickrail.data.importers.chunk import ArrowChunk, ImportOptions
from tickrail.data.importers.extra import require
from tickrail.data.importers.layout import Layout, bar_shift, find_layout, unit_by_digits
from tickrail.data.importers.times import time_column
from tickrail.data.importers.zones import Zone, zone_of
from tickrail.errors import ImportFormatError

__all__ = ["ArrowImporter", "ColumnShaper"]

#: Rows decoded at once; a few MB, and enough that the calls do not count.
BATCH_ROWS: Final = 131_072
_PARQUET: Final = frozenset({".parquet", ".pq", ".parq"})
_IPC: Final = frozenset({".arrow", ".feather", ".ipc", ".arrows"})


class ColumnShaper:
    """Makes chunks of a source's batches: its columns under their canonical names, its times in ns UTC."""

    def __init__(self, layout: Layout, options: ImportOptions, origin: str) -> None:
        self.kind = layout.kind
        self._columns = layout.columns
        self._origin = origin
        self._instrument = options.instrument
        self._unit = options.time_unit
        self._zone: Zone | None = None if options.time_zone is None else zone_of(options.time_zone)
        self._shift_ns = bar_shift(layout, options, origin)
        self._row = 1
        self._names = {name: name for name in layout.columns}

    def chunk(self, batch: Any, *, bytes_done: int = 0) -> ArrowChunk:
        """``batch`` (a pyarrow record batch), whose first row follows on the last chunk's."""
        pa = require("pyarrow")
        arrays = {name: self._plain(batch.column(column)) for name, column in self._columns.items()}
        for name in ("ts_event", "ts_init"):
            if name in arrays:
                unit = self._unit or self._guess_unit(arrays[name])
                arrays[name] = time_column(arrays[name], unit, self._zone, self._shift_ns, self._origin)
        row, self._row = self._row, self._row + len(batch)
        return ArrowChunk(
            stream=pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays)),
            kind=self.kind,
            columns=self._names,
            origin=self._origin,
            first_row=row,
            time_unit="ns",
            instrument=self._instrument,
            bytes_done=bytes_done,
        )

    def _plain(self, column: Any) -> Any:
        return column.combine_chunks() if hasattr(column, "combine_chunks") else column

    def _guess_unit(self, column: Any) -> str | None:
        """By the first time of the source, and the same from then on."""
        pa = require("pyarrow")
        if not pa.types.is_integer(column.type):
            return None
        first = next((value for value in column.slice(0, 1_000).to_pylist() if value), None)
        self._unit = None if first is None else unit_by_digits(first)
        return self._unit


class ArrowImporter:
    """Tables in Arrow's formats, with a mapping of columns."""

    name: str = "arrow"
    order_by: str = "ts_event"

    def recognises(self, path: Path) -> bool:
        """By the suffix."""
        return path.suffix.lower() in _PARQUET | _IPC

    def chunks(self, path: Path, options: ImportOptions) -> Iterator[ArrowChunk]:
        """The rows of a Parquet or IPC file, only the columns that are used."""
        pa = require("pyarrow")
        try:
            if _is_parquet(path):
                yield from self._parquet(path, options)
            else:
                yield from self._ipc(path, options)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            msg = f"{path}: is no Parquet or Arrow file, or a damaged one: {_first_line(error)}"
            raise ImportFormatError(msg) from None
        except OSError as error:
            if error.errno is not None:
                raise
            msg = f"{path}: is damaged: {_first_line(error)}"
            raise ImportFormatError(msg) from None

    def chunks_of(self, source: Any, options: ImportOptions, origin: str = "arrow") -> Iterator[ArrowChunk]:
        """The rows of an object with ``__arrow_c_stream__``: polars, pandas, duckdb, pyarrow."""
        reader = require("pyarrow").RecordBatchReader.from_stream(source)
        shaper = ColumnShaper(find_layout(reader.schema.names, options, origin), options, origin)
        for batch in reader:
            yield from (shaper.chunk(batch.slice(start, BATCH_ROWS)) for start in range(0, len(batch), BATCH_ROWS))

    def notes(self) -> dict[str, int]:
        """Nothing is left out."""
        return {}

    def _parquet(self, path: Path, options: ImportOptions) -> Iterator[ArrowChunk]:
        size = path.stat().st_size
        with require("pyarrow.parquet").ParquetFile(path) as file:
            layout = find_layout(file.schema_arrow.names, options, str(path))
            shaper = ColumnShaper(layout, options, str(path))
            rows, done = max(file.metadata.num_rows, 1), 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=sorted(set(layout.columns.values()))):
                done += len(batch)
                yield shaper.chunk(batch, bytes_done=size * done // rows)

    def _ipc(self, path: Path, options: ImportOptions) -> Iterator[ArrowChunk]:
        pa = require("pyarrow")
        with pa.memory_map(str(path)) as file:
            try:
                reader = pa.ipc.open_file(file)
                batches = (reader.get_batch(place) for place in range(reader.num_record_batches))
            except pa.ArrowInvalid:  # a stream has no footer
                file.seek(0)
                batches = reader = pa.ipc.open_stream(file)
            shaper = ColumnShaper(find_layout(reader.schema.names, options, str(path)), options, str(path))
            for batch in batches:
                done = file.tell()
                for start in range(0, len(batch), BATCH_ROWS):
                    yield shaper.chunk(batch.slice(start, BATCH_ROWS), bytes_done=done)


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
