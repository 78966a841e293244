"""What may happen to the process itself: it dies, its descriptors and the readers of its output run out.

Each case asserts exit code, message, an upper bound of time, and what is left; that of a command by its golden file.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ended_runs import DRIVER, LEFT, LOADED, LONG_S, Ended, assert_nothing_left, files
from ended_runs import ended as ended_run

from tickrail.adapters.live.state_files import FileStateStore
from tickrail.data import generate_file

STRATEGIES = """
import ctypes
import json
import logging
import os
import signal
import time
from pathlib import Path

import tickrail
from tickrail.orchestration import shutdown


class Fate(tickrail.Strategy):
    how: str = ""

    def on_start(self):
        self.count = 0
        if self.how == "notes":
            Path("log").touch()
        self.open = []
        self.seen = []
        self.handled = {signal.SIGUSR1: 0, signal.SIGCHLD: 0}
        if self.how == "storm":
            for number in self.handled:
                signal.signal(number, self.handle)
            Path("running").touch()

    def handle(self, number, frame):
        self.handled[number] += 1

    def on_tick(self, tick):
        self.count += 1
        self.seen.append(tick.sequence)
        if self.how in ("keeps", "drains", "never stops") and self.count == 30:
            Path("running").touch()
        if self.how == "drains" and self.count >= 30:
            self.await_signals(1)
            Path("stopping").touch()
            self.await_signals(2)
        if self.how == "logs":
            for number in range(40):
                logging.getLogger("tickrail.mine").info("x" * 200)
        if self.count != 30:
            return
        if self.how == "raises":
            raise LookupError("on purpose")
        if self.how == "arms":
            self.schedule_after(1, self.late)
        elif self.how == "exits":
            os._exit(3)
        elif self.how == "segfaults":
            ctypes.string_at(0)
        elif self.how == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.how == "opens":
            try:
                while True:
                    self.open.append(os.open("/dev/null", os.O_RDONLY))
            except OSError as error:
                self.said = error.errno

    def save_state(self):
        return {"count": self.count} if self.how == "keeps" else {}

    def load_state(self, state):
        assert state["count"] == 7

    def await_signals(self, count):
        while len(shutdown._here[0].signals) < count:
            time.sleep(0.001)

    def late(self, event):
        raise LookupError("in a timer")

    def on_stop(self):
        for one in self.open:
            os.close(one)
        if self.how == "storm":
            for number in self.handled:
                signal.signal(number, signal.SIG_IGN)
            Path("log").write_text(json.dumps([self.handled, self.seen]))
        if self.how == "never stops":
            for count in range(1, 100):
                self.await_signals(count)
                Path("starting").mkdir(exist_ok=True)
                Path("starting", str(count)).touch()
        if self.how == "raises in on_stop":
            raise LookupError("in on_stop")


class Other(tickrail.Strategy):
    def on_start(self):
        self.count = 0

    def on_tick(self, tick):
        self.count += 1
"""
CONFIG = """
[feeds.sim]
adapter = "ticks"
path = "sim.ticks"
[venues.SIM]
adapter = "simulated"
[strategies.fate]
class = "fate:Fate"
[strategies.other]
class = "fate:Other"
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ticks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("ticks") / "sim.ticks"
    generate_file(file, 500, instruments=["EURUSD.SIM"])
    return file


@pytest.fixture
def project(tmp_path: Path, ticks: Path) -> Path:
    (tmp_path / "fate.py").write_text(STRATEGIES)
    (tmp_path / "drive.py").write_text(DRIVER)
    for env, more in {"backtest": "", "paper": "speed = 1000.0\n[venues"}.items():
        text = CONFIG if not more else CONFIG.replace("[venues", more, 1)
        (tmp_path / "config" / env).mkdir(parents=True)
        (tmp_path / "config" / env / "runtime.toml").write_text(text)
    os.link(ticks, tmp_path / "sim.ticks")
    return tmp_path


class Started:
    """A run whose strategy ``fate`` meets what ``how`` says."""

    def __init__(self, project: Path, env: str, how: str, *settings: str, first: str = "", **more: Any) -> None:
        self.project, self.before = project, files(project)
        command = [sys.executable, "drive.py", "run", "--env", env, "--json"]
        for one in (f"strategies.fate.params.how={how}", *settings):
            command += ["--set", one]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        self.began = time.monotonic()
        environ = {**os.environ, "FIRST": first}
        self.process = subprocess.Popen(command, cwd=project, text=True, env=environ, **pipes)

    def wait_for(self, name: str) -> None:
        """Until there is a file of that name."""
        while not (self.project / name).exists():
            assert self.process.poll() is None, self.end().err
            time.sleep(0.005)

    def end(self, since: float | None = None) -> Ended:
        since = self.began if since is None else since
        return ended_run(self.process, self.project, since=since, before=self.before)


def delivered(end: Ended) -> list[int]:
    return [one["delivered"] for one in end.out["strategies"]]


@pytest.mark.parametrize("env", ["backtest", "paper"])
def test_f1_a_handler_raises_and_the_others_miss_nothing(project: Path, env: str) -> None:
    end = Started(project, env, "raises").end().held(f"process_f01_{env}", within_s=20.0)
    assert end.code == 1
    assert delivered(end)[1] == 500
    (error,) = end.out["errors"]
    assert (error["strategy"], error["type"], error["message"]) == ("fate", "LookupError", "on purpose")
    assert error["position"] > 0


@pytest.mark.parametrize("how", ["arms", "raises in on_stop"])
def test_f2_a_hook_raises_and_the_others_miss_nothing(project: Path, how: str) -> None:
    """Those of the start are in ``test_start_faults.py``."""
    end = Started(project, "paper", how).end().held(f"process_f02_{how.replace(' ', '_')}", within_s=20.0)
    assert end.code == 1
    assert delivered(end)[1] == 500


@pytest.mark.parametrize(("how", "code"), [("exits", 3), ("segfaults", -11), ("is killed", -9)])
def test_f7_a_process_that_dies_in_a_handler_leaves_nothing_that_keeps_the_next(
    project: Path, how: str, code: int
) -> None:
    settings = (f"runtime.state_dir={project / 'states'}", "runtime.exclusive=true")
    run = Started(project, "paper", how, *settings)
    end = run.end()
    assert end.code == code
    end.held(f"process_f07_{how.replace(' ', '_')}", within_s=20.0, by_force=True)
    ctl = [sys.executable, "-m", "tickrail", "ctl", "status"]
    asked = subprocess.run(ctl, cwd=project, capture_output=True, text=True, timeout=LONG_S)
    assert (asked.returncode, asked.stderr) == (3, "error: no run goes on in runs/control\n")
    left = list(project.glob("runs/control/*.sock"))
    assert len(left) == 1, "the dead one's, which nobody serves"
    named = subprocess.run([*ctl[:4], "--run", left[0].stem, "status"], cwd=project, capture_output=True, text=True)
    assert (named.returncode, named.stderr) == (3, f"error: {left[0].stem} has ended and left its socket behind\n")
    assert not list(project.glob("runs/paper-2*")), "no half of a result"
    started = Started(project, "paper", "", *settings)
    after = started.end().held("process_f07_the_next", within_s=20.0)
    assert after.code == 0
    assert delivered(after) == [500, 500]
    assert not list(project.glob("runs/control/*-*")), "the next run has cleared it away"
    (mark,) = project.glob("runs/*.crashed.json")
    facts = json.loads(mark.read_text())
    died, follower = f"paper-{run.process.pid}", f"paper-{started.process.pid}"
    assert (facts["status"], facts["run"], facts["followed_by"], facts["parent"]) == ("CRASHED", died, follower, None)
    assert after.out["parent"] == mark.name.removesuffix(".crashed.json")
    assert json.loads((Path(after.out["folder"]) / "record.json").read_text())["parent"] == after.out["parent"]


def limited(soft: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))


DESCRIPTORS = """
import contextlib, glob, io, os, resource, time
from tickrail.cli import main

def run():
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(["run", "--env", "paper", "--json"], prog_name="tickrail")
    except SystemExit as left:
        return left.code or 0, err.getvalue()

def left():
    _gc.collect()
    while _native():
        time.sleep(0.001)
    return sorted(_places()), glob.glob("runs/control/*-*"), glob.glob("runs/.*")

assert run() == (0, "")
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
before = left()
code, refused = 1, 0
while code:
    held, results = [], glob.glob("runs/paper-*/result.json")
    with contextlib.suppress(OSError):
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    for _ in range(refused):  # that many there are
        os.close(held.pop())
    code, said = run()
    for one in held:
        os.close(one)
    assert left() == before, (refused, said, left())
    if code:
        assert code in (1, 70, 78) and "too many open files" in said.lower() and "Traceback" not in said, (code, said)
        assert glob.glob("runs/paper-*/result.json") == results
        refused += 1
assert 3 <= refused < 30, refused
"""


def test_f58_with_any_number_of_descriptors_a_start_goes_well_or_is_refused_in_words(project: Path) -> None:
    """None is left, one, two, ...; what was started is undone each time, and nothing of it stays."""
    (project / "drive.py").write_text(LOADED + LEFT.partition("_gc.collect()")[0] + DESCRIPTORS + LEFT)
    run = Started(project, "paper", "")
    end = run.end()
    assert end.code == 0, end.err
    assert end.err == ""
    assert end.took_s < 30
    assert_nothing_left(project)


def test_f58_a_loop_goes_on_while_a_strategy_has_every_descriptor(project: Path) -> None:
    end = Started(project, "paper", "opens", preexec_fn=limited(64)).end().held("process_f58_running", within_s=20.0)
    assert (end.code, end.err) == (0, "")
    assert delivered(end) == [500, 500]


def test_f64_a_log_that_nobody_reads_keeps_no_tick_and_what_is_dropped_is_counted(project: Path) -> None:
    run = Started(project, "paper", "logs", "runtime.log=text")
    process = run.process
    assert process.stdout is not None
    assert process.stderr is not None
    out = json.loads(process.stdout.read())  # the end of the run, while nobody reads the log
    assert [one["delivered"] for one in out["strategies"]] == [500, 500]
    process.wait(LONG_S)
    err = process.stderr.read()
    process.communicate()
    assert process.returncode == 0
    assert time.monotonic() - run.began < 30
    written = err.count("x" * 200 + "\n")
    assert 0 < written < 10_000
    assert 20_000 <= written + out["log_dropped"] < 20_100, "each record is written or counted, ours too"
    left = json.loads((project / "left.json").read_text())
    assert left["threads"] == ["tickrail-log"], "which waits for its reader, and keeps no process from its end"
    assert left["native"] == left["futures"] == []


def test_f64_a_log_is_whole_where_somebody_reads_it(project: Path) -> None:
    end = Started(project, "paper", "logs", "runtime.log=json").end()
    code, err = end.code, end.err
    assert code == 0
    assert end.took_s < 30
    assert_nothing_left(project)
    rows = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    mine = [row for row in rows if row["logger"] == "tickrail.mine"]
    dropped = sum(int(line.split()[1].replace(",", "")) for line in err.splitlines() if line.startswith("tickrail: "))
    assert len(mine) + dropped == 20_000
    assert {row["strategy"] for row in mine} == {"fate"}


def test_f64_a_reader_of_the_result_that_has_gone_is_no_failure_of_the_run(project: Path) -> None:
    run = Started(project, "paper", "")
    process = run.process
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.wait(LONG_S)
    process.stderr.close()
    assert "Traceback" not in err
    (folder,) = project.glob("runs/paper-2*")
    assert json.loads((folder / "result.json").read_text())["ok"]
    assert "the summary could not be printed" in err
    assert process.returncode == 0, "what the run means, not who reads of it"
    assert time.monotonic() - run.began < 30
    assert_nothing_left(project)


STEPS = """
import time
from pathlib import Path

def pause():
    from tickrail.orchestration import shutdown
    Path("starting").touch()
    while not shutdown._here[0].signals:
        time.sleep(0.001)

def before(owner, name, of=None):
    whole = getattr(owner, name)
    def paused(*arguments, **more):
        if of is None or of in arguments:
            pause()
        return whole(*arguments, **more)
    setattr(owner, name, paused)

if step == "load configuration":
    import tickrail.config
    before(tickrail.config, "load_config")
elif step == "open the control socket":
    from tickrail.orchestration.tick_dispatcher import TickDispatcher
    before(TickDispatcher, "open_control")
elif step == "start the feeds":
    from tickrail.orchestration.live_feeds import LiveFeeds
    before(LiveFeeds, "start")
else:
    from tickrail.orchestration.phases import Phases
    before(Phases, "enter", of=step)
"""


@pytest.mark.parametrize(
    "step",
    [
        "load configuration",
        "build container",
        "construct strategies",
        "validate ports and graph",
        "pre-start checks",
        "initialise",
        "open the control socket",
        "start the feeds",
    ],
)
def test_f38_a_signal_at_any_step_of_the_start_starts_nobody(project: Path, step: str) -> None:
    """Before there are handlers and while strategies start: ``test_shutdown_cases.py``."""
    run = Started(project, "paper", "notes", first=f"step = {step!r}\n{STEPS}")
    run.wait_for("starting")
    run.process.send_signal(signal.SIGTERM)
    end = run.end(time.monotonic()).held("process_f38_step", within_s=5.0)
    assert (end.code, end.err) == (0, "")
    assert delivered(end) == [0, 0]
    assert not (project / "log").exists(), "no strategy was started"


#: For handlers that wait for a test, which may be stopped meanwhile.
UNWATCHED = [f"runtime.{name}_deadline_ns=60_000_000_000" for name in ("drain", "hook", "handler")]
PATIENT = """
from tickrail.orchestration.shutdown import Shutdown

Shutdown.__init__.__kwdefaults__["hurry_s"] = 20.0  # a busy machine takes seconds to tear a process down
"""
FSYNC = """
import os, sys, time
from pathlib import Path

sys.argv += ["--shutdown-timeout", timeout_s]
whole = os.fsync
def fsync(descriptor):
    from tickrail.orchestration import shutdown
    Path("stopping").touch()
    if awaited == 99:
        time.sleep(3_600)  # as a system call, which no exception of the interpreter's reaches
    while len(shutdown._here[0].signals) < awaited:
        time.sleep(0.001)
    whole(descriptor)
os.fsync = fsync
"""


@pytest.mark.parametrize(
    ("awaited", "code", "count"), [(1, 0, 500), (2, 143, 30), (99, 70, 7)], ids=["first", "second", "never returns"]
)
def test_f39_a_signal_while_a_state_is_synced_leaves_it_whole(
    project: Path, awaited: int, code: int, count: int
) -> None:
    """At the end of the data, and after a stop; where the disk never answers the old state stays."""
    store = FileStateStore(folder=project / "states")
    store.save("fate", {"count": 7, "state_version": 1})
    speed = 0.2 if awaited == 2 else 1000
    settings = (f"runtime.state_dir={project / 'states'}", f"feeds.sim.speed={speed}", *UNWATCHED)
    first = f"awaited, timeout_s = {awaited}, {'1' if code == 70 else '25'!r}\n{PATIENT}{FSYNC}"
    run = Started(project, "paper", "keeps", *settings, first=first)
    for name in {1: ["stopping"], 2: ["running", "stopping"], 99: ["stopping"]}[awaited]:
        run.wait_for(name)
        run.process.send_signal(signal.SIGTERM)
    end = run.end(time.monotonic()).held(f"process_f39_{code}", within_s=5.0, by_force=code == 70)
    assert end.code == code
    assert store.load("fate")["count"] >= count
    assert (store.load("fate")["count"] == 7) == (code == 70)
    assert bool(list(store.folder.glob(".*.tmp"))) == (code == 70)
    FileStateStore(folder=store.folder).load("fate")  # as the next start does
    assert not list(store.folder.glob(".*.tmp"))
    assert "in fsync" in end.err or code != 70, "the stacks say where"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "int"])
def test_f39_a_second_signal_while_ticks_are_drained_counts_what_is_left(
    project: Path, number: signal.Signals, code: int
) -> None:
    run = Started(project, "paper", "drains", *UNWATCHED, first=PATIENT)
    for name in ("running", "stopping"):
        run.wait_for(name)
        run.process.send_signal(number)
    end = run.end(time.monotonic()).held(f"process_f39_drain_{code}", within_s=5.0)
    assert (end.code, end.err) == (code, "")
    for one in end.out["strategies"]:
        account = one["accounts"]
        assert 30 <= account["delivered"] < 500
        assert account == {
            **dict.fromkeys(account, 0),
            "published": 500,
            "delivered": account["delivered"],
            "pending": 500 - account["delivered"],
        }


@pytest.mark.parametrize("signals", [2, 3])
def test_f40_ctrl_c_again_and_again_ends_what_does_not_end(project: Path, signals: int) -> None:
    """The second leaves the hook ``HURRY_S``, the third nothing; 50 ms apart, as a hand does it."""
    run = Started(project, "paper", "never stops", "feeds.sim.speed=0.2", *UNWATCHED)
    run.wait_for("running")
    for number in range(1, signals + 1):
        sent = time.monotonic()
        run.process.send_signal(signal.SIGINT)
        if number < signals:
            run.wait_for(f"starting/{number}")  # two of one number at once would be one
            time.sleep(0.05)
    end = run.end(sent).held(f"process_f40_{signals}", within_s=5.0 if signals == 2 else 0.25, by_force=True)
    assert end.code == 130
    assert end.took_s > 2.5 or signals == 3, "its hook has its time"
    (report,) = project.glob("runs/paper-*.shutdown.json")
    assert end.out == {"shutdown": json.loads(report.read_text())}
    assert end.out["shutdown"]["signals"] == [2] * signals
    assert ("in on_stop" in end.err) == (signals == 2), "stacks take time"


def test_f37_a_storm_of_signals_costs_no_tick(project: Path) -> None:
    """From its start to its end, ten thousand a second, of those that it handles and of those that nobody asked for."""
    run = Started(project, "paper", "storm", "feeds.sim.speed=0.5")
    while run.process.poll() is None:
        for number in (signal.SIGUSR1, signal.SIGCHLD) * 25 if (project / "running").exists() else (signal.SIGCHLD,):
            run.process.send_signal(number)
        time.sleep(0.005)
    end = run.end().held("process_f37_storm", within_s=20.0)
    assert (end.code, end.err) == (0, "")
    assert delivered(end) == [500, 500]
    for one in end.out["strategies"]:
        assert one["accounts"] == {**dict.fromkeys(one["accounts"], 0), "published": 500, "delivered": 500}
    handled, sequences = json.loads((project / "log").read_text())
    assert sequences == list(range(1, 501)), "each in its order"
    assert min(handled.values()) > 5, handled
    assert end.out["stats"]["measured"], "what it did to latencies can be read"


def test_f63_a_defect_of_the_native_module_fails_its_strategy_alone_and_the_process_lives(project: Path) -> None:
    text = STRATEGIES.replace('elif self.how == "segfaults":\n            ctypes.string_at(0)', PANICS)
    (project / "fate.py").write_text(text)
    end = Started(project, "paper", "panics").end().held("process_f63_panic", within_s=20.0)
    result = end.out
    assert end.code == 1
    (error,) = result["errors"]
    assert (error["strategy"], error["type"]) == ("fate", "RuntimeFault")
    assert error["message"].startswith("the native core broke one of its own rules: on purpose; please report this")
    fate, other = result["strategies"]
    assert (fate["state"], other["state"], other["delivered"]) == ("FAILED", "STOPPED", 500)
    assert "on purpose" in end.err, "where it was"


PANICS = """elif self.how == "panics":
            tickrail._native._break_a_rule("on purpose")"""
