"""Handlers that do not return, under the command line: broken off, or the process ended in bounded time."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ended_runs import DRIVER, LONG_S, Ended, files
from ended_runs import ended as ended_run

STRATEGY = """
import time
from pathlib import Path

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
        elif self.how == "works":
            time.sleep(0.5)  # the watch has seen it by then
            Path("works").touch()
            while not Path("done").exists():
                time.sleep(0.01)
            time.sleep(0.5)  # and sees it again before it returns
        elif self.how == "debugger":
            breakpoint()
        elif self.how == "beside":
            self.spawn(self.spins(), self.heard)

    async def spins(self):
        while True:
            pass

    def heard(self, result):
        with open("log", "a") as log:
            log.write(f"{type(result.error).__name__}\\n")

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
pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "stuck.py").write_text(STRATEGY)
    (tmp_path / "drive.py").write_text(DRIVER)
    (tmp_path / "config" / "backtest").mkdir(parents=True)
    (tmp_path / "config" / "backtest" / "runtime.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "tickrail", "data", "generate", "sim.ticks", "--instrument", "EURUSD.SIM"]
    subprocess.run([*command, "--ticks", "1000"], cwd=tmp_path, check=True, capture_output=True, timeout=LONG_S)
    return tmp_path


class Started:
    """A run whose first strategy behaves as ``how`` says."""

    def __init__(self, project: Path, how: str, *words: str) -> None:
        self.project, self.before = project, files(project)
        command = [sys.executable, "drive.py", "run", "--env", "backtest", "--json"]
        command += ["--set", f"strategies.first.params.how={how}", *words]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, cwd=project, text=True, **pipes)

    def end(self, said: str | None = None) -> Ended:
        return ended_run(self.process, self.project, since=self.began, before=self.before, said=said)


def test_a_python_loop_is_broken_off_and_the_others_miss_nothing(project: Path) -> None:
    end = Started(project, "loop").end().held("process_f04_loop", within_s=20.0)
    result, err = end.out, end.err
    assert (end.code, result["status"]) == (1, "complete")
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
    end = Started(project, "slow", *limits).end().held("process_f03_slow", within_s=20.0)
    result = end.out
    assert (end.code, result["status"], end.err) == (0, "complete", "")
    assert [one["delivered"] for one in result["strategies"]] == [1_000, 1_000]
    (overrun,) = (one for one in result["stats"]["overruns"] if one["strategy"] == "first")
    assert (overrun["handler"], overrun["slow"], overrun["stuck"]) == ("on_tick", 3, 0)
    assert 1_900_000_000 <= overrun["slowest_ns"] < 30_000_000_000
    assert (project / "log").read_text() == "second 1000\nfirst 1000\n"


def test_a_stuck_handler_can_be_restarted_by_its_rule(project: Path) -> None:
    rule = ["--set", "strategies.first.on_error=restart", "--set", "strategies.first.restart_backoff_ns=1"]
    rule += ["--set", "strategies.first.max_restarts=0", "--set", "strategies.first.critical=true"]
    end = Started(project, "loop", *rule).end().held("process_f04_critical", within_s=20.0)
    assert (end.code, end.out["stop_reason"]) == (1, "strategy first failed")


@pytest.mark.parametrize("how", ["native", "swallows"])
def test_what_cannot_be_broken_off_ends_the_process_in_bounded_time(project: Path, how: str) -> None:
    end = Started(project, how).end().held(f"process_f04_{how}", within_s=20.0, by_force=True)
    err = end.err
    assert end.code == 70
    assert "strategy first has not returned from on_tick" in err
    assert "cannot be broken off; the process is ended" in err
    assert "in on_tick" in err


@pytest.mark.parametrize(("how", "hook", "code"), [("start", "on_start", 1), ("stop", "on_stop", 70)])
def test_hooks_are_handlers_too(project: Path, how: str, hook: str, code: int) -> None:
    end = Started(project, how).end().held(f"process_f04_{hook}", within_s=20.0)
    assert end.code == code, "what the end of a run abandons is 70"
    assert f"strategy first has not returned from {hook}" in end.err
    assert "HandlerStuck" in str(end.out) + end.err


def test_a_coroutine_that_keeps_the_io_thread_is_broken_off_and_told_by_its_name(project: Path) -> None:
    deadline = ["--set", "runtime.handler_deadline_ns=500_000_000"]
    end = Started(project, "beside", *deadline).end().held("process_f04_beside", within_s=20.0)
    assert (end.code, end.out["status"]) == (0, "complete")
    assert (project / "log").read_text() == "HandlerStuck\nsecond 1000\nfirst 1000\n"
    assert "the coroutine Stuck.spins, on the I/O thread, has not returned after" in end.err
    assert "in spins" in end.err, "the stacks say where"
    # On a busy machine a handler may overrun as well, which is not stuck.
    (overrun,) = [one for one in end.out["stats"]["overruns"] if one["stuck"]]
    assert (overrun["strategy"], overrun["stuck"]) == (None, 1)


def test_what_returns_by_itself_after_its_deadline_leaves_no_exception_to_the_next(project: Path) -> None:
    """A sleep cannot be interrupted: whatever was to be raised after it is raised there, or nowhere."""
    deadline = ["--set", "runtime.handler_deadline_ns=1_000_000_000"]
    end = Started(project, "nap", *deadline).end()
    code, result = end.code, end.out
    assert end.took_s < 30
    assert result["strategies"][1]["state"] == "STOPPED"
    assert result["strategies"][1]["delivered"] == 1_000
    assert code == (0 if result["strategies"][0]["state"] == "STOPPED" else 1)


def test_a_process_that_was_stopped_for_longer_than_a_handler_may_take_breaks_nothing_off(project: Path) -> None:
    """A container that is paused, a machine that is moved, a debugger of machine code: nobody could do anything."""
    run = Started(project, "works", "--set", "runtime.handler_deadline_ns=3_000_000_000")
    while not (project / "works").exists():
        assert run.process.poll() is None
        time.sleep(0.01)
    run.process.send_signal(signal.SIGSTOP)
    time.sleep(3.5)  # what is tested: time in which nothing runs
    (project / "done").touch()
    run.process.send_signal(signal.SIGCONT)
    end = run.end()
    assert (end.code, end.out["status"], end.err) == (0, "complete", "")
    assert [one["delivered"] for one in end.out["strategies"]] == [1_000, 1_000]
    assert all(one["stuck"] == 0 for one in end.out["stats"].get("overruns", []))


def test_a_debugger_is_left_alone(project: Path) -> None:
    run = Started(project, "debugger")
    time.sleep(8)
    assert run.process.poll() is None, "it waits for its user"
    end = run.end("continue\n")
    assert (end.code, end.out["status"]) == (0, "complete"), end.err
