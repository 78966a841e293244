"""What is handed over to be called, looked at where that is done: later each command would fail by it."""

from __future__ import annotations

import inspect
from typing import TypeVar

__all__ = ["called", "check_handler"]

T = TypeVar("T")


def called(what: T, named: str) -> T:
    """``what``, unless it cannot be called.

    Raises:
        TypeError: With what it is to be.
    """
    if not callable(what):
        raise TypeError(f"{named} is {what!r}: expected something that can be called")
    return what


def check_handler(handler: object, command: str) -> None:
    """Refuse a handler of ``command`` that would do nothing.

    Raises:
        TypeError: It cannot be called, or a call of it only makes a generator.
    """
    named = f"the handler of {command}"
    called(handler, named)
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise TypeError(f"{named} is {handler!r}, a generator function: called, it would do nothing")
