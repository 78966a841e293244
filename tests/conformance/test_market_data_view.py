"""``self.market_data`` of a run passes the suite of its port: in a run whose loop the suite turns by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tickrail import TickArray, TickDispatcher
from tickrail.orchestration.backtest import PullStrategy
from tickrail.ports import MarketDataPort
from tickrail.testing.conformance import MarketDataSuite


class TestMarketData(MarketDataSuite):
    @pytest.fixture(autouse=True)
    def _runs(self) -> Iterator[None]:
        self.opened: list[TickDispatcher] = []
        yield
        for run in self.opened:
            run.close_feeds()
            run.finish()

    def make(self) -> MarketDataPort:
        run, strategy = TickDispatcher([{"id": "A.SIM"}, {"id": "B.SIM"}], live="park"), PullStrategy()
        run.register_pull(strategy, "looks")
        self.publisher = run.live_feed("fed").publisher()
        self.opened.append(run)
        self.pulls = run.pulls()
        # The view begins where it is first used, and the run with its first tick: that one is not in it.
        self.publisher.publish_quote("B.SIM", 1.0, 1.1)
        next(self.pulls)
        view: MarketDataPort = strategy.market_data
        return view

    def push(self, port: MarketDataPort, ticks: TickArray) -> None:
        self.publisher.publish(ticks)
        for _ in ticks:
            next(self.pulls)
