"""What an importer hands to the writer: chunks of one source, in its own order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["ArrowChunk", "ImportOptions", "Importer", "RecordChunk"]


@dataclass(frozen=True, slots=True)
class ArrowChunk:
    """Columns of one kind of record.

    Attributes:
        stream: Anything with ``__arrow_c_stream__`` or ``__arrow_c_array__`` (a pyarrow record batch, for one).
        kind: ``"quote"``, ``"trade"`` or ``"bar"``.
        columns: Canonical name to column of the stream.
        origin: The file, as messages name it.
        first_row: Line (or row) number of the chunk's first record in the file, from 1.
        time_unit: Unit of integer times: ``"s"``, ``"ms"``, ``"us"``, ``"ns"``; ``None`` where times have a type.
        instrument: Names all records; ``None``: a column does.
        side_bool: What ``True`` means in a column of booleans: ``"buyer_maker"`` or ``"buy"``.
        bytes_done: How much of the source was read so far, for progress.
    """

    stream: Any
    kind: str
    columns: Mapping[str, str]
    origin: str
    first_row: int = 1
    time_unit: str | None = None
    instrument: str | None = None
    side_bool: str = "buyer_maker"
    bytes_done: int = 0


@dataclass(frozen=True, slots=True)
class RecordChunk:
    """Whole records (``TICK_DTYPE``), for sources that mix kinds.

    Attributes:
        records: The records; ``instrument`` counts through ``instruments``.
        instruments: Ids, or rows of an instrument table.
        origin: The file, as messages name it.
        first_row: Line number of the chunk's first record in the file, from 1.
        bytes_done: How much of the source was read so far, for progress.
    """

    records: npt.NDArray[np.void]
    instruments: list[str]
    origin: str
    first_row: int = 1
    bytes_done: int = 0


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the user said of the sources; ``None`` where nothing was said."""

    instrument: str | None = None
    venue: str | None = None
    time_zone: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    kind: str | None = None
    time_unit: str | None = None
    layout: str | None = None
    bar_duration_ns: int = 0
    bar_time: str = "close"


class Importer(Protocol):
    """One format. Streams its sources with bounded memory."""

    name: str
    """As ``--format`` names it."""
    order_by: str
    """The key that its files are in order of: ``"ts_event"`` or ``"ts_init"``."""

    def recognises(self, path: Path) -> bool:
        """Whether ``path`` looks like this format, by its name only."""
        ...

    def chunks(self, path: Path, options: ImportOptions) -> Iterator[ArrowChunk | RecordChunk]:
        """The records of one file, in its order.

        Raises:
            ImportFormatError: The file does not have the layout; names file, line, and what was expected.
        """
        ...

    def notes(self) -> dict[str, int]:
        """What was left out on purpose since the last call, counted by name (depth messages, for one)."""
        ...
