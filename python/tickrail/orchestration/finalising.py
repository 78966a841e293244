"""A finaliser that takes too long is named, with the line that it is at; nobody can end it but the process."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

import msgspec

__all__ = ["FINALISER_DEADLINE_S", "FinaliserLate", "FinaliserWatch", "OnLate", "log_late"]

LOG: Final = logging.getLogger("tickrail.container")
#: A fifth of the deadline of a whole shutdown: one that takes longer leaves too little to the others.
FINALISER_DEADLINE_S: Final = 5.0
JOIN_S: Final = 1.0


class FinaliserLate(msgspec.Struct, frozen=True):
    """A finaliser has run for longer than it may, and still does.

    Attributes:
        what: The key of the object.
        place: ``file:line`` where it was registered.
        deadline_s: How long it may take.
        stack: Where it is, innermost last.
    """

    what: str
    place: str
    deadline_s: float
    stack: tuple[str, ...]

    def __str__(self) -> str:
        at = f" at {self.stack[-1]}" if self.stack else ""
        return f"the finaliser of {self.what} ({self.place}) has been running for {self.deadline_s:g} s{at}"


OnLate: TypeAlias = Callable[[FinaliserLate], object]


def log_late(late: FinaliserLate) -> None:
    """Say so in the log."""
    LOG.warning("%s", late)


class FinaliserWatch:
    """Watches one finaliser after the other.

    Args:
        deadline_s: How long each may take.
        on_late: Told of each that takes longer, on a thread of its own.
    """

    def __init__(self, deadline_s: float, on_late: OnLate) -> None:
        self._deadline_s = deadline_s
        self._on_late = on_late

    @contextmanager
    def over(self, what: str, place: str) -> Iterator[None]:
        """Watch what runs inside."""
        thread = threading.get_ident()
        timer = threading.Timer(self._deadline_s, self._report, (what, place, thread))
        timer.daemon = True
        with contextlib.suppress(RuntimeError):  # no thread can be had while the interpreter ends
            timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with contextlib.suppress(RuntimeError):
                timer.join(JOIN_S)  # at once, unless it is telling: nothing is left of it

    def _report(self, what: str, place: str, thread: int) -> None:
        frame = sys._current_frames().get(thread)
        stack = () if frame is None else tuple(f"{one.filename}:{one.lineno}" for one in traceback.extract_stack(frame))
        self._on_late(FinaliserLate(what, place, self._deadline_s, stack))
