"""Figures and events that a strategy wants seen."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Telemetry"]


@runtime_checkable
class Telemetry(Protocol):
    """Counters, gauges and events. ``Inject[Telemetry]`` in a strategy.

    Threads: any. Never blocks, never raises, and no decision may depend on it.
    """

    def count(self, name: str, value: int = 1) -> None:
        """Add to a counter."""
        ...

    def gauge(self, name: str, value: float) -> None:
        """Set a figure."""
        ...

    def event(self, name: str, **facts: object) -> None:
        """Note that something happened."""
        ...
