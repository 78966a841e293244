"""The end of a live run that is stopped: what was published arrives, orders and positions end by their rule."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from live_runs import LONG_S, A, B, in_thread, quotes, wait_until

import tickrail
from tickrail.domain.ending import Ending, EndLimits
from tickrail.domain.venue_terms import VenueTerms
from tickrail.errors import FeedClosed
from tickrail.orchestration.feeds import Feed
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.report.shutdown import ShutdownReport

MS = 1_000_000


class Holder(tickrail.Strategy):
    """Buys one unit at its first tick, has an order wait, and keeps what it hears."""

    slow_s: float = 0.0

    def on_start(self) -> None:
        self.seen: list[int] = []
        self.heard: list[tuple[str, str]] = []
        self.position_at_stop = 0.0

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.seen.append(tick.sequence)
        if len(self.seen) == 1:
            self.buy(A, 1.0)
            self.buy(A, 1.0, limit=0.25)
        if self.slow_s:
            time.sleep(self.slow_s)

    def on_order_update(self, update: tickrail.OrderUpdate) -> None:
        self.heard.append((update.status, str(update.reason)))

    def on_stop(self) -> None:
        self.heard.append(("on_stop", ""))
        self.position_at_stop = self.position(A)


class Live:
    """A live run whose feed goes on until it is closed."""

    def __init__(self, strategy: Holder, ending: Ending, *, limits: EndLimits, latency_ns: int = 0) -> None:
        terms = VenueTerms(order_latency_ns=latency_ns)
        self.dispatcher = TickDispatcher([{"id": A}, {"id": B}], live="park", venues={"SIM": terms}, end_limits=limits)
        self.strategy = strategy
        self.dispatcher.register(strategy, "holder", ending=ending)
        self.feed: Feed = self.dispatcher.live_feed("feed")
        self.published = 0

    def publish_until_closed(self, pause_s: float = 0.002) -> None:
        publisher = self.feed.publisher()
        number = 0
        try:
            while True:
                publisher.publish(quotes([number]))
                number += 1
                time.sleep(pause_s)
        except FeedClosed:
            self.published = number

    def run(self, stop_when: Callable[[Holder], bool]) -> tuple[tickrail.Result, float]:
        publishing = in_thread(self.publish_until_closed)
        stopped: list[float] = []

        def stop() -> None:
            deadline = time.monotonic() + LONG_S
            while not stop_when(self.strategy) and not self.dispatcher.ended and time.monotonic() < deadline:
                time.sleep(0.002)
            stopped.append(time.monotonic())
            self.dispatcher.request_stop()

        stopping = in_thread(stop)
        status = self.dispatcher.run()
        took_s = time.monotonic() - min([*stopped, time.monotonic()])
        stopping()
        publishing()
        assert status == "stopped"
        return self.dispatcher.result(), took_s


def filled(strategy: Holder) -> bool:
    return any(status == "FILLED" for status, _ in getattr(strategy, "heard", ()))


SHORT = EndLimits(drain_ns=500 * MS, orders_ns=500 * MS)
LONG = EndLimits(drain_ns=30_000 * MS, orders_ns=30_000 * MS)


def test_orders_are_taken_back_and_their_ends_awaited_before_on_stop() -> None:
    live = Live(Holder(), Ending(), limits=LONG, latency_ns=50 * MS)
    result, took_s = live.run(filled)
    assert live.strategy.heard[-2:] == [("CANCELED", "asked for"), ("on_stop", "")]
    assert took_s < 20
    report = ShutdownReport.of(result)
    assert report.outcome == "drained"
    assert [step.name for step in report.steps] == ["drain", "orders", "on_stop"]
    assert report.standing == {"holder": {"state": "STOPPED", "open_orders": 0, "positions": {A: 1.0}}}


def test_orders_that_are_left_stay() -> None:
    live = Live(Holder(), Ending(orders="leave"), limits=LONG)
    result, _ = live.run(filled)
    assert "CANCELED" not in [status for status, _ in live.strategy.heard]
    assert ShutdownReport.of(result).standing["holder"]["open_orders"] == 1
    assert ShutdownReport.of(result).outcome == "drained"


def test_a_position_is_closed_beside_orders_that_are_left() -> None:
    class Guards(Holder):
        def on_order_update(self, update: tickrail.OrderUpdate) -> None:
            super().on_order_update(update)
            if update.status == "FILLED" and len(self.heard) < 4:
                self.sell(A, 1.0, limit=99.0)

    live = Live(Guards(), Ending(orders="leave", positions="close"), limits=LONG)
    result, _ = live.run(lambda strategy: len(getattr(strategy, "heard", ())) > 3)
    standing = ShutdownReport.of(result).standing["holder"]
    assert (standing["positions"], standing["open_orders"]) == ({}, 2), live.strategy.heard


def test_positions_are_closed_while_ticks_flow_on_to_the_venue_alone() -> None:
    live = Live(Holder(), Ending(positions="close"), limits=LONG, latency_ns=20 * MS)
    result, _ = live.run(filled)
    assert live.strategy.position_at_stop == 0.0
    assert [status for status, _ in live.strategy.heard][-2:] == ["FILLED", "on_stop"]
    account = result.strategy("holder").accounts
    assert account["skipped"] > 0, "ticks flowed on, and it had none of them"
    assert account["published"] == account["delivered"] + account["skipped"] + account["pending"]
    assert ShutdownReport.of(result).standing["holder"]["positions"] == {}


def test_an_answer_that_never_comes_is_told_as_abandoned_and_keeps_nobody() -> None:
    hour_ns = 3_600_000 * MS
    live = Live(Holder(), Ending(), limits=SHORT, latency_ns=hour_ns)
    result, took_s = live.run(lambda strategy: bool(getattr(strategy, "seen", ())))
    assert took_s < 10
    abandoned = ShutdownReport.of(result).abandoned
    assert re.match(r"orders: its time was over after [0-9.]+ s", abandoned[0]), abandoned
    assert abandoned[1:] == (
        "strategy holder: order 1 of A.SIM is still open",
        "strategy holder: order 2 of A.SIM is still open",
    )
    assert live.strategy.heard[-1] == ("on_stop", ""), "its hook runs all the same"


@pytest.mark.slow
def test_what_was_published_arrives_or_is_counted() -> None:
    live = Live(Holder(slow_s=0.002), Ending(), limits=LONG)
    publisher = live.feed.publisher()
    publisher.publish(quotes(range(1_000, 1_500)))
    publisher.close()
    result, _ = live.run(lambda strategy: bool(getattr(strategy, "seen", ())))
    assert set(range(1_000, 1_500)) <= set(live.strategy.seen)
    accounts = live.dispatcher.accounts()
    assert accounts.feeds["feed"].pending == 0
    assert result.strategy("holder").delivered == len(live.strategy.seen)


def test_a_slow_strategy_does_not_keep_the_end_and_what_is_left_is_counted() -> None:
    live = Live(Holder(slow_s=0.05), Ending(), limits=SHORT)
    publisher = live.feed.publisher()
    publisher.publish(quotes(range(1_000, 1_500)))
    publisher.close()
    result, took_s = live.run(lambda strategy: bool(getattr(strategy, "seen", ())))
    assert took_s < 10
    assert any(what.startswith("drain: its time was over") for what in ShutdownReport.of(result).abandoned)
    feed = live.dispatcher.accounts().feeds["feed"]
    account = result.strategy("holder").accounts
    assert feed.published == account["published"] + feed.pending or account["pending"] > 0


@pytest.mark.parametrize("slow_s", [0.0, 0.05])
def test_a_stop_closes_the_intake_after_the_present_step_and_refuses_who_waits(slow_s: float) -> None:
    """``python -m benches.commands --only intake`` measures it: under 1 ms; here others want the processors too."""
    strategy = Holder(slow_s=slow_s)
    run = TickDispatcher([{"id": A}, {"id": B}], live="park", end_limits=LONG)
    run.register(strategy, "holder")
    feed = run.live_feed("feed", capacity=4, timeout_s=LONG_S)
    refused: list[float] = []

    def publish(number: int) -> None:
        with feed.publisher() as publisher:
            try:
                while True:
                    publisher.publish(quotes([number]))
            except FeedClosed:
                refused.append(time.monotonic())

    running = in_thread(run.run)
    publishing = [in_thread(partial(publish, number)) for number in range(4)]
    wait_until(lambda: len(getattr(strategy, "seen", ())) > 2)
    asked = time.monotonic()
    run.request_stop()
    for join in publishing:
        join()
    assert max(refused) - asked < slow_s + 1.0, "a step and slack, where waiting for room would take a minute"
    running()
    assert run.accounts().feeds["feed"].pending == 0
    with pytest.raises(FeedClosed):
        feed.publisher()


def test_eight_threads_stop_it_at_once_and_it_ends_once() -> None:
    live = Live(Holder(), Ending(), limits=LONG)
    threads: list[threading.Thread] = []

    def storm(strategy: Holder) -> bool:
        if not filled(strategy):
            return False
        threads.extend(threading.Thread(target=live.dispatcher.request_stop) for _ in range(8))
        for thread in threads:
            thread.start()
        return True

    result, _ = live.run(storm)
    for thread in threads:
        thread.join(LONG_S)
    assert [status for status, _ in live.strategy.heard].count("on_stop") == 1
    assert [change.after for change in result.changes].count("STOPPED") == 1


def test_a_recorded_end_is_the_same_in_a_rerun() -> None:
    live = Live(Holder(), Ending(), limits=LONG)
    recording = bytearray()
    live.dispatcher.record_commands(recording.extend)
    ticks = live.dispatcher.record(65_536, 1 << 20)
    result, _ = live.run(filled)
    again = TickDispatcher([{"id": A}, {"id": B}], venues={"SIM": VenueTerms()})
    again.register(Holder(), "holder")
    again.replay(ticks.finish())
    assert again.replay_commands(bytes(recording)) == 1
    again.run()
    first: Any = result
    assert again.result().digest == first.digest


def test_a_source_that_is_gone_for_good_ends_the_run_in_order_and_is_its_reason() -> None:
    live = Live(Holder(), Ending(), limits=LONG)
    other = live.dispatcher.live_feed("other")

    def fails(strategy: Holder) -> bool:
        if filled(strategy):
            other.fail(LookupError("access was withdrawn"))
            other.fail(LookupError("and so it goes on"))
            with pytest.raises(FeedClosed):
                other.publisher()
        return filled(strategy)

    result, _ = live.run(fails)
    assert (result.status, result.ok) == ("failed", False)
    assert result.stop_reason == "feed 'other' has failed: LookupError: access was withdrawn"
    assert live.strategy.heard[-2:] == [("CANCELED", "asked for"), ("on_stop", "")]
    report = ShutdownReport.of(result)
    assert (report.outcome, report.cause) == ("drained", result.stop_reason)
    assert report.lines()[0] == f"cause: {result.stop_reason}"
    assert result.strategy("holder").delivered == live.published


def test_ctrl_c_in_a_handler_ends_it_as_a_stop_does() -> None:
    class Interrupting(Holder):
        def on_tick(self, tick: tickrail.Tick) -> None:
            super().on_tick(tick)
            if len(self.seen) == 20:
                raise KeyboardInterrupt

    live = Live(Interrupting(), Ending(), limits=LONG)
    publishing = in_thread(live.publish_until_closed)
    assert live.dispatcher.run() == "interrupted"
    publishing()
    assert ("CANCELED", "asked for") in live.strategy.heard
    assert live.strategy.heard[-1] == ("on_stop", "")


@pytest.mark.parametrize("how", ["in a handler", "in on_stop"])
def test_a_stop_from_within_is_queued(how: str) -> None:
    class Stopping(Holder):
        def on_tick(self, tick: tickrail.Tick) -> None:
            super().on_tick(tick)
            if len(self.seen) == 20 and how == "in a handler":
                live.dispatcher.request_stop()
                self.buy(A, 1.0)

        def on_stop(self) -> None:
            live.dispatcher.request_stop()
            super().on_stop()

    live = Live(Stopping(), Ending(), limits=LONG)
    result, _ = live.run((lambda strategy: False) if how == "in a handler" else filled)
    assert live.strategy.heard[-1] == ("on_stop", "")
    assert result.ok
