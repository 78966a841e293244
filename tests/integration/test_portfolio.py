"""``self.portfolio``: positions, cash, worth and drawdown as handlers see them, against sums over the fills."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tickrail
from tickrail import AccountTerms, InstrumentTerms, Strategy, Tick, VenueTerms
from tickrail.domain.holdings import Holding, Holdings
from tickrail.errors import DataError, OrderRefused, ParameterError, WrongThread
from tickrail.ports import PortfolioPort
from tickrail.report.result import ORDER_STATUS
from tickrail.strategy.portfolio import Portfolio
from tickrail.testing.conformance import PortfolioSuite

S = 1_000_000_000
MINUTE = 60 * S


def quotes(
    prices: dict[str, list[float]], *, step_ns: int = S, spread: float = 0.0, size: float = 1e6
) -> tickrail.TickArray:
    """One quote an instrument and step, without a spread."""
    names = list(prices)
    count = len(prices[names[0]])
    records = np.zeros(count * len(names), tickrail.TICK_DTYPE)
    records["kind"] = 1
    records["ts_event"] = records["ts_init"] = np.repeat((1 + np.arange(count)) * step_ns, len(names))
    records["instrument"] = np.tile(np.arange(len(names)), count)
    mids = np.array([prices[name] for name in names]).T.ravel()
    records["value_0"], records["value_1"] = mids - spread / 2, mids + spread / 2
    records["value_2"] = records["value_3"] = size
    rows = [{"id": name, "currency": CURRENCIES.get(name, "USD")} for name in names]
    return tickrail.TickArray.from_records(records, instruments=rows)


CURRENCIES = {"DAX.X": "EUR", "TOPIX.X": "JPY", "USDJPY.X": "JPY"}


class Plays(Strategy):
    """Acts by a script, by number of the tick, and keeps what it saw."""

    script: dict[int, Any]

    def on_start(self) -> None:
        self.count = 0
        self.seen: list[Any] = []

    def on_quote(self, tick: Tick) -> None:
        self.count += 1
        if (act := self.script.get(self.count)) is not None:
            self.seen.append(act(self))


def run(script: dict[int, Any], prices: dict[str, list[float]], **terms: Any) -> list[Any]:
    plays = Plays(script=script)
    result = tickrail.backtest(plays, quotes(prices), **terms)
    assert result.ok, result.errors
    return plays.seen


def test_a_strategy_sees_what_it_has_and_is_worth() -> None:
    def look(plays: Plays) -> tuple[float, ...]:
        held = plays.portfolio
        return (
            held.position("A.X"),
            held.average_price("A.X"),
            held.realised(),
            held.unrealised(),
            held.fees(),
            held.exposure("A.X"),
            held.gross_exposure,
            held.equity,
            held.buying_power,
            held.drawdown,
        )

    seen = run(
        {1: lambda plays: plays.buy("A.X", 4.0), 2: look, 3: lambda plays: plays.sell("A.X", 6.0), 4: look, 5: look},
        {"A.X": [10.0, 11.0, 12.0, 14.0, 15.0]},
        account=AccountTerms(capital=1_000.0, leverage=2.0),
        venue=VenueTerms(fee_per_unit=0.5),
        terms={"A.X": InstrumentTerms(multiplier=10.0)},
    )
    # Bought 4 at 11, sold 6 at 14: made 120 of 4, and is short 2 from 14.
    assert seen[1] == (4.0, 11.0, 0.0, 0.0, 2.0, 440.0, 440.0, 998.0, 2 * 998.0 - 440.0, 2.0)
    assert seen[3] == (-2.0, 14.0, 120.0, 0.0, 5.0, -280.0, 280.0, 1_115.0, 2 * 1_115.0 - 280.0, 0.0)
    assert seen[4] == (-2.0, 14.0, 120.0, -20.0, 5.0, -300.0, 300.0, 1_095.0, 2 * 1_095.0 - 300.0, 20.0)


def test_orders_in_flight_take_buying_power_before_they_fill() -> None:
    def order(plays: Plays) -> float:
        plays.buy("A.X", 3.0, limit=5.0)
        return plays.portfolio.buying_power

    seen = run({2: order}, {"A.X": [10.0] * 3}, account=AccountTerms(capital=100.0))
    assert np.isnan(seen[0]), "no price was needed before"
    seen = run(
        {1: lambda plays: plays.buy("A.X", 1.0), 3: order}, {"A.X": [10.0] * 3}, account=AccountTerms(capital=100.0)
    )
    assert seen[1] == 60.0


def test_money_of_several_currencies_becomes_one() -> None:
    prices = {"DAX.X": [100.0, 100.0, 110.0], "TOPIX.X": [2_000.0] * 3, "EURUSD.X": [1.25] * 3, "USDJPY.X": [160.0] * 3}
    account = AccountTerms(currency="USD", rates={"EUR": "EURUSD.X", "JPY": "1/USDJPY.X"}, capital=50_000.0)
    script = {1: lambda plays: (plays.buy("DAX.X", 2.0), plays.sell("TOPIX.X", 8.0))}
    last = {
        12: lambda plays: (
            plays.portfolio.cash(),
            plays.portfolio.equity,
            plays.portfolio.exposure(),
            plays.portfolio.gross_exposure,
            plays.portfolio.unrealised("DAX.X"),
            plays.portfolio.currency,
        )
    }
    cash, equity, net, gross, unrealised, currency = run({**script, **last}, prices, account=account)[-1]
    assert dict(cash) == {"EUR": -200.0, "JPY": 16_000.0, "USD": 50_000.0}
    assert (equity, net, gross) == (50_025.0, 275.0 - 100.0, 375.0)
    assert (unrealised, currency) == (20.0, "USD")
    with_number = AccountTerms(currency="USD", rates={"EUR": 1.5, "JPY": 0.01}, capital=50_000.0)
    assert run({**script, **last}, prices, account=with_number)[-1][1] == 50_030.0


def test_amounts_of_several_currencies_are_not_added_unless_somebody_says_how() -> None:
    prices = {"A.X": [1.0] * 2, "DAX.X": [1.0] * 2}

    def look(plays: Plays) -> None:
        with pytest.raises(DataError, match="several currencies"):
            _ = plays.portfolio.equity
        assert plays.portfolio.realised("DAX.X") == 0.0
        assert dict(plays.portfolio.cash()) == {}

    run({1: look}, prices)
    with pytest.raises(ParameterError, match="in which currency"):
        run({}, prices, account=AccountTerms(capital=1.0))
    with pytest.raises(ParameterError, match=r"price of 'EURUSD.Y', which no feed has"):
        run({}, prices, account=AccountTerms(currency="USD", rates={"EUR": "EURUSD.Y"}))
    with pytest.raises(ParameterError, match=r"DAX.X is priced in EUR, for which there is no rate"):
        run({}, prices, account=AccountTerms(currency="USD"))
    with pytest.raises(ParameterError, match="currency: missing"):
        run({}, prices, account=AccountTerms(rates={"EUR": 1.0}))
    for wrong in ({"rates": {"EUR": "x"}}, {"rates": {"EUR": 0.0}}, {"equity_every_ns": 7}, {"leverage": 0.0}):
        with pytest.raises(ValueError, match=r"expected|greater"):
            AccountTerms(**wrong)


def test_capital_of_a_strategy_that_is_not_there_is_refused_with_the_near_miss() -> None:
    with pytest.raises(ParameterError, match=r"capital names 'Hold', no strategy of this run.*did you mean 'Holds'"):
        tickrail.backtest(
            {"Holds": Plays(script={})}, quotes({"A.X": [1.0]}), account=AccountTerms(capital={"Hold": 5.0})
        )


def test_the_whole_is_what_a_venue_sees_and_reconciles_with() -> None:
    buys = Plays(script={1: lambda plays: plays.buy("A.X", 3.0)})
    sells = Plays(
        script={
            1: lambda plays: plays.sell("A.X", 1.0),
            2: lambda plays: (
                plays.portfolio.whole.snapshot(),
                plays.portfolio.snapshot(),
                plays.portfolio.whole.reconcile(Holdings(0, {"A.X": Holding(2.0)}, {"USD": 180.0})),
                plays.portfolio.whole.reconcile(Holdings(0, {"A.X": Holding(5.0)}, {"USD": 180.0})),
                plays.portfolio.whole.equity,
                plays.portfolio.whole.capital,
            ),
        }
    )
    result = tickrail.backtest(
        {"buys": buys, "sells": sells}, quotes({"A.X": [10.0] * 3}), account=AccountTerms(capital=100.0)
    )
    assert result.ok, result.errors
    whole, own, agreed, differs, equity, capital = sells.seen[1]
    assert (whole.ts_ns, dict(whole.positions), dict(whole.cash)) == (
        2 * S,
        {"A.X": Holding(2.0, 10.0)},
        {"USD": 180.0},
    )
    assert dict(own.positions) == {"A.X": Holding(-1.0, 10.0)}
    assert agreed == ()
    assert [(one.what, one.key, one.before, one.after) for one in differs] == [("position", "A.X", 2.0, 5.0)]
    assert (equity, capital) == (200.0, 200.0)


def test_a_peak_between_two_looks_of_a_handler_counts() -> None:
    prices = [10.0] * 3 + [10.0 + i for i in range(1, 200)] + [10.0] * 3
    script = {
        1: lambda plays: plays.buy("A.X", 1.0),
        205: lambda plays: (plays.portfolio.peak, plays.portfolio.drawdown),
    }
    fine = run(script, {"A.X": prices}, account=AccountTerms(equity_every_ns=S))[-1]
    assert fine == (199.0, 199.0)
    coarse = run(script, {"A.X": prices}, account=AccountTerms())[-1]
    assert coarse == (prices[179] - 10.0,) * 2, "at 60, 120 and 180 s"


@pytest.mark.parametrize("slice_ticks", [1, 7, 4_096])
def test_what_it_was_worth_over_time_does_not_depend_on_slices(slice_ticks: int) -> None:
    rng = np.random.default_rng(5)
    prices = {"A.X": list(100.0 + np.cumsum(rng.normal(size=2_000)))}
    script = {n: (lambda plays: plays.target("A.X", float(plays.count % 5 - 2))) for n in range(1, 2_000, 37)}
    dispatcher = tickrail.TickDispatcher([{"id": "A.X"}], slice_ticks=slice_ticks)
    dispatcher.feed("a", quotes(prices))
    dispatcher.register(Plays(script=script), "plays", capital=10.0)
    dispatcher.run()
    points = dispatcher._native.worth()
    fills = dispatcher._native.fills()
    assert (points["ts_ns"][:-1] <= points["ts_ns"][1:]).all()
    # Recomputed from the fills and the prices alone.
    times = np.arange(1, 2_001) * S
    signed = np.where(fills["side"] == 1, 1.0, -1.0) * fills["quantity"]
    for point in points:
        done = fills["ts_ns"] <= point["ts_ns"]
        if point["ts_ns"] in fills["ts_ns"]:
            continue  # a fill's own point stands before later fills of the same step
        mark = np.array(prices["A.X"])[np.searchsorted(times, point["ts_ns"], side="right") - 1]
        cash = -(signed[done] * fills["price"][done]).sum()
        assert point["equity"] == pytest.approx(10.0 + cash + signed[done].sum() * mark, abs=1e-9)
        assert point["gross"] == pytest.approx(abs(signed[done].sum() * mark), abs=1e-9)
    assert {int(ts) for ts in points["ts_ns"]} >= {minute * MINUTE for minute in range(1, 34)}


def test_who_subscribes_hears_of_own_fills_and_of_everybodys() -> None:
    class Hears(Plays):
        def on_start(self) -> None:
            super().on_start()
            self.own: list[Holdings] = []
            self.all: list[Holdings] = []
            self.portfolio.subscribe(self.own.append)
            self.portfolio.whole.subscribe(self.all.append)

    first = Hears(script={1: lambda plays: plays.buy("A.X", 1.0)})
    second = Plays(script={3: lambda plays: plays.buy("A.X", 5.0)})
    tickrail.backtest({"first": first, "second": second}, quotes({"A.X": [10.0] * 5}))
    assert [(one.ts_ns, one.positions["A.X"].quantity) for one in first.own] == [(2 * S, 1.0)]
    assert [(one.ts_ns, one.positions["A.X"].quantity) for one in first.all] == [(2 * S, 1.0), (4 * S, 6.0)]


def test_what_a_listener_raises_fails_its_strategy_alone() -> None:
    class Hears(Plays):
        def on_start(self) -> None:
            super().on_start()
            self.portfolio.whole.subscribe(lambda held: 1 / 0)

    result = tickrail.backtest(
        {"first": Hears(script={}), "second": Plays(script={1: lambda plays: plays.buy("A.X", 5.0)})},
        quotes({"A.X": [10.0] * 5}),
    )
    assert [(one.strategy, one.handler, one.type) for one in result.errors] == [
        ("first", "portfolio listener", "ZeroDivisionError")
    ]
    assert len(result.fills) == 1


def test_it_belongs_to_the_dispatch_thread_and_leaves_nothing_behind() -> None:
    with pytest.raises(OrderRefused, match="no portfolio before a run"):
        _ = Plays(script={}).portfolio
    plays = Plays(script={1: lambda plays: plays.portfolio.subscribe(lambda held: plays.seen.append(held))})
    tickrail.backtest(plays, quotes({"A.X": [10.0] * 2}))
    with pytest.raises(WrongThread):
        plays.portfolio.position("A.X")
    gone = weakref.ref(plays)
    del plays
    gc.collect()
    assert gone() is None


class TestStrategyPortfolio(PortfolioSuite):
    """The portfolio of a strategy keeps the contract of the port."""

    @pytest.fixture(autouse=True)
    def _opened(self) -> Iterator[None]:
        with ExitStack() as self.stack:
            yield

    def make(self) -> PortfolioPort:
        data = quotes({"A.SIM": [10.0] * 9, "B.SIM": [20.0] * 9, "C.SIM": [1.0] * 9})
        run = self.stack.enter_context(tickrail.open_run(data, account=AccountTerms(capital=100.0)))
        self.run, self.ticks = run, iter(run)
        next(self.ticks)
        run.buy("A.SIM", 2.0)
        run.sell("B.SIM", 1.0)
        for _ in range(5):
            next(self.ticks)
        return run.portfolio

    def move(self, portfolio: PortfolioPort) -> None:
        assert isinstance(portfolio, Portfolio)
        self.run.buy("A.SIM", 1.0)
        for _ in range(5):
            next(self.ticks)


ORDERS = st.lists(
    st.tuples(
        st.integers(1, 60), st.sampled_from(["A.X", "DAX.X", "TOPIX.X"]), st.sampled_from([-3.0, -1.0, 1.0, 2.0])
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=ORDERS, second=ORDERS, seed=st.integers(0, 1_000))
def test_cash_and_positions_always_reconcile_to_fills(first: Any, second: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    prices = {
        name: list(np.round(base + np.cumsum(rng.normal(size=25)), 2))
        for name, base in {"A.X": 100.0, "DAX.X": 200.0, "TOPIX.X": 2_000.0}.items()
    }

    class Trades(Plays):
        def on_quote(self, tick: Tick) -> None:
            self.count += 1
            for count, name, signed in self.script[0]:
                if count == self.count:
                    (self.buy if signed > 0 else self.sell)(name, abs(signed))

        def on_stop(self) -> None:
            self.seen = [self.portfolio.snapshot(), self.portfolio.equity, self.portfolio.whole.snapshot()]

    strategies = {"first": Trades(script={0: first}), "second": Trades(script={0: second})}
    account = AccountTerms(currency="USD", rates={"EUR": 1.25, "JPY": 0.0078125}, capital={"first": 1e5})
    venue = VenueTerms(fee_rate=0.001, fee_per_unit=0.1, slippage_fraction=0.001)
    terms = {"DAX.X": InstrumentTerms(multiplier=25.0)}
    result = tickrail.backtest(strategies, quotes(prices, spread=0.5), account=account, venue=venue, terms=terms)
    assert result.ok
    multipliers = np.array([1.0, 25.0, 1.0])
    signed = np.where(result.fills["side"] == 1, 1.0, -1.0) * result.fills["quantity"]
    flows = -signed * result.fills["price"] * multipliers[result.fills["instrument"]] - result.fills["fee"]
    totals = {}
    for number, (name, strategy) in enumerate(strategies.items()):
        held, equity, whole = strategy.seen
        mine = result.fills["strategy"] == number
        value = 0.0
        for index, (instrument, rate) in enumerate(zip(prices, (1.0, 1.25, 0.0078125), strict=True)):
            chosen = mine & (result.fills["instrument"] == index)
            net, cash = signed[chosen].sum(), flows[chosen].sum() + (1e5 if name == "first" and index == 0 else 0.0)
            currency = CURRENCIES.get(instrument, "USD")
            assert held.positions.get(instrument, Holding(0.0)).quantity == net
            assert held.cash.get(currency, 0.0) == pytest.approx(cash, abs=1e-6)
            totals[instrument] = totals.get(instrument, 0.0) + net
            value += (cash + (net * prices[instrument][-1] * multipliers[index] if net else 0.0)) * rate
        assert equity == pytest.approx(value, abs=1e-4)
    for instrument, net in totals.items():
        assert whole.positions.get(instrument, Holding(0.0)).quantity == net


class CutByFills(Strategy):
    """Rests orders near the market, and keeps what it sees at the edge of every batch."""

    def on_start(self) -> None:
        self.edges: list[tuple[int, int, float, float, float | None]] = []
        self.fills: list[tuple[int, float, float]] = []
        self.fails_at: int | None = None

    def on_batch(self, batch: Any) -> None:
        last = batch.records[-1]
        latest = self.market_data.latest_tick("A.X")
        held = self.portfolio
        self.edges.append(
            (int(last["ts_event"]), self.now_ns, held.position("A.X"), held.equity, latest and latest.bid)
        )
        if len(self.edges) % 3 == 1:
            self.buy("A.X", 1.0)
            self.sell("A.X", 1.0, limit=float(last["value_0"]) + 1.0)
            self.buy("A.X", 1.0, limit=float(last["value_0"]) - 1.0)

    def on_order_update(self, update: Any) -> None:
        if update.fill_quantity:
            signed = update.fill_quantity if update.side == "BUY" else -update.fill_quantity
            self.fills.append((self.now_ns, signed, update.fill_price))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(st.integers(-2, 2), min_size=20, max_size=120),
    max_ticks=st.integers(2, 20),
    latency_ns=st.sampled_from([0, S // 2, 3 * S]),
)
def test_a_batch_that_a_fill_cuts_shows_neither_the_fill_nor_its_tick(
    steps: list[int], max_ticks: int, latency_ns: int
) -> None:
    """Whatever ends a batch: its handler sees prices, positions and worth as they were at its last tick."""
    prices = (100.0 + np.cumsum(steps)).tolist()
    cuts = CutByFills()
    result = tickrail.backtest(
        cuts,
        quotes({"A.X": prices}),
        max_ticks=max_ticks,
        venue=VenueTerms(order_latency_ns=latency_ns),
        account=AccountTerms(capital=1_000.0),
    )
    assert result.ok, result.errors
    by_time = {(1 + number) * S: price for number, price in enumerate(prices)}
    for last_ns, now_ns, position, equity, bid in cuts.edges:
        assert now_ns == last_ns
        known = [(quantity, price) for at_ns, quantity, price in cuts.fills if at_ns <= now_ns]
        assert position == sum(quantity for quantity, _ in known)
        assert bid == by_time[last_ns]
        cash = 1_000.0 - sum(quantity * price for quantity, price in known)
        assert equity == pytest.approx(cash + position * by_time[last_ns])


class FailsAtTheCut(Strategy):
    """Fails in the batch that its own fill ends."""

    def on_start(self) -> None:
        self.buy("A.X", 3.0, limit=9.0)

    def on_batch(self, batch: Any) -> None:
        raise ValueError("in the batch before the fill")

    def on_order_update(self, update: Any) -> None: ...


def test_a_fill_that_is_booked_after_its_owner_failed_counts_and_the_rest_is_taken_back() -> None:
    data = quotes({"A.X": [10.0] * 6 + [9.0] * 2}, size=1.0)
    result = tickrail.backtest(FailsAtTheCut(), data, venue=VenueTerms(fill_model="size"))
    assert [error.handler for error in result.errors] == ["on_batch"]
    assert result.fills["quantity"].tolist() == [1.0], "the venue had matched it before the strategy failed"
    (order,) = result.orders
    assert (ORDER_STATUS[order["status"]], order["filled"], order["quantity"]) == ("CANCELED", 1.0, 3.0)
    assert result.positions["net"].tolist() == [1.0]
