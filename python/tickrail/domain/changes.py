"""What happens to a strategy's life, as a record."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import asdict

__all__ = ["StateChange"]


class StateChange(msgspec.Struct, frozen=True):
    """One step of a strategy's life; it is part of the run digest.

    Attributes:
        strategy: Name of the strategy.
        position: Loop position.
        ts_ns: The clock of the loop, int ns UTC.
        operation: What was done: ``start``, ``pause``, ...
        before: The state before.
        after: The state after; the same where only the mode of a pause changed.
        mode: How it is paused, where ``after`` is ``PAUSED``.
        cause: Who or what asked for it.
    """

    strategy: str
    position: int
    ts_ns: int
    operation: str
    before: str
    after: str
    mode: str | None
    cause: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
