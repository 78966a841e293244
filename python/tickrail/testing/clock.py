"""A clock that the test turns: time passes when it says so, and never otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from tickrail._native import TimerEvent, TimerHandle, TimerInfo
from tickrail.orchestration.backtest import PullStrategy
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.ports.clock import TimerCallback
from tickrail.testing.fakes import Fake
from tickrail.testing.ticks import START_NS

__all__ = ["FakeClock"]


class FakeClock(Fake):
    """The clock of a simulation without data: the timers are the native ones, so they fire as in a backtest.

    >>> clock = FakeClock(start_ns=1_000)
    >>> handle = clock.schedule_every(1_000, name="beat")
    >>> [event.due_ns for event in clock.advance(3_000)]
    [2000, 3000, 4000]
    >>> clock.now_ns
    4000

    Args:
        start_ns: When it begins, int ns UTC.

    Attributes:
        fired: The events of timers that were set without a callback, the oldest first.

    Thread safety: the thread that made it; elsewhere calls raise ``WrongThread``.
    """

    def __init__(self, *, start_ns: int = START_NS) -> None:
        super().__init__()
        self.fired: list[TimerEvent] = []
        self._core = PullStrategy()
        self._run = TickDispatcher([])
        self._run.register_pull(self._core, "clock")
        self._turn(start_ns)

    @property
    def now_ns(self) -> int:
        """The time, int ns UTC."""
        return self._core.now_ns

    def schedule_at(self, ts_ns: int, callback: TimerCallback | None = None, *, name: str | None = None) -> TimerHandle:
        """Call ``callback`` once at ``ts_ns``, or with the next ``advance`` if that has passed."""
        self._note("schedule_at", ts_ns=ts_ns, name=name)
        return self._core.schedule_at(ts_ns, callback, name=name)

    def schedule_after(
        self, delay_ns: int, callback: TimerCallback | None = None, *, name: str | None = None
    ) -> TimerHandle:
        """Call ``callback`` once, ``delay_ns`` from now."""
        self._note("schedule_after", delay_ns=delay_ns, name=name)
        return self._core.schedule_after(delay_ns, callback, name=name)

    def schedule_every(
        self,
        interval_ns: int,
        callback: TimerCallback | None = None,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        name: str | None = None,
    ) -> TimerHandle:
        """Call ``callback`` every ``interval_ns``, without drift."""
        self._note("schedule_every", interval_ns=interval_ns, start_ns=start_ns, end_ns=end_ns, name=name)
        return self._core.schedule_every(interval_ns, callback, start_ns=start_ns, end_ns=end_ns, name=name)

    def cancel_timer(self, name: str) -> bool:
        """Take the timer called ``name`` away; whether there was one."""
        self._note("cancel_timer", name=name)
        return self._core.cancel_timer(name)

    def timers(self) -> Sequence[TimerInfo]:
        """The timers that are set, in the order in which they will fire."""
        return self._core.timers()

    # ---- for the test ------------------------------------------------------------------------------------------

    def advance(self, ns: int) -> list[TimerEvent]:
        """Let ``ns`` nanoseconds pass; see ``advance_to``."""
        return self.advance_to(self.now_ns + ns)

    def advance_to(self, ts_ns: int) -> list[TimerEvent]:
        """Let time pass up to ``ts_ns``, and call what is due until then, each at its own time.

        Returns:
            The events, among those in ``fired``, that came by it.

        Raises:
            ValueError: ``ts_ns`` has passed.
            Exception: Whatever a callback raises; time stands where it was raised, and no timer fires any more.
        """
        before = len(self.fired)
        self._turn(ts_ns)
        return self.fired[before:]

    def close(self) -> None:
        """Forget all timers; nothing can be set any more. Idempotent."""
        self._run.finish()

    def _turn(self, ts_ns: int) -> None:
        for _ in self._run.until(ts_ns):
            raise AssertionError("a clock without data has no ticks")
        self.fired.extend(self._core.fired)
        self._core.fired.clear()
        for raised in self._run.result().errors:
            if raised.exception is not None:
                raise raised.exception
