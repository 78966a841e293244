"""Telemetry that remembers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tickrail.ports.telemetry import Level, MetricKind
from tickrail.testing.fakes import Fake

__all__ = ["FakeTelemetry"]


class FakeTelemetry(Fake):
    """Keeps whatever it is told.

    Attributes:
        counters: Sums, by name.
        gauges: Last figures, by name.
        values: What histograms took, by name.
        dropped: Calls that a fault made it drop: telemetry never raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counters: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
        self.values: dict[str, list[float]] = {}
        self.dropped = 0

    def metric(self, name: str, value: float = 1.0, *, kind: MetricKind = "counter", **labels: str) -> None:
        """Add to a counter, set a gauge, or take a value."""
        if not self._kept("metric", name=name, value=value, kind=kind, labels=labels):
            return
        with self._lock, suppress(TypeError):
            if kind == "counter":
                self.counters[name] += value  # type: ignore[assignment]  # a sum of floats
            elif kind == "gauge":
                self.gauges[name] = value
            else:
                self.values.setdefault(name, []).append(value)

    def event(self, name: str, **facts: object) -> None:
        """Note that something happened."""
        self._kept("event", name=name, facts=facts)

    def log(self, level: Level, message: str, **facts: object) -> None:
        """Keep a line."""
        self._kept("log", level=level, message=message, facts=facts)

    @contextmanager
    def span(self, name: str, **attributes: object) -> Iterator[None]:
        """Keep that it began and ended."""
        self._kept("span", name=name, attributes=attributes)
        try:
            yield
        finally:
            self._kept("span_end", name=name)

    def _kept(self, method: str, **arguments: object) -> bool:
        try:
            self._note(method, **arguments)
        except Exception:
            self.dropped += 1
            return False
        return True
