"""Whole runs over bars beside quotes, over days, through outages, in fractions: what the venue's rules come to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import InstrumentTerms, OrderUpdate, Strategy, Tick, VenueTerms

S = 1_000_000_000
DAY_S = 86_400
MINUTE_S = 60
BAR, QUOTE = "B.SIM", "Q.SIM"


def quotes(rows: Any, **facts: Any) -> tickrail.TickArray:
    """Second, bid, ask, size on both sides."""
    columns = np.array(rows, float).T
    records = np.zeros(len(rows), tickrail.QUOTE_DTYPE)
    records["kind"] = 1
    records["ts_event"] = records["ts_init"] = (columns[0] * S).astype(np.int64)
    records["bid"], records["ask"] = columns[1], columns[2]
    records["bid_size"] = records["ask_size"] = columns[3]
    return tickrail.TickArray.from_records(records.view(tickrail.TICK_DTYPE), instruments=[{"id": QUOTE, **facts}])


def bars(rows: Any, duration_s: int) -> tickrail.TickArray:
    """Second of the close, open, high, low, close."""
    columns = np.array(rows, float).T
    records = np.zeros(len(rows), tickrail.TICK_DTYPE)
    records["kind"] = 3
    records["ts_event"] = records["ts_init"] = (columns[0] * S).astype(np.int64)
    for place in range(4):
        records[f"value_{place}"] = columns[1 + place]
    records["sequence"] = np.full(len(rows), 1e6).view(np.uint64)
    return tickrail.TickArray.from_records(records, instruments=[{"id": BAR, "bar_duration_ns": duration_s * S}])


class Plays(Strategy):
    """Makes the orders of its script, by second, and keeps what it is told of each."""

    script: dict[int, list[Callable[[Strategy], object]]]

    def on_start(self) -> None:
        self.told: list[tuple[float, int, str]] = []

    def on_tick(self, tick: Tick) -> None:
        for make in self.script.get(self.now_ns // S, ()):
            make(self)

    def on_order_update(self, update: OrderUpdate) -> None:
        self.told.append((self.now_ns / S, update.order, update.reason or update.status))


def fills(result: tickrail.Result) -> list[tuple[float, int, float, float]]:
    return [(one["ts_ns"] / S, int(one["order"]), float(one["quantity"]), float(one["price"])) for one in result.fills]


def test_an_order_that_was_decided_within_a_bar_does_not_trade_at_what_came_before_it() -> None:
    # The bar of 120 to 180 opened at 200, long before the order of 150, and may have been as low as 190 before it.
    minutes = bars([(120, 200, 201, 199, 200), (180, 200, 220, 190, 215), (240, 216, 217, 215, 216)], MINUTE_S)
    ticks = quotes([(second, 9.0, 10.0, 1.0) for second in (110, 150, 170)])
    orders: list[Callable[[Strategy], object]] = [
        lambda plays: plays.buy(BAR, 1.0),
        lambda plays: plays.buy(BAR, 1.0, limit=195.0),
        lambda plays: plays.sell(BAR, 1.0, stop=195.0),
    ]
    result = tickrail.backtest(Plays(script={150: orders}), {BAR: minutes, QUOTE: ticks})
    assert fills(result) == [(180.0, 1, 1.0, 215.0)]
    # On the bar that ends there it is the next open, as ever.
    result = tickrail.backtest(Plays(script={120: orders}), {BAR: minutes, QUOTE: ticks})
    assert fills(result) == [(180.0, 1, 1.0, 200.0), (180.0, 3, 1.0, 195.0), (180.0, 2, 1.0, 195.0)]


def test_a_timer_within_a_bar_has_no_open_of_the_past_either() -> None:
    class ByTimer(Strategy):
        def on_start(self) -> None:
            self.schedule_at(150 * S, lambda event: self.buy(BAR, 1.0))

    minutes = bars([(120, 200, 201, 199, 200), (180, 200, 220, 190, 215)], MINUTE_S)
    assert fills(tickrail.backtest(ByTimer(), minutes)) == [(180.0, 1, 1.0, 215.0)]


class Batched(Strategy):
    """Decides on batches, as ``Plays`` on ticks."""

    when: int

    def on_batch(self, batch: tickrail.TickBatch) -> None:
        if (batch.records["ts_event"] == self.when * S).any():
            self.buy(BAR, 1.0)


@pytest.mark.parametrize("slice_ticks", [1, 3, 4_096])
@pytest.mark.parametrize("decided", [0, 120, 150, 180])
def test_without_a_duration_a_bar_began_with_the_end_of_the_one_before(decided: int, slice_ticks: int) -> None:
    rows = [(60, 100, 101, 99, 100), (120, 200, 201, 199, 200), (180, 300, 320, 290, 315), (240, 316, 317, 315, 316)]
    data = {BAR: bars(rows, 0), QUOTE: quotes([(second, 9.0, 10.0, 1.0) for second in (50, 70, 150, 170, 190)])}
    expected = {0: (60, 100.0), 120: (180, 300.0), 150: (180, 315.0), 180: (240, 316.0)}[decided]

    class Once(Plays):
        def on_start(self) -> None:
            super().on_start()
            if decided == 0:
                self.buy(BAR, 1.0)

    by_tick = Once(script={decided: [lambda plays: plays.buy(BAR, 1.0)]})
    alike = [tickrail.backtest(by_tick, data, slice_ticks=slice_ticks)]
    if decided:
        alike.append(tickrail.backtest(Batched(when=decided), data, max_ticks=1, slice_ticks=slice_ticks))
    for result in alike:
        assert fills(result) == [(float(expected[0]), 1, 1.0, expected[1])]


def test_a_day_that_ends_early_makes_no_order_late() -> None:
    """Three days of trade to 21:00, the second to 18:00: who decides at that bar has the open of the next one."""
    hours = [(21, 100.0), (42, 200.0), (69, 300.0)]
    daily = bars([(hour * 3_600, price, price + 1.0, price, price + 1.0) for hour, price in hours], DAY_S)
    orders: list[Callable[[Strategy], object]] = [lambda plays: plays.buy(BAR, 1.0)]
    result = tickrail.backtest(Plays(script={21 * 3_600: orders, 42 * 3_600: orders}), daily)
    assert fills(result) == [(42.0 * 3_600, 1, 1.0, 200.0), (69.0 * 3_600, 2, 1.0, 300.0)]


def test_a_day_order_on_daily_bars_has_one_bar() -> None:
    daily = bars([(day * DAY_S, 100, 101, 99, 100) for day in (1, 2, 3)], DAY_S)
    orders: list[Callable[[Strategy], object]] = [
        lambda plays: plays.buy(BAR, 1.0, time_in_force="DAY"),
        lambda plays: plays.buy(BAR, 1.0, limit=90.0, time_in_force="DAY"),
    ]
    plays = Plays(script={DAY_S: orders})
    assert fills(tickrail.backtest(plays, daily)) == [(2.0 * DAY_S, 1, 1.0, 100.0)]
    assert plays.told[-1] == (2.0 * DAY_S, 2, "its time has run out")


def test_a_day_goes_on_over_midnight_where_its_session_does() -> None:
    rows = [(hours * 3_600, bid, bid + 1.0, 1.0) for hours, bid in ((47, 100.0), (48, 100.0), (52, 80.0), (54, 70.0))]
    venue = VenueTerms(sessions=["22:00-24:00", "00:00-05:00"])
    orders: list[Callable[[Strategy], object]] = [
        lambda plays: plays.buy(QUOTE, 1.0, limit=90.0, time_in_force="DAY"),
        lambda plays: plays.buy(QUOTE, 1.0, limit=75.0, time_in_force="DAY"),
    ]
    plays = Plays(script={47 * 3_600: orders})
    assert fills(tickrail.backtest(plays, quotes(rows), venue=venue)) == [(52.0 * 3_600, 1, 1.0, 90.0)]
    assert plays.told[-1] == (53.0 * 3_600, 2, "its time has run out")


def test_an_order_whose_reports_take_time_has_left() -> None:
    rows = [(second, 99.0, 100.0, 5.0) for second in (1, 2, 3)]
    venue = VenueTerms(report_latency_ns=10 * S)
    plays = Plays(script={1: [lambda plays: plays.buy(QUOTE, 1.0)]})
    result = tickrail.backtest(plays, quotes(rows), venue=venue)
    assert plays.told == [(1.0, 1, "SUBMITTED")], "the rest comes after the end of the data"
    assert result.table("orders").column("status").to_pylist() == ["SUBMITTED"]


def test_through_an_outage_what_stands_trades_and_nobody_hears_of_it() -> None:
    rows = [(second, bid, bid + 1.0, 5.0) for second, bid in ((1, 99.0), (2, 99.0), (4, 95.0), (6, 99.0), (8, 80.0))]
    orders: dict[int, list[Callable[[Strategy], object]]] = {
        1: [lambda plays: plays.buy(QUOTE, 1.0, limit=96.0), lambda plays: plays.buy(QUOTE, 1.0, limit=90.0)],
        4: [
            lambda plays: plays.cancel(2),
            lambda plays: plays.buy(QUOTE, 1.0),
            lambda plays: plays.amend(1, limit=97.0),
        ],
    }
    plays = Plays(script=orders)
    result = tickrail.backtest(plays, quotes(rows), venue=VenueTerms(outages=[(3 * S, 7 * S)]))
    assert fills(result) == [(7.0, 1, 1.0, 96.0)]
    cut_off = "the venue cannot be reached (outages)"
    assert plays.told[2:] == [(4.0, 3, cut_off), (4.0, 1, cut_off), (7.0, 1, "FILLED"), (7.0, 2, "asked for")]


def test_tenths_add_up_and_a_maker_is_paid() -> None:
    rows = [(second, 99.0, 100.0, 0.1) for second in range(1, 13)] + [(13, 98.0, 99.0, 0.1), (14, 98.0, 99.0, 0.1)]
    orders: dict[int, list[Callable[[Strategy], object]]] = {
        1: [lambda plays: plays.buy(QUOTE, 1.0)],
        11: [lambda plays: plays.buy(QUOTE, 0.2, limit=99.0)],  # waits one quote, so that it is maker
    }
    terms = {QUOTE: InstrumentTerms(size_increment=0.1, price_increment=0.5)}
    venue = VenueTerms(fill_model="size", maker_fee_rate=-0.001, taker_fee_rate=0.002)
    plays = Plays(script=orders)
    result = tickrail.backtest(plays, quotes(rows), venue=venue, terms=terms)
    bought = [(second, order, round(quantity, 9), price) for second, order, quantity, price in fills(result)]
    assert bought == [(float(second), 1, 0.1, 100.0) for second in range(2, 12)] + [
        (13.0, 2, 0.1, 99.0),
        (14.0, 2, 0.1, 99.0),
    ]
    assert result.fills["fee"].tolist() == pytest.approx([0.02] * 10 + [-0.0099] * 2)
    assert all(abs(one / 0.1 - round(one / 0.1)) < 1e-9 for one in result.fills["quantity"])
    assert result.strategies[0].positions[0].net == pytest.approx(1.2, abs=1e-12)
