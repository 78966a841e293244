"""In which order strategies start: as declared, but each after those that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["Circle", "start_order"]


class Circle(ValueError):
    """Strategies that wait for each other.

    Attributes:
        path: From one of them back to itself.
    """

    def __init__(self, path: Sequence[str]) -> None:
        super().__init__(" -> ".join(path))
        self.path = tuple(path)


def start_order(after: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The names of ``after`` in their order, each moved behind those that it is to follow.

    >>> start_order({"hedge": ["main"], "main": [], "other": []})
    ('main', 'hedge', 'other')

    Raises:
        Circle: Some follow each other.
    """
    placed: dict[str, None] = {}
    open_now: list[str] = []

    def place(name: str) -> None:
        if name in placed:
            return
        if name in open_now:
            raise Circle([*open_now[open_now.index(name) :], name])
        open_now.append(name)
        for before in after[name]:
            if before in after:
                place(before)
        open_now.pop()
        placed[name] = None

    for name in after:
        place(name)
    return tuple(placed)
