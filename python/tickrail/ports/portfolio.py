"""What a strategy holds."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from tickrail._native import InstrumentId

__all__ = ["Portfolio"]


@runtime_checkable
class Portfolio(Protocol):
    """Positions; every ``Strategy`` is one, of its own.

    Threads: dispatch thread only; elsewhere the call raises ``WrongThread``.
    """

    def position(self, instrument: InstrumentId | str) -> float:
        """Units held, below zero when short; fills only, without orders in flight."""
        ...
