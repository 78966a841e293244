"""Which files an import reads, of which format, in which order."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tickrail.data.importers.registry import format_names, importer_for, importer_named
from tickrail.errors import ImportFormatError

__all__ = ["SourceFiles", "find_sources"]

_DATE: Final = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_]?(\d\d)(?:[-_]?(\d\d))?(?!\d)")


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The files of one import.

    Attributes:
        format: The name of their format.
        paths: In the order in which they are read: by the date in their name, then by name.
        passed_over: Files in the given folders that are of no format.
    """

    format: str
    paths: Sequence[Path]
    passed_over: int = 0

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(path.stat().st_size for path in self.paths)


def find_sources(sources: Iterable[Path], format_name: str | None) -> SourceFiles:
    """Walk the folders, tell the format from the names, sort.

    Raises:
        FileNotFoundError: A source does not exist.
        ImportFormatError: No format recognises a file, several do, a file is empty, or there is none.
    """
    given = list(sources)
    found: dict[Path, str] = {}
    passed_over = 0
    for source in given:
        for path in _files(source):
            name = _format_of(path, format_name, named=path == source)
            if name is None:
                passed_over += 1
            else:
                found.setdefault(path, name)
    formats = sorted(set(found.values()))
    if not found:
        raise _nothing(given, format_name)
    if len(formats) > 1:
        msg = f"the sources are of several formats: {', '.join(formats)}"
        raise ImportFormatError(msg, hint=f"import each by itself: --format {formats[0]} (format=)")
    for path in found:
        if path.stat().st_size == 0:
            msg = f"{path}: is empty"
            raise ImportFormatError(msg)
    return SourceFiles(formats[0], sorted(found, key=_place), passed_over)


def _files(source: Path) -> Iterable[Path]:
    if not source.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
    if not source.is_dir():
        return [source]
    inside = (path for path in source.rglob("*") if path.is_file())
    return sorted(path for path in inside if not any(part.startswith(".") for part in path.relative_to(source).parts))


def _format_of(path: Path, format_name: str | None, *, named: bool) -> str | None:
    """The format of one file; a file that the user named has the format that the user said."""
    if format_name is not None:
        return format_name if importer_named(format_name).recognises(path) or named else None
    found = importer_for(path)
    if found is None and named:
        msg = f"{path}: its name does not tell its format"
        raise ImportFormatError(msg, hint=f"say --format with one of {', '.join(sorted(format_names()))} (format=)")
    return found


def _nothing(given: Sequence[Path], format_name: str | None) -> ImportFormatError:
    places = ", ".join(map(str, given)) or "the empty list of sources"
    what = "a known format" if format_name is None else f"the format {format_name}"
    return ImportFormatError(f"{places}: there is no file of {what}")


def _place(path: Path) -> tuple[bool, str, str]:
    found = _DATE.search(path.name)
    return (found is None, "" if found is None else "".join(part or "" for part in found.groups()), str(path))
