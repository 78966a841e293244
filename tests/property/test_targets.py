"""``target`` counts market orders on their way and nothing that waits for a price.

Whatever else a strategy orders, it has what it asked for once its market orders are done.
"""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

import tickrail
from tickrail import Strategy, Tick, VenueTerms, testing

Act = tuple[Literal["limit", "stop", "market", "target", "cancel", "amend", "close"], int]
ACTS = st.tuples(st.sampled_from(["limit", "stop", "market", "target", "cancel", "amend", "close"]), st.integers(-9, 9))
A = "A.SIM"
TICKS = testing.quotes(80, instrument=A)


class Acts(Strategy):
    """Does one thing a tick. Its prices are out of reach, so ``expected`` is known."""

    def __init__(self, acts: list[Act]) -> None:
        self.acts = acts

    def on_start(self) -> None:
        self.expected, self.resting, self.done = 0.0, list[int](), 0

    def on_quote(self, tick: Tick) -> None:
        if self.done < len(self.acts):
            what, units = self.acts[self.done]
            self.done += 1
            getattr(self, f"do_{what}")(float(units))

    def do_limit(self, units: float) -> None:
        if units:
            order = self.buy(A, units, limit=0.001) if units > 0 else self.sell(A, -units, limit=1e6)
            self.resting.append(order)

    def do_stop(self, units: float) -> None:
        if units:
            order = self.buy(A, units, stop=1e6) if units > 0 else self.sell(A, -units, stop=0.001)
            self.resting.append(order)

    def do_market(self, units: float) -> None:
        if units:
            (self.buy if units > 0 else self.sell)(A, abs(units))
            self.expected += units

    def do_target(self, units: float) -> None:
        self.target(A, units)
        self.expected = units

    def do_close(self, _: float) -> None:
        self.close(A)
        self.expected = 0.0

    def do_cancel(self, _: float) -> None:
        if self.resting:
            self.cancel(self.resting.pop(0))

    def do_amend(self, units: float) -> None:
        if self.resting:
            self.amend(self.resting.pop(0), quantity=abs(units) + 1.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTS, min_size=1, max_size=30), st.integers(0, 5), st.integers(0, 5))
def test_a_target_is_reached_whatever_waits_for_a_price(acts: list[Act], to: int, back: int) -> None:
    every_ns = int(TICKS.numpy()["ts_event"][1] - TICKS.numpy()["ts_event"][0])
    late: dict[str, Any] = {"order_latency_ns": to * every_ns, "report_latency_ns": back * every_ns}
    strategy = Acts(acts)
    result = tickrail.backtest(strategy, TICKS, venue=VenueTerms(**late))
    assert result.ok, result.summary()
    held = sum(position.net for position in result.strategies[0].positions)
    assert held == strategy.expected
