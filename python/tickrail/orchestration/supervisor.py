"""Handlers and coroutines that are stuck: a line in the log with the place, and whether they may be broken off."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from contextlib import suppress
from types import FrameType
from typing import Final

from msgspec.structs import asdict

from tickrail._native import Dispatcher, watch_handlers, watch_io
from tickrail.domain.supervision import HandlerLimits
from tickrail.orchestration.io_thread import IoThread

__all__ = ["said", "stuck", "watch"]

DEBUGGERS: Final = ("bdb", "pdb", "pydevd", "_pydevd_bundle", "debugpy", "IPython.core.debugger")
"""Modules that are on the stack while somebody looks at a handler from within."""

PATIENCE_S: Final = 1.0
"""How long a run that is over waits for what is being told: a log may be slow."""

logger = logging.getLogger("tickrail.handlers")
_telling: Final[set[threading.Thread]] = set()


def watch(native: Dispatcher, limits: HandlerLimits, io: IoThread) -> None:
    """Have the handlers of a run watched while it runs, and what runs on its I/O thread."""
    watch_handlers(native, **asdict(limits), ask=stuck)

    def stuck_beside(seconds: float, thread: int, enforced: bool) -> bool:
        return stuck(None, f"{io.at_work()}, on the I/O thread,", seconds, thread, enforced)

    watch_io(native, io.beat, stuck_beside)


def stuck(strategy: str | None, handler: str, seconds: float, thread: int, enforced: bool) -> bool:
    """Tell of a handler that has not returned in time; whether it may be broken off.

    Called by the native watch of handlers, on a thread of its own.

    Args:
        strategy: Whose, or ``None`` for a command that concerns none.
        handler: Its name.
        seconds: For how long it has run.
        thread: Identity of the dispatch thread.
        enforced: Whether it is broken off, as under the command line.
    """
    frame = sys._current_frames().get(thread)
    debugged = _is_debugged(frame)
    whose = "" if strategy is None else f"strategy {strategy}: "
    places = _places(frame)
    what = "a debugger is at work in it" if debugged else "it is broken off" if enforced else "it goes on"

    def tell() -> None:
        # The lines are looked up here: a handler that loops gives the interpreter away only every few milliseconds, and
        # each file that is opened asks for it again and again, while the handler is to be broken off.
        stack = "".join(traceback.StackSummary.from_list(places).format()) or "(no Python frame)"
        logger.error("%s%s has not returned after %.1f s; %s:\n%s", whose, handler, seconds, what, stack)

    # The interpreter never forgets a foreign thread that has asked for itself, as log records do, and a join.
    teller = threading.Thread(target=tell, name="tickrail-stuck", daemon=True)
    with suppress(RuntimeError):  # the system has no thread left: the native watch has said it on stderr
        teller.start()
        _telling.add(teller)
    return not debugged


def said() -> None:
    """Wait until what was told of stuck handlers stands in the log: it is told on threads that end with the process."""
    while _telling:
        _telling.pop().join(PATIENCE_S)


def _places(frame: FrameType | None) -> list[tuple[str, int, str, None]]:
    """File, line and function of each call, the innermost last, and no text."""
    places: list[tuple[str, int, str, None]] = []
    while frame is not None:
        places.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name, None))
        frame = frame.f_back
    return places[::-1]


def _is_debugged(frame: FrameType | None) -> bool:
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if frame.f_trace is not None or module in DEBUGGERS or module.partition(".")[0] in DEBUGGERS:
            return True
        frame = frame.f_back
    return False
