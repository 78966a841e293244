"""Reports hooks that have not returned, while they run."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tickrail.domain.threads import begin
from tickrail.orchestration.end_watch import EndWatch
from tickrail.orchestration.lives import HookOverrun, Lives

__all__ = ["watched_hooks"]

LOOKS: Final = 4
"""Looks within one deadline: a hook that hangs is reported at most a quarter of it too late."""
SHORTEST_S: Final = 0.01

logger = logging.getLogger(__name__)


@contextmanager
def watched_hooks(lives: Lives, end: EndWatch | None = None) -> Iterator[None]:
    """While the block runs, a hook that passes its deadline is logged with the stack of the dispatch thread, once.

    ``end`` looks too.

    The thread only reads two words of the native loop; it wakes a few times a deadline, and costs the loop nothing.
    """
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(lives, over, end), name="tickrail-hook-watch", daemon=True)
    begin(watch)
    try:
        yield
    finally:
        over.set()
        watch.join()


def _watch(lives: Lives, over: threading.Event, end: EndWatch | None) -> None:
    reported: tuple[str, str] | None = None
    while not over.wait(max(lives.hook_deadline_ns / LOOKS / 1e9, SHORTEST_S)):
        if end is not None:
            end.look(lives.dispatch_thread)
        hook = lives.running_hook()
        if hook is None:
            reported = None
        elif hook.ns > lives.hook_deadline_ns and reported != (hook.strategy, hook.hook):
            reported = (hook.strategy, hook.hook)
            lives.slow_hooks.append(hook)
            logger.error("strategy %s: %s has not returned after %.1f s; it is here:\n%s", *_facts(hook, lives))


def _facts(hook: HookOverrun, lives: Lives) -> tuple[str, str, float, str]:
    frame = None if lives.dispatch_thread is None else sys._current_frames().get(lives.dispatch_thread)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else "(no Python frame)"
    return hook.strategy, hook.hook, hook.ns / 1e9, stack
