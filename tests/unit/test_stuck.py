"""What is said of handlers and hooks that do not return, called as the native watches call it."""

from __future__ import annotations

import _thread
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tickrail.orchestration.hook_watch import watched_hooks
from tickrail.orchestration.lives import HookOverrun
from tickrail.orchestration.supervisor import stuck

DEADLINE_S = 10.0


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@contextmanager
def standing_thread() -> Iterator[int]:
    """A thread that stands in a function called ``stands_here``; its identity.

    Not by ``threading``, which lets a measurement of coverage trace it: it would look like a debugger's.
    """
    ready, go, over = threading.Event(), threading.Event(), threading.Event()

    def stands_here() -> None:
        ready.set()
        go.wait(DEADLINE_S)
        over.set()

    thread = _thread.start_new_thread(stands_here, ())
    try:
        assert ready.wait(DEADLINE_S)
        yield thread
    finally:
        go.set()
        assert over.wait(DEADLINE_S)


def said(caplog: pytest.LogCaptureFixture) -> str:
    wait_for(lambda: caplog.messages)
    wait_for(lambda: not any(one.name == "tickrail-stuck" for one in threading.enumerate()))
    (message,) = caplog.messages
    return message


@pytest.mark.parametrize(("enforced", "what"), [(True, "it is broken off"), (False, "it goes on")])
def test_a_stuck_handler_is_named_with_its_place(caplog: pytest.LogCaptureFixture, enforced: bool, what: str) -> None:
    with standing_thread() as thread:
        assert stuck("s", "on_tick", 10.0, thread, enforced)
        message = said(caplog)
    assert message.startswith(f"strategy s: on_tick has not returned after 10.0 s; {what}:\n")
    assert "stands_here" in message


def test_a_command_of_no_strategy_and_a_thread_without_python(caplog: pytest.LogCaptureFixture) -> None:
    assert stuck(None, "Halt", 1.25, 0, False)
    assert said(caplog) == "Halt has not returned after 1.2 s; it goes on:\n(no Python frame)"


@pytest.mark.parametrize("module", ["pdb", "pydevd", "debugpy.adapter", "IPython.core.debugger"])
def test_a_handler_that_somebody_looks_at_is_left_alone(caplog: pytest.LogCaptureFixture, module: str) -> None:
    ready, go = threading.Event(), threading.Event()
    scope: dict[str, Any] = {"__name__": module, "ready": ready, "go": go}
    exec("def look():\n    ready.set()\n    go.wait(10)\n", scope)
    thread = threading.Thread(target=scope["look"])
    thread.start()
    try:
        assert ready.wait(DEADLINE_S)
        assert thread.ident is not None
        assert not stuck("s", "on_tick", 10.0, thread.ident, True)
        assert "a debugger is at work in it" in said(caplog)
    finally:
        go.set()
        thread.join()


def test_a_frame_that_is_traced_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    frame = sys._getframe()
    before, frame.f_trace = frame.f_trace, lambda *_: None
    try:
        assert not stuck("s", "on_tick", 10.0, threading.get_ident(), True)
    finally:
        frame.f_trace = before
    assert "a debugger" in said(caplog)


def test_a_hook_is_reported_once_each_time_it_hangs(caplog: pytest.LogCaptureFixture) -> None:
    hanging = [HookOverrun("s", "on_start", 2_000_000_000, returned=False)]
    lives: Any = SimpleNamespace(
        hook_deadline_ns=1_000,
        dispatch_thread=threading.get_ident(),
        slow_hooks=[],
        looks=0,
    )

    def running_hook() -> HookOverrun | None:
        lives.looks += 1
        return hanging[0] if hanging else None

    lives.running_hook = running_hook
    with caplog.at_level(logging.ERROR), watched_hooks(lives):
        seen = lives.looks
        wait_for(lambda: lives.looks > seen + 3)
        assert len(lives.slow_hooks) == 1, "once, however long it hangs"
        hook = hanging.pop()
        seen = lives.looks
        wait_for(lambda: lives.looks > seen + 1)
        lives.dispatch_thread = None
        hanging.append(hook)
        wait_for(lambda: len(lives.slow_hooks) == 2)
    first, second = caplog.messages
    assert first.startswith("strategy s: on_start has not returned after 2.0 s; it is here:\n")
    assert "test_a_hook_is_reported_once" in first
    assert second.endswith("(no Python frame)")


def test_a_hook_within_its_time_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    lives: Any = SimpleNamespace(hook_deadline_ns=1_000_000, dispatch_thread=None, slow_hooks=[], looks=0)

    def running_hook() -> HookOverrun:
        lives.looks += 1
        return HookOverrun("s", "on_start", 999, returned=False)

    lives.running_hook = running_hook
    with watched_hooks(lives):
        wait_for(lambda: lives.looks > 2)
    assert (lives.slow_hooks, caplog.messages) == ([], [])
