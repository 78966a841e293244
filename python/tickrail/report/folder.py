"""Result folders and files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["write_file", "write_folder"]


def write_folder(
    folder: Path, tables: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], texts: Mapping[str, str]
) -> Path:
    """Write the files beside ``folder`` and rename; returns ``folder``, absolute.

    Raises:
        FileExistsError: ``folder`` exists and is not empty.
    """
    import numpy as np  # late: a run marks its beginning by a file, and has no result yet

    target = folder.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{folder} exists and is not an empty folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for name, table in tables.items():
            (work / name).write_text(json.dumps(table, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        for name, text in texts.items():
            (work / name).write_text(text, encoding="utf-8")
        for name, array in arrays.items():
            np.save(work / name, array, allow_pickle=False)
        work.chmod(0o777 & ~_umask())  # mkdtemp keeps others out, which nobody asked for here
        work.rename(target)  # onto an empty folder as well; onto one that was filled meanwhile it fails
    except BaseException:
        for name in (*tables, *texts, *arrays):  # by name: to list a folder takes a descriptor, and there may be none
            with suppress(OSError):
                (work / name).unlink(missing_ok=True)
        with suppress(OSError):
            work.rmdir()
        raise
    return target


def write_file(path: Path, text: str) -> Path:
    """Write ``text`` beside ``path`` and rename; returns ``path``, absolute. What was there before stays until then."""
    target = path.absolute()
    handle, work = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(work).chmod(0o666 & ~_umask())
        Path(work).replace(target)
    except BaseException:
        Path(work).unlink(missing_ok=True)
        raise
    return target


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
