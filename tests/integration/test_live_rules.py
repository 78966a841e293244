"""Live runs whose strategies are slow or ask for coroutines: lag, losses, watermarks, rates and results."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from tickrail import QUOTE_DTYPE, SpawnResult, Strategy, Tick, errors
from tickrail.orchestration.live import LiveRun, open_live
from tickrail.report.accounts import Accounts

EURUSD = "EURUSD.SIM"
PATIENCE_S = 60.0


def quotes(start: int, count: int) -> Any:
    records = np.zeros(count, QUOTE_DTYPE)
    records["ts_event"] = np.arange(start + 1, start + count + 1)
    records["sequence"] = np.arange(start, start + count)
    records["kind"] = 1
    records["bid"] = records["ask"] = 1.0
    records["bid_size"] = records["ask_size"] = 1.0
    return records


class Slow(Strategy):
    """Waits in its first tick until it is let go, so that what is published meanwhile waits too."""

    entered: threading.Event
    release: threading.Event

    def on_start(self) -> None:
        self.seen: list[int] = []
        self.events: list[Any] = []

    def on_tick(self, tick: Tick) -> None:
        self.seen.append(tick.sequence)
        if len(self.seen) == 1:
            self.entered.set()
            assert self.release.wait(PATIENCE_S)

    def on_event(self, event: Any) -> None:
        self.events.append(event)


def overload(run: LiveRun, slow: Slow, count: int, **settings: Any) -> tuple[Any, list[Any]]:
    """Publishes one quote, and ``count`` more while the strategy is in its handler."""
    hooked: list[Any] = []
    feed = run.feed("feed", on_event=hooked.append, **settings)

    def publish() -> None:
        with feed.publisher() as publisher:
            publisher.publish(quotes(0, 1))
            assert slow.entered.wait(PATIENCE_S)
            publisher.publish(quotes(1, count))
            slow.release.set()
        run.seal()

    thread = threading.Thread(target=publish)
    thread.start()
    result = run.run()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    return result, hooked


def slow() -> Slow:
    return Slow(entered=threading.Event(), release=threading.Event())


def balanced(accounts: Accounts) -> Accounts:
    assert accounts.balanced, accounts
    return accounts


def test_a_slow_strategy_goes_on_with_the_newest_record() -> None:
    strategy = slow()
    run = open_live(strategy, [EURUSD], max_lag_records=10)
    result, _ = overload(run, strategy, 500)
    assert result.ok, result.errors
    assert strategy.seen == [0, 500]
    account = balanced(run.accounts()).strategies["Slow"]
    assert (account.published, account.delivered, account.max_lag) == (501, 2, 499)
    (episode,) = strategy.events
    assert (episode.skipped, episode.conflated) == (499, 0)
    assert episode.from_ns <= episode.until_ns


def test_a_slow_strategy_gets_the_latest_of_each_instrument() -> None:
    strategy = slow()
    run = open_live(strategy, [EURUSD], max_lag_ns=1_000_000, when_lagging="conflate", slice_ticks=64)
    result, _ = overload(run, strategy, 500)
    assert result.ok, result.errors
    assert strategy.seen[0] == 0
    assert strategy.seen[-1] == 500
    account = balanced(run.accounts()).strategies["Slow"]
    assert account.delivered + account.conflated == 501
    assert account.delivered == len(strategy.seen)


def test_a_strategy_that_must_not_lag_fails_with_a_name() -> None:
    strategy = slow()
    run = open_live(strategy, [EURUSD], max_lag_records=10, when_lagging="fail")
    result, _ = overload(run, strategy, 500)
    (error,) = result.errors
    assert isinstance(error.exception, errors.LagExceeded)
    assert error.handler == "max_lag"
    account = balanced(run.accounts()).strategies["Slow"]
    assert (account.state, account.delivered, account.failed) == ("FAILED", 1, 500)


def test_a_loss_and_the_watermarks_are_told_once_each_to_the_strategy_and_the_hook() -> None:
    strategy = slow()
    run = open_live(strategy, [EURUSD], slice_ticks=8)
    result, hooked = overload(run, strategy, 500, policy="drop_newest", capacity=64, high_watermark=48, low_watermark=8)
    assert result.ok, result.errors
    assert [event.kind for event in strategy.events] == ["high_watermark", "low_watermark", "lossy"]
    assert [event.kind for event in hooked] == ["high_watermark", "low_watermark", "lossy"]
    high, low, lossy = strategy.events
    assert (high.feed, low.feed, lossy.feed) == ("feed", "feed", "feed")
    assert high.waiting >= 48
    assert low.waiting <= 8
    account = balanced(run.accounts()).feeds["feed"]
    assert lossy.dropped_newest == account.dropped_newest == 501 - len(strategy.seen)
    assert 0 < lossy.from_ns <= lossy.ts_ns
    assert "dropped_newest" in repr(lossy)


def test_a_hook_that_raises_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", reported.append)
    strategy = slow()
    run = open_live(strategy, [EURUSD])
    feed = run.feed("feed", policy="drop_oldest", capacity=16, on_event=lambda event: event.nothing)  # type: ignore[attr-defined]

    def publish() -> None:
        with feed.publisher() as publisher:
            publisher.publish(quotes(0, 1))
            assert strategy.entered.wait(PATIENCE_S)
            publisher.publish(quotes(1, 100))
            strategy.release.set()
        run.seal()

    thread = threading.Thread(target=publish)
    thread.start()
    result = run.run()
    thread.join(PATIENCE_S)
    assert result.ok, result.errors
    assert reported
    assert reported[0].exc_type is AttributeError


def test_what_is_above_the_rate_waits_for_its_turn() -> None:
    strategy = slow()
    strategy.release.set()
    run = open_live(strategy, [EURUSD])
    result, _ = overload(run, strategy, 300, rate_limit=2_000, rate_policy="wait", timeout_s=PATIENCE_S)
    assert result.ok
    account = balanced(run.accounts()).feeds["feed"]
    assert (account.rejected, account.taken) == (0, 301)
    assert account.waits >= 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"high_watermark": 4, "low_watermark": 4}, "watermarks"),
        ({"high_watermark": 9_000}, "watermarks"),
        ({"rate_policy": "sometimes"}, "rate_policy"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], says: str) -> None:
    run = open_live(slow(), [EURUSD])
    with pytest.raises(ValueError, match=says):
        run.feed("feed", **settings)


def test_two_limits_for_lag_are_refused() -> None:
    with pytest.raises(errors.ParameterError, match="one limit"):
        open_live(slow(), [EURUSD], max_lag_records=1, max_lag_ns=1)


class Asks(Strategy):
    """Begins coroutines at its first tick, of which the first takes the longest, and ends the run with the last."""

    gate: threading.Event
    done: threading.Event

    def on_start(self) -> None:
        self.seen: list[Any] = []
        self.thread = threading.current_thread()

    def on_tick(self, tick: Tick) -> None:
        if tick.sequence == 0:
            self.spawn(self.second(), self.take)
            self.spawn(self.first())
            self.spawn(self.fails(), self.take)

    async def first(self) -> str:
        return "first"

    async def second(self) -> str:
        while not self.gate.is_set():
            await asyncio.sleep(0.001)
        return "second"

    async def fails(self) -> None:
        while not self.gate.is_set():
            await asyncio.sleep(0.001)
        raise ValueError("by design")

    def on_event(self, event: SpawnResult) -> None:
        assert threading.current_thread() is self.thread
        self.seen.append(event.value)
        self.gate.set()

    def take(self, event: SpawnResult) -> None:
        assert threading.current_thread() is self.thread
        self.seen.append(event.value or type(event.error))
        if len(self.seen) == 3:
            self.done.set()


def test_live_results_come_when_they_are_there() -> None:
    strategy = Asks(gate=threading.Event(), done=threading.Event())
    run = open_live(strategy, [EURUSD])
    feed = run.feed("feed")

    def publish() -> None:
        with feed.publisher() as publisher:
            publisher.publish(quotes(0, 1))
            assert strategy.done.wait(PATIENCE_S)
        run.seal()

    thread = threading.Thread(target=publish)
    thread.start()
    result = run.run()
    thread.join(PATIENCE_S)
    assert result.ok, result.errors
    assert strategy.seen[0] == "first"
    assert set(strategy.seen[1:]) == {"second", ValueError}


def test_what_runs_at_the_stop_is_cancelled() -> None:
    cancelled, begun = threading.Event(), threading.Event()

    class Lingers(Strategy):
        def on_tick(self, tick: Tick) -> None:
            self.spawn(self.linger())

        async def linger(self) -> None:
            begun.set()
            try:
                await asyncio.sleep(3_600)
            finally:
                cancelled.set()

    run = open_live(Lingers(), [EURUSD])
    feed = run.feed("feed")

    def publish() -> None:
        with feed.publisher() as publisher:
            publisher.publish(quotes(0, 1))
            assert begun.wait(PATIENCE_S)
            run.request_stop()

    thread = threading.Thread(target=publish)
    thread.start()
    assert run.run().status == "stopped"
    thread.join(PATIENCE_S)
    assert cancelled.wait(PATIENCE_S)
