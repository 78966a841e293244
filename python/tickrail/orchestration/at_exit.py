"""Runs on daemon threads end before the interpreter does: it ends such a thread wherever it next asks for the GIL.

Within native code that is no end but an abort of the whole process, after its work was done and with a core dump.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["stopped_at_exit"]

PATIENCE_S: Final = 5.0
"""How long the interpreter waits for all of them; a handler that sleeps longer does not wake before the end."""
LOOK_S: Final = 0.05
"""It is waited for in pieces: a process that was stopped meanwhile has lost one of them, and not its patience."""


class _Going:
    def __init__(self, stop: Callable[[], object]) -> None:
        self.stop = stop
        self.process = os.getpid()
        self.over = threading.Event()


_going: set[_Going] = set()


@contextmanager
def stopped_at_exit(stop: Callable[[], object]) -> Iterator[None]:
    """While the block runs on a daemon thread, the end of the interpreter calls ``stop`` and waits for the block.

    Other threads are waited for by the interpreter itself.
    """
    if not threading.current_thread().daemon:
        yield
        return
    run = _Going(stop)
    _going.add(run)
    try:
        yield
    finally:
        _going.discard(run)
        run.over.set()


@atexit.register
def _end() -> None:
    looks = round(PATIENCE_S / LOOK_S)
    mine = [run for run in list(_going) if run.process == os.getpid()]  # not those of a parent that was forked
    for run in mine:
        run.stop()
    for run in mine:
        while looks > 0 and not run.over.wait(LOOK_S):
            looks -= 1
