"""A mark of the run that goes on: what a process that died leaves of itself, for the next run to find and to follow.

Beside the socket of ``tickrail ctl``, in one file for each run, held by a lock that ends with the process however it
ends. A mark that nobody holds is of a run that came to no end.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tickrail.errors import ConfigError
from tickrail.orchestration.lock_file import LockFile
from tickrail.report.folder import write_file

__all__ = ["ABANDONED", "CRASHED", "RunMark"]

logger = logging.getLogger("tickrail.orchestration")

CRASHED: Final = "CRASHED"
"""The process died: nobody wrote a result or a report."""
ABANDONED: Final = "ABANDONED"
"""The process was ended by its watchdog, which wrote a report."""
MARK: Final = ".run.json"
LEFT: Final = ".crashed.json"
NEEDED: Final = frozenset({"env", "pid", "host", "began", "report"})
MOST_BYTES: Final = 65_536


class RunMark:
    """Says which run goes on, until ``close`` or the end of the process. A context manager.

    The runs of its environment that came to no end are marked as what they are.

    Args:
        folder: Where the sockets of running processes lie.
        run_dir: Where results go.
        env: The environment: a run follows those of its own.
        facts: What is known of the run, ready for JSON.
        report: Where the watchdog writes what it had to abandon.

    Attributes:
        parent: Name of the last run of the environment that came to no end and that no other run has followed yet;
            ``parent + ".crashed.json"`` beside the results says what is known of it.

    Raises:
        ConfigError: A run of the same name goes on: its process has the same number, in another container.
        OSError: A folder cannot be written to.
    """

    def __init__(self, folder: Path, run_dir: Path, env: str, facts: Mapping[str, Any], *, report: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        run = f"{env}-{os.getpid()}"
        mine = {
            "run": run,
            "env": env,
            "pid": os.getpid(),
            "host": platform.node(),
            "began": datetime.now(UTC).isoformat(),
            "report": str(report),
            **facts,
        }
        self.parent = max([_left(run_dir, one, run) for one in _dead_runs(folder, env)], default=None)
        self._path = folder / f"{run}{MARK}"
        if _is_held(self._path):
            raise ConfigError(
                f"a run called {run} goes on in {run_dir}: its process has this one's number, in another container",
                hint="give each container a runtime.run_dir of its own",
            )
        # Under another name until it is held: what nobody holds would be taken for a dead one's.
        making = folder / f".{self._path.name}"
        self._held: LockFile | None = LockFile(making, {**mine, "parent": self.parent})
        making.replace(self._path)

    def close(self) -> None:
        """The run has come to its end. Idempotent."""
        held, self._held = self._held, None
        if held is not None and held.is_held:
            self._path.unlink(missing_ok=True)
            held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def _dead_runs(folder: Path, env: str) -> Iterator[dict[str, Any]]:
    """What the runs of an environment have left that came to no end; each is removed once it has been dealt with."""
    for path in sorted(folder.glob(f"{env}-*{MARK}")):
        with _unheld(path) as facts:
            # Another's name may begin with this one's, and what cannot be read is nobody's.
            if facts.get("env") == env and facts.keys() >= NEEDED:
                yield facts
                path.unlink(missing_ok=True)


def _is_held(path: Path) -> bool:
    """Whether a run that goes on has the mark."""
    with suppress(FileNotFoundError), path.open("rb") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def _unheld(path: Path) -> Iterator[dict[str, Any]]:
    """What a mark says that nobody holds, held meanwhile; nothing where somebody does."""
    handle = None
    found: Any = {}
    try:
        with suppress(OSError, ValueError):
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_ino == os.fstat(handle).st_ino:  # else another run has dealt with it
                found = json.loads(os.pread(handle, MOST_BYTES, 0))
        yield found if isinstance(found, dict) else {}
    finally:
        if handle is not None:
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)


def _left(run_dir: Path, facts: dict[str, Any], by: str) -> str:
    """Mark a run that came to no end, and say so; its name, by which later ones are sorted behind earlier ones."""
    began = datetime.fromisoformat(facts["began"])
    name = f"{facts['env']}-{began:%Y%m%dT%H%M%SZ}-{facts['pid']}"
    report = Path(facts["report"])
    told = report.exists() and report.stat().st_mtime >= began.timestamp()
    status = ABANDONED if told else CRASHED
    path = run_dir / f"{name}{LEFT}"
    write_file(path, json.dumps({"status": status, **facts, "followed_by": by}, indent=2) + "\n")
    what = f"had to be ended, see {facts['report']}" if told else "crashed: it left neither a result nor a report"
    who = f"process {facts['pid']} on {facts['host']}"
    logger.warning("run %s (%s) %s; this one follows it, and %s says what is known", name, who, what, path)
    return name
