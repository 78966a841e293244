"""Runs that their strategies stop, or that are stopped before anything: their recordings give them again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from live_runs import in_thread

import tickrail
from tickrail.domain.supervision import Supervision
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.report.result import Result

A = "EURUSD.SIM"
RULES = [Supervision(on_error="stop_runtime"), Supervision(critical=True)]


class Acts(tickrail.Strategy):
    """Fails at ``where``, or calls ``act`` in its timer."""

    where: str = ""
    act: Any = None

    def on_start(self) -> None:
        self.told: list[str] = ["start"]
        if self.where == "start":
            raise ValueError("start")
        if self.where == "timer" or self.act is not None:
            self.schedule_after(1, self.at_time)

    def at_time(self, _: tickrail.TimerEvent) -> None:
        self.told.append("timer")
        if self.act is not None:
            self.act()
        else:
            raise ValueError("timer")

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.told.append(f"tick {tick.bid}")
        if self.where == "tick" and len(self.told) == 3:
            raise ValueError("tick")

    def on_stop(self) -> None:
        self.told.append("stop")


def ran(first: Acts, rule: Supervision, publish: Callable[[Any, TickDispatcher], None]) -> tuple[Acts, Result, Any]:
    """A live run of two strategies; the second one, the result and the recording."""
    run = TickDispatcher([{"id": A}], live="park")
    second = Acts()
    run.register(first, "first", supervision=rule)
    run.register(second, "second")
    commands = bytearray()
    run.record_commands(commands.extend)
    recorder = run.record(1 << 10, 1 << 16)
    feed = run.live_feed("quotes")
    with feed.publisher() as publisher:
        publish(publisher, run)
    run.seal()
    run.run()
    return second, run.result(), (recorder.finish(), bytes(commands))


def again(first: Acts, rule: Supervision, recorded: Any) -> tuple[Acts, Result]:
    run = TickDispatcher([{"id": A}])
    run.replay(recorded[0])
    second = Acts()
    run.register(first, "first", supervision=rule)
    run.register(second, "second")
    run.replay_commands(recorded[1])
    run.run()
    return second, run.result()


def ticks(publisher: Any, _: TickDispatcher) -> None:
    for number in range(1, 9):
        publisher.publish_quote(A, float(number), 10.0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("where", ["start", "timer", "tick"])
def test_a_strategy_that_stops_the_run_does_so_again(where: str, rule: Supervision) -> None:
    first = Acts(where=where)
    second, result, recorded = ran(first, rule, ticks)
    assert (result.status, result.stop_reason) == ("stopped", "strategy first failed")
    assert [error.message for error in result.errors] == [where]
    # A feed that blocks is taken to its end, after the stop too; whom nobody started is told nothing.
    assert hasattr(second, "told") == (where != "start")
    other = Acts(where=where)
    beside, rerun = again(other, rule, recorded)
    assert (other.told, vars(beside).get("told")) == (first.told, vars(second).get("told"))
    assert (rerun.digest, rerun.stop_reason) == (result.digest, result.stop_reason)


def test_a_run_that_is_stopped_before_its_strategies_start_starts_none_again() -> None:
    def publish(publisher: Any, run: TickDispatcher) -> None:
        ticks(publisher, run)
        run.request_stop()

    first = Acts()
    second, result, recorded = ran(first, Supervision(), publish)
    other = Acts()
    beside, rerun = again(other, Supervision(), recorded)
    assert [hasattr(one, "told") for one in (first, second, other, beside)] == [False] * 4
    assert rerun.digest == result.digest


class Holds(tickrail.Strategy):
    """In a live run keeps the loop in its first tick until another one waits and a timer is due, which stops all."""

    run: Any = None

    def on_start(self) -> None:
        self.told: list[str] = []

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.told.append(f"tick {tick.bid}")
        if tick.bid == 1.0:
            self.schedule_after(1, self.at_time)
            if self.run is not None:
                self.run.hold()

    def at_time(self, _: tickrail.TimerEvent) -> None:
        self.told.append("timer")
        if self.run is not None:
            self.run.dispatcher.request_stop()

    def on_stop(self) -> None:
        self.told.append("stop")


class Held:
    """The live run of ``Holds``: its second tick is published while the first one is handled."""

    def __init__(self) -> None:
        self.dispatcher = TickDispatcher([{"id": A}], live="park")
        self.strategy = Holds(run=self)
        self.dispatcher.register(self.strategy, "holds")
        self.commands = bytearray()
        self.dispatcher.record_commands(self.commands.extend)
        self.recorder = self.dispatcher.record(1 << 10, 1 << 16)
        self.feed = self.dispatcher.live_feed("quotes")

    def publish(self, bid: float) -> None:
        with self.feed.publisher() as publisher:
            publisher.publish_quote(A, bid, 10.0)

    def hold(self) -> None:
        in_thread(lambda: self.publish(2.0))()
        time.sleep(0.002)  # beyond the timer's time

    def go(self) -> Result:
        self.publish(1.0)
        self.dispatcher.run()
        return self.dispatcher.result()


def test_what_waits_behind_the_timer_that_stops_a_run_is_in_its_recording() -> None:
    live = Held()
    result = live.go()
    # It was published before the stop, by a feed that blocks.
    assert live.strategy.told == ["tick 1.0", "timer", "tick 2.0", "stop"]
    rerun = TickDispatcher([{"id": A}])
    rerun.replay(live.recorder.finish())
    strategy = Holds()
    rerun.register(strategy, "holds")
    rerun.replay_commands(bytes(live.commands))
    rerun.run()
    assert strategy.told == live.strategy.told
    assert rerun.result().digest == result.digest
