"""``Receipt``: the answer to a command, to be had once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, Final

from tickrail.errors import CommandTimeout, WouldDeadlock

__all__ = ["Receipt"]

PENDING: Final = 0
CANCELLED: Final = 1
FAILED: Final = 2
DONE: Final = 3


class Receipt:
    """What ``submit`` returns: the command's result, once there is one.

    Not ``concurrent.futures.Future``, whose condition costs as much as the whole way through the lane (0.77 us to make,
    2.1 us with a result): a lock of its own, and a gate only for who waits.

    Thread safety: any thread.
    """

    __slots__ = ("_callbacks", "_forbids", "_lock", "_state", "_value")

    def __init__(self, forbids: Callable[[], bool] | None = None) -> None:
        self._lock = threading.Lock()
        self._state = PENDING
        self._value: Any = None
        self._callbacks: list[Callable[[Receipt], object]] | None = None
        self._forbids = forbids

    def result(self, timeout: float | None = None) -> Any:
        """What the handler returned; waits for it, at most ``timeout`` seconds.

        Raises:
            CommandTimeout: There is no answer yet; the command stays sent.
            CancelledError: It was cancelled before its turn.
            WouldDeadlock: Called on the thread that has to handle the command.
            Exception: What the handler raised, or why it was never called.
        """
        if self._state == PENDING:
            self._wait(timeout)
        if self._state == FAILED:
            raise self._value
        if self._state == CANCELLED:
            raise CancelledError
        return self._value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the handler raised, if it did; waits as ``result`` does."""
        if self._state == PENDING:
            self._wait(timeout)
        if self._state == CANCELLED:
            raise CancelledError
        return self._value if self._state == FAILED else None

    def done(self) -> bool:
        """Whether there is an answer."""
        return self._state != PENDING

    def cancelled(self) -> bool:
        """Whether it was cancelled before its turn."""
        return self._state == CANCELLED

    def cancel(self) -> bool:
        """Take the command back if its handler was not called yet; whether it is cancelled now."""
        return self.settle(CANCELLED, None) or self._state == CANCELLED

    def add_done_callback(self, callback: Callable[[Receipt], object]) -> None:
        """Call ``callback`` with this receipt once there is an answer, on the thread that brings it, or at once."""
        with self._lock:
            if self._state == PENDING:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(callback)
                return
        callback(self)

    def settle(self, state: int, value: Any) -> bool:
        """Give the answer; false where there is one already. For the bus.

        Callbacks that raise are no concern of whoever brings the answer.
        """
        with self._lock:
            if self._state != PENDING:
                return False
            self._value = value
            self._state = state
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            try:
                callback(self)
            except Exception:
                _log(callback)
        return True

    def _wait(self, timeout: float | None) -> None:
        if self._forbids is not None and self._forbids():
            raise WouldDeadlock(
                "the thread that handles commands cannot wait for one that is still to come",
                hint="add_done_callback(...), or execute(...), which runs the handler at once",
            )
        gate = threading.Lock()
        gate.acquire()
        self.add_done_callback(lambda _: gate.release())
        if not gate.acquire(timeout=-1 if timeout is None else max(timeout, 0.0)):
            raise CommandTimeout(f"no answer within {timeout:g} s; the command stays sent", timeout_s=timeout or 0.0)

    def __repr__(self) -> str:
        return f"<Receipt {('pending', 'cancelled', 'failed', 'done')[self._state]}>"


def _log(callback: object) -> None:
    import logging

    logging.getLogger("tickrail.commands").exception("a done callback failed: %r", callback)
