"""Compiled handlers that do what they must not, and what is said of an exception that cannot come twice."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import Strategy
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.errors import HandlerError
from tickrail.report.result import ORDER_STATUS
from tickrail.strategy.compiled import StatusCode, unsafe_address
from tickrail.strategy.compiled.cache import cache_folder

pytestmark = pytest.mark.slow  # processes and compilers: half a second each, and there are many

numba = pytest.importorskip("numba")

TICKS = tickrail.data.generate_ticks(2_000, seed=3)
STATE = np.dtype([("n", "i8"), ("last", QUOTE_DTYPE), ("rows", QUOTE_DTYPE, (2,)), ("history", "f8", (4,))])


@numba.njit
def spoil(record: Any) -> None:
    record.bid = 2.0


@numba.njit
def hand_on(record: Any) -> None:
    spoil(record)


@numba.njit
def same(record: Any) -> Any:
    return record


@numba.njit
def raise_everything(ticks: Any) -> None:
    ticks["bid"] += 1.0


class SetsField(Strategy):
    state_dtype = STATE

    @staticmethod
    def on_quote(tick: Any, state: Any, out: Any) -> None:
        tick.bid = 1.0  # the line


class SetsItem(Strategy):
    state_dtype = STATE

    @staticmethod
    def on_tick(tick: Any, state: Any, out: Any) -> None:
        mine = tick
        mine["ask"] = 1.0  # the line


class SetsByAFunction(Strategy):
    state_dtype = STATE

    @staticmethod
    def on_quote(tick: Any, state: Any, out: Any) -> None:
        hand_on(tick)


class SetsWhatAFunctionReturns(Strategy):
    state_dtype = STATE

    @staticmethod
    def on_quote(tick: Any, state: Any, out: Any) -> None:
        same(tick).bid = 1.0  # the line


class SetsInABatch(Strategy):
    state_dtype = STATE

    @staticmethod
    def on_batch(ticks: Any, state: Any, out: Any) -> None:
        for tick in ticks:
            tick.bid = 1.0  # the line


class SetsByNumber(Strategy):
    state_dtype = STATE

    @staticmethod
    def on_batch(ticks: Any, state: Any, out: Any) -> None:
        ticks[0].bid = 1.0  # the line


class SetsAColumn(Strategy):
    state_dtype = STATE

    @staticmethod
    def on_batch(ticks: Any, state: Any, out: Any) -> None:
        ticks.bid[0] = 1.0


class SetsAColumnInAFunction(Strategy):
    state_dtype = STATE

    @staticmethod
    def on_batch(ticks: Any, state: Any, out: Any) -> None:
        raise_everything(ticks)


class SetsAWholeRecord(Strategy):
    state_dtype = STATE

    @staticmethod
    def on_batch(ticks: Any, state: Any, out: Any) -> None:
        ticks[0] = ticks[1]


class SetsTheUpdate(Strategy):
    state_dtype = STATE

    @staticmethod
    def on_quote(tick: Any, state: Any, out: Any) -> None:
        state.n += 1

    @staticmethod
    def on_order_update(update: Any, state: Any, out: Any) -> None:
        update.fee = 0.0  # the line


WRITERS = (
    SetsField,
    SetsItem,
    SetsByAFunction,
    SetsWhatAFunctionReturns,
    SetsInABatch,
    SetsByNumber,
    SetsAColumn,
    SetsAColumnInAFunction,
    SetsAWholeRecord,
    SetsTheUpdate,
)


@pytest.mark.parametrize("digest", ["events", "full"])
@pytest.mark.parametrize("cls", WRITERS, ids=lambda cls: cls.__name__)
def test_a_handler_that_writes_into_its_tick_is_refused_before_the_run(cls: type[Strategy], digest: Any) -> None:
    before = TICKS.numpy().tobytes()
    for _ in range(2):  # nothing of it was kept on disk or in this process
        with pytest.raises(HandlerError) as refused:
            tickrail.backtest(cls(), TICKS, digest=digest)
        assert cls.__name__ in str(refused.value) and refused.value.strategy == cls.__name__
        if "Column" not in cls.__name__ and "Whole" not in cls.__name__:
            what = "order update" if cls is SetsTheUpdate else "tick"
            assert f"writes into its {what}, which others read" in str(refused.value)
            line = "record.bid = 2.0" if cls is SetsByAFunction else "# the line"
            assert f"{Path(__file__).name}:" in str(refused.value) and line in str(refused.value)
        else:
            assert "readonly" in str(refused.value).lower() or "read-only" in str(refused.value)
    assert TICKS.numpy().tobytes() == before


def test_functions_that_were_kept_on_disk_by_their_user_are_looked_through_too(tmp_path: Path) -> None:
    (tmp_path / "kept.py").write_text(
        "import numba\n@numba.njit(cache=True)\ndef spoil(record):\n    record.bid = 2.0\n"
    )
    name = {"__name__": "kept", "__file__": str(tmp_path / "kept.py")}
    exec(compile((tmp_path / "kept.py").read_text(), str(tmp_path / "kept.py"), "exec"), name)
    spoil_kept = name["spoil"]
    record = numba.from_dtype(QUOTE_DTYPE)
    spoil_kept.compile((record,))  # type: ignore[attr-defined]
    exec(compile((tmp_path / "kept.py").read_text(), str(tmp_path / "kept.py"), "exec"), name)
    loaded: Any = name["spoil"]

    class ByDisk(Strategy):
        state_dtype = STATE

        @staticmethod
        def on_quote(tick: Any, state: Any, out: Any) -> None:
            loaded(tick)

    with pytest.raises(HandlerError, match="writes into its tick"):
        tickrail.backtest(ByDisk(), TICKS)
    assert sum(loaded.stats.cache_hits.values()) == 1


def test_records_of_the_state_and_arrays_of_its_own_may_be_written() -> None:
    class Keeps(Strategy):
        state_dtype = STATE

        @staticmethod
        def on_quote(tick: Any, state: Any, out: Any) -> None:
            state.n += 1
            state.last.bid = tick.bid
            state.rows[state.n % 2].ask = tick.ask
            mine = np.zeros(1, QUOTE_DTYPE)
            mine[0].bid = 3.0
            state.history[0] += mine[0].bid

    strategy = Keeps()
    result = tickrail.backtest(strategy, TICKS)
    assert result.ok, result.summary()
    state, last = strategy.snapshot(), TICKS.numpy()[-1]
    assert (state["last"]["bid"], state["rows"][0]["ask"]) == (last["value_0"], last["value_1"])
    assert state["history"][0] == 6_000.0


def test_a_function_by_its_address_that_writes_into_a_tick_is_found_by_the_dry_run() -> None:
    signature = ctypes.CFUNCTYPE(
        ctypes.c_int64, ctypes.POINTER(ctypes.c_double), ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p
    )

    @signature
    def writes(ticks: Any, count: int, state: int, out: int) -> int:
        if count:
            ticks[4] = 77.0
        return count

    class ByAddress(Strategy):
        state_dtype = STATE
        on_tick = unsafe_address(ctypes.cast(writes, ctypes.c_void_p).value or 0, abi_version=2, owner=writes)

    result = tickrail.backtest(ByAddress(), TICKS)
    (error,) = result.errors
    assert "on_tick wrote into the record that it was shown in a dry run" in error.message


class Once(Strategy):
    """Raises at the hundredth tick, for a reason that is gone when it has."""

    how: int
    state_dtype = np.dtype([("how", "i8"), ("n", "i8"), ("spare", "i8"), ("history", "f8", (4,))])

    @staticmethod
    def on_quote(tick: Any, state: Any, out: Any) -> None:
        state.n += 1
        if state.n == 100:
            if state.how == 0:
                raise ValueError("mine")
            if state.how == 1:
                state.spare = 1 // state.spare
            if state.how == 2:
                state.history[state.n] = 1.0


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        (0, "ValueError", "mine"),
        (1, "ZeroDivisionError", "integer division by zero"),
        (2, "IndexError", "index is out of bounds"),
    ],
)
@pytest.mark.parametrize("slice_ticks", [1, 7, 4_096])
def test_an_exception_is_told_though_the_state_has_gone_on(how: int, kind: str, message: str, slice_ticks: int) -> None:
    result = tickrail.backtest(Once(how=how), TICKS, slice_ticks=slice_ticks)
    (error,) = result.errors
    assert (error.type, error.message, error.handler) == (kind, message, "on_quote")
    assert error.tick is not None and error.tick.ts_event == TICKS.numpy()["ts_event"][99]


def test_so_are_those_of_batches_timers_and_updates() -> None:
    class Many(Strategy):
        how: int
        state_dtype = np.dtype([("how", "i8"), ("batches", "i8"), ("timers", "i8"), ("updates", "i8")])

        @staticmethod
        def on_batch(ticks: Any, state: Any, out: Any) -> None:
            state.batches += 1
            if state.batches == 1:
                out.buy(ticks[0].instrument, 1.0)
                out.schedule_at(ticks[len(ticks) - 1].ts_event + 1, 7)
            if state.how == 0 and state.batches == 3:
                raise ValueError("of a batch")

        @staticmethod
        def on_timer(timer: Any, state: Any, out: Any) -> None:
            state.timers += 1
            if state.how == 1 and state.timers == 1:
                raise ValueError("of a timer")

        @staticmethod
        def on_order_update(update: Any, state: Any, out: Any) -> None:
            state.updates += 1
            if state.how == 2 and state.updates == 1:
                raise ValueError("of an update")

    handlers = ("on_batch", "on_timer", "on_order_update")
    for how, message in enumerate(("of a batch", "of a timer", "of an update")):
        (error,) = tickrail.backtest(Many(how=how), TICKS, max_ticks=100).errors
        assert (error.handler, error.type, error.message) == (handlers[how], "ValueError", message)


def test_of_a_state_too_large_to_be_kept_it_says_what_it_can() -> None:
    class Large(Strategy):
        state_dtype = np.dtype([("n", "i8"), ("much", "f8", (1_000,))])

        @staticmethod
        def on_quote(tick: Any, state: Any, out: Any) -> None:
            state.n += 1
            if state.n >= 100:
                raise ValueError("still so")

    (error,) = tickrail.backtest(Large(), TICKS).errors
    assert (error.type, error.message) == ("ValueError", "still so")


@pytest.mark.parametrize(
    ("field", "place"),
    [
        (("a", ">i8"), "a"),
        (("a", "U4"), "a"),
        (("a", "M8[ns]"), "a"),
        (("a", "S4", (2,)), "a"),
        (("a", [("b", "i8"), ("c", ">f8")]), "a.c"),
        (("a", "f2"), "a"),
    ],
)
def test_a_field_that_machine_code_cannot_hold_is_refused_with_its_name(field: Any, place: str) -> None:
    with pytest.raises(HandlerError, match=f"has '{place}' of type .*which machine code cannot hold"):

        class Odd(Strategy):
            state_dtype = np.dtype([("n", "i8"), field])

            @staticmethod
            def on_quote(tick: Any, state: Any, out: Any) -> None:
                state.n += 1


def test_a_number_of_a_status_may_be_named_and_the_document_names_all() -> None:
    class Counts(Strategy):
        state_dtype = np.dtype([("filled", "i8"), ("others", "i8")])

        @staticmethod
        def on_quote(tick: Any, state: Any, out: Any) -> None:
            if state.filled == 0:
                out.buy(tick.instrument, 1.0)

        @staticmethod
        def on_order_update(update: Any, state: Any, out: Any) -> None:
            if update.status == StatusCode.FILLED:
                state.filled += 1
            elif update.status == StatusCode.REJECTED:
                state.others += 1

    strategy = Counts()
    result = tickrail.backtest(strategy, TICKS)
    assert result.ok, result.summary()
    state = strategy.snapshot()
    assert (state["filled"], state["others"]) == (len(result.fills), 0) and state["filled"] > 0
    root = Path(__file__).resolve().parents[2]
    source = (root / "rust/core/src/venue/status.rs").read_text()
    listed = {
        re.sub(r"(?<!^)([A-Z])", r"_\1", name).upper(): int(number)
        for name, number in re.findall(r"^    (\w+) = (\d+),$", source, re.MULTILINE)
    }
    assert {code.name: code.value for code in StatusCode} == listed and len(listed) >= 8
    assert tuple(code.name for code in StatusCode) == ORDER_STATUS
    document = " ".join((root / "docs/reference/compiled.md").read_text().split())
    named = ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in StatusCode)
    assert f"{named}." in document


@pytest.mark.parametrize("call", ["too_many", "keyword"])
def test_an_order_with_other_arguments_is_refused_in_plain_words(call: str) -> None:
    def too_many(tick: Any, state: Any, out: Any) -> None:
        out.buy(tick.instrument, 1.0, 1.0, 2.0, 0, 0, False, False, 9)

    def keyword(tick: Any, state: Any, out: Any) -> None:
        out.buy(tick.instrument, 1.0, price=1.0)

    class Priced(Strategy):
        state_dtype = np.dtype([("n", "i8")])
        on_quote = staticmethod(too_many if call == "too_many" else keyword)

    with pytest.raises(HandlerError) as refused:
        tickrail.backtest(Priced(), TICKS)
    message = refused.value.message
    assert "expected out.buy(instrument, quantity, limit, stop, time_in_force, expires_ns, post_only" in message
    assert "out.buy(tick.instrument, 1.0" in message and "Record(" not in message and len(message) < 400


def test_out_has_its_methods_where_the_process_compiled_something_before() -> None:
    script = """
import numba, numpy as np, tickrail
numba.njit(lambda x: x + 1)(1)
numba.njit(lambda r: r["a"])(np.zeros(1, [("a", "i8")])[0])
class Buys(tickrail.Strategy):
    state_dtype = np.dtype([("n", "i8")])
    @staticmethod
    def on_quote(tick, state, out):
        state.n += 1
        if state.n == 5:
            out.buy(tick.instrument, 1.0)
print(len(tickrail.backtest(Buys(), tickrail.data.generate_ticks(100)).fills))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_the_cache_lies_where_the_variables_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TICKRAIL_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "tickrail" / "compiled"
    monkeypatch.setenv("TICKRAIL_CACHE_DIR", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own" / "compiled"
