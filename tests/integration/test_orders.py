"""Orders of every kind through the simulated venue: a scenario computed by hand, refusals, what a run keeps of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import InstrumentTerms, OrderUpdate, Strategy, Tick, VenueTerms
from tickrail.errors import OrderRefused, ParameterError
from tickrail.report.result import ORDER_STATUS

S = 1_000_000_000
NAME = "X.SIM"
#: Code of a quote in the record.
QUOTE = 1
#: Second, bid, ask, bid size, ask size.
MARKET = (
    (1, 99.0, 101.0, 10, 10),
    (2, 100.0, 101.0, 5, 5),
    (3, 100.0, 102.0, 5, 4),
    (4, 98.0, 99.0, 3, 6),
    (5, 97.0, 98.0, 10, 10),
    (6, 103.0, 104.0, 2, 2),
    (7, 105.0, 106.0, 10, 10),
    (8, 100.0, 101.0, 10, 10),
    (9, 100.0, 101.0, 10, 10),
)
VENUE = VenueTerms(fill_model="size", maker_fee_rate=0.001, taker_fee_rate=0.002)


def quotes(rows: Any = MARKET, name: str = NAME) -> tickrail.TickArray:
    records = np.zeros(len(rows), tickrail.TICK_DTYPE)
    columns = np.array(rows, dtype=float).T
    records["ts_event"] = records["ts_init"] = (columns[0] * S).astype(np.int64)
    records["kind"] = QUOTE
    for place, column in enumerate(columns[1:]):
        records[f"value_{place}"] = column
    return tickrail.TickArray.from_records(records, instruments=[{"id": name}])


class Plays(Strategy):
    """Makes the orders of its script, by second, and keeps what it is told."""

    script: dict[int, Any]
    traded: str = NAME

    def on_start(self) -> None:
        self.told: list[tuple[int, str]] = []
        self.reasons: dict[int, str] = {}

    def on_quote(self, tick: Tick) -> None:
        for make in self.script.get(tick.ts_event // S, ()):
            make(self)

    def on_order_update(self, update: OrderUpdate) -> None:
        self.told.append((update.order, update.status))
        if update.reason:
            self.reasons[update.order] = update.reason


def buy(quantity: float, **terms: Any) -> Callable[[Plays], object]:
    return lambda plays: plays.buy(plays.traded, quantity, **terms)


def sell(quantity: float, **terms: Any) -> Callable[[Plays], object]:
    return lambda plays: plays.sell(plays.traded, quantity, **terms)


def filled(result: tickrail.Result, strategy: int = 0) -> list[tuple[float, int, float, float, float]]:
    """Second, order, signed quantity, price, fee."""
    fills = result.fills[result.fills["strategy"] == strategy]
    signs = np.where(fills["side"] == 1, 1.0, -1.0)
    rows = zip(fills["ts_ns"] / S, fills, signs, strict=True)
    return [
        (float(second), int(fill["order"]), sign * fill["quantity"], fill["price"], round(float(fill["fee"]), 6))
        for second, fill, sign in rows
    ]


def statuses(result: tickrail.Result, strategy: int = 0) -> dict[int, str]:
    orders = result.orders[result.orders["strategy"] == strategy]
    return {int(order["order"]): ORDER_STATUS[order["status"]] for order in orders}


#: 24 orders of every kind and time in force, partial fills, amendments.
SCRIPT: dict[int, Any] = {
    1: [
        buy(2),  # 1: takes 2 of the 5 on offer
        buy(2, limit=101.0),  # 2: takes 2 more
        buy(3, limit=101.0, time_in_force="IOC"),  # 3: takes the last one, the rest is taken back
        buy(1, limit=101.0, time_in_force="FOK"),  # 4: nothing left
        sell(2, limit=101.0, post_only=True),  # 5: waits until 7
        sell(1, limit=100.0, post_only=True),  # 6: would take
        buy(1, stop=102.0),  # 7: woken at 3
        sell(1, stop=98.5),  # 8: woken at 4
        buy(1, stop=103.0, limit=103.5),  # 9: woken at 6 beyond its limit, filled at 9
        buy(2, limit=98.5),  # 10: shrinks to 1 at 4, filled at 5
        buy(2, limit=98.0, expires_ns=4 * S + S // 2),  # 11: expires before the 98 of 5
        buy(1, limit=97.0, time_in_force="DAY"),  # 12: amended at 4, cancelled at 7
    ],
    2: [
        sell(4),  # 13
        sell(3, time_in_force="IOC"),  # 14: one of three
        sell(1, reduce_only=True),  # 15: flat by then
    ],
    3: [
        buy(10, limit=99.0),  # 16: takes 6, waits for 4
        sell(9, limit=98.0, time_in_force="FOK"),  # 17: 3 on offer
        sell(2, limit=98.0),  # 18
    ],
    4: [
        lambda plays: plays.amend(10, quantity=1.0),
        lambda plays: plays.amend(12, limit=97.5),
        sell(20),  # 19: 10 at 5, 2 at 6, 8 at 7
    ],
    5: [
        buy(1, limit=103.0, time_in_force="IOC"),  # 20
        buy(1, stop=104.0, limit=103.0),  # 21: woken at 6, filled at 9
    ],
    6: [buy(3)],  # 22
    7: [
        buy(5, limit=101.0, reduce_only=True),  # 23
        buy(20, reduce_only=True),  # 24: ends where the position does
        lambda plays: plays.cancel(12),
    ],
}
#: What they come to, by hand: second, order, signed quantity, price, fee.
FILLED = [
    (2, 1, 2, 101.0, 0.404),
    (2, 2, 2, 101.0, 0.404),
    (2, 3, 1, 101.0, 0.202),
    (3, 13, -4, 100.0, 0.8),
    (3, 14, -1, 100.0, 0.2),
    (3, 7, 1, 102.0, 0.204),
    (4, 16, 6, 99.0, 1.188),
    (4, 18, -2, 98.0, 0.392),
    (4, 8, -1, 98.0, 0.196),
    (5, 19, -10, 97.0, 1.94),
    (5, 16, 4, 99.0, 0.396),
    (5, 10, 1, 98.5, 0.0985),
    (6, 19, -2, 103.0, 0.412),
    (7, 19, -8, 105.0, 1.68),
    (7, 22, 3, 106.0, 0.636),
    (7, 5, -2, 101.0, 0.202),
    (8, 23, 5, 101.0, 1.01),
    (8, 24, 5, 101.0, 1.01),
    (9, 9, 1, 103.5, 0.1035),
    (9, 21, 1, 103.0, 0.103),
]
#: 8 orders at a venue that is 1.5 s away and heard 0.25 s later.
LATE_SCRIPT: dict[int, Any] = {
    1: [buy(1), buy(1, limit=101.0), sell(1, limit=100.0, time_in_force="IOC")],
    2: [buy(1, limit=98.0)],
    3: [buy(1), lambda plays: plays.cancel(4)],
    4: [buy(1, limit=98.0), buy(1, limit=98.0, expires_ns=5 * S + S // 5)],
    6: [buy(1), lambda plays: plays.cancel(6)],
}
LATE = VENUE.model_copy(update={"order_latency_ns": 3 * S // 2, "report_latency_ns": S // 4})
#: What is sent at 1 arrives at 2.5: the ask has gone from 101 to 102 when the next quote comes.
LATE_FILLED = [
    (3.25, 1, 1, 102.0, 0.204),
    (3.25, 3, -1, 100.0, 0.2),
    (4.25, 2, 1, 101.0, 0.101),
    (5.25, 5, 1, 98.0, 0.196),
    (8.25, 8, 1, 101.0, 0.202),
]


def test_a_scenario_of_every_kind_computed_by_hand() -> None:
    plays = Plays(script=SCRIPT)
    result = tickrail.backtest(plays, quotes(), venue=VENUE)
    assert filled(result) == FILLED
    ended = {
        4: "CANCELED",
        6: "CANCELED",
        11: "EXPIRED",
        12: "CANCELED",
        15: "CANCELED",
        17: "CANCELED",
        20: "CANCELED",
    }
    partly = {3: "CANCELED", 14: "CANCELED", 24: "CANCELED"}
    assert statuses(result) == {**dict.fromkeys(range(1, 25), "FILLED"), **ended, **partly}
    (held,) = result.strategies[0].positions
    # Sold for 3,012 and bought for 3,230, with 2 left that are worth the mid of 100.5 each.
    cash = sum(-signed * price for _, _, signed, price, _ in filled(result))
    assert cash == -218.0
    assert held.net == 2.0
    assert held.realised + held.unrealised == pytest.approx(cash + 2 * 100.5)
    assert held.fees == pytest.approx(11.581)
    assert plays.reasons[15].startswith("reduce_only")
    assert [status for order, status in plays.told if order == 16] == ["ACCEPTED", "PARTIALLY_FILLED", "FILLED"]


def test_latency_lets_the_market_move_in_between() -> None:
    plays = Plays(script=LATE_SCRIPT)
    result = tickrail.backtest(plays, quotes(), venue=LATE)
    assert filled(result) == LATE_FILLED
    assert {number: status for number, status in statuses(result).items() if status != "FILLED"} == {
        4: "CANCELED",
        6: "CANCELED",
        7: "EXPIRED",
    }
    assert [status for order, status in plays.told if order == 4] == ["SUBMITTED", "ACCEPTED", "CANCELED"]


def test_32_orders_near_and_far_come_to_the_fills_and_the_cash_computed_by_hand() -> None:
    class Counts(Plays):
        def on_stop(self) -> None:
            self.cash = (dict(self.portfolio.cash()), dict(self.portfolio.whole.cash()))

    near, far = Counts(script=SCRIPT), Counts(script=LATE_SCRIPT, traded="Y.FAR")
    data = {NAME: quotes(), "Y.FAR": quotes(name="Y.FAR")}
    # Each acts on the quotes of its own instrument.
    dispatcher = tickrail.TickDispatcher(
        [
            {"id": NAME, "currency": "USD", **VENUE.instrument_row()},
            {"id": "Y.FAR", "currency": "USD", **LATE.instrument_row()},
        ],
        venues={"SIM": VENUE, "FAR": LATE},
    )
    for name, ticks in data.items():
        dispatcher.feed(name, ticks)
    dispatcher.register(near, "near", instruments=[NAME])
    dispatcher.register(far, "far", instruments=["Y.FAR"])
    dispatcher.run()
    result = dispatcher.result()
    assert len(result.orders) == 32
    assert (filled(result, 0), filled(result, 1)) == (FILLED, LATE_FILLED)
    # Near: sold for 3,012, bought for 3,230, fees of 11.581. Far: sold for 100, bought for 402, fees of 0.903.
    assert near.cash[0] == {"USD": pytest.approx(3_012.0 - 3_230.0 - 11.581, abs=1e-9)}
    assert far.cash[0] == {"USD": pytest.approx(100.0 - 402.0 - 0.903, abs=1e-9)}
    assert near.cash[1] == {"USD": pytest.approx(-229.581 - 302.903, abs=1e-9)}
    assert (set(statuses(result, 0).values()), len(statuses(result, 1))) == ({"FILLED", "CANCELED", "EXPIRED"}, 8)


@pytest.mark.parametrize("slice_ticks", [1, 2, 4_096])
def test_no_slicing_shows_in_what_messages_on_their_way_decide(slice_ticks: int) -> None:
    script = {1: [buy(2, limit=99.0), sell(1, stop=98.0)], 5: [buy(1), lambda plays: plays.amend(1, limit=104.0)]}
    late = VENUE.model_copy(update={"order_latency_ns": (1, S, 2 * S), "report_latency_ns": (0, S)})

    def run(**settings: Any) -> tickrail.Result:
        return tickrail.backtest(Plays(script=script), quotes(), venue=late, digest="full", **settings)

    assert run(slice_ticks=slice_ticks).digest == run().digest
    assert run(seed=1).digest != run().digest


REFUSED = {
    "quantity is 0": lambda plays: plays.buy(NAME, 0.0),
    "off the grid of 0.5: the nearest is 1": lambda plays: plays.buy(NAME, 1.2),
    "expected 1 to 100": lambda plays: plays.buy(NAME, 0.5),
    "off the grid of 0.01: the nearest price is 100.12": lambda plays: plays.buy(NAME, 1.0, limit=100.123),
    "price is -1": lambda plays: plays.sell(NAME, 1.0, stop=-1.0),
    "limit is nan": lambda plays: plays.buy(NAME, 1.0, limit=float("nan")),
    'time_in_force is "gtc"': lambda plays: plays.buy(NAME, 1.0, time_in_force="gtc"),
    "GTD and expires_ns go together": lambda plays: plays.buy(NAME, 1.0, time_in_force="GTD"),
    "expires_ns has passed": lambda plays: plays.buy(NAME, 1.0, limit=1.0, expires_ns=1),
    "post_only is for limit orders": lambda plays: plays.buy(NAME, 1.0, post_only=True),
    "a stop waits for its price": lambda plays: plays.buy(NAME, 1.0, stop=200.0, time_in_force="IOC"),
    "no order number 7": lambda plays: plays.amend(7, quantity=2.0),
    "no order number -1": lambda plays: plays.cancel(-1),
    "no order number 4294967296": lambda plays: plays.amend(2**32, quantity=2.0),
    "before the year 2262": lambda plays: plays.buy(NAME, 1.0, limit=1.0, expires_ns=10**30),
    "price is NaN": lambda plays: plays.amend(plays.buy(NAME, 1.0, limit=1.0), limit=float("nan")),
    "quantity is inf": lambda plays: plays.target(NAME, float("inf")),
    "has no such price": lambda plays: plays.amend(plays.buy(NAME, 1.0), limit=2.0),
    "no instrument": lambda plays: plays.buy("Y.SIM", 1.0),
}
GRID = {NAME: InstrumentTerms(price_increment=0.01, size_increment=0.5, min_quantity=1.0, max_quantity=100.0)}


@pytest.mark.parametrize("said", REFUSED)
def test_what_no_venue_could_take_is_refused_before_it_leaves(said: str) -> None:
    caught: list[OrderRefused] = []

    def attempt(plays: Plays) -> None:
        with pytest.raises(OrderRefused) as refusal:
            REFUSED[said](plays)
        caught.append(refusal.value)

    result = tickrail.backtest(Plays(script={1: [attempt]}), quotes(), terms=GRID)
    assert result.ok
    assert said in str(caught[0])
    assert len(result.orders) == (said in ("has no such price", "price is NaN")), "nothing left"


def test_a_done_order_cannot_change() -> None:
    seen: list[str] = []

    def amend(plays: Plays) -> None:
        with pytest.raises(OrderRefused, match="order number 1 is done"):
            plays.amend(1, quantity=5.0)
        seen.append("refused")

    tickrail.backtest(Plays(script={1: [buy(1)], 3: [amend]}), quotes())
    assert seen == ["refused"]


@pytest.mark.parametrize("latency_ns", [0, 2 * S])
@pytest.mark.parametrize("apart", [False, True], ids=["in one handler", "one after the other"])
def test_a_change_leaves_what_it_does_not_name_as_the_change_before_it_said(latency_ns: int, apart: bool) -> None:
    """The first was not answered yet, and the second took the quantity back to what it had been."""
    more, dearer = (lambda plays, c=change: plays.amend(1, **c) for change in ({"quantity": 8.0}, {"limit": 90.0}))
    changes = {4: [more], 5: [dearer]} if apart else {4: [more, dearer]}
    script = {1: [buy(1.0, limit=80.0)], **changes}
    result = tickrail.backtest(Plays(script=script), quotes(), venue=VenueTerms(order_latency_ns=latency_ns))
    assert result.orders[["quantity", "limit"]].tolist() == [(8.0, 90.0)]


def test_a_change_to_what_is_filled_is_refused_whatever_decimals_leave() -> None:
    """0.7 less 0.1 is more than 0.6 by floats: the order would have stood for 3e-17."""
    rows = [(1, 99.0, 101.0, 1, 1), (2, 99.0, 100.0, 1, 0.1), (3, 99.0, 101.0, 1, 1), (4, 99.0, 100.0, 1, 5)]
    plays = Plays(script={1: [buy(0.7, limit=100.0)], 2: [lambda plays: plays.amend(1, quantity=0.1)]})
    result = tickrail.backtest(plays, quotes(rows), venue=VENUE)
    assert plays.reasons[1] == "the new quantity is filled already"
    assert result.fills["quantity"].tolist() == pytest.approx([0.1, 0.6])


def test_rounding_lands_on_the_grid_and_target_stays_on_it() -> None:
    seen: list[float] = []

    def look(plays: Plays) -> None:
        seen.extend(
            [plays.round_price(NAME, 100.126), plays.round_quantity(NAME, 1.9), plays.round_quantity(NAME, -1.9)]
        )
        assert plays.target(NAME, 2.3) is not None
        assert plays.target(NAME, 2.3) is None, "as near as the grid allows, what is in flight counted"

    result = tickrail.backtest(Plays(script={1: [look]}), quotes(), terms=GRID)
    assert seen == [100.13, 1.5, -1.5]
    assert result.fills["quantity"].tolist() == [2.0]


def test_a_multiplier_counts_in_money_and_fees() -> None:
    terms = {NAME: InstrumentTerms(multiplier=50.0)}
    result = tickrail.backtest(Plays(script={1: [buy(1)], 5: [sell(1)]}), quotes(), venue=VENUE, terms=terms)
    (held,) = result.strategies[0].positions
    assert held.realised == 50.0 * (103.0 - 101.0)
    assert held.fees == pytest.approx(0.002 * 50.0 * (101.0 + 103.0))


@pytest.mark.parametrize("limit", [101.0, 150.0])
def test_a_protective_limit_takes_at_the_market_whatever_comes_first(limit: float) -> None:
    """A trade of a seller tells nothing of the ask, and who buys with a limit far above it does not pay the limit."""
    records = quotes(((1, 99.0, 101.0, 10, 10), (2, 99.0, 0.0, 1, 0), (3, 99.0, 101.0, 10, 10))).numpy().copy()
    records["kind"][1], records["side"][1] = 2, 2
    ticks = tickrail.TickArray.from_records(records, instruments=[{"id": NAME}])
    result = tickrail.backtest(Plays(script={1: [buy(1.0, limit=limit)]}), ticks, venue=VENUE)
    assert filled(result) == [(3.0, 1, 1.0, 101.0, 0.202)]


def test_terms_for_what_is_not_there_are_refused_with_the_near_miss() -> None:
    with pytest.raises(ParameterError, match=r"venue names 'SIN', which the data does not have.*did you mean 'SIM'"):
        tickrail.backtest(Plays(script={}), quotes(), venue={"SIN": VENUE})
    with pytest.raises(ParameterError, match=r"terms names 'X\.SIN'"):
        tickrail.backtest(Plays(script={}), quotes(), terms={"X.SIN": InstrumentTerms()})
    with pytest.raises(ParameterError, match="fees stand in venue and in fee_rate"):
        tickrail.backtest(Plays(script={}), quotes(), venue=VENUE, fee_rate=0.1)


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"order_latency_ns": -1}, "at least 0 ns, and not -1"),
        ({"order_latency_ns": (5,)}, "at least two quantiles"),
        ({"report_latency_ns": (5, 4)}, "quantiles that do not fall"),
        ({"sessions": ["9-17"]}, "expected such as '09:00-17:30'"),
        ({"sessions": ["17:00-09:00"]}, "over midnight it is two sessions"),
        ({"outages": [(5, 5)]}, "has no length"),
        ({"fill_model": "always"}, "'touch', 'through' or 'size'"),
        ({"fil_model": "size"}, "Extra inputs are not permitted"),
    ],
)
def test_terms_that_cannot_be_are_refused(terms: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tickrail.backtest(Plays(script={}), quotes(), venue=VenueTerms(**terms))


def test_sessions_close_the_venue() -> None:
    plays = Plays(script={1: [buy(1)]})
    result = tickrail.backtest(plays, quotes(), venue=VenueTerms(sessions=["09:00-17:30"]))
    assert statuses(result) == {1: "REJECTED"}
    assert "closed" in plays.reasons[1]
