"""What a strategy keeps from one life to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

__all__ = ["StateStorePort"]


@runtime_checkable
class StateStorePort(Protocol):
    """One table of plain values a strategy, by the strategy's name.

    What is loaded equals what was saved last; values are those that JSON knows. A save is there whole or not at all,
    also when the process dies in it.

    Errors: ``StateError`` where a state cannot be read or written; what was there before stays.

    Order: calls for one name are made one after the other. Threads: any.
    """

    def load(self, strategy: str) -> Mapping[str, Any]:
        """What was saved last; empty if nothing was."""
        ...

    def save(self, strategy: str, state: Mapping[str, Any]) -> None:
        """Keep ``state`` in place of what was there; an empty one forgets it."""
        ...
