"""Where ticks come from (``FeedPort``, ``LiveFeedPort``), and what strategies know of them (``MarketDataPort``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tickrail._native import InstrumentId, Tick, TickArray

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["FeedPort", "LiveFeed", "LiveFeedPort", "MarketDataPort", "StreamPublisher"]


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


class StreamPublisher(Protocol):
    """A stream of records into a feed, of one thread or one event loop."""

    def publish(self, data: Any) -> None:
        """Publish many records; what finds no slot is dealt with by the feed's policy."""
        ...

    def offer(self, data: Any) -> bool:
        """Publish many records without waiting; whether all are in. If not, await ``drained`` before the next call."""
        ...

    async def drained(self) -> None:
        """Wait until what was offered is in.

        Raises:
            PublishError: It is not, as the feed's policy or its end will have it.
        """
        ...

    def reconnected(self, *, renumbered: bool = True) -> None:
        """Tell strategies by a GAP record for each instrument that the source was gone for a while."""
        ...

    def close(self) -> None:
        """End the stream after what was published. Idempotent, any thread."""
        ...


@runtime_checkable
class LiveFeed(Protocol):
    """What a live adapter publishes into. Any thread."""

    @property
    def instruments(self) -> Sequence[str]:
        """Ids of the run's instruments, in the order of its table: records of arrays count through them."""
        ...

    def publisher(self) -> StreamPublisher:
        """Open a stream of records for one thread, or one event loop.

        Raises:
            FeedClosed: The run is over.
        """
        ...

    def fail(self, error: BaseException) -> None:
        """Say that the source is gone for good: the run ends in order, ``failed``, with this as its reason."""
        ...


@runtime_checkable
class LiveFeedPort(Protocol):
    """A feed of live ticks. An adapter is constructed with ``name`` and the keys of its table as keywords.

    It pushes: records go into the feed that ``start`` is given, one by one, in arrays or from coroutines, and the loop
    takes them by arrival. Nothing is pulled out of it, as an iterator would cost an object and a wake-up a record, and
    could not say what happens when strategies are slower: that is the feed's declared policy.

    Order: records of one publisher reach strategies in the order published; between publishers by arrival.

    Errors: a connection that is lost is no error of the port. It connects again by itself and says so by
    ``publisher.reconnected()``, which makes a GAP record for each instrument. What no connection mends (access was
    withdrawn, say) it tells by ``feed.fail(error)``, which stops the run. ``start`` may raise ``ConnectivityError``,
    and then the run does not begin.

    Time: ``ts_event`` is the source's; ``ts_init`` is stamped on publication.

    Threads: ``start`` and ``close`` are called from the thread that runs and closes; it publishes from threads of its
    own, each with a publisher of its own, and ends them when a call raises ``FeedClosed``.
    """

    @property
    def instruments(self) -> Sequence[str]:
        """Ids of what it brings; they join the run's table."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """How its feed is opened: ``policy``, ``capacity`` and what else ``TickDispatcher.live_feed`` takes."""
        ...

    def start(self, feed: LiveFeed) -> None:
        """Begin to publish into ``feed``, and return at once; called once, when the run begins."""
        ...

    def close(self) -> None:
        """End every thread and connection that ``start`` began; idempotent, and good without a ``start``."""
        ...


@runtime_checkable
class MarketDataPort(Protocol):
    """What the market is known to be: ``self.market_data`` of a strategy, in a backtest, in paper and live.

    The stream itself is what the handlers of a strategy receive; this is for looking at more than the tick at hand.

    Time: as of the present step, whose tick is the latest; nothing that the loop has not taken is ever shown, so there
    is no look-ahead. GAP and STALE records tell of a feed and are none of the market's. A strategy whose class names
    ``market_data`` in one of its methods knows the market from the run's first tick on; elsewhere it knows what came
    since the first use.

    Order: ``history`` is in the order in which the loop took the records.

    Errors: ``DataError`` for an instrument that is not there, and for more history than is kept.

    Threads: dispatch thread only; elsewhere the calls raise ``WrongThread``.
    """

    @property
    def instruments(self) -> Sequence[str]:
        """Ids of all instruments of the run, in the order of its table, subscribed to or not."""
        ...

    def instrument(self, instrument: InstrumentId | str) -> Mapping[str, Any]:
        """Facts, read-only.

        ``id``, ``currency``, ``price_increment``, ``bar_duration_ns``, ``negative_prices``, ``size_increment``,
        ``min_quantity``, ``max_quantity``, ``multiplier``; an adapter may know more.
        """
        ...

    def latest_tick(self, instrument: InstrumentId | str) -> Tick | None:
        """The last record; ``None`` before the first."""
        ...

    def latest_bar(self, instrument: InstrumentId | str) -> Tick | None:
        """The last bar, however many other records came since; ``None`` before the first."""
        ...

    def history(self, instrument: InstrumentId | str, count: int, *, kind: str | None = None) -> npt.NDArray[np.void]:
        """The last ``count`` records or as many as there are, oldest first: a structured array, safe to keep.

        What comes later does not show in it; it may be read-only.

        With ``kind`` (``quote``, ``trade``, ``bar``, ``custom``) only records of that kind, under the names of their
        fields.
        """
        ...

    def subscribe(self, instrument: InstrumentId | str) -> None:
        """Receive the ticks of ``instrument`` from the next step on."""
        ...

    def unsubscribe(self, instrument: InstrumentId | str) -> None:
        """Be spared the ticks of ``instrument`` from the next step on; what is known of it goes on."""
        ...
