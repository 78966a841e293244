"""Time, as a strategy has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from tickrail._native import TimerEvent, TimerHandle

__all__ = ["Clock"]


@runtime_checkable
class Clock(Protocol):
    """Time that stands still within a step; every ``Strategy`` is one.

    Threads: dispatch thread only; elsewhere the calls raise ``WrongThread``.
    """

    @property
    def now_ns(self) -> int:
        """The time of the step, int ns UTC."""
        ...

    def schedule_at(self, ts_ns: int, callback: Callable[[TimerEvent], object] | None = None) -> TimerHandle:
        """Call ``callback`` (default: ``on_timer``) once at ``ts_ns``, or in the next step if that has passed."""
        ...

    def schedule_every(
        self, interval_ns: int, callback: Callable[[TimerEvent], object] | None = None, *, start_ns: int | None = None
    ) -> TimerHandle:
        """Call ``callback`` every ``interval_ns``, first at ``start_ns`` (default: one interval from now)."""
        ...
