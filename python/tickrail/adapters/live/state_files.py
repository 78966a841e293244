"""States in files: one a strategy, JSON, whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, Final
from urllib.parse import quote

from tickrail.errors import StateError

__all__ = ["SCHEMA", "FileStateStore"]

SCHEMA: Final = 1
"""Version of the file's shape; a file of another one is refused, never guessed at."""
LONGEST_NAME: Final = 150  # file systems take 255 bytes, and a temporary file has a suffix
MAX_BYTES: Final = 64 * 1024 * 1024
SUFFIX: Final = ".state.json"
BESIDE: Final = ".tmp"


class FileStateStore:
    """Keeps each state in ``folder/NAME.state.json``; names are quoted as in URLs.

    A save writes a file beside the old one, syncs it and puts it in its place: after a crash there is the old state
    or the new one. The folder is made when the first state is saved. What a process left beside it that was killed in
    the midst of a save is removed with the first load or save; what somebody is writing is not, whoever that is.

    Args:
        folder: Where.

    Thread safety: any thread; saves of one process are made one after the other.
    """

    def __init__(self, *, folder: Path) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._is_swept = False

    def load(self, strategy: str) -> Mapping[str, Any]:
        """What was saved last; empty if nothing was.

        Raises:
            StateError: The file is damaged, of another schema, or cannot be read.
        """
        path = self.path(strategy)
        self._sweep()
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._error(path, f"cannot be read: {error.strerror}") from error
        if len(data) > MAX_BYTES:
            raise self._error(path, f"is larger than {MAX_BYTES} bytes")
        try:
            table = json.loads(data)
        except ValueError as error:
            raise self._error(path, f"is damaged: {error}") from None
        if not isinstance(table, dict) or not isinstance(table.get("state"), dict):
            raise self._error(path, "is no state file")
        if table.get("schema") != SCHEMA:
            raise self._error(path, f"has schema {table.get('schema')!r}; this version reads {SCHEMA}")
        if table.get("strategy") != strategy:
            raise self._error(path, f"is that of strategy {table.get('strategy')!r}")
        state: dict[str, Any] = table["state"]
        return state

    def save(self, strategy: str, state: Mapping[str, Any]) -> None:
        """Keep ``state``; an empty one removes the file.

        Raises:
            StateError: It has values that JSON does not know, or the file cannot be written. What was there stays.
        """
        path = self.path(strategy)
        try:
            table = {"schema": SCHEMA, "strategy": strategy, "state": dict(state)}
            text = json.dumps(table, allow_nan=False, ensure_ascii=False, indent=1)
        except (TypeError, ValueError, RecursionError) as error:
            raise StateError(
                f"the state of strategy {strategy} cannot be kept: {error}", hint="plain values that JSON knows"
            ) from None
        self._sweep()
        with self._lock:
            try:
                if state:
                    self._replace(path, text.encode(errors="surrogatepass"))
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise self._error(path, f"cannot be written: {error.strerror}") from error

    def path(self, strategy: str) -> Path:
        """The file of one strategy."""
        name = quote(strategy, safe="", errors="surrogatepass").replace(".", "%2E")
        if len(name) > LONGEST_NAME:
            name = f"{name[:80]}-{hashlib.sha256(strategy.encode(errors='surrogatepass')).hexdigest()}"
        return self.folder / f"{name}{SUFFIX}"

    def _replace(self, path: Path, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._beside(path) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(file.name).unlink()
                raise
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # the new name, too, is there after a crash
        finally:
            os.close(folder)

    def _beside(self, path: Path) -> IO[bytes]:
        """A new file, held until it is closed: what nobody holds is swept."""
        while True:
            file = NamedTemporaryFile(dir=self.folder, prefix=f".{path.name}.", suffix=BESIDE, delete=False)  # noqa: SIM115
            with contextlib.suppress(OSError):  # no locks in this file system, and so no sweeping
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:
                return file
            file.close()  # swept before it was held

    def _sweep(self) -> None:
        """Once, remove what processes left that were killed while they wrote."""
        with self._lock:
            if self._is_swept:
                return
            self._is_swept = True
            for path in self.folder.glob(f".*{SUFFIX}.*{BESIDE}"):
                with contextlib.suppress(OSError), path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()

    def _error(self, path: Path, what: str) -> StateError:
        return StateError(f"state file {path} {what}", hint="move it away to begin without a state")
