"""``tickrail top`` on real runs: for scripts, on a terminal, and until the run ends."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STRATEGY = """
import os
import time

import tickrail


class Trades(tickrail.Strategy):
    def on_start(self):
        self.count = 0

    def on_tick(self, tick):
        self.count += 1
        if self.count <= 3:
            self.buy(tick.instrument, 1.0, limit=None if self.count < 3 else 0.01)
        while self.count > 100 and os.path.exists("hang"):
            time.sleep(0.01)
"""
CONFIG = """
[runtime]
sample_every = 1
[feeds.sim]
adapter = "ticks"
path = "sim.ticks"
speed = 1.0
[venues.SIM]
adapter = "simulated"
[strategies.trades]
class = "trades:Trades"
"""
LONG_S = 60.0

pytestmark = pytest.mark.slow


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tickrail", *words]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "trades.py").write_text(STRATEGY)
    (tmp_path / "config" / "paper").mkdir(parents=True)
    (tmp_path / "config" / "paper" / "runtime.toml").write_text(CONFIG)
    generate = command("data", "generate", "sim.ticks", "--instrument", "EURUSD.SIM", "--ticks", "200000")
    subprocess.run(generate, cwd=tmp_path, check=True, capture_output=True, timeout=LONG_S)
    return tmp_path


@contextmanager
def running(project: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command("run", "--env", "paper"), cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait(lambda: once(project)["strategies"][0]["orders"] == 3 if has_socket(project, process) else False)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LONG_S)


def has_socket(project: Path, process: subprocess.Popen[str]) -> bool:
    assert process.poll() is None, process.communicate()
    return (project / "runs" / "control" / f"paper-{process.pid}.sock").exists()


def wait(condition: Any) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def once(project: Path) -> Any:
    words = command("top", "--once", "--json", "--every", "0.1")
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, timeout=LONG_S)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_what_it_tells_a_script_is_what_the_run_counts_and_changes_nothing(project: Path) -> None:
    with running(project) as process:
        said = once(project)
        (strategy,) = said["strategies"]
        (feed,) = said["feeds"]
        assert (said["run"], said["trading"]) == (f"paper-{process.pid}", "ACTIVE")
        assert (strategy["state"], strategy["orders"], strategy["open_orders"]) == ("RUNNING", 3, 1)
        assert isinstance(strategy["pnl"], float)
        assert strategy["handler"]["p99_ns"] <= strategy["handler"]["max_ns"]
        assert feed["name"] == "sim"
        assert said["rates"]["ticks"] > 0
        assert said["rates"]["strategies"]["trades"]["delivered"] > 0
        words = command("top", "--once")
        text = subprocess.run(words, cwd=project, capture_output=True, text=True, timeout=LONG_S).stdout
        assert re.search(rf"^paper-{process.pid} +trading ACTIVE +step [\d,]+ +ticks [\d,]+ +[\d,]+ ticks/s", text)
        assert re.search(r"^trades +RUNNING +[\d,]+ +[\d,]+ +0 .* +3 +1 +-?[\d.]+ *$", text, re.MULTILINE), text
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=LONG_S)
    assert (process.returncode, err) == (0, "")
    (folder,) = project.glob("runs/paper-2*")
    result = json.loads((folder / "result.json").read_text())
    assert result["strategies"][0]["delivered"] > 0
    assert "commands" not in json.dumps(result["stats"]), "looking on is no command"


def test_it_works_while_a_handler_hangs(project: Path) -> None:
    with running(project):
        (project / "hang").touch()
        positions = [once(project)["position"]]

        def stands_still() -> bool:
            positions.append(once(project)["position"])
            return positions[-1] == positions[-2]

        wait(stands_still)
        (project / "hang").unlink()


def test_a_list_for_scripts_ends_with_the_run(project: Path) -> None:
    with running(project) as process:
        words = command("top", "--json", "--every", "0.1")
        top = subprocess.Popen(words, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert top.stdout is not None
        first, second = json.loads(top.stdout.readline()), json.loads(top.stdout.readline())
        assert first["rates"] == {}
        assert second["rates"]["ticks"] > 0
        process.send_signal(signal.SIGTERM)
        out, err = top.communicate(timeout=LONG_S)
    assert (top.returncode, err) == (0, "")
    assert all(json.loads(line)["run"] == first["run"] for line in out.splitlines())
    again = subprocess.run(command("top"), cwd=project, capture_output=True, text=True, timeout=LONG_S)
    assert again.returncode == 3
    assert "no run goes on in runs/control" in again.stderr


@pytest.mark.parametrize("how", ["the run ends", "the run is killed", "ctrl-c"])
def test_on_a_terminal_the_table_is_drawn_anew_until_the_run_ends_or_one_leaves(project: Path, how: str) -> None:
    with running(project) as process:
        mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
        environ = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        environ["TERM"] = "xterm-256color"
        words = command("top", "--every", "0.1")
        top = subprocess.Popen(
            words, cwd=project, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
        )
        os.close(theirs)
        seen = read(mine, lambda text: text.count(f"paper-{process.pid}") >= 4)
        assert "RUNNING" in seen
        assert "\x1b[" in seen, "drawn in place"
        if how == "ctrl-c":
            top.send_signal(signal.SIGINT)
        else:
            process.send_signal(signal.SIGTERM if how == "the run ends" else signal.SIGKILL)
        rest = read(mine, lambda text: False)
        assert top.wait(LONG_S) == 0
        os.close(mine)
        assert (f"paper-{process.pid} has ended" in rest) == (how != "ctrl-c")
        assert "Traceback" not in seen + rest
        assert rest.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in rest, "the cursor is shown again"


def read(terminal: int, enough: Any) -> str:
    """What comes until it is enough, or the other end closes."""
    text, deadline = "", time.monotonic() + LONG_S
    while not enough(text):
        assert time.monotonic() < deadline, text
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                text += os.read(terminal, 65_536).decode(errors="replace")
            except OSError:  # closed
                break
    return text
