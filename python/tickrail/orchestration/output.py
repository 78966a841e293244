"""What a program prints at its end, whether anybody reads it or not: a reader that has gone leaves the exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

__all__ = ["complain", "flush", "say"]


def say(what: str, write: Callable[[], Any], *, place: str | None = None) -> None:
    """Let ``write`` print ``what`` on stdout; where that cannot be done stderr says so, and where the result lies."""
    error = _tried(write, sys.stdout)
    if error is not None:
        where = "" if place is None else f"; result: {place}"
        why = error.strerror or str(error)
        complain(lambda: sys.stderr.write(f"error: {what} could not be printed: {why}{where}\n"))


def complain(write: Callable[[], Any]) -> None:
    """Let ``write`` print on stderr, if anybody is there."""
    _tried(write, sys.stderr)


def flush() -> None:
    """Leave nothing to the interpreter that it could not write at its end, which would be an exit code of its own."""
    for stream in (sys.stdout, sys.stderr):
        _tried(lambda: None, stream)


def _tried(write: Callable[[], Any], stream: TextIO | None) -> OSError | None:
    if stream is None:  # the process began without it
        return OSError(errno.EBADF, os.strerror(errno.EBADF))
    try:
        write()
        stream.flush()
    except OSError as error:
        _give_up(stream)
        return error
    return None


def _give_up(stream: TextIO) -> None:
    """What it holds, and whatever is still printed, goes nowhere."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # it has no descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
