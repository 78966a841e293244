"""The native dispatcher as Python drives it: handlers, failures, stops, orders, pull, digests."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from tickrail import _native, errors

from .runs import EURUSD, GBPUSD, Recorder, array, dispatcher, endless, quotes


class Trader(_native.StrategyCore):
    """Goes in and out of the market every third tick, in any form."""

    def __init__(self, form: str) -> None:
        self.seen = 0
        self.updates: list[tuple[str, int, float]] = []
        setattr(self, form, self.take_batch if form == "on_batch" else self.take)

    def take(self, tick: _native.Tick) -> None:
        self.seen += 1
        if self.seen % 3 == 0:
            self.target(tick.instrument, float(self.seen % 2))

    def take_batch(self, batch: _native.TickBatch) -> None:
        for index in range(len(batch)):
            self.take(batch[index])

    def on_order_update(self, update: _native.OrderUpdate) -> None:
        self.updates.append((update.status, update.order, update.price))


class GeneratorTrader(Trader):
    """The same by a generator."""

    def __init__(self, form: str = "ticks") -> None:
        self.seen = 0
        self.updates = []

    def ticks(self) -> Generator[None, _native.Tick]:
        while True:
            self.take((yield))


def trader_of(form: str) -> Trader:
    return GeneratorTrader() if form == "ticks" else Trader(form)


def test_each_kind_goes_to_its_handler_and_only_subscribed_instruments() -> None:
    class ByKind(_native.StrategyCore):
        def __init__(self) -> None:
            self.calls: list[tuple[str, int]] = []

        def on_quote(self, tick: _native.Tick) -> None:
            self.calls.append(("quote", tick.ts_event))

        def on_bar(self, tick: _native.Tick) -> None:
            self.calls.append(("bar", tick.ts_event))

    records = quotes([1, 2, 3, 4])
    records["kind"] = [1, 2, 3, 1]
    strategy, other = ByKind(), Recorder()
    run = dispatcher(_native.TickArray.from_records(records, [EURUSD]), array([5], GBPUSD))
    run.register(strategy, "by-kind", instruments=[EURUSD])
    run.register(other, "other", instruments=[GBPUSD])
    assert run.run() == "end"
    assert strategy.calls == [("quote", 1), ("bar", 3), ("quote", 4)]
    assert [tick.ts_event for tick in other.kept] == [5]
    accounts = run.strategies()
    assert [(row["delivered"], row["filtered"], row["skipped"]) for row in accounts] == [(3, 2, 0), (1, 4, 0)]


def test_strategies_receive_each_tick_in_registration_order() -> None:
    order: list[tuple[int, str]] = []

    class Named(_native.StrategyCore):
        def __init__(self, mark: str) -> None:
            self.mark = mark

        def on_tick(self, tick: _native.Tick) -> None:
            order.append((tick.ts_event, self.mark))

    run = dispatcher(array([1, 2]))
    for mark in "bac":
        run.register(Named(mark), mark)
    run.run()
    assert order == [(1, "b"), (1, "a"), (1, "c"), (2, "b"), (2, "a"), (2, "c")]


def test_a_raising_handler_stops_its_strategy_and_no_other() -> None:
    class Raises(_native.StrategyCore):
        def on_tick(self, tick: _native.Tick) -> None:
            if tick.ts_event == 3:
                raise ZeroDivisionError("by design")

    recorder = Recorder()
    run = dispatcher(array(range(1, 8)))
    run.register(Raises(), "raises")
    run.register(recorder, "recorder")
    assert run.run() == "end"
    assert len(recorder.kept) == 7
    (error,) = run.errors()
    assert (error["strategy"], error["handler"], error["type"]) == ("raises", "on_tick", "ZeroDivisionError")
    assert (error["message"], error["tick"].ts_event, error["ts_ns"]) == ("by design", 3, 3)
    assert "in on_tick" in error["traceback"]
    states = {row["name"]: (row["state"], row["delivered"], row["skipped"]) for row in run.strategies()}
    assert states == {"raises": ("FAILED", 3, 4), "recorder": ("STOPPED", 7, 0)}


@pytest.mark.parametrize("hook", ["on_start", "on_stop", "on_order_update", "on_timer"])
def test_other_handlers_that_raise_are_isolated_too(hook: str) -> None:
    class Raises(_native.StrategyCore):
        def on_tick(self, tick: _native.Tick) -> None:
            if tick.ts_event == 2:
                self.buy(tick.instrument, 1.0)
                self.schedule_at(4, None if hook == "on_timer" else lambda _: None)

    def boom(*_: Any) -> None:
        raise LookupError(hook)

    raises, recorder = Raises(), Recorder()
    setattr(raises, hook, boom)
    run = dispatcher(array(range(1, 8)))
    run.register(raises, "raises")
    run.register(recorder, "recorder")
    assert run.run() == "end"
    assert [(error["handler"], error["message"]) for error in run.errors()] == [(hook, hook)]
    assert len(recorder.kept) == 7


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupts_from_a_handler_end_the_run_with_a_partial_result(kind: type[BaseException]) -> None:
    class Interrupts(_native.StrategyCore):
        def on_tick(self, tick: _native.Tick) -> None:
            if tick.ts_event == 3:
                raise kind(7)

    recorder = Recorder()
    run = dispatcher(array(range(1, 8)))
    run.register(Interrupts(), "interrupts")
    run.register(recorder, "recorder")
    assert run.run() == "interrupted"
    assert isinstance(run.interruption(), kind)
    assert len(recorder.kept) == 3, "the step of the interrupted handler is completed"
    assert not run.errors()
    assert run.stats()["ticks"] == 3


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("form", ["on_batch", "ticks", "on_timer", "on_order_update", "on_start"])
def test_interrupts_from_any_handler_of_any_form(form: str, kind: type[BaseException]) -> None:
    class Interrupts(_native.StrategyCore):
        def on_start(self) -> None:
            self.schedule_at(3, None if form == "on_timer" else lambda _: None)
            self.buy(EURUSD, 1.0)

    def boom(self: Any, *_: object) -> None:
        raise kind(7)

    def generator(self: Any) -> Generator[None, _native.Tick]:
        yield
        yield
        raise kind(7)

    members: dict[str, Any] = {form: generator if form == "ticks" else boom}
    if form not in ("on_batch", "ticks"):
        members["on_tick"] = lambda self, tick: None
    run = dispatcher(array(range(1, 8)))
    run.register(type("Interrupts", (Interrupts,), members)(), "interrupts", max_ticks=2)
    other = Recorder()
    run.register(other, "other")
    assert run.run() == "interrupted"
    interruption = run.interruption()
    assert isinstance(interruption, kind)
    assert interruption.args == (7,)
    assert len(other.kept) == run.stats()["ticks"] <= 3
    assert not run.errors()


def test_an_interrupt_while_another_pulls_ends_the_run() -> None:
    class Interrupts(_native.StrategyCore):
        def on_tick(self, tick: _native.Tick) -> None:
            if tick.ts_event == 3:
                raise KeyboardInterrupt

    run = dispatcher(array(range(1, 8)))
    run.register(Interrupts(), "interrupts")
    run.register_pull(Recorder(), "pull")
    assert [tick.ts_event for tick in run.pulls()] == [1, 2, 3]
    assert run.end == "interrupted"
    assert isinstance(run.interruption(), KeyboardInterrupt)
    assert list(run.pulls()) == []


def test_pulls_end_for_good_and_go_on_where_they_were_left() -> None:
    run = dispatcher(array(range(1, 8)))
    run.register_pull(Recorder(), "pull")
    pulls = run.pulls()
    assert next(pulls).ts_event == 1
    assert [tick.ts_event for tick, _ in zip(run.pulls(), range(2), strict=False)] == [2, 3]
    third = run.pull()
    assert third is not None
    assert third.ts_event in (4, 5)
    run.request_stop()
    assert list(pulls) == []
    assert run.end == "stopped"
    assert next(pulls, None) is None
    assert type(pulls).__name__ == "Pulls"
    with pytest.raises(TypeError):
        type(pulls)()


class NoBars(_native.StrategyCore):
    """Its only handler never runs in a run over quotes: the loop stays native."""

    def on_bar(self, tick: _native.Tick) -> None:
        raise AssertionError("there are no bars")


def test_ctrl_c_between_native_slices_interrupts_within_bounds() -> None:
    """No Python handler runs, so only the loop itself can look after the signal."""

    class Interrupted(NoBars):
        def on_start(self) -> None:  # from here on the signal cannot come before the run
            self.sender = subprocess.Popen(["sh", "-c", f"sleep 0.1; kill -INT {os.getpid()}"])

    run, strategy = endless(), Interrupted()
    run.register(strategy, "interrupted")
    end = run.run()
    strategy.sender.wait()
    assert end == "interrupted"
    assert run.stats()["remaining"] > 0


@pytest.mark.parametrize("pulled", [False, True])
def test_other_threads_get_their_turn_where_no_handler_runs(*, pulled: bool) -> None:
    """Each of the twenty waits asks for the GIL again; that it is handed over once by luck is not enough."""

    def stop_after_twenty_turns() -> None:
        for _ in range(20):
            time.sleep(0.001)
        run.request_stop()

    run = endless()
    run.register(NoBars(), "no-bars")
    if pulled:
        run.register_pull(_native.StrategyCore(), "me", instruments=[])
    thread = threading.Thread(target=stop_after_twenty_turns)
    thread.start()
    if pulled:
        assert run.pull() is None
    else:
        run.run()
    thread.join()
    assert run.end == "stopped"
    assert run.stats()["remaining"] > 0


def test_a_stop_request_from_another_thread() -> None:
    class Waits(_native.StrategyCore):
        def on_tick(self, tick: _native.Tick) -> None:
            time.sleep(0.001)

    run = dispatcher(array(range(1, 100_000)))
    run.register(Waits(), "waits")
    threading.Timer(0.05, run.request_stop).start()
    started = time.monotonic()
    assert run.run() == "stopped"
    assert time.monotonic() - started < 5.0
    assert run.end == "stopped"


def test_orders_fill_at_the_next_tick_and_never_before_their_decision() -> None:
    class Buys(_native.StrategyCore):
        def on_quote(self, tick: _native.Tick) -> None:
            if tick.ts_event == 2:
                self.number = self.buy(tick.instrument, 2.0)
                assert self.position(tick.instrument) == 0.0
                assert self.target(tick.instrument, 2.0) is None, "what is in flight counts"

    buys = Buys()
    run = dispatcher(array(range(1, 6)), fee_rate=0.01)
    run.register(buys, "buys")
    run.run()
    (fill,) = run.fills()
    assert (fill["ts_ns"], fill["price"], fill["order"], fill["side"]) == (3, 1.003 + 0.5, buys.number, 1)
    assert fill["fee"] == pytest.approx(1.503 * 2 * 0.01)
    assert fill["made_position"] < fill["position"]
    (position,) = run.strategies()[0]["positions"]
    assert position["net"] == 2.0
    assert position["unrealised"] == pytest.approx(2 * (1.005 + 0.25 - 1.503))
    (order,) = run.orders()
    assert (order["status"], order["made_ns"], order["changed_ns"]) == (2, 2, 3)


@pytest.mark.parametrize("form", ["on_tick", "on_quote", "on_batch", "ticks", "pull"])
@pytest.mark.parametrize("max_ticks", [1, 5])
def test_no_fill_precedes_its_decision_in_any_form(form: str, max_ticks: int) -> None:
    run = dispatcher(array(range(1, 400)), array(range(1, 900, 2), GBPUSD))
    if form == "pull":
        trader = Trader("unused")
        run.register_pull(trader, "trader")
        while (tick := run.pull()) is not None:
            trader.take(tick)
    else:
        trader = trader_of(form)
        run.register(trader, "trader", max_ticks=max_ticks)
        run.run()
    fills = run.fills()
    assert len(fills) > 50
    assert (fills["made_position"] < fills["position"]).all()
    decided = {int(order["order"]): int(order["made_ns"]) for order in run.orders()}
    assert all(decided[int(fill["order"])] <= fill["ts_ns"] for fill in fills)
    assert not run.errors()


def test_all_forms_with_one_tick_at_a_time_decide_and_digest_alike() -> None:
    digests = set()
    for form in ("on_tick", "on_quote", "on_batch", "ticks", "pull"):
        for settings in ({"slice_ticks": 1}, {"slice_ticks": 7}, {"always_fresh": True}):
            run = dispatcher(array(range(1, 400)), array(range(1, 900, 2), GBPUSD), digest="full", **settings)
            trader = trader_of(form)
            if form == "pull":
                run.register_pull(trader, "trader")
                while (tick := run.pull()) is not None:
                    trader.take(tick)
            else:
                run.register(trader, "trader", max_ticks=1)
                run.run()
            assert [status for status, _, _ in trader.updates[:2]] == ["ACCEPTED", "FILLED"]
            digests.add(run.digest())
    assert len(digests) == 1


def test_the_pieces_in_which_inputs_are_hashed_show_in_nothing() -> None:
    """In mode ``full`` a slice is run by pieces of 512 ticks; batches, stops and pulls go across their edges."""

    class Batches(_native.StrategyCore):
        def __init__(self) -> None:
            self.sizes: list[int] = []

        def on_batch(self, batch: _native.TickBatch) -> None:
            self.sizes.append(len(batch))
            if batch[0].ts_event % 2:
                self.target(EURUSD, float(len(self.sizes)))

    def outcome(slice_ticks: int, form: str, mode: str) -> tuple[object, ...]:
        run, strategy = dispatcher(array(range(1, 3_001)), digest=mode, slice_ticks=slice_ticks), Batches()
        run.register(strategy, "batches", max_ticks=700)
        stopper = Recorder()
        stopper.on_tick = lambda tick: run.request_stop() if tick.ts_event == 2_900 else None  # type: ignore[method-assign]
        run.register(stopper, "stopper")
        if form == "pull":
            run.register_pull(_native.StrategyCore(), "me")
            assert [tick.ts_event for tick in run.pulls()] == list(range(1, 2_901))
        else:
            assert run.run() == "stopped"
        return strategy.sizes, run.stats()["ticks"], len(run.fills()), run.digest()

    for form in ("run", "pull"):
        whole = outcome(4_096, form, "full")
        assert whole[:2] == ([700, 700, 700, 700, 100], 2_900)
        assert [outcome(slice_ticks, form, "full") for slice_ticks in (1, 7, 511, 512, 513)] == [whole] * 5
        assert outcome(4_096, form, "events")[:3] == whole[:3]


def test_timers_call_back_and_cancel() -> None:
    fired: list[tuple[int, int]] = []

    class Timed(_native.StrategyCore):
        def on_start(self) -> None:
            self.every = self.schedule_every(1_000, lambda event: fired.append((event.due_ns, event.count)))
            self.schedule_at(3_500)

        def on_tick(self, tick: _native.Tick) -> None:
            pass

        def on_timer(self, event: _native.TimerEvent) -> None:
            assert self.now_ns == 3_500
            self.every.cancel()
            fired.append((event.due_ns, -1))

    run = dispatcher(array([1_000, 1_500, 9_000]))
    run.register(Timed(), "timed")
    run.run()
    assert fired == [(2_000, 1), (3_000, 2), (3_500, -1)]
    assert run.stats()["timers_fired"] == 3
    assert not run.errors()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda s: s.buy(EURUSD, 0.0), "quantity is 0: expected a number above zero and at most 1e15"),
        (lambda s: s.buy(EURUSD, 1.1e15), "quantity is 1100000000000000: expected a number above zero"),
        (lambda s: s.target(EURUSD, -1e308), "quantity is -1"),
        (lambda s: s.sell(EURUSD, float("nan")), "quantity is NaN"),
        (lambda s: s.target(EURUSD, float("inf")), "quantity is inf"),
        (lambda s: s.buy("GBPUSD.NOWHERE", 1.0), 'the run has no instrument "GBPUSD.NOWHERE"'),
        (lambda s: s.cancel(99), "no order number 99"),
    ],
)
def test_requests_that_make_no_sense_are_refused_on_the_spot(act: Any, message: str) -> None:
    caught: list[BaseException] = []

    class Acts(_native.StrategyCore):
        def on_tick(self, tick: _native.Tick) -> None:
            try:
                act(self)
            except errors.OrderRefused as error:
                caught.append(error)

    run = dispatcher(array([1]))
    run.register(Acts(), "acts")
    run.run()
    assert message in str(caught[0])
    assert len(run.orders()) == 0


def test_calls_outside_the_run_or_from_other_threads_are_refused() -> None:
    problems: list[BaseException] = []

    class Acts(_native.StrategyCore):
        def on_tick(self, tick: _native.Tick) -> None:
            def elsewhere() -> None:
                try:
                    self.buy(EURUSD, 1.0)
                except errors.WrongThread as error:
                    problems.append(error)

            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()

    acts = Acts()
    with pytest.raises(errors.OrderRefused, match="belongs to no run yet"):
        acts.buy(EURUSD, 1.0)
    run = dispatcher(array([1]))
    run.register(acts, "acts")
    run.run()
    assert "not the run's dispatch thread" in str(problems[0])
    with pytest.raises(errors.WrongThread, match="the run is not going on"):
        acts.buy(EURUSD, 1.0)
    with pytest.raises(errors.IllegalTransition, match="was in a run before"):
        dispatcher(array([1])).register(acts, "again")


def test_looking_at_the_run_from_a_handler_is_refused_and_running_twice_too() -> None:
    class Looks(_native.StrategyCore):
        def on_tick(self, tick: _native.Tick) -> None:
            run.stats()

    run = dispatcher(array([1, 2]))
    run.register(Looks(), "looks")
    run.run()
    assert "the run is going on" in run.errors()[0]["message"]


def test_data_that_runs_backwards_ends_the_run_with_the_place() -> None:
    records = quotes([1, 2, 3])
    records["ts_event"] = [1, 3, 2]
    run = _native.Dispatcher(instruments=[{"id": EURUSD}])
    with pytest.raises((errors.RunFailed, errors.DataError), match="backwards"):
        run.add_feed("bad", _native.TickArray.from_records(records, [EURUSD]))
        run.run()


def test_batches_are_read_only_views_that_may_be_kept() -> None:
    kept: list[Any] = []

    class Batches(_native.StrategyCore):
        def on_batch(self, batch: _native.TickBatch) -> None:
            kept.append((batch.quotes, batch.column("bid"), len(batch.trades)))
            with pytest.raises(ValueError, match="read-only"):
                batch.records["ts_event"][0] = 5
            with pytest.raises(ValueError, match="WRITEABLE"):
                batch.records.setflags(write=True)
            with pytest.raises(KeyError, match="no column price"):
                batch.column("price")

    run = dispatcher(array(range(1, 101)))
    run.register(Batches(), "batches", max_ticks=30)
    run.run()
    assert not run.errors()
    del run
    gc.collect()
    assert [len(part) for part, _, _ in kept] == [30, 30, 30, 10]
    assert np.concatenate([part["ts_event"] for part, _, _ in kept]).tolist() == list(range(1, 101))
    assert kept[0][1].tolist() == (1.0 + np.arange(1, 31) / 1000).tolist()
    assert kept[0][2] == 0


def test_pull_interleaves_with_other_strategies_and_breaking_off_is_a_stop() -> None:
    recorder = Recorder()
    run = dispatcher(array(range(1, 100)))
    run.register(recorder, "recorder")
    run.register_pull(_native.StrategyCore(), "me")
    kept = []
    for _ in range(10):
        tick = run.pull()
        assert tick is not None
        kept.append(tick)
        assert len(recorder.kept) == tick.ts_event
    run.finish()
    run.finish()
    assert run.pull() is None
    assert [tick.ts_event for tick in kept] == list(range(1, 11))
    assert run.end == "stopped"
    assert {row["state"] for row in run.strategies()} == {"STOPPED"}
    with pytest.raises(ValueError, match="the pull strategy is the last"):
        late = dispatcher(array([1]))
        late.register_pull(_native.StrategyCore(), "me")
        late.register(Recorder(), "late")


def test_pausing_between_pulls() -> None:
    recorder = Recorder()
    run = dispatcher(array(range(1, 11)))
    number = run.register(recorder, "recorder")
    run.register_pull(_native.StrategyCore(), "me")
    while (tick := run.pull()) is not None:
        if tick.ts_event == 3:
            assert run.operate(number, "pause", "no_ticks")
            assert not run.operate(number, "pause", "no_ticks")
        if tick.ts_event == 6:
            assert run.operate(number, "resume")
    assert [tick.ts_event for tick in recorder.kept] == [1, 2, 3, 6, 7, 8, 9, 10]
    assert (recorder.kept[3].kind, recorder.kept[3].values) == ("GAP", (0.0, 0.0, 3.0, 0.0))
    assert run.strategies()[0]["skipped"] == 3
    with pytest.raises(
        errors.IllegalTransition, match=r"cannot pause strategy .*: it is STOPPED; allowed here: restart"
    ):
        run.operate(number, "pause", "no_ticks")


def test_memory_and_references_stay_flat() -> None:
    class Counts(_native.StrategyCore):
        def __init__(self) -> None:
            self.n = 0

        def on_quote(self, tick: _native.Tick) -> None:
            self.n += tick.bid > 0

    data = array(np.arange(1, 200_001))

    def once() -> None:
        run = dispatcher(data)
        run.register(Counts(), "counts")
        run.run()

    for _ in range(3):  # the interpreter's own caches fill
        once()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(5):
        once()
    gc.collect()
    assert sys.getallocatedblocks() - before < 100, "less than one block per 10,000 ticks"
