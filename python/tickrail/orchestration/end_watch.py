"""The end of a run in a process that nobody may end: its waits are given up in time, and what hangs is named."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["EndWatch"]

logger = logging.getLogger("tickrail.shutdown")


class EndWatch:
    """Looks now and then whether a run that is to stop takes too long.

    Args:
        stops: Whether it was told to, by whomever.
        hurry: Gives up what its end waits for.
        deadline_s: How long all of it may take.

    Thread safety: any thread.
    """

    def __init__(self, stops: Callable[[], bool], hurry: Callable[[], object], deadline_s: float) -> None:
        self._stops, self._hurry, self._deadline_s = stops, hurry, deadline_s
        self._since_s: float | None = None
        self._is_late = False

    def look(self, thread: int | None) -> None:
        """``thread`` is the one that ends the run."""
        if self._since_s is None and self._stops():
            self._since_s = time.monotonic()
        if self._since_s is not None and not self._is_late and self._left_s() <= 0.0:
            self._is_late = True
            self._hurry()
            self._say("it is given up what the run still waits for", thread)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Watch what runs inside, which is the last of it."""
        thread = threading.get_ident()
        left_s = self._deadline_s if self._since_s is None else max(self._left_s(), 0.0)
        late = threading.Timer(left_s, self._say, ("services are still being closed", thread))
        late.daemon = True
        with suppress(RuntimeError):  # no thread can be had while the interpreter ends
            late.start()
        try:
            yield
        finally:
            late.cancel()
            with suppress(RuntimeError):
                late.join()  # at once: nothing is left of it

    def _left_s(self) -> float:
        assert self._since_s is not None, "asked of a run that stops"
        return self._deadline_s - (time.monotonic() - self._since_s)

    def _say(self, what: str, thread: int | None) -> None:
        frame = None if thread is None else sys._current_frames().get(thread)
        stack = "(no Python frame)" if frame is None else "".join(traceback.format_stack(frame))
        logger.error("the shutdown has had its time (%g s): %s; it is here:\n%s", self._deadline_s, what, stack)
