"""Lives through the binding: requests of other threads, of handlers, restarts, slow hooks, what is refused."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import CancelledError
from typing import Any

import pytest

import tickrail
from tickrail import State, Strategy
from tickrail.errors import HandlerError, IllegalTransition, OrderRefused, ParameterError, StateError, WrongThread
from tickrail.orchestration.tick_dispatcher import TickDispatcher

from .runs import EURUSD, array


class Stepped(Strategy):
    """Stops in the middle of chosen ticks until the test lets it go on."""

    def on_start(self) -> None:
        self.calls: list[str] = getattr(self, "calls", [])
        self.calls.append("start")

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.calls.append(f"{tick.ts_event}{' gap' if tick.kind == 'GAP' else ''}")
        act = getattr(self, "acts", {}).get((tick.ts_event, tick.kind))
        if act is not None:
            act()

    def on_pause(self) -> None:
        self.calls.append("pause")

    def on_resume(self) -> None:
        self.calls.append("resume")

    def on_stop(self) -> None:
        self.calls.append("stop")


def run_of(*strategies: Strategy, ticks: int = 9, **settings: Any) -> TickDispatcher:
    dispatcher = TickDispatcher([{"id": EURUSD}])
    dispatcher.feed("quotes", array(range(1, ticks + 1)))
    for number, strategy in enumerate(strategies):
        dispatcher.register(strategy, f"s{number}", **settings)
    return dispatcher


def at(strategy: Stepped, ts_event: int, act: Any) -> None:
    strategy.__dict__.setdefault("acts", {})[ts_event, "QUOTE"] = act


def elsewhere(act: Any) -> None:
    """``act`` on another thread, while this one waits."""
    thread = threading.Thread(target=act)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_another_thread_pauses_and_resumes_between_two_steps() -> None:
    strategy = Stepped()
    dispatcher, receipts = run_of(strategy), []
    lives = dispatcher.lives
    at(strategy, 3, lambda: elsewhere(lambda: receipts.append(lives.pause("s0", mode="no_ticks", cause="night"))))
    other = Stepped()
    dispatcher.register(other, "other")
    at(other, 6, lambda: elsewhere(lambda: receipts.append(lives.resume("s0"))))
    dispatcher.run()
    assert strategy.calls == ["start", "1", "2", "3", "pause", "resume", "6 gap", "7", "8", "9", "stop"]
    assert [receipt.result(0) for receipt in receipts] == [State.PAUSED, State.RUNNING]
    paused = next(change for change in lives.changes if change.operation == "pause")
    assert (paused.strategy, paused.ts_ns, paused.mode, paused.cause) == ("s0", 3, "no_ticks", "night")
    assert dispatcher.result().changes == lives.changes


def test_equal_requests_share_a_receipt_and_a_stop_overtakes() -> None:
    strategy = Stepped()
    dispatcher, got = run_of(strategy), {}
    lives = dispatcher.lives

    def ask() -> None:
        got.update(first=lives.pause("s0"), again=lives.pause("s0"), stop=lives.stop("s0"))
        with pytest.raises(
            IllegalTransition, match="cannot pause strategy s0: it is STOPPED; allowed here: restart"
        ) as caught:
            lives.pause("s0")
        assert (caught.value.state, caught.value.operation, caught.value.allowed) == ("STOPPED", "pause", ("restart",))

    at(strategy, 2, lambda: elsewhere(ask))
    dispatcher.run()
    assert got["first"] is got["again"]
    assert got["first"].cancelled()
    with pytest.raises(CancelledError):
        got["first"].result(0)
    assert got["stop"].result(0) is State.STOPPED
    assert strategy.calls == ["start", "1", "2", "stop"]


def test_eight_threads_ask_at_once_and_get_one_pause() -> None:
    strategy = Stepped()
    dispatcher, receipts = run_of(strategy), []
    gate = threading.Barrier(8)

    def ask() -> None:
        gate.wait(10)
        receipts.append(dispatcher.lives.pause("s0"))

    def all_of_them() -> None:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    at(strategy, 2, all_of_them)
    dispatcher.run()
    assert len(set(map(id, receipts))) == 1
    assert len(receipts) == 8
    assert strategy.calls.count("pause") == 1


def test_a_handler_acts_on_its_own_life() -> None:
    strategy = Stepped()
    at(strategy, 2, lambda: strategy.pause())
    at(strategy, 4, lambda: strategy.resume())
    at(strategy, 6, lambda: strategy.stop())
    dispatcher = run_of(strategy)
    dispatcher.run()
    assert strategy.calls == ["start", "1", "2", "pause", "3", "4", "resume", "5", "6", "stop"]
    assert {change.cause for change in dispatcher.lives.changes[2:]} == {"the strategy"}
    with pytest.raises(ValueError, match="mode is \"slowly\": expected 'no_new_orders' or 'no_ticks'"):
        strategy.pause(mode="slowly")


def test_waiting_for_oneself_is_refused() -> None:
    strategy = Stepped()
    dispatcher, caught = run_of(strategy), []

    def wait() -> None:
        with pytest.raises(WrongThread, match="cannot wait"):
            dispatcher.lives.pause("s0").result()
        caught.append(True)

    at(strategy, 2, wait)
    dispatcher.run()
    assert caught


def test_an_object_that_was_handed_over_cannot_restart_and_says_so() -> None:
    strategy = Stepped()
    dispatcher, said = run_of(strategy), []

    def restart() -> None:
        for act in (strategy.restart, lambda: dispatcher.lives.restart("s0")):
            with pytest.raises(IllegalTransition, match="handed over as an object, which lives once") as caught:
                act()
            said.append(caught.value.hint)

    at(strategy, 2, restart)
    dispatcher.run()
    assert set(said) == {"register its class: a configuration does, and so does renew=..."}
    assert strategy.calls[-1] == "stop"


class Counting(Strategy):
    """Restarts itself once, keeping how far it got."""

    made = 0

    def on_start(self) -> None:
        type(self).made += 1
        self.first = self.state.setdefault("ticks", 0)

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.state["ticks"] += 1
        if tick.ts_event == 4:
            self.restart()


class Memory:
    """A store that shows what was saved."""

    def __init__(self) -> None:
        self.saved: dict[str, Any] = {}

    def load(self, strategy: str) -> dict[str, Any]:
        return self.saved.get(strategy, {})

    def save(self, strategy: str, state: Any) -> None:
        self.saved[strategy] = dict(state)


def test_a_restart_makes_a_new_object_with_the_state_of_the_old_one() -> None:
    old, store = Counting(), Memory()
    dispatcher = run_of(old, renew=Counting, store=store)
    dispatcher.run()
    new = dispatcher.strategies["s0"]
    assert new is not old
    assert (old.state, new.state, new.first) == ({"ticks": 4}, {"ticks": 9}, 4)  # type: ignore[attr-defined]
    assert store.saved == {"s0": {"ticks": 9, "state_version": 1}}
    assert [change.after for change in dispatcher.lives.changes[2:]] == [
        *("STOPPED", "CREATED", "INITIALISED", "RUNNING"),
        "STOPPED",
    ]
    with pytest.raises(OrderRefused, match="a restart has put a new object in the place of this one"):
        old.buy(EURUSD, 1.0)
    gone = weakref.ref(old)
    del old
    gc.collect()
    assert gone() is None, "nothing holds the old object"


def test_saved_states_have_a_version() -> None:
    class Second(Counting):
        state_version = 2

    store = Memory()
    store.saved["s0"] = {"ticks": 7, "state_version": 1}
    dispatcher = run_of(Second(), store=store)
    dispatcher.run()
    (error,) = dispatcher.result().errors
    assert isinstance(error.exception, StateError)
    assert error.message.startswith("strategy s0: the saved state has version 1, but Second has version 2")
    assert store.saved["s0"]["ticks"] == 7, "what cannot be read is left alone"

    class Migrating(Second):
        def migrate_state(self, state: dict[str, Any], version: int) -> dict[str, Any]:
            return {"ticks": state["ticks"] * 100 + version}

        def on_tick(self, tick: tickrail.Tick) -> None:
            self.state["ticks"] += 1

    dispatcher = run_of(Migrating(), store=store)
    dispatcher.run()
    assert store.saved["s0"] == {"ticks": 710, "state_version": 2}


def test_a_new_object_of_another_form_is_refused() -> None:
    class Batches(Strategy):
        def on_batch(self, batch: tickrail.TickBatch) -> None: ...

    dispatcher = run_of(Counting(), renew=Batches)
    dispatcher.run()
    result = dispatcher.result()
    assert result.strategy("s0").state == "FAILED"
    assert isinstance(result.errors[0].exception, HandlerError)
    assert result.errors[0].handler == "restart"


def test_a_compiled_strategy_pauses_and_restarts() -> None:
    pytest.importorskip("numba")
    import numpy as np

    class Compiled(Strategy):
        state_dtype = np.dtype([("ticks", "i8")])

        @staticmethod
        def on_tick(tick: Any, state: Any, out: Any) -> None:
            state.ticks += 1

    old = Compiled()
    dispatcher = run_of(old, renew=Compiled)
    watching = Stepped()
    dispatcher.register(watching, "watching")
    at(watching, 3, lambda: dispatcher.lives.restart("s0"))
    at(watching, 5, lambda: dispatcher.lives.pause("s0", mode="no_ticks"))
    dispatcher.run()
    new = dispatcher.strategies["s0"]
    assert (int(old.snapshot()["ticks"]), int(new.snapshot()["ticks"])) == (3, 2)
    assert dispatcher.result().ok


def test_failing_by_decree_is_recorded_with_its_cause() -> None:
    strategy = Stepped()
    dispatcher = run_of(strategy)
    at(strategy, 3, lambda: dispatcher.lives.fail("s0", cause="the risk desk said so"))
    dispatcher.run()
    (error,) = dispatcher.result().errors
    assert (error.type, error.message, error.ts_ns) == ("Failed", "the risk desk said so", 3)
    assert strategy.calls == ["start", "1", "2", "3"]


def test_before_and_after_the_run() -> None:
    first, second = Stepped(), Stepped()
    dispatcher = run_of(first, second)
    lives = dispatcher.lives
    assert lives.standing("s0").state is State.INITIALISED
    with pytest.raises(IllegalTransition, match="cannot pause strategy s0: it is INITIALISED"):
        lives.pause("s0")
    with pytest.raises(ParameterError, match="no strategy 's00' in this run; did you mean 's0'"):
        lives.pause("s00")
    early = lives.stop("s0")
    dispatcher.run()
    assert early.result(0) is State.STOPPED
    assert not hasattr(first, "calls"), "it never started"
    assert second.calls[-1] == "stop"
    assert lives.stop("s1").result(0) is State.STOPPED, "it is there already"
    with pytest.raises(IllegalTransition, match="it is STOPPED") as caught:
        lives.pause("s1")
    assert caught.value.hint == "the run is over: bootstrap another one"


def test_listeners_hear_of_each_change_and_may_fail() -> None:
    strategy = Stepped()
    dispatcher, heard = run_of(strategy), []

    def broken(change: object) -> None:
        raise RuntimeError("no such luck")

    dispatcher.lives.listen(broken)
    dispatcher.lives.listen(lambda change: heard.append(change.after))
    dispatcher.run()
    assert heard == ["INITIALISED", "RUNNING", "STOPPED"]
    assert dispatcher.result().ok


def test_a_hook_that_takes_too_long_is_reported() -> None:
    class Slow(Strategy):
        def on_start(self) -> None:
            seen.append(dispatcher.lives.running_hook())
            waiting.wait(0.15)

        def on_tick(self, tick: tickrail.Tick) -> None: ...

    seen: list[Any] = []
    waiting = threading.Event()
    dispatcher = run_of(Slow())
    dispatcher.lives.hook_deadline_ns = 1_000_000
    dispatcher.run()
    assert (seen[0].strategy, seen[0].hook, seen[0].returned) == ("s0", "on_start", False)
    (overrun,) = dispatcher.lives.slow_hooks
    assert (overrun.strategy, overrun.hook, overrun.returned) == ("s0", "on_start", True)
    assert overrun.ns > 1_000_000
    assert dispatcher.lives.running_hook() is None


def test_nothing_keeps_a_run_alive() -> None:
    strategy = Stepped()
    dispatcher = run_of(strategy, renew=Stepped)
    dispatcher.run()
    gone = weakref.ref(strategy)
    del strategy, dispatcher
    gc.collect()
    assert gone() is None


def test_what_the_end_of_the_run_leaves_undone_is_told_to_who_asked() -> None:
    """Asked for by the last handler of all: the loop has no turn any more in which it could be done."""

    class Last(Stepped):
        def on_stop(self) -> None:
            receipts.append(dispatcher.lives.pause("s0"))

    dispatcher, receipts = run_of(Stepped(), Last()), []
    dispatcher.run()
    (receipt,) = receipts
    assert not receipt.cancel(), "what the loop was asked for is not taken back"
    if not receipt.cancelled():
        with pytest.raises(IllegalTransition, match="strategy s0: "):
            receipt.result(0)
    assert dispatcher.lives.standing("s0").state is State.STOPPED
