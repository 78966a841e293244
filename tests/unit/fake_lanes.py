"""``FakeLanes``: the way to a loop that never comes, for tests of the bus alone."""

from __future__ import annotations

from typing import Any

__all__ = ["FakeLanes"]


class FakeLanes:
    """Commands wait in ``sent`` until the test takes them.

    Args:
        room: How many may wait.
        standing: Where the bus is asked: before the run (0), on the loop's own thread (1), or on another one (2).
        after: How often a send is refused first, as for want of room.

    Attributes:
        sent: What was sent, or put off to the end of the step.
        over: Whether the run takes no more.
        attempts: How often somebody has tried to send.
        waits: How long each would have waited for room.
    """

    def __init__(self, room: int = 100_000, standing: int = 2, after: int = 0) -> None:
        self.room, self.stands, self.after = room, standing, after
        self.sent: list[Any] = []
        self.over = False
        self.attempts, self.waits = 0, list[float]()

    def push(self, lane: int, strategy: int | None, payload: bytes, attachment: object, wait_s: float, /) -> int:
        """0: sent, 1: full, 2: the run is over."""
        self.attempts += 1
        self.waits.append(wait_s)
        if self.over:
            return 2
        if self.attempts <= self.after or len(self.sent) >= self.room:
            return 1
        self.sent.append(attachment)
        return 0

    def later(self, attachment: object, /) -> None:
        """At the end of the step."""
        self.sent.append(attachment)

    def standing(self) -> int:
        """Where the caller is."""
        return self.stands
