"""Orders that wait before they are sent, or turn up when nobody expects them: nothing old or unwanted leaves."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from acting_orders import LOST, A, acting, buys, ran, rests_then, statuses
from live_runs import publish_until

from tickrail import TickDispatcher, errors
from tickrail._native import InstrumentId
from tickrail.domain.ending import EndLimits
from tickrail.domain.order_limits import OrderLimits
from tickrail.domain.orders import Acknowledgement, OrderReport, OrderRequest, Statement
from tickrail.orchestration import away
from tickrail.orchestration.live import open_live
from tickrail.testing.execution import FakeAsyncExecution, FakeExecution


def given_up_after(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setitem(away.Away.__init__.__kwdefaults__, "resend_within_s", seconds)


def throttled(seconds: float) -> errors.Throttled:
    return errors.Throttled("too many", retry_after_ns=int(seconds * 1e9))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the data ends, orders that are still out are awaited for a moment only."""
    monkeypatch.setitem(TickDispatcher.__init__.__kwdefaults__, "end_limits", EndLimits(orders_ns=100_000_000))


class Timed(FakeExecution):
    """Keeps when it was asked for what."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.times: dict[str, list[float]] = defaultdict(list)

    def _note(self, method: str, **arguments: object) -> None:
        self.times[method].append(time.monotonic())
        super()._note(method, **arguments)

    def gap_s(self, method: str) -> float:
        first, second, *_ = self.times[method]
        return second - first


# ---- before they are sent --------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", [FakeExecution(), FakeAsyncExecution()], ids=["a thread", "coroutines"])
def test_an_order_that_would_wait_until_it_is_too_old_is_refused_and_does_not_leave(
    venue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was decided on the market of then: after the throttle it would be at the venue long after its time."""
    given_up_after(monkeypatch, 0.1)
    fake = venue.sync if isinstance(venue, FakeAsyncExecution) else venue
    fake.faults.on("submit", throttled(0.4))
    strategy = buys()
    ran(strategy, venue)
    assert strategy.told == [("SUBMITTED", ""), ("REJECTED", "throttled for too long: too many")]
    assert (len(fake.called("submit")), fake.orders) == (1, {})


def test_an_order_that_grows_old_in_the_queue_of_its_adapters_thread_does_not_leave(
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_up_after(monkeypatch, 0.05)

    class Slow(FakeExecution):
        def submit(self, order: OrderRequest) -> Acknowledgement:
            time.sleep(0.1)
            return super().submit(order)

    venue = Slow()

    def act(self: Any) -> None:
        if self.ticks == 1:
            self.buy(A, 2.0)
            self.buy(A, 2.0)

    strategy = acting(act)
    ran(strategy, venue, most=5, delivers=False)
    assert ("REJECTED", "it did not reach the venue in time") in strategy.told
    assert list(venue.orders) == ["r1-0-1"]


@pytest.mark.parametrize("venue", [FakeExecution(), FakeAsyncExecution()], ids=["a thread", "coroutines"])
def test_an_order_that_is_taken_back_while_it_waits_for_its_turn_never_leaves(venue: Any) -> None:
    fake = venue.sync if isinstance(venue, FakeAsyncExecution) else venue
    fake.faults.on("submit", throttled(1.0))

    def act(self: Any) -> None:
        if self.ticks == 1:
            self.buy(A, 2.0, limit=8.0)
        elif fake.called("submit"):
            self.cancel(1)

    strategy = acting(act)
    ran(strategy, venue)
    assert strategy.told == [("SUBMITTED", ""), ("CANCELED", away.TAKEN_BACK)]
    assert (len(fake.called("submit")), fake.called("cancel"), fake.orders) == (1, [], {})


def test_a_venue_that_is_gone_is_not_asked_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not take the order and says at once that it has none: thousands of requests a second, and a ban."""
    given_up_after(monkeypatch, 0.3)
    venue = FakeExecution()
    venue.faults.on("submit", LOST, times=10**9)
    strategy = buys()
    ran(strategy, venue)
    assert strategy.told[-1] == ("REJECTED", "it did not reach the venue in time")
    # Waits of at least 10, 20, 40, 80 and 160 ms lie between them.
    assert 2 <= len(venue.called("submit")) <= 7


@pytest.mark.parametrize("what", ["cancel", "amend", "status"])
def test_a_throttle_is_waited_out_as_long_as_the_venue_says(impatient: None, what: str) -> None:
    venue = Timed(fills="by_hand")
    venue.faults.on(what, throttled(0.1))
    if what == "status":
        venue.faults.on("submit:answer", LOST)

    def act(self: Any) -> None:
        if what == "amend":
            self.amend(1, quantity=3.0)
        else:
            self.cancel(1)

    strategy = rests_then(act)
    ran(strategy, venue, most=2 if what == "status" else 3, delivers=what != "status")
    assert len(venue.times[what]) == 2
    assert venue.gap_s(what) >= 0.1


def test_a_change_that_would_wait_too_long_is_refused_at_once(impatient: None) -> None:
    venue = FakeExecution(fills="by_hand")
    venue.faults.on("amend", throttled(60.0))
    strategy = rests_then(lambda self: self.amend(1, quantity=3.0))
    ran(strategy, venue, most=3)
    assert strategy.told[-1] == ("ACCEPTED", "too many")
    assert len(venue.called("amend")) == 1


# ---- before the first order ------------------------------------------------------------------------------------


def test_an_order_that_the_venue_does_not_take_back_is_asked_for_with_pauses_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(away, "RECONCILE_S", 0.3)

    class Frozen(FakeExecution):
        unknown_orders = "cancel"

        def statement(self) -> Statement:
            self._note("statement")
            return Statement({}, (OrderReport("gone-0-1", "ACCEPTED"),))

    venue = Frozen()
    venue.faults.on("cancel", errors.OrderRejected("FAKE: frozen", reason="it is frozen"), times=10**9)
    said = r"venue FAKE: order gone-0-1 is still open after 0.3 s: it is frozen"
    with pytest.raises(errors.ExecutionError, match=said):
        ran(buys(), venue)
    assert 2 <= len(venue.called("cancel")) <= 7
    assert venue.called("submit") == []


# ---- reports that cannot be ------------------------------------------------------------------------------------


def told_of(venue: FakeExecution, report: OrderReport) -> None:
    for hears in venue._heard_by:
        hears(report)


IMPOSSIBLE = [
    (OrderReport("r1-0-1", "FILLED", 2.0, math.nan), "price is nan, and 2.0 is filled"),
    (OrderReport("r1-0-1", "FILLED", math.nan, 10.0), "filled is nan; expected a number of at least 0"),
    (OrderReport("r1-0-1", "ACCEPTED", -1.0, 10.0), "filled is -1.0; expected a number of at least 0"),
    (OrderReport("r1-0-1", "CANCELED", 1.0, 10.0, math.inf), "fee is inf; expected a number"),
    (OrderReport("r1-0-1", "FILLED", 0.0, 10.0), "state is FILLED, and nothing is filled"),
    (OrderReport("r1-0-1", "DONE", 2.0, 10.0), "state is 'DONE'; expected one of PENDING, ACCEPTED, FILLED, CANCELED,"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("report", "said"), IMPOSSIBLE, ids=[said[:16] for _, said in IMPOSSIBLE])
def test_a_report_that_cannot_be_is_said_aloud_and_the_venue_asked_where_the_order_stands(
    report: OrderReport, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It had ended the order as CANCELED with nothing held, while the venue had filled it; or wedged all answers."""
    venue = FakeExecution(fills="by_hand")
    sent: list[OrderReport] = []

    def after() -> None:
        if "r1-0-1" in venue.reports and "ACCEPTED" in statuses(strategy) and not sent:
            venue.fill("r1-0-1", 10.0)
            venue._waiting.clear()
            sent.append(report)
            told_of(venue, report)

    strategy = buys(limit=8.0)
    result = ran(strategy, venue, meanwhile=after)
    assert statuses(strategy) == ["SUBMITTED", "ACCEPTED", "FILLED"]
    assert [(position.net, position.average_price) for one in result.strategies for position in one.positions] == [
        (2.0, 10.0)
    ]
    assert f"venue FAKE: order r1-0-1: a report that cannot be: {said}" in caplog.text
    assert len(venue.called("status")) == 1


def test_an_order_of_which_nothing_can_be_learned_stays_open_and_is_named(
    impatient: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(away, "BACKOFF_S", (0.001, 0.01))

    class Babbles(FakeExecution):
        def status(self, client_id: str) -> OrderReport:
            super().status(client_id)
            return OrderReport(client_id, "FILLED", math.nan, math.nan)

    venue = Babbles(fills="by_hand")
    sent: list[int] = []

    def after() -> None:
        if "ACCEPTED" in statuses(strategy) and not sent:
            sent.append(1)
            told_of(venue, OrderReport("r1-0-1", "FILLED", math.nan, math.nan))
        if "it stays open here" in caplog.text:
            strategy.told.append(("CANCELED", "the test ends"))

    strategy = buys(limit=8.0)
    result = ran(strategy, venue, meanwhile=after, delivers=False)
    assert statuses(strategy)[:3] == ["SUBMITTED", "ACCEPTED", "CANCELED"], "the last of it is the test's"
    assert len(venue.called("status")) == away.ATTEMPTS
    assert len(result.fills) == 0


def test_an_order_that_was_said_to_be_filled_does_not_end_as_canceled_with_nothing(
    impatient: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows at which price, so nothing is held here: then the order has not ended either, and is named."""
    monkeypatch.setattr(away, "BACKOFF_S", (0.001, 0.01))

    class Forgets(FakeExecution):
        def status(self, client_id: str) -> OrderReport:
            super().status(client_id)
            return OrderReport(client_id, "CANCELED")

    venue = Forgets(fills="by_hand")
    strategy = buys(limit=8.0)
    said: list[int] = []

    def after() -> None:
        if "ACCEPTED" in statuses(strategy) and not said:
            said.append(1)
            told_of(venue, OrderReport("r1-0-1", "FILLED", 2.0, math.nan))

    with open_live(strategy, [A], execution={"FAKE": venue}, run_id="r1") as run:
        ended = lambda: "it stays open here" in caplog.text  # noqa: E731
        result = publish_until(run, ended, instrument=A, meanwhile=lambda: (venue.deliver(), after()))
    assert statuses(strategy) == ["SUBMITTED", "ACCEPTED"]
    assert "order r1-0-1: a report that cannot be: price is nan, and 2.0 is filled" in caplog.text
    assert "strategy Acts: order 1 of A.FAKE is still open" in result.stats["ending"]["abandoned"]


# ---- after they were given up ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filled", "said"),
    [
        (0.0, "which was given up, is there after all: ACCEPTED, 0 filled at nan"),
        (0.5, "which was given up, is there after all: ACCEPTED, 0.5 filled at 10; no strategy holds that"),
    ],
    ids=["open", "partly filled"],
)
def test_an_order_that_was_given_up_and_turns_up_is_said_aloud_listed_and_taken_back(
    filled: float, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its last attempt was on its way for longer than the order is waited for: it stood at the venue unseen."""
    given_up_after(monkeypatch, 0.05)
    venue = FakeExecution(fills="by_hand")
    venue.faults.on("submit", LOST, times=10**9)
    arrived: list[str] = []

    def act(self: Any) -> None:
        if self.ticks == 1:
            self.buy(A, 2.0, limit=8.0)

    def late() -> None:
        if "REJECTED" in statuses(strategy) and not arrived:
            arrived.append("r1-0-1")
            at = 10.0 if filled else math.nan
            venue.orders["r1-0-1"] = OrderRequest("r1-0-1", InstrumentId(A), "BUY", 2.0, 8.0)
            venue._report(OrderReport("r1-0-1", "ACCEPTED", filled, at))
        venue.deliver()

    strategy = acting(act)
    with open_live(strategy, [A], execution={"FAKE": venue}, run_id="r1") as run:
        ended = lambda: arrived and venue.reports["r1-0-1"].state == "CANCELED"  # noqa: E731
        result = publish_until(run, ended, instrument=A, meanwhile=late)
    assert strategy.told == [("SUBMITTED", ""), ("REJECTED", "it did not reach the venue in time")]
    assert result.stats["unknown_orders"] == ["r1-0-1"]
    assert "venue FAKE: order r1-0-1 (BUY 2 A.FAKE), " + said in caplog.text
    assert next(one.levelname for one in caplog.records if "given up" in one.message) == "ERROR"
    assert len(venue.called("cancel")) == 1


def test_an_order_of_an_older_run_of_the_same_name_is_reported_as_any_other(caplog: pytest.LogCaptureFixture) -> None:
    venue = FakeExecution()
    sent: list[int] = []

    def older() -> None:
        if "SUBMITTED" in statuses(strategy) and not sent:
            sent.append(1)
            told_of(venue, OrderReport("r1-0-77", "ACCEPTED"))

    strategy = buys()
    result = ran(strategy, venue, meanwhile=older)
    assert result.stats["unknown_orders"] == ["r1-0-77"]
    assert "venue FAKE: order r1-0-77 is none of this run's: ACCEPTED, 0 filled" in caplog.text


def test_a_change_that_may_have_arrived_counts_until_another_one_is_answered(impatient: None) -> None:
    """Its answer was lost, and it was refused when it was asked for again: the venue had 8 and the run said 1."""
    limits = OrderLimits(max_position_quantity=10.0)

    def act(self: Any) -> None:
        if self.ticks == 1:
            self.buy(A, 1.0, limit=8.0)
        elif not hasattr(self, "step") and "ACCEPTED" in statuses(self):
            self.step = self.amend(1, quantity=8.0)
        elif self.told[-1] == ("ACCEPTED", "enough"):
            self.buy(A, 8.0, limit=8.0)

    venue = FakeExecution(fills="by_hand")
    venue.faults.on("amend:answer", LOST)
    venue.faults.on("amend", errors.OrderRejected("enough", reason="enough"), after=1)
    strategy = acting(act)
    result = ran(strategy, venue, most=5, limits=limits)
    assert [status for status, reason in strategy.told if "max_position_quantity" in reason] == ["REJECTED"]
    assert venue.orders["r1-0-1"].quantity == 8.0
    assert result.refusals["order"].tolist() == [2]


def test_a_change_that_was_done_is_told_though_a_refusal_waits_behind_it() -> None:
    """While the loop's lane has no room the last answer of an order waits; a refusal is none to the change before."""
    told: list[str] = []
    room: list[bool] = []

    class Lane:
        def answer(self, kind: str, *_: object) -> int:
            if room:
                told.append(kind)
            return 0 if room else 1

        def call_later(self, *_: object) -> None: ...

    sender: Any = away.Away.__new__(away.Away)
    sender._waiting, sender._outbox, sender._loop = {}, Lane(), Lane()
    order: Any = SimpleNamespace(strategy=0, number=1)
    for kind in ("AMENDED", "NOT_AMENDED"):
        sender._tell(order, kind, (8.0, 9.0, math.nan), "")
    assert told == []
    room.append(True)
    sender._deliver()
    assert told == ["AMENDED", "NOT_AMENDED"]
