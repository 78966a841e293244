"""``python -m benches.live``: what publishing from Python costs, and how long a record takes to its handler.

Each case alternates with its yardstick in one process; read the ratio. Cross-thread figures depend on where the host
has put the two processors, and on who else is there: compare within one table only.
"""

from __future__ import annotations

import argparse
import queue
import statistics
import threading
import time
from collections.abc import Callable

import numpy as np

import tickrail
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.orchestration.feeds import Publisher
from tickrail.orchestration.live import LiveRun, Wait

INSTRUMENT = "A.SIM"
BATCH = 1_024
#: Of the design: records a second of the latency case.
PACE = 20_000

Send = Callable[[int], object]
Paced = Callable[[int, Send], None]


def quotes(count: int) -> np.ndarray:
    records = np.zeros(count, QUOTE_DTYPE)
    records["kind"] = 1
    records["ts_event"] = 1  # published again and again, time must not run backwards
    records["bid"], records["ask"] = 1.0, 1.1
    records["bid_size"] = records["ask_size"] = 1.0
    return records


def publisher() -> tuple[LiveRun, Publisher]:
    """Of a run that does not take: the oldest records go."""
    run = tickrail.open_live(Stamps(), [INSTRUMENT])
    return run, run.feed("f", policy="drop_oldest").publisher()


class Stamps(tickrail.Strategy):
    """Notes how long each tick took from its publisher, whose clock is in ``sequence``."""

    def on_start(self) -> None:
        self.taken: list[int] = []

    def on_quote(self, tick: tickrail.Quote) -> None:
        self.taken.append(time.perf_counter_ns() - tick.sequence)


def one_by_one(rounds: int) -> float:
    """ns for one ``publish_quote``; nobody takes, the oldest go."""
    run, source = publisher()
    publish = source.publish_quote
    started = time.perf_counter_ns()
    for _ in range(rounds):
        publish(INSTRUMENT, 1.0, 1.1, 1.0, 1.0, ts_event=1)
    took = time.perf_counter_ns() - started
    run.request_stop()  # lives until here: its end would close the feed
    return took / rounds


def empty_call(rounds: int) -> float:
    """ns for a call of a Python function that does nothing: the base call of docs/performance.md."""

    def nothing(_: object) -> None: ...

    started = time.perf_counter_ns()
    for _ in range(rounds):
        nothing(None)
    return (time.perf_counter_ns() - started) / rounds


def queue_put(rounds: int) -> float:
    """ns for one ``SimpleQueue.put`` of a tuple: the yardstick of publishing."""
    put = queue.SimpleQueue[object]().put
    started = time.perf_counter_ns()
    for _ in range(rounds):
        put((INSTRUMENT, 1.0, 1.1, 1.0, 1.0, 1))
    return (time.perf_counter_ns() - started) / rounds


def by_batches(rounds: int) -> float:
    """ns a record, published 1,024 at a time."""
    run, source = publisher()
    records = quotes(BATCH)
    publish = source.publish
    started = time.perf_counter_ns()
    for _ in range(max(1, rounds // BATCH)):
        publish(records)
    took = time.perf_counter_ns() - started
    run.request_stop()
    return took / (max(1, rounds // BATCH) * BATCH)


def copied(rounds: int) -> float:
    """ns a record for copying as many twice: the yardstick of batches."""
    records = quotes(BATCH).view(np.uint64)  # numpy copies structures field by field
    first, second = np.empty_like(records), np.empty_like(records)
    started = time.perf_counter_ns()
    for _ in range(max(1, rounds // BATCH)):
        first[:] = records
        second[:] = first
    return (time.perf_counter_ns() - started) / (max(1, rounds // BATCH) * BATCH)


def sleeping(count: int, send: Send) -> None:
    """Send the clock ``PACE`` times a second, asleep in between: the interpreter is free."""
    started = time.perf_counter()
    for number in range(count):
        while (left := number / PACE - (time.perf_counter() - started)) > 0:
            time.sleep(left if left > 0.0002 else 0)
        send(time.perf_counter_ns())


def busy(count: int, send: Send) -> None:
    """The same, in Python in between, as a source that parses."""
    started = time.perf_counter()
    for number in range(count):
        while number / PACE > time.perf_counter() - started:
            pass
        send(time.perf_counter_ns())


def to_handler(paced: Paced, count: int, wait: Wait = "spin_then_park") -> list[int]:
    """ns from a Python thread's publish to ``on_quote``."""
    stamps = Stamps()
    run = tickrail.open_live(stamps, [INSTRUMENT], wait=wait)
    feed = run.feed("f")

    def produce() -> None:
        with feed.publisher() as source:
            paced(count, lambda now: source.publish_quote(INSTRUMENT, 1.0, 1.1, 1.0, 1.0, sequence=now))
        run.seal()

    thread = threading.Thread(target=produce)
    thread.start()
    run.run()
    thread.join()
    return stamps.taken


def to_worker(paced: Paced, count: int) -> list[int]:
    """The same through ``queue.SimpleQueue``, with the interpreter's own switch interval."""
    taken: list[int] = []
    lane: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def work() -> None:
        while (sent := lane.get()) is not None:
            taken.append(time.perf_counter_ns() - sent)

    worker = threading.Thread(target=work)
    worker.start()
    thread = threading.Thread(target=paced, args=(count, lane.put))
    thread.start()
    thread.join()
    lane.put(None)
    worker.join()
    return taken


def to_lock(paced: Paced, count: int) -> list[int]:
    """The least that two threads of Python need: a lock is released, a thread wakes and has the GIL."""
    taken: list[int] = []
    lock, sent, over = threading.Lock(), [0], threading.Event()
    lock.acquire()

    def work() -> None:
        while lock.acquire() and not over.is_set():
            taken.append(time.perf_counter_ns() - sent[0])

    def send(now: int) -> None:
        sent[0] = now
        if lock.locked():  # else the last one has not been seen yet
            lock.release()

    worker = threading.Thread(target=work)
    worker.start()
    thread = threading.Thread(target=paced, args=(count, send))
    thread.start()
    thread.join()
    over.set()
    send(0)
    worker.join()
    return taken


def compare(name: str, case: Callable[[int], float], yardstick: Callable[[int], float], rounds: int) -> None:
    """A row: medians over five rounds, the first of a round changing."""
    figures, ratios = [], []
    for number in range(6):
        pair = (case, yardstick) if number % 2 else (yardstick, case)
        ours, theirs = (found[1] for found in sorted((one is yardstick, one(rounds)) for one in pair))
        if number:  # one round before does not count
            figures.append(ours)
            ratios.append(ours / theirs)
    print(f"{name:46} {statistics.median(figures):10.1f} ns   ratio {statistics.median(ratios):.3f}")


def latency(paced: Paced, count: int) -> None:
    """Percentiles of all ways: medians over five rounds in turn."""
    ways: dict[str, Callable[[], list[int]]] = {
        "queue and worker": lambda: to_worker(paced, count),
        "bare lock": lambda: to_lock(paced, count),
        "on_quote, spin_then_park": lambda: to_handler(paced, count),
        "on_quote, spin": lambda: to_handler(paced, count, "spin"),
    }
    seen: dict[str, list[list[float]]] = {name: [] for name in ways}
    for _ in range(5):
        for name, way in ways.items():
            seen[name].append([float(figure) / 1e3 for figure in np.percentile(way(), (50, 99))])
    queue_p50, queue_p99 = np.median(seen["queue and worker"], axis=0)
    for name, figures in seen.items():
        p50, p99 = np.median(figures, axis=0)
        times = f"{queue_p50 / p50:6.1f} and {queue_p99 / p99:6.1f} times as fast as the queue"
        print(f"{PACE:,}/s, {paced.__name__} source, {name:26} p50 {p50:8.1f} us   p99 {p99:8.1f} us   {times}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.live", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    rounds = 20_000 if parser.parse_args().quick else 200_000
    compare("publish_quote, against a call", one_by_one, empty_call, rounds)
    compare("publish_quote, against SimpleQueue.put", one_by_one, queue_put, rounds)
    compare("publish of 1,024, a record, against two copies", by_batches, copied, rounds * 10)
    compare("publish of 1,024, a record, against a call", by_batches, empty_call, rounds * 10)
    latency(sleeping, rounds // 10)
    latency(busy, rounds // 10)


if __name__ == "__main__":
    main()
