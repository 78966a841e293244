"""The cases of a shutdown, by real processes and signals: exit code, report, bounded time, and nothing left behind.

Those of handlers that hang are in ``test_stuck_handlers.py``, those of repeated signals in ``test_shutdown.py``, those
of orders in a library's run in ``test_live_end.py``; ``docs/traceability.md`` lists all of them.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ended_runs import SLACK_S, compare
from shutdown_project import LONG_S, Process, wait

from tickrail.cli.ctl import ask

pytestmark = pytest.mark.slow


def drained(name: str, run: Process, sent: float, code: int = 0, within_s: float = 2.0) -> dict[str, Any]:
    """The report of a run that ended well, and in time."""
    end = run.end(sent).held(f"shutdown_{name}", within_s=within_s)
    assert (end.code, end.err) == (code, "")
    report: dict[str, Any] = end.out["shutdown"]
    assert (report["outcome"], report["abandoned"]) == ("drained", [])
    assert report["took_s"] < within_s + SLACK_S
    assert json.loads(Path(run.project, end.out["folder"], "shutdown.json").read_text()) == report
    return {**end.out, "report": report}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["term", "int"])
def test_an_idle_run_ends_at_once(project: Path, number: signal.Signals, code: int) -> None:
    run = Process(project, "idle", {"one": ("Told", "idle")})
    run.wait_for("running")
    name = "01_idle_term" if number == signal.SIGTERM else "02_idle_int"
    said = drained(name, run, run.send(number), code, within_s=1.0)
    assert run.log() == ["one:start", "one:stop"]
    assert [step["name"] for step in said["report"]["steps"]] == ["drain", "orders", "on_stop", "result", "services"]
    assert sum(step["took_s"] for step in said["report"]["steps"][:3]) < 0.5, "the loop's own part"
    assert said["report"]["signals"] == [int(number)]


def test_under_load_what_was_taken_arrives_and_the_sums_match(project: Path) -> None:
    run = Process(project, "live", {"one": ("Ticking", "busy"), "two": ("Ticking", "")}, "feeds.sim.speed=5.0")
    run.wait_for("running")
    said = drained("03_under_load", run, run.send(signal.SIGTERM), within_s=5.0)
    first, second = said["strategies"]
    for one in (first, second):
        assert one["accounts"]["published"] == said["ticks"] > 0
        assert one["delivered"] == one["accounts"]["published"], "all of it"
        assert one["accounts"]["pending"] == 0


def test_open_orders_are_taken_back_before_the_end(project: Path) -> None:
    run = Process(project, "live", {"one": ("Ticking", "orders")}, "venues.SIM.order_latency_ns=50_000_000")
    run.wait_for("running")
    said = drained("04_open_orders", run, run.send(signal.SIGTERM))
    assert run.log()[-2:] == ["one:CANCELED", "one:stop"], "the answer came, and before the hook"
    assert said["report"]["standing"]["one"]["open_orders"] == 0


def test_a_cancel_that_is_never_answered_is_named_and_ends_with_70(project: Path) -> None:
    hour = "venues.SIM.order_latency_ns=3_600_000_000_000"
    run = Process(project, "live", {"one": ("Ticking", "orders")}, hour, "runtime.orders_deadline_ns=500_000_000")
    run.wait_for("running")
    sent = run.send(signal.SIGTERM)
    end = run.end(sent).held("shutdown_05_cancel_hangs", within_s=5.0)
    assert end.code == 70
    report = end.out["shutdown"]
    assert report["outcome"] == "abandoned"
    assert "strategy one: order 2 of EURUSD.SIM is still open" in report["abandoned"]
    orders = next(step for step in report["steps"] if step["name"] == "orders")
    assert (orders["late"], orders["deadline_s"]) == (True, 0.5)
    assert 0.5 <= orders["took_s"] < 1.5
    assert report["standing"]["one"]["open_orders"] == 2
    assert run.log()[-1] == "one:stop", "its hook runs all the same"


def test_orders_that_are_never_answered_leave_the_rest_of_a_short_shutdown_its_time(project: Path) -> None:
    hour = "venues.SIM.order_latency_ns=3_600_000_000_000"
    run = Process(project, "live", {"one": ("Ticking", "orders")}, hour, timeout_s=5.0)
    run.wait_for("running")
    end = run.end(run.send(signal.SIGTERM))
    assert (end.code, end.out["status"]) == (70, "stopped")
    steps = {step["name"]: (step["deadline_s"], step["late"]) for step in end.out["shutdown"]["steps"]}
    assert (steps["drain"], steps["orders"]) == ((1.0, False), (2.0, True))
    assert (run.log()[-1], Path(run.project, end.out["folder"]).is_dir()) == ("one:stop", True)


def test_a_coroutine_that_is_not_to_be_cancelled_leaves_the_rest_of_a_short_shutdown_its_time(project: Path) -> None:
    """Left behind and named, where the process had been ended for it before its finalisers."""
    run = Process(project, "live", {"one": ("Ticking", "swallows")}, timeout_s=5.0)
    run.wait_for("running")
    end = run.end(run.send(signal.SIGTERM))
    assert (end.code, end.out["status"]) == (70, "stopped")
    report = end.out["shutdown"]
    services = next(step for step in report["steps"] if step["name"] == "services")
    assert (services["deadline_s"], services["late"]) == (2.0, False)
    assert any("ever" in what for what in report["abandoned"]), report["abandoned"]


def test_a_fill_during_the_end_reaches_the_strategy_and_the_report(project: Path) -> None:
    run = Process(project, "live", {"one": ("Ticking", "close")}, "strategies.one.positions_at_stop=close")
    run.wait_for("running")
    said = drained("06_a_fill", run, run.send(signal.SIGTERM), within_s=5.0)
    assert run.log()[-2:] == ["one:FILLED", "one:stop"]
    assert said["report"]["standing"]["one"]["positions"] == {}


def test_during_the_start_what_was_started_is_stopped_in_reverse_and_the_rest_never_starts(project: Path) -> None:
    strategies = {"one": ("Told", ""), "two": ("Told", "slow_start"), "three": ("Told", "")}
    run = Process(project, "idle", strategies)
    run.wait_for("starting")
    end = run.end(run.send(signal.SIGTERM)).held("shutdown_08_start", within_s=5.0)
    assert (end.code, end.err) == (0, "")
    assert run.log() == ["one:start", "two:start", "two:stop", "one:stop"]


def test_before_there_are_handlers_it_dies_as_any_process_and_leaves_nothing(project: Path) -> None:
    (project / "sitecustomize.py").write_text("import time, pathlib\npathlib.Path('early').touch()\ntime.sleep(30)\n")
    run = Process(project, "idle", {"one": ("Told", "idle")}, PYTHONPATH=str(project))
    run.wait_for("early")
    (project / "early").unlink()
    end = run.end(run.send(signal.SIGTERM)).held("shutdown_09_before_handlers", within_s=1.0, by_force=True)
    assert end.code == -signal.SIGTERM
    assert not (project / "runs").exists()


def test_a_loop_in_a_handler_is_broken_off_the_others_stop_and_it_is_told_as_abandoned(project: Path) -> None:
    strategies = {"one": ("Ticking", "loop"), "two": ("Told", "")}
    run = Process(project, "live", strategies, "runtime.handler_deadline_ns=2_000_000_000")
    run.wait_for("running")
    sent = run.send(signal.SIGTERM)
    end = run.end(sent).held("shutdown_11_broken_off", within_s=10.0)
    assert end.code == 70
    assert end.out["shutdown"]["abandoned"] == ["strategy one: on_tick was broken off"]
    assert "strategy one has not returned from on_tick" in end.err
    assert "two:stop" in run.log()


@pytest.mark.parametrize("env", ["live", "backtest"], ids=["told to", "end of the data"])
def test_an_on_stop_that_hangs_is_broken_off_and_told_as_abandoned_whatever_brought_the_end(
    project: Path, env: str
) -> None:
    """Of a short shutdown it has its part; of a run that nobody stops the deadline of handlers."""
    strategies = {"one": ("Ticking", ""), "two": ("Told", "loops_in_stop")}
    deadline = ("runtime.handler_deadline_ns=500_000_000",) if env == "backtest" else ()
    run = Process(project, env, strategies, *deadline, timeout_s=5.0)
    if env == "live":
        run.wait_for("running")
    end = run.end(run.send(signal.SIGTERM) if env == "live" else time.monotonic())
    assert (end.code, end.out["status"]) == (70, "stopped" if env == "live" else "complete")
    report = end.out["shutdown"]
    assert (report["outcome"], report["abandoned"]) == ("abandoned", ["strategy two: on_stop was broken off"])
    assert json.loads(Path(run.project, end.out["folder"], "shutdown.json").read_text()) == report
    assert run.log()[-2:] == ["two:stop", "one:stop"], "the others stop all the same"
    assert [one["type"] for one in end.out["errors"]] == ["HandlerStuck"]


def test_a_handler_that_is_long_at_work_when_the_stop_comes_has_five_seconds_from_then_on(project: Path) -> None:
    run = Process(project, "live", {"one": ("Ticking", "naps")})
    run.wait_for("running")
    time.sleep(5.5)  # longer than the last deadline: its age is not what counts
    sent = run.send(signal.SIGTERM)
    end = run.end(sent)
    assert (end.code, end.err) == (0, "")
    assert (end.out["shutdown"]["outcome"], end.out["shutdown"]["abandoned"]) == ("drained", [])
    assert run.log() == ["one:start", "one:stop"]


def test_a_handler_that_raises_keyboard_interrupt_ends_the_run_as_ctrl_c_does(project: Path) -> None:
    run = Process(project, "live", {"one": ("Ticking", "interrupts"), "two": ("Told", "")})
    end = run.end().held("process_f06_keyboard_interrupt", within_s=20.0)
    assert (end.code, end.err) == (130, "")
    assert run.log()[-2:] == ["two:stop", "one:stop"]
    assert end.out["shutdown"]["outcome"] == "drained"


def test_on_stop_that_raises_is_a_failure_and_keeps_nobody(project: Path) -> None:
    run = Process(project, "live", {"one": ("Ticking", ""), "two": ("Told", "raises"), "three": ("Told", "")})
    run.wait_for("running")
    end = run.end(run.send(signal.SIGTERM)).held("shutdown_12_on_stop_raises", within_s=5.0)
    assert end.code == 1
    assert run.log()[-3:] == ["three:stop", "two:stop", "one:stop"]
    assert end.out["strategies"][1]["error"] == "LookupError: on_stop"


def test_coroutines_timers_and_whoever_waits_are_told(project: Path) -> None:
    run = Process(project, "live", {"one": ("Ticking", "spawn"), "two": ("Told", "timers")})
    run.wait_for("running")
    drained("17_whoever_waits", run, run.send(signal.SIGTERM), within_s=5.0)


BAD = ("feeds.bad.adapter=line:Line", "feeds.bad.options.how")


def test_an_adapter_that_fails_ends_the_run_in_order_and_is_the_cause(project: Path) -> None:
    bad = (BAD[0], f"{BAD[1]}=fails")
    run = Process(project, "lines", {"one": ("Ticking", "orders"), "two": ("Ticking", "")}, *bad)
    end = run.end().held("shutdown_19_adapter_fails", within_s=5.0)
    assert (end.code, end.err) == (1, "")
    assert end.out["stop_reason"] == "feed 'bad' has failed: LookupError: the line is dead"
    report = end.out["shutdown"]
    assert next(iter(report.items())) == ("cause", end.out["stop_reason"]), "before all else"
    assert (report["outcome"], report["signals"], report["abandoned"]) == ("drained", [], [])
    assert run.log()[-4:] == ["one:FILLED", "one:CANCELED", "two:stop", "one:stop"]
    for one in end.out["strategies"]:
        assert one["delivered"] == one["accounts"]["published"] > 100, "what the others had taken arrives"
    assert sorted((project / "closed").read_text().split()) == ["bad", "good"]
    assert json.loads(Path(project, end.out["folder"], "shutdown.json").read_text()) == report


def test_an_adapter_that_fails_at_its_end_is_told_and_keeps_no_other(project: Path) -> None:
    run = Process(project, "lines", {"one": ("Ticking", "")}, BAD[0], f"{BAD[1]}=raises")
    run.wait_for("running")
    end = run.end(run.send(signal.SIGTERM)).held("shutdown_19_adapter_fails_to_close", within_s=5.0)
    assert end.code == 1
    assert "the line is dead" in end.err
    assert sorted((project / "closed").read_text().split()) == ["bad", "good"]
    assert end.out["status"] == "stopped", "the result is kept and said"


def test_a_service_supervisor_hears_of_every_step_and_is_fed_by_the_loop(project: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.settimeout(LONG_S)
        supervisor.bind(str(project / "notify"))
        strategies = {"one": ("Told", "slow_start"), "two": ("Ticking", "loop")}
        environ = {"NOTIFY_SOCKET": str(project / "notify"), "WATCHDOG_USEC": "400000"}
        run = Process(project, "live", strategies, timeout_s=1.0, **environ)
        heard = [supervisor.recv(64)]
        while heard[-1] != b"READY=1":
            heard.append(supervisor.recv(64))
        assert "two:start" in run.log(), "ready once all strategies have been started"
        run.wait_for("running")  # and hangs from then on
        supervisor.settimeout(1.0)
        with suppress(TimeoutError):  # so long that one that is fed would have been fed five times
            while supervisor.recv(64) == b"WATCHDOG=1":
                pass
        sent = run.send(signal.SIGTERM)
        end = run.end(sent).held("shutdown_20_hangs", within_s=2.0, by_force=True)
        assert end.code == 70
        supervisor.setblocking(False)
        assert list(iter(lambda: _one(supervisor), None)) == [b"STOPPING=1"], "no time more where nothing goes on"


def _one(supervisor: socket.socket) -> bytes | None:
    try:
        return supervisor.recv(64)
    except BlockingIOError:
        return None


def test_an_idle_loop_is_fed_and_stopping_is_said_at_once(project: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.settimeout(LONG_S)
        supervisor.bind(str(project / "notify"))
        environ = {"NOTIFY_SOCKET": str(project / "notify"), "WATCHDOG_USEC": "200000"}
        run = Process(project, "idle", {"one": ("Told", "idle")}, **environ)
        while supervisor.recv(64) != b"READY=1":
            pass
        assert [supervisor.recv(64) for _ in range(5)] == [b"WATCHDOG=1"] * 5
        sent = run.send(signal.SIGTERM)
        heard = [supervisor.recv(64)]
        while not heard[-1].startswith(b"EXTEND_TIMEOUT_USEC="):
            heard.append(supervisor.recv(64))
        assert b"STOPPING=1" in heard
        drained("01_idle_term", run, sent)


def test_a_process_that_had_to_be_ended_leaves_a_report(project: Path) -> None:
    handler = "runtime.handler_deadline_ns=60_000_000_000"
    strategies = {"one": ("Ticking", "holds"), "two": ("Told", "")}
    run = Process(project, "live", strategies, handler, timeout_s=1.0)
    run.wait_for("running")
    sent = run.send(signal.SIGTERM)
    end = run.end(sent).held("shutdown_11_live", within_s=2.0, by_force=True)
    assert end.code == 70
    (file,) = (project / "runs").glob("live-*.shutdown.json")
    report = json.loads(file.read_text())
    assert end.out == {"shutdown": report}
    assert (report["outcome"], report["exit_code"]) == ("deadline_exceeded", 70)
    assert "strategy one has not returned from on_tick" in report["abandoned"][0]
    assert report["abandoned"][1:] == ["drain", "orders", "on_stop", "result", "services"]
    assert report["standing"] == {
        "one": {"state": "RUNNING", "open_orders": 1, "positions": {"EURUSD.SIM": 1.0}},
        "two": {"state": "RUNNING", "open_orders": 0, "positions": {}},
    }
    assert "  one: RUNNING, 1 open orders, 1 EURUSD.SIM\n" in end.err


HANGS = """
import time
class Feed:
    instruments = ("GBPUSD.SIM",)
    settings = {}
    def __init__(self, *, name, **options): pass
    def start(self, feed): pass
    def close(self): time.sleep(3_600)
"""


@pytest.mark.parametrize("how", ["asked", "fails"])
def test_a_stop_that_came_by_no_signal_is_bounded_and_told_too(project: Path, how: str) -> None:
    """By an operator, or by a strategy that fails; and then an adapter never closes."""
    whole_s = 4.0 if how == "asked" else 1.0
    (project / "hangs.py").write_text(HANGS)
    more = ["feeds.bad.adapter=hangs:Feed", "runtime.adapter_prefixes=hangs", "strategies.one.on_error=stop_runtime"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.settimeout(LONG_S)
        supervisor.bind(str(project / "notify"))
        environ = {"NOTIFY_SOCKET": str(project / "notify")}
        strategies = {"one": ("Ticking", "orders" if how == "asked" else how)}
        run = Process(project, "live", strategies, *more, timeout_s=whole_s, **environ)
        run.wait_for("running")
        sent = time.monotonic()
        if how == "asked":
            ask(project / "runs", None, LONG_S, "shutdown", {})
        assert [supervisor.recv(64), supervisor.recv(64)] == [b"READY=1", b"STOPPING=1"]
        end = run.end(sent).held(f"shutdown_without_a_signal_{how}", within_s=whole_s + 1.0, by_force=True)
    assert end.code == 70
    report = end.out["shutdown"]
    assert [step["name"] for step in report["steps"]] == ["drain", "orders", "on_stop", "result"]
    assert report["abandoned"][1:] == ["services"]
    assert how != "asked" or report["took_s"] < whole_s, "services have a part of the whole"


def test_an_operators_shutdown_bounds_the_end_though_a_handler_hangs(project: Path) -> None:
    handler = "runtime.handler_deadline_ns=3_600_000_000_000"
    run = Process(project, "live", {"one": ("Ticking", "sleeps")}, handler, timeout_s=1.0)
    run.wait_for("running")
    sent = time.monotonic()
    answer = ask(project / "runs", None, 0.3, "shutdown", {"reason": "enough"})
    assert (answer["result"]["stopping"], answer["result"]["reason"]) == (True, "enough")
    assert "its end is bounded from now on: the loop has not answered within 0.3 s" in answer["result"]["waiting"]
    end = run.end(sent)
    assert (end.code, end.took_s < 2.0 + SLACK_S) == (70, True)
    assert "strategy one has not returned from on_tick" in end.out["shutdown"]["abandoned"][0]


def test_a_thread_that_nobody_ends_does_not_keep_the_process(project: Path) -> None:
    """The interpreter waits for threads that are no daemons, after everything else is done."""
    run = Process(project, "live", {"one": ("Ticking", "thread")}, timeout_s=1.0)
    run.wait_for("running")
    end = run.end(run.send(signal.SIGTERM))
    compare("shutdown_forgotten_thread", end.told())
    assert (end.code, end.out["status"], end.took_s < 2.0 + SLACK_S) == (70, "stopped", True)
    report = json.loads(Path(project, end.out["folder"], "shutdown.json").read_text())
    assert "threads have not ended: forgotten" in report["abandoned"][0]
    assert [step["name"] for step in report["steps"]] == ["drain", "orders", "on_stop", "result", "services"]


def test_a_signal_to_a_child_that_was_forked_off_is_the_childs(project: Path) -> None:
    """As ``multiprocessing`` ends its workers: the child has the descriptors of its parent, and not its watchdog."""
    run = Process(project, "live", {"one": ("Ticking", "forks")})
    run.wait_for("running")
    assert run.log() == ["one:start", f"one:child {int(signal.SIGTERM)}"], "the child has died of it"
    drained("forked", run, run.send(signal.SIGTERM))


def test_on_another_thread_no_handler_is_installed() -> None:
    code = (
        "import signal, threading\n"
        "from tickrail.orchestration.shutdown import Shutdown\n"
        "before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]\n"
        "def use():\n"
        "    with Shutdown() as shutdown:\n"
        "        seen.append([signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)])\n"
        "        seen.append(shutdown.signals)\n"
        "seen = []\n"
        "thread = threading.Thread(target=use); thread.start(); thread.join()\n"
        "assert seen == [before, []], seen\n"
        "with Shutdown():\n"
        "    assert signal.getsignal(signal.SIGTERM) != before[0]\n"
        "assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=LONG_S)


LOOPS = """
import asyncio, os, signal, time
from tickrail.orchestration.shutdown import Shutdown


def until(shutdown, signals):
    deadline = time.monotonic() + 30.0
    while shutdown.signals != signals:
        assert time.monotonic() < deadline, shutdown.signals
        time.sleep(0.001)


async def main(shutdown):
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, heard.set)
    os.kill(os.getpid(), signal.SIGTERM)
    until(shutdown, [15])
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(heard.wait(), 30.0)  # the loop has its descriptor still


def taken(ours):
    found = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(found)
    return found != ours


with Shutdown() as shutdown:
    ours = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(ours)
    asyncio.run(main(shutdown))
    assert taken(ours)
    os.kill(os.getpid(), signal.SIGHUP)
    until(shutdown, [15, 1])
    assert not taken(ours), "from now on it is told at once"
with Shutdown() as shutdown:
    asyncio.run(asyncio.sleep(0))
    signal.set_wakeup_fd(-1)
    shutdown.ready()
    assert signal.set_wakeup_fd(-1) != -1, "nobody has it: it is taken back before a signal comes"
here = os.pipe()
os.set_blocking(here[1], False)
with Shutdown():
    signal.set_wakeup_fd(here[1])
assert signal.set_wakeup_fd(-1) == here[1], "another's stays where it is"
print("heard")
"""


def test_an_event_loop_that_handles_signals_does_not_take_them_from_the_watchdog() -> None:
    ran = subprocess.run([sys.executable, "-c", LOOPS], capture_output=True, text=True, timeout=LONG_S, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "heard\n", "")


def test_commands_and_waits_all_have_their_answer_when_a_run_has_stopped() -> None:
    import tickrail
    from tickrail.domain.commands import Command
    from tickrail.errors import CommandError
    from tickrail.orchestration.tick_dispatcher import TickDispatcher

    class Slow(Command):
        pass

    class Fast(Command):
        pass

    class Stopping(tickrail.Strategy):
        def on_stop(self) -> None:
            worker = threading.Thread(target=late)
            worker.start()
            worker.join(LONG_S)

    async def slow(_: Slow) -> None:
        import asyncio

        begun.append(1)
        await asyncio.sleep(3_600)

    said: list[str] = []
    receipts: list[Any] = []
    begun: list[int] = []

    def late() -> None:
        try:
            bus.submit(Fast())
        except CommandError as error:
            said.append(type(error).__name__)

    def ask() -> None:
        try:
            bus.execute(Slow(), timeout_s=LONG_S)
        except BaseException as error:
            said.append(type(error).__name__)

    dispatcher = TickDispatcher([{"id": "A.SIM"}], live="park")
    dispatcher.live_feed("feed")
    bus = dispatcher.commands
    bus.register(Slow, slow)
    bus.register(Fast, lambda _: "done")
    dispatcher.register(Stopping(), "stopping")
    running = threading.Thread(target=dispatcher.run)
    running.start()
    wait(lambda: bus._standing() != 0)
    receipts += [bus.submit(Slow()) for _ in range(3)]
    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    assert bus.execute(Fast(), timeout_s=LONG_S) == "done"
    wait(lambda: len(begun) == 6)
    dispatcher.request_stop()
    for thread in (running, *asking):
        thread.join(LONG_S)
        assert not thread.is_alive()
    assert all(receipt.done() for receipt in receipts)
    assert said[0] == "ShuttingDown", "a command that comes after the stop"
    assert said[1:] == ["CancelledError"] * 3
