"""Text in files as they come: plain, gzipped, or the one member of a zip; and CSV rows streamed out of it."""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, Any, Final, cast

from tickrail.data.importers.extra import require
from tickrail.errors import ImportFormatError

__all__ = ["csv_batches", "damage_named", "open_text"]

#: Bytes of text that are parsed at once; with the columns made of them, what an import holds of a file of any size.
BLOCK_BYTES: Final = 4 << 20
#: Unpacked at once: line by line, the readers of gzip and zip take a microsecond more a line than a buffer.
_BUFFER_BYTES: Final = 1 << 18
_ROW: Final = re.compile(r"Row #(\d+): ")
_COLUMN: Final = re.compile(r"In CSV column #(\d+): ")
#: Tried in turn on times that are neither ISO 8601 nor numbers.
_OTHER_TIMES: Final = ("%Y.%m.%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y.%m.%d %H:%M")


@contextmanager
def open_text(path: Path) -> Iterator[tuple[IO[bytes], Callable[[], int]]]:
    """The text of ``path``, unpacked while it is read, and how many bytes of the file were read so far.

    Raises:
        ImportFormatError: A zip that is damaged or does not hold one file.
    """
    with damage_named(path), path.open("rb") as raw:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(raw) as archive, _buffered(archive.open(_only_member(archive, path))) as member:
                yield member, raw.tell
        elif path.suffix.lower() == ".gz":
            with _buffered(gzip.GzipFile(fileobj=raw)) as unpacked:
                yield unpacked, raw.tell
        else:
            yield raw, raw.tell


def _buffered(unpacked: object) -> IO[bytes]:
    """Closes what it reads from."""
    return BufferedReader(cast("RawIOBase", unpacked), _BUFFER_BYTES)


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """What unpackers raise at damage becomes an error that names the file."""
    try:
        yield
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        kind = "zip" if path.suffix.lower() == ".zip" else "gzip"
        msg = f"{path}: is no {kind} file, or a damaged one: {error}"
        raise ImportFormatError(msg, hint="download or copy it again; nothing was written") from None


def _only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    files = [info for info in archive.infolist() if not info.is_dir()]
    tables = [info for info in files if info.filename.lower().endswith((".csv", ".txt"))] or files
    if len(tables) != 1:
        names = ", ".join(info.filename for info in tables[:5]) or "nothing"
        msg = f"{path}: expected one CSV file in the zip, not {len(tables)} ({names})"
        raise ImportFormatError(msg)
    return tables[0]


def csv_batches(
    file: IO[bytes],
    names: Sequence[str],
    types: Mapping[str, Any],
    origin: str,
    *,
    skip_lines: int = 0,
    delimiter: str = ",",
    quoted: bool = True,
) -> Iterator[tuple[Any, int]]:
    """Record batches of the columns in ``types`` with the line of their first row; a block at a time.

    Args:
        file: Text, at its beginning.
        names: Of all columns, in the order of the file.
        types: Column to Arrow type; other columns are not parsed.
        origin: For messages.
        skip_lines: Lines before the first row.
        delimiter: Between columns.
        quoted: Whether a value may stand in quotation marks; dumps have none, and a row is read 5 % faster so.

    Raises:
        ImportFormatError: A row with another number of columns, or a value that is none of its type; names the line.
    """
    pa, csv = require("pyarrow"), require("pyarrow.csv")
    line = 1 + skip_lines
    try:
        reader = csv.open_csv(
            file,
            # One thread: its errors name the row, and the writer's check costs no more than what a second would save.
            read_options=csv.ReadOptions(
                use_threads=False, block_size=BLOCK_BYTES, column_names=list(names), skip_rows=skip_lines
            ),
            parse_options=csv.ParseOptions(delimiter=delimiter, quote_char='"' if quoted else False),
            convert_options=csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                strings_can_be_null=True,
                timestamp_parsers=[csv.ISO8601, *_OTHER_TIMES],
            ),
        )
        for batch in reader:
            if len(batch):
                yield batch, line
            line += len(batch)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" not in str(error):
            raise _bad_line(error, names, origin) from None


def _bad_line(error: BaseException, names: Sequence[str], origin: str) -> ImportFormatError:
    text = str(error).partition("\n")[0]
    row, column = _ROW.search(text), _COLUMN.search(text)
    place = f"{origin}:{row[1]}" if row else origin
    said = _COLUMN.sub("", _ROW.sub("", text)).removeprefix("CSV parse error: ").removeprefix("CSV conversion error ")
    if column is not None:
        said = f"column '{names[int(column[1])]}': {said}"
    return ImportFormatError(f"{place}: {said}")
