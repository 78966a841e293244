"""``Stopwatch``: how long a run has been dispatched, over all the calls that drive it."""

from __future__ import annotations

import time

__all__ = ["Stopwatch"]


class Stopwatch:
    """Adds up the time spent within its blocks, which do not nest.

    Attributes:
        elapsed_s: In all, blocks that have ended.
    """

    __slots__ = ("_started", "elapsed_s")

    def __init__(self) -> None:
        self.elapsed_s = 0.0

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        self.elapsed_s += time.perf_counter() - self._started
