"""What is handed over to be called, looked at where that is done: later each command would fail by it."""

from __future__ import annotations

import inspect
from typing import TypeVar

__all__ = ["called", "check_handler"]

T = TypeVar("T")


def called(what: T, named: str) -> T:
    """``what``, unless it cannot be called, or a call of it does nothing by itself.

    Raises:
        TypeError: With what it is to be.
    """
    if not callable(what):
        raise TypeError(f"{named} is {what!r}: expected something that can be called")
    if inspect.iscoroutinefunction(what):
        raise TypeError(f"{named} is {what!r}, a coroutine function, which nobody would await: expected a plain one")
    return _does(what, named)


def check_handler(handler: object, command: str) -> None:
    """Refuse a handler of ``command`` that would do nothing; a coroutine function does.

    Raises:
        TypeError: It cannot be called, or a call of it only makes a generator.
    """
    named = f"the handler of {command}"
    if inspect.iscoroutinefunction(handler):
        return
    called(handler, named)


def _does(what: T, named: str) -> T:
    if inspect.isgeneratorfunction(what) or inspect.isasyncgenfunction(what):
        raise TypeError(f"{named} is {what!r}, a generator function: called, it would do nothing")
    return what
