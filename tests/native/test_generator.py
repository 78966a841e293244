"""The generator form: opened after ``on_start``, sent every tick, closed at the end, stopped by its return."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tickrail import _native

from .runs import EURUSD, Recorder, array, dispatcher

Ticks = Generator[None, _native.Tick]


class Logged(_native.StrategyCore):
    """Notes what happens to it."""

    def __init__(self) -> None:
        self.log: list[object] = []

    def on_start(self) -> None:
        self.log.append("start")

    def on_stop(self) -> None:
        self.log.append("stop")


def test_it_is_opened_after_on_start_and_closed_before_on_stop() -> None:
    class Plain(Logged):
        def ticks(self) -> Ticks:
            self.log.append("opened")
            try:
                while True:
                    tick = yield
                    self.log.append(tick.ts_event)
            finally:
                self.log.append("closed")

    strategy = Plain()
    run = dispatcher(array([1, 2, 3]))
    run.register(strategy, "plain")
    assert run.run() == "end"
    assert strategy.log == ["start", "opened", 1, 2, 3, "closed", "stop"]


def test_its_return_stops_the_strategy_and_what_it_asked_for_stands() -> None:
    class Leaves(Logged):
        def ticks(self) -> Ticks:
            self.schedule_every(1_000)
            tick = yield
            self.buy(tick.instrument, 1.0)

        def on_timer(self, event: _native.TimerEvent) -> None:
            self.log.append(event.due_ns)

    strategy, other = Leaves(), Recorder()
    run = dispatcher(array([1, 2, 3, 5_000]))
    run.register(strategy, "leaves")
    run.register(other, "other")
    assert run.run() == "end"
    assert strategy.log == ["start", "stop"], "stopped at once, its timers are forgotten"
    first, second = run.strategies()
    assert (first["state"], first["delivered"], first["skipped"]) == ("STOPPED", 1, 3)
    assert (second["state"], second["delivered"]) == ("STOPPED", 4)
    assert [int(ts) for ts in run.fills()["ts_ns"]] == [2]
    assert run.errors() == []


@pytest.mark.parametrize("at", [0, 2])
def test_what_it_raises_fails_it_alone(at: int) -> None:
    class Raises(Logged):
        def ticks(self) -> Ticks:
            for number in range(10):
                if number == at:
                    raise ArithmeticError(f"at {number}")
                yield

    strategy, other = Raises(), Recorder()
    run = dispatcher(array([1, 2, 3]))
    run.register(strategy, "raises")
    run.register(other, "other")
    assert run.run() == "end"
    assert [row["state"] for row in run.strategies()] == ["FAILED", "STOPPED"]
    assert len(other.kept) == 3
    (error,) = run.errors()
    assert isinstance(error["exception"], ArithmeticError)
    assert error["handler"] == ("ticks" if at else "on_start")
    assert strategy.log == ["start"]


def test_ticks_that_it_keeps_do_not_change() -> None:
    class Keeps(Logged):
        def ticks(self) -> Ticks:
            previous = None
            while True:
                tick = yield
                if previous is not None:
                    self.log.append((previous.ts_event, previous.bid, tick.ts_event, tick.bid))
                previous = tick

    strategy = Keeps()
    run = dispatcher(array(range(1, 200)))
    run.register(strategy, "keeps")
    run.run()
    expected = [(time, 1.0 + time / 1000, time + 1, 1.0 + (time + 1) / 1000) for time in range(1, 199)]
    assert strategy.log == ["start", *expected, "stop"]


def test_two_objects_in_turn_are_enough_for_a_generator() -> None:
    class Looks(Logged):
        def ticks(self) -> Ticks:
            while True:
                tick = yield
                self.log.append(id(tick))

    strategy = Looks()
    run = dispatcher(array(range(1, 100)), always_fresh=False)
    run.register(strategy, "looks", instruments=[EURUSD])
    run.run()
    assert len(set(strategy.log[1:-1])) == 2
