"""Ends that are asked for by commands, and whoever waits at the end: cases 14 to 17, in real processes.

Within a library's run the same is in ``tests/integration/test_live_end.py``.
"""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from ended_runs import SLACK_S
from shutdown_project import Process

STRATEGIES = """
import asyncio
import threading
import time
from pathlib import Path

import tickrail
from tickrail.domain.commands import Command, Shutdown
from tickrail.orchestration.command_bus import CommandBus
from told import Told

HOUR_NS = 3_600_000_000_000


class Slow(Command):
    pass


class Fast(Command):
    pass


class Deaf(Command):
    pass


class Asking(Told):
    bus: tickrail.Inject[CommandBus]

    def on_start(self):
        super().on_start()
        self.begun = 0
        self.bus.register(Slow, self.slow)
        self.bus.register(Fast, lambda _: "done")
        self.bus.register(Deaf, self.not_ending)

    def on_tick(self, tick):
        self.count += 1
        if self.count == 30:
            getattr(self, self.how)(tick)

    def within(self, tick):
        self.note(self.bus.execute(Shutdown("from within")))
        self.note(self.bus.execute(Shutdown("once more")))
        self.buy(tick.instrument, 1.0, limit=0.01)
        self.note("goes on")

    def eight(self, tick):
        for _ in range(8):
            threading.Thread(target=self.stop_from_a_thread).start()
        while self.bus._lanes.stats()[0][2] < 8:  # all of them wait for the end of this step
            time.sleep(0.001)

    def stop_from_a_thread(self):
        self.note(self.bus.execute(Shutdown("from a thread"), timeout_s=30))

    def waits(self, tick):
        threads = [threading.Thread(target=self.told, args=("execute", self.ask)) for _ in range(3)]
        threads.append(threading.Thread(target=self.told, args=("execute_async", lambda: asyncio.run(self.aasks()))))
        for thread in threads:
            thread.start()
        for _ in range(3):
            self.bus.submit(Slow()).add_done_callback(lambda done: self.told("submit", done.result))
        self.spawn(self.never(), lambda result: self.note("a coroutine came to its end"))
        self.schedule_after(HOUR_NS, lambda event: self.note("a timer fired"))
        self.bus.schedule_after(HOUR_NS, Fast())

    def ask(self):
        return self.bus.execute(Slow(), timeout_s=30)

    async def aasks(self):
        return await self.bus.execute_async(Slow())

    def deaf(self, tick):
        for how in ("execute", "submit"):
            act = self.ask_deaf if how == "execute" else self.bus.submit(Deaf()).result
            threading.Thread(target=self.told, args=(how, act)).start()

    def ask_deaf(self):
        return self.bus.execute(Deaf(), timeout_s=3_600)

    async def not_ending(self, command):
        self.begun += 1
        if self.begun == 2:
            Path("running").touch()
        while True:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                pass

    async def slow(self, command):
        self.begun += 1
        if self.begun == 7:
            Path("running").touch()
        await asyncio.sleep(3_600)

    async def never(self):
        await asyncio.sleep(3_600)

    def told(self, how, act):
        try:
            self.note(f"{how} {act()}")
        except BaseException as error:
            self.note(f"{how} {type(error).__name__}")

    def on_stop(self):
        super().on_stop()
        asks = {
            "late execute": lambda: self.bus.execute(Fast(), timeout_s=30),
            "late submit": lambda: self.bus.submit(Fast()).result(30),
            "late async": lambda: asyncio.run(self.bus.execute_async(Fast())),
        }
        threads = [threading.Thread(target=self.told, args=how) for how in asks.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
"""
STOPPING = "{'stopping': True, 'reason': '%s'}"
LATE = ["one:late async ShuttingDown", "one:late execute ShuttingDown", "one:late submit ShuttingDown"]

pytestmark = pytest.mark.slow


def asked(project: Path, how: str) -> Process:
    (project / "asked.py").write_text(STRATEGIES)
    return Process(project, "live", {"one": ("asked:Asking", how), "two": ("Told", "")})


def test_a_stop_from_within_a_handler_is_queued_and_its_orders_end_before_the_hook(project: Path) -> None:
    run = asked(project, "within")
    end = run.end().held("shutdown_14_within", within_s=5.0)
    assert (end.code, end.err) == (0, "")
    log = run.log()
    assert log[:5] == [
        "one:start",
        "two:start",
        f"one:{STOPPING % 'from within'}",
        f"one:{STOPPING % 'once more'}",
        "one:goes on",
    ]
    assert log[5:9] == ["one:ACCEPTED", "one:CANCELED", "two:stop", "one:stop"], "the order it made afterwards too"
    assert sorted(log[9:]) == LATE


def test_a_stop_from_eight_threads_ends_it_once_with_eight_equal_results(project: Path) -> None:
    run = asked(project, "eight")
    end = run.end().held("shutdown_15_eight_threads", within_s=5.0)
    assert (end.code, end.err) == (0, "")
    log = Counter(run.log())
    assert log[f"one:{STOPPING % 'from a thread'}"] == 8
    assert (log["one:stop"], log["two:stop"]) == (1, 1)


def test_whoever_waits_at_the_stop_is_told_and_whoever_comes_later_is_refused(project: Path) -> None:
    run = asked(project, "waits")
    run.wait_for("running")
    end = run.end(run.send(signal.SIGTERM)).held("shutdown_17_whoever_waits", within_s=5.0)
    assert (end.code, end.err) == (0, "")
    log = run.log()
    assert log[2:4] == ["two:stop", "one:stop"], "what never ends keeps nobody"
    told = Counter(log[4:])
    assert told == {
        **dict.fromkeys(LATE, 1),
        "one:execute CancelledError": 3,
        "one:execute_async CancelledError": 1,
        "one:submit CancelledError": 3,
    }
    assert end.out["shutdown"]["commands"] == {"shutting_down": 10}


def test_a_handler_that_does_not_end_is_named_and_keeps_nobody_who_waits(project: Path) -> None:
    """Its waiters are threads that the interpreter waits for: they kept the process until its deadline."""
    run = asked(project, "deaf")
    run.wait_for("running")
    end = run.end(run.send(signal.SIGTERM))
    left = "coroutines have not ended and are left on the I/O thread: Asking.not_ending, Asking.not_ending\n"
    assert (end.code, end.err) == (70, left)
    assert end.took_s < 9.0 + SLACK_S, "five seconds are the coroutine's, and it had more were it waited for"
    assert Counter(run.log()[-2:]) == {"one:execute ShuttingDown": 1, "one:submit ShuttingDown": 1}
    report = end.out["shutdown"]
    assert (report["outcome"], report["commands"]) == ("abandoned", {"shutting_down": 2 + len(LATE)})
    assert report["abandoned"] == ["coroutine Asking.not_ending has not ended"] * 2
