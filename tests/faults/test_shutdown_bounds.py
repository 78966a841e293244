"""What the end of a process promises in milliseconds: upper bounds of the promises, by real signals.

Others want the processors too, so the best of a few runs counts; whatever else is promised is held of each.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ended_runs import LONG_S
from shutdown_project import Process, made, wait

import tickrail
from tickrail.cli.ctl import ask
from tickrail.orchestration.tick_dispatcher import TickDispatcher

TRIES = 8
MS = 0.001

pytestmark = pytest.mark.slow


@pytest.fixture
def fresh(source: Path, tmp_path: Path) -> Callable[[], Path]:
    """A project for each try."""
    folders = (tmp_path / str(number) for number in range(TRIES))

    def project() -> Path:
        folder = next(folders)
        folder.mkdir()
        return made(folder, like=source)

    return project


def best(measure: Callable[[], float], *, below_s: float) -> None:
    """Assert that ``measure`` once gives less than that."""
    found: list[float] = []
    while not found or found[-1] >= below_s:
        assert len(found) < TRIES, f"{found}, expected less than {below_s} s"
        found.append(measure())


def delayed_s(pid: int) -> float:
    """How long the main thread of a process could have run and others had the processors, where the system tells."""
    file = Path(f"/proc/{pid}/schedstat")
    return int(file.read_text().split()[1]) / 1e9 if file.exists() else 0.0


def test_from_idle_to_exit_it_takes_less_than_100_ms(fresh: Callable[[], Path]) -> None:
    """The process as users have it, its result written and said."""

    def measure() -> float:
        run = Process(fresh(), "idle", {"one": ("Told", "idle")}, command=("-m", "tickrail"))
        run.wait_for("running")
        answer = ask(run.project / "runs", None, LONG_S, "status", {})
        assert answer["result"]["strategies"]["one"]["state"] == "RUNNING", "it waits for a tick, or for a command"
        before_s = delayed_s(run.process.pid)
        sent = run.send(signal.SIGTERM)
        os.waitid(os.P_PID, run.process.pid, os.WEXITED | os.WNOWAIT)
        took_s = time.monotonic() - sent - (delayed_s(run.process.pid) - before_s)
        end = run.end(sent)
        assert (end.code, end.err) == (0, "")
        assert (end.out["shutdown"]["outcome"], run.log()) == ("drained", ["one:start", "one:stop"])
        assert end.files() == [str(Path(run.project, end.out["folder"]).relative_to(run.project))]
        return took_s

    best(measure, below_s=100 * MS)


def test_under_full_load_it_is_ready_no_more_and_takes_no_more_within_a_millisecond(fresh: Callable[[], Path]) -> None:
    """Kubernetes takes it out of use by the first; a feed that is refused looks at once whether that was before."""

    def measure() -> float:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            here = f"http://127.0.0.1:{free.getsockname()[1]}"
        more = (f"runtime.http={here.removeprefix('http://')}", f"feeds.good.options.http={here}")
        # The second takes its time to stop, so that it is not the end by which it is ready no more.
        run = Process(fresh(), "lines", {"one": ("Ticking", ""), "two": ("Ticking", "slow")}, *more)
        run.wait_for("running")
        with urllib.request.urlopen(here + "/readyz", timeout=LONG_S) as ready:
            assert ready.status == 200
        sent = run.send(signal.SIGTERM)
        end = run.end(sent).held("shutdown_20_ready", within_s=5.0)
        assert end.code == 0
        assert run.at("good:ready") == 503
        for one in end.out["strategies"]:
            account = one["accounts"]
            assert one["delivered"] == account["published"] == end.out["ticks"] > 0, "what was taken arrives"
            assert account["pending"] == 0
        return run.at("good:refused") - sent

    best(measure, below_s=1 * MS)


def test_a_native_loop_on_the_main_thread_stops_within_10_ms(fresh: Callable[[], Path]) -> None:
    def measure() -> float:
        feeds = [f"feeds.f{number}.path=sim.ticks" for number in range(300)]
        run = Process(fresh(), "backtest", {"one": ("Told", "native_loop")}, *feeds)
        run.wait_for("running")
        (run.project / "go").touch()
        sent = run.send(signal.SIGTERM)
        end = run.end(sent).held("shutdown_10_native_loop", within_s=2.0)
        assert (end.code, end.err, end.out["status"]) == (0, "", "stopped")
        assert end.out["shutdown"]["outcome"] == "drained"
        assert end.out["stats"]["remaining"] > 0, "it was in the midst of its data"
        return run.at("one:stop") - sent

    best(measure, below_s=10 * MS)


class Quiet(tickrail.Strategy):
    """Has no handler of ticks: the loop goes through them without the interpreter."""

    def on_start(self) -> None:
        self.began = threading.Event()
        self.schedule_at(1, lambda event: self.began.set())


def test_a_call_from_another_thread_stops_a_native_loop_within_10_ms() -> None:
    records = np.zeros(250_000, tickrail.QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(1, 250_001)
    records["kind"], records["bid"], records["ask"] = 1, 1.0, 1.5
    ticks = tickrail.TickArray.from_records(records, ["A.SIM"])

    def measure() -> float:
        dispatcher, strategy, ended = TickDispatcher([{"id": "A.SIM"}]), Quiet(), list[tuple[str, float]]()
        for number in range(512):
            dispatcher.feed(f"f{number}", ticks)
        dispatcher.register(strategy, "quiet")
        running = threading.Thread(target=lambda: ended.append((dispatcher.run(), time.monotonic())))
        running.start()
        wait(lambda: getattr(strategy, "began", None) is not None and strategy.began.is_set())
        asked = time.monotonic()
        dispatcher.request_stop()
        running.join(LONG_S)
        ((status, when),) = ended
        assert status == "stopped"
        assert dispatcher.result().stats["remaining"] > 0, "it was in the midst of its data"
        return when - asked

    best(measure, below_s=10 * MS)
