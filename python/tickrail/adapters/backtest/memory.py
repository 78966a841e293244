"""Telemetry and state that live as long as the run."""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, Final

from tickrail.errors import StateError
from tickrail.ports.telemetry import Level, MetricKind

__all__ = ["MemoryStateStore", "MemoryTelemetry"]

MAX_EVENTS: Final = 10_000  # the newest are kept: a run of a billion ticks must not fill the memory with its notes


class MemoryTelemetry:
    """Keeps what it is told, for tests and for a look after the run.

    Attributes:
        counters: Sums, by name.
        gauges: Last figures, by name.
        values: The last values that histograms took, by name.
        events: The last events: name and facts.
        lines: The last lines: level, message and facts.
    """

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
        self.values: dict[str, deque[float]] = {}
        self.events: deque[tuple[str, Mapping[str, object]]] = deque(maxlen=MAX_EVENTS)
        self.lines: deque[tuple[Level, str, Mapping[str, object]]] = deque(maxlen=MAX_EVENTS)
        self._lock = threading.Lock()

    def metric(self, name: str, value: float = 1.0, *, kind: MetricKind = "counter", **labels: str) -> None:  # noqa: ARG002
        """Add to a counter, set a gauge, or take a value; labels are not told apart."""
        with self._lock, suppress(Exception):  # telemetry never raises, whatever it is given
            if kind == "gauge":
                self.gauges[name] = value
            elif kind == "histogram":
                self.values.setdefault(name, deque(maxlen=MAX_EVENTS)).append(value)
            else:
                self.counters[name] += value  # type: ignore[assignment]  # a sum of floats

    def event(self, name: str, **facts: object) -> None:
        """Note that something happened."""
        self.events.append((name, MappingProxyType(facts)))

    def log(self, level: Level, message: str, **facts: object) -> None:
        """Keep a line."""
        self.lines.append((level, message, MappingProxyType(facts)))

    @contextmanager
    def span(self, name: str, **attributes: object) -> Iterator[None]:
        """Note that it ended."""
        try:
            yield
        finally:
            self.events.append((name, MappingProxyType(attributes)))


class MemoryStateStore:
    """Forgets with the process: a backtest starts from nothing each time, which determinism asks for.

    Keeps the text that a file would have, so that what works here works there.
    """

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def load(self, strategy: str) -> Mapping[str, Any]:
        """What was saved last."""
        state: dict[str, Any] = json.loads(self._states.get(strategy, "{}"))
        return state

    def save(self, strategy: str, state: Mapping[str, Any]) -> None:
        """Keep a copy of ``state``."""
        try:
            text = json.dumps(dict(state), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise StateError(
                f"the state of strategy {strategy} cannot be kept: {error}", hint="plain values that JSON knows"
            ) from None
        self._states[strategy] = text
