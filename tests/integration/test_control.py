"""Operating a running process from another: real processes, real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STRATEGY = """
import time
import tickrail


class Slow(tickrail.Strategy):
    quantity: float = 1.0
    hang: bool = False

    def on_start(self):
        self.count = 0

    def on_tick(self, tick):
        self.count += 1
        if self.hang and self.count == 50:
            open("hanging", "w").close()
            sum(range(10**12))  # native code, which holds the interpreter
        time.sleep(0.002)
        self.buy(tick.instrument, self.quantity)

    def on_event(self, event):
        with open("events", "a") as file:
            file.write(repr(event) + "\\n")
"""
CONFIG = """
[feeds.sim]
adapter = "ticks"
path = "sim.ticks"
[venues.SIM]
adapter = "simulated"
[strategies.slow]
class = "slow:Slow"
"""
READY_S = 60


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "slow.py").write_text(STRATEGY)
    (tmp_path / "config" / "backtest").mkdir(parents=True)
    (tmp_path / "config" / "backtest" / "runtime.toml").write_text(CONFIG)
    made = tickrail("data", "generate", "sim.ticks", "--instrument", "EURUSD.SIM", "--ticks", "200000", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    return tmp_path


def tickrail(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tickrail", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=100)


def ctl(project: Path, *words: str, options: tuple[str, ...] = ()) -> tuple[int, dict[str, Any]]:
    done = tickrail("ctl", *options, *words, "--json", cwd=project)
    return done.returncode, json.loads(done.stdout) if done.stdout else {"said": done.stderr}


@contextmanager
def running(project: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tickrail", "run", "--env", "backtest", "--control", "--json", *words]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for(lambda: any((project / "runs" / "control").glob("*.sock")) or process.poll() is not None)
        yield process
    finally:
        process.kill()
        process.communicate()


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + READY_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_ctl_drives_a_run(project: Path) -> None:
    with running(project) as process:
        code, status = ctl(project, "status")
        assert code == 0, status
        assert status["result"]["strategies"]["slow"]["state"] in {"INITIALISED", "RUNNING"}
        assert status["run"] == f"backtest-{process.pid}"
        _wait_for(
            lambda: ctl(project, "status")[1]["result"]["strategies"]["slow"]["positions"].get("EURUSD.SIM", 0) > 0
        )

        assert ctl(project, "set", "slow", "quantity=0.5")[0] == 0
        assert "ParametersUpdated(strategy='slow', params={'quantity': 0.5})" in (project / "events").read_text()
        code, refused = ctl(project, "set", "slow", "quantty=1")
        assert (code, refused["reason"]) == (1, "invalid_parameter")
        code, refused = ctl(project, "cancel", "--strategy", "slowly")
        assert (code, refused["reason"]) == (1, "unknown_strategy")
        assert "did you mean 'slow'" in refused["message"]
        assert ctl(project, "limits", "--max-order-quantity", "-1")[1]["reason"] == "refused"

        assert ctl(project, "pause", "slow")[1]["result"] == {"state": "PAUSED"}
        assert ctl(project, "status")[1]["result"]["strategies"]["slow"]["state"] == "PAUSED"
        assert ctl(project, "resume", "slow")[1]["result"] == {"state": "RUNNING"}
        assert ctl(project, "restart", "slow")[1]["result"] == {"state": "RUNNING"}

        code, halted = ctl(project, "halt", "--reason", "drill")
        assert (code, halted["result"]["trading"], halted["result"]["persisted"]) == (0, "HALTED", True)
        assert "orders" in halted["result"]
        before = ctl(project, "status")[1]["result"]
        code, refused = ctl(project, "close")
        assert (code, refused["reason"]) == (1, "halted")
        after = ctl(project, "status")[1]["result"]
        assert after["position"] > before["position"], "the run goes on"
        assert after["strategies"]["slow"]["positions"] == before["strategies"]["slow"]["positions"]
        assert ctl(project, "trade")[1]["result"]["trading"] == "ACTIVE"
        assert ctl(project, "halt")[1]["result"]["trading"] == "HALTED"
        assert ctl(project, "shutdown")[0] == 0
        out, _ = process.communicate(timeout=60)
        result = json.loads(out)
    assert result["status"] == "stopped"
    assert not list((project / "runs" / "control").glob("*.sock"))
    with running(project):
        assert ctl(project, "status")[1]["result"]["trading"] == "HALTED", "a restarted process stays halted"


@pytest.mark.slow
def test_halt_works_while_a_handler_hangs_in_native_code(project: Path) -> None:
    with running(project, "--set", "strategies.slow.params.hang=true"):
        _wait_for((project / "hanging").exists)
        code, halted = ctl(project, "halt", "--reason", "hangs", options=("--timeout", "0.5"))
        assert (code, halted["result"]["trading"], halted["result"]["persisted"]) == (0, "HALTED", True)
        assert "not answered" in halted["result"]["waiting"]
        code, late = ctl(project, "status", options=("--timeout", "0.5"))
        assert (code, late["reason"]) == (4, "timeout")


@pytest.mark.slow
def test_no_run_several_runs_and_a_socket_left_behind(project: Path) -> None:
    assert ctl(project, "status")[0] == 3
    with running(project) as first, running(project):
        _wait_for(lambda: len(list((project / "runs" / "control").glob("*.sock"))) == 2)
        code, said = ctl(project, "status")
        assert code == 3
        assert "--run" in said["said"]
        assert ctl(project, "status", options=("--run", f"backtest-{first.pid}"))[0] == 0
        first.send_signal(signal.SIGKILL)
        first.wait()
        code, said = ctl(project, "status", options=("--run", f"backtest-{first.pid}"))
        assert code == 3
        assert "left its socket behind" in said["said"]


@pytest.mark.slow
def test_the_socket_is_private(project: Path) -> None:
    with running(project):
        (path,) = (project / "runs" / "control").glob("*.sock")
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_uid == os.getuid()
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(path))
            stream.sendall(b'{"v":9}\n')
            answer = json.loads(stream.makefile().readline())
        assert answer["reason"] == "invalid_request"
        if os.geteuid() == 0:  # who alone can be somebody else
            _open_to_everybody(path, project)
            command = [sys.executable, "-c", STRANGER, str(path)]
            stranger = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert (stranger.stdout, stranger.stderr) == ("no answer\n", "")
            assert ctl(project, "status")[1]["result"]["trading"] == "ACTIVE", "it was not heard either"


STRANGER = """
import os, socket, sys
stream = socket.socket(socket.AF_UNIX)
stream.settimeout(30)
os.chdir(os.path.dirname(sys.argv[1]))
os.setgroups([]); os.setresgid(54_321, 54_321, 54_321); os.setresuid(54_321, 54_321, 54_321)
stream.connect(os.path.basename(sys.argv[1]))
try:
    stream.sendall(b'{"v": 1, "do": "halt"}\\n')
    print(stream.recv(1000) or "no answer")
except (BrokenPipeError, ConnectionResetError):
    print("no answer")
"""


def _open_to_everybody(path: Path, project: Path) -> None:
    """So that nothing but who connects keeps a stranger out."""
    path.chmod(0o666)
    path.parent.chmod(0o755)
    path.parent.parent.chmod(0o755)
    project.chmod(0o755)


def test_a_socket_that_nobody_serves_is_removed_and_one_that_is_served_stays(tmp_path: Path) -> None:
    from tickrail.orchestration.tick_dispatcher import TickDispatcher

    folder = tmp_path / "control"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as served, socket.socket(socket.AF_UNIX) as left:
        served.bind(str(folder / "served.sock"))
        served.listen(1)
        left.bind(str(folder / "left.sock"))
        left.close()
        control = TickDispatcher([{"id": "A.SIM"}]).open_control(folder / "mine.sock", "mine")
        try:
            assert sorted(path.name for path in folder.iterdir()) == ["mine.sock", "served.sock"]
        finally:
            control.close()
    assert [path.name for path in folder.iterdir()] == ["served.sock"], "and no state of trading, which nobody wanted"
