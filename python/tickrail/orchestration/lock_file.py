"""A file that one process holds, and that says who: the system lets go of it at any end of the process."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tickrail.orchestration.forks import keep_from_children

__all__ = ["Held", "LockFile"]

MOST_BYTES: Final = 4_096


class Held(Exception):
    """Somebody else holds the file.

    Attributes:
        holder: What he says of himself; empty where that cannot be read.
    """

    def __init__(self, holder: Mapping[str, Any]) -> None:
        super().__init__("held")
        self.holder = dict(holder)


class LockFile:
    """Holds ``path`` until it is closed, within this process or any.

    The lock belongs to the open file, not to its existence: what a process that was killed leaves behind holds nobody.
    A child that was forked off has closed the file and holds nothing.

    Args:
        path: In a folder that exists.
        facts: What is written into it for whoever comes later.

    Raises:
        Held: Somebody else holds it.
        OSError: It cannot be written to.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = _read(self._handle)
            os.close(self._handle)
            raise Held(found) from None
        except OSError:  # a file system without locks
            os.close(self._handle)
            raise
        keep_from_children(self, LockFile._forked)
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, json.dumps(facts).encode(), 0)

    def close(self) -> None:
        """Let others have it. Idempotent."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.ftruncate(handle, 0)
            # Whatever still has the file open, a child that no hook was called in.
            fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)

    @property
    def is_held(self) -> bool:
        """Whether this process holds it: not after ``close``, and in no child."""
        return self._handle is not None

    def _forked(self) -> None:
        # Nothing but this: file and lock are the parent's too.
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def _read(handle: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(handle, MOST_BYTES, 0))
    except ValueError:  # it is being written
        return {}
    return found if isinstance(found, dict) else {}
