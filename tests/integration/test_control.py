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
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tickrail.cli.ctl import ask, runs_in

STRATEGY = """
import ctypes
import os
import time

import tickrail

EURUSD = "EURUSD.SIM"


class Trader(tickrail.Strategy):
    quantity: float = 1.0
    holds: bool = False
    hold_s: float = 0.3

    def on_start(self):
        self.count = self.rounds = 0
        self.note("start")

    def on_tick(self, tick):
        self.count += 1
        if self.count == 3 and not self.holds:
            self.buy(EURUSD, self.quantity)
            self.buy(EURUSD, self.quantity, limit=0.01)
            self.buy(EURUSD, self.quantity, limit=0.02)
        if self.holds and os.path.exists(f"go-{self.rounds}"):
            self.hold()

    def hold(self):
        until = time.monotonic() + self.hold_s
        with open("until", "w") as file:
            file.write(str(until))
        os.rename("until", f"until-{self.rounds}")
        while (left_s := until - time.monotonic()) > 0:
            ctypes.PyDLL(None).usleep(int(left_s * 1e6))  # native code, which keeps the interpreter
        self.rounds += 1
        self.buy(EURUSD, 1.0)

    def on_event(self, event):
        self.note(f"{type(event).__name__} {event.params}")
        self.buy(EURUSD, self.quantity)

    def on_order_update(self, update):
        self.note(f"order {update.order}: {update.status} {update.reason}".rstrip())

    def on_pause(self):
        self.note("pause")

    def on_resume(self):
        self.note("resume")

    def on_stop(self):
        self.note("stop")

    def note(self, word):
        with open("log", "a") as log:
            log.write(word + "\\n")
"""
CONFIG = """
[feeds.sim]
adapter = "ticks"
path = "sim.ticks"
speed = 1.0
[venues.SIM]
adapter = "simulated"
[strategies.trader]
class = "trader:Trader"
"""
READY_S = 60


@pytest.fixture(scope="session")
def ticks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ticks")
    made = tickrail("data", "generate", "sim.ticks", "--instrument", "EURUSD.SIM", "--ticks", "200000", cwd=folder)
    assert made.returncode == 0, made.stderr
    return folder / "sim.ticks"


@pytest.fixture
def project(ticks: Path, tmp_path: Path) -> Path:
    (tmp_path / "trader.py").write_text(STRATEGY)
    (tmp_path / "config" / "paper").mkdir(parents=True)
    (tmp_path / "config" / "paper" / "runtime.toml").write_text(CONFIG)
    os.link(ticks, tmp_path / "sim.ticks")
    return tmp_path


def tickrail(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tickrail", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=100)


def ctl(project: Path, *words: str, options: tuple[str, ...] = ()) -> tuple[int, dict[str, Any]]:
    done = tickrail("ctl", *options, *words, "--json", cwd=project)
    return done.returncode, json.loads(done.stdout) if done.stdout else {"said": done.stderr}


def done(project: Path, *words: str) -> Any:
    """The result of what is not refused."""
    code, answer = ctl(project, *words)
    assert (code, answer["ok"]) == (0, True), answer
    return answer["result"]


def refused(project: Path, *words: str) -> str:
    """Why it is refused."""
    code, answer = ctl(project, *words)
    assert (code, answer.get("ok")) == (1, False), answer
    assert answer["message"]
    return str(answer["reason"])


@contextmanager
def running(project: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tickrail", "run", "--env", "paper", "--json", *words]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for(lambda: process.pid in served(project) or process.poll() is not None)
        yield process
    finally:
        process.kill()
        process.communicate()


def served(project: Path) -> list[int]:
    """The processes of the runs that can be operated."""
    return [int(run.rpartition("-")[2]) for run in runs_in(project / "runs")]


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + READY_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def looked(project: Path) -> dict[str, Any]:
    """Where the strategy stands, by one request of this process."""
    found: dict[str, Any] = ask(project / "runs", None, READY_S, "status", {})["result"]["strategies"]["trader"]
    return found


def log(project: Path) -> list[str]:
    return (project / "log").read_text().splitlines()


@pytest.mark.slow
def test_ctl_drives_a_run(project: Path) -> None:
    """A paper run whose strategy holds a position and has open orders, by each verb once at least."""
    with running(project) as process:
        _wait_for(lambda: looked(project)["open_orders"] == 2 and looked(project)["positions"] == {"EURUSD.SIM": 1.0})
        status = done(project, "status")
        assert status["strategies"]["trader"] == {
            "state": "RUNNING",
            "trading": "ACTIVE",
            "open_orders": 2,
            "positions": {"EURUSD.SIM": 1.0},
        }
        plain = tickrail("ctl", "status", cwd=project)
        assert "    positions:\n      EURUSD.SIM: 1.0\n" in plain.stdout, "without --json a person reads it"

        assert done(project, "cancel", "--strategy", "trader", "--order", "2") == {"was_open": True}
        _wait_for(lambda: "order 2: CANCELED asked for" in log(project))
        assert looked(project)["open_orders"] == 1
        assert done(project, "cancel", "--instrument", "EURUSD.SIM") == {"orders": 1}
        _wait_for(lambda: "order 3: CANCELED asked for" in log(project))
        assert looked(project)["open_orders"] == 0
        assert done(project, "close") == {"orders": 1, "sent": {"trader": {"EURUSD.SIM": -1.0}}}
        _wait_for(lambda: looked(project)["positions"] == {})
        assert log(project)[-1] == "order 4: FILLED"

        assert done(project, "set", "trader", "quantity=0.5") == {"parameters": {"quantity": 0.5}}
        _wait_for(lambda: looked(project)["positions"] == {"EURUSD.SIM": 0.5})
        assert "ParametersUpdated {'quantity': 0.5}" in log(project)

        assert done(project, "pause", "trader", "--no-ticks") == {"state": "PAUSED"}
        delivered = account(project)["delivered"]
        _wait_for(lambda: account(project)["skipped"] > 10)
        assert account(project)["delivered"] == delivered
        assert done(project, "resume", "trader") == {"state": "RUNNING"}
        assert log(project)[-2:] == ["pause", "resume"]

        assert done(project, "stop", "trader") == {"state": "STOPPED"}
        assert log(project)[-1] == "stop"
        assert refused(project, "resume", "trader") == "illegal_transition"
        assert done(project, "restart", "trader") == {"state": "RUNNING"}
        assert log(project).count("start") == 2, "a new object, which buys again and has orders rest"
        _wait_for(lambda: looked(project)["open_orders"] == 2)

        halted = done(project, "halt", "--reason", "drill")
        assert halted == {"trading": "HALTED", "persisted": True, "orders": 2}, "open ones are taken back"
        _wait_for(lambda: looked(project)["open_orders"] == 0)
        held = looked(project)["positions"]
        assert refused(project, "close") == "halted"
        done(project, "set", "trader", "quantity=0.25")
        _wait_for(lambda: log(project)[-1].endswith(": REJECTED trading is halted"))
        assert looked(project)["positions"] == held
        assert done(project, "trade") == {"trading": "ACTIVE"}
        done(project, "set", "trader", "quantity=0.125")
        _wait_for(lambda: looked(project)["positions"] == {"EURUSD.SIM": held["EURUSD.SIM"] + 0.125})

        watching = subprocess.Popen(
            [sys.executable, "-m", "tickrail", "ctl", "watch", "--every", "0.1", "--json"],
            cwd=project,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        lines = [json.loads(watching.stdout.readline())["result"]["position"] for _ in range(3)]
        assert lines == sorted(set(lines)), "the run goes on"

        kept = project / "runs" / "control" / "paper.trading"
        kept.unlink()
        kept.mkdir()  # as on a full disk: no file can be put there
        code, halted = ctl(project, "halt")
        assert (code, halted["result"]["trading"], halted["result"]["persisted"]) == (5, "HALTED", False)
        assert str(kept) in halted["result"]["problem"]
        assert refused(project, "trade") == refused(project, "limits", "--max-order-quantity", "1") == "not_kept"
        assert done(project, "status")["limits"] == {"max_order_quantity": None}
        kept.rmdir()
        assert done(project, "halt", "--reason", "over night")["persisted"] is True
        assert done(project, "shutdown", "--reason", "enough") == {"stopping": True, "reason": "enough"}
        out, err = process.communicate(timeout=READY_S)
        assert (process.returncode, err) == (0, "")
        assert watching.wait(READY_S) == 0, "it ends with the run"
        watching.stdout.close()
    result = json.loads(out)
    assert (result["status"], result["shutdown"]["outcome"]) == ("stopped", "drained")
    assert sorted(path.name for path in (project / "runs" / "control").iterdir()) == ["paper.trading"]
    with running(project):
        code, status = ctl(project, "status")
        assert (code, status["result"]["trading"], status["result"]["reason"]) == (0, "HALTED", "over night")


def account(project: Path) -> dict[str, int]:
    """What the strategy was given, without a step of the run."""
    (found,) = ask(project / "runs", None, READY_S, "stats", {})["result"]["strategies"]
    return dict(found)


@pytest.mark.slow
def test_what_cannot_be_is_refused_with_its_reason_and_code(project: Path) -> None:
    with running(project) as process:
        _wait_for(lambda: looked(project)["open_orders"] == 2)
        before = looked(project)
        assert refused(project, "set", "trader", "quantty=1") == "invalid_parameter"
        code, answer = ctl(project, "cancel", "--strategy", "trade")
        assert (code, answer["reason"]) == (1, "unknown_strategy")
        assert "did you mean 'trader'" in answer["message"]
        for words, reason in {
            ("close", "--instrument", "EURUSD.SIN"): "unknown_instrument",
            ("cancel", "--strategy", "trader", "--order", "99"): "unknown_order",
            ("limits", "--max-order-quantity", "-1"): "refused",
        }.items():
            assert refused(project, *words) == reason, words
        for words in (("set", "trader", "quantity"), ("cancel", "--order", "1"), ("limits", "a=b"), ("pause",)):
            assert ctl(project, *words)[0] == 2, words
        code, answer = ctl(project, "status", options=("--run", f"paper-{process.pid}0"))
        assert code == 3
        said = f"no run 'paper-{process.pid}0' in runs/control; did you mean 'paper-{process.pid}'?"
        assert json.loads(answer["said"])["error"]["message"] == said
        assert ctl(project, "status", options=("--run", "x" * 300))[0] == 3
        for fields, reason in (({"strategi": "trader"}, "invalid_field"), ({"strategy": 7}, "invalid_field")):
            assert ask(project / "runs", None, READY_S, "pause", fields)["reason"] == reason
        assert ask(project / "runs", None, READY_S, "paus", {})["reason"] == "unknown_request"
        assert looked(project) == before, "nothing of it has done anything"


class Line:
    """A connection to the control socket, held open: what it asks for takes no time to be begun."""

    def __init__(self, project: Path) -> None:
        (path,) = (project / "runs" / "control").glob("*.sock")
        self.stream = socket.socket(socket.AF_UNIX)
        self.stream.settimeout(READY_S)
        self.stream.connect(str(path))
        self.lines = self.stream.makefile("r")

    def send(self, name: str, **arguments: Any) -> float:
        """When it was sent."""
        sent = time.monotonic()
        self.stream.sendall(json.dumps({"v": 1, "do": name, "args": arguments}).encode() + b"\n")
        return sent

    def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.lines.readline())
        assert answer["ok"], answer
        found: dict[str, Any] = answer["result"]
        return found

    def sees_it_halted(self, until: float) -> bool:
        """Whether trading is halted before that; asks without the loop."""
        while time.monotonic() < until:
            self.send("ping")
            if self.answer() == {"trading": "HALTED"}:
                return time.monotonic() < until
        return False

    def close(self) -> None:
        self.lines.close()
        self.stream.close()


@pytest.mark.slow
def test_halt_blocks_the_next_order_within_10_ms_while_a_handler_keeps_the_interpreter(project: Path) -> None:
    """It orders when it comes back: long after the halt, and so shortly that no more than 10 ms are left.

    Others want the processors too, so of each kind one counts that came in time.
    """
    was_closed = was_in_time = False
    with running(project, "--set", "strategies.trader.params.holds=true"), ExitStack() as stack:
        operator, looker = stack.enter_context(closing(Line(project))), stack.enter_context(closing(Line(project)))
        for number, ahead_s in enumerate([0.25, 0.01] * 8):
            (project / f"go-{number}").touch()
            held = project / f"until-{number}"
            _wait_for(held.exists)
            until = float(held.read_text())
            while time.monotonic() < until - ahead_s:
                time.sleep(max(0.0, until - ahead_s - time.monotonic() - 0.002))
            sent = operator.send("halt", reason="hangs")
            is_closed = ahead_s > 0.01 and looker.sees_it_halted(until)
            operator.answer()
            is_refused = _end_of(project, number + 1) == "REJECTED trading is halted"
            assert is_refused or not is_closed, "what was closed while the handler kept everything lets nothing pass"
            was_closed |= is_closed
            was_in_time |= is_refused and until - sent <= 0.01
            if was_closed and was_in_time:
                break
            operator.send("trade")
            assert operator.answer() == {"trading": "ACTIVE"}
    assert (was_closed, was_in_time) == (True, True)


def _end_of(project: Path, order: int) -> str:
    """What has become of an order, once that is known."""
    ends = (f"order {order}: FILLED", f"order {order}: REJECTED")
    _wait_for(lambda: log(project)[-1].startswith(ends))
    return log(project)[-1].partition(": ")[2]


@pytest.mark.slow
def test_halt_works_while_a_handler_hangs_in_native_code(project: Path) -> None:
    hangs = ("strategies.trader.params.holds=true", "strategies.trader.params.hold_s=3600.0")
    with running(project, *(word for one in hangs for word in ("--set", one))):
        (project / "go-0").touch()
        _wait_for((project / "until-0").exists)
        code, halted = ctl(project, "halt", "--reason", "hangs", options=("--timeout", "0.5"))
        assert (code, halted["result"]["trading"], halted["result"]["persisted"]) == (0, "HALTED", True)
        assert "not answered" in halted["result"]["waiting"]
        code, late = ctl(project, "status", options=("--timeout", "0.1"))
        assert (code, late["reason"]) == (4, "timeout")


@pytest.mark.slow
def test_no_run_several_runs_and_a_socket_left_behind(project: Path) -> None:
    assert ctl(project, "status")[0] == 3
    with running(project) as first, running(project):
        assert len(served(project)) == 2
        code, said = ctl(project, "status")
        assert code == 3
        assert "--run" in said["said"]
        assert ctl(project, "status", options=("--run", f"paper-{first.pid}"))[0] == 0
        first.send_signal(signal.SIGKILL)
        first.wait()
        code, said = ctl(project, "status", options=("--run", f"paper-{first.pid}"))
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
