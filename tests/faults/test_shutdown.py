"""The end of a process, by real signals: exit code, report, bounded time, nothing left, and everybody had his turn."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import pytest
from shutdown_project import LONG_S, Process

pytestmark = pytest.mark.slow


def backtest(project: Path, how: str = "busy", *, timeout_s: float = 25.0, **environ: str) -> Process:
    """Two strategies, the first of which behaves as ``how`` says."""
    strategies = {"one": ("Ticking", how), "two": ("Ticking", "busy")}
    return Process(project, "backtest", strategies, timeout_s=timeout_s, **environ)


STOPPED = ["one:start", "two:start", "two:stop", "one:stop"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["term", "int"])
def test_a_signal_drains_and_ends_with_its_code(project: Path, number: signal.Signals, code: int) -> None:
    run = backtest(project)
    run.wait_for("running")
    end = run.end(run.send(number)).held(f"shutdown_{number.name.lower()}", within_s=5.0)
    assert end.code == code
    assert end.out["status"] == ("stopped" if code == 0 else "interrupted")
    assert end.out["shutdown"]["took_s"] < 5.0
    assert run.log() == STOPPED


PATIENT = """
from tickrail.orchestration.shutdown import Shutdown
Shutdown.__init__.__kwdefaults__["hurry_s"] = 20.0
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "int"])
def test_a_second_signal_shortens_the_end_and_is_told_by_its_code(
    project: Path, number: signal.Signals, code: int
) -> None:
    run = backtest(project, "slow", FIRST=PATIENT)
    run.wait_for("running")
    run.send(number)
    run.wait_for("stopping")
    end = run.end(run.send(number)).held(f"shutdown_07_{number.name.lower()}_twice", within_s=5.0)
    assert end.code == code
    assert end.out["status"] == ("stopped" if code == 143 else "interrupted"), "what is quick enough is still done"
    assert run.log() == STOPPED


def test_a_second_signal_ends_what_does_not_end_by_itself(project: Path) -> None:
    run = backtest(project, "slow_stop")
    run.wait_for("running")
    run.send(signal.SIGTERM)
    _wait_for_both(run)
    end = run.end(run.send(signal.SIGTERM)).held("shutdown_second_signal_forced", within_s=5.0, by_force=True)
    assert end.code == 143
    assert "in on_stop" in end.err, "the stacks say where"


def test_a_third_signal_ends_at_once(project: Path) -> None:
    run = backtest(project, "slow_stop", timeout_s=3_600)
    run.wait_for("running")
    run.send(signal.SIGINT)
    _wait_for_both(run)
    run.send(signal.SIGTERM)  # two signals of one number at once would be one
    end = run.end(run.send(signal.SIGINT)).held("shutdown_third_signal", within_s=1.0, by_force=True)
    assert end.code == 130
    assert "Thread" not in end.err, "stacks would take time"


def _wait_for_both(run: Process) -> None:
    """The first strategy stops last: until it is within its hook."""
    run.wait_until(lambda: run.log()[-1:] == ["one:stop"])


@pytest.mark.parametrize("how", ["native", "loop", "sleeps"])
def test_a_handler_that_never_returns_ends_with_70_and_stacks(project: Path, how: str) -> None:
    run = backtest(project, how, timeout_s=1.0)
    run.wait_for("running")
    end = run.end(run.send(signal.SIGTERM)).held(f"shutdown_11_{how}", within_s=2.0, by_force=True)
    assert end.code == 70
    assert "has had its time (1 s)" in end.err
    assert "in on_tick" in end.err


def test_term_during_the_start_starts_nobody(project: Path) -> None:
    run = backtest(project, IMPORT_S="1.5")
    run.wait_for("imported")
    end = run.end(run.send(signal.SIGTERM)).held("shutdown_08_import", within_s=5.0)
    assert end.code == 0
    assert run.log() == []


def test_sys_exit_in_a_handler_ends_the_run_as_a_failure_and_is_named(project: Path) -> None:
    run = backtest(project, "exits")
    end = run.end().held("process_f05_sys_exit", within_s=20.0)
    assert (end.code, end.out["status"]) == (1, "interrupted")
    assert end.out["stop_reason"].startswith("SystemExit")
    assert run.log() == STOPPED


def test_a_service_supervisor_is_told(project: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.settimeout(LONG_S)
        supervisor.bind(str(project / "notify"))
        run = backtest(project, NOTIFY_SOCKET=str(project / "notify"))
        assert supervisor.recv(64) == b"READY=1"
        run.wait_for("running")
        sent = run.send(signal.SIGTERM)
        assert supervisor.recv(64) == b"STOPPING=1"
        assert run.end(sent).held("shutdown_sigterm", within_s=5.0).code == 0


def test_a_storm_of_other_signals_harms_nothing(project: Path) -> None:
    run = backtest(project)
    run.wait_for("running")
    for _ in range(2_000):
        run.send(signal.SIGCHLD)
    assert run.end(run.send(signal.SIGTERM)).held("shutdown_sigterm", within_s=5.0).code == 0


def test_the_result_of_a_stopped_run_says_how_it_was_stopped(project: Path) -> None:
    run = backtest(project)
    run.wait_for("running")
    end = run.end(run.send(signal.SIGTERM))
    assert json.loads(Path(project, end.out["folder"], "shutdown.json").read_text()) == end.out["shutdown"]
