"""Feed ``ticks``: a tick file, mapped."""

from __future__ import annotations

from pathlib import Path

from tickrail._native import TickArray

__all__ = ["TickFileFeed"]


class TickFileFeed:
    """Ticks of a ``.ticks`` file between two times.

    Args:
        name: Id of the feed.
        path: The file.
        start: First time that is delivered, int ns UTC; ``None`` is the beginning.
        end: First time that is delivered no more; ``None`` is the end.
    """

    def __init__(self, *, name: str, path: Path, start: int | None = None, end: int | None = None) -> None:
        self.name = name
        self.path = path
        self._start = start
        self._end = end
        self._array: TickArray | None = None

    def open(self) -> TickArray:
        """Map the file; nothing is read before the loop does."""
        array = TickArray.open(self.path)
        self._array = array if self._start is None and self._end is None else array.between(self._start, self._end)
        return self._array

    def close(self) -> None:
        """Let go of the mapping."""
        self._array = None
