"""Telemetry and state that live as long as the run."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

__all__ = ["MemoryStateStore", "MemoryTelemetry"]

MAX_EVENTS: Final = 10_000  # the newest are kept: a run of a billion ticks must not fill the memory with its notes


class MemoryTelemetry:
    """Keeps what it is told, for tests and for a look after the run."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
        self.events: deque[tuple[str, Mapping[str, object]]] = deque(maxlen=MAX_EVENTS)
        self._lock = threading.Lock()

    def count(self, name: str, value: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self.counters[name] += value

    def gauge(self, name: str, value: float) -> None:
        """Set a figure."""
        self.gauges[name] = value

    def event(self, name: str, **facts: object) -> None:
        """Note that something happened."""
        self.events.append((name, MappingProxyType(facts)))


class MemoryStateStore:
    """Forgets with the process: a backtest starts from nothing each time, which determinism asks for."""

    def __init__(self) -> None:
        self._states: dict[str, Mapping[str, Any]] = {}

    def load(self, strategy: str) -> Mapping[str, Any]:
        """What was saved last."""
        return self._states.get(strategy, MappingProxyType({}))

    def save(self, strategy: str, state: Mapping[str, Any]) -> None:
        """Keep a copy of ``state``."""
        self._states[strategy] = MappingProxyType(dict(state))
