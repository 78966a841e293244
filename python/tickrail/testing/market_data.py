"""Market data from nowhere: made ticks as a recorded feed, a view of a market, and a live feed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tickrail._native import InstrumentId, Tick, TickArray
from tickrail.domain.near import did_you_mean
from tickrail.domain.ticks import TICK_DTYPE, Kind, SideCode, dtype_of
from tickrail.errors import DataError, PublishError
from tickrail.ports.market_data import LiveFeed, StreamPublisher
from tickrail.testing.fakes import Fake
from tickrail.testing.ticks import mixed

__all__ = ["FakeLiveFeed", "FakeMarketData"]

STEP_NS: Final = 1_000_000
EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


class FakeMarketData(Fake):
    """Ticks of a seed as a recorded feed, and a view of what a test pushes.

    As a ``FeedPort``, ``open`` hands out ``count`` made ticks; as a ``MarketDataPort`` it knows what ``push`` is given.

    Attributes:
        subscribed: Ids that were subscribed to.

    Args:
        name: Id of the table that names it.
        count: How many ticks ``open`` has.
        seed: Of these.
        instruments: Ids.
    """

    def __init__(
        self, *, name: str = "fake", count: int = 1_000, seed: int = 0, instruments: Sequence[str] = ("EURUSD.SIM",)
    ) -> None:
        super().__init__()
        self.name = name
        self.is_closed = False
        self._instruments = tuple(instruments)
        self._ticks = mixed(count, instruments=self._instruments, seed=seed, step_ns=STEP_NS)
        self.subscribed: set[str] = set()
        self._seen: dict[str, list[Tick]] = {one: [] for one in self._instruments}

    # ---- a recorded feed ---------------------------------------------------------------------------------------

    def open(self) -> TickArray:
        """The made ticks."""
        self._note("open")
        return self._ticks

    def close(self) -> None:
        """Note it."""
        self._note("close")
        self.is_closed = True

    # ---- a view of the market ----------------------------------------------------------------------------------

    @property
    def instruments(self) -> Sequence[str]:
        """Ids."""
        return self._instruments

    def instrument(self, instrument: InstrumentId | str) -> Mapping[str, Any]:
        """Facts of one."""
        self._note("instrument", instrument=str(instrument))
        self._require(instrument)
        rows = {row["id"]: row for row in self._ticks.instrument_table}
        return dict(rows[str(instrument)])

    def latest_tick(self, instrument: InstrumentId | str) -> Tick | None:
        """The last one that was pushed."""
        self._note("latest_tick", instrument=str(instrument))
        seen = self._seen[self._require(instrument)]
        return seen[-1] if seen else None

    def latest_bar(self, instrument: InstrumentId | str) -> Tick | None:
        """The last bar that was pushed."""
        self._note("latest_bar", instrument=str(instrument))
        return next((tick for tick in reversed(self._seen[self._require(instrument)]) if tick.kind == "BAR"), None)

    def history(self, instrument: InstrumentId | str, count: int, *, kind: str | None = None) -> npt.NDArray[np.void]:
        """The last ones that were pushed."""
        self._note("history", instrument=str(instrument), count=count, kind=kind)
        if count < 0:
            raise DataError(f"history of {count} records")
        wanted = None if kind is None else kind.upper()
        kept = [tick for tick in self._seen[self._require(instrument)] if wanted in (None, tick.kind)]
        kept = kept[len(kept) - min(count, len(kept)) :]
        records = np.zeros(len(kept), TICK_DTYPE)
        for place, tick in enumerate(kept):
            records[place] = _record(tick)
        return records if wanted in (None, "CUSTOM") else records.view(dtype_of(str(wanted)))

    def subscribe(self, instrument: InstrumentId | str) -> None:
        """Note it."""
        self._note("subscribe", instrument=str(instrument))
        self.subscribed.add(self._require(instrument))

    def unsubscribe(self, instrument: InstrumentId | str) -> None:
        """Note it."""
        self._note("unsubscribe", instrument=str(instrument))
        self.subscribed.discard(self._require(instrument))

    # ---- for the test ------------------------------------------------------------------------------------------

    def push(self, ticks: TickArray) -> None:
        """Let the market move."""
        for tick in ticks:
            self._seen[self._require(tick.instrument)].append(tick)

    def _require(self, instrument: InstrumentId | str) -> str:
        name = str(instrument)
        if name not in self._seen:
            raise DataError(f"feed {self.name} has no instrument '{name}'{did_you_mean(name, self._seen)}")
        return name


class FakeLiveFeed(Fake):
    """A live feed whose source is the test: what it pushes is published from a thread of the feed's own.

    Args:
        name: Id of the table that names it.
        instruments: Ids.
        settings: How its feed is opened, beside the defaults.

    Attributes:
        is_running: Whether its thread publishes.
        refused: What publishing raised: ``FeedClosed`` once the run is over.
    """

    def __init__(
        self, *, name: str = "fake", instruments: Sequence[str] = ("EURUSD.SIM",), settings: Mapping[str, Any] = EMPTY
    ) -> None:
        super().__init__()
        self.name = name
        self.instruments: Sequence[str] = tuple(instruments)
        self.settings: Mapping[str, Any] = dict(settings)
        self.refused: list[Exception] = []
        self._work: queue.SimpleQueue[Callable[[StreamPublisher], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether its thread publishes."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, feed: LiveFeed) -> None:
        """Begin to publish what is pushed, and was pushed before."""
        self._note("start")
        publisher = feed.publisher()  # here, so that a run that is sealed meanwhile waits for it
        self._thread = threading.Thread(target=self._publish, args=(publisher,), name=f"fake feed {self.name}")
        self._thread.start()

    def close(self) -> None:
        """End the stream, once what was pushed is published, and the thread."""
        self._note("close")
        self._work.put(None)
        if self._thread is not None:
            self._thread.join()

    # ---- for the test ------------------------------------------------------------------------------------------

    def push(self, ticks: TickArray) -> None:
        """Let the source have these ticks. Any thread, before the start too."""
        self._work.put(lambda publisher: publisher.publish(ticks))

    def disconnect(self) -> None:
        """Lose the connection and have it again: strategies get a GAP record for each instrument."""
        self._work.put(lambda publisher: publisher.reconnected())

    def end(self) -> None:
        """Let the source have no more; a run that is sealed ends then."""
        self._work.put(None)

    def _publish(self, publisher: StreamPublisher) -> None:
        try:
            while (work := self._work.get()) is not None:
                work(publisher)
        except PublishError as error:
            self.refused.append(error)
        finally:
            publisher.close()


def _record(tick: Tick) -> tuple[Any, ...]:
    """The fields of ``TICK_DTYPE``; the instrument is the only one, and a bar's volume stands in its sequence."""
    sequence = np.float64(tick.volume).view(np.uint64) if tick.kind == "BAR" else tick.sequence
    codes = (Kind[tick.kind], SideCode[tick.side], tick.flags)
    return (tick.ts_event, tick.ts_init, sequence, 0, *codes, *tick.values)
