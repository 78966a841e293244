"""``backtest`` and ``open_run``: what a script and a notebook see, and that no fill precedes its decision."""

from __future__ import annotations

import asyncio
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tickrail
from tickrail import InstrumentId, Strategy, Tick
from tickrail.errors import DataError, IllegalTransition, OrderRefused, ParameterError

ROOT = Path(__file__).resolve().parents[2]
START_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000


def quotes(count: int = 500, name: str = "EURUSD.SIM", offset_ns: int = 0) -> tickrail.TickArray:
    records = np.zeros(count, tickrail.QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = START_NS + np.arange(count) * SECOND_NS + offset_ns
    records["kind"] = 1
    mid = 1.1 + 0.01 * np.sin(np.arange(count) / 20)
    records["bid"], records["ask"] = mid - 0.0001, mid + 0.0001
    records["bid_size"] = records["ask_size"] = 1e6
    return tickrail.TickArray.from_records(records, [{"id": name, "currency": "USD"}])


class Flip(Strategy):
    """Long for every second block of ten quotes."""

    block: int = 10

    def on_start(self) -> None:
        self.count = 0

    def on_quote(self, tick: Tick) -> None:
        self.target(tick.instrument, float(self.count // self.block % 2))
        self.count += 1


class Failing(Strategy):
    def on_tick(self, tick: Tick) -> None:
        raise ValueError("no")


def test_one_strategy() -> None:
    result = tickrail.backtest(Flip(), quotes(), fee_rate=0.001)
    assert result.ok
    assert (result.ticks, result.strategies[0].name, result.strategies[0].delivered) == (500, "Flip", 500)
    assert len(result.fills) == len(result.orders) == 49
    assert np.all(result.fills["position"] > result.fills["made_position"])
    money = result.money["USD"]
    assert money.fees == pytest.approx(result.fills["fee"].sum())
    assert result.equity["USD"]["net"][-1] == pytest.approx(money.realised - money.fees)


def test_pulled_and_called_give_the_same_fills() -> None:
    called = tickrail.backtest(Flip(), quotes(), fee_rate=0.001)
    with tickrail.open_run(quotes(), fee_rate=0.001) as run:
        for count, tick in enumerate(run):
            run.target(tick.instrument, float(count // 10 % 2))
    assert run.result.status == "complete"
    assert np.array_equal(run.result.fills, called.fills)
    assert [update.status for update in run.take_updates()].count("FILLED") == 49


def test_break_stops_and_the_result_is_there() -> None:
    with tickrail.open_run(quotes(), strategies=Flip()) as run:
        with pytest.raises(IllegalTransition, match="the run goes on, and has no result yet") as caught:
            _ = run.result
        assert (caught.value.state, caught.value.hint) == (
            "entered",
            "run.result is there after the 'with' block",
        )
        for count, _tick in enumerate(run):
            if count == 99:
                break
    assert (run.result.status, run.result.ok) == ("stopped", True)
    assert [one.delivered for one in run.result.strategies] == [100, 100]
    assert list(run) == []


@pytest.mark.parametrize(("error", "status"), [(ZeroDivisionError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_what_the_block_raises_propagates_with_a_partial_result(error: type[BaseException], status: str) -> None:
    run = tickrail.open_run(quotes())
    with pytest.raises(error), run:
        for _ in run:
            raise error
    assert (run.result.status, run.result.ticks) == (status, 1)


def test_kept_ticks_do_not_change() -> None:
    with tickrail.open_run(quotes(50)) as run:
        kept = list(run)
    assert [tick.ts_event for tick in kept] == [START_NS + n * SECOND_NS for n in range(50)]


def test_several_strategies_are_named_in_order_and_one_failing_harms_no_other() -> None:
    result = tickrail.backtest([Flip(), Failing(), Flip(block=5)], quotes())
    assert [(one.name, one.state) for one in result.strategies] == [
        ("Flip", "STOPPED"),
        ("Failing", "FAILED"),
        ("Flip-2", "STOPPED"),
    ]
    assert not result.ok
    assert [error.strategy for error in result.errors] == ["Failing"]
    assert result.strategy("Flip-2").delivered == 500
    named = tickrail.backtest({"a": Flip(), "b": Flip()}, quotes())
    assert [one.name for one in named.strategies] == ["a", "b"]


def test_data_in_many_forms(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"ts_event": pl.from_epoch(pl.Series([START_NS, START_NS + 1]), "ns"), "bid": [1.0, 1.1], "ask": [1.2, 1.3]}
    )
    merged = [quotes(10), quotes(10, "GBPUSD.SIM", offset_ns=1)]
    seen: dict[str, Any] = {
        "list": (merged, 20),
        "dict": ({"EURUSD.SIM": quotes(10), "GBPUSD.SIM": frame}, 12),
        "instruments": (quotes(10), 10),
    }
    for data, count in seen.values():
        assert tickrail.backtest(Flip(), data).ticks == count


def test_start_and_end() -> None:
    result = tickrail.backtest(Flip(), quotes(), start=START_NS + 10 * SECOND_NS, end="2023-11-14T22:13:40Z")
    assert result.ticks == 10


def test_subscriptions_by_instrument() -> None:
    data = [quotes(10), quotes(10, "GBPUSD.SIM")]
    result = tickrail.backtest(Flip(), data, instruments=[InstrumentId("GBPUSD.SIM")])
    assert (result.ticks, result.strategies[0].delivered) == (20, 10)


def test_digests_of_equal_and_of_different_runs() -> None:
    first = tickrail.backtest(Flip(), quotes(), digest="full").digest
    assert tickrail.backtest(Flip(), quotes(), digest="full", slice_ticks=7).digest == first
    others = [
        tickrail.backtest(Flip(block=11), quotes(), digest="full"),
        tickrail.backtest(Flip(), quotes(), digest="full", seed=1),
        tickrail.backtest(Flip(), quotes(), digest="full", fee_rate=0.1),
        tickrail.backtest(Flip(), quotes(), digest="events"),
    ]
    assert len({first, *(other.digest for other in others)}) == 5


def test_inside_of_a_running_event_loop() -> None:
    async def cell() -> tuple[int, int]:
        with tickrail.open_run(quotes(20)) as run:
            pulled = sum(1 for _ in run)
        return tickrail.backtest(Flip(), quotes(30)).ticks, pulled

    assert asyncio.run(cell()) == (30, 20)


def test_progress_ends_at_the_total() -> None:
    class Slow(Strategy):
        def on_quote(self, tick: Tick) -> None:
            sum(range(2_000))

    said: list[tuple[int, int | None]] = []
    tickrail.backtest(Slow(), quotes(5_000), progress=lambda done, total: said.append((done, total)), slice_ticks=10)
    assert all(total == 5_000 for _, total in said)
    assert [done for done, _ in said] == sorted(done for done, _ in said)


def test_mistakes_are_named() -> None:
    used = Flip()
    tickrail.backtest(used, quotes(10))
    with pytest.raises(IllegalTransition, match="was in a run before"):
        tickrail.backtest(used, quotes(10))
    with pytest.raises(ParameterError, match="the class Flip is no strategy"):
        tickrail.backtest(Flip, quotes(10))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"no feed has the instrument 'EURUSS.SIM'; did you mean 'EURUSD.SIM'\?"):
        tickrail.backtest(Flip(), quotes(10), instruments=["EURUSS.SIM"])
    with pytest.raises(ParameterError, match=r"expected a list: instruments=\['EURUSD.SIM'\]"):
        tickrail.backtest(Flip(), quotes(10), instruments="EURUSD.SIM")
    with pytest.raises(ParameterError, match="instruments is a dict; expected a list of ids"):
        tickrail.backtest(Flip(), quotes(10), instruments={"EURUSD.SIM": {}})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="int is no data"):
        tickrail.backtest(Flip(), 5)
    with pytest.raises(DataError, match="an empty list"):
        tickrail.backtest(Flip(), [])
    with pytest.raises(DataError, match="is not before end"):
        tickrail.backtest(Flip(), quotes(10), start="2024-01-02", end="2024-01-01")
    with pytest.raises(ParameterError, match="fee_rate is nan"):
        tickrail.backtest(Flip(), quotes(10), fee_rate=float("nan"))
    with pytest.raises(OrderRefused, match="belongs to no run yet"):
        Flip().buy("EURUSD.SIM", 1.0)


def test_a_strategy_of_a_run_is_both_clock_and_execution_and_portfolio() -> None:
    from tickrail.ports import Clock, Execution, Portfolio

    class Looks(Strategy):
        def on_quote(self, tick: Tick) -> None:
            assert isinstance(self, Clock)
            assert isinstance(self, Execution)
            assert isinstance(self, Portfolio)

    assert tickrail.backtest(Looks(), quotes(1)).ok


def test_a_result_folder(tmp_path: Path) -> None:
    folder = tickrail.backtest(Flip(), quotes()).write(tmp_path / "run")
    assert len(np.load(folder / "fills.npy")) == 49


@pytest.mark.parametrize("name", ["ema_cross.py", "notebook.py"])
def test_an_example_runs_and_trades(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    space = runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    assert "digest" in capsys.readouterr().out
    if name == "notebook.py":
        assert len(space["result"].fills) > 0


class Leaves(Strategy):
    """Ends the process, so it thinks."""

    code: int = 3
    by_ctrl_c: bool = False

    def on_quote(self, tick: Any) -> None:
        if self.by_ctrl_c:
            raise KeyboardInterrupt
        sys.exit(self.code)


@pytest.mark.parametrize(
    ("strategy", "reason"), [(Leaves(), "SystemExit: 3"), (Leaves(by_ctrl_c=True), "KeyboardInterrupt")]
)
def test_what_interrupted_a_run_stands_in_its_result(strategy: Strategy, reason: str) -> None:
    result = tickrail.backtest(strategy, quotes())
    assert (result.status, result.stop_reason) == ("interrupted", reason)
    assert result.summary().startswith(f"interrupted ({reason}): 1 tick in")
    assert result.to_dict()["stop_reason"] == reason
    assert f"interrupted ({reason}): 1 tick," in result._repr_html_()


def test_what_ended_other_runs_stands_there_too() -> None:
    assert tickrail.backtest(Flip(), quotes()).stop_reason is None
    with tickrail.open_run(quotes()) as run:
        for _ in run:
            break
    assert (run.result.status, run.result.stop_reason) == ("stopped", "stop asked for")
    failing = tickrail.open_run(quotes())
    with pytest.raises(ValueError, match="mine"), failing:
        for _ in failing:
            raise ValueError("mine")
    assert failing.result.stop_reason == "ValueError: mine"


def test_a_pulled_run_has_every_call_of_a_strategy() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs/reference/strategy.md").read_text()
    listed = document.split("From `on_start` on, within handlers: ")[1].split(". ")[0]
    calls = re.findall(r"`(\w+)`", listed)
    assert len(calls) >= 16
    with tickrail.open_run(quotes()) as run:
        next(iter(run))
        for call in calls:
            assert getattr(run, call) == getattr(run._strategy, call), call
        assert run.name == "pull"
        order = run.buy("EURUSD.SIM", 1.0, limit=0.5)
        next(iter(run))
        run.amend(order, limit=0.6)
        run.unsubscribe("EURUSD.SIM")
        assert list(run) == []
    assert run.result.ok


def test_a_run_is_pulled_within_its_block() -> None:
    run = tickrail.open_run(quotes())
    for pull in (iter, lambda run: run.until(5)):
        with pytest.raises(IllegalTransition, match="a run is pulled within its block") as caught:
            pull(run)
        assert (caught.value.operation, caught.value.allowed) == ("pull", ("enter",))
    with pytest.raises(IllegalTransition, match="the run has not begun, and has no result yet"):
        _ = run.result


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_ticks", 0),
        ("max_ticks", True),
        ("max_ticks", 2**24 + 1),
        ("window_ns", -1),
        ("window_ns", 1.5),
        ("seed", -1),
        ("seed", 2**64),
        ("seed", "7"),
    ],
)
@pytest.mark.parametrize("strategies", [[], Flip()])
def test_numbers_that_no_run_can_have_are_refused(strategies: Any, name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=f"{name} is .*; expected a whole number from"):
        tickrail.backtest(strategies, quotes(), **{name: value})
    with pytest.raises(ParameterError, match=f"{name} is .*; expected a whole number from"):
        tickrail.open_run(quotes(), strategies=strategies, **{name: value})


def test_a_flag_is_no_quantity() -> None:
    with tickrail.open_run(quotes()) as run:
        next(iter(run))
        order = run.buy("EURUSD.SIM", 1.0, limit=0.5)
        for call in (
            lambda: run.buy("EURUSD.SIM", True),
            lambda: run.sell("EURUSD.SIM", True),
            lambda: run.target("EURUSD.SIM", False),
            lambda: run.amend(order, quantity=True),
        ):
            with pytest.raises(TypeError, match=r"a quantity is a number, not (True|False)"):
                call()
        run.buy("EURUSD.SIM", 1)
        run.buy("EURUSD.SIM", np.float64(2.0))
    assert len(run.result.orders) == 3


@pytest.mark.parametrize("how", ["at", "every"])
def test_a_timer_that_would_call_nothing_is_refused(how: str) -> None:
    class Silent(Strategy):
        def on_start(self) -> None:
            if how == "at":
                self.schedule_at(self.now_ns + 1)
            else:
                self.schedule_every(1_000)

    (error,) = tickrail.backtest(Silent(), quotes()).errors
    assert (
        error.type == "HandlerError" and "a timer without a callback calls on_timer, which is missing" in error.message
    )
