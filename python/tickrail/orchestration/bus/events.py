"""Events to many subscribers, in the order in which they subscribed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

from tickrail.domain.commands import Event

__all__ = ["Subscribers", "Unsubscribe"]

logger = logging.getLogger("tickrail.events")
Subscriber: TypeAlias = Callable[[Any], object]
Unsubscribe: TypeAlias = Callable[[], None]


class Subscribers:
    """Who hears of what.

    Thread safety: ``add`` from any thread; ``tell`` where the bus publishes. Lists are replaced, never changed: an
    event goes to those who were there when it was published.
    """

    def __init__(self) -> None:
        self._by_type: dict[type, tuple[Subscriber, ...]] = {}
        self.failures = 0

    def add(self, cls: type[Event], subscriber: Subscriber) -> Unsubscribe:
        """Let ``subscriber`` hear of events of exactly ``cls``; the answer undoes it, once."""
        self._by_type[cls] = (*self._by_type.get(cls, ()), subscriber)

        def unsubscribe() -> None:
            left = list(self._by_type[cls])
            if subscriber in left:
                left.remove(subscriber)
            self._by_type[cls] = tuple(left)

        return unsubscribe

    def tell(self, event: object) -> None:
        """Call everybody, in order; what one raises is logged and keeps nobody else from hearing."""
        for subscriber in self._by_type.get(type(event), ()):
            try:
                subscriber(event)
            except Exception:
                self.failures += 1
                logger.exception("a subscriber of %s failed: %r", type(event).__name__, subscriber)
