"""Text in files as they come: plain, gzipped, or the one member of a zip; and CSV rows streamed out of it."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, Final, cast

from tickrail._native import ColumnBatch, CsvReader
from tickrail.errors import ImportFormatError

__all__ = ["check_packing", "csv_batches", "damage_named", "open_text"]

#: Bytes of text that are read at once; with the columns made of them, what an import holds of a file of any size.
BLOCK_BYTES: Final = 1 << 20
#: Unpacked at once: line by line, the readers of gzip and zip take a microsecond more a line than a buffer.
_BUFFER_BYTES: Final = 1 << 18
#: How far a file is read for its checksum where something else is wrong with it: a second, for somebody waits.
_BLOCKS_READ_OUT: Final = 256
_PACKED: Final = frozenset({".zip", ".gz"})


@contextmanager
def open_text(path: Path) -> Iterator[tuple[IO[bytes], Callable[[], int]]]:
    """The text of ``path``, unpacked while it is read, and how many bytes of the file were read so far.

    Raises:
        ImportFormatError: A zip that is damaged or does not hold one file.
    """
    with damage_named(path), path.open("rb") as raw:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(raw) as archive, _unpacked(_opened(archive, path)) as member:
                yield member, raw.tell
        elif path.suffix.lower() == ".gz":
            with _unpacked(gzip.GzipFile(fileobj=raw)) as unpacked:
                yield unpacked, raw.tell
        else:
            yield raw, raw.tell


def check_packing(path: Path) -> None:
    """Read a packed file to its end, where its checksum is, if that is not far; anything else is passed over.

    Raises:
        ImportFormatError: It is damaged.
    """
    if path.suffix.lower() in _PACKED and path.is_file():
        with open_text(path) as (file, _):
            _read_out(file)


def _read_out(file: IO[bytes]) -> None:
    for _ in range(_BLOCKS_READ_OUT):
        if not file.read(BLOCK_BYTES):
            return


@contextmanager
def _unpacked(unpacker: object) -> Iterator[IO[bytes]]:
    """What ``unpacker`` makes, to its end where the text makes no sense: the checksum there may say why."""
    with BufferedReader(cast("RawIOBase", unpacker), _BUFFER_BYTES) as file:
        try:
            yield file
        except ImportFormatError:
            _read_out(file)
            raise


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """What unpackers raise at damage becomes an error that names the file."""
    try:
        yield
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        kind = "zip" if path.suffix.lower() == ".zip" else "gzip"
        msg = f"{path}: is no {kind} file, or a damaged one: {error}"
        raise ImportFormatError(msg, hint="download or copy it again; nothing was written") from None


def _opened(archive: zipfile.ZipFile, path: Path) -> IO[bytes]:
    member = _only_member(archive, path)
    try:
        return archive.open(member)
    except (RuntimeError, NotImplementedError) as error:  # a password, or a way of packing that zipfile does not know
        msg = f"{path}: {member.filename} cannot be unpacked: {error}"
        raise ImportFormatError(msg, hint="unpack it by hand, and import what comes out") from None


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
    kinds: Mapping[str, str],
    origin: str,
    *,
    shifts: Mapping[str, int] | None = None,
    skip_lines: int = 0,
    delimiter: str = ",",
    quoted: bool = True,
) -> Iterator[ColumnBatch]:
    """Batches of the columns in ``kinds``; each knows the line of its first row.

    Args:
        file: Text, at its beginning.
        names: Of all columns, in the order of the file.
        kinds: Column to kind of cell, as ``CsvReader`` names them; other columns are not parsed.
        origin: For messages.
        shifts: Column to what is added to its times, in ns.
        skip_lines: Lines before the first row.
        delimiter: Between columns.
        quoted: Whether a value may stand in quotation marks; the dumps of venues have none.

    Raises:
        ImportFormatError: A row with another number of columns, or a value that is none of its kind; names the line.
    """
    columns = [(name, kinds.get(name, "skip"), (shifts or {}).get(name, 0)) for name in names]
    reader = CsvReader(columns, origin=origin, delimiter=delimiter, quoted=quoted, skip_lines=skip_lines)
    block = b"begin"
    while block:
        block = file.read(BLOCK_BYTES)
        reader.feed(block)
        while (batch := reader.batch()) is not None:
            yield batch
