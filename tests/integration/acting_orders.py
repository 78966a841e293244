"""Live runs of one strategy that orders, at a venue of the test kit; for the tests beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from live_runs import publish_until

import tickrail
from tickrail import errors
from tickrail.domain.order_limits import OrderLimits
from tickrail.orchestration.live import open_live
from tickrail.report.result import Result
from tickrail.testing.execution import FakeAsyncExecution

A = "A.FAKE"
LOST = errors.ConnectivityError("the connection broke")
ENDS = ("FILLED", "CANCELED", "REJECTED")


class Acts(tickrail.Strategy):
    """Does what ``act`` is at each tick, and keeps what it is told."""

    def on_start(self) -> None:
        self.ticks = 0
        self.told: list[tuple[str, str]] = []

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.ticks += 1
        self.act(self)

    def on_order_update(self, update: tickrail.OrderUpdate) -> None:
        self.told.append((update.status, update.reason))


def acting(act: Callable[[Any], object]) -> Any:
    strategy = Acts()
    strategy.act = act  # type: ignore[attr-defined]
    return strategy


def buys(limit: float | None = None) -> Any:
    return acting(lambda self: self.buy(A, 2.0, limit=limit) if self.ticks == 1 else None)


def ran(
    strategy: Any,
    venue: Any,
    *,
    meanwhile: Callable[[], object] = lambda: None,
    delivers: bool = True,
    most: int = 9,
    limits: OrderLimits | None = None,
) -> Result:
    """Publish quotes and deliver reports until an order has its end, or so many updates have come."""
    fake = venue.sync if isinstance(venue, FakeAsyncExecution) else venue

    def ended() -> bool:
        told = statuses(strategy)
        return len(told) >= most or any(status in ENDS for status in told)

    def after() -> None:
        meanwhile()
        if delivers:
            fake.deliver()

    with open_live(strategy, [A], execution={"FAKE": venue}, run_id="r1", limits=limits) as run:
        return publish_until(run, ended, instrument=A, meanwhile=after, said=lambda: statuses(strategy))


def statuses(strategy: Any) -> list[str]:
    return [status for status, _ in list(getattr(strategy, "told", ()))]


def rests_then(act: Callable[[Any], object]) -> Any:
    """An order that rests; ``act`` once it is accepted, once."""

    def step(self: Any) -> None:
        if self.ticks == 1:
            self.buy(A, 2.0, limit=8.0)
        elif "ACCEPTED" in statuses(self) and not getattr(self, "acted", False):
            self.acted = True
            act(self)

    return acting(step)
