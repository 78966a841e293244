"""A thread that publishes and goes on in Python lets the loop have the interpreter for what it published."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

import pytest

import tickrail

INSTRUMENT = "EURUSD.SIM"
RECORDS = 40


@pytest.fixture(autouse=True)
def _no_turns() -> Iterator[None]:
    """The interpreter by itself would give the loop a turn every 0.1 s."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.1)
    yield
    sys.setswitchinterval(before)


class Sees(tickrail.Strategy):
    started: threading.Event

    def on_start(self) -> None:
        self.seen = 0
        self.started.set()

    def on_quote(self, tick: tickrail.Quote) -> None:
        self.seen += 1


def busy(seconds: float) -> None:
    """Holds the GIL, as parsing does."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def watched(publish: str) -> list[int]:
    """How much had been handled after each record, with a publisher that is busy between them."""
    strategy, seen = Sees(started=threading.Event()), []
    run = tickrail.open_live(strategy, [INSTRUMENT])
    feed = run.feed("f")
    record = tickrail.data.generate_ticks(1, 7, instruments=[INSTRUMENT])

    def produce() -> None:
        strategy.started.wait(30)
        time.sleep(0.01)  # the loop comes to wait
        with feed.publisher() as publisher:
            for number in range(1, RECORDS + 1):
                if publish == "one":
                    publisher.publish_quote(INSTRUMENT, 1.0, 1.1, ts_event=number)
                else:
                    publisher.publish(record)
                seen.append(strategy.seen)
                busy(0.002)
        run.seal()

    thread = threading.Thread(target=produce)
    thread.start()
    assert run.run().ok
    thread.join()
    assert strategy.seen == RECORDS
    return seen


@pytest.mark.parametrize("publish", ["one", "batch"])
def test_records_are_handled_before_a_busy_publisher_goes_on(publish: str) -> None:
    seen = watched(publish)
    # The loop may be late for some, on a loaded machine; without the hand-over it is for all of them.
    assert sum(after >= number for number, after in enumerate(seen, 1)) > RECORDS // 2, seen


def test_a_publisher_whose_records_are_refused_does_not_wait_for_the_loop() -> None:
    strategy = Sees(started=threading.Event())
    run = tickrail.open_live(strategy, [INSTRUMENT])
    feed = run.feed("f")
    took: list[float] = []

    def produce() -> None:
        strategy.started.wait(30)
        time.sleep(0.01)  # the loop comes to wait
        with feed.publisher() as publisher:
            publisher.publish_quote(INSTRUMENT, 1.0, 1.1, ts_event=1)
            time.sleep(0.01)
            begun = time.perf_counter()
            for _ in range(1_000):
                publisher.publish_quote(INSTRUMENT, float("nan"), 1.1, ts_event=2)
            took.append(time.perf_counter() - begun)
        run.seal()

    thread = threading.Thread(target=produce)
    thread.start()
    assert run.run().ok
    thread.join()
    assert strategy.seen == 1
    assert took[0] < 0.15, "a wait of 200 us each is 200 ms"
