"""The phases of a start, each with a name and a deadline, so that whatever fails or hangs says where."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from tickrail.domain.threads import begin
from tickrail.errors import BootstrapFailed, TickrailError
from tickrail.orchestration.tracing import span

__all__ = ["PHASE_DEADLINE_NS", "Phase", "Phases"]

JOIN_S: Final = 1.0
"""Longest wait for a watch that was called off: it ends at once, unless it is just reporting."""

PHASE_DEADLINE_NS: Final = 60_000_000_000
"""Long enough for a cold disk and the heaviest imports, short enough for a supervisor that restarts what hangs."""

logger = logging.getLogger(__name__)


class Phase(StrEnum):
    """In their order."""

    CONFIGURATION = "load configuration"
    CONTAINER = "build container"
    STRATEGIES = "construct strategies"
    VALIDATION = "validate ports and graph"
    CHECKS = "pre-start checks"
    INITIALISE = "initialise"
    START = "start"


class Phases:
    """Enters one phase after the other.

    Args:
        deadline_ns: What each phase may take.

    Attributes:
        took_ns: How long each phase took that is over.
    """

    def __init__(self, deadline_ns: int = PHASE_DEADLINE_NS) -> None:
        self.deadline_ns = deadline_ns
        self.took_ns: dict[Phase, int] = {}

    @contextmanager
    def enter(self, phase: Phase) -> Iterator[None]:
        """Do what the block does as ``phase``: errors are told where they arose.

        A phase that takes too long is reported with the stack of its thread while it does, and fails when it returns:
        what was started is undone, whatever it has reached.

        Raises:
            BootstrapFailed: It took longer than its deadline.
        """
        began = time.monotonic_ns()
        with self._watched(phase), span(f"tickrail.bootstrap.{phase.name.lower()}"):
            try:
                yield
            except BaseException as error:
                attribute(error, phase)
                raise
        took = self.took_ns[phase] = time.monotonic_ns() - began
        logger.debug("phase '%s' took %.1f ms", phase, took / 1e6)
        if took > self.deadline_ns:
            raise _late(phase, took, self.deadline_ns)

    @contextmanager
    def _watched(self, phase: Phase) -> Iterator[None]:
        report = _report_of(phase, self.deadline_ns, threading.get_ident())
        timer = threading.Timer(self.deadline_ns / 1e9, report)
        timer.daemon = True
        timer.name = f"tickrail-phase-{phase.name.lower()}"
        begin(timer)
        try:
            yield
        finally:
            timer.cancel()
            timer.join(JOIN_S)  # nothing is left running behind a start, whatever became of it


def attribute(error: BaseException, phase: Phase) -> None:
    """Note on ``error`` in which phase it arose; the innermost phase stays."""
    if isinstance(error, TickrailError) and error.phase is None:
        error.phase = str(phase)
    elif not isinstance(error, TickrailError):
        error.add_note(f"tickrail was in phase '{phase}' of its start; what was started has been undone")


def _late(phase: Phase, took_ns: int, deadline_ns: int) -> BootstrapFailed:
    error = BootstrapFailed(
        f"phase '{phase}' took {took_ns / 1e9:.1f} s, longer than its deadline of {deadline_ns / 1e9:g} s",
        hint="connect in on_start, not in constructors; or raise runtime.phase_deadline_ns",
    )
    error.phase = str(phase)
    return error


def _report_of(phase: Phase, deadline_ns: int, thread: int) -> Callable[[], None]:
    def report() -> None:
        frame = sys._current_frames().get(thread)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "the thread is gone\n"
        logger.error("phase '%s' has not ended within %g s; its thread is here:\n%s", phase, deadline_ns / 1e9, stack)

    return report
