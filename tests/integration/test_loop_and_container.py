"""The dispatch loop never calls the container: services are in the strategies before the first tick."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tickrail import Container, RuntimeBootstrapper, Scope
from tickrail.data import generate_file
from tickrail.orchestration.dishka_backend import DishkaBackend

FILES = {
    "config/test/x.toml": """
[runtime]
modules = ["loop_services:services"]
[feeds.demo]
path = "demo.ticks"
[venues.SIM]
[strategies.one]
class = "loop_services:Counting"
[strategies.two]
class = "loop_services:Counting"
""",
    "loop_services.py": """
from tickrail import Inject, Provider, Strategy
from tickrail.ports import TelemetryPort

class Shared:
    ticks = 0

class Own:
    def __init__(self, shared: Shared) -> None:
        self.shared = shared

services = Provider().singleton(Shared).scoped(Own)

class Counting(Strategy):
    own: Inject[Own]
    telemetry: Inject[TelemetryPort]

    def on_start(self):
        self.schedule_every(1_000_000, self.count)

    def count(self, event):
        self.telemetry.metric("timers")

    def on_quote(self, tick):
        self.own.shared.ticks += 1
        self.target(tick.instrument, 1.0 if self.own.shared.ticks % 50 < 25 else 0.0)

    def on_order_update(self, update):
        self.telemetry.metric("updates")
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    generate_file(tmp_path / "demo.ticks", 1_000, seed=1)
    yield tmp_path
    sys.modules.pop("loop_services", None)


def test_the_loop_never_calls_the_container(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = RuntimeBootstrapper("test", root=project / "config", environ={}).bootstrap()

    def called(*_arguments: Any, **_more: Any) -> NoReturn:
        raise AssertionError("the loop called the container")

    with runtime, monkeypatch.context() as patch:
        for owner in (Container, DishkaBackend):
            for name in ("get", "enter", "close", "has", "_get"):
                patch.setattr(owner, name, called, raising=False)
        with pytest.raises(AssertionError, match="the loop called the container"):
            runtime.container.get(int)
        result = runtime.run()
        patch.undo()
    assert result.ok, result.errors
    assert sys.modules["loop_services"].Shared.ticks == 0
    assert sum(one.delivered for one in result.strategies) == 2_000
    assert result.strategies[0].orders > 10
    with pytest.raises(Exception, match="is closed"):
        runtime.container.enter(Scope.STRATEGY)
