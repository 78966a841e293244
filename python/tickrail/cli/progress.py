"""A progress bar on stderr, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["ProgressCallback", "progress_bar"]

ProgressCallback = Callable[[int, int | None], None]

REFRESH_S: Final = 0.1


@contextmanager
def progress_bar(title: str, *, wanted: bool = True) -> Iterator[ProgressCallback | None]:
    """A callback ``(done, total)`` that draws; ``None`` where nobody would see it.

    The bar draws when it is called and has no thread of its own: one that wakes during a run would take the
    interpreter lock from the dispatch thread.
    """
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task(title, total=None)
        drawn_at = 0.0

        def advance(done: int, total: int | None) -> None:
            nonlocal drawn_at
            now = time.monotonic()
            if now - drawn_at >= REFRESH_S or done == total:
                drawn_at = now
                with suppress(OSError):  # a terminal that is just being closed is no failure of the run
                    progress.update(task, completed=done, total=total, refresh=True)

        yield advance
