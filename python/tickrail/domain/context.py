"""What is being done, and for whom: carried along by the context, for commands, logs and spans.

What a handler sends is caused by the command that it handles, and belongs to the same story, on whichever thread the
handler runs: ``TRACE`` is set around each call, and asyncio carries it into coroutines.
"""

from __future__ import annotations

import sys
from contextvars import Context, ContextVar, copy_context
from typing import Final

from tickrail._native import StrategyCore, Trace

__all__ = [
    "BESIDE",
    "IN_STEP",
    "NOTHING",
    "TRACE",
    "Trace",
    "beside",
    "correlated",
    "current_correlation",
    "current_strategy",
    "held",
]

DEEPEST: Final = 50  # frames between a handler and the line that logs; a deeper one is none of a strategy's doing


NOTHING: Final = Trace(0, 0, 0)
TRACE: ContextVar[Trace] = ContextVar("tickrail_command", default=NOTHING)
IN_STEP: Final[ContextVar[bool]] = ContextVar("tickrail_in_step", default=False)
"""Whether the loop of a simulation stands still until this code, or what began it, has ended."""


BESIDE: Final[ContextVar[bool]] = ContextVar("tickrail_beside", default=False)
"""Whether this code is a coroutine of a rerun, or was begun by one: the recording has what it sends."""


def beside() -> Context:
    """A copy of the present context, for a coroutine of a rerun that the loop does not wait for."""
    context = copy_context()
    context.run(BESIDE.set, True)
    return context


def held() -> Context:
    """A copy of the present context, for what the loop is going to wait for."""
    context = copy_context()
    context.run(IN_STEP.set, True)
    return context


class correlated:  # noqa: N801 - reads as a verb: with correlated("order-17"): ...
    """Everything sent, logged and measured in this block belongs to the story ``name``."""

    def __init__(self, name: int | str) -> None:
        self._name = name

    def __enter__(self) -> None:
        before = TRACE.get()
        self._token = TRACE.set(Trace(before.id, self._name, before.causation))

    def __exit__(self, *exception: object) -> None:
        TRACE.reset(self._token)


def current_correlation(run: str = "") -> str:
    """What the present story is called: its name, ``RUN/NUMBER`` of its first command, or ``run``: there is none."""
    story = TRACE.get().correlation
    if isinstance(story, str):
        return story
    if story == 0:
        return run
    return f"{run}/{story}" if run else str(story)


def current_strategy() -> str:
    """Name of the strategy whose code is running on this thread; empty if it is none's.

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
    return ""


def _name(strategy: StrategyCore) -> str:
    try:
        return strategy.name
    except Exception:  # it is in no run yet
        return type(strategy).__name__
