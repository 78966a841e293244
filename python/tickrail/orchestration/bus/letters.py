"""What came to nothing, and what was answered before: two bounded memories of the bus."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Any, Literal, TypeAlias

import msgspec

from tickrail.orchestration.bus.receipt import Receipt

__all__ = ["Answered", "DeadLetter", "DeadLetters", "Reason"]

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

    def kept(self) -> tuple[DeadLetter, ...]:
        """Those kept, the oldest first."""
        with self._lock:
            return tuple(self._kept)


class Answered:
    """Receipts by idempotency key: a command that comes again gets the first answer.

    The last ``slots`` keys are known; with a key that fell out a command counts as new.

    Thread safety: any thread.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._receipts: OrderedDict[str, tuple[Any, Receipt]] = OrderedDict()
        self._lock = threading.Lock()

    def first(self, key: str, command: Any, receipt: Receipt) -> tuple[Any, Receipt] | None:
        """Whoever used ``key`` first, with its receipt; ``None``: this one is the first."""
        with self._lock:
            known = self._receipts.get(key)
            if known is not None and not known[1].cancelled():  # what was taken back was never handled
                self._receipts.move_to_end(key)
                return known
            self._receipts[key] = (command, receipt)
            self._receipts.move_to_end(key)
            if len(self._receipts) > self._slots:
                self._receipts.popitem(last=False)
            return None

    def forget(self, key: str) -> None:
        """The command never left: its key is free again."""
        with self._lock:
            self._receipts.pop(key, None)
