"""Timers, measuring and their cost: ``python -m benches.clock``. Cases take turns with a yardstick, in one process."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from tickrail import Strategy, Tick, TickDispatcher, TimerEvent, open_live
from tickrail._native import TickArray
from tickrail.domain.ticks import QUOTE_DTYPE

INSTRUMENT = "EURUSD.SIM"
PAIRS = 1_000  # in one step
MS = 1_000_000


def interleaved(cases: dict[str, Callable[[], float]], rounds: int = 7) -> dict[str, float]:
    """The median of each case over rounds in which they take turns."""
    seen: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            seen[name].append(case())
    return {name: statistics.median(figures) for name, figures in seen.items()}


class Beats(Strategy):
    """A timer that does nothing, every microsecond."""

    def on_start(self) -> None:
        self.schedule_every(1_000, self.beat)

    def beat(self, event: TimerEvent) -> None: ...


def timer_ns(firings: int = 200_000) -> float:
    """One firing of a timer into a Python method."""
    run = TickDispatcher([{"id": INSTRUMENT}])
    run.register(Beats(), "beats")
    run.run_until(0)
    begun = time.perf_counter_ns()
    run.run_until(firings * 1_000)
    return (time.perf_counter_ns() - begun) / firings


def call_ns(calls: int = 200_000) -> float:
    """The yardstick: the same method called by a loop of Python."""
    beat, event = Beats().beat, object()
    begun = time.perf_counter_ns()
    for _ in range(calls):
        beat(event)  # type: ignore[arg-type]  # which it never looks at
    return (time.perf_counter_ns() - begun) / calls


class Scheduling(Strategy):
    """Sets and cancels timers among ``pending`` others, some in each step, at whose end they take effect."""

    pending: int

    def on_start(self) -> None:
        for number in range(self.pending):
            self.schedule_at(10**15 + number * 7_919 % 1_000_003)
        self.times = [10**15 + number * 104_729 % 1_000_003 for number in range(PAIRS)]
        self.pair_ns: list[float] = []
        self.schedule_every(1_000, self.pairs)

    def pairs(self, event: TimerEvent) -> None:
        begun = time.perf_counter_ns()
        for due_ns in self.times:
            self.schedule_at(due_ns).cancel()
        self.pair_ns.append((time.perf_counter_ns() - begun) / PAIRS)

    def on_timer(self, event: TimerEvent) -> None: ...


def schedule_ns(pending: int, steps: int = 50) -> float:
    """Setting a timer and cancelling it, from Python."""
    run, strategy = TickDispatcher([{"id": INSTRUMENT}]), Scheduling(pending=pending)
    run.register(strategy, "scheduling")
    run.run_until(0)
    run.run_until(steps * 1_000)
    return statistics.median(strategy.pair_ns)


class Counted(Strategy):
    def on_tick(self, tick: Tick) -> None: ...


def quotes(count: int) -> TickArray:
    records = np.zeros(count, QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(1, count + 1)
    records["kind"], records["bid"], records["ask"] = 1, 1.0, 1.1
    records["bid_size"] = records["ask_size"] = 1.0
    return TickArray.from_records(records, [INSTRUMENT])


def tick_ns(ticks: TickArray, sample_every: int) -> float:
    """One tick into an empty Python handler, with or without measuring."""
    run = TickDispatcher([{"id": INSTRUMENT}], sample_every=sample_every)
    run.feed("ticks", ticks)
    run.register(Counted(), "counted")
    begun = time.perf_counter_ns()
    run.run()
    return (time.perf_counter_ns() - begun) / len(ticks)


class Ticking(Strategy):
    """A 1 ms timer, so many times."""

    times: int

    def on_start(self) -> None:
        self.early = 0
        self.schedule_every(MS, self.tick)

    def tick(self, event: TimerEvent) -> None:
        self.early += event.now_ns < event.due_ns
        if event.count >= self.times:
            self.end()


def lateness_us(times: int = 2_000) -> tuple[float, float, int]:
    """Lateness of a live 1 ms timer: p50, p99 in us, and how many were early."""
    strategy = Ticking(times=times)
    run = open_live(strategy, [INSTRUMENT])
    strategy.end = run.request_stop
    run.run()
    lateness = run.stats().strategies[0].lateness
    assert lateness is not None
    return lateness.p50_ns / 1e3, lateness.p99_ns / 1e3, strategy.early


def main() -> None:
    """Print the table."""
    say = sys.stdout.write
    timers = interleaved({"timer": timer_ns, "call": call_ns})
    ratio = timers["timer"] / timers["call"]
    say(f"sim timer into Python       {timers['timer']:8.0f} ns   goal 250   {ratio:.2f} calls of Python\n")
    pairs = interleaved({str(n): lambda n=n: schedule_ns(n) for n in (1, 1_000, 1_000_000)}, rounds=3)  # type: ignore[misc]
    for pending, pair_ns in pairs.items():
        calls = pair_ns / timers["call"]
        say(f"schedule + cancel, {int(pending):>9,} {pair_ns:8.0f} ns   goal 200   {calls:.2f} calls of Python\n")
    ticks = quotes(2_000_000)
    costs = interleaved({str(n): lambda n=n: tick_ns(ticks, n) for n in (0, 256, 64, 1)})  # type: ignore[misc]
    for every, ns in costs.items():
        say(f"tick, sample_every = {every:>4}    {ns:8.1f} ns   {ns - costs['0']:+.2f} (goal 2)\n")
    p50_us, p99_us, early = lateness_us()
    say(f"live 1 ms timer, lateness   {p50_us:.0f} us p50, {p99_us:.0f} us p99, {early} early   goals 100, 300, 0\n")


if __name__ == "__main__":
    main()
