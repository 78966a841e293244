"""The risk gate from Python: every limit through a run, changes by command with their record, configuration files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import AccountTerms, OrderUpdate, RuntimeBootstrapper, Strategy, Tick, VenueTerms
from tickrail._native import LIMIT_KEYS as NATIVE_KEYS
from tickrail.domain import commands as c
from tickrail.domain.order_limits import LIMIT_KEYS, OrderLimits
from tickrail.errors import CommandInvalid, CommandRefused, ConfigProblems, ParameterError
from tickrail.report.result import GATE_VERDICTS

S = 1_000_000_000
NAME = "X.SIM"


def quotes(prices: list[float], *, step_ns: int = S, name: str = NAME) -> tickrail.TickArray:
    records = np.zeros(len(prices), tickrail.TICK_DTYPE)
    records["kind"] = 1
    records["ts_event"] = records["ts_init"] = (1 + np.arange(len(prices))) * step_ns
    records["value_0"] = records["value_1"] = prices
    records["value_2"] = records["value_3"] = 1e6
    return tickrail.TickArray.from_records(records, instruments=[{"id": name, "currency": "USD"}])


class Plays(Strategy):
    """Acts by number of the tick, and keeps why orders were refused."""

    script: dict[int, Any]

    def on_start(self) -> None:
        self.count = 0
        self.refused: dict[int, str] = {}

    def on_quote(self, tick: Tick) -> None:
        self.count += 1
        for act in self.script.get(self.count, ()):
            act(self)

    def on_order_update(self, update: OrderUpdate) -> None:
        if update.reason:
            self.refused[update.order] = update.reason


def buy(quantity: float = 1.0, **terms: Any) -> Callable[[Plays], object]:
    return lambda plays: plays.buy(NAME, quantity, **terms)


def sell(quantity: float = 1.0, **terms: Any) -> Callable[[Plays], object]:
    return lambda plays: plays.sell(NAME, quantity, **terms)


def test_names_of_limits_are_those_of_the_core() -> None:
    assert list(LIMIT_KEYS) == NATIVE_KEYS


@pytest.mark.parametrize(
    ("limits", "script", "refused"),
    [
        ({"max_order_quantity": 2.0}, {1: [buy(2.0), buy(2.5)]}, [2]),
        ({"max_order_notional": 250.0}, {1: [buy(2.0), buy(3.0), buy(2.0, limit=130.0)]}, [2, 3]),
        ({"max_position_quantity": 2.0}, {1: [buy(2.0), buy(1.0)], 3: [sell(4.0), sell(1.0)]}, [2, 4]),
        ({"max_open_orders": 1}, {1: [buy(limit=50.0), buy(limit=60.0)]}, [2]),
        ({"max_orders_per_s": 2}, {1: [buy(), buy(), buy()], 3: [buy()]}, [3]),
        ({"price_collar": 0.1}, {1: [buy(limit=95.0), buy(limit=80.0), sell(stop=80.0)]}, [2, 3]),
        ({"max_repeats": 1}, {1: [buy(), buy(), buy(), sell()]}, [3]),
        ({"max_daily_loss": 5.0}, {1: [buy()], 6: [buy(), sell(0.5), sell(0.5), buy()]}, [2, 5]),
        ({"max_drawdown": 5.0}, {1: [buy()], 6: [buy(), sell()]}, [2]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) and isinstance(next(iter(value)), str) else None,
)
def test_every_limit_holds(limits: dict[str, Any], script: dict[int, Any], refused: list[int]) -> None:
    plays = Plays(script=script)
    prices = [100.0, 100.0, 100.0, 100.0, 94.0, 94.0, 94.0, 94.0]
    result = tickrail.backtest(
        plays, quotes(prices), limits=OrderLimits(**limits), account=AccountTerms(equity_every_ns=S)
    )
    assert result.ok, result.errors
    name = next(iter(limits))
    assert list(plays.refused) == refused
    assert all(name in reason for reason in plays.refused.values())
    orders = result.orders
    assert [GATE_VERDICTS[code] for code in orders["gate"][np.isin(orders["order"], refused)]] == [name] * len(refused)
    assert set(orders["gate"][~np.isin(orders["order"], refused)]) == {1}
    assert result.gate["Plays"] == {"passed": len(orders) - len(refused), name: len(refused)}
    assert result.refusals["order"].tolist() == refused
    assert (result.refusals["found"] > 0).all()
    assert not np.isin(result.fills["order"], refused).any()


def amend(number: int, **change: Any) -> Callable[[Plays], object]:
    return lambda plays: plays.amend(number, **change)


@pytest.mark.parametrize("latency_ns", [0, 2 * S])
@pytest.mark.parametrize("second", [amend(2, quantity=8.0), buy(8.0)], ids=["another change", "an order"])
def test_a_change_counts_from_the_moment_on_at_which_it_leaves(latency_ns: int, second: Any) -> None:
    """Both were let pass by what the orders had before, and 16 were bought under a limit of 10."""
    plays = Plays(script={1: [buy(limit=5.0), buy(limit=4.0)], 6: [amend(1, quantity=8.0), second]})
    result = tickrail.backtest(
        plays,
        quotes([10.0] * 10 + [1.0] * 4),
        limits=OrderLimits(max_position_quantity=10.0),
        venue=VenueTerms(order_latency_ns=latency_ns),
    )
    assert result.gate["Plays"] == {"passed": 3, "max_position_quantity": 1}
    assert result.positions["net"].tolist() == [9.0]


def test_changes_that_are_alike_are_answered_one_by_one() -> None:
    """The answer to the first 8 was taken for that to the last, and a second order let pass: 16 under a limit of 10."""
    grows, shrinks = [amend(1, quantity=8.0)], [amend(1, quantity=1.0)]
    script = {1: [buy(limit=5.0)], 11: grows, 12: shrinks, 13: grows, 16: [buy(8.0, limit=5.0)]}
    plays = Plays(script=script)
    result = tickrail.backtest(
        plays,
        quotes([10.0] * 25 + [1.0] * 5),
        limits=OrderLimits(max_position_quantity=10.0),
        venue=VenueTerms(order_latency_ns=7 * S // 2),
    )
    assert result.refusals["order"].tolist() == [2]
    assert result.positions["net"].tolist() == [8.0]


@pytest.mark.parametrize(("reducing", "net"), [(1.0, 10.0), (5.0, 10.0), (7.0, 10.0)])
def test_what_may_only_reduce_lets_nothing_else_go_beyond_a_limit(reducing: float, net: float) -> None:
    """Short 5, an order of 15 was let pass under a limit of 10; it counts on those 5."""
    only = buy(reducing, reduce_only=True)
    plays = Plays(script={1: [sell(5.0)], 3: [buy(15.0, limit=5.0)], 5: [only]})
    result = tickrail.backtest(plays, quotes([10.0] * 10 + [1.0] * 4), limits=OrderLimits(max_position_quantity=10.0))
    assert result.refusals["order"].tolist() == [3]
    assert result.positions["net"].tolist() == [net]


def test_what_may_only_reduce_passes_where_nothing_else_goes_further() -> None:
    """Two exits rest, of which each is for all that is held; together they are no more than that."""
    exits = [buy(5.0, stop=15.0, reduce_only=True), buy(9.0, limit=5.0, reduce_only=True)]
    plays = Plays(script={1: [sell(5.0)], 3: exits, 5: [buy(9.0, reduce_only=True)]})
    result = tickrail.backtest(plays, quotes([10.0] * 10), limits=OrderLimits(max_position_quantity=5.0))
    assert len(result.refusals) == 0
    assert result.positions["net"].tolist() == [0.0]


def test_a_refused_change_counts_no_more() -> None:
    """It comes to the venue after the order was filled; the next order is judged by what is there."""
    plays = Plays(script={1: [buy(limit=9.5)], 4: [amend(1, quantity=8.0), buy(8.0)], 9: [buy(8.0)]})
    result = tickrail.backtest(
        plays,
        quotes([10.0] * 3 + [9.6] + [9.0] * 9),
        limits=OrderLimits(max_position_quantity=10.0),
        venue=VenueTerms(order_latency_ns=2 * S),
    )
    assert plays.refused[1].startswith("too late")
    assert result.refusals["order"].tolist() == [2]
    assert result.positions["net"].tolist() == [9.0]


@pytest.mark.parametrize("limits", [{"price_collar": 0.1}, {"max_order_notional": 90.0}, {"max_daily_loss": 0.5}])
def test_to_make_an_order_smaller_is_refused_for_nothing_that_the_market_did(limits: dict[str, float]) -> None:
    """Refused, all of it would have gone on to stand there."""
    script = {1: [buy(0.1), sell(5.0, limit=10.5)], 4: [amend(2, quantity=2.0), amend(2, limit=10.6)]}
    plays = Plays(script=script)
    prices = quotes([10.0, 10.0, 10.0, 0.5 if "max_daily_loss" in limits else 50.0, 10.0])
    terms = VenueTerms(sessions=["00:00:00-00:00:03"])  # nothing fills any more
    result = tickrail.backtest(
        plays, prices, limits=OrderLimits(**limits), account=AccountTerms(equity_every_ns=S), venue=terms
    )
    assert result.orders["quantity"].tolist() == [0.1, 2.0]
    assert result.refusals["order"].tolist() == [2], "another price is judged"
    assert result.orders["limit"][1] == 10.5


def test_an_order_on_a_stale_tick_is_refused_with_its_age() -> None:
    class Late(Plays):
        def on_timer(self, event: Any) -> None:
            self.buy(NAME, 1.0)

        def on_quote(self, tick: Tick) -> None:
            self.schedule_after(S // 4)
            self.schedule_after(S // 2)

    late = Late(script={})
    result = tickrail.backtest(late, quotes([1.0, 1.0]), limits=OrderLimits(max_tick_age_ns=S // 3))
    assert result.gate["Late"] == {"passed": 1, "max_tick_age_ns": 1}
    assert late.refused[2].startswith("STALE")
    assert result.refusals["found"].tolist() == [S / 2]


def test_limits_bind_each_strategy_by_itself_and_only_those_that_they_name() -> None:
    script = {1: [buy(), buy(), buy()]}
    strategies = {name: Plays(script=script) for name in ("one", "two", "free")}
    limits = {"few": OrderLimits(strategies=["one", "two"], max_open_orders=1), "many": OrderLimits(max_open_orders=2)}
    result = tickrail.backtest(strategies, quotes([1.0] * 3), limits=limits)
    passed = {name: counts["passed"] for name, counts in result.gate.items()}
    assert passed == {"one": 1, "two": 1, "free": 2}
    with pytest.raises(ParameterError, match="limits 'limits': there is no 'oen' in this run; did you mean 'one'"):
        tickrail.backtest({"one": Plays(script={})}, quotes([1.0]), limits=OrderLimits(strategies=["oen"]))
    with pytest.raises(ParameterError, match=r"there is no 'Y.SIM'"):
        tickrail.backtest(Plays(script={}), quotes([1.0]), limits=OrderLimits(instruments=["Y.SIM"]))
    data = {NAME: quotes([1.0]), "D.SIM": quotes([1.0], name="D.SIM")}
    table = [{"id": NAME, "currency": "USD"}, {"id": "D.SIM", "currency": "EUR"}]
    dispatcher = tickrail.TickDispatcher(table)
    assert set(data) == set(dispatcher.instruments)
    with pytest.raises(ParameterError, match="in which currency"):
        dispatcher.limit("loss", OrderLimits(max_drawdown=1.0))


def test_cancels_pass_whatever_the_state_and_count_nowhere() -> None:
    script = {
        1: [buy(limit=0.5)],
        2: [lambda plays: plays.cancel(1) for _ in range(50)],
        3: [buy(limit=0.5), buy(limit=0.6)],
    }
    plays = Plays(script=script)
    result = tickrail.backtest(plays, quotes([1.0] * 5, step_ns=S // 100), limits=OrderLimits(max_orders_per_s=2))
    assert result.gate["Plays"] == {"passed": 2, "max_orders_per_s": 1}
    assert plays.refused[1] == "asked for"


class Commands(Strategy):
    """Buys one unit at every tick; ``act`` sends commands."""

    act: Any

    def on_start(self) -> None:
        self.count = 0

    def on_quote(self, tick: Tick) -> None:
        self.count += 1
        self.act(self)
        self.buy(NAME, 1.0)


def commanded(act: Callable[[Commands, Callable[[c.Command], Any]], None], **limits: Any) -> tuple[Any, list[c.Event]]:
    dispatcher = tickrail.TickDispatcher([{"id": NAME}])
    dispatcher.feed("x", quotes([1.0] * 30, step_ns=S // 10))
    bus, heard = dispatcher.commands, list[c.Event]()
    bus.subscribe(c.LimitsChanged, heard.append)
    dispatcher.register(Commands(act=lambda strategy: act(strategy, bus.execute)), "mad")
    dispatcher.limit("all", OrderLimits(**limits))
    dispatcher.run()
    return dispatcher.result(), heard


def test_raising_a_limit_at_run_time_leaves_a_record() -> None:
    answers: list[Any] = []

    def act(strategy: Commands, execute: Callable[[c.Command], Any]) -> None:
        if strategy.count == 15:
            answers.append(execute(c.SetLimits(table="all", limits={"max_orders_per_s": 8.0, "max_open_orders": None})))

    result, heard = commanded(act, max_orders_per_s=3, max_open_orders=3)
    assert answers[0]["limits"] == {"max_orders_per_s": 8.0}
    assert [(one["table"], one["key"], one["before"], one["after"]) for one in result.limit_changes] == [
        ("all", "max_orders_per_s", 3.0, 8.0),
        ("all", "max_open_orders", 3.0, None),
    ]
    assert {one["ts_ns"] for one in result.limit_changes} == {15 * S // 10}
    assert heard == [
        c.LimitsChanged(
            "all", {"max_orders_per_s": 3.0, "max_open_orders": 3.0}, {"max_orders_per_s": 8.0, "max_open_orders": None}
        )
    ]
    assert result.to_dict()["limit_changes"][0]["after"] == 8.0
    times = result.orders["made_ns"][result.orders["gate"] == 1]
    # Ten a second are made, and what is refused counts: three pass, and later as many as fit beside three refused.
    assert [int((times < 15 * S // 10).sum()), int((times >= 15 * S // 10).sum())] == [3, 5]


def test_limits_change_all_or_none_and_only_to_what_can_be() -> None:
    reasons: list[str] = []

    def act(strategy: Commands, execute: Callable[[c.Command], Any]) -> None:
        if strategy.count != 5:
            return
        for command in (
            c.SetLimits(table="al", limits={"max_open_orders": 1.0}),
            c.SetLimits(table="all", limits={"max_open_ordrs": 1.0}),
            c.SetLimits(table="all", limits={"max_orders_per_s": 9.0, "max_open_orders": -1.0}),
        ):
            with pytest.raises(CommandRefused) as caught:
                execute(command)
            reasons.append(f"{caught.value.reason}: {caught.value.message}")
        with pytest.raises(CommandInvalid):
            execute(c.SetLimits(table="all"))
        assert execute(c.Snapshot())["limits"] == {"max_order_quantity": None, "all": {"max_orders_per_s": 3.0}}

    result, heard = commanded(act, max_orders_per_s=3)
    assert result.ok, result.errors
    assert [reason.partition(":")[0] for reason in reasons] == ["unknown_limits", "unknown_limit", "invalid_limit"]
    assert "did you mean 'all'" in reasons[0]
    assert heard == []


def test_a_strategy_that_runs_away_is_halted_until_somebody_resumes_it() -> None:
    states: list[Any] = []

    def act(strategy: Commands, execute: Callable[[c.Command], Any]) -> None:
        if strategy.count in (2, 20):
            states.append(execute(c.Snapshot())["strategies"]["mad"]["trading"])
        if strategy.count == 21:
            execute(c.ResumeTrading("looked at it"))
            states.append(execute(c.Snapshot())["strategies"]["mad"]["trading"])

    result, _ = commanded(act, max_orders_per_s=3, max_refused_per_s=4)
    assert states == ["ACTIVE", "HALTED", "ACTIVE"]
    assert result.gate["mad"]["strategy_halted"] > 5
    assert result.gate["mad"]["passed"] == 6


FILES = {
    "config/base/a.toml": """
[feeds.x]
path = "x.ticks"
[venues.SIM]
[strategies.one]
class = "limit_strategies:Buys"
[strategies.two]
class = "limit_strategies:Buys"
[limits.all]
max_order_quantity = 2.0
[limits.one]
strategies = ["one"]
instruments = ["X.SIM"]
max_orders_per_s = 1
""",
    "config/test/b.toml": "[limits.all]\nmax_drawdown = 100.0\n",
    "limit_strategies.py": """
from tickrail import Strategy

class Buys(Strategy):
    quantity: float = 1.0
    def on_quote(self, tick):
        self.buy(tick.instrument, self.quantity)
""",
}


def test_limits_from_files(tmp_path: Path) -> None:
    from tickrail._native import TickFileWriter

    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with TickFileWriter(tmp_path / "x.ticks") as writer:
        writer.append_ticks(quotes([1.0] * 10, step_ns=S // 2))
        writer.commit()

    def run(*overrides: str) -> tickrail.Result:
        made = RuntimeBootstrapper("test", root=tmp_path / "config", overrides=overrides, environ={})
        with made.bootstrap() as runtime:
            return runtime.run()

    try:
        assert {name: dict(counts) for name, counts in run().gate.items()} == {
            "one": {"passed": 1, "max_orders_per_s": 9},
            "two": {"passed": 10},
        }
        assert run("strategies.two.quantity=3.0").gate["two"] == {"max_order_quantity": 10}
        assert run("strategies.one.enabled=false").gate == {"two": {"passed": 10}}
        with pytest.raises(ConfigProblems, match=r"limits.one: limits 'one': there is no 'Y.SIM' in this run"):
            run('limits.one.instruments=["Y.SIM"]')
        with pytest.raises(
            ConfigProblems, match=r"limits.one.max_orders_per_s: out of bounds; expected at most 1000000"
        ):
            run("limits.one.max_orders_per_s=2000000")
    finally:
        sys.modules.pop("limit_strategies", None)
