"""An asyncio loop that says natively when it is woken and when it goes to wait."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import TypeVar, TypeVarTuple

from tickrail._native import IoBeat
from tickrail.domain.context import BESIDE, IN_STEP

__all__ = ["beating_loop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


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


class _Loop(asyncio.SelectorEventLoop):
    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """What the loop of a simulation waits for is marked by its context; so are its threads, by whatever call."""
        if IN_STEP.get() or BESIDE.get():
            return super().run_in_executor(executor, partial(copy_context().run, func, *args))
        return super().run_in_executor(executor, func, *args)


def beating_loop(beat: IoBeat) -> asyncio.AbstractEventLoop:
    """A loop that writes ``beat``; one of another kind, where the process has a policy for it (uvloop), writes none."""
    loop = asyncio.new_event_loop()
    if type(loop) is not asyncio.SelectorEventLoop:
        return loop
    loop.close()
    return _Loop(_Beating(beat))
