"""``python -m benches.commands``: what commands cost, each against what one would write without a bus.

Yardsticks in the same process: a dict of handlers, a worker thread with futures, ``asyncio.Queue`` with futures.
"""

from __future__ import annotations

import asyncio
import queue
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

import tickrail
from benches.yardstick import Work, interleave
from tickrail.domain.commands import Command, Event, Lane
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.errors import LaneFull
from tickrail.orchestration.command_bus import CommandBus
from tickrail.orchestration.tick_dispatcher import TickDispatcher

EURUSD = "EURUSD.SIM"


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


def same_thread(rounds: int) -> list[str]:
    """Inline ``execute`` and ``publish`` within a step, beside a dict of handlers."""
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
        over = found.case_ns - found.yardstick_ns
        rows.append(f"{name}, same thread: {found.case_ns:.0f} ns, {over:.0f} over a dict's call (goal {goal})")
    return rows


def posts(rounds: int) -> list[str]:
    """``post`` from another thread while the loop takes; the lane's room is waited for."""
    with running(live("park")) as bus:
        command, count = Add(1), 20_000

        def run() -> None:
            for _ in range(count):
                bus.post(command, wait_s=60)

        rates = [count / _seconds(run) for _ in range(rounds)]

        def burst() -> float:
            while any(pending for _, _, pending in bus._lanes.stats()):  # type: ignore[union-attr]
                time.sleep(0.001)
            return 2_000 / _seconds(lambda: [bus.post(command) for _ in range(2_000)])

        bursts = [burst() for _ in range(rounds)]
    best = f"{statistics.median(bursts):,.0f}/s in bursts of 2,000, {statistics.median(rates):,.0f}/s with the handlers"
    return [f"post: {best} (goal 1,000,000/s)"]


def round_trips(rounds: int) -> list[str]:
    """``execute`` from another thread, beside a worker thread that answers by futures."""
    rows = []
    for wait, goal in (("spin", 10), ("park", 60)):
        with running(live(wait)) as bus, _worker() as ask:
            case = Work(partial(_times, bus.execute, Add(1)), 500)
            found = interleave(case, Work(partial(_times, ask, 1), 500), rounds=rounds)
        us, theirs = found.case_ns / 1e3, found.yardstick_ns / 1e3
        rows.append(f"execute, other thread, {wait}: {us:.1f} us, worker thread {theirs:.1f} us (goal {goal} us)")
    return rows


def asyncs(rounds: int) -> list[str]:
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
    return [f"execute_async: {1e9 / found.case_ns:,.0f}/s, {1 / found.ratio:.1f} times asyncio.Queue (goal 3)"]


def control(rounds: int) -> list[str]:
    """A CONTROL command while NORMAL is full and ticks flow."""
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
            try:
                while True:
                    bus.post(Add(1))
            except LaneFull:
                pass
            sent = time.perf_counter_ns()
            bus.execute(Urgent(), timeout_s=60)
            found.append((times[-1] - sent) / 1e3)
    return [f"CONTROL with NORMAL full: {statistics.median(found):.0f} us to its handler (goal 100 us)"]


def empty_lanes(rounds: int) -> list[str]:
    """A run with lanes that nobody uses, beside one without."""
    data = quotes(1_000_000)

    def run(*, with_lanes: bool) -> Callable[[], None]:
        def go() -> None:
            dispatcher = TickDispatcher([{"id": EURUSD}])
            dispatcher.feed("feed", data)
            dispatcher.register(Idle(), "idle")
            if with_lanes:
                _ = dispatcher.commands
            dispatcher.run()

        return go

    found = interleave(Work(run(with_lanes=True), len(data)), Work(run(with_lanes=False), len(data)), rounds=rounds)
    return [f"empty lanes: {found.case_ns - found.yardstick_ns:+.2f} ns a tick of {found.yardstick_ns:.1f} (goal 0.3)"]


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


def main() -> None:
    rounds = 3 if "--quick" in sys.argv else 11
    for rows in (same_thread, posts, round_trips, asyncs, control, empty_lanes):
        for row in rows(rounds):
            print(row, flush=True)


if __name__ == "__main__":
    main()
