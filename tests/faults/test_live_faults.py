"""What may go wrong with live feeds: nobody hangs, and what happened can be read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import errors

sys.path.insert(0, str(Path(__file__).parent.parent / "integration"))

from live_runs import LONG_S, A, B, Keeper, in_thread, opened, quotes, run_with


def account(run: Any, feed: str = "f") -> Any:
    accounts = run.accounts()
    assert accounts.balanced, accounts
    return accounts.feeds[feed]


def test_records_that_break_a_rule_are_counted_and_keep_nobody_back() -> None:
    run, keeper = opened()
    publisher = run.feed("f").publisher()
    nan, inf = float("nan"), float("inf")
    publisher.publish_quote(A, nan, 1.0)
    publisher.publish_quote(A, 1.0, inf)
    publisher.publish_quote(A, 1.0, -inf)
    publisher.publish_quote(A, -1.0, 1.0)
    publisher.publish_quote(A, 1.0, 1.0, -1.0, 1.0)
    publisher.publish_quote(A, 1.0, 1.0, inf, 1.0)
    publisher.publish_quote(A, 1.0, 1.0, ts_event=0)
    publisher.publish_quote(A, 1.0, 1.0, ts_event=-5)
    publisher.publish_trade(A, 1.0, 0.0)
    publisher.publish_trade(A, 1.0, 1.0, "BOTH")
    publisher.publish_bar(A, 1.0, 0.5, 0.5, 1.0)
    with pytest.raises(errors.TickrailError, match="no instrument"):
        publisher.publish_quote("C.SIM", 1.0, 1.1)
    for beyond in (2**63, -(2**63) - 1):
        with pytest.raises(OverflowError):
            publisher.publish_quote(A, 1.0, 1.1, ts_event=beyond)
    publisher.publish(quotes([1], instrument=7))
    publisher.publish({"ts_event": [1], "bid": [1.0], "ask": [1.0], "instrument": ["C.SIM"]})
    publisher.publish(tickrail.TickArray.from_records(quotes([1]), ["C.SIM"]))
    publisher.publish_quote(A, 1.2, 1.1, sequence=9)
    publisher.close()
    run.seal()
    run.run()
    assert keeper.sequences() == [9]
    counted = account(run)
    assert counted.invalid == {
        "price_not_finite": 3,
        "negative_price": 1,
        "bad_size": 2,
        "time_not_positive": 2,
        "zero_size_trade": 1,
        "unknown_side": 1,
        "bar_prices": 1,
        "no_instrument": 4,
    }
    assert (counted.offered, counted.rejected, counted.taken, counted.crossed) == (16, 15, 1, 1)


@pytest.mark.parametrize(
    ("backwards", "arrive", "passed", "rejected"),
    [("pass", [1, 5, 3, 5, 9], 1, 0), ("reject", [1, 5, 5, 9], 0, 1), ("reorder", [1, 3, 5, 5, 9], 1, 0)],
)
def test_times_out_of_order_and_equal_ones(backwards: Any, arrive: list[int], passed: int, rejected: int) -> None:
    run, keeper = opened()
    publisher = run.feed("f", backwards=backwards, reorder_ns=4).publisher()
    for number in (1, 5, 3, 5, 9):
        publisher.publish_quote(A, 1.0, 1.1, ts_event=number, sequence=number)
    publisher.close()
    run.seal()
    run.run()
    assert keeper.sequences() == arrive
    counted = account(run)
    assert (counted.backwards, counted.invalid.get("key_backwards", 0)) == (passed, rejected)


@pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest", "conflate"])
def test_an_overload_is_accounted_for_exactly_by_lossy_policies(policy: Any) -> None:
    run, keeper = opened()
    feed = run.feed("f", policy=policy, capacity=64)

    def flood(number: int) -> None:
        with feed.publisher() as publisher:
            for start in range(0, 20_000, 500):
                publisher.publish(quotes(range(start, start + 500), number))

    run_with(run, lambda: flood(0), lambda: flood(1))
    counted = account(run)
    assert (counted.offered, counted.rejected) == (40_000, 0)
    assert counted.taken == len(keeper.seen)
    assert counted.taken + counted.dropped_newest + counted.dropped_oldest + counted.conflated == 40_000
    for instrument in (A, B):
        numbers = keeper.sequences(instrument)
        assert numbers == sorted(set(numbers))
    if policy != "drop_newest":
        assert keeper.sequences(A)[-1] == keeper.sequences(B)[-1] == 19_999, "the latest is what matters"


def test_a_handler_that_raises_stops_its_strategy_and_no_feed() -> None:
    class Fails(tickrail.Strategy):
        def on_tick(self, tick: tickrail.Tick) -> None:
            if tick.sequence == 100:
                raise ValueError("on purpose")

    keeper = Keeper()
    run = tickrail.open_live([Fails(), keeper], [A, B])
    feed = run.feed("f", capacity=16, timeout_s=LONG_S)

    def produce() -> None:
        with feed.publisher() as publisher:
            publisher.publish(quotes(range(1_000)))

    result = run_with(run, produce)
    assert keeper.sequences() == list(range(1_000))
    assert [error.type for error in result.errors] == ["ValueError"]
    assert result.errors[0].tick.sequence == 100  # type: ignore[union-attr]
    assert account(run).taken == 1_000


def test_a_publisher_that_is_dropped_ends_its_stream_and_a_feed_that_hangs_is_told() -> None:
    class Ends(Keeper):
        def on_stale(self, tick: tickrail.Tick) -> None:
            self.on_tick(tick)
            run.request_stop()

    run, keeper = opened(Ends())
    dropped = run.feed("dropped").publisher()
    dropped.publish(quotes([1, 2]))
    del dropped
    hangs = run.feed("hangs", stale_after_ns=20_000_000).publisher()
    hangs.publish(quotes([3], instrument=1))
    run.seal()
    assert run.run().status == "stopped"
    assert [kind for kind, _, _ in keeper.seen] == ["QUOTE", "QUOTE", "QUOTE", "STALE"]
    assert account(run, "dropped").publishers == 0
    assert account(run, "hangs").stale == 1


def test_a_handler_that_would_wait_for_itself_is_told_at_once() -> None:
    caught: list[BaseException] = []

    class Floods(tickrail.Strategy):
        def on_tick(self, tick: tickrail.Tick) -> None:
            if caught:
                return  # what it brought itself arrives as the run is wound down
            try:
                own.publish(quotes(range(100)))
            except errors.WouldDeadlock as error:
                caught.append(error)
            run.request_stop()

    run = tickrail.open_live(Floods(), [A, B])
    own = run.feed("own", capacity=8, timeout_s=LONG_S).publisher()
    other = run.feed("f").publisher()
    other.publish(quotes([1]))
    assert run.run().status == "stopped"
    assert len(caught) == 1
    assert "8 of 100" in str(caught[0])
    assert account(run, "own").refused == 92


def test_a_publisher_that_is_never_closed_does_not_keep_a_closed_run() -> None:
    run, keeper = opened()
    forgotten = run.feed("f").publisher()
    forgotten.publish(quotes(range(10)))
    run.close()
    assert run.run().status == "complete"
    assert keeper.sequences() == list(range(10))
    with pytest.raises(errors.FeedClosed):
        forgotten.publish(quotes([11]))
    assert account(run).refused == 1


@pytest.mark.slow
def test_five_hundred_producers_are_taken_from_in_turn() -> None:
    run, keeper = opened()
    feed = run.feed("f", capacity=8, timeout_s=LONG_S)
    ready = threading.Barrier(501)

    def produce(number: int) -> None:
        with feed.publisher() as publisher:
            ready.wait(LONG_S)
            publisher.publish(quotes(range(number * 20, number * 20 + 20)))

    joins = [in_thread(lambda number=number: produce(number)) for number in range(500)]

    def end() -> None:
        ready.wait(LONG_S)
        run.seal()

    ended = in_thread(end)
    run.run()
    for join in (*joins, ended):
        join()
    assert sorted(keeper.sequences()) == list(range(10_000))
    for number in range(500):
        mine = [one for one in keeper.sequences() if one // 20 == number]
        assert mine == sorted(mine)


def test_more_publishers_than_a_run_takes_are_refused() -> None:
    run, _ = opened()
    feed = run.feed("f", capacity=2)
    kept = [feed.publisher() for _ in range(1_024)]
    with pytest.raises(errors.FeedError, match="1024"):
        feed.publisher()
    del kept
    run.close()
    assert run.run().status == "complete"


def test_an_array_that_another_thread_writes_to_is_copied_before_it_is_looked_at() -> None:
    batch = quotes(range(5_000))
    over = threading.Event()

    def flip() -> None:
        while not over.is_set():
            batch["bid"] = np.where(batch["bid"] > 0, -1.0, 1.0)

    class Checks(tickrail.Strategy):
        def on_quote(self, tick: tickrail.Quote) -> None:
            assert tick.bid > 0, "what is let in is what was looked at"

    run = tickrail.open_live(Checks(), [A, B])
    feed = run.feed("f", policy="drop_oldest", capacity=1_024)

    def produce() -> None:
        with feed.publisher() as publisher:
            for _ in range(20):
                publisher.publish(batch)
        over.set()

    result = run_with(run, flip, produce)
    assert result.errors == ()
    account(run)


CHILD = """
import os, signal, sys, threading, time
sys.path.insert(0, {integration!r})
from live_runs import *
"""


def child(body: str, timeout: float = 90.0) -> subprocess.CompletedProcess[str]:
    integration = str(Path(__file__).parent.parent / "integration")
    text = CHILD.format(integration=integration) + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", text], capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.mark.slow
def test_a_forked_child_is_told_and_its_parent_goes_on() -> None:
    done = child(
        """
        import warnings
        from tickrail import errors
        warnings.simplefilter("ignore")
        run, keeper = opened()
        feed = run.feed("f")
        publisher = feed.publisher()
        publisher.publish(quotes([1]))
        pid = os.fork()
        if pid == 0:
            code = 0
            for call in (lambda: publisher.publish_quote(A, 1.0, 1.1), feed.publisher, run.run):
                try:
                    call()
                except errors.ForkedProcess:
                    code += 1
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
        publisher.publish(quotes([2]))
        publisher.close()
        run.seal()
        run.run()
        print(keeper.sequences())
        """
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[1, 2]"), done.stderr


@pytest.mark.slow
def test_a_signal_storm_delays_and_loses_nothing() -> None:
    done = child(
        """
        storms = 0
        def count(number, frame):
            global storms
            storms += 1
        signal.signal(signal.SIGUSR1, count)
        run, keeper = opened()
        feed = run.feed("f", capacity=64, timeout_s=LONG_S)
        over = threading.Event()
        def storm():
            while not over.is_set():
                os.kill(os.getpid(), signal.SIGUSR1)
                time.sleep(0.0001)
        def produce():
            with feed.publisher() as publisher:
                for start in range(0, 4_000, 20):
                    publisher.publish(quotes(range(start, start + 20)))
                    time.sleep(0.001)
            over.set()
        result = run_with(run, produce, storm)
        assert keeper.sequences() == list(range(4_000))
        assert run.accounts().balanced
        print(result.status, storms > 100)
        """
    )
    assert (done.returncode, done.stdout.strip()) == (0, "complete True"), done.stderr


@pytest.mark.slow
def test_ctrl_c_ends_a_run_that_waits_and_the_result_is_there() -> None:
    done = child(
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run, keeper = opened()
        publisher = run.feed("f").publisher()
        publisher.publish(quotes([1]))
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        result = run.run()
        print(result.status, keeper.sequences())
        """
    )
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted [1]"), done.stderr


@pytest.mark.slow
def test_a_process_that_was_stopped_goes_on_with_its_feeds_stale() -> None:
    integration = str(Path(__file__).parent.parent / "integration")
    body = """
        class Told(Keeper):
            def on_stale(self, tick):
                self.on_tick(tick)
                publisher.publish(quotes([2]))
                publisher.close()
        run, told = opened(Told())
        publisher = run.feed("f", stale_after_ns=1_500_000_000).publisher()
        publisher.publish(quotes([1]))
        run.seal()
        print("ready", flush=True)
        begun = time.monotonic()
        run.run()
        print([kind for kind, _, _ in told.seen], time.monotonic() - begun >= 1.5)
    """
    text = CHILD.format(integration=integration) + textwrap.dedent(body)
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(2.0)
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.readline() == "['QUOTE', 'STALE', 'QUOTE'] True\n"
        assert process.wait(LONG_S) == 0
