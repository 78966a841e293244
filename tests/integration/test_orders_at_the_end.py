"""Orders that ``on_stop`` makes at the end of a run with a venue outside: those that reduce leave and are awaited."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from live_runs import LONG_S, in_thread

import tickrail
from tickrail.adapters.live.loopback import LoopbackExecution
from tickrail.domain.ending import Ending, EndLimits
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.report.result import Result
from tickrail.report.shutdown import ShutdownReport
from tickrail.testing.loopback_venue import LoopbackVenue

A = "A.LOOP"
MS = 1_000_000
LONG = EndLimits(drain_ns=30_000 * MS, orders_ns=30_000 * MS)


class Leaves(tickrail.Strategy):
    """Holds five units where ``held`` is set, and does ``how`` in ``on_stop``."""

    how: str
    held: bool = True

    def on_start(self) -> None:
        self.told: list[tuple[int, str, str]] = []
        self.ready = not self.held

    def on_tick(self, tick: tickrail.Tick) -> None:
        if not self.told and self.held:
            self.buy(A, 5.0)

    def on_order_update(self, update: tickrail.OrderUpdate) -> None:
        self.told.append((update.order, update.status, str(update.reason)))
        self.state["net"] = self.position(A)
        self.ready = True if update.status == "FILLED" else self.ready

    def on_stop(self) -> None:
        if self.how == "close":
            self.close(A)
        elif self.how == "buy":
            self.buy(A, 7.0)
        elif self.how == "rest":
            self.sell(A, 5.0, limit=99.0)


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[LoopbackVenue]:
    with LoopbackVenue(tmp_path / "orders.jsonl", price=10.0) as running:
        yield running


class Run:
    """A run at the loopback venue that ends by a stop, or with its data."""

    def __init__(
        self,
        venue: LoopbackVenue,
        strategy: Leaves,
        *,
        limits: EndLimits = LONG,
        has_bus: bool = False,
        **settings: Any,
    ) -> None:
        self.dispatcher = TickDispatcher([{"id": A}], live="park", run_id="r1", end_limits=limits)
        self.strategy, self.commands = strategy, bytearray()
        self.ending = settings.get("ending", Ending())
        self.dispatcher.register(strategy, "leaves", **settings)
        self.bus = self.dispatcher.commands if has_bus else None
        self.dispatcher.send_away({"LOOP": LoopbackExecution(name="LOOP", address=venue.address, timeout_s=1.0)})
        self.dispatcher.record_commands(self.commands.extend)
        self.recorder = self.dispatcher.record(1 << 14, 1 << 20)

    def run(self, *, is_stopped: bool = True, meanwhile: Callable[[], object] = lambda: None) -> Result:
        feed = self.dispatcher.live_feed("quotes")

        def publish() -> None:
            deadline = time.monotonic() + LONG_S
            with feed.publisher() as publisher:
                publisher.publish_quote(A, 9.9, 10.1)
                while not getattr(self.strategy, "ready", False):
                    assert time.monotonic() < deadline
                    time.sleep(0.002)
                meanwhile()
                if is_stopped:
                    self.dispatcher.request_stop()

        publishing = in_thread(publish)
        self.dispatcher.seal()
        self.dispatcher.run()
        publishing()
        return self.dispatcher.result()

    def again(self) -> tuple[Leaves, Result]:
        """What it gives again of what it has recorded."""
        strategy = type(self.strategy)(how=self.strategy.how, held=self.strategy.held)
        run = TickDispatcher([{"id": A}], run_id="r1")
        run.replay(self.recorder.finish())
        run.register(strategy, "leaves", ending=self.ending)
        run.send_nothing(["LOOP"])
        run.replay_commands(bytes(self.commands))
        run.run()
        return strategy, run.result()


@pytest.mark.parametrize("is_stopped", [True, False])
def test_what_on_stop_closes_is_closed_at_the_venue_and_told(venue: LoopbackVenue, is_stopped: bool) -> None:
    venue.set(ack_delay_s=0.05)
    run = Run(venue, Leaves(how="close"))
    result = run.run(is_stopped=is_stopped)
    assert [status for order, status, _ in run.strategy.told if order == 2][-1] == "FILLED", run.strategy.told
    assert not any(venue.statement().values())
    report = ShutdownReport.of(result)
    assert report.standing == {"leaves": {"state": "STOPPED", "open_orders": 0, "positions": {}}}
    assert report.abandoned == ()
    assert [step.name for step in report.steps][-2:] == ["on_stop", "last orders"]


@pytest.mark.parametrize("held", [True, False])
def test_on_stop_opens_nothing_and_is_told_why(venue: LoopbackVenue, held: bool) -> None:
    """With an order of the run before it, and with none at all."""
    run = Run(venue, Leaves(how="buy", held=held))
    result = run.run()
    number = 2 if held else 1
    reason = "the strategy is stopping: it may only reduce positions"
    assert [one for one in run.strategy.told if one[0] == number] == [(number, "REJECTED", reason)]
    assert list(venue.books.orders) == (["r1-0-1"] if held else [])
    assert ShutdownReport.of(result).outcome == "drained"
    again, rerun = run.again()
    assert (again.told, rerun.digest) == (run.strategy.told, result.digest)


@pytest.mark.parametrize("orders", ["cancel", "leave"])
def test_what_on_stop_lets_rest_ends_by_the_rule(venue: LoopbackVenue, orders: Any) -> None:
    venue.set(ack_delay_s=0.05)
    run = Run(venue, Leaves(how="rest"), ending=Ending(orders=orders))
    result = run.run()
    last = {"cancel": "CANCELED", "leave": "ACCEPTED"}[orders]
    assert venue.books.orders["r1-0-2"]["state"] == last
    assert run.strategy.told[-1][:2] == (2, last), "the answer is awaited in either case"
    report = ShutdownReport.of(result)
    assert report.standing["leaves"]["open_orders"] == (1 if orders == "leave" else 0)
    assert report.outcome == "drained"


def test_an_order_of_on_stop_without_an_answer_is_told_as_abandoned(venue: LoopbackVenue) -> None:
    run = Run(venue, Leaves(how="close"), limits=EndLimits(drain_ns=500 * MS, orders_ns=500 * MS))
    result = run.run(meanwhile=lambda: venue.set(lose_requests=1_000))
    abandoned = ShutdownReport.of(result).abandoned
    assert abandoned[0].startswith("last orders: its time was over after ")
    assert abandoned[1] == "strategy leaves: order 2 of A.LOOP is still open"
    # And the request itself, whose answer its venue has lost, if it is not just being cancelled.
    assert set(abandoned[2:]) <= {"coroutine Away._submit has not ended"}


def test_a_rerun_of_the_record_stops_as_the_run_did(venue: LoopbackVenue) -> None:
    run = Run(venue, Leaves(how="close"))
    result = run.run()
    again, rerun = run.again()
    assert (again.told, rerun.digest) == (run.strategy.told, result.digest)
    assert rerun.fills.tobytes() == result.fills.tobytes()


def test_what_is_told_after_on_stop_is_saved_too(venue: LoopbackVenue) -> None:
    class Store:
        kept: Mapping[str, Any] = {}

        def load(self, strategy: str) -> Mapping[str, Any]:
            return {}

        def save(self, strategy: str, state: Mapping[str, Any]) -> None:
            self.kept = state

    store = Store()
    Run(venue, Leaves(how="close"), store=store).run()
    assert store.kept["net"] == 0.0
