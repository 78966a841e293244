"""What may happen to a process in which runs are made by a script: handlers that raise, forks, no threads, its end.

Each case asserts what was said and what is left; those of ``tickrail run`` are in ``test_process_faults.py``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from ended_runs import LEFT, LOADED, LONG_S, assert_nothing_left, compare, shown

#: How often an interpreter ends with a run in it; ``EXIT_LOOPS=200`` is the long form (docs/verification.md).
EXIT_LOOPS = int(os.environ.get("EXIT_LOOPS", "5"))

pytestmark = pytest.mark.slow


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


def test_f1_at_any_tick_in_any_form_and_size_the_others_miss_nothing(tmp_path: Path) -> None:
    """What it asked for in the step is void, what it ordered before is taken back, and nothing of it is called."""
    done = script(
        tmp_path,
        """
        import tickrail
        from tickrail.data import generate_ticks
        from tickrail.report.result import ORDER_STATUS

        class Sees(tickrail.Strategy):
            def on_start(self): self.seen = []
            def on_tick(self, tick): self.seen.append(tick.sequence)

        class SeesBatches(tickrail.Strategy):
            def on_start(self): self.seen = []
            def on_batch(self, batch): self.seen += batch.quotes["sequence"].tolist()

        class Raises(tickrail.Strategy):
            k: int
            def on_start(self):
                self.seen, self.late = [], []
                if self.k % 2:  # batches end where a timer fires or an order is told of
                    self.schedule_every(1_000_000, lambda event: self.note("timer"))
                    self.buy("EURUSD.SIM", 1.0, limit=0.5)

            def note(self, what):
                if self.k in self.seen:
                    self.late.append(what)

            async def later(self):
                self.late.append("coroutine")

            def take(self, number):
                self.seen.append(number)
                if number == self.k:
                    self.buy("EURUSD.SIM", 1.0)
                    if asking:
                        self.schedule_after(1, lambda event: self.note("timer of the step"))
                        self.spawn(self.later())
                    raise LookupError("on purpose")

            def on_order_update(self, update): self.note("update")
            def on_stop(self): self.note("stop")

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
                numbers = batch.quotes["sequence"].tolist()
                self.last = numbers[-1]
                for number in numbers: self.take(number)

        ticks, everything = generate_ticks(60), list(range(1, 61))
        runs, asking = 0, True
        for size in (1, 7, 4_096):
            for form in (OnTick, OnQuote, Ticks, OnBatch):
                for k in range(1, 51):
                    one, fails, other = Sees(), form(k=k), SeesBatches()
                    strategies = {"one": one, "fails": fails, "other": other}
                    result = tickrail.backtest(strategies, ticks, slice_ticks=size, max_ticks=size)
                    assert one.seen == other.seen == everything, (size, form, k)
                    assert fails.seen == everything[:k], (size, form, k, fails.seen)
                    assert fails.late == [], (size, form, k, fails.late)
                    (error,) = result.errors
                    last = fails.last if form is OnBatch else k
                    if k % 2 == 0:
                        assert form is not OnBatch or last == min(60, -(-k // size) * size), (size, k, last)
                        assert error.position == last + 3, (size, form, k, error)  # three have been started
                    assert error.tick.sequence == last, (size, form, k, error.tick)
                    assert (error.strategy, error.type, error.message) == ("fails", "LookupError", "on purpose")
                    account = result.strategy("fails").accounts
                    assert (account["published"], account["delivered"], account["failed"]) == (60, last, 60 - last)
                    assert [each.state for each in result.strategies] == ["STOPPED", "FAILED", "STOPPED"]
                    assert result.status == "complete" and not len(result.fills)
                    stand = [ORDER_STATUS[number] for number in result.orders["status"]]
                    assert stand == ["CANCELED"] * (1 + k % 2), (size, form, k, stand)
                    runs += 1
                    if k % 25 == 0:  # what it asked for beside orders is as if it had not
                        asking, strategies = False, {"one": Sees(), "fails": form(k=k), "other": SeesBatches()}
                        without = tickrail.backtest(strategies, ticks, slice_ticks=size, max_ticks=size)
                        assert without.digest == result.digest, (size, form, k)
                        asking = True
        print(runs)
        """,
    )
    assert done.stdout == "600\n"


def test_f35_every_call_of_a_forked_child_is_told_and_the_parent_misses_nothing(tmp_path: Path) -> None:
    done = script(
        tmp_path,
        """
        import multiprocessing, os, signal, threading, warnings
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

        def work(answers):
            signal.alarm(30)
            try:
                run.stats()
            except errors.ForkedProcess as error:
                answers.put(type(error).__name__)

        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()
        worker = context.Process(target=work, args=(answers,))
        worker.start()
        worker.join(30)
        print(worker.exitcode, answers.get())
        bus.execute(Count(3), timeout_s=30)
        publisher.publish(quotes([7]))
        publisher.close()
        run.seal()
        thread.join(30)
        print(code, handled, keeper.sequences(), run.stats().strategies[0].account.state)
        """,
    )
    assert done.stdout == "0 ForkedProcess\n13 [3] [7] STOPPED\n"


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
            names = []
            for one in os.listdir("/proc/self/task"):
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    names.append(Path(f"/proc/self/task/{one}/comm").read_text())
            return [name for name in names if name.startswith("tickrail")]

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
        from live_runs import opened

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
        print(runs[1].run(), runs[1].strategies["counts"].count, stopped.run())  # over is over: nothing runs again

        class Circle: pass

        def left_behind():
            circle = Circle()
            circle.itself, circle.run, circle.live = circle, made(), opened()[0]
            circle.publisher = circle.live.feed("f").publisher()
            circle.live.circle = circle

        left_behind()
        _gc.collect()
        print(sum(isinstance(one, (Circle, TickDispatcher)) for one in _gc.get_objects()) - len(runs) - 1)
        _gc.disable()
        left_behind()  # and is there when the interpreter ends
        """,
    )
    assert done.stdout == "1 [50000, 50000, 50000, 50000]\nstopped 0\ncomplete 50000 stopped\n0\n"


def test_f61_a_run_within_an_event_loop_lets_it_go_on_or_says_why_it_cannot(tmp_path: Path) -> None:
    """Coroutines publish, heed signals, and are cancelled by Ctrl-C; a plain call that would starve them is refused."""
    done = script(
        tmp_path,
        """
        import asyncio, os, signal
        from tickrail import errors
        from tickrail.testing import boot
        from live_runs import *

        TABLES = {
            "feeds": {"f": {"adapter": "published", "options": {"instruments": [A]}}},
            "strategies": {"keeper": {"class": "live_runs:Keeper"}},
        }

        async def main():
            loop, heard = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, heard.set)
            before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
            with boot(TABLES) as runtime:
                running = asyncio.ensure_future(runtime.run_async())
                publisher = runtime.feed("f").publisher()
                for number in range(100):
                    await publisher.publish_quote_async(A, 1.0, 1.1, sequence=number)
                os.kill(os.getpid(), signal.SIGUSR1)
                await asyncio.wait_for(heard.wait(), 30)
                assert not running.done()
                assert before == [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
                other, _ = opened()
                try:
                    other.run()
                except errors.WouldDeadlock as error:
                    print(error)
                publisher.close()
                other.seal()
                print(other.run().status)  # nobody publishes from here any more
                runtime.seal()
                result = await running
            print(result.status, result.ticks)

        async def interrupted():
            with boot(TABLES) as runtime:
                publisher = runtime.feed("f").publisher()
                asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGINT)
                try:
                    await runtime.run_async()
                finally:
                    print(runtime.dispatcher.ended, runtime.stats().strategies[0].account.state)

        asyncio.run(main())
        try:
            asyncio.run(interrupted())
        except KeyboardInterrupt:
            print("interrupted")
        """,
    )
    compare("process_f61", shown(done.stdout, tmp_path))


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
