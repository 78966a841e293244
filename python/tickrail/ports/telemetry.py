"""Figures, events and words that somebody wants seen."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeAlias, runtime_checkable

__all__ = ["Level", "MetricKind", "TelemetryPort"]

MetricKind: TypeAlias = Literal["counter", "gauge", "histogram"]
Level: TypeAlias = Literal["debug", "info", "warning", "error"]


@runtime_checkable
class TelemetryPort(Protocol):
    """Metrics, events, log records and spans: ``self.telemetry`` of a strategy, ``Inject[TelemetryPort]`` elsewhere.

    Never blocks and never raises, whatever it is given; what does not fit is dropped and counted. No decision may
    depend on it.

    Order: of one thread, as called. Time: stamped by whoever writes it down, never by the caller. Threads: any.
    """

    def metric(self, name: str, value: float = 1.0, *, kind: MetricKind = "counter", **labels: str) -> None:
        """Add to a counter, set a gauge, or take a value into a histogram."""
        ...

    def event(self, name: str, **facts: object) -> None:
        """Note that something happened."""
        ...

    def log(self, level: Level, message: str, **facts: object) -> None:
        """Write a line to the log, with the strategy and the correlation id of the context."""
        ...

    def span(self, name: str, **attributes: object) -> AbstractContextManager[object]:
        """Measure what is done within the block."""
        ...
