"""Where ticks come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from tickrail._native import PublisherCore, TickArray

__all__ = ["LiveFeed", "LiveMarketData", "MarketData"]


@runtime_checkable
class MarketData(Protocol):
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


class LiveFeed(Protocol):
    """What a live adapter publishes into. Any thread."""

    def publisher(self) -> PublisherCore:
        """Open a stream of records for one thread, or one event loop.

        Raises:
            FeedClosed: The run is over.
        """
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
