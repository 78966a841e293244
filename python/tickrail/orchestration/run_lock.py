"""One process at a time uses a folder of states: two that did would overwrite each other's."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Final

from tickrail._native import build_info
from tickrail.errors import BootstrapFailed
from tickrail.orchestration.forks import keep_from_children

__all__ = ["RunLock"]

NAME: Final = ".owner.json"
VERSION: Final = str(build_info()["version"])


class RunLock:
    """Holds ``folder`` for this process, until ``release`` or the end of the process.

    Args:
        folder: Made where it is not there.
        configuration: Digest of the configuration, said to whoever comes later.

    Raises:
        BootstrapFailed: Another process, or another runtime of this one, holds it.
    """

    def __init__(self, folder: Path, configuration: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / NAME
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            said = os.pread(self._file, 4_096, 0)
            os.close(self._file)
            raise BootstrapFailed(
                f"the state folder {folder} is in use by {_owner(said)}; this is configuration {configuration[:12]},"
                f" tickrail {VERSION}",
                hint="give each process a runtime.state_dir of its own",
            ) from None
        self._is_held = True
        keep_from_children(self, RunLock._forked)
        owner = {"process": os.getpid(), "configuration": configuration[:12], "version": VERSION}
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(owner).encode(), 0)

    def release(self) -> None:
        """Let others have it."""
        if self._is_held:
            self._is_held = False
            fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)

    def _forked(self) -> None:
        if self._is_held:
            self._is_held = False
            os.close(self._file)


def _owner(said: bytes) -> str:
    try:
        owner = json.loads(said)
        return f"process {owner['process']} (configuration {owner['configuration']}, tickrail {owner['version']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
