"""Handlers that do not return, under the command line: broken off, or the process ended in bounded time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

STRATEGY = """
import time

import tickrail


class Stuck(tickrail.Strategy):
    how: str = ""

    def on_start(self):
        self.count = 0
        if self.how == "start":
            while True:
                pass

    def on_tick(self, tick):
        self.count += 1
        if self.how == "slow" and self.count in (10, 20, 30):
            time.sleep(0.05 if self.count < 30 else 2.0)
        if self.count != 10:
            return
        if self.how == "loop":
            while True:
                pass
        elif self.how == "native":
            sum(range(10**12))
        elif self.how == "swallows":
            while True:
                try:
                    time.sleep(0.01)
                except Exception:
                    pass
        elif self.how == "nap":
            time.sleep(1.5)
        elif self.how == "debugger":
            breakpoint()

    def on_stop(self):
        with open("log", "a") as log:
            log.write(f"{self.name} {self.count}\\n")
        if self.how == "stop":
            while True:
                pass
"""
CONFIG = """
[runtime]
handler_deadline_ns = 1_500_000_000
[feeds.sim]
adapter = "ticks"
path = "sim.ticks"
[venues.SIM]
adapter = "simulated"
[strategies.first]
class = "stuck:Stuck"
[strategies.second]
class = "stuck:Stuck"
"""
LONG_S = 60.0
pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "stuck.py").write_text(STRATEGY)
    (tmp_path / "config" / "backtest").mkdir(parents=True)
    (tmp_path / "config" / "backtest" / "runtime.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "tickrail", "data", "generate", "sim.ticks", "--instrument", "EURUSD.SIM"]
    subprocess.run([*command, "--ticks", "1000"], cwd=tmp_path, check=True, capture_output=True, timeout=LONG_S)
    return tmp_path


def started(project: Path, how: str, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tickrail", "run", "--env", "backtest", "--json"]
    command += ["--set", f"strategies.first.params.how={how}", *words]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=project, text=True, **pipes)


def ended(process: subprocess.Popen[str], said: str | None = None) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(said, timeout=LONG_S)
    finally:
        process.kill()
    return process.returncode, out, err


def test_a_python_loop_is_broken_off_and_the_others_miss_nothing(project: Path) -> None:
    code, out, err = ended(started(project, "loop"))
    result = json.loads(out)
    assert (code, result["status"]) == (1, "complete")
    first, second = result["strategies"]
    assert (first["state"], second["state"]) == ("FAILED", "STOPPED")
    assert first["error"].startswith("HandlerStuck: the handler did not return within its deadline")
    assert second["delivered"] == 1_000
    assert (project / "log").read_text() == "second 1000\n"
    assert "strategy first has not returned from on_tick" in err
    assert "in on_tick" in err, "the stacks say where"
    (overrun,) = result["stats"]["overruns"]
    assert (overrun["strategy"], overrun["handler"], overrun["stuck"]) == ("first", "on_tick", 1)


def test_f3_slow_handlers_are_counted_with_the_longest_and_nobody_misses_anything(project: Path) -> None:
    """Two of 50 ms and one of 2 s, as a watch sees them that looks now and then; 20 ms are slow."""
    limits = ["--set", "runtime.slow_handler_ns=20_000_000", "--set", "runtime.handler_deadline_ns=20_000_000_000"]
    code, out, err = ended(started(project, "slow", *limits))
    result = json.loads(out)
    assert (code, result["status"], err) == (0, "complete", "")
    assert [one["delivered"] for one in result["strategies"]] == [1_000, 1_000]
    (overrun,) = (one for one in result["stats"]["overruns"] if one["strategy"] == "first")
    assert (overrun["handler"], overrun["slow"], overrun["stuck"]) == ("on_tick", 3, 0)
    assert 1_900_000_000 <= overrun["slowest_ns"] < 30_000_000_000
    assert (project / "log").read_text() == "second 1000\nfirst 1000\n"


def test_a_stuck_handler_can_be_restarted_by_its_rule(project: Path) -> None:
    rule = ["--set", "strategies.first.on_error=restart", "--set", "strategies.first.restart_backoff_ns=1"]
    rule += ["--set", "strategies.first.max_restarts=0", "--set", "strategies.first.critical=true"]
    code, out, _ = ended(started(project, "loop", *rule))
    assert (code, json.loads(out)["stop_reason"]) == (1, "strategy first failed")


@pytest.mark.parametrize("how", ["native", "swallows"])
def test_what_cannot_be_broken_off_ends_the_process_in_bounded_time(project: Path, how: str) -> None:
    began = time.monotonic()
    code, _, err = ended(started(project, how))
    assert code == 70
    assert time.monotonic() - began < 30, "start-up and twice the deadline, on a busy machine"
    assert "strategy first has not returned from on_tick" in err
    assert "cannot be broken off; the process is ended" in err
    assert "in on_tick" in err


@pytest.mark.parametrize(("how", "hook"), [("start", "on_start"), ("stop", "on_stop")])
def test_hooks_are_handlers_too(project: Path, how: str, hook: str) -> None:
    code, out, err = ended(started(project, how))
    assert code == 1
    assert f"strategy first has not returned from {hook}" in err
    assert "HandlerStuck" in out + err


def test_what_returns_by_itself_after_its_deadline_leaves_no_exception_to_the_next(project: Path) -> None:
    """A sleep cannot be interrupted: whatever was to be raised after it is raised there, or nowhere."""
    deadline = ["--set", "runtime.handler_deadline_ns=1_000_000_000"]
    code, out, _ = ended(started(project, "nap", *deadline))
    result = json.loads(out)
    assert result["strategies"][1]["state"] == "STOPPED"
    assert result["strategies"][1]["delivered"] == 1_000
    assert code == (0 if result["strategies"][0]["state"] == "STOPPED" else 1)


def test_a_debugger_is_left_alone(project: Path) -> None:
    process = started(project, "debugger")
    time.sleep(8)
    assert process.poll() is None, "it waits for its user"
    code, out, err = ended(process, "continue\n")
    assert code == 0, err
    assert json.loads(out.partition("(Pdb) ")[2])["status"] == "complete"
