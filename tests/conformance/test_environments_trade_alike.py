"""Backtest, paper and live pass one suite of orders, and every adapter of ours passes the suites of its ports.

The simulated venue has no execution port of its own: strategies reach it by the loop. Here a run that is driven tick by
tick stands behind the port, over recorded ticks (backtest) and over a live feed (paper); live is the loopback venue,
which stands with the other ports.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

import pytest

from tickrail import TickDispatcher, VenueTerms, testing
from tickrail.domain.orders import CAPABILITIES, Acknowledgement, OrderReport, OrderRequest, OrderState
from tickrail.errors import OrderRejected
from tickrail.orchestration.adapters import OURS
from tickrail.orchestration.backtest import PullStrategy
from tickrail.orchestration.feeds import Publisher
from tickrail.orchestration.services import DEFAULTS
from tickrail.ports import ExecutionPort
from tickrail.testing.conformance import ExecutionSuite

from . import test_ports

NAME = "EURUSD.SIM"
STATES: dict[str, OrderState] = {"SUBMITTED": "PENDING", "PARTIALLY_FILLED": "ACCEPTED"}


class Driven:
    """A run as an execution port: orders are those of its strategy, and ``goes_on`` brings the next tick."""

    capabilities = CAPABILITIES

    def __init__(self, run: TickDispatcher, goes_on: Callable[[], object]) -> None:
        self.run, self.goes_on = run, goes_on
        self.strategy = PullStrategy()
        run.register_pull(self.strategy, "driven")
        self.numbers: dict[str, int] = {}
        self.reports: dict[str, OrderReport] = {}
        self.heard_by: list[Callable[[OrderReport], object]] = []

    def submit(self, order: OrderRequest) -> Acknowledgement:
        if order.client_id not in self.numbers:
            ask = self.strategy.buy if order.side == "BUY" else self.strategy.sell
            self.numbers[order.client_id] = ask(order.instrument, order.quantity, limit=order.limit, stop=order.stop)
            self.reports[order.client_id] = OrderReport(order.client_id, "PENDING", price=0.0)
        return Acknowledgement(order.client_id, "PENDING")

    def amend(
        self, client_id: str, *, quantity: float | None = None, limit: float | None = None, stop: float | None = None
    ) -> Acknowledgement:
        self.strategy.amend(self._number(client_id), quantity=quantity, limit=limit, stop=stop)
        return Acknowledgement(client_id, "PENDING")

    def cancel(self, client_id: str) -> Acknowledgement:
        self.strategy.cancel(self._number(client_id))
        return Acknowledgement(client_id, "PENDING")

    def status(self, client_id: str) -> OrderReport:
        self._number(client_id)
        return self.reports[client_id]

    def _number(self, client_id: str) -> int:
        if client_id not in self.numbers:
            raise OrderRejected(f"no order {client_id}", reason="unknown order")
        return self.numbers[client_id]

    def subscribe(self, listener: Callable[[OrderReport], object]) -> None:
        self.heard_by.append(listener)

    def settle(self) -> None:
        """Two ticks: at the first an order of before matches; what the venue said is told by the second."""
        for _ in range(2):
            self.goes_on()
        names = {number: name for name, number in self.numbers.items()}
        while self.strategy.updates:
            update = self.strategy.updates.popleft()
            name, state = names[update.order], STATES.get(update.status, update.status)
            report = OrderReport(name, state, filled=update.filled, price=0.0)  # type: ignore[arg-type]
            if report != self.reports[name]:
                self.reports[name] = report
                for hears in self.heard_by:
                    hears(report)

    def close(self) -> None:
        self.run.finish()


class DrivenSuite(ExecutionSuite):
    """Runs that are turned by hand, and ended after each test."""

    instrument = NAME

    @pytest.fixture(autouse=True)
    def _ended(self) -> Iterator[None]:
        self.made: list[Driven] = []
        yield
        for one in self.made:
            one.close()

    def settle(self, venue: ExecutionPort) -> None:
        assert isinstance(venue, Driven)
        venue.settle()


class TestBacktest(DrivenSuite):
    """Recorded ticks, simulated venue, sim clock."""

    def make(self) -> Driven:
        run = TickDispatcher([{"id": NAME}], venues={"SIM": VenueTerms()})
        run.feed("ticks", testing.quotes(50, instrument=NAME))
        driven = Driven(run, run.pull)
        self.made.append(driven)
        assert run.pull()
        return driven


class TestPaper(DrivenSuite):
    """A live feed, simulated venue, live clock."""

    @pytest.fixture(autouse=True)
    def _closed(self) -> Iterator[None]:
        self.publishers: list[Publisher] = []
        yield
        for one in self.publishers:
            one.close()

    def make(self) -> Driven:
        run = TickDispatcher([{"id": NAME}], venues={"SIM": VenueTerms()}, live="park")
        publisher = run.live_feed("fed").publisher()

        def goes_on() -> object:
            publisher.publish_quote(NAME, 1.0, 1.1, 10.0, 10.0)
            return run.pull()

        driven = Driven(run, goes_on)
        self.made.append(driven)
        self.publishers.append(publisher)
        assert goes_on()
        return driven


#: Of each adapter that configurations can name, and of each service that runs have by default, its suites.
SUITES: dict[str, tuple[type, ...]] = {
    "feed.binance": (test_ports.TestBinanceStreamFeed,),
    "feed.published": (test_ports.TestPublishedFeed,),
    "feed.ticks": (test_ports.TestTickFileFeed,),
    "venue.loopback": (test_ports.TestLoopbackExecution,),
    "venue.simulated": (TestBacktest, TestPaper),
    "service.MemoryTelemetry": (test_ports.TestMemoryTelemetry,),
    "service.MemoryStateStore": (test_ports.TestMemoryStateStore,),
    "service.LogTelemetry": (test_ports.TestLogTelemetry,),
    "service.FileStateStore": (test_ports.TestFileStateStore,),
}


def test_every_adapter_has_its_suites() -> None:
    named = {f"{kind}.{name}" for kind, adapters in OURS.items() for name in adapters}
    services = {f"service.{path.partition(':')[2]}" for path in DEFAULTS.values()}
    assert named | services | {"service.LogTelemetry", "service.FileStateStore"} == set(SUITES)
    for suites in SUITES.values():
        for suite in suites:
            assert suite.__mro__[-2].__module__.startswith("tickrail.testing.conformance"), suite
    for path in [*DEFAULTS.values(), *(path for adapters in OURS.values() for path in adapters.values())]:
        module, _, name = path.partition(":")
        assert hasattr(importlib.import_module(module), name)
