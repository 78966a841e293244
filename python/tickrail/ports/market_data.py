"""Where ticks come from."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from tickrail._native import TickArray

__all__ = ["MarketData"]


@runtime_checkable
class MarketData(Protocol):
    """A feed of recorded ticks. An adapter is constructed with ``name`` and the keys of its table as keywords.

    Threads: both are called from the thread that bootstraps and closes; the loop reads the array itself.
    """

    def open(self) -> TickArray:
        """The ticks, in the order of their key; called once.

        Raises:
            DataError: They cannot be had.
        """
        ...

    def close(self) -> None:
        """Let go of what ``open`` took; idempotent. Arrays that are still in use keep their own memory."""
        ...
