"""The end of a process, by real signals: exit code, report, bounded time, and that everybody had his turn."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

STRATEGY = """
import os
import time
from pathlib import Path

import tickrail

Path("imported").touch()
time.sleep(float(os.environ.get("IMPORT_S", 0)))


class Busy(tickrail.Strategy):
    how: str = "sleep"

    def on_start(self):
        self.count = 0
        with open("log", "a") as log:
            log.write("start\\n")

    def on_tick(self, tick):
        self.count += 1
        if self.count == 20:
            Path("running").touch()
        if self.count >= 20:
            if self.how == "sleep":
                time.sleep(0.001)
            elif self.how == "native":
                sum(range(10**12))
            elif self.how == "loop":
                while True:
                    pass
            elif self.how == "exit":
                raise SystemExit(3)

    def on_stop(self):
        with open("log", "a") as log:
            log.write("stop\\n")
        Path("stopping").touch()
        if self.how == "raise":
            raise LookupError("on_stop")
        if self.how == "slow_stop":
            time.sleep(3600)
        if self.how == "stop_2s":
            time.sleep(2)


class Other(Busy):
    pass
"""
CONFIG = """
[feeds.sim]
adapter = "ticks"
path = "sim.ticks"
[venues.SIM]
adapter = "simulated"
[strategies.first]
class = "busy:Busy"
[strategies.second]
class = "busy:Other"
"""
LONG_S = 60.0


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "busy.py").write_text(STRATEGY)
    (tmp_path / "config" / "backtest").mkdir(parents=True)
    (tmp_path / "config" / "backtest" / "runtime.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "tickrail", "data", "generate", "sim.ticks", "--instrument", "EURUSD.SIM"]
    subprocess.run([*command, "--ticks", "500000"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    return tmp_path


class Process:
    """A run whose first strategy behaves as ``how`` says."""

    def __init__(self, project: Path, how: str = "sleep", *, timeout_s: float = 25.0, **environ: str) -> None:
        self.project = project
        command = [sys.executable, "-m", "tickrail", "run", "--env", "backtest", "--json"]
        command += ["--shutdown-timeout", str(timeout_s), "--set", f"strategies.first.params.how={how}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=project, env={**os.environ, **environ}, text=True, **pipes)

    def wait_for(self, name: str) -> None:
        _wait(lambda: (self.project / name).exists() or self.process.poll() is not None)

    def send(self, number: signal.Signals) -> float:
        self.process.send_signal(number)
        return time.monotonic()

    def end(self) -> tuple[int, str, str]:
        try:
            out, err = self.process.communicate(timeout=LONG_S)
        finally:
            self.process.kill()
        return self.process.returncode, out, err

    def log(self) -> list[str]:
        return (self.project / "log").read_text().split()


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


pytestmark = pytest.mark.slow


def test_term_drains_and_ends_with_0(project: Path) -> None:
    run = Process(project)
    run.wait_for("running")
    run.send(signal.SIGTERM)
    code, out, err = run.end()
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["status"] == "stopped"
    assert Path(project, result["folder"]).is_dir()
    assert run.log() == ["start", "start", "stop", "stop"]


def test_int_drains_and_ends_with_130(project: Path) -> None:
    run = Process(project)
    run.wait_for("running")
    run.send(signal.SIGINT)
    code, out, err = run.end()
    assert (code, err) == (130, "")
    assert json.loads(out)["status"] == "interrupted"
    assert run.log() == ["start", "start", "stop", "stop"]


def test_a_second_signal_shortens_the_end_and_is_told_by_143(project: Path) -> None:
    run = Process(project, "stop_2s")
    run.wait_for("running")
    run.send(signal.SIGTERM)
    run.wait_for("stopping")
    run.send(signal.SIGTERM)
    code, out, _ = run.end()
    assert code == 143
    assert json.loads(out)["status"] == "stopped", "what is quick enough is still done"


def test_a_second_signal_ends_what_does_not_end_by_itself(project: Path) -> None:
    run = Process(project, "slow_stop")
    run.wait_for("running")
    run.send(signal.SIGTERM)
    run.wait_for("stopping")
    sent = run.send(signal.SIGTERM)
    code, _, err = run.end()
    assert code == 143
    assert time.monotonic() - sent < 20
    assert "strategy first has not returned from on_stop" in err
    assert "in on_stop" in err, "the stacks say where"


def test_a_third_signal_ends_at_once(project: Path) -> None:
    run = Process(project, "slow_stop", timeout_s=3_600)
    run.wait_for("running")
    run.send(signal.SIGINT)
    run.wait_for("stopping")
    run.send(signal.SIGTERM)  # two signals of one number at once would be one
    run.send(signal.SIGINT)
    code, _, _ = run.end()
    assert code == 130


@pytest.mark.parametrize("how", ["native", "loop"])
def test_a_handler_that_never_returns_ends_with_70_and_stacks(project: Path, how: str) -> None:
    run = Process(project, how, timeout_s=1.0)
    run.wait_for("running")
    sent = run.send(signal.SIGTERM)
    code, _, err = run.end()
    assert code == 70
    assert time.monotonic() - sent < 20
    assert "has had its time (1 s)" in err
    assert "in on_tick" in err


def test_on_stop_that_raises_keeps_no_other_from_its_own(project: Path) -> None:
    run = Process(project, "raise")
    run.wait_for("running")
    run.send(signal.SIGTERM)
    code, out, _ = run.end()
    assert code == 1
    assert run.log() == ["start", "start", "stop", "stop"]
    assert "LookupError: on_stop" in json.dumps(json.loads(out)["strategies"][0]["error"])


def test_term_during_the_start_starts_nobody(project: Path) -> None:
    run = Process(project, IMPORT_S="1.5")
    run.wait_for("imported")
    run.send(signal.SIGTERM)
    code, _, err = run.end()
    assert (code, err) == (0, "")
    assert not (project / "log").exists()


def test_sys_exit_in_a_handler_ends_the_run_as_a_failure_and_is_named(project: Path) -> None:
    run = Process(project, "exit")
    code, out, _ = run.end()
    said = json.loads(out)
    assert (code, said["status"]) == (1, "interrupted")
    assert said["stop_reason"].startswith("SystemExit")
    assert run.log() == ["start", "start", "stop", "stop"]


def test_a_service_supervisor_is_told(project: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.settimeout(LONG_S)
        supervisor.bind(str(project / "notify"))
        run = Process(project, NOTIFY_SOCKET=str(project / "notify"))
        assert supervisor.recv(64) == b"READY=1"
        run.wait_for("running")
        run.send(signal.SIGTERM)
        assert supervisor.recv(64) == b"STOPPING=1"
        assert run.end()[0] == 0


def test_a_storm_of_other_signals_harms_nothing(project: Path) -> None:
    run = Process(project)
    run.wait_for("running")
    for _ in range(2_000):
        run.send(signal.SIGCHLD)
    run.send(signal.SIGTERM)
    code, _, err = run.end()
    assert (code, err) == (0, "")
