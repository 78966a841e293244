"""Our adapters and the fakes of the test kit pass the suites that every adapter passes."""

from __future__ import annotations

import gc
import io
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import tickrail
from tickrail import testing
from tickrail._native import TickArray, TickFileWriter
from tickrail.adapters.backtest.memory import MemoryStateStore, MemoryTelemetry
from tickrail.adapters.backtest.ticks import TickFileFeed
from tickrail.adapters.live import loopback
from tickrail.adapters.live.binance_stream import BinanceStreamFeed
from tickrail.adapters.live.loopback import LoopbackExecution
from tickrail.adapters.live.published import PublishedFeed
from tickrail.adapters.live.state_files import FileStateStore
from tickrail.adapters.observability import logs
from tickrail.domain.orders import Acknowledgement, OrderReport, OrderRequest
from tickrail.errors import FeedClosed, OrderRejected
from tickrail.orchestration.io_thread import IoThread
from tickrail.orchestration.port_check import check_port, port_of_execution
from tickrail.ports import (
    AsyncExecutionPort,
    ExecutionPort,
    LiveFeed,
    LiveFeedPort,
    MarketDataPort,
    PortfolioPort,
    StatementPort,
)
from tickrail.testing.conformance import (
    ExecutionSuite,
    FeedSuite,
    LiveFeedSuite,
    MarketDataSuite,
    PortfolioSuite,
    StateStoreSuite,
    TelemetrySuite,
)
from tickrail.testing.loopback_venue import LoopbackVenue


class TestMemoryStateStore(StateStoreSuite):
    def make(self) -> MemoryStateStore:
        return MemoryStateStore()


class TestFakeStateStore(StateStoreSuite):
    def make(self) -> testing.FakeStateStore:
        return testing.FakeStateStore()


class TestFileStateStore(StateStoreSuite):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "states"

    def make(self) -> FileStateStore:
        return FileStateStore(folder=self.folder)


class TestMemoryTelemetry(TelemetrySuite):
    def make(self) -> MemoryTelemetry:
        return MemoryTelemetry()


class TestFakeTelemetry(TelemetrySuite):
    def make(self) -> testing.FakeTelemetry:
        return testing.FakeTelemetry()


@pytest.mark.parametrize("form", ["text", "json"])
class TestLogTelemetry(TelemetrySuite):
    @pytest.fixture(autouse=True)
    def _log(self, form: logs.Format, monkeypatch: pytest.MonkeyPatch) -> object:
        monkeypatch.setattr(logging, "raiseExceptions", False)  # as in production: a bad record is no error
        handler = logs.install(form, level=logging.DEBUG, stream=io.StringIO())
        yield
        logs.remove(handler)

    def make(self) -> logs.LogTelemetry:
        return logs.LogTelemetry()


class TestTickFileFeed(FeedSuite):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "a.ticks"
        with TickFileWriter(self.path) as writer:
            writer.append_ticks(testing.quotes(100))
            writer.commit()

    def make(self) -> TickFileFeed:
        return TickFileFeed(name="a", path=self.path)


class TestFakeFeed(FeedSuite):
    def make(self) -> testing.FakeMarketData:
        return testing.FakeMarketData(count=50)


class TestFakeMarketData(MarketDataSuite):
    def make(self) -> testing.FakeMarketData:
        return testing.FakeMarketData(instruments=("A.SIM", "B.SIM"))

    def push(self, port: MarketDataPort, ticks: TickArray) -> None:
        assert isinstance(port, testing.FakeMarketData)
        port.push(ticks)


class TestFakeLiveFeed(LiveFeedSuite):
    def make(self) -> testing.FakeLiveFeed:
        return testing.FakeLiveFeed(instruments=("A.SIM",))

    def push(self, port: LiveFeedPort, ticks: TickArray) -> None:
        assert isinstance(port, testing.FakeLiveFeed)
        port.push(ticks)


class Published(PublishedFeed):
    """The program that publishes, as the suite sees it."""

    def start(self, feed: LiveFeed) -> None:
        super().start(feed)
        self.feed = feed
        self.publisher = feed.publisher()

    def close(self) -> None:
        super().close()
        if hasattr(self, "publisher"):
            self.publisher.close()


class TestPublishedFeed(LiveFeedSuite):
    def make(self) -> Published:
        return Published(name="mine", instruments=["A.SIM"], capacity=1_024)

    def push(self, port: LiveFeedPort, ticks: TickArray) -> None:
        assert isinstance(port, Published)
        with suppress(FeedClosed):
            port.publisher.publish(ticks)


class TestBinanceStreamFeed(LiveFeedSuite):
    """Times of the venue's futures streams are in ms."""

    step_ns = 1_000_000

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        pytest.importorskip("picows")
        with testing.StreamServer(at_end="stay") as self.server:
            yield

    def make(self) -> BinanceStreamFeed:
        return BinanceStreamFeed(name="mine", instruments=["A.SIM"], url=self.server.url)

    def push(self, port: LiveFeedPort, ticks: TickArray) -> None:
        self.server.push(testing.messages_of(ticks))


class Waiting:
    """An adapter of coroutines, as the suite calls it: each call waits for its end on an I/O thread."""

    def __init__(self, port: LoopbackExecution, io: IoThread) -> None:
        self.port, self.io = port, io
        self.reports: list[OrderReport] = []
        self.heard_by: list[Callable[[OrderReport], object]] = []
        port.subscribe(self.reports.append)

    @property
    def capabilities(self) -> frozenset[str]:
        return self.port.capabilities

    def submit(self, order: OrderRequest) -> Acknowledgement:
        return self.io.call(self.port.submit(order), 10.0)

    def amend(
        self, client_id: str, *, quantity: float | None = None, limit: float | None = None, stop: float | None = None
    ) -> Acknowledgement:
        return self.io.call(self.port.amend(client_id, quantity=quantity, limit=limit, stop=stop), 10.0)

    def cancel(self, client_id: str) -> Acknowledgement:
        return self.io.call(self.port.cancel(client_id), 10.0)

    def status(self, client_id: str) -> OrderReport:
        return self.io.call(self.port.status(client_id), 10.0)

    def subscribe(self, listener: Callable[[OrderReport], object]) -> None:
        self.heard_by.append(listener)

    def deliver(self) -> None:
        """Hand out, on the test's thread, what has come on the other."""
        for _ in range(len(self.reports)):
            report = self.reports.pop(0)
            for hears in self.heard_by:
                hears(report)

    def close(self) -> None:
        self.port.close()


class TestLoopbackExecution(ExecutionSuite):
    """Reports come by the same connection as answers: once a later request is answered, they are there."""

    instrument = "EURUSD.LOOP"

    @pytest.fixture(autouse=True)
    def _venue(self, tmp_path: Path) -> Iterator[None]:
        with LoopbackVenue(tmp_path / "orders.jsonl") as self.venue, IoThread() as self.io:
            yield

    def make(self) -> Waiting:
        return Waiting(LoopbackExecution(name="LOOP", address=self.venue.address), self.io)

    def settle(self, venue: ExecutionPort) -> None:
        assert isinstance(venue, Waiting)
        with suppress(OrderRejected):
            venue.status("nobody's")
        venue.deliver()

    def test_it_fulfils_the_ports_of_coroutines(self) -> None:
        port = LoopbackExecution(name="LOOP", address=self.venue.address)
        assert check_port(port, AsyncExecutionPort) == []
        assert check_port(port, StatementPort) == []
        assert port_of_execution(port) is AsyncExecutionPort

    def test_a_port_that_nobody_closed_ends_with_its_thread(self) -> None:
        forgotten: Waiting | None = self.make()
        with suppress(OrderRejected):
            forgotten.status("nobody's")
        forgotten = None
        gc.collect()  # a connection that went with the port would be an error here: warnings are
        assert self.io.close() == ()
        gc.collect()
        assert not loopback._TASKS


class TestFakeExecution(ExecutionSuite):
    def make(self) -> testing.FakeExecution:
        return testing.FakeExecution()

    def settle(self, venue: ExecutionPort) -> None:
        assert isinstance(venue, testing.FakeExecution)
        for client_id, order in venue.orders.items():
            if order.limit is None and order.stop is None and not venue.reports[client_id].is_final:
                venue.fill(client_id)
        venue.deliver()

    def make_by_hand(self) -> testing.FakeExecution:
        return testing.FakeExecution(fills="by_hand")

    def test_cancelling_an_open_order_ends_it(self) -> None:
        self.make = self.make_by_hand  # type: ignore[method-assign]
        super().test_cancelling_an_open_order_ends_it()

    def test_amending_keeps_the_name(self) -> None:
        self.make = self.make_by_hand  # type: ignore[method-assign]
        super().test_amending_keeps_the_name()

    def test_a_stop_that_waits_is_moved(self) -> None:
        self.make = self.make_by_hand  # type: ignore[method-assign]
        super().test_a_stop_that_waits_is_moved()


class TestFakePortfolio(PortfolioSuite):
    def make(self) -> testing.FakePortfolio:
        return testing.FakePortfolio({"A.SIM": 2.0, "B.SIM": -1.0}, {"USD": 100.0})

    def move(self, portfolio: PortfolioPort) -> None:
        assert isinstance(portfolio, testing.FakePortfolio)
        portfolio.set({"A.SIM": 3.0})


def test_made_ticks_are_good_ticks_and_the_same_for_a_seed() -> None:
    for make in (testing.quotes, testing.trades, testing.bars):
        one, same, other = make(500, seed=1), make(500, seed=1), make(500, seed=2)
        values = [[tick.values for tick in array] for array in (one, same, other)]
        assert values[0] == values[1] != values[2]

        class Count(tickrail.Strategy):
            def on_tick(self, tick: tickrail.Tick) -> None: ...

        assert tickrail.backtest(Count(), one).ticks == 500
    many = testing.mixed(1_000, instruments=("A.SIM", "B.SIM"))
    assert {tick.kind for tick in many} == {"QUOTE", "TRADE"}
    assert np.all(np.diff([tick.ts_event for tick in many]) >= 0)
