"""``Owners``: what strategies register at the bus is theirs, and ends with the object that did it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["Owner", "Owners"]

Undo = Callable[[], None]


class Owner:
    """One life of a strategy.

    Attributes:
        name: The strategy's.
        is_over: Whether another object has taken its place.
        undo: Ends what it has subscribed to.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_over = False
        self.undo: list[Undo] = []


class Owners:
    """Who registers: the strategy that is being started, or whose method it is.

    Args:
        strategies: The run's, by name.
        hook: Number and name of the hook that runs, and more; ``None``: none does.

    Thread safety: any thread; lives change on the dispatch thread.
    """

    def __init__(self, strategies: Mapping[str, object], hook: Callable[[], tuple[int, str, int] | None]) -> None:
        self._strategies, self._hook = strategies, hook
        self._alive: dict[str, Owner] = {}

    def of(self, handler: object, *, on_loop: bool) -> Owner | None:
        """Whose ``handler`` is; ``None``: no strategy's. ``on_loop``: the caller is called by the loop."""
        name = self._name_of(handler)
        if name is None and on_loop and (hook := self._hook()) is not None and hook[1] == "on_start":
            name = list(self._strategies)[hook[0]]
        return None if name is None else self._alive.setdefault(name, Owner(name))

    def ending(self, subscriber: object, undo: Undo, *, on_loop: bool) -> Undo:
        """``undo``, which ends with its owner's life."""
        owner = self.of(subscriber, on_loop=on_loop)
        if owner is not None:
            owner.undo.append(undo)
        return undo

    def renewed(self, name: str) -> None:
        """Another object takes the place of the strategy's: the one that is over hears no more events."""
        owner = self._alive.pop(name, None)
        if owner is not None:
            owner.is_over = True
            undo, owner.undo = owner.undo, []
            for end in undo:
                end()

    def _name_of(self, handler: object) -> str | None:
        its = getattr(handler, "__self__", None)
        return None if its is None else next((name for name, one in self._strategies.items() if one is its), None)
