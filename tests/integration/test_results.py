"""What a result tells: curves, trades, statistics by formula and against another library, tables, page, record."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tickrail
from tickrail import AccountTerms, InstrumentTerms, Strategy, Tick, VenueTerms
from tickrail._native import TickFileWriter
from tickrail.domain.order_limits import OrderLimits
from tickrail.errors import DataError
from tickrail.report import statistics
from tickrail.report.stored import read_result
from tickrail.report.tables import TABLES
from tickrail.report.trades import HELD_DTYPE, trades_of

S = 1_000_000_000
HOUR = 3_600 * S
DAY = 24 * HOUR
FILL_DTYPE = np.dtype(
    [("strategy", "<u4"), ("instrument", "<u4"), ("side", "<u4"), ("ts_ns", "<i8")]
    + [(name, "<f8") for name in ("quantity", "price", "fee")]
)


class Walks(Strategy):
    """Turns its position now and then."""

    period: int = 7
    first: float = 1.0

    def on_start(self) -> None:
        self.count = 0

    def on_quote(self, tick: Tick) -> None:
        self.count += 1
        if self.count % self.period == 0:
            turn = self.count // self.period
            self.target(tick.instrument, self.first * (turn % 4 - 1))


def quotes(count: int = 2_000, *, step_ns: int = HOUR, name: str = "X.SIM", seed: int = 3) -> tickrail.TickArray:
    records = np.zeros(count, tickrail.TICK_DTYPE)
    records["kind"] = 1
    records["ts_event"] = records["ts_init"] = (1 + np.arange(count)) * step_ns
    mids = 100.0 + np.cumsum(np.random.default_rng(seed).normal(scale=0.5, size=count))
    records["value_0"], records["value_1"] = mids - 0.01, mids + 0.01
    records["value_2"] = records["value_3"] = 1e6
    return tickrail.TickArray.from_records(records, instruments=[{"id": name, "currency": "USD"}])


@pytest.fixture(scope="module")
def result() -> tickrail.Result:
    return tickrail.backtest(
        {"slow": Walks(), "fast": Walks(period=3, first=2.0)},
        quotes(),
        account=AccountTerms(capital=1_000.0),
        venue=VenueTerms(fee_rate=0.0001),
        terms={"X.SIM": InstrumentTerms(multiplier=2.0)},
        limits=OrderLimits(strategies=["fast"], max_order_quantity=5.0),
    )


def test_a_notebook_shows_the_statistics_that_have_a_meaning(result: tickrail.Result) -> None:
    text, found = result._repr_html_(), result.statistics()
    for name in ("profit", "sharpe", "max_drawdown", "hit_rate"):
        assert f"<th>{name}</th>" in text and f"<td>{getattr(found, name):,.4g}</td>" in text
    without = tickrail.backtest(Walks(), quotes(30))._repr_html_()  # no capital, and a day
    assert "<th>sharpe</th>" not in without and "<th>profit</th>" in without
    assert "<th>profit</th>" not in tickrail.backtest(Walks(), quotes(3))._repr_html_(), "nothing was traded"


def test_profits_of_trades_and_of_what_is_open_are_the_profit_of_the_run(result: tickrail.Result) -> None:
    trades = result.trades
    for number, one in enumerate(result.strategies):
        mine = trades[trades["strategy"] == number]
        assert len(mine) > 100
        (held,) = one.positions
        open_fees = mine["fees"][~mine["is_closed"]].sum()
        assert np.nansum(mine["profit"]) == pytest.approx(held.realised - held.fees + open_fees, abs=1e-6)
        assert (mine["opened_ns"] <= np.where(mine["is_closed"], mine["closed_ns"], 2**62)).all()
        assert mine["fees"].sum() == pytest.approx(held.fees)
    assert (np.diff(trades["closed_ns"][trades["is_closed"]]) >= 0).all()


def fill(side: int, quantity: float, price: float, fee: float = 0.0, ts: int = 0) -> tuple[Any, ...]:
    return (0, 0, side, ts, quantity, price, fee)


def test_a_fill_that_turns_the_position_ends_one_trade_and_begins_the_next() -> None:
    rows = [
        fill(1, 2.0, 10.0, 0.2, 1),
        fill(1, 2.0, 12.0, 0.2, 2),
        fill(2, 7.0, 13.0, 0.7, 3),
        fill(1, 3.0, 11.0, 0.3, 4),
        fill(2, 1.0, 9.0, 0.1, 5),
    ]
    trades = trades_of(np.array(rows, FILL_DTYPE), [10.0])
    assert trades["side"].tolist() == [1, 2, 2]
    assert trades["quantity"].tolist() == [4.0, 3.0, 1.0]
    assert trades["entry_price"].tolist() == [11.0, 13.0, 9.0]
    assert trades["exit_price"][:2].tolist() == [13.0, 11.0]
    assert trades["fees"] == pytest.approx([0.8, 0.6, 0.1])
    assert trades["profit"][:2] == pytest.approx([4 * 2 * 10 - 0.8, 3 * 2 * 10 - 0.6])
    assert trades["is_closed"].tolist() == [True, True, False]
    assert np.isnan(trades["profit"][2])
    assert trades["closed_ns"].tolist() == [3, 4, 0]
    assert trades["fills"].tolist() == [3, 2, 1]


def test_what_was_held_before_a_run_opens_its_trades() -> None:
    rows = [fill(2, 5.0, 13.0, 0.5, 3), fill(1, 1.0, 11.0, 0.1, 4)]
    held = np.array([(0, 0, 4.0, 10.0, 1), (0, 1, -2.0, 5.0, 1), (1, 0, 0.0, 0.0, 1)], HELD_DTYPE)
    trades = trades_of(np.array(rows, FILL_DTYPE), [10.0, 1.0], held)
    assert trades["side"].tolist() == [1, 2, 2], "not a short of five"
    assert trades["entry_price"].tolist() == [10.0, 13.0, 5.0] and trades["exit_price"][:2].tolist() == [13.0, 11.0]
    assert trades["profit"][:2] == pytest.approx([4 * 3 * 10 - 0.4, 2 * 10 - 0.2])
    assert trades["opened_ns"].tolist() == [1, 3, 1] and trades["is_closed"].tolist() == [True, True, False]
    assert trades["fills"].tolist() == [1, 2, 0]
    assert len(trades_of(np.empty(0, FILL_DTYPE), [10.0, 1.0], held)) == 2


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 50)), min_size=1, max_size=60))
def test_trades_add_up_to_the_cash_of_their_fills(rows: list[tuple[int, int, int]]) -> None:
    fills = np.array([fill(side, q / 10, p, 0.01, n) for n, (side, q, p) in enumerate(rows)], FILL_DTYPE)
    trades = trades_of(fills, [1.0])
    closed = trades["is_closed"]
    signed = np.where(fills["side"] == 1, 1.0, -1.0) * fills["quantity"]
    net = signed.sum()
    cash = -(signed * fills["price"]).sum() - fills["fee"].sum()
    open_trade = trades[~closed]
    assert len(open_trade) == (abs(net) > 1e-6)
    if not len(open_trade):
        assert trades["profit"].sum() == pytest.approx(cash, abs=1e-6)
    assert trades["fees"].sum() == pytest.approx(0.01 * len(rows))


def test_the_curve_of_all_is_the_sum_and_ends_where_the_money_is(result: tickrail.Result) -> None:
    whole, slow, fast = result.curve(), result.curve("slow"), result.curve("fast")
    for each, name in ((slow, "slow"), (fast, "fast")):
        assert each["equity"][-1] == pytest.approx(1_000.0 + result.strategy(name).pnl["USD"], abs=1e-6)
    assert whole["equity"][-1] == pytest.approx(slow["equity"][-1] + fast["equity"][-1], abs=1e-6)
    assert (np.diff(whole["ts_ns"]) >= 0).all()
    assert (whole["equity"][0], slow["equity"][0]) == (2_000.0, 1_000.0)
    with pytest.raises(KeyError):
        result.curve("none")


def test_statistics_are_their_formulas() -> None:
    returns = np.array([0.01, -0.02, 0.03, 0.0, -0.01])
    mean, std = returns.mean(), np.sqrt(((returns - returns.mean()) ** 2).sum() / 4)
    assert statistics.sharpe_ratio(returns) == pytest.approx(mean / std * math.sqrt(252))
    downside = math.sqrt((0.02**2 + 0.01**2) / 5)
    assert statistics.sortino_ratio(returns) == pytest.approx(mean * 252 / (downside * math.sqrt(252)))
    assert statistics.deepest_fall(returns) == pytest.approx(-0.02)
    growth = 1.01 * 0.98 * 1.03 * 0.99
    assert statistics.compound_growth(returns) == pytest.approx(growth ** (252 / 5) - 1)
    assert statistics.calmar_ratio(returns) == pytest.approx((growth ** (252 / 5) - 1) / 0.02)
    assert statistics.profit_factor(np.array([3.0, -1.0, 0.0, -1.0])) == 1.5
    assert statistics.profit_factor(np.array([3.0])) == math.inf
    assert statistics.max_drawdown(np.array([10.0, 12.0, 9.0, 11.0])) == (pytest.approx(-0.25), 3.0)
    for nothing in (np.empty(0), np.array([0.01])):
        assert math.isnan(statistics.sharpe_ratio(nothing))
        assert math.isnan(statistics.sortino_ratio(nothing))
    assert math.isnan(statistics.sharpe_ratio(np.array([0.0, 0.0])))


def test_days_end_at_midnight_and_a_day_without_a_look_changes_nothing() -> None:
    ts = np.array([HOUR, DAY, DAY + 1, 4 * DAY - 1, 4 * DAY, 4 * DAY + 5])
    equity = np.array([100.0, 110.0, 120.0, 90.0, 99.0, 198.0])
    assert statistics.daily_returns(ts, equity) == pytest.approx([0.1, 120 / 110 - 1, 0.0, 99 / 120 - 1, 1.0])


def test_statistics_agree_with_empyrical(result: tickrail.Result) -> None:
    import empyrical

    for name in (None, "slow", "fast"):
        found = result.statistics(name)
        curve = result.curve(name)
        returns = statistics.daily_returns(curve["ts_ns"], curve["equity"])
        assert len(returns) > 80
        assert found.sharpe == pytest.approx(empyrical.sharpe_ratio(returns))
        assert found.sortino == pytest.approx(empyrical.sortino_ratio(returns))
        assert found.annual_return == pytest.approx(empyrical.cagr(returns))
        assert found.volatility == pytest.approx(empyrical.annual_volatility(returns))
        assert found.calmar == pytest.approx(empyrical.calmar_ratio(returns))
        assert statistics.deepest_fall(returns) == pytest.approx(empyrical.max_drawdown(returns))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-0.6, 0.9).filter(lambda value: abs(value) > 1e-6), min_size=2, max_size=60),
    st.integers(30, 400),
)
def test_formulas_agree_with_empyrical_on_any_returns(values: list[float], days_per_year: int) -> None:
    import empyrical

    returns = np.array(values)
    how = {"annualization": days_per_year}
    pairs = [
        (statistics.compound_growth(returns, days_per_year), empyrical.cagr(returns, **how)),
        (statistics.deepest_fall(returns), empyrical.max_drawdown(returns)),
    ]
    if returns.std(ddof=1) > 1e-9:
        pairs.append((statistics.sharpe_ratio(returns, days_per_year), empyrical.sharpe_ratio(returns, **how)))
    if returns.min() < 0.0:
        pairs.append((statistics.sortino_ratio(returns, days_per_year), empyrical.sortino_ratio(returns, **how)))
        pairs.append((statistics.calmar_ratio(returns, days_per_year), empyrical.calmar_ratio(returns, **how)))
    for ours, theirs in pairs:
        assert ours == pytest.approx(theirs, rel=1e-9)


def test_counts_and_ratios_of_fills(result: tickrail.Result) -> None:
    found = result.statistics("fast")
    mine = result.fills[result.fills["strategy"] == 1]
    value = (mine["quantity"] * mine["price"]).sum() * 2.0
    assert (found.orders, found.fills) == (int((result.orders["strategy"] == 1).sum()), len(mine))
    assert found.fees == pytest.approx(0.0001 * value)
    assert found.fee_rate == pytest.approx(0.0001)
    assert found.turnover == pytest.approx(value / result.curve("fast")["equity"].mean())
    profits = result.trades[(result.trades["strategy"] == 1) & result.trades["is_closed"]]["profit"]
    assert found.hit_rate == pytest.approx((profits > 0).mean())
    assert found.trades == len(profits)


@pytest.mark.parametrize("capital", [0.0, 1_000.0])
def test_who_does_not_trade_makes_nothing_and_that_is_known(capital: float) -> None:
    idle = {"one": Walks(period=10**6), "two": Walks(period=10**6)}
    run = tickrail.backtest(idle, quotes(10), account=AccountTerms(capital=capital))
    for nothing in (run.statistics(), run.statistics("one")):
        assert (nothing.fills, nothing.trades, nothing.days) == (0, 0, 0)
        assert (nothing.profit, nothing.fees, nothing.max_drawdown_amount) == (0.0, 0.0, 0.0)
        shares = (nothing.total_return, nothing.max_drawdown, nothing.turnover)
        assert shares == (0.0, 0.0, 0.0) if capital else np.isnan(shares).all()
        assert math.isnan(nothing.sharpe) and math.isnan(nothing.hit_rate)


class Turns(Strategy):
    """In and out of each instrument, twice."""

    def on_quote(self, tick: Tick) -> None:
        second = tick.ts_event // S
        if second in (1, 3, 5, 7):
            self.target(tick.instrument, 1.0 if second in (1, 5) else 0.0)


def in_yen(rate: float | str | None, *, yen_alone: bool = False) -> tickrail.Result:
    """An instrument in dollars that wins 3 and 1, one in yen that loses 200 and 400, and the price of a dollar."""
    moves = {
        "D.SIM": ("USD", (10, 10, 13, 13, 13, 13, 14, 14)),
        "J.SIM": ("JPY", (900, 900, 700, 700, 700, 700, 300, 300)),
    }
    moves["USDJPY.SIM"] = ("JPY", (100, 100, 100, 100, 200, 200, 200, 200))
    data = {}
    for name, (currency, prices) in moves.items():
        records = np.zeros(len(prices) + 1, tickrail.TICK_DTYPE)
        records["kind"] = 1
        records["ts_event"] = records["ts_init"] = (1 + np.arange(len(records))) * S
        records["value_0"] = records["value_1"] = (*prices, prices[-1])
        records["value_2"] = records["value_3"] = 1e6
        data[name] = tickrail.TickArray.from_records(records, instruments=[{"id": name, "currency": currency}])
    account = AccountTerms() if rate is None else AccountTerms(capital=100.0, currency="USD", rates={"JPY": rate})
    traded = ["J.SIM"] if yen_alone else ["D.SIM", "J.SIM"]
    return tickrail.backtest(Turns(), data, instruments=traded, account=account, venue=VenueTerms(fee_rate=0.001))


@pytest.mark.parametrize("yen_alone", [False, True])
def test_money_of_several_currencies_is_added_at_the_rate_of_its_fill(yen_alone: bool) -> None:
    run = in_yen("1/USDJPY.SIM", yen_alone=yen_alone)
    fills, trades, found = run.fills, run.trades, run.statistics()
    named = np.array(run.instruments)[fills["instrument"]]
    assert fills["rate"].tolist() == [
        1.0 if name == "D.SIM" else 1 / 100 if at <= 4 * S else 1 / 200
        for name, at in zip(named, fills["ts_ns"].tolist(), strict=True)
    ]
    value = (fills["quantity"] * fills["price"] * fills["rate"]).sum()
    assert found.fees == pytest.approx(0.001 * value) and found.fee_rate == pytest.approx(0.001)
    assert found.turnover == pytest.approx(value / run.curve()["equity"].mean())
    profits = trades["profit"] * trades["rate"]
    assert sorted(profits.round(1)) == sorted(([] if yen_alone else [3.0, 1.0]) + [-2.0, -2.0])
    assert found.average_trade == pytest.approx(profits.mean())
    assert found.profit_factor == pytest.approx(profits[profits > 0].sum() / -profits[profits < 0].sum())
    assert found.hit_rate == (0.0 if yen_alone else 0.5)


def test_money_of_several_currencies_is_not_added_where_nobody_says_at_which_rate() -> None:
    found = in_yen(None).statistics()
    for figure in ("fees", "fee_rate", "turnover", "average_trade", "profit_factor", "profit"):
        assert math.isnan(getattr(found, figure)), figure
    assert (found.trades, found.hit_rate) == (4, 0.5)
    alone = in_yen(None, yen_alone=True).statistics()
    assert alone.fees == pytest.approx(0.001 * (900 + 700 + 700 + 300)), "one currency alone is no sum of several"
    assert alone.average_trade == pytest.approx(-300.0 - alone.fees / 2)


def test_tables_go_to_polars_and_pandas(result: tickrail.Result) -> None:
    orders = result.table("orders")
    assert orders.num_rows == len(result.orders)
    assert orders.column("status").to_pylist()[0] == "FILLED"
    assert orders.column("gate").to_pylist()[0] == "passed"
    assert set(orders.column("strategy").to_pylist()) == {"slow", "fast"}
    assert str(orders.schema.field("made_ns").type) == "timestamp[ns, tz=UTC]"
    assert orders.column("expires_ns").null_count == orders.num_rows
    assert set(result.table("equity").column("strategy").to_pylist()) == {"slow", "fast", "*"}
    assert result.table("positions").column("net").to_pylist() == [one.positions[0].net for one in result.strategies]
    assert result.table("trades").num_rows == len(result.trades)
    assert result.table("refusals").num_rows == result.gate["fast"]["max_order_quantity"] > 0
    polars = pytest.importorskip("polars")
    assert polars.from_arrow(result.table("fills")).height == len(result.fills)
    assert len(result.table("fills").to_pandas()) == len(result.fills)
    with pytest.raises(KeyError, match="no table 'order'"):
        result.table("order")


def test_errors_are_a_table_with_or_without_any(result: tickrail.Result) -> None:
    class Bad(Strategy):
        def on_quote(self, tick: Tick) -> None:
            raise ValueError(f"no {tick.bid:.2f}")

    failed = tickrail.backtest({"bad": Bad()}, quotes(5)).table("errors")
    (row,) = failed.to_pylist()
    assert (row["strategy"], row["handler"], row["type"]) == ("bad", "on_quote", "ValueError")
    assert row["message"].startswith("no ")
    assert row["ts_ns"].value == HOUR, "the first quote, in UTC"
    assert "in on_quote" in row["traceback"]
    assert result.table("errors").schema == failed.schema
    assert result.table("errors").num_rows == 0


@pytest.mark.parametrize("name", ["orders", "fills", "trades", "positions", "equity"])
def test_polars_and_pandas_look_at_the_tables_own_memory(result: tickrail.Result, name: str) -> None:
    polars = pytest.importorskip("polars")
    table = result.table(name)
    frames = (polars.from_arrow(table), table.to_pandas(split_blocks=True))
    columns = [field.name for field in table.schema if str(field.type) == "double"]
    assert columns, table.schema
    for column in columns:
        (chunk,) = table.column(column).chunks
        theirs = chunk.buffers()[1].address + 8 * chunk.offset
        in_polars = frames[0][column].to_numpy(allow_copy=False)
        in_pandas = frames[1][column].to_numpy(copy=False)
        for seen in (in_polars, in_pandas):
            assert seen.__array_interface__["data"][0] == theirs, column
            assert np.array_equal(seen, chunk.to_numpy(), equal_nan=True)


def test_the_page_opens_offline_and_escapes_what_users_write(result: tickrail.Result, tmp_path: Path) -> None:
    page = result.report(tmp_path / "report.html").read_text()
    look = (Path(tickrail.__file__).parent / "report" / "look.js").read_text()
    assert page.count(f"<script>{look}</script>") == 1, "one script, and it is ours"
    rest = page.replace(look, "")
    assert rest.count("<script") == 1 + rest.count('<script type="application/json">{"begin": ')
    assert not re.search(r"(?:src|href)=|@import|url\(|https?:", rest), "it needs something from elsewhere"
    assert not re.search(r"fetch|XMLHttp|WebSocket|import\b|https?:|eval|localStorage", look)
    for told in ("Equity", "Below the peak", "X.SIM", "sharpe", "profit factor", result.digest):
        assert told in page
    assert page.count("<svg") == 4
    assert len(page) < 400_000

    class Bad(Strategy):
        def on_quote(self, tick: Tick) -> None:
            raise ValueError("<script>alert(1)</script>")

    bad = tickrail.backtest({"<b>": Bad()}, quotes(5))
    text = bad.report(tmp_path / "bad.html").read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "<b>.on_quote" not in text


def test_with_its_data_the_page_has_the_price_around_the_fills_and_what_they_cost(tmp_path: Path) -> None:
    data = quotes(400, step_ns=S)
    venue = VenueTerms(order_latency_ns=S + S // 2, report_latency_ns=S // 2)
    result = tickrail.backtest({"walks": Walks()}, data, venue=venue, account=AccountTerms(capital=100.0))
    without = result.report(tmp_path / "report.html").read_text()
    page = result.report(tmp_path / "report.html", ticks=data).read_text()
    assert "price of fills" in without
    assert "markout" not in without
    figures = re.search(r"<tr><td>walks</td>(.*?)</tr>", without[without.index("maker share") :])
    assert figures is not None
    mean = f"{result.fills['quantity'].mean():,.6g}"
    assert re.findall(r"<td>(.*?)</td>", figures[1]) == [f"{len(result.fills)}", mean, "0", "2.5 s", "2.5 s", "2.5 s"]
    assert "price of fills" not in page
    lines = re.findall(r'<polyline fill="none"[^>]* points="([^"]*)"', page)
    assert max(len(line.split()) for line in lines) == 400, "every quote is a point of the line"
    row = re.search(r"<tr><td>walks</td><td>(\d+)</td><td>([^<]*)</td>", page[page.index("mean of fills") :])
    assert row is not None
    assert int(row[1]) == len(result.fills)
    assert float(row[2]) == pytest.approx(result.quality(data)["slippage"].mean(), rel=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"], "nothing half-written stays"
    with pytest.raises(FileNotFoundError):
        result.report(tmp_path / "nowhere" / "report.html")


def test_a_long_curve_keeps_its_spikes_and_its_page_small(tmp_path: Path) -> None:
    from tickrail.report.curves import chart

    values = np.zeros(100_000)
    values[54_321] = 1e6
    svg = chart("long", [("line", np.arange(100_000), values)])
    levels = re.findall(r'text-anchor="end">([^<]*)<', svg)[:-1]
    assert levels == ["0", "200,000", "400,000", "600,000", "800,000", "1,000,000"], "round numbers"
    assert "1,000,000" in svg
    drawn, _, data = svg.partition("<script")
    assert len(drawn) < 60_000
    # The closer look has twenty times as many points where there are as many, at 11 bytes each.
    assert len(data) < 225_000
    noise = np.random.default_rng(5).normal(size=100_000)
    kept = json.loads(chart("noise", [("line", np.arange(100_000), noise)]).partition('json">')[2].partition("</")[0])
    (line,) = kept["lines"]
    parts = np.frombuffer(base64.b64decode(line["v"]), "<u4") / (2**32 - 1)
    assert 19_000 < len(parts) <= 20_002
    assert (line["low"], line["high"]) == (noise.min(), noise.max())
    values = line["low"] + parts * (line["high"] - line["low"])
    assert values.max() == pytest.approx(noise.max())
    ranked = np.sort(noise)
    above = np.clip(np.searchsorted(ranked, values), 1, len(ranked) - 1)
    apart = np.minimum(np.abs(ranked[above] - values), np.abs(ranked[above - 1] - values))
    assert apart.max() < 1e-8, "points of the line, and no others"


@given(low=st.floats(-1e9, 1e9), size=st.floats(1e-6, 1e9))
def test_levels_are_few_and_within_the_frame(low: float, size: float) -> None:
    from tickrail.report.curves import _round_levels

    high = low + size
    if high - low < 1e-9 * max(abs(low), abs(high)):
        return
    levels = _round_levels(low, high)
    assert 3 <= len(levels) <= 8
    slack = 1e-6 * (high - low) + 1e-12 * abs(low)
    assert low - slack <= levels[0]
    assert levels[-1] <= high + slack


def test_the_record_names_what_made_the_result(result: tickrail.Result, tmp_path: Path) -> None:
    record = result.record
    assert record["digest"] == result.digest
    assert list(record["sources"]) == ["data"] or len(record["sources"]) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", next(iter(record["sources"].values())))
    assert record["numpy"] == np.__version__
    assert isinstance(record["cpu_flags"], list)
    folder = result.write(tmp_path / "run")
    assert json.loads((folder / "record.json").read_text()) == json.loads(json.dumps(record))


def test_each_thing_that_makes_a_result_shows_in_its_own_line_of_the_record() -> None:
    def record(strategy: Strategy | None = None, data: Any = None, seed: int = 0) -> dict[str, Any]:
        return tickrail.backtest(strategy or Walks(), data if data is not None else quotes(50), seed=seed).record

    def differs(**changed: Any) -> set[str]:
        one, other = record(), record(**changed)
        return {name for name in one if one[name] != other[name]}

    assert differs() <= {"run_id"}
    assert differs(strategy=Walks(period=8)) - {"run_id"} == {"configuration_digest", "digest"}
    assert differs(data=quotes(50, seed=4)) - {"run_id"} == {"sources", "digest"}
    assert differs(seed=1) - {"run_id"} == {"seed", "configuration_digest", "digest"}
    made = record()
    assert made["build"]["version"] == tickrail.__version__
    assert made["cpu_flags"] == sorted(made["cpu_flags"])
    assert re.fullmatch(r"[0-9a-f]{64}", made["digest"])


def test_a_result_is_read_from_its_folder(result: tickrail.Result, tmp_path: Path) -> None:
    class Bad(Strategy):
        def on_quote(self, tick: Tick) -> None:
            self.buy(tick.instrument, 1.0)
            raise ValueError("no")

    failed = tickrail.backtest({"bad": Bad(), "idle": Walks(period=10**6)}, quotes(5))
    for number, one in enumerate((result, failed)):
        read = read_result(one.write(tmp_path / str(number)))
        assert read.summary() == one.summary() and read.record == json.loads(json.dumps(one.record))
        assert str(read.statistics()) == str(one.statistics()) and read.ok == one.ok
        for name in TABLES:
            assert str(read.table(name).to_pydict()) == str(one.table(name).to_pydict()), name
        page = read.report(tmp_path / "read.html", ticks=quotes()).read_text()
        assert page == one.report(tmp_path / "run.html", ticks=quotes()).read_text()
        assert str(read.strategies) == str(one.strategies)
        assert read.client_ids == one.client_ids and read.changes == one.changes
    with pytest.raises(DataError, match=r"nowhere is no folder of a result: .*result\.json"):
        read_result(tmp_path / "nowhere")
    (tmp_path / "0" / "fills.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="no folder of a result"):
        read_result(tmp_path / "0")


def test_the_record_names_the_code_of_each_strategy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "import tickrail\n\n\nclass Idle(tickrail.Strategy):\n    def on_quote(self, tick):\n        {}\n"
    for module, does in (("one_idle", "pass"), ("other_idle", "return")):
        (tmp_path / f"{module}.py").write_text(text.format(does))
    kinds = [importlib.import_module(module).Idle for module in ("one_idle", "other_idle")]
    made = tickrail.backtest({"one": kinds[0](), "other": kinds[1](), "again": kinds[0]()}, quotes(5)).record["code"]
    assert [made[name]["class"] for name in made] == ["one_idle:Idle", "other_idle:Idle", "one_idle:Idle"]
    assert made["one"]["source"] == hashlib.sha256(text.format("pass").encode()).hexdigest()
    assert made["one"] == made["again"] != made["other"]
    space: dict[str, Any] = {"__name__": "nowhere"}
    exec(text.format("pass"), space)
    assert tickrail.backtest(space["Idle"](), quotes(5)).record["code"] == {
        "Idle": {"class": "nowhere:Idle", "source": ""}
    }


def test_fills_against_arrival_and_what_came_after() -> None:
    records = np.zeros(100, tickrail.TICK_DTYPE)
    records["kind"] = 1
    records["ts_event"] = records["ts_init"] = (1 + np.arange(100)) * S
    records["value_0"], records["value_1"] = 100.0 + np.arange(100), 102.0 + np.arange(100)
    records["value_2"] = records["value_3"] = 1e6
    ticks = tickrail.TickArray.from_records(records, ["X.SIM"])

    class Trades(Strategy):
        def on_quote(self, tick: Tick) -> None:
            if tick.ts_event in (5 * S, 80 * S):
                self.buy(tick.instrument, 1.0)
                self.sell(tick.instrument, 2.0)

    result = tickrail.backtest(Trades(), ticks)
    quality = result.quality(ticks)
    # Decided at 5 s with a mid of 105, filled at 6 s at 107 and 105; the mid then rises by 1 a second from 106.
    assert quality["arrival"].tolist() == [105.0, 105.0, 180.0, 180.0]
    assert quality["slippage"].tolist() == [2.0, 0.0, 2.0, 0.0]
    assert quality["markout_1_s"].tolist() == [0.0, -2.0, 0.0, -2.0]
    assert quality["markout_10_s"].tolist() == [9.0, -11.0, 9.0, -11.0]
    assert quality["markout_60_s"][:2].tolist() == [59.0, -61.0]
    assert np.isnan(quality["markout_60_s"][2:]).all(), "the data ends before"


def test_the_data_of_a_run_is_taken_in_every_form_that_a_run_takes_it(tmp_path: Path) -> None:
    first, second = quotes(200, step_ns=S), quotes(200, step_ns=S, name="Y.SIM", seed=4)
    data = {"X.SIM": first, "Y.SIM": second}
    result = tickrail.backtest(Walks(), data)
    path = tmp_path / "second.ticks"
    with TickFileWriter(path) as writer:
        writer.append_ticks(second)
        writer.commit()
    expected = result.quality(data)
    assert np.isfinite(expected["slippage"]).all()
    assert set(result.fills["instrument"]) == {0, 1}
    for same in ([second, first], [first, path], {"one": [first], "other": str(path)}):
        assert result.quality(same).tobytes() == expected.tobytes()
    assert "markout 60 s" in result.report(tmp_path / "report.html", ticks=data).read_text()
    for wrong, said in ((42, "ticks is int"), ([], "ticks is empty"), (result, "ticks is Result")):
        with pytest.raises(DataError, match=said):
            result.quality(wrong)


def test_a_run_by_receipt_is_held_against_what_it_had_received() -> None:
    records = np.zeros(20, tickrail.TICK_DTYPE)
    records["kind"] = 1
    records["ts_event"] = (1 + np.arange(20)) * S
    records["ts_init"] = records["ts_event"] + 2 * S
    records["value_0"], records["value_1"] = 100.0 + np.arange(20), 102.0 + np.arange(20)
    records["value_2"] = records["value_3"] = 1e6
    ticks = tickrail.TickArray.from_records(records, ["X.SIM"], order_by="ts_init")

    class Once(Strategy):
        def on_quote(self, tick: Tick) -> None:
            if tick.ts_event == 5 * S:
                self.buy(tick.instrument, 1.0)

    # Decided at 7 s on the quote of 5 s, when the venue was at that of 7 s, which nobody here had seen.
    assert tickrail.backtest(Once(), ticks).quality(ticks)["arrival"].tolist() == [105.0]
