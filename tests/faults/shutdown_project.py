"""A project whose processes are told to end: strategies that behave on demand, a driver that sees what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ended_runs import DRIVER, LONG_S, Ended, ended, files

STRATEGIES = '''
import contextlib
import os
import threading
import time
from pathlib import Path

import tickrail

Path("imported").touch()
time.sleep(float(os.environ.get("IMPORT_S", 0)))


class Told(tickrail.Strategy):
    """Does what ``how`` says from its third tick on."""

    how: str = ""

    def note(self, word):
        with open("times", "a") as times:
            times.write(f"{time.monotonic()} {self.name}:{word}\\n")
        with open("log", "a") as log:
            log.write(f"{self.name}:{word}\\n")

    def on_start(self):
        self.count = 0
        self.note("start")
        if self.how == "slow_start":
            Path("starting").touch()
            time.sleep(1.5)
        if self.how in ("idle", "native_loop"):
            Path("running").touch()
        while self.how == "native_loop" and not Path("go").exists():
            time.sleep(0.001)  # until the signal is as good as sent: the loop takes its data in a second
        if self.how == "timers":
            self.schedule_every(1_000_000, lambda event: None)

    def on_order_update(self, update):
        self.note(update.status)

    def on_stop(self):
        self.note("stop")
        Path("stopping").touch()
        if self.how == "raises":
            raise LookupError("on_stop")
        while self.how == "loops_in_stop":
            pass
        if self.how == "slow_stop":
            time.sleep(3_600)
        if self.how == "slow":
            time.sleep(0.5)


class Ticking(Told):
    def on_tick(self, tick):
        self.count += 1
        if self.count == 3:
            if self.how in ("orders", "close", "holds"):
                self.buy(tick.instrument, 1.0)
                self.buy(tick.instrument, 1.0, limit=0.01)
            elif self.how == "spawn":
                self.spawn(self.never(), lambda result: None)
            elif self.how == "swallows":
                self.spawn(self.ever(), lambda result: None)
        if self.count == 30:
            if self.how != "forks":
                Path("running").touch()
            if self.how == "interrupts":
                raise KeyboardInterrupt
            if self.how in ("loop", "holds"):
                while True:
                    pass
            if self.how == "forks":
                child = os.fork() or time.sleep(3_600)
                os.kill(child, 15)
                self.note(f"child {os.waitpid(child, 0)[1]}")
            if self.how == "thread":
                threading.Thread(target=time.sleep, args=(3_600,), name="forgotten").start()
            if self.how == "sleeps":
                time.sleep(3_600)
            if self.how == "naps":
                time.sleep(7.0)
            if self.how == "native":
                sum(range(10**12))
            if self.how == "exits":
                raise SystemExit(3)
            if self.how == "fails":
                raise LookupError("on purpose")
        if self.how == "busy":
            time.sleep(0.0005)
        if self.how == "forks" and self.count == 60:
            Path("running").touch()

    async def never(self):
        import asyncio

        await asyncio.sleep(3_600)

    async def ever(self):
        while True:
            with contextlib.suppress(BaseException):
                await self.never()
'''
BACKTEST = """
[feeds.sim]
adapter = "ticks"
path = "sim.ticks"
[venues.SIM]
adapter = "simulated"
"""
LINE = """
import os
import threading
import time
import urllib.error
import urllib.request

from tickrail.errors import FeedClosed


class Line:
    \"""Publishes quotes as fast as they are taken, and notes when nobody takes them any more; may fail.\"""

    instruments = ("EURUSD.SIM",)
    settings = {}

    def __init__(self, *, name, how="", http="", **options):
        self.name, self.how, self.http, self.over = name, how, http, False
        self.thread = None

    def start(self, feed):
        self.thread = threading.Thread(target=self.publish, args=(feed,), name=f"line-{self.name}")
        self.thread.start()

    def publish(self, feed):
        try:
            with feed.publisher() as publisher:
                for number in range(1_000_000_000):
                    if self.over:
                        return
                    publisher.publish_quote("EURUSD.SIM", 1.0, 1.1)
                    if self.how == "fails" and number > 100 and os.path.exists("running"):
                        raise LookupError("the line is dead")
        except FeedClosed:
            self.note(f"{time.monotonic()} {self.name}:refused")
            if self.http:
                self.note(f"{self.ready()} {self.name}:ready")
        except LookupError as error:
            feed.fail(error)

    def ready(self):
        try:
            with urllib.request.urlopen(self.http + "/readyz", timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def note(self, line):
        with open("times", "a") as times:
            times.write(line + "\\n")

    def close(self):
        self.over = True
        if self.thread is not None:
            self.thread.join(30)
        with open("closed", "a") as closed:
            closed.write(f"{self.name} ")
        if self.how == "raises":
            raise LookupError("the line is dead")
"""
LINES = """
[runtime]
adapter_prefixes = ["line"]
[feeds.good]
adapter = "line:Line"
[venues.SIM]
adapter = "simulated"
"""
LIVE = """
[feeds.sim]
adapter = "ticks"
path = "sim.ticks"
speed = 1.0
[venues.SIM]
adapter = "simulated"
"""
IDLE = """
[feeds.sim]
adapter = "published"
options = { instruments = ["EURUSD.SIM"] }
[venues.SIM]
adapter = "simulated"
"""


def made(folder: Path, ticks: int = 200_000, *, like: Path | None = None) -> Path:
    """The project in ``folder``; its ticks are those of ``like``, which was made before."""
    (folder / "told.py").write_text(STRATEGIES)
    (folder / "line.py").write_text(LINE)
    (folder / "drive.py").write_text(DRIVER)
    for env, text in {"backtest": BACKTEST, "live": LIVE, "idle": IDLE, "lines": LINES}.items():
        (folder / "config" / env).mkdir(parents=True)
        (folder / "config" / env / "runtime.toml").write_text(text)
    if like is not None:
        os.link(like / "sim.ticks", folder / "sim.ticks")
        return folder
    command = [sys.executable, "-m", "tickrail", "data", "generate", "sim.ticks", "--instrument", "EURUSD.SIM"]
    subprocess.run([*command, "--ticks", str(ticks)], cwd=folder, check=True, capture_output=True, timeout=LONG_S)
    return folder


class Process:
    """A run of that project.

    Args:
        project: Where.
        env: Which environment.
        strategies: By name, class (of ``told.py``, if no module is said) and what it does.
        settings: More of the configuration, each as ``a.b=v``.
        timeout_s: The deadline of the whole shutdown.
        command: What is run; without ``drive.py`` it ends as it does for users, and nobody notes what is left.
        environ: More variables.
    """

    def __init__(
        self,
        project: Path,
        env: str,
        strategies: Mapping[str, tuple[str, str]],
        *settings: str,
        timeout_s: float = 25.0,
        command: Sequence[str] = ("drive.py",),
        **environ: str,
    ) -> None:
        self.project = project
        self.before = files(project)
        command = [sys.executable, *command, "run", "--env", env, "--json", "--shutdown-timeout", str(timeout_s)]
        for name, (cls, how) in strategies.items():
            where = cls if ":" in cls else f"told:{cls}"
            settings += (f"strategies.{name}.class={where}", f"strategies.{name}.params.how={how}")
        for one in settings:
            command += ["--set", one]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.began = time.monotonic()
        # What it starts is in a session with it, by which is seen whether anything of that is left.
        pipes["start_new_session"] = True
        # Temporary files lie where they are looked for afterwards.
        variables = {**os.environ, "TMPDIR": str(project), **environ}
        self.process = subprocess.Popen(command, cwd=project, env=variables, text=True, **pipes)

    def wait_for(self, name: str) -> None:
        """Until there is a file of that name, or the process has ended."""
        self.wait_until((self.project / name).exists)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Until ``condition`` holds, or the process has ended."""
        wait(lambda: condition() or self.process.poll() is not None)

    def send(self, number: signal.Signals) -> float:
        """Send a signal; when."""
        self.process.send_signal(number)
        return time.monotonic()

    def end(self, since: float | None = None) -> Ended:
        """Wait for its end; ``since`` is what its time counts from: the signal that was to end it."""
        began = self.began if since is None else since
        found = ended(self.process, self.project, since=began, before=self.before)
        with pytest.raises(ProcessLookupError):  # no child is left
            os.killpg(self.process.pid, 0)
        return found

    def at(self, word: str) -> float:
        """When it noted that, by the clock of ``send``."""
        lines = (line.split() for line in (self.project / "times").read_text().splitlines())
        return next(float(when) for when, what in lines if what == word)

    def log(self) -> list[str]:
        """What strategies noted."""
        file = self.project / "log"
        return file.read_text().splitlines() if file.exists() else []


def wait(condition: Callable[[], bool]) -> None:
    """Until ``condition`` holds."""
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
