"""``Lanes``: the way of commands to the loop, and where their senders stand."""

from __future__ import annotations

from typing import Final, Protocol

__all__ = ["CALLED_BACK", "ELSEWHERE", "FULL", "NO_RUN", "ON_IT", "OVER", "Lanes", "here"]

NO_RUN: Final = 0
ON_IT: Final = 1
"""On the dispatch thread."""
ELSEWHERE: Final = 2
CALLED_BACK: Final = 3
"""On the dispatch thread too, in a callback of another thread: no part of the run, and no rerun has it."""

FULL: Final = 1
OVER: Final = 2


class Lanes(Protocol):
    """The way to the loop: the native lanes, or a test's."""

    def push(self, lane: int, strategy: int | None, payload: bytes, attachment: object, wait_s: float, /) -> int:
        """Send; 0: sent, 1: the lane is full, 2: the run is over."""
        ...

    def later(self, attachment: object, /) -> None:
        """Call the handler of ``attachment`` at the end of the present step."""
        ...

    def standing(self) -> int:
        """Where the caller stands: ``NO_RUN``, ``ON_IT``, ``ELSEWHERE`` or ``CALLED_BACK``."""
        ...


def here() -> int:
    """Where a caller stands if there is no loop: handlers are called on its own thread."""
    return ON_IT
