"""Compiled strategies from configuration files: compiled at bootstrap, and refused there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tickrail import RuntimeBootstrapper, data
from tickrail._native import TickFileWriter
from tickrail.errors import ConfigProblems

FILES = {
    "config/base/strategies.toml": '[strategies.ema]\nclass = "mine:Ema"\nparams = { weight = 0.25 }\n',
    "config/backtest/runtime.toml": '[feeds.a]\npath = "a.ticks"\n[venues.SIM]\n',
    "mine.py": """
import numpy as np
from tickrail import Strategy


class Ema(Strategy):
    weight: float = 0.5
    fail_at: int = 0
    state_dtype = np.dtype([("weight", "f8"), ("fail_at", "i8"), ("x", "f8"), ("count", "i8"), ("above", "?")])

    @staticmethod
    def on_quote(tick, state, out):
        state.count += 1
        if state.fail_at != 0 and state.count >= state.fail_at:
            state.x /= state.count - state.count
        mid = (tick.bid + tick.ask) * 0.5
        if state.x == 0.0:
            state.x = mid
        state.x += state.weight * (mid - state.x)
        above = mid > state.x
        if above != state.above:
            state.above = above
            out.target(tick.instrument, 1.0 if above else 0.0)


class Wrong(Strategy):
    weight: float = 0.5
    state_dtype = np.dtype([("x", "f8")])

    @staticmethod
    def on_quote(tick, state, out):
        state.y += 1
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    ticks = data.generate_ticks(5_000, 7, instruments=["EURUSD.SIM"])
    with TickFileWriter(tmp_path / "a.ticks") as writer:
        writer.append_ticks(ticks)
        writer.commit()
    yield tmp_path
    sys.modules.pop("mine", None)


def bootstrapper(project: Path, *overrides: str) -> RuntimeBootstrapper:
    return RuntimeBootstrapper("backtest", root=project / "config", overrides=overrides, environ={})


def test_it_runs_and_says_how_long_its_compilation_took(project: Path) -> None:
    with bootstrapper(project).bootstrap() as runtime:
        result = runtime.run()
        (strategy,) = runtime.dispatcher.strategies.values()
        state = strategy.snapshot()
    assert result.ok, result.errors
    assert (state["weight"], state["count"]) == (0.25, 5_000)
    assert len(result.fills) > 50
    assert result.stats["compiled"]["ema"]["seconds"] > 0


@pytest.mark.slow
def test_a_fault_marks_it_failed_with_its_tick(project: Path) -> None:
    with bootstrapper(project, "strategies.ema.params.fail_at=100").bootstrap() as runtime:
        result = runtime.run()
    (error,) = result.errors
    assert (error.strategy, error.handler, error.type) == ("ema", "on_quote", "ZeroDivisionError")
    assert error.tick is not None
    assert result.strategies[0].state == "FAILED"
    assert result.ticks == 5_000


def test_what_cannot_be_compiled_is_refused_at_bootstrap(project: Path) -> None:
    with pytest.raises(ConfigProblems) as caught:
        bootstrapper(project, "strategies.ema.class=mine:Wrong").bootstrap()
    (problem,) = caught.value.problems
    assert "strategies.ema" in str(problem)
    assert "mine.py:" in str(problem)
    assert "a handler reads 'y', which its record does not have" in str(problem)


@pytest.mark.slow
def test_the_command_says_so_too(project: Path) -> None:
    command = [sys.executable, "-m", "tickrail", "run", "--env", "backtest"]
    fails = subprocess.run(
        [*command, "--set", "strategies.ema.params.fail_at=100"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert fails.returncode == 1, fails.stderr
    assert "ZeroDivisionError" in fails.stdout + fails.stderr
    wrong = subprocess.run(
        [*command, "--set", "strategies.ema.class=mine:Wrong"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 78, wrong.stderr
    assert "Traceback" not in wrong.stderr
