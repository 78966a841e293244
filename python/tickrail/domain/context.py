"""What is being done, and for whom: carried along by the context, for logs and spans."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from tickrail._native import StrategyCore

__all__ = ["CORRELATION", "STRATEGY", "correlated", "current_strategy"]

CORRELATION: Final[ContextVar[str]] = ContextVar("tickrail_correlation", default="")
"""Id of the command, run or start-up that something belongs to."""
STRATEGY: Final[ContextVar[str]] = ContextVar("tickrail_strategy", default="")
"""Name of the strategy that something is done for, where that is no handler."""
DEEPEST: Final = 50  # frames between a handler and the line that logs; a deeper one is none of a strategy's doing


@contextmanager
def correlated(correlation: str, strategy: str = "") -> Iterator[None]:
    """Within the block, log records and spans have these ids."""
    first, second = CORRELATION.set(correlation), STRATEGY.set(strategy or STRATEGY.get())
    try:
        yield
    finally:
        STRATEGY.reset(second)
        CORRELATION.reset(first)


def current_strategy() -> str:
    """Name of the strategy whose code is running on this thread, or that of the context; empty if it is none's.

    Found by looking up the stack for a method of a strategy: whoever asks pays, and a handler costs nothing for it.
    """
    frame = sys._getframe(1)
    for _ in range(DEEPEST):
        if frame.f_code.co_argcount > 0 and frame.f_code.co_varnames[0] == "self":
            owner = frame.f_locals.get("self")
            if isinstance(owner, StrategyCore):
                return _name(owner)
        if frame.f_back is None:
            break
        frame = frame.f_back
    return STRATEGY.get()


def _name(strategy: StrategyCore) -> str:
    try:
        return strategy.name
    except Exception:  # it is in no run yet
        return type(strategy).__name__
