"""Strategies that order anew when an order is taken back: the end of a run, and of one of them, comes all the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_runs import LONG_S
from test_orders_at_the_end import A, Leaves, Run

import tickrail
from tickrail.domain.commands import RestartStrategy, Snapshot, StopStrategy
from tickrail.domain.ending import Ending
from tickrail.report.shutdown import ShutdownReport
from tickrail.testing.loopback_venue import LoopbackVenue

RESTS = "the strategy is stopping: no order of it may rest any more"


class Quotes(Leaves):
    """Holds five units and offers them, again and again."""

    how: str = ""

    def on_order_update(self, update: tickrail.OrderUpdate) -> None:
        self.told.append((update.order, update.status, str(update.reason)))
        if update.status in ("FILLED", "CANCELED"):
            self.sell(A, 5.0, limit=99.0)
        self.ready = (update.order == 2 and update.status == "ACCEPTED") or self.ready


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[LoopbackVenue]:
    with LoopbackVenue(tmp_path / "orders.jsonl", price=10.0) as running:
        yield running


def open_at(venue: LoopbackVenue) -> list[str]:
    return [name for name, order in venue.books.orders.items() if order["state"] == "ACCEPTED"]


@pytest.mark.parametrize("positions", ["keep", "close"])
def test_what_is_quoted_anew_while_orders_are_taken_back_is_refused(venue: LoopbackVenue, positions: Any) -> None:
    run = Run(venue, Quotes(), ending=Ending(positions=positions))
    result = run.run()
    report = ShutdownReport.of(result)
    assert report.outcome == "drained", report.abandoned
    assert (3, "REJECTED", RESTS) in run.strategy.told
    assert open_at(venue) == []
    assert any(venue.statement().values()) == (positions == "keep")
    again, rerun = run.again()
    assert (again.told, rerun.digest) == (run.strategy.told, result.digest)


def test_one_that_leaves_its_orders_may_quote_on(venue: LoopbackVenue) -> None:
    run = Run(venue, Quotes(), ending=Ending(orders="leave"))
    result = run.run()
    assert ShutdownReport.of(result).outcome == "drained"
    assert open_at(venue) == ["r1-0-2"]


@pytest.mark.parametrize("command", [StopStrategy, RestartStrategy])
def test_one_strategy_that_quotes_anew_comes_to_its_end(venue: LoopbackVenue, command: Any) -> None:
    answers: list[Any] = []
    run = Run(venue, Quotes(), has_bus=True, renew=Quotes)
    bus = run.bus
    assert bus is not None

    def stop_it() -> None:
        answers.append(bus.execute(command("leaves"), timeout_s=LONG_S))

    run.run(meanwhile=stop_it)
    assert answers == [{"state": "STOPPED" if command is StopStrategy else "RUNNING"}]
    assert (3, "REJECTED", RESTS) in run.strategy.told
    assert open_at(venue) == []


@pytest.mark.slow
def test_a_venue_that_does_not_answer_bounds_no_stop_of_one(venue: LoopbackVenue) -> None:
    answers: list[Any] = []
    run = Run(venue, Quotes(), has_bus=True)
    bus = run.bus
    assert bus is not None

    def stop_it() -> None:
        venue.set(lose_requests=1_000)
        began = time.monotonic()
        stopping = bus.submit(StopStrategy("leaves"))
        # Both commands may be taken before the life that the first one asks for.
        while "stopping" not in (seen := bus.execute(Snapshot(), timeout_s=LONG_S)["strategies"]["leaves"]):
            assert time.monotonic() - began < 3.0
        answers.append((seen["state"], seen["stopping"]))
        answers.append(stopping.result(LONG_S))
        assert 3.0 < time.monotonic() - began < 20.0
        venue.set(lose_requests=0)

    result = run.run(meanwhile=stop_it)
    assert answers[0] == ("RUNNING", True)
    assert answers[1] == {
        "state": "STOPPED",
        "open_orders": 1,
        "waiting": "orders that were taken back have not ended: their venue has not answered",
    }
    cause = [change.cause for change in result.changes if change.after == "STOPPED"]
    assert cause == ["a command; orders still open: 1"]
    again, rerun = run.again()
    assert (again.told, rerun.digest) == (run.strategy.told, result.digest)
