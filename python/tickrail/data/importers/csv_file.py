"""CSV of any layout: with a header or without, plain, gzipped or zipped, its columns mapped or guessed."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tickrail.data.importers.chunk import ArrowChunk, ImportOptions
from tickrail.data.importers.layout import Layout, bar_shift, find_layout, unit_by_digits
from tickrail.data.importers.local_times import LocalTimes
from tickrail.data.importers.text_files import csv_batches, open_text
from tickrail.data.importers.zones import zone_of
from tickrail.errors import ImportFormatError

__all__ = ["CsvImporter"]

_SUFFIXES: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zip")
_DELIMITERS: Final = ",;\t|"
#: Rows that are looked at to tell header, delimiter and types.
SAMPLE_ROWS: Final = 100
#: Bytes of a sample: a hundred rows, and lines of any CSV of ticks.
_SAMPLE_BYTES: Final = 65_536
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|inf", re.IGNORECASE)
#: A zone follows the time of day; what follows a date alone is its own.
_ZONED: Final = re.compile(r"[ T]\d\d(:?\d\d.*)?(Z|[+-]\d\d(:?\d\d)?)$", re.IGNORECASE)
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class _Sample:
    names: list[str]
    rows: list[list[str]]
    skip_lines: int
    delimiter: str

    def values(self, column: str) -> list[str]:
        place = self.names.index(column)
        return [text for row in self.rows if place < len(row) and (text := row[place].strip())]


class CsvImporter:
    """CSV with a mapping of columns; columns without a header are called by their number, from 1."""

    name: str = "csv"
    order_by: str = "ts_event"

    def recognises(self, path: Path) -> bool:
        """By the suffix."""
        return path.name.lower().endswith(_SUFFIXES)

    def chunks(self, path: Path, options: ImportOptions) -> Iterator[ArrowChunk]:
        """The rows of one file."""
        sample = _sample(path)
        layout = find_layout(sample.names, options, str(path))
        kinds = _kinds(sample, layout, options, str(path))
        times = _times(kinds, options, bar_shift(layout, options, str(path)))
        with open_text(path) as (file, bytes_done):
            batches = csv_batches(
                file,
                sample.names,
                kinds,
                str(path),
                shifts=times.shifts,
                skip_lines=sample.skip_lines,
                delimiter=sample.delimiter,
            )
            for batch in batches:
                yield ArrowChunk(
                    stream=times.in_utc(batch),
                    kind=layout.kind,
                    columns=layout.columns,
                    origin=str(path),
                    first_row=batch.first_line,
                    instrument=options.instrument,
                    bytes_done=bytes_done(),
                )

    def notes(self) -> dict[str, int]:
        """Nothing is left out."""
        return {}


def _sample(path: Path) -> _Sample:
    lines = _first_lines(path)
    above = next((place for place, line in enumerate(lines) if line.strip()), 0)
    lines = [line for line in lines if line.strip()]
    if not lines:
        msg = f"{path}: is empty"
        raise ImportFormatError(msg)
    delimiter = max(_DELIMITERS, key=lines[0].count)
    rows = _split(lines, delimiter, str(path))
    first = [name.strip() for name in rows[0]]
    if any(_NUMBER.fullmatch(text) for text in first):
        return _Sample([str(place + 1) for place in range(len(first))], rows, 0, delimiter)
    first = [name or str(place) for place, name in enumerate(first, 1)]  # an index, or a delimiter at the end of rows
    if len(set(first)) < len(first):
        twice = next(name for name in first if first.count(name) > 1)
        msg = f"{path}:1: two columns are called '{twice}'"
        raise ImportFormatError(msg)
    return _Sample(first, rows[1:], above + 1, delimiter)


def _first_lines(path: Path) -> list[str]:
    """The first lines of a file, whatever ends them."""
    with open_text(path) as (file, _):
        block = file.read(_SAMPLE_BYTES)
        is_whole = not file.read(1)
    if block.startswith(_UTF16):
        msg = f"{path}: is text in UTF-16"
        raise ImportFormatError(msg, hint="save it as UTF-8")
    lines = _LINE_END.split(block.decode("utf-8-sig", "replace"))
    return (lines if is_whole or len(lines) == 1 else lines[:-1])[:SAMPLE_ROWS]


def _split(lines: Sequence[str], delimiter: str, origin: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error as error:
        msg = f"{origin}: is no CSV: {error}"
        raise ImportFormatError(msg) from None


def _kinds(sample: _Sample, layout: Layout, options: ImportOptions, origin: str) -> dict[str, str]:
    """Kinds of cells of the columns that are used."""
    kinds: dict[str, str] = {}
    unit = options.time_unit
    for name, column in layout.columns.items():
        values = sample.values(column)
        if name in {"ts_event", "ts_init"}:
            kinds[column], unit = _time_kind(values, unit, origin)
        elif name == "instrument":
            kinds[column] = "word"
        elif name == "side":
            kinds[column] = _side_kind(values)
        else:
            kinds[column] = "integer" if name == "sequence" else "number"
    return kinds


def _times(kinds: Mapping[str, str], options: ImportOptions, shift_ns: int) -> LocalTimes:
    local = [column for column, kind in kinds.items() if kind == "calendar"]
    other = [column for column in kinds if column not in local]
    zone = None if options.time_zone is None else zone_of(options.time_zone)
    return LocalTimes(local, other, zone, shift_ns=shift_ns)


def _time_kind(values: Sequence[str], unit: str | None, origin: str) -> tuple[str, str | None]:
    numbers = [text for text in values if text]
    if not numbers or not all(_NUMBER.fullmatch(text) for text in numbers):
        zoned = bool(values) and _ZONED.search(values[0]) is not None
        return ("calendar:zoned" if zoned else "calendar"), unit
    whole = values[0].partition(".")[0]
    if not whole.lstrip("+-").isdigit():
        msg = f"{origin}: '{values[0]}' is no time"
        raise ImportFormatError(msg)
    try:
        unit = unit or unit_by_digits(int(whole))
    except ImportFormatError as error:
        raise ImportFormatError(f"{origin}: {error.message}", hint=error.hint) from None
    return f"{unit}.", unit


def _side_kind(values: Sequence[str]) -> str:
    found = {text.lower() for text in values}
    if found and found <= {"true", "false"}:
        return "flag"
    return "integer" if found and all(text.isdigit() for text in found) else "word"
