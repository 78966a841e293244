"""``Spawner``: runs the coroutines of ``Strategy.spawn`` on the I/O thread and keeps what came of them for the loop."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tickrail._native import CommandLanes
from tickrail.domain.context import beside, held
from tickrail.errors import SpawnTimedOut
from tickrail.orchestration.io_thread import IoThread

if TYPE_CHECKING:
    import concurrent.futures

__all__ = ["SPAWN_TIMEOUT_S", "Spawner", "stopping"]

#: How long a simulation waits for one coroutine: longer than any request that is worth it, and short enough for a
#: run that hangs to say so.
SPAWN_TIMEOUT_S: Final = 60.0
#: The wait looks this often whether the run is to stop; the result itself ends it at once.
LOOK_S: Final = 0.05
#: After so long it is looked whether somebody waits for the loop, which waits.
SAY_S: Final = 1.0

#: A result whose lane is full tries again after this long: commands are taken within microseconds, unless a handler
#: blocks.
RETRY_S: Final = 0.005
#: The lane of results, their kind, and what a full lane answers.
NORMAL: Final = 1
RESULT: Final = 17
FULL: Final = 1

Key = tuple[int, int]
logger = logging.getLogger("tickrail.commands")


class Spawner:
    """What the native loop calls to begin, await and cancel coroutines. On the dispatch thread.

    Args:
        io: Where they run.
        timeout_s: How long a simulation waits for one.
        stopping: Whether the run is to stop, so that nobody waits any longer.

    Attributes:
        replays_live: Whether the run is a replay of a live one.
        is_rerun: Whether commands are taken from a recording alone.
        asked: How many commands and requests wait for the loop.
    """

    def __init__(self, io: IoThread, *, timeout_s: float, stopping: Callable[[], bool]) -> None:
        self._io = io
        self.timeout_s = timeout_s
        self.stopping = stopping
        self.replays_live = self.is_rerun = False
        self.asked: Callable[[], int] = lambda: 0
        self._has_said = False
        self._running: dict[Key, _Running] = {}
        self._lanes: CommandLanes | None = None

    def deliver_by(self, lanes: CommandLanes) -> None:
        """In a live run: results come by ``lanes`` when they are there, instead of being waited for."""
        self._lanes = lanes

    @property
    def waits(self) -> bool:
        """Whether the loop waits for what was begun in a step: what a live run's record has is not waited for."""
        return self._lanes is None and not self.replays_live

    def start(self, strategy: int, number: int, name: str, coroutine: Coroutine[Any, Any, object]) -> None:
        """Begin ``coroutine``, the ``number``-th of ``strategy``."""
        shown = getattr(coroutine, "__qualname__", type(coroutine).__name__)
        context = copy_context() if self._lanes is not None else held() if self.waits else beside()
        future = context.run(self._io.run, coroutine)
        self._running[strategy, number] = _Running(future, name, shown, time.monotonic() + self.timeout_s)
        if self._lanes is not None:
            future.add_done_callback(partial(self._deliver, self._lanes, strategy, number))

    def settle(self, strategy: int, number: int) -> bool | None:
        """Wait until it has ended: whether by an exception; ``None`` where the run is to stop first.

        Raises:
            SpawnTimedOut: It takes longer than a simulation waits.
        """
        import concurrent.futures

        running = self._running[strategy, number]
        while not running.future.done():
            if self.stopping():
                return None
            left = running.until_s - time.monotonic()
            if left <= 0:
                raise self._too_long(running)
            self.goes_on(self.timeout_s - left, left, f"the coroutine {running.name} of strategy {running.strategy}")
            concurrent.futures.wait([running.future], min(left, LOOK_S))
        return running.failed

    def goes_on(self, waited_s: float, left_s: float, name: str) -> None:
        """The loop still waits for ``name``; a thread of that may wait for the loop, which nobody can know."""
        if waited_s < SAY_S or self._has_said or not (asked := self.asked()):
            return
        self._has_said = True
        logger.warning(
            "the loop of a backtest waits for %s, at most %.0f s more, and commands wait for the loop (%d): if it waits"
            " for one of them, both wait in vain",
            *(name, left_s, asked),
        )

    def take(self, strategy: int, number: int) -> tuple[object, BaseException | None]:
        """What it returned, and what it raised; it is forgotten."""
        future = self._running.pop((strategy, number)).future
        try:
            return future.result(0), None
        except BaseException as error:  # also where it cancelled itself
            return None, error

    def cancel(self, strategy: int, number: int) -> None:
        """Cancel it; nobody wants what comes of it."""
        running = self._running.pop((strategy, number), None)
        if running is not None:
            running.future.cancel()

    def _deliver(
        self, lanes: CommandLanes, strategy: int, number: int, future: concurrent.futures.Future[object]
    ) -> None:
        """On the I/O thread, or wherever the future was cancelled: then nobody wants it."""
        if future.cancelled() and (strategy, number) not in self._running:
            return
        failed = future.cancelled() or future.exception() is not None
        payload = number.to_bytes(4, "little") + bytes([failed])
        if lanes.push(NORMAL, strategy, payload, future, kind=RESULT) == FULL:
            self._io.later(RETRY_S, partial(self._deliver, lanes, strategy, number, future))

    def _too_long(self, running: _Running) -> SpawnTimedOut:
        return SpawnTimedOut(
            f"strategy {running.strategy}: the coroutine {running.name} did not end within {self.timeout_s:g} s, and a"
            " simulation waits for each",
            strategy=running.strategy,
            coroutine=running.name,
            timeout_s=self.timeout_s,
            hint="bound it (asyncio.timeout), or raise spawn_timeout_s",
        )


class _Running:
    def __init__(self, future: concurrent.futures.Future[object], strategy: str, name: str, until_s: float) -> None:
        self.future = future
        self.strategy = strategy
        self.name = name
        self.until_s = until_s

    @property
    def failed(self) -> bool:
        """Of one that has ended."""
        return self.future.cancelled() or self.future.exception() is not None


def stopping(run: Any) -> Callable[[], bool]:
    """Whether the run of a ``TickDispatcher`` is to stop, or is gone; it is not held, as its loop holds the asker."""
    found = weakref.ref(run)

    def is_stopping() -> bool:
        alive = found()
        return alive is None or alive._native.stop_requested

    return is_stopping
