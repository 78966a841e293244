"""``Lanes``: the way of a command to the loop, as the bus sees it."""

from __future__ import annotations

from typing import Final, Protocol

__all__ = ["AGAIN_S", "ELSEWHERE", "FULL", "NO_RUN", "ON_IT", "OVER", "Lanes", "here"]

NO_RUN, ON_IT, ELSEWHERE = 0, 1, 2
"""Where a caller stands."""
FULL, OVER = 1, 2
"""Why a command was not sent."""
AGAIN_S: Final = 0.001
"""How long a coroutine waits before it looks again for room in a lane, as senders on threads do."""


class Lanes(Protocol):
    """The native lanes, or a test's."""

    def push(self, lane: int, strategy: int | None, payload: bytes, attachment: object, wait_s: float, /) -> int:
        """Send; 0: sent, ``FULL``: the lane is, ``OVER``: the run is."""
        ...

    def later(self, attachment: object, /) -> None:
        """Call the handler of ``attachment`` at the end of the present step."""
        ...

    def standing(self) -> int:
        """Where the caller stands: ``NO_RUN`` goes on, ``ON_IT`` is the dispatch thread, or it is ``ELSEWHERE``."""
        ...


def here() -> int:
    """Where everybody stands whose bus has no lanes."""
    return ON_IT
