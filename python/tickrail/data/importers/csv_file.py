"""CSV of any layout: with a header or without, plain, gzipped or zipped, its columns mapped or guessed."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from tickrail.data.importers.arrow import ColumnShaper
from tickrail.data.importers.chunk import ArrowChunk, ImportOptions
from tickrail.data.importers.extra import require
from tickrail.data.importers.layout import Layout, find_layout, unit_by_digits
from tickrail.data.importers.text_files import csv_batches, open_text
from tickrail.data.importers.times import DIGITS
from tickrail.errors import ImportFormatError

__all__ = ["CsvImporter"]

_SUFFIXES: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zip")
_DELIMITERS: Final = ",;\t|"
#: Rows that are looked at to tell header, delimiter and types.
SAMPLE_ROWS: Final = 100
#: Longest line of a sample: what is longer is no CSV of ticks.
_LONGEST_LINE: Final = 65_536
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|inf|", re.IGNORECASE)
_ZONED: Final = re.compile(r"\d[ T]?\d.*(Z|[+-]\d\d(:?\d\d)?)$")


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
        types, unit = _types(sample, layout, options, str(path))
        shaper = ColumnShaper(layout, replace(options, time_unit=unit), str(path))
        with open_text(path) as (file, bytes_done):
            batches = csv_batches(
                file,
                sample.names,
                types,
                str(path),
                skip_lines=sample.skip_lines,
                delimiter=sample.delimiter,
            )
            for batch, line in batches:
                yield shaper.chunk(batch, first_row=line, bytes_done=bytes_done())

    def notes(self) -> dict[str, int]:
        """Nothing is left out."""
        return {}


def _sample(path: Path) -> _Sample:
    with open_text(path) as (file, _):
        lines = [file.readline(_LONGEST_LINE).decode("utf-8-sig", "replace") for _ in range(SAMPLE_ROWS)]
    lines = [line for line in lines if line.strip()]
    if not lines:
        msg = f"{path}: is empty"
        raise ImportFormatError(msg)
    delimiter = max(_DELIMITERS, key=lines[0].count)
    rows = list(islice(csv.reader(lines, delimiter=delimiter), SAMPLE_ROWS))
    first = [name.strip() for name in rows[0]]
    if any(_NUMBER.fullmatch(text) for text in first):
        return _Sample([str(place + 1) for place in range(len(first))], rows, 0, delimiter)
    if len(set(first)) < len(first):
        twice = next(name for name in first if first.count(name) > 1)
        msg = f"{path}:1: two columns are called '{twice}'"
        raise ImportFormatError(msg)
    return _Sample(first, rows[1:], 1, delimiter)


def _types(sample: _Sample, layout: Layout, options: ImportOptions, origin: str) -> tuple[dict[str, Any], str | None]:
    """Arrow types of the columns that are used, and the unit of its times where they are numbers."""
    pa = require("pyarrow")
    types: dict[str, Any] = {}
    unit = options.time_unit
    for name, column in layout.columns.items():
        values = sample.values(column)
        if name in {"ts_event", "ts_init"}:
            types[column], unit = _time_type(values, unit, origin)
        elif name == "instrument":
            types[column] = pa.dictionary(pa.int32(), pa.string())
        elif name == "side":
            types[column] = _side_type(values)
        else:
            types[column] = pa.int64() if name == "sequence" else pa.float64()
    return types, unit


def _time_type(values: Sequence[str], unit: str | None, origin: str) -> tuple[Any, str | None]:
    pa = require("pyarrow")
    if not values or not all(_NUMBER.fullmatch(text) for text in values):
        zoned = bool(values) and _ZONED.search(values[0]) is not None
        return pa.timestamp("ns", tz="UTC" if zoned else None), unit
    whole = values[0].partition(".")[0]
    if not whole.lstrip("+-").isdigit():
        msg = f"{origin}: '{values[0]}' is no time"
        raise ImportFormatError(msg)
    unit = unit or unit_by_digits(int(whole))
    fraction = any("." in text for text in values)
    # A decimal keeps what a float would round: seconds with nine places are exact nanoseconds.
    return (pa.decimal128(28, DIGITS[unit]) if fraction else pa.int64()), unit


def _side_type(values: Sequence[str]) -> Any:
    pa = require("pyarrow")
    found = {text.lower() for text in values}
    if found and found <= {"true", "false"}:
        return pa.bool_()
    return pa.int64() if found and all(text.isdigit() for text in found) else pa.dictionary(pa.int32(), pa.string())
