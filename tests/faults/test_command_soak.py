"""A live run under commands: ticks at a pace, strategies of which one raises, restarts, and runs begun and ended.

Five seconds; ``SOAK_SECONDS`` makes it longer (``make soak``: a minute, in which memory rises by less than a megabyte a
minute after the warm-up; ten are the whole of it).
"""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail.domain.commands import Command, RestartStrategy
from tickrail.domain.supervision import Supervision
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.errors import FeedClosed
from tickrail.orchestration.tick_dispatcher import TickDispatcher

SECONDS = float(os.environ.get("SOAK_SECONDS", "5"))
STRATEGIES = 20
TICKS_PER_S = 1_000_000
COMMANDS_PER_S = 100
STARTS = max(10, round(500 * SECONDS / 600))
#: Records at once, all instruments in turn.
BLOCK = 5_000
LONG_S = 60.0
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20
#: In a short run the interpreter and its allocator still grow.
SHORT_SLACK_MIB = 8.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240 + 3 * SECONDS),
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is read from /proc"),
]


class Count(Command):
    number: int


class Counts(tickrail.Strategy):
    """Counts its ticks; the one that raises does so each hundred thousandth."""

    raises: bool = False

    def on_start(self) -> None:
        self.count = 0

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.count += 1
        if self.raises and self.count % 100_000 == 0:
            raise LookupError("on purpose")


def block() -> np.ndarray[Any, np.dtype[np.void]]:
    records = np.zeros(BLOCK, QUOTE_DTYPE)
    records["kind"], records["ts_event"] = 1, 1
    records["instrument"] = np.arange(BLOCK) % STRATEGIES
    for field in ("bid", "ask", "bid_size", "ask_size"):
        records[field] = 1.0
    return records


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / MIB


class Soak:
    """The run, and who acts on it from other threads until the time is over."""

    def __init__(self) -> None:
        names = [f"I{number}.SIM" for number in range(STRATEGIES)]
        self.run = TickDispatcher([{"id": name} for name in names], live="park")
        self.bus = self.run.commands
        self.handled = 0
        self.bus.register(Count, self.count)
        rule = Supervision(on_error="restart", max_restarts=1_000_000, backoff_ns=1_000_000, max_backoff_ns=1_000_000)
        for number, name in enumerate(names):
            make = (lambda: Counts(raises=True)) if number == 0 else Counts
            self.run.register(make(), f"s{number}", instruments=[name], renew=make, supervision=rule)
        self.feed = self.run.live_feed("flood", policy="block", capacity=1 << 16, timeout_s=LONG_S)
        self.over = threading.Event()
        self.offered = self.sent = self.restarted = 0
        self.answers: list[int] = []
        self.memory: list[tuple[float, float]] = []
        self.wrong: list[Any] = []

    def count(self, command: Count) -> int:
        self.handled += 1
        return command.number

    def publish(self) -> None:
        records, began = block(), time.monotonic()
        with self.feed.publisher() as publisher:
            while not self.over.is_set():
                behind = (time.monotonic() - began) * TICKS_PER_S - self.offered
                if behind < BLOCK:
                    self.over.wait((BLOCK - behind) / TICKS_PER_S)
                    continue
                try:
                    publisher.publish(records)
                except FeedClosed:
                    return
                self.offered += BLOCK

    def command(self) -> None:
        between = max(1, round(SECONDS * COMMANDS_PER_S / STARTS))
        began = time.monotonic()
        while not self.over.is_set():
            receipt = self.bus.submit(Count(self.sent))
            if self.sent % between == between - 1:
                strategy = f"s{1 + self.restarted % (STRATEGIES - 1)}"
                assert self.bus.execute(RestartStrategy(strategy), timeout_s=LONG_S)["state"] == "RUNNING"
                self.restarted += 1
            self.answers.append(receipt.result(LONG_S))
            self.sent += 1
            self.over.wait(max(0.0, began + self.sent / COMMANDS_PER_S - time.monotonic()))

    def look(self) -> None:
        began = time.monotonic()
        while (age := time.monotonic() - began) < SECONDS:
            self.over.wait(0.1)
            accounts = self.run.accounts()
            if not accounts.balanced:
                self.wrong.append(accounts)
            self.memory.append((age, resident_mib()))
        self.over.set()

    def guarded(self, act: Any) -> Any:
        def go() -> None:
            try:
                act()
            except BaseException as error:
                self.wrong.append(error)
                self.over.set()

        return go

    def go(self) -> None:
        threads = [threading.Thread(target=self.guarded(act)) for act in (self.publish, self.command, self.look)]
        dispatch = threading.Thread(target=self.guarded(self.run.run))
        dispatch.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.run.seal()
        dispatch.join(LONG_S)
        assert not dispatch.is_alive()


def rise_mib_per_min(memory: list[tuple[float, float]]) -> float:
    """By a line through what was seen after the first third."""
    settled = memory[len(memory) // 3 :]
    ages, sizes = zip(*settled, strict=True)
    return float(np.polyfit(ages, sizes, 1)[0]) * 60


def judge(memory: list[tuple[float, float]], what: str) -> None:
    rise = rise_mib_per_min(memory)
    print(f"{what}: memory {memory[-1][1]:.0f} MiB, rising by {rise:.2f} MiB a minute after the warm-up")
    if SECONDS >= 60:
        assert rise < 1.0
    else:
        assert memory[-1][1] - memory[len(memory) // 3][1] < SHORT_SLACK_MIB


def test_no_command_is_lost_the_accounts_are_exact_and_memory_is_flat() -> None:
    soak = Soak()
    soak.go()
    assert soak.wrong == []
    accounts, result = soak.run.accounts(), soak.run.result()
    assert accounts.balanced
    flood = accounts.feeds["flood"]
    assert (flood.taken, flood.pending, flood.offered) == (soak.offered, 0, soak.offered)
    states = {one.name: one.state for one in result.strategies}
    assert set(states.values()) <= {"STOPPED", "FAILED"}
    assert all(state == "STOPPED" for name, state in states.items() if name != "s0")
    raised, restarts = len(result.errors), result.stats["restarts"]["s0"]
    assert {error.strategy for error in result.errors} == {"s0"}
    assert raised - 1 <= restarts <= raised
    whole = sum(one.delivered for name, one in accounts.strategies.items() if name != "s0")
    assert whole == soak.offered // STRATEGIES * (STRATEGIES - 1), "the others miss nothing, restarts and all"
    assert soak.answers == list(range(soak.sent))
    assert soak.handled == soak.sent
    assert soak.run.commands.dead_letter_counts == {}
    print(
        f"\n{soak.offered / SECONDS / 1e6:.2f} M ticks/s, {soak.sent / SECONDS:.0f} commands/s,"
        f" {soak.restarted} restarts by command, {raised} failures"
    )
    judge(soak.memory, "one run")


def test_runs_begun_and_ended_leave_nothing() -> None:
    memory, began = [], time.monotonic()
    for _ in range(STARTS):
        run = TickDispatcher([{"id": "I0.SIM"}], live="park")
        run.commands.register(Count, lambda command: command.number)
        run.register(Counts(), "counts")
        feed = run.live_feed("f")
        running = threading.Event()
        thread = threading.Thread(target=lambda run=run, running=running: run.run(started=running.set))  # type: ignore[misc]
        thread.start()
        assert running.wait(LONG_S)
        publisher = feed.publisher()
        publisher.publish_quote("I0.SIM", 1.0, 1.1)
        assert run.commands.execute(Count(7), timeout_s=LONG_S) == 7
        publisher.close()
        run.request_stop()
        thread.join(LONG_S)
        assert not thread.is_alive()
        assert run.result().status == "stopped"
        assert run.accounts().balanced
        run.commands.close()
        del run, feed, publisher, thread
        gc.collect()  # a ring is nothing to the collector's own counts
        memory.append((time.monotonic() - began, resident_mib()))
    assert [one.name for one in threading.enumerate() if one.name.startswith("tickrail")] == []
    grown = memory[-1][1] - memory[len(memory) // 3][1]
    starts = len(memory) - len(memory) // 3
    print(f"\n{STARTS} runs: memory {memory[-1][1]:.0f} MiB, {grown * 1024 / starts:.1f} KiB a run after the warm-up")
    assert grown < max(SHORT_SLACK_MIB, 0.02 * starts)
