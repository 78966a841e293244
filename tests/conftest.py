"""What holds for the whole suite."""

from __future__ import annotations

import functools
import signal
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--always-fresh", action="store_true", help="hand every tick out as a new object, as runtime.always_fresh does"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C counts, here and in every process that tests start: a shell's background job begins with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--always-fresh"):
        always_fresh()


def always_fresh() -> None:
    """Whatever the runtime says, ticks are new objects; only tests that drive the native loop can say no."""
    from tickrail import _native
    from tickrail.orchestration import tick_dispatcher

    original = _native.Dispatcher

    @functools.wraps(original, updated=())
    def fresh(**settings: Any) -> _native.Dispatcher:
        return original(**{**settings, "always_fresh": True})

    @functools.wraps(original, updated=())
    def fresh_by_default(**settings: Any) -> _native.Dispatcher:
        return original(**{"always_fresh": True, **settings})

    tick_dispatcher.Dispatcher = fresh  # type: ignore[misc, assignment]
    _native.Dispatcher = fresh_by_default  # type: ignore[misc, assignment]
