"""What may happen to the process itself: it dies, forks, ends; threads, descriptors and readers of its output run out.

Each case asserts exit code, message, an upper bound of time, and what is left; that of a command by its golden file.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ended_runs import DRIVER, LEFT, LOADED, LONG_S, Ended, assert_nothing_left, compare, files, shown
from ended_runs import ended as ended_run

#: How often an interpreter ends with a run in it; ``EXIT_LOOPS=200`` is the long form (docs/verification.md).
EXIT_LOOPS = int(os.environ.get("EXIT_LOOPS", "5"))
STRATEGIES = """
import ctypes
import logging
import os
import signal

import tickrail


class Fate(tickrail.Strategy):
    how: str = ""

    def on_start(self):
        self.count = 0
        self.open = []

    def on_tick(self, tick):
        self.count += 1
        if self.how == "logs":
            for number in range(100):
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

    def late(self, event):
        raise LookupError("in a timer")

    def on_stop(self):
        for one in self.open:
            os.close(one)
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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "fate.py").write_text(STRATEGIES)
    (tmp_path / "drive.py").write_text(DRIVER)
    for env, more in {"backtest": "", "paper": "speed = 1000.0\n[venues"}.items():
        text = CONFIG if not more else CONFIG.replace("[venues", more, 1)
        (tmp_path / "config" / env).mkdir(parents=True)
        (tmp_path / "config" / env / "runtime.toml").write_text(text)
    command = [sys.executable, "-m", "tickrail", "data", "generate", "sim.ticks", "--instrument", "EURUSD.SIM"]
    subprocess.run([*command, "--ticks", "500"], cwd=tmp_path, check=True, capture_output=True, timeout=LONG_S)
    return tmp_path


class Started:
    """A run whose strategy ``fate`` meets what ``how`` says."""

    def __init__(self, project: Path, env: str, how: str, *settings: str, **more: Any) -> None:
        self.project, self.before = project, files(project)
        command = [sys.executable, "drive.py", "run", "--env", env, "--json"]
        for one in (f"strategies.fate.params.how={how}", *settings):
            command += ["--set", one]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, cwd=project, text=True, **pipes)

    def end(self, since: float | None = None) -> Ended:
        since = self.began if since is None else since
        return ended_run(self.process, self.project, since=since, before=self.before)


def delivered(end: Ended) -> list[int]:
    return [one["delivered"] for one in end.out["strategies"]]


def script(folder: Path, body: str, *, within_s: float = 45.0) -> subprocess.CompletedProcess[str]:
    """Runs Python text, with the live runs of other tests at hand: in time, and with nothing left in the process."""
    folder.chmod(0o777)  # also for one who lays down what he may do
    head = f"import sys; sys.path.insert(0, {str(Path(__file__).parent.parent / 'integration')!r})\n"
    (folder / "script.py").write_text(head + LOADED + textwrap.dedent(body) + LEFT)
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=within_s, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_nothing_left(folder)
    return done


@pytest.mark.parametrize("env", ["backtest", "paper"])
def test_f1_a_handler_raises_and_the_others_miss_nothing(project: Path, env: str) -> None:
    end = Started(project, env, "raises").end().held(f"process_f01_{env}", within_s=20.0)
    assert end.code == 1
    assert delivered(end)[1] == 500
    (error,) = end.out["errors"]
    assert (error["strategy"], error["type"], error["message"]) == ("fate", "LookupError", "on purpose")
    assert error["position"] > 0


def test_f1_at_any_tick_in_any_form_and_size_the_others_miss_nothing(tmp_path: Path) -> None:
    """Whatever it asked for in the step is void, and nothing of it is called any more: no timer, no update, no stop."""
    done = script(
        tmp_path,
        """
        import tickrail
        from tickrail.data import generate_ticks

        class Sees(tickrail.Strategy):
            def on_start(self): self.seen = []
            def on_tick(self, tick): self.seen.append(tick.sequence)

        class SeesBatches(tickrail.Strategy):
            def on_start(self): self.seen = []
            def on_batch(self, batch): self.seen += batch.quotes["sequence"].tolist()

        class Raises(tickrail.Strategy):
            k: int
            def on_start(self): self.seen = []
            def take(self, number):
                self.seen.append(number)
                if number == self.k:
                    self.schedule_after(1, lambda event: self.seen.append("timer"))
                    self.buy("EURUSD.SIM", 1.0)
                    raise LookupError("on purpose")
            def on_order_update(self, update): self.seen.append("update")
            def on_stop(self): self.seen.append("stop")

        class OnTick(Raises):
            def on_tick(self, tick): self.take(tick.sequence)

        class OnQuote(Raises):
            def on_quote(self, tick): self.take(tick.sequence)

        class Ticks(Raises):
            def ticks(self):
                while True:
                    self.take((yield).sequence)

        class OnBatch(Raises):
            def on_batch(self, batch):
                for number in batch.quotes["sequence"].tolist(): self.take(number)

        ticks, everything = generate_ticks(60), list(range(1, 61))
        runs = 0
        for size in (1, 7, 4_096):
            for form in (OnTick, OnQuote, Ticks, OnBatch):
                for k in range(1, 51):
                    one, fails, other = Sees(), form(k=k), SeesBatches()
                    strategies = {"one": one, "fails": fails, "other": other}
                    result = tickrail.backtest(strategies, ticks, slice_ticks=size, max_ticks=size)
                    assert one.seen == other.seen == everything, (size, form, k)
                    assert fails.seen == everything[:k], (size, form, k, fails.seen)
                    (error,) = result.errors
                    last = min(60, -(-k // size) * size) if form is OnBatch else k  # of its batch
                    assert error.position == last + 3, (size, form, k, error)  # three have been started
                    assert error.tick.sequence == last, (size, form, k, error.tick)
                    assert (error.strategy, error.type, error.message) == ("fails", "LookupError", "on purpose")
                    account = result.strategy("fails").accounts
                    assert (account["published"], account["delivered"], account["failed"]) == (60, last, 60 - last)
                    assert [each.state for each in result.strategies] == ["STOPPED", "FAILED", "STOPPED"]
                    assert result.status == "complete" and not len(result.fills)
                    runs += 1
        print(runs)
        """,
    )
    assert done.stdout == "600\n"


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


def test_f35_every_call_of_a_forked_child_is_told_and_the_parent_misses_nothing(tmp_path: Path) -> None:
    done = script(
        tmp_path,
        """
        import os, signal, threading, warnings
        warnings.simplefilter("ignore")
        from tickrail import errors
        from tickrail.domain.commands import Command
        from live_runs import *

        class Count(Command):
            number: int

        handled = []
        run, keeper = opened()
        feed = run.feed("f")
        publisher = feed.publisher()
        bus = run._dispatcher.commands
        bus.register(Count, lambda command: handled.append(command.number))
        thread = threading.Thread(target=run.run)
        thread.start()
        while bus._standing() == 0:
            pass
        pid = os.fork()
        if pid == 0:
            signal.alarm(30)  # rather than to hang
            calls = (
                lambda: bus.execute(Count(2), timeout_s=5), lambda: bus.post(Count(2)), lambda: bus.submit(Count(2)),
                lambda: bus.schedule_after(5, Count(2)), lambda: run._dispatcher.lives.pause("Keeper"), run.stats,
                run.accounts, lambda: run.feed("g"), feed.publisher, run.seal, run.request_stop, run.run,
                lambda: publisher.publish_quote(A, 1.0, 1.1),
            )
            told = 0
            for call in calls:
                try:
                    call()
                except errors.ForkedProcess as error:
                    told += str(error).startswith("this run belongs to the parent process")
            os._exit(told if told == len(calls) else 100 + told)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        bus.execute(Count(3), timeout_s=30)
        publisher.publish(quotes([7]))
        publisher.close()
        run.seal()
        thread.join(30)
        print(code, handled, keeper.sequences(), run.stats().strategies[0].account.state)
        """,
    )
    assert done.stdout == "13 [3] [7] STOPPED\n"


def test_f35_a_child_that_comes_back_from_its_handler_does_not_trade_a_second_time(tmp_path: Path) -> None:
    done = script(
        tmp_path,
        """
        import os
        import tickrail
        from tickrail import errors
        from tickrail.data import generate_ticks

        class Forks(tickrail.Strategy):
            pid = None
            def on_tick(self, tick):
                if self.pid is None:
                    self.pid = os.fork()

        strategy = Forks()
        try:
            result = tickrail.backtest(strategy, generate_ticks(50_000))
        except errors.ForkedProcess:
            os._exit(0 if strategy.pid == 0 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(strategy.pid, 0)[1]) == 0, "the child was told"
        print(result.ticks, result.ok)
        """,
    )
    assert done.stdout == "50000 True\n"


NO_THREADS = """
import os, resource
def no_more_threads():
    if os.getuid() == 0:
        os.setresuid(54_321, 54_321, 54_321)  # root may have as many as it wants
    resource.setrlimit(resource.RLIMIT_NPROC, (1, resource.getrlimit(resource.RLIMIT_NPROC)[1]))
def threads_again():
    resource.setrlimit(resource.RLIMIT_NPROC, (resource.getrlimit(resource.RLIMIT_NPROC)[1],) * 2)
"""


def test_f36_without_threads_a_run_is_refused_by_name_and_leaves_none(tmp_path: Path) -> None:
    """Natively and in Python; whoever is refused has started nobody, and goes on once there are threads again."""
    done = script(
        tmp_path,
        NO_THREADS
        + textwrap.dedent(
            """
        import asyncio, contextlib, threading, time
        from pathlib import Path
        import tickrail
        from tickrail import errors
        from tickrail.data import generate_ticks
        from tickrail.orchestration.shutdown import Shutdown
        from tickrail.testing import boot
        from live_runs import *

        started = []
        class Starts(tickrail.Strategy):
            def on_start(self): started.append(self.name)
            def on_tick(self, tick): pass

        def native():
            tasks = [Path(f"/proc/self/task/{one}/comm") for one in os.listdir("/proc/self/task")]
            return [one.read_text() for one in tasks if one.exists() and one.read_text().startswith("tickrail")]

        def live():
            run = tickrail.open_live(Starts(), [A, B])
            run.feed("f").publisher().close()
            run.seal()
            return run.run()

        def control():
            run, _ = opened()
            run._dispatcher.open_control(Path("a.sock"), "a")

        def watched():
            with Shutdown():
                pass

        def awaited():
            async def main():
                with boot({"strategies": {}}) as runtime:
                    await runtime.run_async()
            asyncio.run(main())

        ticks = generate_ticks(10)
        expected = tickrail.backtest(Starts(), ticks).digest
        while native():
            time.sleep(0.01)  # the thread that watches handlers stays for a tenth of a second
        started.clear()
        asyncio.run(asyncio.sleep(0))
        before = len(os.listdir("/proc/self/fd"))
        no_more_threads()
        for call in (lambda: tickrail.backtest(Starts(), ticks), live, control, watched, awaited):
            try:
                call()
            except errors.TickrailError as error:
                print(f"{type(error).__name__} {error}")
        print(started, [one.name for one in threading.enumerate()], native(), os.path.exists("a.sock"))
        _gc.collect()
        print(len(os.listdir("/proc/self/fd")) - before, "descriptors more")
        threads_again()
        print(tickrail.backtest(Starts(), ticks).digest == expected, started)
        """
        ),
    )
    compare("process_f36_threads", shown(done.stdout, tmp_path))


def test_f36_publishers_are_bounded_and_one_too_many_is_refused_by_name(tmp_path: Path) -> None:
    done = script(
        tmp_path,
        """
        from tickrail import errors
        from live_runs import *
        run, keeper = opened()
        feed = run.feed("f", capacity=2)
        publishers = []
        try:
            for _ in range(5_000):
                publishers.append(feed.publisher())
        except errors.TickrailError as error:
            print(len(publishers), type(error).__name__, error)
        for publisher in publishers:
            publisher.close()
        run.seal()
        print(run.run().status)
        """,
    )
    refusal, status = done.stdout.rsplit("\n", 2)[:2]
    compare("process_f36_publishers", shown(refusal + "\n", tmp_path))
    assert status == "complete"


def limited(soft: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))


def test_f58_without_descriptors_a_start_is_refused_in_words(project: Path) -> None:
    end = Started(project, "paper", "", preexec_fn=limited(7)).end()
    assert (end.code, end.out) == (1, {})
    assert "Too many open files" in end.err
    assert "Traceback" not in end.err
    assert end.took_s < 30
    assert end.files() == []
    assert not list(project.glob("runs/**/*.sock"))


def test_f58_a_loop_goes_on_while_a_strategy_has_every_descriptor(project: Path) -> None:
    end = Started(project, "paper", "opens", preexec_fn=limited(64)).end().held("process_f58_running", within_s=20.0)
    assert (end.code, end.err) == (0, "")
    assert delivered(end) == [500, 500]


def test_f59_a_subinterpreter_is_refused_and_harms_no_other(tmp_path: Path) -> None:
    done = script(
        tmp_path,
        """
        try:
            import _interpreters as interpreters
        except ImportError:
            try:
                import _xxsubinterpreters as interpreters
            except ImportError:
                interpreters = None

        def attempt():
            if interpreters is None:
                return
            number = interpreters.create()
            try:
                found = interpreters.run_string(number, "import tickrail")
                print("refused" if found and "subinterpreter" in str(found) else "imported")
            except Exception as error:
                print("refused" if "subinterpreter" in str(error) else error)
            interpreters.destroy(number)

        attempt()
        import tickrail
        from tickrail.data import generate_ticks
        attempt()
        class Quiet(tickrail.Strategy):
            def on_tick(self, tick): pass
        print(tickrail.backtest(Quiet(), generate_ticks(1_000)).ok)
        """,
    )
    assert done.stdout in ("True\n", "refused\nrefused\nTrue\n"), done.stdout + done.stderr


def test_f60_runs_beside_and_after_one_another_and_a_stop_twice(tmp_path: Path) -> None:
    done = script(
        tmp_path,
        """
        import threading
        import tickrail
        from tickrail.data import generate_ticks
        from tickrail.orchestration.tick_dispatcher import TickDispatcher

        class Counts(tickrail.Strategy):
            def on_start(self): self.count = 0
            def on_tick(self, tick): self.count += 1

        def made():
            run = TickDispatcher(ticks.instrument_table)
            run.feed("ticks", ticks)
            run.register(Counts(), "counts")
            return run

        ticks = generate_ticks(50_000)
        runs = [made() for _ in range(4)]
        threads = [threading.Thread(target=run.run) for run in runs]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(len({run.result().digest for run in runs}), [run.strategies["counts"].count for run in runs])
        runs[0].request_stop(); runs[0].request_stop()
        stopped = made()
        stopped.request_stop(); stopped.request_stop()
        stopped.run()
        print(stopped.result().status, stopped.result().ticks)
        """,
    )
    assert done.stdout == "1 [50000, 50000, 50000, 50000]\nstopped 0\n"


EXIT = """
import sys, threading, time
import tickrail
from tickrail.data import generate_ticks
from live_runs import *

class Busy(tickrail.Strategy):
    def on_tick(self, tick):
        began.set()
        time.sleep(0.0001)

began = threading.Event()
def backtest():
    tickrail.backtest(Busy(), generate_ticks(1_000_000))
def live():
    run = tickrail.open_live(Busy(), [A, B])
    feed = run.feed("f")
    def publish():
        with feed.publisher() as publisher:
            while True:
                publisher.publish(quotes(range(100)))
    threading.Thread(target=publish, daemon=True).start()
    run.run()
threading.Thread(target=globals()[sys.argv[1]], daemon=True).start()
assert began.wait(30)
"""


@pytest.mark.timeout(60 + 10 * EXIT_LOOPS)
@pytest.mark.parametrize("how", ["backtest", "live"])
def test_f62_the_interpreter_ends_while_a_daemon_thread_runs(tmp_path: Path, how: str) -> None:
    (tmp_path / "ends.py").write_text(EXIT)
    integration = str(Path(__file__).parent.parent / "integration")
    path = os.pathsep.join([integration, os.environ.get("PYTHONPATH", "")])
    for _ in range(EXIT_LOOPS):
        began = time.monotonic()
        command = [sys.executable, "ends.py", how]
        environ = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LONG_S, env=environ)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert "FATAL" not in done.stderr
        assert time.monotonic() - began < 30


PAUSED = """
import threading, time
from pathlib import Path
import tickrail
from tickrail.data import generate_ticks
from tickrail.orchestration import at_exit

at_exit.PATIENCE_S = 2.0

class Slow(tickrail.Strategy):
    def on_tick(self, tick):
        began.set()
    def on_stop(self):
        Path("stopping").touch()
        for _ in range(30):
            time.sleep(0.05)

began = threading.Event()
threading.Thread(target=lambda: tickrail.backtest(Slow(), generate_ticks(1_000_000)), daemon=True).start()
assert began.wait(30)
"""


def test_f62_a_process_that_is_stopped_while_its_interpreter_ends_loses_no_patience(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(PAUSED)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "ends.py"], cwd=tmp_path, text=True, **pipes)
    began = time.monotonic()
    while not (tmp_path / "stopping").exists() and process.poll() is None:
        assert time.monotonic() - began < LONG_S
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    time.sleep(2.5)  # for longer than it would wait
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=LONG_S)
    assert (process.returncode, out, err) == (0, "", "")
    assert time.monotonic() - began < 45


def test_f64_a_log_that_nobody_reads_keeps_no_tick_and_what_is_dropped_is_counted(project: Path) -> None:
    run = Started(project, "paper", "logs", "runtime.log=text")
    process = run.process
    assert process.stdout is not None
    assert process.stderr is not None
    out = process.stdout.read()  # the end of the run, while nobody reads the log
    assert [one["delivered"] for one in json.loads(out)["strategies"]] == [500, 500]
    process.wait(LONG_S)
    err = process.stderr.read()
    process.communicate()
    assert process.returncode == 0
    assert time.monotonic() - run.began < 30
    assert len(err) < 1 << 20
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
    assert len(mine) + dropped == 50_000
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
    assert process.returncode == 1
    assert time.monotonic() - run.began < 30
    assert_nothing_left(project)


def test_f37_a_storm_of_signals_costs_no_tick(project: Path) -> None:
    run = Started(project, "paper", "")
    for _ in range(2_000):
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGCHLD)
    end = run.end().held("process_f37_storm", within_s=20.0)
    assert (end.code, end.err) == (0, "")
    assert delivered(end) == [500, 500]


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
