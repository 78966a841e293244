"""Threads of ours that cannot be started: said by name, as the native core says it of its own."""

from __future__ import annotations

import threading

from tickrail.errors import BootstrapFailed

__all__ = ["begin"]

HINT = "end other processes, or raise the limit: 'ulimit -u', pids.max of the container, TasksMax of systemd"


def begin(thread: threading.Thread) -> threading.Thread:
    """Start a thread; returns it.

    Raises:
        BootstrapFailed: The system has no thread for us.
    """
    try:
        thread.start()
    except RuntimeError as error:  # "can't start new thread", which names none
        raise BootstrapFailed(f"thread {thread.name} cannot be started: {error}", hint=HINT) from None
    return thread
