"""``python -m benches.commands``: what commands cost, each against what one would write without a bus.

Yardsticks in the same process: a dict of handlers, a worker thread with futures, ``asyncio.Queue`` with futures. Each
row has its goal and whether it is met; ``--quick`` looks less long, ``--only WORD`` measures one table, ``--json`` is
for a program. Goals of what is mostly calls of Python grow with the time that an empty one takes here and now, as those
of ``benches.rings_table`` do.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import tickrail
from benches.live import empty_call
from benches.rings_python import BASE_CALL_NS
from benches.yardstick import Work, interleave
from tickrail.domain.commands import Command, Event, Lane
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.errors import FeedClosed, LaneFull
from tickrail.orchestration.command_bus import CommandBus
from tickrail.orchestration.live import SWITCH_INTERVAL_S, switch_interval
from tickrail.orchestration.tick_dispatcher import TickDispatcher

EURUSD = "EURUSD.SIM"


@dataclass(frozen=True)
class Row:
    """One line of the table; ``at_least`` says on which side of the goal is good."""

    what: str
    measured: float
    goal: float
    unit: str
    yardstick: str = ""
    at_least: bool = False

    @property
    def verdict(self) -> str:
        met = self.measured >= self.goal if self.at_least else self.measured <= self.goal
        return "met" if met else "missed"

    def line(self) -> str:
        sign = "at least" if self.at_least else "at most"
        measured = f"{self.measured:,.0f}" if self.measured >= 1_000 else f"{self.measured:.3g}"
        cells = (self.what, f"{measured} {self.unit}".strip(), f"{sign} {self.goal:,g}", self.verdict, self.yardstick)
        return f"| {' | '.join(cells)} |"


class Add(Command):
    number: int


class Urgent(Command):
    lane = Lane.CONTROL  # type: ignore[misc] # a class variable, said by assignment


class Happened(Event):
    number: int


class Idle(tickrail.Strategy):
    def on_tick(self, tick: tickrail.Tick) -> None:
        pass


def quotes(count: int) -> tickrail.TickArray:
    records = np.zeros(count, QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(1, count + 1)
    records["kind"] = 1
    records["bid"] = records["ask"] = 1.0
    records["bid_size"] = records["ask_size"] = 1.0
    return tickrail.TickArray.from_records(records, [EURUSD])


def add(command: Add) -> int:
    return command.number + 1


@contextmanager
def running(dispatcher: TickDispatcher) -> Iterator[CommandBus]:
    """A run on a thread of its own, until the block ends."""
    bus = dispatcher.commands
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    while bus._standing() == 0:
        time.sleep(0.001)
    try:
        yield bus
    finally:
        dispatcher.request_stop()
        thread.join()


def live(wait: str) -> TickDispatcher:
    dispatcher = TickDispatcher([{"id": EURUSD}], live=wait)
    dispatcher.register(Idle(), "idle")
    dispatcher.commands.register(Add, add)
    dispatcher.commands.register(Urgent, lambda _: None)
    return dispatcher


def scale(rounds: int) -> float:
    """How many times as long an empty call takes as where the goals were set."""
    return statistics.median(empty_call(100_000) for _ in range(rounds)) / BASE_CALL_NS


def same_thread(rounds: int) -> list[Row]:
    """Inline ``execute`` and ``publish``, beside a dict of handlers."""
    bus, count, command, event = CommandBus(), 20_000, Add(1), Happened(1)
    bus.register(Add, add)
    bus.subscribe(Happened, lambda _: None)
    handlers: dict[type, Callable[[Any], Any]] = {Add: add, Happened: lambda _: None}

    def by_dict(one: Any) -> Callable[[], None]:
        def run() -> None:
            for _ in range(count):
                handlers[type(one)](one)

        return run

    def executes() -> None:
        for _ in range(count):
            bus.execute(command)

    def publishes() -> None:
        for _ in range(count):
            bus.publish(event)

    rows = []
    for name, run, one, goal in (("execute", executes, command, 250), ("publish", publishes, event, 150)):
        found = interleave(Work(run, count), Work(by_dict(one), count), rounds=rounds)
        slower = scale(rounds)
        over = (found.case_ns - found.yardstick_ns) / 1e3
        beside = f"{found.yardstick_ns:.0f} ns by a dict; empty call {slower * BASE_CALL_NS:.0f} ns"
        rows.append(Row(f"{name}, same thread, over a direct call", over, goal / 1e3 * slower, "us", beside))
    return rows


def posts(rounds: int) -> list[Row]:
    """``post`` from another thread: as many as the lane has room for, and as many as the loop handles meanwhile."""
    with running(live("park")) as bus:
        command, count, burst = Add(1), 50_000, 2_000

        def run() -> None:
            for _ in range(count):
                bus.post(command, wait_s=60)

        def one_burst() -> float:
            while any(pending for _, _, pending in bus._lanes.stats()):  # type: ignore[union-attr]
                time.sleep(0.001)
            started = time.perf_counter()
            for _ in range(burst):
                bus.post(command)
            return burst / (time.perf_counter() - started)

        bursts = [one_burst() for _ in range(rounds * 5)]
        rates = [count / _seconds(run) for _ in range(rounds)]
        slower = scale(rounds)
    line: queue.SimpleQueue[object] = queue.SimpleQueue()
    puts = [count / _seconds(lambda: [line.put(Add(1)) for _ in range(count)]) for _ in range(3)]
    beside = (
        f"{statistics.median(rates):,.0f}/s posted and handled, without end; a SimpleQueue takes {max(puts):,.0f}/s; "
        f"empty call {slower * BASE_CALL_NS:.0f} ns"
    )
    goal = 1_000_000 / slower
    return [Row("post, in bursts of 2,000", statistics.median(bursts), goal, "/s", beside, at_least=True)]


def round_trips(rounds: int) -> list[Row]:
    """``execute`` from another thread, beside a worker thread that answers by futures."""
    rows = []
    for wait, goal in (("spin", 10), ("park", 60)):
        with running(live(wait)) as bus, _worker() as ask:
            case = Work(partial(_times, bus.execute, Add(1)), 500)
            found = interleave(case, Work(partial(_times, ask, 1), 500), rounds=rounds)
        us, theirs = found.case_ns / 1e3, found.yardstick_ns / 1e3
        beside = f"{theirs:.1f} us by a worker thread"
        rows.append(Row(f"execute, other thread, the loop {wait}s", us, goal, "us", beside))
    return rows


def asyncs(rounds: int) -> list[Row]:
    """``execute_async`` of an async handler on the bus's own loop, beside a queue with futures."""
    bus, count = CommandBus(), 2_000

    async def add_async(command: Add) -> int:
        return command.number + 1

    bus.register(Add, add_async)

    async def ours() -> None:
        command = Add(1)
        for _ in range(count):
            await bus.execute_async(command)

    async def theirs() -> None:
        waiting: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def serve() -> None:
            while True:
                number, future = await waiting.get()
                future.set_result(number + 1)

        server = asyncio.ensure_future(serve())
        for _ in range(count):
            future = loop.create_future()
            await waiting.put((1, future))
            await future
        server.cancel()

    case = Work(lambda: bus._io.call(ours(), 60), count)
    found = interleave(case, Work(lambda: bus._io.call(theirs(), 60), count), rounds=rounds)
    bus.close()
    rates = f"{1e9 / found.case_ns:,.0f}/s against {1e9 / found.yardstick_ns:,.0f}/s"
    return [Row("execute_async, times asyncio.Queue", 1 / found.ratio, 3, "", rates, at_least=True)]


def control(rounds: int) -> list[Row]:
    """A CONTROL command while NORMAL is full and ticks flow, with the switch interval of live runs and without it."""
    with switch_interval(SWITCH_INTERVAL_S):
        live = _control_us(rounds)
    alone = _control_us(rounds)
    beside = (
        f"{len(live)} times full; the slowest {max(live):,.0f} us; {statistics.median(alone):.0f} us where threads"
        f" switch after 5 ms, as outside of live runs; {_wake_us(rounds * 10):.0f} us to wake a thread"
    )
    return [Row("CONTROL to its handler, NORMAL full, ticks flowing", statistics.median(live), 100, "us", beside)]


def _control_us(rounds: int) -> list[float]:
    dispatcher = TickDispatcher([{"id": EURUSD}])
    data = quotes(250_000)
    for number in range(256):
        dispatcher.feed(f"feed{number}", data)
    dispatcher.register(Idle(), "idle")
    times: list[int] = []
    dispatcher.commands.register(Add, add)
    dispatcher.commands.register(Urgent, lambda _: times.append(time.perf_counter_ns()))
    found: list[float] = []
    with running(dispatcher) as bus:
        for _ in range(rounds * 20):
            if not _fill(bus):
                continue
            sent = time.perf_counter_ns()
            bus.execute(Urgent(), timeout_s=60)
            found.append((times[-1] - sent) / 1e3)
    return found


def _wake_us(rounds: int) -> float:
    """From a put to the thread that waits for it, after some ms in which only the other one ran."""
    line: queue.SimpleQueue[bool] = queue.SimpleQueue()
    times: list[int] = []

    def serve() -> None:
        while line.get():
            times.append(time.perf_counter_ns())

    thread = threading.Thread(target=serve)
    thread.start()
    found = []
    for number in range(rounds):
        until = time.perf_counter() + 0.004
        while time.perf_counter() < until:
            pass
        sent = time.perf_counter_ns()
        line.put(True)
        while len(times) <= number:
            time.sleep(0.001)
        found.append((times[-1] - sent) / 1e3)
    line.put(False)
    thread.join()
    return statistics.median(found)


def _fill(bus: CommandBus) -> bool:
    """Whether NORMAL is full now; the loop takes from it meanwhile."""
    try:
        for _ in range(20_000):
            bus.post(Add(1))
    except LaneFull:
        return True
    return False


def empty_lanes(rounds: int) -> list[Row]:
    """A run with lanes that nobody uses, beside one without; the median of the differences of pairs.

    Its strategy takes no tick: calls of Python, seven times what is left, wobble by more than what is looked for.
    """
    data = quotes(2_000_000)

    def run_ns(*, with_lanes: bool) -> float:
        dispatcher = TickDispatcher([{"id": EURUSD}])
        dispatcher.feed("feed", data)
        dispatcher.register(tickrail.Strategy(), "idle")
        if with_lanes:
            _ = dispatcher.commands
        return _seconds(dispatcher.run) * 1e9 / len(data)

    pairs = []
    for number in range(rounds * 5):  # the first of a pair is the other one in the next
        first = run_ns(with_lanes=number % 2 == 0)
        second = run_ns(with_lanes=number % 2 == 1)
        pairs.append((first, second) if number % 2 == 0 else (second, first))
    over = statistics.median(with_lanes - without for with_lanes, without in pairs)
    beside = f"{statistics.median(without for _, without in pairs):.1f} ns a tick without"
    return [Row("empty lanes, a tick", over, 0.3, "ns", beside)]


@contextmanager
def _worker() -> Iterator[Callable[[int], int]]:
    line: queue.SimpleQueue[tuple[int, Future[int]] | None] = queue.SimpleQueue()

    def serve() -> None:
        while (item := line.get()) is not None:
            item[1].set_result(item[0] + 1)

    def ask(number: int) -> int:
        future: Future[int] = Future()
        line.put((number, future))
        return future.result()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield ask
    finally:
        line.put(None)
        thread.join()


def _times(call: Callable[[Any], Any], argument: Any) -> None:
    for _ in range(500):
        call(argument)


def _seconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def intake(rounds: int) -> list[Row]:
    """From a stop to the first record that a feed refuses."""
    found = []
    for _ in range(rounds * 3):
        dispatcher = live("park")
        feed = dispatcher.live_feed("feed")
        with running(dispatcher), feed.publisher() as publisher:
            publisher.publish_quote(EURUSD, 1.0, 1.1)
            asked = time.perf_counter_ns()
            dispatcher.request_stop()
            try:
                while True:
                    publisher.publish_quote(EURUSD, 1.0, 1.1)
            except FeedClosed:
                found.append((time.perf_counter_ns() - asked) / 1e6)
    return [Row("intake closed after a stop", statistics.median(found), 1, "ms")]


IDLE_CONFIG = """
[feeds.sim]
adapter = "published"
options = { instruments = ["EURUSD.SIM"] }
[venues.SIM]
[strategies.idle]
class = "idle:Idle"
"""


def idle_to_exit(rounds: int) -> list[Row]:
    """From SIGTERM to the end of an idle ``tickrail run``, its result written."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "config" / "live").mkdir(parents=True)
        (project / "config" / "live" / "runtime.toml").write_text(IDLE_CONFIG)
        (project / "idle.py").write_text(
            "import tickrail\nclass Idle(tickrail.Strategy):\n    def on_start(self): open('on', 'w').close()\n"
        )
        command = [sys.executable, "-m", "tickrail", "run", "--env", "live"]
        for _ in range(rounds):
            (project / "on").unlink(missing_ok=True)
            with subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, env=dict(os.environ)) as process:
                while not (project / "on").exists():
                    time.sleep(0.001)
                time.sleep(0.1)
                asked = time.perf_counter_ns()
                process.send_signal(signal.SIGTERM)
                process.wait()
            found.append((time.perf_counter_ns() - asked) / 1e6)
    return [Row("idle to exit after SIGTERM", statistics.median(found), 100, "ms")]


TABLES = (same_thread, posts, round_trips, asyncs, control, empty_lanes, intake, idle_to_exit)


def main() -> None:
    rounds = 3 if "--quick" in sys.argv else 11
    as_json = "--json" in sys.argv
    if not as_json:
        print("| what | measured | goal | verdict | beside it |\n|---|---|---|---|---|")
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    for rows in TABLES:
        if only not in rows.__name__:
            continue
        for row in rows(rounds):
            print(json.dumps({**asdict(row), "verdict": row.verdict}) if as_json else row.line(), flush=True)


if __name__ == "__main__":
    main()
