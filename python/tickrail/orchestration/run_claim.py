"""One run at a time in a run directory, where an environment asks for it: never two builds or configurations."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tickrail import _native
from tickrail.config import LoadedConfig
from tickrail.errors import RunDirectoryInUse

__all__ = ["CLAIM", "build_name", "claimed"]

CLAIM: Final = ".running.json"
MOST_BYTES: Final = 4_096


def build_name() -> str:
    """The version, and a hash of the native module: two builds of one version are two builds."""
    with open(_native.__file__, "rb") as file:  # noqa: PTH123
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{_native.build_info()['version']}-{digest[:16]}"


@contextmanager
def claimed(loaded: LoadedConfig, build: str) -> Iterator[Path]:
    """Hold the run directory of a configuration; the file says who holds it, and the system lets go of it at any end.

    The lock belongs to the open file, not to its existence: what a process that was killed leaves behind holds nobody.
    A folder that is made here goes again where the start fails.

    Raises:
        RunDirectoryInUse: Another run holds it.
        OSError: It cannot be written to.
    """
    folder = loaded.config.runtime.run_dir
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    mine = _facts(loaded, build)
    handle = os.open(folder / CLAIM, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _in_use(folder, mine, _read(handle)) from None
        text = json.dumps(mine).encode()
        os.ftruncate(handle, 0)
        os.pwrite(handle, text, 0)
        try:
            yield folder
        except BaseException:
            if is_new:
                _remove(folder)
            raise
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _remove(folder: Path) -> None:
    """Nothing is left of a start that failed, unless somebody has put something there meanwhile."""
    with suppress(OSError):
        (folder / CLAIM).unlink()
        folder.rmdir()


def _facts(loaded: LoadedConfig, build: str) -> dict[str, Any]:
    return {
        "env": loaded.env,
        "configuration_digest": loaded.digest.hex(),
        "build": build,
        "pid": os.getpid(),
        "host": platform.node(),
    }


def _read(handle: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(handle, MOST_BYTES, 0))
    except ValueError:  # it is being written
        return {}
    return found if isinstance(found, dict) else {}


def _in_use(folder: Path, mine: dict[str, Any], theirs: dict[str, Any]) -> RunDirectoryInUse:
    differing = [name for name in ("build", "configuration_digest") if theirs.get(name) != mine[name]]
    words = {"build": "another build", "configuration_digest": "another configuration"}
    other = " of ".join(words[name] for name in differing) or "the same configuration and build"
    who = f"process {theirs.get('pid', '?')} on {theirs.get('host', '?')}, environment '{theirs.get('env', '?')}'"
    return RunDirectoryInUse(
        f"run directory '{folder}' is in use by {other} ({who})",
        folder=str(folder),
        holder=theirs,
        hint="stop that run, or give this one a run_dir of its own",
    )
