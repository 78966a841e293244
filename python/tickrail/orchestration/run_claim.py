"""One run at a time in a run directory, where an environment asks for it: never two builds or configurations."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tickrail import _native
from tickrail.config import LoadedConfig
from tickrail.errors import RunDirectoryInUse
from tickrail.orchestration.lock_file import Held, LockFile

__all__ = ["CLAIM", "build_name", "claimed"]

CLAIM: Final = ".running.json"


def build_name() -> str:
    """The version, and a hash of the native module: two builds of one version are two builds."""
    with open(_native.__file__, "rb") as file:  # noqa: PTH123
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{_native.build_info()['version']}-{digest[:16]}"


@contextmanager
def claimed(loaded: LoadedConfig, build: str) -> Iterator[Path]:
    """Hold the run directory of a configuration; the file says who holds it, and the system lets go of it at any end.

    A folder that is made here goes again where the start fails.

    Raises:
        RunDirectoryInUse: Another run holds it.
        OSError: It cannot be written to.
    """
    folder = loaded.config.runtime.run_dir
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    mine = _facts(loaded, build)
    try:
        held = LockFile(folder / CLAIM, mine)
    except Held as found:
        raise _in_use(folder, mine, found.holder) from None
    with held:
        try:
            yield folder
        except BaseException:
            if is_new and held.is_held:
                _remove(folder)
            raise


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
