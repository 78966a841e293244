"""Where ticks come from, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from tickrail._native import InstrumentId, PublisherCore, Tick, TickArray

__all__ = ["FeedPort", "LiveFeed", "LiveMarketData", "MarketDataPort", "MarketView"]


@runtime_checkable
class FeedPort(Protocol):
    """A feed of recorded ticks. An adapter is constructed with ``name`` and the keys of its table as keywords.

    Threads: both are called from the thread that bootstraps and closes; the loop reads the array itself.
    """

    def open(self) -> TickArray:
        """The ticks, in the order of their key; called once.

        Raises:
            DataError: They cannot be had.
        """
        ...

    def close(self) -> None:
        """Let go of what ``open`` took; idempotent. Arrays that are still in use keep their own memory."""
        ...


@runtime_checkable
class MarketView(Protocol):
    """What the market is known to be: ``self.market_data`` of a strategy.

    Time: nothing later than the present step is ever shown. What was seen before the first use is not known: use it in
    ``on_start``.

    Errors: ``DataError`` for an instrument that is not there.
    """

    @property
    def instruments(self) -> Sequence[str]:
        """Ids, in the order of the table."""
        ...

    def instrument(self, instrument: InstrumentId | str) -> Mapping[str, Any]:
        """Facts: ``id``, ``currency``, ``price_increment``, ``bar_duration_ns``, ``negative_prices``."""
        ...

    def latest_tick(self, instrument: InstrumentId | str) -> Tick | None:
        """The last record of any kind; ``None`` before the first."""
        ...

    def latest_bar(self, instrument: InstrumentId | str) -> Tick | None:
        """The last bar; ``None`` before the first."""
        ...

    def history(self, instrument: InstrumentId | str, count: int) -> npt.NDArray[np.void]:
        """The last ``count`` records or as many as there are, oldest first, as a structured array of its own."""
        ...

    def subscribe(self, instrument: InstrumentId | str) -> None:
        """Receive the ticks of ``instrument`` from the next step on."""
        ...


@runtime_checkable
class LiveFeed(Protocol):
    """What a live adapter publishes into. Any thread."""

    def publisher(self) -> PublisherCore:
        """Open a stream of records for one thread, or one event loop.

        Raises:
            FeedClosed: The run is over.
        """
        ...


@runtime_checkable
class MarketDataPort(MarketView, Protocol):
    """A source of live market data: what an adapter of a venue or a vendor offers.

    Order: records of one instrument come in the order of the source; ``ts_event`` may go back between instruments.

    Errors: ``ConnectivityError`` while there is no connection; a stream that loses it raises it and is over, and a
    new one begins with a GAP record where records may be missing.

    Time: ``ts_init`` is stamped by the adapter when it has the record.

    Threads: ``stream`` is consumed on one thread; the others may be called from any thread while it is.
    """

    def stream(self) -> Iterator[Tick]:
        """The records of all that is subscribed to; waits for the next, and ends when the port is closed."""
        ...

    def unsubscribe(self, instrument: InstrumentId | str) -> None:
        """Be spared the ticks of ``instrument``."""
        ...

    def close(self) -> None:
        """End the stream and let go of the connection. Idempotent, any thread."""
        ...


@runtime_checkable
class LiveMarketData(Protocol):
    """A source of live ticks. An adapter is constructed with ``name`` and the keys of its table as keywords.

    Attributes:
        instruments: Ids of what it brings; they join the run's table.
        settings: How its feed is opened: ``policy``, ``capacity`` and what else ``TickDispatcher.live_feed`` takes.

    Threads: ``start`` and ``close`` are called from the thread that runs and closes; it publishes from threads of its
    own, each with a publisher of its own, and ends them when a call raises ``FeedClosed``.
    """

    instruments: Sequence[str]
    settings: Mapping[str, Any]

    def start(self, feed: LiveFeed) -> None:
        """Begin to publish into ``feed``, and return at once; called when the run begins."""
        ...

    def close(self) -> None:
        """End every thread and connection that ``start`` began; idempotent."""
        ...
