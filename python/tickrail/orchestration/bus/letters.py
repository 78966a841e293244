"""What came to nothing, and what was answered before: two bounded memories of the bus."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from concurrent.futures import Future
from typing import Any, Final, Literal, TypeAlias

import msgspec

from tickrail._native import Envelope
from tickrail.orchestration.bus.receipt import CANCELLED, DONE, FAILED, Receipt
from tickrail.orchestration.bus.refusals import check_same
from tickrail.orchestration.bus.routes import Route

__all__ = ["DEAD_LETTERS", "KEYS", "Answered", "DeadLetter", "DeadLetters", "Reason", "is_free"]

DEAD_LETTERS: Final = 1_024
KEYS: Final = 10_000

Reason: TypeAlias = Literal["failed", "expired", "cancelled", "shutting_down", "lane_full", "refused"]


class DeadLetter(msgspec.Struct, frozen=True):
    """A command that nobody handled, or whose handler failed with nobody waiting for the answer.

    Attributes:
        command: The command.
        id: Its number within the run.
        reason: In one word.
        error: What was raised, where something was.
    """

    command: Any
    id: int
    reason: Reason
    error: BaseException | None = None


class DeadLetters:
    """The last so many dead letters; all are counted.

    Thread safety: any thread.
    """

    def __init__(self, slots: int) -> None:
        self._kept: deque[DeadLetter] = deque(maxlen=slots)
        self.counts: dict[Reason, int] = {}
        self._lock = threading.Lock()

    def add(self, letter: DeadLetter) -> None:
        """Keep ``letter``; the oldest gives way."""
        with self._lock:
            self._kept.append(letter)
            self.counts[letter.reason] = self.counts.get(letter.reason, 0) + 1

    def dead(self, envelope: Envelope, reason: Reason, error: BaseException | None) -> BaseException:
        """Keep what was never handled, and tell who waits; the answer is what the sender may be told."""
        self.add(DeadLetter(envelope.command, envelope.trace.id, reason, error))
        if envelope.receipt is not None:
            envelope.receipt.settle(*((CANCELLED, None) if error is None else (FAILED, error)))
        return error if error is not None else RuntimeError(reason)

    def failed(self, envelope: Envelope, error: BaseException) -> None:
        """The handler has raised; nobody hears of it by a receipt that was given up."""
        if envelope.receipt is None or envelope.receipt.left():
            self.add(DeadLetter(envelope.command, envelope.trace.id, "failed", error))
        if envelope.receipt is not None:
            envelope.receipt.settle(FAILED, error)

    def settled(self, envelope: Envelope, done: Future[Any], *, is_over: bool) -> None:
        """What the handler has begun has ended; ``is_over``: with the run."""
        if done.cancelled():
            self.dead(envelope, "shutting_down" if is_over else "cancelled", None)
        elif (error := done.exception()) is not None:
            self.failed(envelope, error)
        elif envelope.receipt is not None:
            envelope.receipt.settle(DONE, done.result())

    def kept(self) -> tuple[DeadLetter, ...]:
        """Those kept, the oldest first."""
        with self._lock:
            return tuple(self._kept)


class Answered:
    """Receipts by idempotency key: a command that comes again gets the answer of the first.

    A key names a command as long as that may be handled or was: with one that was taken back, had expired or never left
    it is free again. The last ``slots`` keys are known; with a key that fell out a command counts as new.

    Thread safety: any thread.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._receipts: OrderedDict[str, tuple[Route, bytes, Receipt]] = OrderedDict()
        self._lock = threading.Lock()

    def first(self, key: str, route: Route, payload: bytes, receipt: Receipt) -> Receipt | None:
        """Let ``receipt`` have the answer to ``key``: that of the command to be sent now, or ``None``: one was before.

        Raises:
            CommandInvalid: Another command was sent with the key.
        """
        with self._lock:
            known = self._receipts.get(key)
            if known is not None and not is_free(known[2]):
                check_same(known[0], known[1], route, payload, key)
                if receipt.follow(known[2]):
                    self._receipts.move_to_end(key)
                    return None
            first = Receipt()
            receipt.follow(first)
            self._receipts[key] = (route, payload, first)
            self._receipts.move_to_end(key)
            if len(self._receipts) > self._slots:
                self._receipts.popitem(last=False)
            return first


def is_free(first: Receipt) -> bool:
    """Whether what ``first`` belongs to came to nothing, and never will come to anything."""
    return first.done() and not first.begun()
