"""An asyncio loop that says natively when it is woken and when it goes to wait."""

from __future__ import annotations

import asyncio
import selectors

from tickrail._native import IoBeat

__all__ = ["beating_loop"]


class _Beating(selectors.DefaultSelector):
    """The only place where the loop waits: whatever lies between two waits is coroutines and callbacks."""

    def __init__(self, beat: IoBeat) -> None:
        super().__init__()
        self._work, self._rest = beat.work, beat.rest

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._rest()
        try:
            return super().select(timeout)
        finally:
            self._work()


def beating_loop(beat: IoBeat) -> asyncio.AbstractEventLoop:
    """A loop that writes ``beat``; one of another kind, where the process has a policy for it (uvloop), writes none."""
    loop = asyncio.new_event_loop()
    if type(loop) is not asyncio.SelectorEventLoop:
        return loop
    loop.close()
    return asyncio.SelectorEventLoop(_Beating(beat))
