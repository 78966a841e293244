"""Events to many subscribers, in the order in which they subscribed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from tickrail.domain.commands import Event
from tickrail.orchestration.bus.callables import called

__all__ = ["Subscribers", "Unsubscribe"]

logger = logging.getLogger("tickrail.events")
Subscriber: TypeAlias = Callable[[Any], object]
Unsubscribe: TypeAlias = Callable[[], None]


class Subscribers:
    """Who hears of what.

    Thread safety: ``add`` from any thread; ``tell`` where the bus publishes. Lists are replaced, never changed: an
    event goes to those who were there when it was published.

    Args:
        by_type: Where they stand; who publishes natively has the same dict.
    """

    def __init__(self, by_type: dict[type, tuple[Subscriber, ...]]) -> None:
        self._by_type = by_type
        self.failures = 0
        self._changing = threading.Lock()

    def add(self, cls: type[Event], subscriber: Subscriber) -> Unsubscribe:
        """Let ``subscriber`` hear of events of exactly ``cls``; the answer undoes it, once."""
        called(subscriber, f"the subscriber of {cls.__name__}")
        with self._changing:
            self._by_type[cls] = (*self._by_type.get(cls, ()), subscriber)

        def unsubscribe() -> None:
            with self._changing:
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
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                self.not_heard(subscriber, event, error)

    def not_heard(self, subscriber: Subscriber, event: object, error: BaseException) -> None:
        """A subscriber has failed."""
        self.failures += 1
        logger.error("a subscriber of %s failed: %r", type(event).__name__, subscriber, exc_info=error)
