"""Each step of an end has its time, and what hangs in one keeps no other; ends that begin with a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from ended_runs import SLACK_S, files
from shutdown_project import Process, wait

pytestmark = pytest.mark.slow

CLOSES = """
class Feed:
    instruments = ("GBPUSD.SIM",)
    settings = {}
    def __init__(self, *, name, **options): pass
    def start(self, feed): pass
    def close(self): open("closed", "w").close()
"""
RESULT_HANGS = """
import time
from tickrail.report.result import Result
Result.write = lambda self, folder: time.sleep(3_600)
"""


def test_a_result_that_cannot_be_written_keeps_no_service_from_its_end(project: Path) -> None:
    """A file system that hangs: what is open is closed all the same, and what was abandoned is said."""
    (project / "closes.py").write_text(CLOSES)
    more = ["feeds.more.adapter=closes:Feed", "runtime.adapter_prefixes=closes"]
    run = Process(project, "live", {"one": ("Ticking", "")}, *more, timeout_s=2.0, FIRST=RESULT_HANGS)
    run.wait_for("running")
    end = run.end(run.send(signal.SIGTERM))
    assert end.code == 70
    assert end.took_s < 2.0 + SLACK_S
    assert (project / "closed").exists()
    report = end.out["shutdown"]
    assert (report["outcome"], report["abandoned"]) == ("abandoned", ["result: its time was over after 1.2 s"])
    steps = {step["name"]: (step["deadline_s"], step["late"]) for step in report["steps"]}
    assert (steps["result"], steps["services"]) == ((1.2, True), (0.8, False))
    assert (end.out["folder"], end.out["status"]) == (None, "stopped")
    (file,) = (project / "runs").glob("live-*.shutdown.json")
    assert json.loads(file.read_text()) == report


DISK_IS_FULL = """
import tickrail.report.folder
from tickrail.report.result import Result
def full(*_):
    raise OSError(28, "No space left on device")
def write(self, folder):
    tickrail.report.folder.write_file = full
    full()
Result.write = write
"""


def test_a_full_disk_keeps_nobody_from_the_report(project: Path) -> None:
    run = Process(project, "live", {"one": ("Ticking", "")}, FIRST=DISK_IS_FULL)
    run.wait_for("running")
    end = run.end(run.send(signal.SIGTERM))
    assert (end.code, end.out["folder"], end.out["status"]) == (70, None, "stopped")
    report = end.out["shutdown"]
    (lost,) = report["abandoned"]
    assert lost.startswith("result: ") and lost.endswith("Z-" + end.out["digest"][:8] + ": No space left on device")
    assert report["standing"]["one"]["state"] == "STOPPED"
    first, second = end.err.splitlines()
    assert first == f"error: {lost}"
    assert second.startswith("error: report: ") and second.endswith(".shutdown.json: No space left on device")


VENUE = """
from tickrail.testing.execution import FakeExecution

class Venue(FakeExecution):
    def __init__(self, *, name):
        super().__init__(name=name, fills="by_hand")

    def submit(self, order):
        answer = super().submit(order)
        open("submitted", "a").write(order.client_id + "\\\\n")
        return answer

    def cancel(self, client_id):
        with open("canceled", "a") as file:
            file.write(client_id.partition("-")[2] + "\\\\n")
        return super().cancel(client_id)
"""
RESTS = """
import time
from pathlib import Path
import tickrail

class Rests(tickrail.Strategy):
    hangs: bool = False

    def on_start(self):
        self.seen = 0

    def on_tick(self, tick):
        self.seen += 1
        if self.seen == 1:
            self.buy("EURUSD.SIM", 1.0, limit=0.01)
        if self.hangs and Path("submitted").exists() and len(Path("submitted").read_text().splitlines()) == 2:
            Path("running").touch()
            while True:
                try:
                    time.sleep(3_600)
                except BaseException:
                    pass
"""


HURRIED = """
from tickrail.orchestration.shutdown import Shutdown
Shutdown.__init__.__kwdefaults__["hurry_s"] = 1.0
"""


@pytest.mark.parametrize("signals", [0, 1, 2])
def test_a_handler_that_hangs_leaves_no_order_outside_that_was_to_be_taken_back(project: Path, signals: int) -> None:
    """The loop never comes to it, stopped or not; orders of strategies that leave theirs stay."""
    (project / "outside.py").write_text(VENUE.replace("\\\\", "\\"))
    (project / "rests.py").write_text(RESTS)
    (project / "config" / "live" / "z.toml").write_text(
        '[strategies.stays]\nclass = "rests:Rests"\norders_at_stop = "leave"\n'
        '[strategies.hangs]\nclass = "rests:Rests"\nparams = { hangs = true }\n'
        '[venues.SIM]\nadapter = "outside:Venue"\n[runtime]\nadapter_prefixes = ["outside"]\n'
    )
    deadline = [] if signals else ["runtime.handler_deadline_ns=500_000_000"]
    run = Process(project, "live", {}, *deadline, timeout_s=1.0 if signals == 1 else 3_600.0, FIRST=HURRIED)
    run.wait_for("running")
    sent = run.send(signal.SIGTERM) if signals else time.monotonic()
    if signals == 2:
        run.send(signal.SIGINT)
    end = run.end(sent)
    assert end.code in ((70,) if signals < 2 else (130, 143)), end.err  # two at one moment come in any order
    assert end.took_s < (1.0 if signals else 2.5) + SLACK_S
    (canceled,) = (project / "canceled").read_text().splitlines()
    names = (project / "submitted").read_text().splitlines()
    assert sorted(name.endswith(canceled) for name in names) == [False, True]
    note = "orders at venues outside were asked back without the loop, which has not seen what came of it"
    assert end.out["shutdown"]["notes"] == [note]
    assert note in end.err
    assert canceled.split("-")[-2] == "1", "of the second strategy"


def on_a_terminal(project: Path, *words: str, ignored: bool = False) -> tuple[subprocess.Popen[bytes], int]:
    """A run whose terminal this is, as a shell's foreground job; and the terminal's other end."""
    ours, theirs = pty.openpty()

    def prepare() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    command = [sys.executable, "-m", "tickrail", "run", "--env", "live", *words]
    process = subprocess.Popen(
        command, cwd=project, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=prepare
    )
    os.close(theirs)
    return process, ours


CHATTY = """
import time
from contextlib import suppress
from pathlib import Path
import tickrail

class Chatty(tickrail.Strategy):
    def on_tick(self, tick):
        with suppress(OSError):  # a moment passes between the end of the terminal and the signal
            print("a tick", flush=True)
        Path("running").touch()
        time.sleep(0.001)

    def on_stop(self):
        print("stopped", flush=True)
        Path("stopping").touch()
"""


@pytest.mark.parametrize("ignored", [False, True], ids=["closed", "nohup"])
def test_a_terminal_that_is_closed_ends_a_run_as_sigterm_does(project: Path, ignored: bool) -> None:
    """What is printed to it afterwards fails nobody; a process that was told to outlive its terminal does."""
    (project / "chatty.py").write_text(CHATTY)
    process, ours = on_a_terminal(
        project, "--no-progress", "--set", "strategies.one.class=chatty:Chatty", ignored=ignored
    )
    try:
        wait(lambda: (project / "running").exists() or process.poll() is not None)
        if ignored:
            process.send_signal(signal.SIGHUP)
            (project / "running").unlink()
            wait(lambda: (project / "running").exists())
            process.send_signal(signal.SIGTERM)
        before = files(project)
        if not ignored:
            os.close(ours)
        else:
            os.set_blocking(ours, False)
        deadline = time.monotonic() + 30.0
        while process.poll() is None:
            assert time.monotonic() < deadline
            if ignored:  # a terminal that nobody reads is full soon
                try:
                    os.read(ours, 65_536)
                except BlockingIOError:
                    time.sleep(0.005)
                except OSError:
                    time.sleep(0.005)
            else:
                time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
        if ignored:
            os.close(ours)
    assert process.returncode == 0
    assert (project / "stopping").exists()
    (report,) = (path for path in files(project) - before if path.name == "shutdown.json")
    said = json.loads(report.read_text())
    assert (said["outcome"], said["signals"]) == ("drained", [int(signal.SIGTERM if ignored else signal.SIGHUP)])
    assert "FAILED" not in (report.parent / "summary.txt").read_text()


def test_a_run_that_has_failed_stays_so_when_somebody_stops_it_by_ctrl_c(project: Path) -> None:
    run = Process(project, "live", {"one": ("Ticking", "fails"), "two": ("Ticking", "")})
    run.wait_for("running")
    end = run.end(run.send(signal.SIGINT))
    assert (end.code, end.out["status"]) == (1, "interrupted")
    assert end.out["shutdown"]["outcome"] == "drained"


DIES = """
import os
import signal
import {module}
before, calls = {module}.{name}, 0
def dies(*given, **named):
    global calls
    calls += 1
    if calls == {when}:
        os.kill(os.getpid(), signal.SIGKILL)
    return before(*given, **named)
{module}.{name} = dies
"""


@pytest.mark.parametrize(
    ("module", "name", "when", "visible"),
    [("numpy", "save", 2, 0), ("pathlib", "Path.replace", 2, 1)],
    ids=["a result", "its report"],
)
def test_a_process_that_is_killed_while_it_seals_its_files_leaves_them_whole_or_not_at_all(
    project: Path, module: str, name: str, when: int, visible: int
) -> None:
    """What is half written has a name that begins with a dot, and no reader takes it for a result."""
    first = DIES.format(module=module, name=name, when=when)
    run = Process(project, "live", {"one": ("Ticking", "")}, FIRST=first)
    run.wait_for("running")
    end = run.end(run.send(signal.SIGTERM))
    assert end.code == -signal.SIGKILL
    left = [path for path in (project / "runs").iterdir() if not path.name.startswith(".") and path.name != "control"]
    assert len(left) == visible
    for folder in left:
        assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
            *(
                "configuration.json",
                "fills.npy",
                "held.npy",
                "orders.npy",
                "record.json",
                "refusals.npy",
                "result.json",
            ),
            *("summary.txt", "worth.npy"),
        ], "whole, but for the report that was not sealed yet"
        assert json.loads((folder / "result.json").read_text())["status"] == "stopped"
