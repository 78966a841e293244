"""Live runs that are pulled: every tick in order, orders, waiting, the end by feeds, break, stop and Ctrl-C."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import pytest
from live_runs import LONG_S, A, Keeper, in_thread, quotes

import tickrail
from tickrail import errors
from tickrail.errors import IllegalTransition


def opened(strategies: Any = None) -> tuple[Any, Any]:
    run = tickrail.open_live({} if strategies is None else strategies, [A])
    return run, run.feed("quotes", timeout_s=LONG_S)


def test_it_waits_for_ticks_and_has_all_of_them_in_order() -> None:
    keeper = Keeper()
    run, feed = opened(keeper)

    def produce() -> None:
        with feed.publisher() as publisher:
            for first in range(0, 1_000, 100):
                publisher.publish(quotes(range(first, first + 100)))
                time.sleep(0.01)
        run.seal()

    before = sys.getswitchinterval()
    with run.pull() as pulled:
        assert sys.getswitchinterval() < before
        joined = in_thread(produce)
        seen = [tick.sequence for tick in pulled]
        joined()
    assert sys.getswitchinterval() == before
    assert seen == list(range(1_000)) == keeper.sequences()
    assert (pulled.result.status, pulled.result.ticks) == ("complete", 1_000)
    assert run.accounts().strategies["pull"].delivered == 1_000


def test_its_orders_match_from_the_next_tick_on() -> None:
    run, feed = opened()
    with feed.publisher() as publisher:
        publisher.publish(quotes(range(10)))
    run.seal()
    with run.pull() as pulled:
        for tick in pulled:
            if tick.sequence == 3:
                pulled.buy(tick.instrument, 1.0)
    assert pulled.result.fills["price"].tolist() == [1.0 + 4 + 0.5]


def test_a_break_ends_it_and_tells_who_publishes() -> None:
    run, feed = opened()
    ended: list[BaseException] = []

    def produce() -> None:
        with feed.publisher() as publisher:
            try:
                while True:
                    publisher.publish(quotes(range(10)))
                    time.sleep(0.001)
            except errors.FeedClosed as error:
                ended.append(error)

    joined = in_thread(produce)
    with run.pull() as pulled:
        for count, _ in enumerate(pulled):
            if count == 25:
                break
    joined()
    assert len(ended) == 1
    assert pulled.result.status == "stopped"


def test_a_stop_from_another_thread_ends_the_wait() -> None:
    run, _ = opened()
    with run.pull() as pulled:
        threading.Timer(0.2, run.request_stop).start()
        began = time.monotonic()
        assert list(pulled) == []
    assert time.monotonic() - began < 10
    assert pulled.result.status == "stopped"


def test_a_run_is_recorded_once() -> None:
    """A second recorder would be a recording of nothing, found out when the run is over."""
    run, feed = opened(Keeper())
    recorder = run.record()
    with pytest.raises(IllegalTransition, match="the run is recorded already") as caught:
        run.record()
    assert (caught.value.state, caught.value.operation) == ("recorded", "record")
    with feed.publisher() as publisher:
        publisher.publish(quotes(range(5)))
    run.seal()
    run.run()
    assert len(recorder.finish()) == 5, "nothing has happened to the first"


def test_nobody_drives_a_live_clock_and_nobody_joins_late() -> None:
    run, _ = opened()
    with run.pull() as pulled, pytest.raises(RuntimeError, match="for simulations"):
        next(iter(pulled.until("2030-01-01")))
    late, _ = opened()
    late.record()
    with pytest.raises(IllegalTransition, match="the run has begun, or record") as caught:
        late.pull()
    assert (caught.value.state, caught.value.operation) == ("begun", "add")
    twice, _ = opened()
    twice.pull()
    with pytest.raises(IllegalTransition, match="a run is pulled once"):
        twice.pull()
