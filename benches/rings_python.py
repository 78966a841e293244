"""The rows of the Python face: publishing, and what a record takes from a feed's thread to a handler."""

from __future__ import annotations

import os
import queue
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

import tickrail
from benches import clock
from benches.live import empty_call
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.orchestration.feeds import Publisher
from tickrail.orchestration.live import SAMPLE_EVERY, Wait

EURUSD = "EURUSD.SIM"
#: Of a ring that is as large as it is when nobody says so: what a cache holds. In larger ones memory is what costs.
CAPACITY = 8_192
RUNS = 16
BATCH = 1_024
RATE_PER_S = 20_000


#: What a call of an empty Python function took on the machine for which the goals in ns were set.
BASE_CALL_NS = 33.0


@dataclass(frozen=True)
class Figure:
    """One row: a time in ns, and what is to be so many times as long; without that, the most it may be.

    ``base``: what a call of Python takes here and now; then the goal grows with it.
    """

    path: str
    rounds: int
    own: float
    goal: float
    by: float = 0.0
    base: float = 0.0

    @property
    def limit(self) -> float:
        """The goal on this machine."""
        return self.goal * self.base / BASE_CALL_NS if self.base else self.goal


class Nothing(tickrail.Strategy):
    """Takes ticks and does nothing."""

    def on_tick(self, tick: tickrail.Tick) -> None:
        """See the class."""


class Lateness(tickrail.Strategy):
    """How long ago each tick was published: its ``ts_event`` is the feed's own counter."""

    def on_start(self) -> None:
        """Begin with nothing."""
        self.waited: list[int] = []

    def on_tick(self, tick: tickrail.Tick) -> None:
        """Look at the same counter."""
        self.waited.append(time.perf_counter_ns() - tick.ts_event)


def filled(fill: Callable[[Publisher], object]) -> float:
    """Nanoseconds of this thread for a record, where ``fill`` publishes as many as the ring has room for."""
    took = 0
    for _ in range(RUNS):
        with tickrail.open_live(Nothing(), [EURUSD]) as run:
            publisher = run.feed("feed", capacity=CAPACITY).publisher()
            start = time.thread_time_ns()
            fill(publisher)
            took += time.thread_time_ns() - start
    return took / (RUNS * CAPACITY)


def publish_one() -> float:
    """Nanoseconds of this thread for a quote into a ring that has room."""

    def fill(publisher: Publisher) -> None:
        publish, instrument = publisher.publish_quote, tickrail.InstrumentId(EURUSD)
        for _ in range(CAPACITY):
            publish(instrument, 1.0, 2.0, 1.0, 1.0)

    return filled(fill)


def publish_batches() -> float:
    """The same for a record of structured arrays."""
    records = tickrail.data.generate_ticks(BATCH, 7).numpy().copy()
    records["ts_event"] = 1  # published again and again, time must not run backwards

    def fill(publisher: Publisher) -> None:
        publish = publisher.publish
        for _ in range(CAPACITY // BATCH):
            publish(records)

    return filled(fill)


def paced(publish: Callable[[int], object], count: int) -> None:
    """Publishes ``RATE_PER_S`` stamps a second; what is late goes at once."""
    step = 1_000_000_000 // RATE_PER_S
    start = time.perf_counter_ns()
    for number in range(count):
        left = start + number * step - time.perf_counter_ns()
        if left > 0:
            time.sleep(left / 1e9)
        publish(time.perf_counter_ns())


def through_a_feed(seconds: float) -> list[int]:
    """Nanoseconds from a Python thread to ``on_tick``."""
    strategy = Lateness()
    with tickrail.open_live(strategy, [EURUSD]) as run:
        feed = run.feed("feed")
        instrument = tickrail.InstrumentId(EURUSD)

        def bring() -> None:
            with feed.publisher() as publisher:
                paced(
                    lambda stamp: publisher.publish_quote(instrument, 1.0, 2.0, 1.0, 1.0, ts_event=stamp),
                    int(RATE_PER_S * seconds),
                )

        thread = threading.Thread(target=bring)
        thread.start()
        run.seal()
        run.run()
        thread.join()
    return strategy.waited


def through_a_queue(seconds: float) -> list[int]:
    """The same through ``queue.SimpleQueue``, to a worker."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    waited: list[int] = []

    def work() -> None:
        while stamp := waiting.get():
            waited.append(time.perf_counter_ns() - stamp)

    worker = threading.Thread(target=work)
    worker.start()
    paced(waiting.put, int(RATE_PER_S * seconds))
    waiting.put(0)
    worker.join()
    return waited


def native_feed(wait: Wait, pace_ns: int, seconds: float = 0.5) -> float:
    """Median ns from a native thread's publishing to ``on_tick``: the run's own histogram, of every tick.

    Two threads that never sleep get a processor each: the system may else let them share one for some time.
    """
    count = int(seconds * 1e9) // pace_ns
    times = np.arange(1, count + 1) * pace_ns
    records = np.zeros(count, QUOTE_DTYPE)
    records["kind"], records["bid"], records["ask"], records["bid_size"], records["ask_size"] = 1, 1.0, 1.1, 1.0, 1.0
    records["ts_event"] = records["ts_init"] = times
    with tickrail.open_live(Nothing(), [EURUSD], wait=wait, sample_every=1) as run:
        feed, ticks, threads = run.feed("feed"), tickrail.TickArray.from_records(records, [EURUSD]), set(_threads())
        run.replay(feed, ticks)
        run.seal()
        with nullcontext() if wait == "park" else _apart(set(_threads()) - threads):
            run.run()
        latency = run.stats().strategies[0].latency
    assert latency is not None
    return float(latency.p50_ns)


def _threads() -> list[int]:
    return [int(task.name) for task in Path("/proc/self/task").iterdir()]


@contextmanager
def _apart(others: Iterable[int]) -> Iterator[None]:
    """This thread on the first of the processors, ``others`` on the last."""
    every = sorted(os.sched_getaffinity(0))
    for number in others:
        os.sched_setaffinity(number, every[-1:])
    os.sched_setaffinity(0, every[:1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def counting() -> float:
    """What measuring adds to a tick, at the interval that is the default."""
    ticks = clock.quotes(1_000_000)
    return statistics.median(clock.tick_ns(ticks, SAMPLE_EVERY) - clock.tick_ns(ticks, 0) for _ in range(5))


#: Calls and what they may take, in ns where a call of Python takes 33.
CALLS: tuple[tuple[str, Callable[[], float], float], ...] = (
    ("Python publish, one quote", publish_one, 120),
    (f"Python publish, batches of {BATCH:,}", publish_batches, 3),
    ("sim timer into Python", clock.timer_ns, 250),
    ("schedule + cancel", lambda: clock.schedule_ns(1), 200),
    ("schedule + cancel, a million pending", lambda: clock.schedule_ns(1_000_000), 200),
    ("counters and histograms, a tick", counting, 2),
)


def waits(rounds: int, wanted: Callable[[str], bool]) -> Iterator[Figure]:
    """How late the loop is: for records of native threads, and for timers."""
    for path, wait, pace_ns, goal in (
        ("native feed to on_tick, spinning, median", "spin_held", 25_000, 600),
        ("native feed to on_tick, parked, median", "park", 500_000, 25_000),
    ):
        if wanted(path):
            own = statistics.median(native_feed(cast("Wait", wait), pace_ns) for _ in range(rounds))
            yield Figure(path, rounds, own, goal)
    if wanted(path := "live 1 ms timer, lateness"):
        late = [clock.lateness_us(500) for _ in range(rounds)]
        for number, (part, goal) in enumerate((("p50", 100_000), ("p99", 300_000))):
            yield Figure(f"{path}, {part}", rounds, statistics.median(one[number] for one in late) * 1e3, goal)


def figures(*, quick: bool, wanted: Callable[[str], bool]) -> Iterator[Figure]:
    """Every wanted row, measured when it is asked for; the median of several rounds."""
    rounds = 3 if quick else 11
    for path, measure, goal in CALLS:
        if wanted(path):
            both = [(measure(), empty_call(100_000)) for _ in range(rounds)]
            own, base = (statistics.median(side) for side in zip(*both, strict=True))
            yield Figure(path, rounds, own, goal, base=base)
    yield from waits(rounds, wanted)
    path = "Python feed to on_tick, 20,000/s"
    if not wanted(path):
        return
    pairs = [(through_a_feed(1.0), through_a_queue(1.0)) for _ in range(rounds)]

    def middle(side: int, quantile: float) -> float:
        return statistics.median(float(np.quantile(pair[side], quantile)) for pair in pairs)

    yield Figure(f"{path}, median", rounds, middle(0, 0.5), 10_000)
    yield Figure(f"{path}, p99", rounds, middle(0, 0.99), 100_000)
    yield Figure(f"{path}, SimpleQueue's median", rounds, middle(0, 0.5), 5, middle(1, 0.5))
    yield Figure(f"{path}, SimpleQueue's p99", rounds, middle(0, 0.99), 5, middle(1, 0.99))
