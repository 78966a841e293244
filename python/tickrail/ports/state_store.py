"""What a strategy keeps from one run to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

__all__ = ["StateStore"]


@runtime_checkable
class StateStore(Protocol):
    """One table of plain values a strategy, by the strategy's name. ``Inject[StateStore]`` in a strategy.

    Threads: any; calls for one name are made one after the other.
    """

    def load(self, strategy: str) -> Mapping[str, Any]:
        """What was saved last; empty if nothing was."""
        ...

    def save(self, strategy: str, state: Mapping[str, Any]) -> None:
        """Keep ``state`` in place of what was there; whole or not at all."""
        ...
