"""When a position is flat: rounding of many fills is nothing, the smallest quantity after the largest is something."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import tickrail


class Orders(tickrail.Strategy):
    """One order of ``signed`` a quote, then targets of nothing."""

    signed: list[float]

    def on_start(self) -> None:
        self.left = list(self.signed)
        self.last: int | None = None

    def on_quote(self, tick: tickrail.Tick) -> None:
        if self.left:
            units = self.left.pop(0)
            (self.buy if units > 0.0 else self.sell)(tick.instrument, abs(units))
        else:
            self.last = self.target(tick.instrument, 0.0)


def ran(strategy: Orders, prices: Sequence[float]) -> tickrail.Result:
    """An order is filled at the quote after it."""
    records = np.zeros(len(prices) + 1, tickrail.TICK_DTYPE)
    records["kind"] = 1
    records["ts_event"] = records["ts_init"] = 1 + np.arange(len(records))
    records["value_0"] = records["value_1"] = [prices[0], *prices]
    records["value_2"] = records["value_3"] = 1.0
    return tickrail.backtest(strategy, tickrail.TickArray.from_records(records, instruments=[{"id": "X.SIM"}]))


def test_a_small_position_after_a_large_one_is_a_trade_like_any_other() -> None:
    """By a fraction of the largest fill of all it was none: two trades of one unit, with profits of -6 and 8."""
    result = ran(Orders(signed=[2e9, -2e9, 1.0, -1.0, 1e-8]), [2.0, 4.0, 6.0, 8.0, 10.0])
    trades = result.trades
    assert trades["side"].tolist() == [1, 1, 1]
    assert trades["quantity"].tolist() == [2e9, 1.0, 1e-8]
    assert trades["profit"][:2].tolist() == [4e9, 2.0]
    assert trades["is_closed"].tolist() == [True, True, False]
    assert result.positions["net"].tolist() == [1e-8]


def test_a_position_that_many_fills_have_closed_is_flat() -> None:
    """Added up one by one it is -1.7e-13, which a target of zero ordered."""
    sizes = [(n * 7 % 9 + 1) / 10 for n in range(500)]
    signed = [*sizes, *(-size for size in sorted(sizes, reverse=True))]
    net = 0.0
    for units in signed:
        net += units
    assert abs(net) > 1e-12 * 0.1, "more than rounding of the last fill"
    strategy = Orders(signed=signed)
    result = ran(strategy, [1.0] * (len(signed) + 2))
    assert (result.positions["net"].tolist(), strategy.last) == ([0.0], None)
    assert result.trades["is_closed"].tolist() == [True]
