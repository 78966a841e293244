"""Our adapters and the fakes of the test kit pass the suites that every adapter passes."""

from __future__ import annotations

import gc
import io
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import tickrail
from tickrail import testing
from tickrail._native import InstrumentId, TickArray, TickFileWriter
from tickrail.adapters.backtest.memory import MemoryStateStore, MemoryTelemetry
from tickrail.adapters.backtest.ticks import TickFileFeed
from tickrail.adapters.live import loopback
from tickrail.adapters.live.binance_stream import BinanceStreamFeed
from tickrail.adapters.live.loopback import LoopbackExecution
from tickrail.adapters.live.published import PublishedFeed
from tickrail.adapters.live.state_files import FileStateStore
from tickrail.adapters.observability import logs
from tickrail.domain.orders import Acknowledgement, OrderRequest
from tickrail.errors import FeedClosed, OrderRejected
from tickrail.orchestration.io_thread import IoThread
from tickrail.orchestration.port_check import check_port
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
    AsyncExecutionSuite,
    ExecutionSuite,
    FeedSuite,
    LiveFeedSuite,
    MarketDataSuite,
    PortfolioSuite,
    StateStoreSuite,
    TelemetrySuite,
)
from tickrail.testing.conformance.async_execution import Awaited
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


class TestLoopbackExecution(AsyncExecutionSuite):
    """Reports come by the same connection as answers: once a later request is answered, they are there."""

    instrument = "EURUSD.LOOP"

    @pytest.fixture(autouse=True)
    def _venue(self, tmp_path: Path, _io_thread: None) -> Iterator[None]:
        with LoopbackVenue(tmp_path / "orders.jsonl") as self.venue:
            yield

    def make_async(self) -> LoopbackExecution:
        return LoopbackExecution(name="LOOP", address=self.venue.address)

    async def settled(self, port: AsyncExecutionPort) -> None:
        with suppress(OrderRejected):
            await port.status("nobody's")

    def test_it_says_what_its_account_holds(self) -> None:
        assert check_port(self.make_async(), StatementPort) == []

    def test_a_port_that_nobody_closed_ends_with_its_thread(self) -> None:
        forgotten: ExecutionPort | None = self.make()
        with suppress(OrderRejected):
            forgotten.status("nobody's")
        forgotten = None
        gc.collect()  # a connection that went with the port would be an error here: warnings are
        assert self.io.close() == ()
        gc.collect()
        assert not loopback._TASKS


class TestFakeAsyncExecution(AsyncExecutionSuite):
    def make_async(self) -> testing.FakeAsyncExecution:
        return testing.FakeAsyncExecution(fills="by_hand")

    async def settled(self, port: AsyncExecutionPort) -> None:
        assert isinstance(port, testing.FakeAsyncExecution)
        for client_id, order in port.sync.orders.items():
            if order.limit is None and order.stop is None and not port.sync.reports[client_id].is_final:
                port.sync.fill(client_id)
        port.sync.deliver()


class Blurts(testing.FakeAsyncExecution):
    """Tells of an order before its own answer."""

    async def submit(self, order: OrderRequest) -> Acknowledgement:
        answer = await super().submit(order)
        self.sync.deliver()
        return answer


def test_the_suite_of_coroutines_finds_reports_out_of_a_call_and_on_another_thread() -> None:
    order = OrderRequest("o-1", InstrumentId("A.SIM"), "BUY", 1.0)
    with IoThread() as io:
        venue = Awaited(Blurts(), io)
        venue.submit(order)
        with pytest.raises(AssertionError, match="came out of the call of a request"):
            venue.deliver()
        fake = testing.FakeAsyncExecution()
        venue = Awaited(fake, io)
        venue.submit(order)
        fake.sync.deliver()
        with pytest.raises(AssertionError, match="came on another thread than the I/O thread"):
            venue.deliver()


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
