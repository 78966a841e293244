"""The kill switch in a flood (F49), stale prices (F50), strategies that run away (F51): what leaves, what is told."""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

import pytest

import tickrail
from tickrail import OrderUpdate, Strategy, Tick, TickDispatcher, testing
from tickrail.cli.ctl import ask
from tickrail.domain.order_limits import OrderLimits
from tickrail.orchestration.control import socket_of
from tickrail.report.result import Result
from tickrail.testing.ticks import START_NS

GOLDEN = Path(__file__).parent / "golden"
EURUSD = "EURUSD.SIM"
FLOOD = 99_000  # each answer is a step; after 100,000 at one time a strategy is held to go round in circles


def compare(name: str, said: str) -> None:
    golden = GOLDEN / f"trading_{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(said)
    assert said == golden.read_text()


def told(updates: Counter[tuple[str, str]]) -> str:
    lines = (f"{count:>7,} {status}{f': {reason}' if reason else ''}" for (status, reason), count in updates.items())
    return "\n".join(lines) + "\n"


class Hears(Strategy):
    """Counts what becomes of its orders, by status and reason, in the order in which each came first."""

    def on_start(self) -> None:
        self.updates: Counter[tuple[str, str]] = Counter()
        self.seen = 0

    def on_order_update(self, update: OrderUpdate) -> None:
        self.updates[update.status, update.reason] += 1


def run(strategy: Strategy, dispatcher: TickDispatcher | None = None) -> Result:
    made = dispatcher or TickDispatcher([{"id": EURUSD}])
    made.feed("ticks", testing.quotes(50))
    made.register(strategy, "s")
    made.run()
    return made.result()


def test_f49_a_halt_within_a_flood_lets_no_order_leave_and_takes_back_the_open_ones(tmp_path: Path) -> None:
    """An operator halts by the socket while a handler has asked for 99,000 orders and not returned yet."""
    dispatcher = TickDispatcher([{"id": EURUSD}])
    answers: list[object] = []

    class Floods(Hears):
        def on_tick(self, tick: Tick) -> None:
            self.seen += 1
            if self.seen == 1:
                self.buy(EURUSD, 1.0, limit=0.5)  # stays open
            if self.seen == 10:
                for _ in range(FLOOD):
                    self.buy(EURUSD, 1.0)
                halting = threading.Thread(target=halt)
                halting.start()
                # The halt holds from here on, though the loop is kept: its answer waits for the loop, it does not.
                while control_state() != "HALTED":
                    threading.Event().wait(0.001)
            if self.seen > 10:
                self.buy(EURUSD, 1.0)

    def halt() -> None:
        answers.append(ask(tmp_path, None, 30.0, "halt", {"reason": "drill"}))

    def control_state() -> str:
        return dispatcher._built_in.operations.trading

    before = set(threading.enumerate())
    control = dispatcher.open_control(socket_of(tmp_path, "run-1"), "run-1", trading_file=tmp_path / "control" / "t")
    strategy = Floods()
    try:
        result = run(strategy, dispatcher)
    finally:
        control.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
    assert result.ok
    assert len(result.fills) == 0, "not one order has left"
    assert strategy.updates["REJECTED", "trading is halted"] == FLOOD + 40
    compare("f49", told(strategy.updates))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["control", "t"], (
        "the state of trading outlives the run"
    )
    assert set(threading.enumerate()) <= before


def test_f50_an_order_at_a_stale_price_does_not_leave_and_one_at_a_fresh_price_does() -> None:
    """A's feed freezes for a minute while B's goes on."""
    second = 1_000_000_000
    before = testing.quotes(5, instrument="A.SIM", step_ns=second)
    after = testing.quotes(5, instrument="A.SIM", start_ns=START_NS + 65 * second, step_ns=second)

    class Orders(Hears):
        def on_tick(self, tick: Tick) -> None:
            if tick.instrument == "B.SIM":
                self.buy("A.SIM", 1.0)

        def on_order_update(self, update: OrderUpdate) -> None:
            super().on_order_update(update)
            if update.status == "REJECTED":
                refused.add((self.now_ns - START_NS) // second)

    refused: set[int] = set()
    strategy = Orders()
    data = [before, after, testing.quotes(70, instrument="B.SIM", start_ns=START_NS + second // 2, step_ns=second)]
    limits = OrderLimits(max_tick_age_ns=2 * second)
    result = tickrail.backtest(strategy, data, limits=limits)
    assert result.ok
    assert refused == set(range(6, 65)), "from two seconds after the last tick up to the next one"
    compare("f50", told(strategy.updates))


def test_f51_a_strategy_that_does_not_stop_is_halted() -> None:
    """An order a tick, a thousand ticks a second: ten leave, and after so many refusals it may not act any more."""

    class RunsAway(Hears):
        def on_tick(self, tick: Tick) -> None:
            self.buy(EURUSD, 1.0)

    strategy = RunsAway()
    ticks = testing.quotes(500, step_ns=1_000_000)
    limits = OrderLimits(max_orders_per_s=10, max_refused_per_s=20)
    result = tickrail.backtest(strategy, ticks, limits=limits)
    assert len(result.fills) == 10
    compare("f51_halted", told(strategy.updates))


def test_f51_what_is_above_the_limit_never_leaves_whoever_asks_how_often() -> None:
    dispatcher = TickDispatcher([{"id": EURUSD}])
    operations = dispatcher.commands and dispatcher._built_in.operations
    operations.set_max_order_quantity(2.0)

    class RunsAway(Hears):
        def on_tick(self, tick: Tick) -> None:
            self.buy(EURUSD, 1e6)  # fat
            self.buy(EURUSD, 2.0)  # an order a tick
            self.target(EURUSD, 1e9)

        def on_order_update(self, update: OrderUpdate) -> None:
            super().on_order_update(update)
            if update.status == "FILLED":
                self.buy(EURUSD, update.quantity * 2)  # a child larger than its parent

    strategy = RunsAway()
    result = run(strategy, dispatcher)
    assert max(result.fills["quantity"]) == 2.0
    assert {row["quantity"] for row in result.fills} == {2.0}
    compare("f51_limit", told(strategy.updates))


def test_f51_a_strategy_that_answers_every_update_by_an_order_is_stopped() -> None:
    """It keeps the clock from moving: after 100,000 steps at one time it is failed, and the others go on."""

    class Circles(Hears):
        def on_tick(self, tick: Tick) -> None:
            if not self.updates:
                self.buy(EURUSD, 1.0)

        def on_order_update(self, update: OrderUpdate) -> None:
            super().on_order_update(update)
            self.buy(EURUSD, 1.0)

    class Goes(Strategy):
        def on_start(self) -> None:
            self.seen = 0

        def on_tick(self, tick: Tick) -> None:
            self.seen += 1

    dispatcher, goes = TickDispatcher([{"id": EURUSD}]), Goes()
    operations = dispatcher.commands and dispatcher._built_in.operations
    operations.set_trading("HALTED")  # each order is answered at once, and none waits at the venue
    dispatcher.register(goes, "goes")
    result = run(Circles(), dispatcher)
    assert goes.seen == 50
    states = {one.name: one.state for one in result.strategies}
    assert states == {"goes": "STOPPED", "s": "FAILED"}
    assert not result.ok
    compare("f51_circle", "".join(f"{one.strategy}: {one.handler}: {one.message}\n" for one in result.errors))


@pytest.mark.parametrize("name", ["f49", "f50", "f51_limit", "f51_circle", "f51_halted"])
def test_every_golden_file_is_there(name: str) -> None:
    assert (GOLDEN / f"trading_{name}.txt").is_file()
