"""``StepEnd``: in a simulation the loop waits, at the end of a step, for the async commands that were sent in it.

As it does for coroutines of ``Strategy.spawn``: no decision depends on how long a handler takes. What the loop waits
for cannot wait for the loop: it is refused, at once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Protocol

from tickrail.domain.commands import Command
from tickrail.errors import SpawnTimedOut, WouldDeadlock
from tickrail.orchestration.bus.routes import Route

__all__ = ["AfterStep", "StepEnd", "Waiter", "waits_for_itself"]

LOOK_S: Final = 0.05
"""The wait looks this often whether the run is to stop; the end of the handler ends it at once."""
logger = logging.getLogger("tickrail.commands")


class Waiter(Protocol):
    """Says how a simulation waits for what runs beside it."""

    timeout_s: float
    is_rerun: bool
    asked: Callable[[], int]

    @property
    def waits(self) -> bool:
        """Whether it does: not in a live run."""
        ...

    def stopping(self) -> bool:
        """Whether the run is to stop, so that nobody waits any longer."""
        ...

    def goes_on(self, waited_s: float, left_s: float, name: str) -> None:
        """The loop still waits for ``name``: said where that may wait for the loop."""
        ...


def waits_for_itself(name: str) -> WouldDeadlock:
    """The refusal for a coroutine that the loop waits for; in the log too, as a receipt may be nobody's."""
    refusal = WouldDeadlock(
        f"{name} is handled by the loop, which in a backtest waits for this coroutine",
        hint="return what is to be done, and do it in the callback of self.spawn; or submit(...) it and do not wait:"
        " its turn comes later, between two slices of ticks",
    )
    logger.warning("%s", refusal)
    return refusal


class StepEnd:
    """What takes the place of a route, at the end of the step, where an async command was sent.

    Args:
        route: Of the command.
        future: Its handler at work; whoever is told of its end was told to be so before.
        waiter: Says how long to wait for it.
    """

    type: Final = Command

    def __init__(self, route: Route, future: Future[Any], waiter: Waiter) -> None:
        self.name, self.span_name = route.name, f"tickrail.step_end.{route.name}"
        self._route, self._future, self._waiter = route, future, waiter
        self._ended = threading.Event()
        future.add_done_callback(lambda _: self._ended.set())

    def call(self, _: Command) -> None:
        """Wait.

        Raises:
            SpawnTimedOut: It takes longer than a simulation waits, and is cancelled.
        """
        left_s = timeout_s = self._waiter.timeout_s
        while not self._ended.wait(min(left_s, LOOK_S)) and not self._waiter.stopping():
            left_s -= LOOK_S
            self._waiter.goes_on(timeout_s - left_s, left_s, f"{self.name}, whose handler is {self._route.shown},")
            if left_s <= 0.0:
                self._future.cancel()
                raise SpawnTimedOut(
                    f"{self.name}: its handler {self._route.shown} did not end within {timeout_s:g} s, and a"
                    " simulation waits for each",
                    strategy="",
                    coroutine=self._route.shown,
                    timeout_s=timeout_s,
                    hint="bound it (asyncio.timeout), or raise spawn_timeout_s",
                )


class AfterStep(StepEnd):
    """What takes the place of a route where something is to be looked at once the orders of the step were judged."""

    def __init__(self, act: Callable[[], object], abandoned: Callable[[], object]) -> None:
        self.name, self.span_name = "AfterStep", "tickrail.step_end"
        self._act, self.abandoned = act, abandoned

    def call(self, _: Command) -> None:
        """Look."""
        self._act()
