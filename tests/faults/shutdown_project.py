"""A project whose processes are told to end: strategies that behave on demand, a driver that sees what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LONG_S = 60.0

STRATEGIES = '''
import threading
import time
from pathlib import Path

import tickrail


class Told(tickrail.Strategy):
    """Does what ``how`` says from its third tick on."""

    how: str = ""

    def note(self, word):
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
        if self.how == "timers":
            self.schedule_every(1_000_000, lambda event: None)

    def on_order_update(self, update):
        self.note(update.status)

    def on_stop(self):
        self.note("stop")
        if self.how == "raises":
            raise LookupError("on_stop")


class Ticking(Told):
    def on_tick(self, tick):
        self.count += 1
        if self.count == 3:
            if self.how in ("orders", "close"):
                self.buy(tick.instrument, 1.0)
                self.buy(tick.instrument, 1.0, limit=0.01)
            elif self.how == "spawn":
                self.spawn(self.never(), lambda result: None)
        if self.count == 30:
            Path("running").touch()
            if self.how == "interrupts":
                raise KeyboardInterrupt
            if self.how == "loop":
                while True:
                    pass
        if self.how == "busy":
            time.sleep(0.0005)

    async def never(self):
        import asyncio

        await asyncio.sleep(3_600)
'''
DRIVER = """
import gc
import json
import os
import sys
import threading
import time
from concurrent.futures import Future

from tickrail.cli import main

code = 0
try:
    main(prog_name="tickrail")
except SystemExit as left:
    code = left.code or 0
gc.collect()
from tickrail.orchestration.bus.receipt import Receipt


def places():
    for one in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{one}")
        except OSError:
            pass


waiting = [one for one in gc.get_objects() if isinstance(one, (Receipt, Future)) and not one.done()]

def native():
    names = []
    for one in os.listdir("/proc/self/task"):
        try:
            names.append(open(f"/proc/self/task/{one}/comm").read().strip())
        except OSError:
            pass  # it has ended meanwhile
    return [name for name in names if name.startswith("tickrail")]


patience = time.monotonic() + 5.0  # the thread that watches handlers stays for a moment, for the next run
while native() and time.monotonic() < patience:
    time.sleep(0.01)
left = {
    "threads": [one.name for one in threading.enumerate() if one is not threading.main_thread()],
    "native": native(),
    "files": sorted(places()),
    "futures": [repr(one) for one in waiting],
}
with open("left.json", "w") as file:
    json.dump(left, file)
sys.exit(code)
"""
BACKTEST = """
[feeds.sim]
adapter = "ticks"
path = "sim.ticks"
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


def made(folder: Path, ticks: int = 200_000) -> Path:
    """The project in ``folder``."""
    (folder / "told.py").write_text(STRATEGIES)
    (folder / "drive.py").write_text(DRIVER)
    for env, text in {"backtest": BACKTEST, "live": LIVE, "idle": IDLE}.items():
        (folder / "config" / env).mkdir(parents=True)
        (folder / "config" / env / "runtime.toml").write_text(text)
    command = [sys.executable, "-m", "tickrail", "data", "generate", "sim.ticks", "--instrument", "EURUSD.SIM"]
    subprocess.run([*command, "--ticks", str(ticks)], cwd=folder, check=True, capture_output=True, timeout=LONG_S)
    return folder


class Process:
    """A run of that project.

    Args:
        project: Where.
        env: Which environment.
        strategies: By name, class and what it does.
        settings: More of the configuration, each as ``a.b=v``.
        timeout_s: The deadline of the whole shutdown.
        environ: More variables.
    """

    def __init__(
        self,
        project: Path,
        env: str,
        strategies: Mapping[str, tuple[str, str]],
        *settings: str,
        timeout_s: float = 25.0,
        **environ: str,
    ) -> None:
        self.project = project
        command = [sys.executable, "drive.py", "run", "--env", env, "--json", "--shutdown-timeout", str(timeout_s)]
        for name, (cls, how) in strategies.items():
            settings += (f"strategies.{name}.class=told:{cls}", f"strategies.{name}.params.how={how}")
        for one in settings:
            command += ["--set", one]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=project, env={**os.environ, **environ}, text=True, **pipes)

    def wait_for(self, name: str) -> None:
        """Until there is a file of that name, or the process has ended."""
        wait(lambda: (self.project / name).exists() or self.process.poll() is not None)

    def send(self, number: signal.Signals) -> float:
        """Send a signal; when."""
        self.process.send_signal(number)
        return time.monotonic()

    def end(self) -> tuple[int, dict[str, Any], str]:
        """Exit code, what it printed as JSON, and stderr."""
        try:
            out, err = self.process.communicate(timeout=LONG_S)
        finally:
            self.process.kill()
        return self.process.returncode, json.loads(out) if out else {}, err

    def log(self) -> list[str]:
        """What strategies noted."""
        file = self.project / "log"
        return file.read_text().split() if file.exists() else []

    def assert_nothing_left(self) -> None:
        """No thread, no file, no Future is left behind in the process, nor a socket in the folder."""
        left = json.loads((self.project / "left.json").read_text())
        assert (left["threads"], left["futures"]) == ([], [])
        assert left["native"] == []
        mine = [name for name in left["files"] if str(self.project) in name or "socket" in name]
        assert mine == []
        assert not list(self.project.glob("runs/control/*.sock"))


def wait(condition: Callable[[], bool]) -> None:
    """Until ``condition`` holds."""
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
