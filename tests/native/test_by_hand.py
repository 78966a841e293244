"""A simulation by hand: up to a time, step by step, and pulled up to a time."""

from __future__ import annotations

from typing import Any

import pytest

from tickrail import Strategy, Tick, TickDispatcher, TimerEvent, _native, errors, open_run

from .runs import EURUSD, array, dispatcher


class Noted(Strategy):
    """Writes down what it gets, and sets a timer every 1,000 ns."""

    def on_start(self) -> None:
        self.log: list[tuple[str, int]] = []
        self.schedule_every(1_000, name="beat")

    def on_tick(self, tick: Tick) -> None:
        self.log.append(("tick", tick.ts_event))
        if tick.ts_event == 2_500:
            self.buy(tick.instrument, 1.0)

    def on_timer(self, event: TimerEvent) -> None:
        self.log.append(("timer", event.due_ns))

    def on_order_update(self, update: Any) -> None:
        self.log.append((update.status, self.now_ns))


def begun(*times: int) -> tuple[TickDispatcher, Noted]:
    run, strategy = TickDispatcher([{"id": EURUSD}]), Noted()
    if times:
        run.feed("ticks", array(times))
    run.register(strategy, "noted")
    return run, strategy


def test_up_to_a_time_takes_its_ticks_then_its_timers_and_the_clock_stands_there() -> None:
    run, strategy = begun(1_000, 2_000, 2_000, 5_000)
    assert run.run_until(1_999)
    assert strategy.log == [("tick", 1_000)]
    assert strategy.now_ns == 1_999, "the thread that drives the run acts in between"
    run.run_until(2_000)
    assert strategy.log[1:] == [("tick", 2_000), ("tick", 2_000), ("timer", 2_000)]
    run.run_until(2_000)
    assert len(strategy.log) == 4
    assert run.run() == "complete"
    assert strategy.log[4:] == [("timer", 3_000), ("timer", 4_000), ("tick", 5_000), ("timer", 5_000)]


def test_what_is_asked_for_in_between_takes_effect() -> None:
    run, strategy = begun(1_000, 9_000)
    run.run_until(1_500)
    strategy.schedule_at(1_700, name="by hand")
    strategy.cancel_timer("beat")
    run.run_until(8_000)
    assert strategy.log == [("tick", 1_000), ("timer", 1_700)]
    assert strategy.timers() == []


def test_a_run_without_data_has_timers_and_a_clock() -> None:
    run, strategy = begun()
    run.run_until(3_500)
    assert strategy.log == [("timer", 1_000), ("timer", 2_000), ("timer", 3_000)]
    assert strategy.now_ns == 3_500
    assert run.step() == "timer"
    assert strategy.now_ns == 4_000
    run.finish()
    assert not run.run_until(9_000)
    assert run.step() is None
    assert run.result().status == "stopped"


def test_times_may_be_written_as_elsewhere() -> None:
    run, strategy = begun()
    run.run_until("1970-01-01T00:00:00.000002Z")
    assert strategy.now_ns == 2_000


def test_each_step_is_one_input() -> None:
    run, strategy = begun(1_000, 2_500, 2_600)
    seen = [run.step() for _ in range(6)]
    assert seen == ["tick", "timer", "tick", "order_update", "tick", "timer"]
    assert [what for what, _ in strategy.log] == ["tick", "timer", "tick", "ACCEPTED", "FILLED", "tick", "timer"]


def test_a_cut_run_has_the_digest_of_one_in_one_go() -> None:
    whole, _ = begun(*range(1_000, 30_000, 700))
    whole.run()
    cut, _ = begun(*range(1_000, 30_000, 700))
    for until in (1_001, 3_500, 9_999, 20_000, 28_000):
        cut.run_until(until)
        cut.step()
    cut.run()
    assert cut.result().digest == whole.result().digest


def test_the_clock_cannot_be_driven_back() -> None:
    run, strategy = begun(1_000, 2_000)
    run.run_until(1_500)
    with pytest.raises(ValueError, match=r"run_until\(1499\) lies 1 ns before now \(1500\)"):
        run.run_until(1_499)
    run.run_until(2_000)
    assert strategy.log[-1] == ("timer", 2_000)


def test_a_stop_ends_it() -> None:
    run, _ = begun(1_000, 2_000)
    run.run_until(1_000)
    run.request_stop()
    assert not run.run_until(2_000)
    assert run.ended
    assert run.result().status == "stopped"


def test_a_damaged_feed_fails_it() -> None:
    class Refused(Strategy):
        def on_tick(self, tick: Tick) -> None:
            raise KeyboardInterrupt

    run = TickDispatcher([{"id": EURUSD}])
    run.feed("ticks", array([1, 2]))
    run.register(Refused(), "refused")
    assert not run.run_until(5)
    assert run.result().status == "interrupted"


def test_pulled_ticks_up_to_a_time() -> None:
    with open_run(array([1_000, 2_000, 3_000, 4_000])) as run:
        assert [tick.ts_event for tick in run.until(2_500)] == [1_000, 2_000]
        assert run.now_ns == 2_500
        run.schedule_at(2_700)
        assert list(run.until(2_900)) == []
        assert [event.due_ns for event in run.take_timers()] == [2_700]
        assert [tick.ts_event for tick in run] == [3_000, 4_000]
    assert run.result.ok


def test_a_pulled_tick_is_not_passed_over() -> None:
    run = dispatcher(array([1_000]))
    run.register_pull(Noted(), "noted")
    with pytest.raises(RuntimeError, match="pull_until"):
        _native.run_until(run, 2_000)


def test_a_handler_cannot_drive_its_own_run() -> None:
    caught: list[Exception] = []

    class Impatient(Strategy):
        def on_tick(self, tick: Tick) -> None:
            for act in (lambda: run.run_until(9), run.step):
                try:
                    act()
                except RuntimeError as error:
                    caught.append(error)

    run = TickDispatcher([{"id": EURUSD}])
    run.feed("ticks", array([1]))
    run.register(Impatient(), "impatient")
    run.run()
    assert len(caught) == 2
    assert not any(isinstance(error, errors.RuntimeFault) for error in caught)
