"""What every ``FeedPort`` and every ``MarketDataPort`` does."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from tickrail._native import Tick, TickArray
from tickrail.errors import DataError
from tickrail.orchestration.port_check import check_port
from tickrail.ports.market_data import FeedPort, MarketDataPort
from tickrail.testing.ticks import START_NS, bars, quotes

__all__ = ["FeedSuite", "MarketDataSuite"]

WAIT_S = 30.0


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

    def test_a_stream_has_what_was_subscribed_to_in_order_and_ends_with_the_port(self) -> None:
        """``close`` from another thread ends the wait."""
        port = self.make()
        port.subscribe("A.SIM")
        port.subscribe("B.SIM")
        port.unsubscribe("B.SIM")
        taken = self.taking(port, 4)
        self.push(port, quotes(2, instrument="A.SIM", start_ns=START_NS, step_ns=1))
        self.push(port, quotes(2, instrument="B.SIM", start_ns=START_NS, step_ns=1))
        self.push(port, quotes(2, instrument="A.SIM", start_ns=START_NS + 5, step_ns=1))
        ticks = taken()
        assert [str(tick.instrument) for tick in ticks] == ["A.SIM"] * 4
        assert [tick.ts_event - START_NS for tick in ticks] == [0, 1, 5, 6]

    def taking(self, port: MarketDataPort, count: int) -> TakeAll:
        """Consume the stream on another thread, which closes the port when it has ``count`` ticks."""
        return TakeAll(port, count)


class TakeAll:
    """A thread that takes ticks from a stream; called, it waits for the end and says what it has."""

    def __init__(self, port: MarketDataPort, count: int) -> None:
        self._ticks: list[Tick] = []
        self._thread = threading.Thread(target=self._take, args=(port, count), daemon=True)
        self._thread.start()

    def _take(self, port: MarketDataPort, count: int) -> None:
        for tick in port.stream():
            self._ticks.append(tick)
            if len(self._ticks) == count:
                threading.Thread(target=port.close).start()

    def __call__(self) -> Sequence[Tick]:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "the stream did not end when the port was closed"
        return self._ticks
