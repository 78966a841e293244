"""Timers of a simulation, by the native dispatcher: order, names, handles, listing, refusals."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tickrail import _native, errors

from .runs import array, dispatcher

Body = Callable[[Any], object]


def run_with(on_start: Body, times: list[int], on_tick: Body | None = None) -> tuple[Any, list[_native.TimerEvent]]:
    """A strategy that does this at its start and at each tick; gives itself and what came to ``on_timer``."""
    events: list[_native.TimerEvent] = []

    class Timed(_native.StrategyCore):
        def on_start(self) -> None:
            on_start(self)

        def on_tick(self, tick: _native.Tick) -> None:
            if on_tick is not None:
                on_tick(self)

        def on_timer(self, event: _native.TimerEvent) -> None:
            events.append(event)

    run, strategy = dispatcher(array(times)), Timed()
    run.register(strategy, "timed")
    run.run()
    if found := run.errors():
        raise found[0]["exception"]
    return strategy, events


def test_every_way_to_set_a_timer_fires_at_its_time() -> None:
    def start(s: Any) -> None:
        s.schedule_at(2_500, name="at")
        s.schedule_after(1_500, name="after")
        s.schedule_every(1_000, name="every", end_ns=4_000)
        s.schedule_every(2_000, start_ns=1_000)

    _, events = run_with(start, [1_000, 6_000])
    seen = [(event.name, event.due_ns, event.now_ns, event.count, event.missed) for event in events]
    assert seen == [
        (None, 1_000, 1_000, 1, 0),
        ("every", 2_000, 2_000, 1, 0),
        ("at", 2_500, 2_500, 1, 0),
        ("after", 2_500, 2_500, 1, 0),
        ("every", 3_000, 3_000, 2, 0),
        (None, 3_000, 3_000, 2, 0),
        (None, 5_000, 5_000, 3, 0),
    ]
    assert repr(events[2]) == "TimerEvent(number=1, name='at', due_ns=2500, now_ns=2500, count=1, missed=0)"


def test_a_listing_shows_what_was_just_set_and_no_longer_what_was_just_taken_away() -> None:
    def start(s: Any) -> None:
        kept = s.schedule_every(1_000, start_ns=5_000, end_ns=9_000, name="kept")
        gone = s.schedule_at(7_000)
        assert [timer.number for timer in s.timers()] == [1, 2]
        assert gone.cancel() and not gone.cancel()
        (info,) = s.timers()
        assert (info.number, info.name, info.due_ns, info.interval_ns, info.end_ns) == (1, "kept", 5_000, 1_000, 9_000)
        assert (info.fired, info.missed) == (0, 0)
        assert repr(info) == (
            'TimerInfo(number=1, name="kept", due_ns=5000, interval_ns=1000, end_ns=9000, fired=0, missed=0)'
        )
        s.handle = kept
        assert (kept.info().due_ns, gone.info()) == (5_000, None)
        assert repr(kept) == "TimerHandle(number=1, name='kept')"

    def tick(s: Any) -> None:
        s.seen = [(timer.due_ns, timer.fired) for timer in s.timers()]

    strategy, events = run_with(start, [1, 6_000, 6_500], tick)
    assert strategy.seen == [(7_000, 2)]
    assert [event.due_ns for event in events] == [5_000, 6_000]
    # The run is over: nothing is set any more, and nothing raises.
    assert strategy.handle.info() is None
    assert strategy.handle.cancel() is False


def test_a_name_belongs_to_one_timer_at_a_time() -> None:
    def start(s: Any) -> None:
        s.schedule_at(2_000, name="close")
        with pytest.raises(errors.TimerRefused, match="another timer of this name is set") as caught:
            s.schedule_every(1_000, name="close")
        assert caught.value.hint is not None and "cancel_timer(name)" in caught.value.hint
        assert s.cancel_timer("close") and not s.cancel_timer("close")
        s.schedule_at(3_000, name="close")

    _, events = run_with(start, [1_000, 9_000])
    assert [(event.name, event.due_ns) for event in events] == [("close", 3_000)]


def test_two_strategies_may_use_the_same_name() -> None:
    fired: list[str] = []

    class Named(_native.StrategyCore):
        def on_start(self) -> None:
            self.schedule_at(2, name="same")

        def on_timer(self, event: _native.TimerEvent) -> None:
            fired.append(self.name)

    run = dispatcher(array([1, 3]))
    for name in ("a", "b"):
        run.register(Named(), name)
    run.run()
    assert fired == ["a", "b"]


def test_a_name_can_be_used_again_from_the_callback_of_its_last_firing() -> None:
    def again(s: Any) -> None:
        if s.now_ns < 5_000:
            s.schedule_after(1_000, lambda event: (s.times.append(event.due_ns), again(s)), name="chain")

    def start(s: Any) -> None:
        s.times = []
        again(s)

    strategy, _ = run_with(start, [1_000, 9_000])
    assert strategy.times == [2_000, 3_000, 4_000, 5_000]


def test_a_handle_cancels_at_the_end_of_its_block_and_from_its_own_callback() -> None:
    fired: list[int] = []

    def start(s: Any) -> None:
        with s.schedule_at(2_000, fired.append):
            pass
        handle = s.schedule_every(
            1_000, lambda event: (fired.append(event.count), event.count == 2 and handle.cancel())
        )

    run_with(start, [1_000, 9_000])
    assert fired == [1, 2]


def test_timers_that_fire_at_once_run_in_the_next_step_even_from_one_another() -> None:
    def start(s: Any) -> None:
        s.log = []
        s.schedule_at(0, lambda _: (s.log.append("past"), s.schedule_after(0, lambda _: s.log.append("later"))))
        s.schedule_after(0, lambda _: s.log.append("now"))

    strategy, _ = run_with(start, [1_000], lambda s: s.log.append("tick"))
    assert strategy.log == ["past", "now", "later", "tick"]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda s: s.schedule_every(10), "interval_ns is 10: expected at least 1000"),
        (lambda s: s.schedule_every(-(2**63)), "interval_ns is -9223372036854775808: expected at least 1000"),
        (lambda s: s.schedule_after(-1), "delay_ns is -1: expected at least 0"),
        (lambda s: s.schedule_every(1_000, start_ns=99), r"start_ns is 99, which is 1 ns before now \(100\)"),
        (
            lambda s: s.schedule_every(1_000, end_ns=1_100),
            "end_ns is 1100: expected a time after the first firing at 1100",
        ),
        (lambda s: s.schedule_every(1_000, start_ns=500, end_ns=400), "end_ns is 400: expected a time after"),
    ],
)
def test_what_cannot_be_kept_is_refused_on_the_spot(act: Body, message: str) -> None:
    def start(s: Any) -> None:
        with pytest.raises(errors.TimerRefused, match=message) as caught:
            act(s)
        assert isinstance(caught.value, ValueError)
        assert s.timers() == []

    run_with(start, [100])


def test_what_cannot_be_called_is_refused() -> None:
    def start(s: Any) -> None:
        with pytest.raises(TypeError, match="3 cannot be called"):
            s.schedule_at(1, 3)
        assert s.timers() == []

    run_with(start, [100])


def test_other_threads_may_neither_set_list_nor_cancel() -> None:
    def start(s: Any) -> None:
        handle = s.schedule_at(1_000_000)
        problems: list[BaseException] = []

        def elsewhere() -> None:
            for act in (lambda: s.schedule_after(1), s.timers, lambda: s.cancel_timer("x"), handle.cancel, handle.info):
                try:
                    act()
                except errors.WrongThread as error:
                    problems.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert len(problems) == 5
        assert len(s.timers()) == 1

    run_with(start, [100])


def test_what_a_timer_calls_is_let_go_with_its_last_firing_or_its_cancel() -> None:
    class Callback:
        def __call__(self, event: _native.TimerEvent) -> None: ...

    def start(s: Any) -> None:
        fired, cancelled = Callback(), Callback()
        s.refs = [weakref.ref(fired), weakref.ref(cancelled)]
        s.schedule_at(2_000, fired)
        s.schedule_at(2_000, cancelled).cancel()

    def tick(s: Any) -> None:
        gc.collect()
        s.alive = [ref() is not None for ref in s.refs]

    strategy, _ = run_with(start, [1_000, 3_000], tick)
    assert strategy.alive == [False, False]


def test_a_callback_whose_end_sets_a_timer_harms_nothing() -> None:
    """The place of a callback is changed while its object goes, which may call anything."""

    class Last:
        def __init__(self, s: Any) -> None:
            self.s = s

        def __call__(self, event: _native.TimerEvent) -> None: ...

        def __del__(self) -> None:
            self.s.schedule_after(500, name="from the end")

    def start(s: Any) -> None:
        s.schedule_at(9_000, Last(s)).cancel()

    _, events = run_with(start, [1_000, 3_000])
    assert [event.name for event in events] == ["from the end"]


def test_a_failing_strategy_loses_its_timers_and_nobody_elses() -> None:
    fired: list[str] = []

    class Sound(_native.StrategyCore):
        def on_start(self) -> None:
            self.schedule_every(1_000)

        def on_timer(self, event: _native.TimerEvent) -> None:
            fired.append(self.name)

    class Failing(Sound):
        def on_timer(self, event: _native.TimerEvent) -> None:
            super().on_timer(event)
            raise ValueError

    run = dispatcher(array([1_000, 3_500]))
    run.register(Failing(), "failing")
    run.register(Sound(), "sound")
    run.run()
    assert fired == ["failing", "sound", "sound"]
