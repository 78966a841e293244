"""Feed ``published``: the program itself publishes, by ``runtime.feed(name).publisher()``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tickrail.ports.market_data import LiveFeed

__all__ = ["PublishedFeed"]


class PublishedFeed:
    """A live feed without a source of its own.

    Args:
        name: Id of the feed.
        instruments: What is published, by id.
        policy: This and the others are what ``TickDispatcher.live_feed`` takes.
    """

    def __init__(
        self,
        *,
        name: str,
        instruments: Sequence[str],
        policy: str = "block",
        capacity: int = 8_192,
        timeout_s: float = 5.0,
        trades: str = "keep",
        backwards: str = "pass",
        reorder_ns: int = 0,
        numbering: str = "ignored",
        stale_after_ns: int = 0,
        rate_limit: int = 0,
        rate_policy: str = "reject",
        high_watermark: int = 0,
        low_watermark: int = 0,
    ) -> None:
        self.name = name
        self.instruments: Sequence[str] = tuple(instruments)
        self.settings: Mapping[str, Any] = {
            "policy": policy,
            "capacity": capacity,
            "timeout_s": timeout_s,
            "trades": trades,
            "backwards": backwards,
            "reorder_ns": reorder_ns,
            "numbering": numbering,
            "stale_after_ns": stale_after_ns,
            "rate_limit": rate_limit,
            "rate_policy": rate_policy,
            "high_watermark": high_watermark,
            "low_watermark": low_watermark,
        }

    def start(self, feed: LiveFeed) -> None:
        """Nothing: the program publishes when it will."""

    def close(self) -> None:
        """Nothing to let go of."""
