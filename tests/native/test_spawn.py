"""``Strategy.spawn`` in a simulation: results are inputs, in the order of spawning, whatever the coroutines take."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import SpawnHandle, SpawnResult, Strategy, Tick, TickBatch, TickDispatcher, TimerEvent, errors

from .runs import EURUSD, array

PATIENCE_S = 30.0
FORMS = ("on_tick", "ticks", "on_batch", "pull")


def dispatcher(times: range = range(1, 11), **settings: Any) -> TickDispatcher:
    made = TickDispatcher([{"id": EURUSD}], **settings)
    made.feed("feed", array(times))
    return made


async def after(delay_s: float, value: object) -> object:
    await asyncio.sleep(delay_s)
    return value


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("by design")


class Spawns(Strategy):
    """Spawns at the third tick, and keeps what it sees in order."""

    def on_start(self) -> None:
        self.log: list[Any] = []
        self.handles: list[SpawnHandle] = []

    def begin(self) -> None:
        self.handles = [self.spawn(after(0.02 - number / 100, number), self.keep) for number in range(3)]
        self.log.append("asked")

    def keep(self, event: SpawnResult) -> None:
        self.log.append((event.number, event.result(), event.ts_ns))
        self.target(EURUSD, float(event.number))

    def see(self, tick: Tick) -> None:
        self.log.append(tick.ts_event)
        if tick.ts_event == 3:
            self.begin()


class ByTick(Spawns):
    def on_tick(self, tick: Tick) -> None:
        self.see(tick)


class ByGenerator(Spawns):
    def ticks(self) -> Generator[None, Tick, None]:
        while True:
            self.see((yield))


class ByBatch(Spawns):
    def on_batch(self, batch: TickBatch) -> None:
        for index in range(len(batch)):
            self.see(batch[index])


def run_of(form: str, delay: bool = False) -> tuple[Any, tickrail.Result]:
    if form == "pull":
        strategy = Spawns()
        run = dispatcher(range(1, 7))
        run.register_pull(strategy, "spawns")
        while (tick := run.pull()) is not None:
            strategy.see(tick)
    else:
        strategy = {"on_tick": ByTick, "ticks": ByGenerator, "on_batch": ByBatch}[form]()
        run = dispatcher(range(1, 7))
        run.register(strategy, "spawns", max_ticks=1)
        run.run()
    return strategy, run.result()


@pytest.mark.parametrize("form", FORMS)
def test_results_follow_their_step_in_the_order_of_spawning(form: str) -> None:
    strategy, result = run_of(form)
    assert result.ok, result.errors
    assert strategy.log == [1, 2, 3, "asked", (1, 0, 3), (2, 1, 3), (3, 2, 3), 4, 5, 6]
    assert [handle.number for handle in strategy.handles] == [1, 2, 3]
    assert all(handle.done for handle in strategy.handles)
    assert result.digest == run_of(form)[1].digest


def test_every_form_decides_alike() -> None:
    def decided(form: str) -> Any:
        return run_of(form)[1].orders[["order", "quantity", "made_ns", "made_position"]].tolist()

    assert len({str(decided(form)) for form in FORMS}) == 1
    assert len({run_of(form)[1].digest for form in FORMS}) == 1


def test_how_long_a_coroutine_takes_does_not_show_but_whether_it_failed_does() -> None:
    class One(Strategy):
        delay_s: float = 0.0
        fails: bool = False

        def on_tick(self, tick: Tick) -> None:
            if tick.ts_event == 3:
                self.spawn(fail() if self.fails else after(self.delay_s, 1), lambda event: None)

    def digest(**settings: Any) -> str:
        run = dispatcher()
        run.register(One(**settings), "one")
        run.run()
        return run.result().digest

    assert digest() == digest(delay_s=0.05)
    assert digest() != digest(fails=True)


def test_on_event_gets_what_has_no_callback_and_a_result_can_spawn_again() -> None:
    class Chain(Strategy):
        def on_start(self) -> None:
            self.seen: list[Any] = []
            self.spawn(after(0, "first"))

        def on_event(self, event: SpawnResult) -> None:
            self.seen.append((event.value, event.error))
            if len(self.seen) < 3:
                self.spawn(after(0, len(self.seen)))

        def on_tick(self, tick: Tick) -> None:
            self.seen.append(tick.ts_event)

    strategy = Chain()
    run = dispatcher(range(1, 3))
    run.register(strategy, "chain")
    run.run()
    assert strategy.seen == [("first", None), (1, None), (2, None), 1, 2]


def test_an_exception_comes_to_the_handler_and_else_fails_the_strategy() -> None:
    class Takes(Strategy):
        def on_tick(self, tick: Tick) -> None:
            if tick.ts_event == 2:
                self.spawn(fail(), self.take)

        def take(self, event: SpawnResult) -> None:
            assert event.value is None
            self.error = event.error
            with pytest.raises(ValueError, match="by design"):
                event.result()

    class Ignores(Strategy):
        def on_tick(self, tick: Tick) -> None:
            if tick.ts_event == 2:
                self.spawn(fail())

    takes, ignores = Takes(), Ignores()
    run = dispatcher()
    run.register(takes, "takes")
    run.register(ignores, "ignores")
    run.run()
    result = run.result()
    assert isinstance(takes.error, ValueError)
    (error,) = result.errors
    assert (error.strategy, error.handler, error.type, error.ts_ns) == ("ignores", "spawn", "ValueError", 2)
    assert [(one.state, one.delivered) for one in result.strategies] == [("STOPPED", 10), ("FAILED", 2)]


def test_a_callback_that_raises_fails_its_strategy_alone() -> None:
    class Raises(Strategy):
        def on_tick(self, tick: Tick) -> None:
            self.spawn(after(0, 1), lambda event: event.nothing)  # type: ignore[attr-defined]

    run = dispatcher()
    run.register(Raises(), "raises")
    run.register(ByTick(), "other")
    run.run()
    assert [(one.state, one.delivered) for one in run.result().strategies] == [("FAILED", 1), ("STOPPED", 10)]


def test_a_strategy_that_failed_gets_no_result_and_what_it_began_is_cancelled() -> None:
    told: list[SpawnResult] = []
    cancelled = threading.Event()

    async def linger() -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            cancelled.set()

    class Fails(Strategy):
        def on_tick(self, tick: Tick) -> None:
            if tick.ts_event == 1:
                self.spawn(after(0, 1), self.take)
                self.spawn(linger(), told.append)
            raise_now = tick.ts_event == 2
            if raise_now:
                self.spawn(fail(), told.append)
                raise RuntimeError("by design")

        def take(self, event: SpawnResult) -> None:
            raise RuntimeError("before the second result")

    run = dispatcher()
    run.register(Fails(), "fails")
    run.run()
    assert run.result().strategies[0].state == "FAILED"
    assert cancelled.wait(PATIENCE_S)
    assert told == []
    gc.collect()


def test_what_a_failing_handler_has_asked_for_never_begins() -> None:
    begun = threading.Event()

    async def begin() -> None:
        begun.set()

    class Fails(Strategy):
        def on_tick(self, tick: Tick) -> None:
            self.spawn(begin())
            raise RuntimeError("by design")

    run = dispatcher()
    run.register(Fails(), "fails")
    run.run()
    gc.collect()
    assert not begun.is_set()
    assert not run.io.started


def test_a_coroutine_that_hangs_is_named_and_fails_its_strategy_alone() -> None:
    class Hangs(Strategy):
        def on_tick(self, tick: Tick) -> None:
            self.spawn(self.hang())

        async def hang(self) -> None:
            await asyncio.sleep(3_600)

    run = dispatcher(spawn_timeout_s=0.05)
    run.register(Hangs(), "hangs")
    run.register(ByTick(), "other")
    run.run()
    result = run.result()
    error = result.errors[0].exception
    assert isinstance(error, errors.SpawnTimedOut)
    assert (error.strategy, error.timeout_s) == ("hangs", 0.05)
    assert "Hangs.hang" in error.coroutine
    assert [(one.state, one.delivered) for one in result.strategies] == [("FAILED", 1), ("STOPPED", 10)]


def test_a_stop_ends_the_wait() -> None:
    begun = threading.Event()

    class Waits(Strategy):
        def on_tick(self, tick: Tick) -> None:
            self.spawn(self.wait())

        async def wait(self) -> None:
            begun.set()
            await asyncio.sleep(3_600)

    run = dispatcher()
    run.register(Waits(), "waits")

    def stop() -> None:
        assert begun.wait(PATIENCE_S)
        run.request_stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert run.run() == "stopped"
    stopper.join(PATIENCE_S)
    assert run.io.closed


def test_a_cancelled_one_brings_no_result() -> None:
    told: list[SpawnResult] = []

    class Cancels(Strategy):
        def on_tick(self, tick: Tick) -> None:
            if tick.ts_event == 1:
                handle = self.spawn(after(3_600, 1), told.append)
                assert not handle.done
                handle.cancel()
                handle.cancel()

    run = dispatcher()
    run.register(Cancels(), "cancels")
    run.run()
    assert run.result().ok
    assert told == []


def test_a_coroutine_that_cancels_itself_brings_an_error() -> None:
    class Own(Strategy):
        def on_tick(self, tick: Tick) -> None:
            if tick.ts_event == 1:
                self.spawn(self.leave(), self.keep)

        async def leave(self) -> None:
            raise asyncio.CancelledError

        def keep(self, event: SpawnResult) -> None:
            self.event = event

    strategy = Own()
    run = dispatcher()
    run.register(strategy, "own")
    run.run()
    assert run.result().ok
    assert type(strategy.event.error).__name__ == "CancelledError"


def test_the_limit_is_named_and_frees_itself() -> None:
    class Many(Strategy):
        def on_tick(self, tick: Tick) -> None:
            self.refused = 0
            for _ in range(1_100):
                try:
                    self.spawn(after(0, 1))
                except errors.OrderRefused as error:
                    assert "1024 coroutines" in str(error)
                    self.refused += 1

    strategy = Many()
    run = dispatcher(range(1, 3))
    run.register(strategy, "many")
    run.run()
    assert run.result().ok, run.result().errors
    assert strategy.refused == 76
    gc.collect()


def callbacks() -> dict[str, Callable[[Strategy], object]]:
    return {
        "not a coroutine": lambda strategy: strategy.spawn(1),  # type: ignore[arg-type]
        "not called": lambda strategy: strategy.spawn(fail),  # type: ignore[arg-type]
        "callback": lambda strategy: strategy.spawn(fail(), 1),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("wrong", callbacks())
def test_what_cannot_be_is_refused_and_closed(wrong: str) -> None:
    class Wrong(Strategy):
        def on_tick(self, tick: Tick) -> None:
            with pytest.raises(TypeError) as caught:
                callbacks()[wrong](self)
            self.said = str(caught.value)

    strategy = Wrong()
    run = dispatcher(range(1, 2))
    run.register(strategy, "wrong")
    run.run()
    assert run.result().ok, run.result().errors
    assert {"not called": "call the async function", "callback": "cannot be called"}.get(
        wrong, "takes a coroutine"
    ) in (strategy.said)
    gc.collect()


def test_outside_of_a_run_and_on_other_threads_it_is_refused() -> None:
    with pytest.raises(errors.OrderRefused, match="no run yet"):
        ByTick().spawn(fail())

    class Elsewhere(Strategy):
        def on_tick(self, tick: Tick) -> None:
            def act() -> None:
                with pytest.raises(errors.WrongThread):
                    self.spawn(fail())
                self.tried = True

            thread = threading.Thread(target=act)
            thread.start()
            thread.join(PATIENCE_S)

    strategy = Elsewhere()
    run = dispatcher(range(1, 2))
    run.register(strategy, "elsewhere")
    run.run()
    assert strategy.tried
    gc.collect()


def test_compiled_strategies_are_told() -> None:
    pytest.importorskip("numba")

    class Compiled(Strategy):
        state_dtype = np.dtype([("seen", "i8")])

        def on_start(self) -> None:
            self.spawn(fail())

        def on_tick(tick: Any, state: Any, out: Any) -> None:  # type: ignore[override, misc]
            state.seen += 1

    run = dispatcher()
    run.register(Compiled(), "compiled")
    run.run()
    (error,) = run.result().errors
    assert "compiled strategy cannot spawn" in error.message
    gc.collect()


def test_a_timer_due_at_the_same_step_follows_the_result() -> None:
    class Both(Strategy):
        def on_start(self) -> None:
            self.seen: list[str] = []

        def on_tick(self, tick: Tick) -> None:
            if tick.ts_event == 1:
                self.schedule_at(0)
                self.spawn(after(0.01, 1))

        def on_timer(self, event: TimerEvent) -> None:
            self.seen.append("timer")

        def on_event(self, event: SpawnResult) -> None:
            self.seen.append("result")

    strategy = Both()
    run = dispatcher()
    run.register(strategy, "both")
    run.run()
    assert strategy.seen == ["result", "timer"]


def test_a_pulled_run_spawns() -> None:
    with tickrail.open_run(array(range(1, 5))) as run:
        for tick in run:
            if tick.ts_event == 2:
                run.spawn(after(0, "value"))
        (event,) = run.take_events()
    assert (event.value, event.ts_ns, repr(event)) == ("value", 2, "SpawnResult(number=1, value='value')")
    assert run.result.ok


def test_a_given_io_thread_outlives_the_run() -> None:
    from tickrail.orchestration.io_thread import IoThread

    with IoThread() as io:
        run = dispatcher(io=io)
        run.register(ByTick(), "spawns")
        run.run()
        assert not io.closed
    assert io.closed
