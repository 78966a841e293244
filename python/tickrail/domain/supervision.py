"""What becomes of a strategy that fails, and of handlers that take too long."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

__all__ = ["BY_DEFAULT", "HANDLER_LIMITS", "HandlerLimits", "OnError", "Supervision"]

OnError: TypeAlias = Literal["stop", "restart", "stop_runtime"]


class Supervision(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy's rule for its failures; by the clock of the loop, so that a rerun does the same.

    Attributes:
        on_error: ``stop``: it stays FAILED, and the others go on; ``restart``: a new object takes its place, as long as
            the budget lasts; ``stop_runtime``: the run stops.
        critical: Whether the run stops once the strategy stays FAILED.
        max_restarts: Most restarts within ``within_ns``; with the next failure the strategy stays FAILED.
        within_ns: The time over which restarts are counted.
        backoff_ns: How long the first restart waits; each further one within that time waits twice as long. From half
            of it to all of it, by the run's seed.
        max_backoff_ns: Longest wait.
    """

    on_error: OnError = "stop"
    critical: bool = False
    max_restarts: int = 1
    within_ns: int = 60_000_000_000
    backoff_ns: int = 1_000_000_000
    max_backoff_ns: int = 60_000_000_000


class HandlerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long handlers may take, wall time.

    Attributes:
        slow_ns: Calls that take longer are counted as slow.
        deadline_ns: Calls that take longer are stuck: reported with a stack, and broken off under the command line.
        last_deadline_ns: The same once the run is to stop, from then on or from the call's beginning, where sooner.
    """

    slow_ns: int = 100_000_000
    deadline_ns: int = 10_000_000_000
    last_deadline_ns: int = 5_000_000_000


BY_DEFAULT: Final = Supervision()
HANDLER_LIMITS: Final = HandlerLimits()
