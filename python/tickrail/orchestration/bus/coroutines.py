"""``Coroutines``: async handlers at work on the I/O thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, Final
from weakref import WeakMethod

from tickrail._native import CommandBusCore, Envelope
from tickrail.domain.context import TRACE, beside, held
from tickrail.errors import IllegalTransition
from tickrail.orchestration.bus import refusals
from tickrail.orchestration.bus.letters import DeadLetters
from tickrail.orchestration.bus.rerun import Rerun
from tickrail.orchestration.bus.routes import Route
from tickrail.orchestration.bus.step_end import StepEnd
from tickrail.orchestration.bus.way import ON_IT, Lanes
from tickrail.orchestration.io_thread import IoThread
from tickrail.orchestration.tracing import span

__all__ = ["Coroutines"]

MAX_AWAITED: Final = 4_096
"""Async handlers at work at once, as many as the NORMAL lane has slots."""


class Coroutines:
    """Begins the coroutines of one bus, and sees each end once: with its handler, taken back, or left behind.

    Args:
        bus: Whose they are.
        io: Where they run.
        lanes: The way to the loop, where there is one.
        standing: Where a caller stands; see ``Lanes``.
        letters: Where those go that come to nothing.
        rerun: Says whether the run is one, and how a simulation waits.
    """

    def __init__(
        self,
        bus: CommandBusCore,
        io: IoThread,
        *,
        lanes: Lanes | None,
        standing: Callable[[], int],
        letters: DeadLetters,
        rerun: Rerun,
    ) -> None:
        self._bus, self._io, self._lanes, self._standing = bus, io, lanes, standing
        self._letters, self._rerun = letters, rerun
        self._awaiting = threading.BoundedSemaphore(MAX_AWAITED)
        self._under_way: dict[int, Envelope] = {}
        leave = WeakMethod(self._leave)  # the I/O thread may outlive many runs
        io.when_left(lambda: (act := leave()) and act())

    def begin(self, route: Route, envelope: Envelope) -> None:
        """Let the handler begin; in a simulation the loop waits for it at the end of the step that has sent it.

        Raises:
            LaneFull: Too many are at work.
            ShuttingDown: The I/O thread has ended with the run.
        """
        if not self._awaiting.acquire(blocking=False):
            raise self._letters.dead(envelope, "lane_full", refusals.full(route, 0.0))
        coroutine: Any = self._guarded(route, envelope)
        coroutine.__qualname__ = route.shown  # as it is called where it is left behind
        # Before it is begun: what the I/O thread has taken before its end is found by `_leave`.
        self._under_way[id(envelope)] = envelope
        waiter = self._rerun.waiter
        waits = waiter is not None and waiter.waits and self._standing() == ON_IT
        try:
            future = (held() if waits else beside() if self._rerun.goes_on else copy_context()).run(
                self._io.run, coroutine
            )
        except IllegalTransition:
            self._awaiting.release()
            self._under_way.pop(id(envelope), None)
            raise self._letters.dead(envelope, "shutting_down", refusals.over(route)) from None
        future.add_done_callback(lambda done: self._ended(envelope, done))
        if envelope.receipt is not None:
            envelope.receipt.add_done_callback(lambda receipt: receipt.cancelled() and future.cancel())
        if waits and self._lanes is not None and waiter is not None:
            end: Any = StepEnd(route, future, waiter)
            self._lanes.later(self._bus._envelope(end, envelope.command, None, None))

    async def _guarded(self, route: Route, envelope: Envelope) -> Any:
        if (envelope.receipt is not None and envelope.receipt.cancelled()) or not self._bus.admits(envelope):
            return None
        return await self._coroutine(route, envelope)

    async def _coroutine(self, route: Route, envelope: Envelope) -> Any:
        token = TRACE.set(envelope.trace)
        try:
            with span(route.span_name):
                made: Coroutine[Any, Any, Any] = route.call(envelope.command)
                return await made
        finally:
            TRACE.reset(token)

    def _ended(self, envelope: Envelope, done: Future[Any]) -> None:
        self._awaiting.release()
        if self._under_way.pop(id(envelope), None) is None:
            return  # left behind, and answered
        if envelope.receipt is not None and envelope.receipt.cancelled():
            self._letters.dead(envelope, "cancelled", None)  # whether it had begun or not: here alone, so once
        else:
            self._letters.settled(envelope, done, is_over=self._io.closed)

    def _leave(self) -> None:
        """The I/O thread does not end: what is awaited there has no other answer any more."""
        while self._under_way:
            _, envelope = self._under_way.popitem()
            self._letters.dead(envelope, "shutting_down", refusals.left(envelope.route))
