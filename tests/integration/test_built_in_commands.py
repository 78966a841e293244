"""The built-in commands over a run, sent by a strategy itself at chosen ticks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail.domain import commands as c
from tickrail.domain.order_limits import OrderLimits
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.domain.venue_terms import VenueTerms
from tickrail.errors import CommandInvalid, CommandRefused, TradingStateError
from tickrail.orchestration.control import _command
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.report.shutdown import ShutdownReport

EURUSD = "EURUSD.SIM"


class Trader(tickrail.Strategy):
    quantity: float = 1.0

    seen = 0
    act = None
    heard = ()

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.seen += 1
        if self.act is not None:
            self.act(self)

    def on_order_update(self, update: tickrail.OrderUpdate) -> None:
        self.heard = (*self.heard, (update.status, update.reason))

    def on_event(self, event: c.Event) -> None:
        self.heard = (*self.heard, event)


def run(
    act: Callable[[Trader, Callable[[c.Command], Any]], None],
    ticks: int = 20,
    others: Mapping[str, tickrail.Strategy] | None = None,
    *,
    fails: bool = False,
    before: Callable[[TickDispatcher], None] = lambda _: None,
    venues: Mapping[str, VenueTerms] | None = None,
) -> tuple[TickDispatcher, Trader]:
    records = np.zeros(ticks, QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(1, ticks + 1)
    records["kind"] = 1
    records["bid"] = records["ask"] = 1.0
    records["bid_size"] = records["ask_size"] = 100.0
    dispatcher = TickDispatcher([{"id": EURUSD}], venues=venues)
    dispatcher.feed("feed", tickrail.TickArray.from_records(records, [EURUSD]))
    trader = Trader()
    before(dispatcher)
    execute = dispatcher.commands.execute
    trader.act = lambda self: act(self, execute)
    dispatcher.register(trader, "trader")
    for name, other in (others or {}).items():
        dispatcher.register(other, name)
    dispatcher.run()
    result = dispatcher.result()
    assert result.ok is not fails, result.errors
    return dispatcher, trader


def test_halted_no_order_leaves_and_open_ones_are_taken_back_until_trading_resumes() -> None:
    answers: list[Any] = []

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            trader.buy(EURUSD, 1.0)
        if trader.seen == 5:
            answers.append(execute(c.Halt("drill")))
            answers.append(execute(c.Halt(reduce=True)))
            trader.buy(EURUSD, 5.0)
            with pytest.raises(CommandRefused) as caught:
                execute(c.ClosePositions())
            answers.append(caught.value.reason)
        if trader.seen == 10:
            answers.append(execute(c.ResumeTrading()))
            trader.buy(EURUSD, 2.0)

    _, trader = run(act)
    assert [answer["trading"] for answer in (answers[0], answers[1], answers[3])] == ["HALTED", "HALTED", "ACTIVE"]
    assert answers[2] == "halted"
    assert ("REJECTED", "trading is halted") in trader.heard
    assert [status for status, _ in trader.heard].count("FILLED") == 2


def test_restricted_only_orders_that_reduce_a_position_leave() -> None:
    answers: list[Any] = []

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            trader.buy(EURUSD, 3.0)
        if trader.seen == 5:
            execute(c.Halt(reduce=True))
            trader.sell(EURUSD, 1.0)
            trader.buy(EURUSD, 1.0)
            trader.sell(EURUSD, 9.0)
        if trader.seen == 10:
            answers.append(execute(c.ClosePositions(strategy="trader")))

    dispatcher, trader = run(act)
    assert [answer.result(0) for answer in answers] == [{"orders": 1, "sent": {"trader": {EURUSD: -2.0}}}]
    assert [status for status, _ in trader.heard].count("REJECTED") == 2
    assert dispatcher.result().fills["quantity"].tolist() == [3.0, 1.0, 2.0]


def test_closing_counts_market_orders_on_their_way_and_nothing_that_waits_for_a_price() -> None:
    answers: list[Any] = []

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            trader.buy(EURUSD, 3.0)
            trader.sell(EURUSD, 3.0, limit=9.0)
            trader.buy(EURUSD, 5.0, limit=0.1)
        if trader.seen == 5:
            answers.extend(execute(c.ClosePositions()) for _ in range(2))
        if trader.seen == 10:
            answers.append(execute(c.ClosePositions()))

    dispatcher, _ = run(act)
    assert [answer.result(0)["orders"] for answer in answers] == [1, 0, 0], "the one that closes was on its way"
    assert dispatcher.result().fills["quantity"].tolist() == [3.0, 3.0]


def test_limits_hold_for_the_next_order() -> None:
    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            assert execute(c.SetLimits(max_order_quantity=2.0)) == {"max_order_quantity": 2.0}
            trader.buy(EURUSD, 2.5)
            trader.buy(EURUSD, 2.0)
            with pytest.raises(CommandInvalid):
                execute(c.SetLimits(max_order_quantity=0.0))
            with pytest.raises(CommandInvalid, match="no limit is given"):
                execute(c.SetLimits())
        if trader.seen == 5:
            assert execute(c.SetLimits(max_order_quantity=None)) == {"max_order_quantity": None}, "and lifted again"
            trader.buy(EURUSD, 2.75)

    dispatcher, trader = run(act)
    assert dispatcher.result().fills["quantity"].tolist() == [2.0, 2.75]
    assert any("max_order_quantity" in reason for _, reason in trader.heard)


@pytest.mark.parametrize("order", [-1, 99_999_999_999, 2**63])
def test_a_number_that_no_order_has_is_refused(order: int) -> None:
    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            with pytest.raises(CommandRefused, match=f"strategy trader has no order {order}") as caught:
                execute(c.CancelOrder("trader", order))
            assert caught.value.reason == "unknown_order"

    run(act)


def test_a_limit_that_was_lifted_is_kept_as_none(tmp_path: Path) -> None:
    file = tmp_path / "env.trading"
    file.write_text("tickrail trading 1\nstate ACTIVE\nmax_order_quantity 2.5\nreason \n")
    dispatcher = TickDispatcher([{"id": EURUSD}])
    dispatcher.keep_trading(file)
    assert dispatcher.commands  # opens what handles them
    lifted = _command({"do": "limits", "args": {"max_order_quantity": None}})
    assert isinstance(lifted, c.SetLimits)
    assert lifted != c.SetLimits()
    assert dispatcher._built_in.set_limits(lifted) == {"max_order_quantity": None}
    assert "max_order_quantity inf\n" in file.read_text()


def test_orders_are_taken_back_one_by_one_and_together() -> None:
    answers: list[Any] = []

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            numbers = [trader.buy(EURUSD, 1.0) for _ in range(3)]
            answers.append(execute(c.CancelOrder("trader", numbers[0])))
            with pytest.raises(CommandRefused) as caught:
                execute(c.CancelOrder("trader", 99))
            answers.append(caught.value.reason)
            answers.append(execute(c.CancelAllOrders(instrument=EURUSD))["orders"])
        if trader.seen == 6:
            answers.append(execute(c.CancelOrder("trader", 1)))

    dispatcher, _ = run(act)
    assert answers == [{"was_open": True}, "unknown_order", 3, {"was_open": False}]
    assert len(dispatcher.result().fills) == 0


def test_parameters_change_all_or_none_and_the_strategy_hears() -> None:
    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            execute(c.UpdateParameters("trader", {"quantity": 7}))
            assert trader.quantity == 7.0
            for wrong in ({"quantity": "x"}, {"quantiti": 1.0}, {"quantity": 1.0, "other": 2}):
                with pytest.raises(CommandRefused) as caught:
                    execute(c.UpdateParameters("trader", wrong))
                assert caught.value.reason == "invalid_parameter"
            assert trader.quantity == 7.0
            with pytest.raises(CommandRefused, match="did you mean 'trader'"):
                execute(c.UpdateParameters("trder", {"quantity": 1.0}))
            with pytest.raises(CommandInvalid):
                execute(c.UpdateParameters("trader", {}))

    _, trader = run(act)
    assert trader.heard == (c.ParametersUpdated("trader", {"quantity": 7.0}),)


def test_parameters_of_a_strategy_that_is_stopped_or_has_failed_are_refused_and_stay() -> None:
    """A restart makes a new object, which would know nothing of them."""
    reasons: list[tuple[str, str]] = []

    class Fails(Trader):
        def on_tick(self, tick: tickrail.Tick) -> None:
            raise LookupError("on purpose")

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            execute(c.StopStrategy("stopped"))
        if trader.seen == 5:
            for name in ("stopped", "failed"):
                with pytest.raises(CommandRefused, match=f"strategy {name} is {name.upper()}") as caught:
                    execute(c.UpdateParameters(name, {"quantity": 7.0}))
                reasons.append((name, caught.value.reason))

    others = {"stopped": Trader(), "failed": Fails()}
    dispatcher, trader = run(act, others=others, fails=True)
    assert reasons == [("stopped", "stopped"), ("failed", "stopped")]
    assert [one.quantity for one in (trader, *others.values())] == [1.0, 1.0, 1.0]
    assert [one.state for one in dispatcher.result().strategies] == ["STOPPED", "STOPPED", "FAILED"]


def test_of_a_strategy_that_is_over_what_is_left_is_taken_back_and_closed_and_the_rest_refused() -> None:
    """Its orders were taken back when it stopped; what it holds stays, until an operator closes it."""
    said: list[Any] = []

    class Holds(Trader):
        def on_tick(self, tick: tickrail.Tick) -> None:
            self.seen += 1
            if self.seen == 1:
                self.buy(EURUSD, 2.0)
                self.buy(EURUSD, 1.0, limit=0.5)
            if self.seen == 4 and self.quantity == 2.0:
                raise LookupError("on purpose")

    def attempt(execute: Callable[[c.Command], Any], command: c.Command) -> None:
        try:
            said.append(execute(command))
        except CommandRefused as error:
            said.append((error.reason, error.message))

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            execute(c.StopStrategy("stopped"))
        if trader.seen in (6, 9):
            for name in ("stopped", "failed"):
                attempt(execute, c.CancelOrder(name, 2))
                attempt(execute, c.CancelAllOrders(name, EURUSD))
                attempt(execute, c.ClosePositions(name))
        if trader.seen == 12:
            attempt(execute, c.CancelAllOrders())
            attempt(execute, c.ClosePositions(instrument=EURUSD))
            attempt(execute, c.CancelOrder("stopped", 77))

    others = {"stopped": Holds(), "failed": Holds(quantity=2.0)}
    dispatcher, _ = run(act, others=others, fails=True)

    def refused(name: str, kind: str, what: str) -> tuple[str, str]:
        return ("stopped", f"{kind}: strategy {name} is {name.upper()}, and {what}")

    orders = [
        (
            refused(name, "CancelOrder", "its order 2 is not open"),
            refused(name, "CancelAllOrders", f"has no open order in {EURUSD}"),
        )
        for name in ("stopped", "failed")
    ]
    nothing = "holds nothing to be closed"
    closed = [refused(name, "ClosePositions", nothing) for name in ("stopped", "failed")]
    first = [*orders[0], {"orders": 1}, *orders[1], {"orders": 1}]
    second = [*orders[0], closed[0], *orders[1], closed[1]]
    said = [{"orders": one.result(0)["orders"]} if isinstance(one, Future) else one for one in said]
    assert said[:12] == [*first, *second]
    assert said[12:14] == [{"orders": 0}, {"orders": 0}], "of the whole run nothing is refused"
    assert said[14][0] == "unknown_order"
    result = dispatcher.result()
    assert all(position.net == 0.0 for one in result.strategies for position in one.positions)
    assert [len(result.fills[result.fills["strategy"] == number]) for number in (1, 2)] == [2, 2]


def test_an_order_that_is_still_open_after_a_stop_can_be_taken_back() -> None:
    """At a venue that takes its time the cancel of the stop is on its way; asking again is no fault."""
    said: list[Any] = []

    class Rests(Trader):
        def on_tick(self, tick: tickrail.Tick) -> None:
            self.seen += 1
            if self.seen == 1:
                self.buy(EURUSD, 1.0, limit=0.5)

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 5:
            execute(c.StopStrategy("stopped"))
        if trader.seen == 7:
            said.append(execute(c.CancelOrder("stopped", 1)))
            said.append(execute(c.CancelAllOrders("stopped")))

    run(act, others={"stopped": Rests()}, venues={"SIM": VenueTerms(order_latency_ns=4)})
    assert said == [{"was_open": True}, {"orders": 1}]


def test_snapshot_and_shutdown() -> None:
    answers: list[Any] = []

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            trader.buy(EURUSD, 2.0)
        if trader.seen == 6:
            answers.append(execute(c.Snapshot()))
            answers.append(execute(c.Shutdown("enough")))

    dispatcher, trader = run(act)
    assert trader.seen == 6
    assert answers[1] == {"stopping": True, "reason": "enough"}
    assert dispatcher.result().status == "stopped"
    snapshot = answers[0]
    assert snapshot["strategies"] == {
        "trader": {"state": "RUNNING", "trading": "ACTIVE", "open_orders": 0, "positions": {EURUSD: 2.0}}
    }
    assert (snapshot["trading"], snapshot["now_ns"], snapshot["limits"]) == ("ACTIVE", 6, {"max_order_quantity": None})


def test_the_reason_of_a_shutdown_is_the_results_and_stands_in_the_report() -> None:
    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 6:
            execute(c.Shutdown("end of day"))
            execute(c.Shutdown("once more"))

    dispatcher, _ = run(act)
    result = dispatcher.result()
    assert result.stop_reason == "stop asked for: end of day"
    report = ShutdownReport.of(result)
    assert report.cause == result.stop_reason
    assert report.lines()[0] == "cause: stop asked for: end of day"


def test_a_snapshot_says_what_a_pause_holds_back() -> None:
    said: list[Any] = []

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            trader.pause(mode="no_new_orders")
        if trader.seen == 6:
            said.append(execute(c.Snapshot())["strategies"]["trader"])

    run(act)
    assert (said[0]["state"], said[0]["mode"]) == ("PAUSED", "no_new_orders")


def test_the_state_of_trading_outlives_the_process_and_a_damaged_one_halts(tmp_path: Path) -> None:
    file = tmp_path / "env.trading"

    def halted() -> str:
        dispatcher = TickDispatcher([{"id": EURUSD}])
        control = dispatcher.open_control(tmp_path / "s.sock", "run", trading_file=file)
        control.close()
        return dispatcher._built_in.operations.trading

    assert halted() == "ACTIVE"
    file.write_text("tickrail trading 1\nstate HALTED\nmax_order_quantity 2.5\nreason drill\n")
    assert halted() == "HALTED"
    file.write_text("nonsense")
    with pytest.raises(TradingStateError, match="no trading state"):
        halted()


def test_several_who_change_trading_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    """An operator's halt is written by the socket's thread, limits by the loop."""
    file = tmp_path / "env.trading"
    dispatcher = TickDispatcher([{"id": EURUSD}])
    control = dispatcher.open_control(tmp_path / "s.sock", "run", trading_file=file)
    operations = dispatcher._built_in.operations
    with ThreadPoolExecutor(4) as pool:
        saved = [pool.submit(operations.keep_halt, f"{number} " * 200) for number in range(100)]
    assert [one.exception() for one in saved] == [None] * 100
    control.close()
    assert file.read_text().startswith("tickrail trading 1\nstate ACTIVE\nmax_order_quantity inf\nreason ")


def test_what_cannot_be_kept_is_a_fact_of_a_halt_and_refuses_the_rest(tmp_path: Path) -> None:
    """As on a full disk: no file can be put where there is a folder."""
    file = tmp_path / "env.trading"
    answers: list[Any] = []

    def prepare(dispatcher: TickDispatcher) -> None:
        dispatcher.limit("all", OrderLimits(max_orders_per_s=50))
        control = dispatcher.open_control(tmp_path / "s.sock", "run", trading_file=file)
        control.close()
        file.mkdir()

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        def refused(command: c.Command) -> str:
            with pytest.raises(CommandRefused, match="nothing has changed") as caught:
                execute(command)
            return caught.value.reason

        if trader.seen == 3:
            trader.buy(EURUSD, 1.0, limit=0.5)
        if trader.seen == 5:
            changes = c.SetLimits(max_order_quantity=5.0, table="all", limits={"max_orders_per_s": 2.0})
            answers.append(refused(changes))
            answers.append(execute(c.Halt("drill")))
            answers.append(refused(c.ResumeTrading()))
            answers.append(execute(c.Snapshot()))
            file.rmdir()
            answers.append(execute(changes))
            answers.append(execute(c.ResumeTrading()))

    _, trader = run(act, before=prepare)
    assert (answers[0], answers[2]) == ("not_kept", "not_kept")
    problem = answers[1].pop("problem")
    assert str(file) in problem
    assert answers[1] == {"trading": "HALTED", "persisted": False, "orders": 1}
    assert (answers[3]["trading"], answers[3]["reason"]) == ("HALTED", "drill")
    assert answers[3]["limits"] == {"max_order_quantity": None, "all": {"max_orders_per_s": 50.0}}
    assert answers[4] == {"max_order_quantity": 5.0, "limits": {"max_orders_per_s": 2.0}}
    assert answers[5] == {"trading": "ACTIVE"}
    assert [status for status, _ in trader.heard] == ["ACCEPTED", "CANCELED"]
    assert [one.name for one in tmp_path.iterdir()] == ["env.trading"]


def test_a_reason_and_limits_that_were_changed_outlive_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def ran(act: Callable[[Trader, Callable[[c.Command], Any]], None], *tables: str) -> dict[str, Any]:
        said: list[dict[str, Any]] = []

        def last(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
            act(trader, execute)
            if trader.seen == 20:
                said.append(execute(c.Snapshot()))

        run(last, before=partial(prepare, tables))
        return said[0]

    def prepare(tables: tuple[str, ...], dispatcher: TickDispatcher) -> None:
        for table in tables:
            dispatcher.limit(table, OrderLimits(max_orders_per_s=50, max_order_quantity=9.0, max_repeats=3))
        control = dispatcher.open_control(tmp_path / "s.sock", "run", trading_file=tmp_path / "env.trading")
        control.close()

    def change(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            execute(c.Halt("drill"))
            execute(c.SetLimits(table="all", limits={"max_orders_per_s": 0.0, "max_order_quantity": None}))
            execute(c.Halt())
            with pytest.raises(CommandRefused):
                execute(c.SetLimits(table="all", limits={"max_repeats": 2.0, "max_orders_per_s": -1.0}))

    def leave(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        pass

    changed = {"max_orders_per_s": 0.0, "max_repeats": 3.0}
    for act in (change, leave):
        said = ran(act, "all", "other")
        assert (said["trading"], said["reason"]) == ("HALTED", "drill"), "who halts again takes no reason away"
        assert said["limits"]["all"] == changed
        assert said["limits"]["other"]["max_orders_per_s"] == 50.0
    warned = [record.getMessage() for record in caplog.records if record.name == "tickrail.trading"]
    assert warned == [
        "trading is HALTED, as the last process left it: drill",
        "limits.all: max_order_quantity is no limit, as an operator has set it in an earlier run",
        "limits.all: max_orders_per_s is 0, as an operator has set it in an earlier run",
    ]
    assert "all" not in ran(leave, "other")["limits"]
    assert "limits.all: max_orders_per_s is no limit of this run any more" in caplog.text


def test_lives_are_commands_with_the_state_reached() -> None:
    answers: list[Any] = []

    def keep(future: Any) -> None:
        future.add_done_callback(lambda done: answers.append(done.exception() or done.result()))

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            keep(execute(c.PauseStrategy("trader")))
        if trader.seen == 5:
            trader.buy(EURUSD, 1.0)
            keep(execute(c.ResumeStrategy("trader")))
        if trader.seen == 7:
            with pytest.raises(CommandRefused) as caught:
                execute(c.RestartStrategy("trader"))
            answers.append(caught.value.reason)
            with pytest.raises(CommandRefused) as caught:
                execute(c.StopStrategy("nobody"))
            answers.append(caught.value.reason)
            keep(execute(c.StopStrategy("trader")))

    _, trader = run(act)
    assert answers == [
        {"state": "PAUSED"},
        {"state": "RUNNING"},
        "illegal_transition",
        "unknown_strategy",
        {"state": "STOPPED"},
    ]
    assert trader.seen == 7
    assert next(status for status, _ in trader.heard) == "REJECTED", "paused, no new order leaves"


def test_a_pause_may_take_orders_back_and_one_that_is_overtaken_says_so() -> None:
    answers: list[Any] = []

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            trader.buy(EURUSD, 1.0, limit=0.5)
        if trader.seen == 5:
            paused = execute(c.PauseStrategy("trader", cancel=True))
            execute(c.StopStrategy("trader"))
            paused.add_done_callback(lambda done: answers.append(done.exception()))

    _, trader = run(act)
    assert [status for status, _ in trader.heard][-1] == "CANCELED"
    (refused,) = answers
    assert isinstance(refused, CommandRefused)
    assert (refused.reason, refused.message) == ("overtaken", "PauseStrategy: a stop or a failure has overtaken it")


def test_what_names_nothing_is_refused_with_the_nearest_name() -> None:
    said: list[tuple[str, str]] = []

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            for wrong in (c.CancelAllOrders(instrument="EURUSS.SIM"), c.ClosePositions(strategy="trade")):
                with pytest.raises(CommandRefused) as caught:
                    execute(wrong)
                said.append((caught.value.reason, caught.value.message))

    run(act)
    assert said == [
        ("unknown_instrument", "CancelAllOrders: no instrument 'EURUSS.SIM' in this run; did you mean 'EURUSD.SIM'?"),
        ("unknown_strategy", "ClosePositions: no strategy 'trade' in this run; did you mean 'trader'?"),
    ]


def test_parameters_of_a_strategy_that_hears_nothing_and_of_one_that_is_code() -> None:
    pytest.importorskip("numba")

    class Deaf(tickrail.Strategy):
        level: int = 1

        def on_tick(self, tick: tickrail.Tick) -> None: ...

    class Compiled(tickrail.Strategy):
        level: int = 1
        state_dtype = np.dtype([("ticks", "i8")])

        @staticmethod
        def on_tick(tick: Any, state: Any, out: Any) -> None:
            state.ticks += 1

    def act(trader: Trader, execute: Callable[[c.Command], Any]) -> None:
        if trader.seen == 3:
            assert execute(c.UpdateParameters("deaf", {"level": 2})) == {"parameters": {"level": 2}}
            with pytest.raises(CommandRefused, match="the parameters of a compiled strategy are part of its code"):
                execute(c.UpdateParameters("compiled", {"level": 2}))

    deaf = Deaf()
    run(act, others={"deaf": deaf, "compiled": Compiled()})
    assert deaf.level == 2
