"""``begun``: a call that nobody has to wait for to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["begun"]

T = TypeVar("T")


def begun(act: Callable[[], T], name: str) -> Future[T]:
    """What ``act`` returns, on a thread of its own: who waits no longer leaves it there, and the process may end."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(act())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return done
