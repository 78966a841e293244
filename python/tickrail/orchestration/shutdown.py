"""``Shutdown``: signals, the deadline, and what the process says when it ends. For programs, the command line first.

A wake-up descriptor carries signal numbers from the interpreter's own handler, which runs in C at once, to a native
thread that needs no interpreter: it stops the loop, tells the service supervisor, and ends the process where its time
is over. In a notebook or a library nothing of this is installed.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import functools
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from tickrail._native import Watchdog
from tickrail.domain.ending import END_DEADLINE_S

if TYPE_CHECKING:  # with it comes nearly everything, and until then no signal is heeded
    from tickrail.orchestration.tick_dispatcher import TickDispatcher

__all__ = ["DEADLINE_S", "HURRY_S", "Shutdown"]

DEADLINE_S: Final = END_DEADLINE_S
"""From the first signal to the end of the process."""
HURRY_S: Final = 3.0
"""From the second signal to the end of the process: finalisers still run."""
GRACE_S: Final = 1.0
ENDING_S: Final = 0.1
"""What threads may take that are just coming to their end: whoever has had an answer, say."""
DEADLINE_EXCEEDED: Final = 70  # EX_SOFTWARE, as the native watchdog ends a process
STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""A terminal that is closed ends a run as SIGTERM does, unless the process was told to outlive it (``nohup``)."""


def _feed_s(watchdog_us: str) -> float | None:
    """How often to feed systemd's watchdog: twice within its time, as sd_watchdog_enabled(3) advises."""
    return min(max(int(watchdog_us) / 2e6, 1e-3), 3_600.0) if watchdog_us.isdecimal() and int(watchdog_us) else None


class Shutdown:
    """Bounds the end of a process, from before its run begins until everything is closed. A context manager.

    Args:
        deadline_s: How long a shutdown may take, whatever it was begun by.
        hurry_s: How long it may still take after a second signal.
        notify: Where a service supervisor listens (``NOTIFY_SOCKET``).
        watchdog_us: How soon it takes the process for dead that does not feed it (``WATCHDOG_USEC``).

    A program that is a run and nothing else has with it what ``tickrail run`` has; see ``docs/how-to/operate.md``.
    On another thread than the main one, which no signal reaches, nothing is installed and nothing is bounded.

    Thread safety: one thread.
    """

    def __init__(
        self,
        *,
        deadline_s: float = DEADLINE_S,
        hurry_s: float = HURRY_S,
        notify: str | None = None,
        watchdog_us: str | None = None,
    ) -> None:
        self._deadline_s, self._hurry_s, self._notify = deadline_s, hurry_s, notify
        self._feed_s = _feed_s(watchdog_us or "")
        self._before: dict[signal.Signals, Any] = {}
        self._dog: Watchdog | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._threads = frozenset(threading.enumerate())
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        with contextlib.suppress(AttributeError, RuntimeError, ValueError):  # no such signal, or no stderr to write to
            faulthandler.register(signal.SIGQUIT, file=sys.__stderr__ or sys.stderr, all_threads=True)
        self._dog = Watchdog(
            self._reading.fileno(),
            deadline_s=self._deadline_s,
            hurry_s=self._hurry_s,
            dump_signal=int(signal.SIGQUIT),
            notify=self._notify,
            feed_s=self._feed_s,
        )
        self._dog.set_phase("it starts")
        _here.append(self)
        _heed_forks()
        self._before_fd = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        for one in STOPPING:
            if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN:
                self._before[one] = signal.signal(one, _leave_it_to_the_watchdog)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._dog is None:
            return
        kept_by = self._waited_for() if self._dog.stopping_s is not None else []
        if kept_by:
            # The interpreter waits for them, without end, and calls what is registered here once they have ended.
            self._dog.set_phase(f"threads have not ended: {', '.join(kept_by)}")
            atexit.register(self._close)
        else:
            self._close()

    def _waited_for(self) -> list[str]:
        """Names of the threads since its beginning that the interpreter waits for before it ends."""
        begun = {one for one in threading.enumerate() if not one.daemon} - {*self._threads, threading.current_thread()}
        until = time.monotonic() + ENDING_S
        for one in begun:
            one.join(max(0.0, until - time.monotonic()))
        return sorted(one.name for one in begun if one.is_alive())

    def _close(self) -> None:
        if self._dog is None or self not in _here:
            return
        self._give_back()
        self._writing.send(b"\0")
        self._dog.close()
        self._reading.close()
        self._writing.close()
        with contextlib.suppress(AttributeError):
            faulthandler.unregister(signal.SIGQUIT)

    def _give_back(self) -> None:
        _here.remove(self)
        found = signal.set_wakeup_fd(self._before_fd)
        if found not in (-1, self._writing.fileno()):
            signal.set_wakeup_fd(found)
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _reclaim(self) -> bool:
        """Have signals told to the watchdog again, unless somebody else is told; whether it was told all the time.

        An event loop that handles signals on this thread takes the interpreter's one descriptor for them, and leaves
        none when it is closed.
        """
        mine = self._writing.fileno()
        found = signal.set_wakeup_fd(mine, warn_on_full_buffer=False)
        if found not in (-1, mine):
            signal.set_wakeup_fd(found)
        return found == mine

    def _heard(self, number: int) -> None:
        """The interpreter tells of a signal, which the watchdog may not have been told."""
        if not self._reclaim():
            with contextlib.suppress(OSError):
                self._writing.send(bytes([number]))

    def _reclaim_here(self) -> None:
        if self in _here and threading.current_thread() is threading.main_thread():
            self._reclaim()

    def _forked(self) -> None:
        """In a child: its signals are its own, and who watches is in the parent."""
        self._give_back()
        self._dog = None
        self._reading.close()
        self._writing.close()

    @property
    def signals(self) -> list[int]:
        """The signals that have come, in their order."""
        return [] if self._dog is None else self._dog.signals

    def attach(self, dispatcher: TickDispatcher) -> None:
        """Stop the run of ``dispatcher`` at the first signal; from now on handlers that are stuck are broken off."""
        if self._dog is not None:
            self._dog.set_phase("feeds or strategies have not started or stopped")
            self._dog.attach(dispatcher._native)
            dispatcher.io.share_end(self._deadline_s)

    def ready(self) -> None:
        """Say that the process is ready: its strategies run."""
        self._reclaim_here()
        if self._dog is not None and not self._dog.signals:
            self._dog.notify("READY=1")

    def phase(self, phase: str, within_s: float | None = None) -> None:
        """Say what the process is doing, for the report of a shutdown that takes too long.

        In a shutdown that step of it may take ``within_s``, and never longer than the whole.
        """
        self._reclaim_here()
        if self._dog is not None:
            self._dog.set_phase(phase, within_s)

    def set_report(self, facts: str, file: Path, *, to_stdout: bool) -> None:
        """What is written to ``file`` where the process has to be ended: ``facts`` is a JSON object."""
        if self._dog is not None:
            self._dog.set_report(facts, file, to_stdout=to_stdout)

    @property
    def deadline_s(self) -> float:
        """How long the shutdown may take."""
        return self._deadline_s

    @property
    def grace_s(self) -> float:
        """What a runtime may take by itself: longer than the watchdog gives it, so that one of both speaks."""
        return self._deadline_s + GRACE_S

    @property
    def stopping_s(self) -> float | None:
        """Seconds since the first signal, or since the run was stopped by another way; ``None``: neither yet."""
        return None if self._dog is None else self._dog.stopping_s

    def exit_code(self, code: int, *, abandoned: bool = False) -> int:
        """What the process ends with, whose run alone would mean ``code``.

        0 where it was drained after SIGTERM or SIGHUP, 130 after SIGINT, 143 where a second signal was needed, 70 where
        something had to be abandoned. A run that has failed stays one that has, whoever has stopped it.
        """
        signals = self.signals
        if len(signals) > 1 and code in {0, 128 + signal.SIGINT}:
            return 128 + signals[0]
        if abandoned:
            return DEADLINE_EXCEEDED
        return 128 + signals[0] if signals == [signal.SIGINT] and code == 0 else code


_here: list[Shutdown] = []
"""What is open in this process."""
_masks = threading.local()


@functools.cache
def _heed_forks() -> None:
    """A child has the descriptor of its parent: a signal to it would stop the parent, and not the child."""
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_forked)


def _before_fork() -> None:
    # Until the child has its own handlers again no signal reaches it; one that came then ends it.
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def _after_fork() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _forked() -> None:
    for shutdown in list(_here):
        shutdown._forked()
    _after_fork()


def _leave_it_to_the_watchdog(number: int, _: FrameType | None) -> None:
    """Nothing is raised in the midst of whatever runs: a run that is stopped stops between two steps."""
    for shutdown in _here[-1:]:
        shutdown._heard(number)
