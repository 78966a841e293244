"""What every ``FeedPort``, every ``LiveFeedPort`` and every ``MarketDataPort`` does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tickrail._native import Tick, TickArray
from tickrail.errors import DataError
from tickrail.orchestration.feeds import Feed
from tickrail.orchestration.live import LiveRun, open_live
from tickrail.orchestration.port_check import check_port
from tickrail.ports.market_data import FeedPort, LiveFeedPort, MarketDataPort
from tickrail.strategy.strategy import Strategy
from tickrail.testing.ticks import START_NS, bars, quotes

__all__ = ["FeedSuite", "LiveFeedSuite", "MarketDataSuite"]


class FeedSuite:
    """Derive, and say how a feed is made."""

    def make(self) -> FeedPort:
        """A new feed with at least two ticks."""
        raise NotImplementedError

    def test_it_has_every_member(self) -> None:
        """Of the port, callable as it says."""
        assert check_port(self.make(), FeedPort) == []

    def test_its_ticks_are_in_order(self) -> None:
        """By the time that the array says."""
        feed = self.make()
        array = feed.open()
        times = [getattr(tick, array.order_by) for tick in array]
        assert len(times) > 1
        assert times == sorted(times)
        feed.close()

    def test_what_was_handed_out_outlives_the_feed(self) -> None:
        """Its memory is its own; closing twice is closing once."""
        feed = self.make()
        array = feed.open()
        before = [tick.ts_event for tick in array]
        feed.close()
        feed.close()
        assert [tick.ts_event for tick in array] == before


class MarketDataSuite:
    """Derive, and say how a port is made and fed."""

    def make(self) -> MarketDataPort:
        """A new port, connected, with the instruments ``A.SIM`` and ``B.SIM``, before the first tick."""
        raise NotImplementedError

    def push(self, port: MarketDataPort, ticks: TickArray) -> None:
        """Let the source have these ticks."""
        raise NotImplementedError

    def test_it_has_every_member(self) -> None:
        """Of the port, callable as it says."""
        assert check_port(self.make(), MarketDataPort) == []

    def test_instruments_and_their_facts(self) -> None:
        """By id; one that is not there is refused."""
        port = self.make()
        assert list(port.instruments) == ["A.SIM", "B.SIM"]
        assert port.instrument("A.SIM")["id"] == "A.SIM"
        with pytest.raises(DataError):
            port.instrument("Z.SIM")

    def test_the_latest_and_those_before(self) -> None:
        """Of each instrument its own."""
        port = self.make()
        assert port.latest_tick("A.SIM") is None
        assert port.latest_bar("A.SIM") is None
        self.push(port, quotes(5, instrument="A.SIM", start_ns=START_NS, step_ns=1))
        self.push(port, bars(2, instrument="A.SIM", start_ns=START_NS + 10, step_ns=1))
        self.push(port, quotes(1, instrument="A.SIM", start_ns=START_NS + 20))
        latest, bar = port.latest_tick("A.SIM"), port.latest_bar("A.SIM")
        assert latest is not None
        assert bar is not None
        assert (latest.kind, latest.ts_event) == ("QUOTE", START_NS + 20)
        assert (bar.kind, bar.ts_event) == ("BAR", START_NS + 11)
        assert port.latest_tick("B.SIM") is None
        assert port.history("A.SIM", 3)["ts_event"].tolist() == [START_NS + 10, START_NS + 11, START_NS + 20]
        assert len(port.history("A.SIM", 100)) == 8
        assert len(port.history("A.SIM", 0)) == len(port.history("B.SIM", 5)) == 0

    def test_a_window_of_one_kind(self) -> None:
        """Has the names of that kind's fields, and only its records count."""
        port = self.make()
        self.push(port, bars(3, instrument="A.SIM", start_ns=START_NS, step_ns=1))
        self.push(port, quotes(5, instrument="A.SIM", start_ns=START_NS + 10, step_ns=1))
        window = port.history("A.SIM", 2, kind="bar")
        assert window["ts_event"].tolist() == [START_NS + 1, START_NS + 2]
        assert {"open", "high", "low", "close", "volume"} <= set(window.dtype.names or ())
        assert (window["low"] <= window["high"]).all()
        assert "bid" in (port.history("A.SIM", 1, kind="QUOTE").dtype.names or ())
        assert len(port.history("A.SIM", 5, kind="trade")) == 0

    def test_what_cannot_be_answered_is_refused(self) -> None:
        """By an error of the port."""
        port = self.make()
        for ask in (port.latest_tick, port.latest_bar, port.subscribe, port.unsubscribe):
            with pytest.raises(DataError):
                ask("Z.SIM")
        with pytest.raises(DataError):
            port.history("Z.SIM", 1)
        with pytest.raises(DataError):
            port.history("A.SIM", -1)

    def test_a_window_is_safe_to_keep(self) -> None:
        """What comes later does not show in it."""
        port = self.make()
        self.push(port, quotes(3, instrument="A.SIM", start_ns=START_NS, step_ns=1))
        window = port.history("A.SIM", 3)
        self.push(port, quotes(3, instrument="A.SIM", start_ns=START_NS + 10, step_ns=1))
        assert window["ts_event"].tolist() == [START_NS, START_NS + 1, START_NS + 2]
        assert len(port.history("A.SIM", 6)) == 6


class LiveFeedSuite:
    """Derive, and say how a live feed is made and its source fed.

    Attributes:
        step_ns: How finely the source tells time.
    """

    step_ns = 1

    def make(self) -> LiveFeedPort:
        """A new feed with the instrument ``A.SIM``, not started."""
        raise NotImplementedError

    def push(self, port: LiveFeedPort, ticks: TickArray) -> None:
        """Let the source of a feed that was started have these ticks."""
        raise NotImplementedError

    def test_it_has_every_member(self) -> None:
        """Of the port, callable as it says."""
        assert check_port(self.make(), LiveFeedPort) == []

    def test_what_its_source_has_arrives_in_order(self) -> None:
        """All of it, once, with the source's times; and its threads end with it."""
        port, before = self.make(), set(threading.enumerate())
        ticks = quotes(500, instrument="A.SIM", start_ns=START_NS, step_ns=self.step_ns)
        taken, run, feed = opened(port, len(ticks))
        port.start(feed)
        self.push(port, ticks)
        result = run.run()
        port.close()
        assert not result.errors
        assert taken.times == [START_NS + number * self.step_ns for number in range(500)]
        assert taken.names == {"A.SIM"}
        assert set(threading.enumerate()) <= before, "a thread of the feed is left"

    def test_closing_is_good_at_any_time_and_again(self) -> None:
        """Without a start, after one, and after the run."""
        never = self.make()
        never.close()
        never.close()
        port, before = self.make(), set(threading.enumerate())
        _, run, feed = opened(port, 1)
        port.start(feed)
        port.close()
        port.close()
        assert set(threading.enumerate()) <= before, "a thread of the feed is left"
        run.seal()
        assert run.run().ticks == 0

    def test_a_source_that_goes_on_after_the_run_harms_nobody(self) -> None:
        """Nothing is raised on a thread of the feed, and closing does not wait for the source."""
        port, hook = self.make(), threading.excepthook
        raised: list[Any] = []
        threading.excepthook = raised.append
        try:
            _, run, feed = opened(port, 1)
            port.start(feed)
            self.push(port, quotes(1, instrument="A.SIM", start_ns=START_NS))
            run.run()
            self.push(
                port, quotes(100, instrument="A.SIM", start_ns=START_NS + 10 * self.step_ns, step_ns=self.step_ns)
            )
            port.close()
        finally:
            threading.excepthook = hook
        assert raised == []


class Taken(Strategy):
    """Notes what it gets, and ends the run when it has as many as were promised."""

    def prepare(self, count: int, end: Callable[[], None]) -> None:
        """Say how many to wait for, and how the run is ended."""
        self.count, self.end = count, end

    def on_start(self) -> None:
        """Nothing seen."""
        self.times: list[int] = []
        self.names: set[str] = set()

    def on_tick(self, tick: Tick) -> None:
        """Note it."""
        self.times.append(tick.ts_event)
        self.names.add(str(tick.instrument))
        if len(self.times) == self.count:
            self.end()


def opened(port: LiveFeedPort, count: int) -> tuple[Taken, LiveRun, Feed]:
    """A run that ends after ``count`` ticks, with a feed that is opened as ``port`` wants it."""
    taken = Taken()
    run = open_live(taken, port.instruments)
    taken.prepare(count, run.request_stop)
    return taken, run, run.feed("fed", **port.settings)
