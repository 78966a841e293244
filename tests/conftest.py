"""What holds for the whole suite."""

from __future__ import annotations

import compileall
import functools
import signal
import sys
from pathlib import Path
from typing import Any, Final

import pytest

PACKAGE: Final = Path(__file__).parents[1] / "python" / "tickrail"
#: The limit of every test (pyproject.toml): one that asks for more is among the longest.
USUAL_S: Final = 120.0
KEEPS_NOTHING: Final = sys.dont_write_bytecode


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--always-fresh", action="store_true", help="hand every tick out as a new object, as runtime.always_fresh does"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C counts, here and in every process that tests start: a shell's background job begins with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if KEEPS_NOTHING:
        keep_what_is_compiled(config)
    if config.getoption("--always-fresh"):
        always_fresh()


def keep_what_is_compiled(config: pytest.Config) -> None:
    """Where Python writes no bytecode, each of the hundreds of processes of the tests would compile the package again.

    Test modules take longer still, as their asserts are written anew: four fifths of the time of a collection.
    """
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(PACKAGE, quiet=2)
    sys.dont_write_bytecode = False


def pytest_collection_finish(session: pytest.Session) -> None:
    """What tests themselves import, in folders that they look at, is kept as the environment says."""
    sys.dont_write_bytecode = KEEPS_NOTHING


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest come first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: -max(USUAL_S, limit_s(item)))


def limit_s(item: pytest.Item) -> float:
    """What the test's mark says of its time-out."""
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark is not None and mark.args else 0.0


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
