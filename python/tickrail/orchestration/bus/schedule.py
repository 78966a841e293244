"""Commands that the loop's clock sends: scheduled by commands too, so that a rerun schedules and sends them again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from tickrail.domain.commands import CancelScheduled, Command, ScheduleCommand
from tickrail.domain.context import TRACE, correlated

if TYPE_CHECKING:
    from tickrail.orchestration.bus.receipt import Receipt

__all__ = ["Schedule", "Scheduled", "Timers"]

MAX_NS: Final = 2**63 - 1


class Timers(Protocol):
    """The loop's clock, on the dispatch thread: the native lanes."""

    def schedule(
        self,
        callback: Callable[[], object],
        /,
        *,
        at_ns: int | None = None,
        interval_ns: int = 0,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> int:
        """Call ``callback`` by the clock; the answer is what ``unschedule`` takes."""
        ...

    def unschedule(self, number: int, /) -> bool:
        """Call it no more; whether it was still to be called."""
        ...

    def now_ns(self) -> int:
        """The clock of the step."""
        ...


class Scheduled:
    """A command that is sent by the clock.

    Attributes:
        id: What it is called.
        receipt: Of the scheduling: ``result(timeout)`` raises what was wrong with it. ``None``: it was done at once.
    """

    def __init__(self, one: str, receipt: Receipt | None, send: Callable[[Command], Any]) -> None:
        self.id = one
        self.receipt = receipt
        self._send = send

    def cancel(self) -> None:
        """Send it no more; idempotent. From another thread this has its turn as a command does."""
        self._send(CancelScheduled(self.id))

    def __repr__(self) -> str:
        return f"<Scheduled {self.id}>"


class Schedule:
    """What is scheduled; its methods are handlers, on the dispatch thread.

    Args:
        timers: The clock.
        send: Handles a command that is due, by its bytes.
    """

    def __init__(self, timers: Timers, send: Callable[[bytes], object]) -> None:
        self._timers = timers
        self._send = send
        self._numbers: dict[str, int] = {}
        self._local = itertools.count(1)
        self._foreign = itertools.count(1)

    def name(self, *, local: bool) -> str:
        """A name for one more. What other threads schedule has names of its own: in a rerun these come as recorded."""
        return f"handler-{next(self._local)}" if local else f"sender-{next(self._foreign)}"

    def set(self, command: ScheduleCommand) -> None:
        """Handle ``ScheduleCommand``."""
        at_ns = command.at_ns
        if at_ns is None and not command.interval_ns:
            at_ns = min(self._timers.now_ns() + command.after_ns, MAX_NS)  # which no clock comes to
        once = at_ns is not None
        self._numbers[command.id] = self._timers.schedule(
            partial(self._due, command.id, command.payload, once, TRACE.get().correlation),
            at_ns=at_ns,
            interval_ns=command.interval_ns,
            start_ns=command.start_ns,
            end_ns=command.end_ns,
        )

    def cancel(self, command: CancelScheduled) -> bool:
        """Handle ``CancelScheduled``: whether it was still to be sent."""
        number = self._numbers.pop(command.id, None)
        return number is not None and self._timers.unschedule(number)

    def _due(self, one: str, payload: bytes, once: bool, story: int | str) -> None:
        if once:
            self._numbers.pop(one, None)
        with correlated(story):  # of whoever scheduled it
            self._send(payload)
