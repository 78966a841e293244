"""A feed of recorded ticks as a live one: what ``speed`` in its table makes of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from tickrail._native import TickArray
from tickrail.orchestration.feeds import Feed
from tickrail.orchestration.replay import PacedReplay, Speed
from tickrail.ports.market_data import LiveFeed

__all__ = ["ReplayedFeed"]

#: How long ``close`` waits for the thread, which looks at the feed's end every time it waits.
JOIN_S: Final = 5.0

logger = logging.getLogger(__name__)


class ReplayedFeed:
    """Publishes ``ticks`` by a thread of its own once the run begins; fulfils ``LiveFeedPort``.

    Args:
        name: Id of the feed.
        ticks: What is published.
        speed: A multiple of the pace at which they came, or ``"max"``.
    """

    def __init__(self, name: str, ticks: TickArray, speed: Speed) -> None:
        self.name = name
        self.instruments: Sequence[str] = tuple(str(one) for one in ticks.instruments)
        self.settings: Mapping[str, Any] = {}
        self.instrument_table = ticks.instrument_table
        self._ticks = ticks
        self._speed = speed
        self._replay: PacedReplay | None = None

    def start(self, feed: LiveFeed) -> None:
        """Begin to publish into ``feed``."""
        self._replay = PacedReplay(cast("Feed", feed), self._ticks, speed=self._speed).start()

    def close(self) -> None:
        """Publish no more, and wait for the thread; an error that ended it early is logged."""
        replay, self._replay = self._replay, None
        if replay is None:
            return
        replay.stop()
        if not replay.join(JOIN_S):
            logger.warning("feed '%s': its replay did not end within %g s", self.name, JOIN_S)
        elif replay.error is not None:
            logger.warning("feed '%s': its replay ended after %d ticks: %s", self.name, replay.published, replay.error)
