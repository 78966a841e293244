"""Live runs for the tests beside it: a strategy that keeps what it sees, and threads that publish."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

import tickrail
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.orchestration.live import LiveRun

A, B = "A.SIM", "B.SIM"
#: Long enough for a machine on which everything else runs as well.
LONG_S = 60.0


class Keeper(tickrail.Strategy):
    """Keeps (kind, instrument, sequence) of every tick."""

    def on_start(self) -> None:
        self.seen: list[tuple[str, str, int]] = []

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.seen.append((tick.kind, str(tick.instrument), tick.sequence))

    def sequences(self, instrument: str | None = None) -> list[int]:
        return [number for _, name, number in self.seen if instrument in (None, name)]


def opened(strategy: tickrail.Strategy | None = None, **settings: Any) -> tuple[LiveRun, Any]:
    strategy = strategy or Keeper()
    return tickrail.open_live(strategy, [A, B], **settings), strategy


def quotes(numbers: Iterable[int], instrument: int = 0) -> npt.NDArray[np.void]:
    """Good quotes with these numbers as sequence and (plus one) as time."""
    sequence = np.fromiter(numbers, np.int64)
    records = np.zeros(len(sequence), QUOTE_DTYPE)
    records["kind"] = 1
    records["ts_event"] = records["ts_init"] = sequence + 1
    records["sequence"] = sequence
    records["instrument"] = instrument
    records["bid"] = 1.0 + sequence % 100
    records["ask"] = records["bid"] + 0.5
    records["bid_size"] = records["ask_size"] = 1.0
    return records


def in_thread(target: Callable[[], object]) -> Callable[[], None]:
    """Start ``target``; the answer joins it and raises what it raised."""
    failures: list[BaseException] = []

    def body() -> None:
        try:
            target()
        except BaseException as error:  # whatever it is, the test that joins has to see it
            failures.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()

    def join() -> None:
        thread.join(LONG_S)
        assert not thread.is_alive(), "the thread hangs"
        if failures:
            raise failures[0]

    return join


def wait_until(
    condition: Callable[[], object], said: Callable[[], object] = lambda: "it does not come to that"
) -> None:
    """Until the condition holds; ``said`` is what the test fails with if it never does."""
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.001)


def publish_until(
    run: Any,
    condition: Callable[[], object],
    *,
    instrument: str,
    feed: str = "quotes",
    meanwhile: Callable[[], object] = lambda: None,
    most: int = 10**9,
    said: Callable[[], object] = lambda: "it does not come to that",
) -> tickrail.Result:
    """Run on this thread while another publishes quotes, at most so many, until the condition holds; that ends the run.

    ``run`` is a live run or a runtime, which the caller closes; ``meanwhile`` is called after each quote.
    """
    opened_feed, is_open = run.feed(feed), threading.Event()

    def publish() -> None:
        left = iter(range(most))
        with opened_feed.publisher() as publisher:
            is_open.set()

            def holds() -> bool:
                if condition():
                    return True
                if next(left, None) is not None:
                    publisher.publish_quote(instrument, 9.9, 10.1)
                meanwhile()
                return False

            wait_until(holds, said)

    publishing = in_thread(publish)
    assert is_open.wait(LONG_S), "a run that is sealed without a publisher ends at once"
    run.seal()
    result: tickrail.Result = run.run()
    publishing()
    return result


def run_with(run: LiveRun, *producers: Callable[[], object]) -> tickrail.Result:
    """Run on this thread while ``producers`` publish on theirs; the run ends with them."""
    joins = [in_thread(producer) for producer in producers]

    def end() -> None:
        try:
            for join in joins:
                join()
        finally:
            run.seal()
            run.close()

    ended = in_thread(end)
    result = run.run()
    ended()
    return result
