"""The rows of the Python face: publishing, and what a record takes from a feed's thread to a handler."""

from __future__ import annotations

import queue
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

import tickrail
from tickrail.orchestration.feeds import Publisher

EURUSD = "EURUSD.SIM"
#: Of a ring that is as large as it is when nobody says so: what a cache holds. In larger ones memory is what costs.
CAPACITY = 8_192
RUNS = 16
BATCH = 1_024
RATE_PER_S = 20_000


@dataclass(frozen=True)
class Figure:
    """One row: a time in ns, and what is to be so many times as long; without that, the most it may be."""

    path: str
    rounds: int
    own: float
    goal: float
    by: float = 0.0


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


def figures(*, quick: bool, wanted: Callable[[str], bool]) -> Iterator[Figure]:
    """Every wanted row, measured when it is asked for; the median of several rounds."""
    rounds = 3 if quick else 11
    for name, measure, goal in (("one quote", publish_one, 120), (f"batches of {BATCH:,}", publish_batches, 3)):
        if wanted(path := f"Python publish, {name}"):
            yield Figure(path, rounds, statistics.median(measure() for _ in range(rounds)), goal)
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
