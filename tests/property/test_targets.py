"""``target`` counts market orders on their way and nothing that waits for a price.

Whatever else a strategy orders, it has what it asked for once its market orders are done.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tickrail
from tickrail import Strategy, Tick, VenueTerms, testing

KINDS = ("limit", "stop", "market", "target", "cancel", "amend", "close", "undone", "grown")
Act = tuple[str, int]
ACTS = st.tuples(st.sampled_from(KINDS), st.integers(-9, 9))
A = "A.SIM"


def ticks_of(size: float) -> tickrail.TickArray:
    """Quotes with ``size`` units on offer: enough of them for whatever was asked for to come."""
    records = testing.quotes(300, instrument=A).numpy().copy()
    records["value_2"] = records["value_3"] = size
    return tickrail.TickArray.from_records(records, instruments=[{"id": A}])


DEEP, THIN = ticks_of(1e6), ticks_of(3.0)
EVERY_NS = int(DEEP.numpy()["ts_event"][1] - DEEP.numpy()["ts_event"][0])


class Acts(Strategy):
    """Does one thing a tick. Its prices are out of reach, so ``expected`` is known."""

    def __init__(self, acts: list[Act], is_late: bool) -> None:
        self.acts, self.is_late = acts, is_late

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

    def do_undone(self, units: float) -> None:
        """A market order that is taken back at once; where messages take time, a target does not know of that yet."""
        if units and not self.is_late:
            self.cancel((self.buy if units > 0 else self.sell)(A, abs(units)))

    def do_grown(self, units: float) -> None:
        """One that is made larger at once."""
        if units and not self.is_late:
            self.amend((self.buy if units > 0 else self.sell)(A, abs(units)), quantity=abs(units) + 2.0)
            self.expected += units + (2.0 if units > 0 else -2.0)

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


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ACTS, min_size=1, max_size=30), st.integers(0, 5), st.integers(0, 5), st.booleans())
@example([("market", 5), ("limit", 1), ("target", 3)], 0, 0, False)
@example([("market", 5), ("target", 3)], 3, 2, False)
@example([("limit", 5), ("amend", 7), ("target", 3)], 0, 0, False)
@example([("undone", 5), ("target", 3)], 0, 0, False)
@example([("grown", 5), ("target", 3)], 0, 0, False)
@example([("market", 9), ("limit", 1), ("target", 1)], 0, 0, True)
@example([("market", 9), ("target", 4), ("close", 0)], 2, 2, True)
def test_a_target_is_reached_whatever_waits_for_a_price(acts: list[Act], to: int, back: int, is_thin: bool) -> None:
    late: dict[str, Any] = {"order_latency_ns": to * EVERY_NS, "report_latency_ns": back * EVERY_NS}
    strategy = Acts(acts, is_late=to + back > 0)
    venue = VenueTerms(**late, fill_model="size" if is_thin else "touch")
    result = tickrail.backtest(strategy, THIN if is_thin else DEEP, venue=venue)
    assert result.ok, result.summary()
    held = sum(position.net for position in result.strategies[0].positions)
    assert held == strategy.expected
