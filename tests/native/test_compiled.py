"""Compiled strategies: the same run as in Python, without Python; their faults, timers, updates, batches and state."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import Strategy
from tickrail.domain.ticks import Kind
from tickrail.errors import HandlerError
from tickrail.strategy.compiled import StatusCode, TimeInForceCode, unsafe_address
from tickrail.strategy.lifecycle import State

pytestmark = pytest.mark.slow  # processes and compilers: half a second each, and there are many

numba = pytest.importorskip("numba")

TICKS = tickrail.data.generate_ticks(20_000, seed=3)
EMA_STATE = np.dtype([("fast", "f8"), ("slow", "f8"), ("x", "f8"), ("y", "f8"), ("is_long", "?"), ("updates", "i8")])


class Ema(Strategy):
    """Compiled."""

    fast: int = 20
    slow: int = 100
    state_dtype = EMA_STATE

    @staticmethod
    def on_quote(tick: Any, state: Any, out: Any) -> None:
        mid = (tick.bid + tick.ask) * 0.5
        if state.x == 0.0:
            state.x = mid
            state.y = mid
        state.x += 2 / (state.fast + 1) * (mid - state.x)
        state.y += 2 / (state.slow + 1) * (mid - state.y)
        is_long = state.x > state.y
        if is_long != state.is_long:
            state.is_long = is_long
            out.target(tick.instrument, 1.0 if is_long else 0.0)

    @staticmethod
    def on_order_update(update: Any, state: Any, out: Any) -> None:
        state.updates += 1


def python_ema() -> type[Strategy]:
    """The same in Python, under the same name, which is part of the digest."""

    class Ema(Strategy):
        fast: int = 20
        slow: int = 100

        def on_start(self) -> None:
            self.x = self.y = 0.0
            self.is_long, self.updates = False, 0

        def on_quote(self, tick: Any) -> None:
            mid = (tick.bid + tick.ask) * 0.5
            if self.x == 0.0:
                self.x = self.y = mid
            self.x += 2 / (self.fast + 1) * (mid - self.x)
            self.y += 2 / (self.slow + 1) * (mid - self.y)
            is_long = self.x > self.y
            if is_long is not self.is_long:
                self.is_long = is_long
                self.target(tick.instrument, 1.0 if is_long else 0.0)

        def on_order_update(self, update: Any) -> None:
            self.updates += 1

    Ema.__qualname__ = "Ema"
    return Ema


@pytest.mark.parametrize("slice_ticks", [1, 7, 4_096])
def test_it_is_the_same_run_as_in_python(slice_ticks: int) -> None:
    plain, compiled = python_ema()(fast=10), Ema(fast=10)
    expected = tickrail.backtest({"ema": plain}, TICKS, slice_ticks=slice_ticks, fee_rate=1e-5)
    found = tickrail.backtest({"ema": compiled}, TICKS, slice_ticks=slice_ticks, fee_rate=1e-5)
    assert (found.ok, len(found.fills)) == (True, len(expected.fills)) and len(found.fills) > 100
    assert found.fills.tobytes() == expected.fills.tobytes()
    assert found.orders.tobytes() == expected.orders.tobytes()
    assert found.digest == expected.digest
    assert compiled.snapshot()["updates"] == plain.updates > 0
    assert compiled.snapshot()["x"] == plain.x


def test_beside_python_strategies_it_keeps_its_place() -> None:
    def names(first: Strategy, second: Strategy) -> Any:
        return tickrail.backtest({"one": first, "ema": second, "three": python_ema()()}, TICKS)

    expected = names(python_ema()(), python_ema()())
    found = names(python_ema()(), Ema())
    assert found.digest == expected.digest
    assert [row.delivered for row in found.strategies] == [20_000] * 3


def test_parameters_fill_the_state_and_on_start_reaches_it() -> None:
    class Starts(Strategy):
        level: float = 1.5
        state_dtype = np.dtype([("level", "f8"), ("double", "f8"), ("seen", "i8", (2,))])

        def on_start(self) -> None:
            self.state["double"] = 2 * self.level

        @staticmethod
        def on_tick(tick: Any, state: Any, out: Any) -> None:
            state.seen[0] += 1
            state.seen[1] = tick.ts_event

    strategy = Starts(level=2.5)
    with pytest.raises(HandlerError, match="Starts has no compiled state; a run makes it"):
        strategy.snapshot()
    assert tickrail.backtest(strategy, TICKS).ok
    state = strategy.snapshot()
    assert (state["level"], state["double"]) == (2.5, 5.0)
    assert state["seen"].tolist() == [20_000, int(TICKS.numpy()["ts_event"][-1])]
    state["level"] = 0.0
    assert strategy.snapshot()["level"] == 2.5, "a snapshot is a copy"


class Priced(Strategy):
    """Every kind of order, its terms by keyword and by place, one a tick."""

    state_dtype = np.dtype([("seen", "i8"), ("fills", "f8"), ("last", "i8")])

    @staticmethod
    def on_quote(tick: Any, state: Any, out: Any) -> None:
        state.seen += 1
        one, mid, later = state.seen, (tick.bid + tick.ask) * 0.5, tick.ts_event + 50_000_000_000
        if one == 1:
            out.buy(tick.instrument, 2.0, mid - 0.0002)
        elif one == 2:
            out.sell(tick.instrument, 1.0, limit=mid + 0.0002, post_only=True)
        elif one == 3:
            out.sell(tick.instrument, 1.0, stop=mid - 0.0004)
        elif one == 4:
            out.buy(tick.instrument, 3.0, stop=mid + 0.0003, limit=mid + 0.0004, expires_ns=later)
        elif one == 5:
            out.buy(tick.instrument, 1.0, limit=mid - 0.001, time_in_force=TimeInForceCode.IOC)
        elif one == 6:
            out.sell(tick.instrument, 5.0, time_in_force=2, reduce_only=False)
        elif one == 7:
            out.buy(tick.instrument, 1.0, limit=mid - 0.002, time_in_force=TimeInForceCode.DAY)
        elif one == 8:
            out.amend(7, limit=mid - 0.003)
            out.amend(1, 2.5)
        elif one == 2_000:
            out.buy(tick.instrument, 4.0, reduce_only=True)

    @staticmethod
    def on_order_update(update: Any, state: Any, out: Any) -> None:
        state.last = update.order
        if update.status in (StatusCode.FILLED, StatusCode.PARTIALLY_FILLED):
            state.fills += update.filled


class _Plain(Strategy):
    """The same in Python, below under the same name."""

    def on_start(self) -> None:
        self.seen = 0

    def on_quote(self, tick: tickrail.Tick) -> None:
        self.seen += 1
        mid, later, me = (tick.bid + tick.ask) * 0.5, tick.ts_event + 50_000_000_000, tick.instrument
        asked: dict[int, Callable[[], object]] = {
            1: lambda: self.buy(me, 2.0, limit=mid - 0.0002),
            2: lambda: self.sell(me, 1.0, limit=mid + 0.0002, post_only=True),
            3: lambda: self.sell(me, 1.0, stop=mid - 0.0004),
            4: lambda: self.buy(me, 3.0, stop=mid + 0.0003, limit=mid + 0.0004, expires_ns=later),
            5: lambda: self.buy(me, 1.0, limit=mid - 0.001, time_in_force="IOC"),
            6: lambda: self.sell(me, 5.0, time_in_force="FOK"),
            7: lambda: self.buy(me, 1.0, limit=mid - 0.002, time_in_force="DAY"),
            8: lambda: (self.amend(7, limit=mid - 0.003), self.amend(1, quantity=2.5)),
            2_000: lambda: self.buy(me, 4.0, reduce_only=True),
        }
        asked.get(self.seen, lambda: None)()

    def on_order_update(self, update: tickrail.OrderUpdate) -> None: ...


def test_orders_of_every_kind_are_those_of_the_same_strategy_in_python() -> None:
    compiled, plain = (tickrail.backtest(one, TICKS) for one in (Priced(), type("Priced", (_Plain,), {})()))
    assert compiled.ok and plain.ok, (compiled.summary(), plain.summary())
    assert compiled.orders.tobytes() == plain.orders.tobytes()
    assert compiled.fills.tobytes() == plain.fills.tobytes()
    assert compiled.digest == plain.digest
    assert len(compiled.fills) >= 4 and len(set(compiled.orders["kind"])) == 4


@pytest.mark.parametrize("name", ["limit", "stop"])
def test_a_price_that_is_no_number_never_makes_a_market_order(name: str) -> None:
    def limit(tick: Any, state: Any, out: Any) -> None:
        out.buy(tick.instrument, 1.0, limit=tick.bid * np.nan)

    def stop(tick: Any, state: Any, out: Any) -> None:
        out.sell(tick.instrument, 1.0, stop=tick.bid * np.nan)

    class NoNumber(Strategy):
        state_dtype = np.dtype([("n", "i8")])
        on_quote = staticmethod(limit if name == "limit" else stop)

    result = tickrail.backtest(NoNumber(), TICKS)
    (error,) = result.errors
    assert "price is NaN" in error.message and not len(result.orders), error.message
    assert result.strategies[0].state == "FAILED"


def test_timers_by_tag_and_everything_else_that_can_be_asked_for() -> None:
    class Timed(Strategy):
        state_dtype = np.dtype([("begun", "?"), ("every", "i8"), ("once", "i8"), ("at", "i8"), ("order", "i8")])

        @staticmethod
        def on_quote(tick: Any, state: Any, out: Any) -> None:
            if not state.begun:
                state.begun = True
                state.at = tick.ts_event + 1_500
                out.schedule_every(1_000_000, 7)
                out.schedule_at(tick.ts_event + 1_500, 8)
                out.buy(tick.instrument, 2.0)
                out.sell(tick.instrument, 0.5)

        @staticmethod
        def on_timer(timer: Any, state: Any, out: Any) -> None:
            if timer.tag == 8:
                state.once += 1
                if timer.ts_ns != state.at:
                    state.once += 100
            elif timer.tag == 7:
                state.every += 1
                if timer.count == 5:
                    out.cancel_timer(7)
                    out.cancel(1)
                    out.unsubscribe(0)

        @staticmethod
        def on_order_update(update: Any, state: Any, out: Any) -> None:
            state.order = update.order

    strategy = Timed()
    result = tickrail.backtest(strategy, TICKS)
    assert result.ok, result.summary()
    state = strategy.snapshot()
    assert (state["every"], state["once"], state["order"]) == (5, 1, 2)
    assert result.stats["timers_fired"] == 6
    assert result.fills["quantity"].tolist() == [2.0, 0.5]
    (account,) = result.strategies
    assert 0 < account.delivered < 20_000, "the rest came after it unsubscribed"


def test_batches_stop_and_python_timers() -> None:
    class Batches(Strategy):
        state_dtype = np.dtype([("batches", "i8"), ("ticks", "i8"), ("sum", "f8"), ("tag", "i8")])

        def on_start(self) -> None:
            self.number = self.schedule_at(self.now_ns + 1).number
            with pytest.raises(HandlerError, match="timers of a compiled strategy call its on_timer"):
                self.schedule_at(self.now_ns + 1, print)

        @staticmethod
        def on_batch(ticks: Any, state: Any, out: Any) -> None:
            state.batches += 1
            for tick in ticks:
                state.ticks += 1
                state.sum += tick.bid
            if state.ticks > 10_000:
                out.stop()

        @staticmethod
        def on_timer(timer: Any, state: Any, out: Any) -> None:
            state.tag = timer.tag

    strategy = Batches()
    result = tickrail.backtest(strategy, TICKS, max_ticks=4_000)
    state = strategy.snapshot()
    taken = int(state["ticks"])
    assert result.ok and 10_000 < taken < 20_000
    assert state["sum"] == pytest.approx(TICKS.numpy()["value_0"][:taken].sum())
    assert state["tag"] == strategy.number
    (account,) = result.strategies
    assert (account.state, account.delivered, account.accounts["skipped"]) == ("STOPPED", taken, 20_000 - taken)


class Faulty(Strategy):
    """Fails at the hundredth tick, in one of several ways."""

    how: int
    state_dtype = np.dtype([("how", "i8"), ("seen", "i8"), ("history", "f8", (16,))])

    @staticmethod
    def on_quote(tick: Any, state: Any, out: Any) -> None:
        state.seen += 1
        out.target(tick.instrument, 1.0)
        if state.seen >= 100:
            if state.how == 0:
                state.history[0] = 1.0 / (tick.bid - tick.bid)
            elif state.how == 1:
                state.history[state.seen] = 1.0
            elif state.how == 2:
                raise ValueError("as planned")
            elif state.how == 3:
                out.buy(99, 1.0)
            elif state.how == 4:
                for _ in range(2_000):
                    out.buy(tick.instrument, 1.0)


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        (0, "ZeroDivisionError", "division by zero"),
        (1, "IndexError", "index is out of bounds"),
        (2, "ValueError", "as planned"),
        (3, "HandlerError", "instrument number 99 is not in the run's table"),
        (4, "OverflowError", "out is full: a handler asks for at most 1024 things in one call"),
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_a_fault_fails_the_strategy_with_its_tick_and_no_other(how: int, kind: str, message: str, beside: bool) -> None:
    others = {"other": python_ema()()} if beside else {"other": Ema()}
    result = tickrail.backtest({"faulty": Faulty(how=how), **others}, TICKS)
    (error,) = result.errors
    assert (error.strategy, error.handler, error.type) == ("faulty", "on_quote", kind)
    assert error.message == message
    assert error.tick is not None and error.tick.ts_event == TICKS.numpy()["ts_event"][99]
    faulty, other = result.strategies
    assert (faulty.state, faulty.delivered, faulty.accounts["skipped"]) == ("FAILED", 100, 19_900)
    assert (other.state, other.delivered, other.accounts["skipped"]) == (State.STOPPED.name, 20_000, 0)
    assert faulty.fills == 1


def test_an_exception_in_python_hooks_is_the_strategys_own() -> None:
    class Hooks(Ema):
        def on_stop(self) -> None:
            raise RuntimeError("late")

    result = tickrail.backtest(Hooks(), TICKS)
    assert [(error.handler, error.type) for error in result.errors] == [("on_stop", "RuntimeError")]


def test_a_snapshot_from_another_thread_while_the_loop_runs_without_the_gil() -> None:
    class Counts(Strategy):
        state_dtype = np.dtype([("a", "i8"), ("work", "f8"), ("b", "i8")])

        @staticmethod
        def on_tick(tick: Any, state: Any, out: Any) -> None:
            state.a += 1
            for i in range(100):  # sums of floats, which no compiler may foresee: some hundred ms a run
                state.work += i * tick.ts_event
            state.b += 1

    strategy = Counts()
    data = tickrail.data.generate_ticks(2_000_000, seed=1)
    seen: list[tuple[int, int]] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            if "_compiled" in strategy.__dict__:
                state = strategy.snapshot()
                seen.append((int(state["a"]), int(state["b"])))
            time.sleep(0.002)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        assert tickrail.backtest(strategy, data).ok
    finally:
        ended.set()
        thread.join(timeout=60)
    assert all(a == b for a, b in seen), "never in the middle of a call"
    assert [a for a, _ in seen] == sorted(a for a, _ in seen)
    assert len({a for a, _ in seen}) > 3, "the loop went on while Python ran"


TAKE = numba.types.int64(numba.types.voidptr, numba.types.int64, numba.types.voidptr, numba.types.voidptr)


def test_a_raw_function_by_its_address() -> None:
    @numba.cfunc(TAKE)
    def count(ticks: Any, number: int, state: Any, out: Any) -> int:
        numba.carray(state, (1,), np.int64)[0] += number
        return number

    class Raw(Strategy):
        state_dtype = np.dtype([("seen", "i8")])
        on_tick = unsafe_address(count.address, abi_version=2, owner=count)

    strategy = Raw()
    assert tickrail.backtest(strategy, TICKS).ok
    assert strategy.snapshot()["seen"] == 20_000
    with pytest.raises(HandlerError, match="made for ABI version 3; this tickrail has 2"):
        unsafe_address(count.address, abi_version=3)
    with pytest.raises(HandlerError, match="0 is no address of a function"):
        unsafe_address(0, abi_version=2)


@pytest.mark.parametrize(
    ("offset", "target", "what"),
    [(1, "state", "its state"), (64, "state", "its state"), (5_121, "out", "its out records")],
)
def test_the_dry_run_finds_a_function_that_writes_beyond_its_memory(offset: int, target: str, what: str) -> None:
    into_state = target == "state"

    @numba.cfunc(TAKE)
    def writes(ticks: Any, number: int, state: Any, out: Any) -> int:
        if number > 0:
            where = state if into_state else out
            numba.carray(where, (8_000,), np.int64)[offset] = 1
        return number

    class Wild(Strategy):
        state_dtype = np.dtype([("seen", "i8")])
        on_tick = unsafe_address(writes.address, abi_version=2, owner=writes)

    result = tickrail.backtest(Wild(), TICKS)
    (error,) = result.errors
    assert (error.handler, error.type) == ("on_start", "HandlerError")
    assert error.message.startswith(f"on_tick wrote beyond {what} in a dry run")
    assert result.strategies[0].delivered == 0


def test_a_function_that_lies_about_what_it_took_is_caught() -> None:
    @numba.cfunc(TAKE)
    def lies(ticks: Any, number: int, state: Any, out: Any) -> int:
        return number + 1

    class Lies(Strategy):
        state_dtype = np.dtype([("seen", "i8")])
        on_tick = unsafe_address(lies.address, abi_version=2, owner=lies)

    (error,) = tickrail.backtest(Lies(), TICKS).errors
    assert "says that it took 2 of 1 ticks" in error.message


def test_what_cannot_be_compiled_is_refused_before_the_run_with_the_users_line() -> None:
    class Words(Strategy):
        state_dtype = np.dtype([("x", "f8")])

        @staticmethod
        def on_quote(tick: Any, state: Any, out: Any) -> None:
            state.x = tick.price  # a quote has none

    with pytest.raises(HandlerError) as caught:
        tickrail.backtest(Words(), TICKS)
    assert caught.value.strategy == "Words"
    assert "a handler reads 'price', which its record does not have" in caught.value.message
    assert "test_compiled.py:" in caught.value.message and "state.x = tick.price" in caught.value.message

    class Types(Strategy):
        state_dtype = np.dtype([("x", "f8")])

        @staticmethod
        def on_quote(tick: Any, state: Any, out: Any) -> None:
            state.x = "text"

    with pytest.raises(HandlerError) as caught:
        tickrail.backtest(Types(), TICKS)
    assert "Types: a handler cannot be compiled" in caught.value.message
    assert 'state.x = "text"' in caught.value.message and "test_compiled.py" in caught.value.message


def test_a_parameter_that_does_not_fit_its_field() -> None:
    class Text(Strategy):
        word: str = "abc"
        state_dtype = np.dtype([("word", "f8")])

        @staticmethod
        def on_quote(tick: Any, state: Any, out: Any) -> None:
            state.word = 1.0

    with pytest.raises(HandlerError, match=r"a parameter does not fit .*'word', '<f8'"):
        tickrail.backtest(Text(), TICKS)


def test_kinds_reach_their_handlers() -> None:
    class ByKind(Strategy):
        state_dtype = np.dtype([("trades", "i8"), ("others", "i8"), ("price", "f8")])

        @staticmethod
        def on_trade(tick: Any, state: Any, out: Any) -> None:
            state.trades += 1
            state.price = tick.price

        @staticmethod
        def on_tick(tick: Any, state: Any, out: Any) -> None:
            state.others += tick.kind

    records = np.array(TICKS.numpy()[:100])
    records["kind"][::4] = Kind.TRADE
    records["kind"][1::4] = Kind.BAR
    records["value_1"][1::4], records["value_2"][1::4], records["value_3"][1::4] = 3.0, 0.5, 1.0
    mixed = tickrail.TickArray.from_records(records, ["EURUSD.SIM"])
    strategy = ByKind()
    assert tickrail.backtest(strategy, mixed).ok
    state = strategy.snapshot()
    assert (state["trades"], state["others"]) == (25, 25 * Kind.BAR + 50 * Kind.QUOTE)
    assert state["price"] == records["value_0"][96]
