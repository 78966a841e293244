"""Time, as a strategy has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from tickrail._native import TimerEvent, TimerHandle, TimerInfo

__all__ = ["Clock", "TimerCallback", "TimerEvent", "TimerHandle", "TimerInfo"]

TimerCallback: TypeAlias = Callable[[TimerEvent], object]
"""What a timer calls, with the event of its firing."""


@runtime_checkable
class Clock(Protocol):
    """Time that stands still within a step, and timers; every ``Strategy`` is one, in a backtest and live.

    A timer fires on the dispatch thread, between two ticks. In a backtest it fires at its own time, after every tick of
    that time and before the first later one. Live it is never early; where it comes so late that several of its times
    have passed, they are merged into one firing whose ``missed`` counts the others. At equal times timers fire in the
    order in which they were set. A repeating timer never drifts: ``due_ns`` is the first time plus a whole number of
    intervals.

    All times are int ns UTC, all spans int ns. What is refused raises ``TimerRefused``, and nothing has changed then: a
    start in the past, an interval below 1_000 ns, a negative delay, an end before the first firing, a name that another
    timer of the strategy has, more than 1,048,576 timers.

    Threads: dispatch thread only; elsewhere the calls raise ``WrongThread``.
    """

    @property
    def now_ns(self) -> int:
        """The time of the step, int ns UTC."""
        ...

    def schedule_at(self, ts_ns: int, callback: TimerCallback | None = None, *, name: str | None = None) -> TimerHandle:
        """Call ``callback`` (default: ``on_timer``) once at ``ts_ns``, or in the next step if that has passed."""
        ...

    def schedule_after(
        self, delay_ns: int, callback: TimerCallback | None = None, *, name: str | None = None
    ) -> TimerHandle:
        """Call ``callback`` (default: ``on_timer``) once, ``delay_ns`` from now; 0 means in the next step."""
        ...

    def schedule_every(
        self,
        interval_ns: int,
        callback: TimerCallback | None = None,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        name: str | None = None,
    ) -> TimerHandle:
        """Call ``callback`` (default: ``on_timer``) every ``interval_ns``, without drift.

        Args:
            interval_ns: The period, at least 1_000.
            callback: What is called with the ``TimerEvent``.
            start_ns: The first time, not in the past; one interval from now where it is left out.
            end_ns: The first time at which it does not fire any more.
            name: A name that no other timer of the strategy has at the same time.
        """
        ...

    def cancel_timer(self, name: str) -> bool:
        """Take the timer called ``name`` away; whether there was one. Handles have a ``cancel`` too."""
        ...

    def timers(self) -> Sequence[TimerInfo]:
        """The timers that are set, in the order in which they will fire."""
        ...
