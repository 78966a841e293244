"""What all fakes have: the calls they got, and the faults they are told to have."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Call", "Fake", "Faults"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a fake.

    Attributes:
        method: Which.
        arguments: By name.
    """

    method: str
    arguments: Mapping[str, Any]


@dataclass(slots=True)
class _Fault:
    error: BaseException | type[BaseException]
    after: int
    times: int


@dataclass(slots=True)
class Faults:
    """What a fake will raise instead of doing its work.

    >>> faults = Faults()
    >>> faults.on("save", OSError, after=1)  # the second call
    """

    _planned: dict[str, list[_Fault]] = field(default_factory=dict)

    def on(self, method: str, error: BaseException | type[BaseException], *, after: int = 0, times: int = 1) -> None:
        """Raise ``error`` from the next ``times`` calls of ``method``, once ``after`` more have done well."""
        self._planned.setdefault(method, []).append(_Fault(error, after, times))

    def clear(self) -> None:
        """No more faults."""
        self._planned.clear()

    def strike(self, method: str) -> None:
        """Raise what is planned for this call, if anything is."""
        for fault in self._planned.get(method, ()):
            if fault.after > 0:
                fault.after -= 1
                return
            if fault.times > 0:
                fault.times -= 1
                raise fault.error


class Fake:
    """Base of the fakes.

    Attributes:
        calls: Every call, in order, those that raised too.
        faults: What to raise.

    Thread safety: any thread.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.faults = Faults()
        self._lock = threading.RLock()

    def called(self, method: str) -> list[Call]:
        """The calls of one method."""
        with self._lock:
            return [call for call in self.calls if call.method == method]

    def _note(self, method: str, **arguments: Any) -> None:
        with self._lock:
            self.calls.append(Call(method, arguments))
            self.faults.strike(method)
