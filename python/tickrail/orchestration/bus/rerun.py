"""``Rerun``: what coroutines of a rerun send has its turn where the recording has it.

Commands that came by a lane are external inputs: the rerun takes them from the recording, each at its place, and its
lanes are closed. Its coroutines run anew and send the same again; whoever sends waits for the recorded turn of an equal
command, and is answered by that.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Final

from tickrail._native import Envelope
from tickrail.domain.context import BESIDE, IN_STEP
from tickrail.orchestration.bus.letters import DeadLetter, DeadLetters
from tickrail.orchestration.bus.receipt import CANCELLED, DONE, FAILED, Receipt
from tickrail.orchestration.bus.step_end import Waiter
from tickrail.orchestration.io_thread import IoThread

__all__ = ["MAX_KEPT", "Rerun"]

MAX_KEPT: Final = 4_096
"""Answers that are kept for coroutines which send later than the recording has it; there may be no such coroutine."""


class Rerun:
    """Pairs of what is sent and what is recorded, by equal commands, the first of each first. Any thread.

    Attributes:
        waiter: Says whether the run is one.
    """

    def __init__(self, letters: DeadLetters, io: IoThread) -> None:
        self.waiter: Waiter | None = None
        self._letters, self._io = letters, io
        self._lock = threading.Lock()
        self._sent: dict[bytes, deque[Envelope]] = {}
        self._had: dict[bytes, deque[Receipt]] = {}
        self._kept = 0

    @property
    def goes_on(self) -> bool:
        """Whether commands are taken from a recording alone."""
        return self.waiter is not None and self.waiter.is_rerun

    def takes(self, envelope: Envelope, payload: bytes) -> bool:
        """Whether the caller is a coroutine of a rerun, or was begun by one: what it sends has its recorded turn."""
        takes = self.goes_on and (self._io.is_current or IN_STEP.get() or BESIDE.get())
        if takes:
            self._pair(envelope, payload)
        return takes

    def _pair(self, envelope: Envelope, payload: bytes) -> None:
        with self._lock:
            had = self._had.get(payload)
            if not had:
                self._sent.setdefault(payload, deque()).append(envelope)
                return
            answer = had.popleft()
            self._kept -= 1
        if envelope.receipt is not None:
            answer.add_done_callback(partial(_answered_by, envelope.receipt))

    def turn(self, payload: bytes) -> Envelope | None:
        """What was sent whose recorded turn this is; ``None``: nothing yet."""
        with self._lock:
            sent = self._sent.get(payload)
            return sent.popleft() if sent else None

    def keep(self, payload: bytes, envelope: Envelope, answer: Receipt) -> None:
        """A recorded turn before anybody has sent such a command; it may still be sent."""

        def told(_: Receipt) -> None:
            if not answer.cancelled() and (error := answer.exception()) is not None:
                self._letters.add(DeadLetter(envelope.command, envelope.trace.id, "failed", error))

        answer.add_done_callback(told)
        with self._lock:
            if self._kept < MAX_KEPT:
                self._kept += 1
                self._had.setdefault(payload, deque()).append(answer)

    def left(self) -> Iterator[Envelope]:
        """What was sent and has no turn in the recording; it is forgotten."""
        with self._lock:
            sent, self._sent = self._sent, {}
        for envelopes in sent.values():
            yield from envelopes


def _answered_by(receipt: Receipt, answer: Receipt) -> None:
    if answer.cancelled():
        receipt.settle(CANCELLED, None)
    elif (error := answer.exception()) is not None:
        receipt.settle(FAILED, error)
    else:
        receipt.settle(DONE, answer.result())
