"""Orders at an adapter that answers wrongly, late or never: the venue of the test kit behind a live run."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from acting_orders import LOST, A, acting, buys, ran, rests_then, statuses
from live_runs import LONG_S, publish_until, wait_until

from tickrail import TickDispatcher, errors
from tickrail.domain.ending import EndLimits
from tickrail.domain.orders import HeldPosition, OrderReport, Statement
from tickrail.orchestration import away
from tickrail.orchestration.live import open_live
from tickrail.testing.execution import FakeAsyncExecution, FakeExecution


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders are given up after a moment, and questions asked again at once."""
    monkeypatch.setitem(away.Away.__init__.__kwdefaults__, "resend_within_s", 0.05)
    monkeypatch.setattr(away, "BACKOFF_S", (0.001, 0.01))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the data ends, orders that are still out are awaited for a moment only."""
    monkeypatch.setitem(TickDispatcher.__init__.__kwdefaults__, "end_limits", EndLimits(orders_ns=100_000_000))


# ---- an order on its way --------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", [FakeExecution(), FakeAsyncExecution()], ids=["a thread", "coroutines"])
def test_a_lost_acknowledgement_is_asked_for_and_the_order_counts_once(venue: Any) -> None:
    fake = venue.sync if isinstance(venue, FakeAsyncExecution) else venue
    fake.faults.on("submit:answer", LOST)
    fake.faults.on("status", LOST)  # nor can it be asked at first
    strategy = buys()
    result = ran(strategy, venue, delivers=False)  # no report comes either
    assert statuses(strategy) == ["SUBMITTED", "ACCEPTED", "FILLED"]
    assert [call.arguments["order"].client_id for call in fake.called("submit")] == ["r1-0-1"]
    assert len(fake.called("status")) == 2
    assert sum(result.fills["quantity"]) == 2.0
    assert fake.is_closed


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (LOST, "it did not reach the venue in time"),
        (errors.Throttled("too many", retry_after_ns=1_000_000), "throttled for too long: too many"),
        (errors.Throttled("too many"), "throttled for too long: too many"),
        (errors.OrderRejected("the book is closed"), "the book is closed"),
    ],
    ids=["lost", "throttled, with a time", "throttled", "rejected"],
)
def test_an_order_that_does_not_get_there_is_refused_in_words(hasty: None, fault: Exception, said: str) -> None:
    venue = FakeExecution()
    venue.faults.on("submit", fault, times=10**9)
    strategy = buys()
    result = ran(strategy, venue)
    assert strategy.told == [("SUBMITTED", ""), ("REJECTED", said)]
    assert venue.orders == {}
    assert len(result.fills) == 0


def test_an_acceptance_may_come_later_and_what_comes_after_the_end_changes_nothing() -> None:
    venue = FakeExecution(acknowledges="PENDING")
    strategy = buys()

    def again() -> None:
        for report in venue.reports.values():  # of an order that is done, as after a reconnection
            if "FILLED" in statuses(strategy):
                for hears in venue._heard_by:
                    hears(report)

    result = ran(strategy, venue, meanwhile=again)
    assert statuses(strategy) == ["SUBMITTED", "ACCEPTED", "FILLED"]
    assert sum(result.fills["quantity"]) == 2.0


def test_a_report_that_an_order_is_pending_says_nothing_new() -> None:
    class Slow(FakeExecution):
        def submit(self, order: Any) -> Any:
            taken = super().submit(order)
            self._waiting.insert(0, OrderReport(order.client_id, "PENDING"))
            return taken

    strategy = buys()
    ran(strategy, Slow(acknowledges="PENDING"))
    assert statuses(strategy) == ["SUBMITTED", "ACCEPTED", "FILLED"]


def test_an_adapter_that_fails_leaves_its_order_and_nothing_else(
    impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    venue = FakeExecution()
    venue.faults.on("submit", ZeroDivisionError("a mistake of the adapter"))

    def act(self: Any) -> None:
        if self.ticks < 3:
            self.buy(A, 1.0)

    strategy = acting(act)
    result = ran(strategy, venue)
    assert statuses(strategy).count("FILLED") == 1
    assert result.ok, "an order may hang; the run does not"
    assert "an order was left: a mistake of the adapter" in caplog.text


def test_a_cancel_is_tried_until_it_gets_there() -> None:
    venue = FakeExecution(fills="by_hand")
    venue.faults.on("cancel", LOST)
    venue.faults.on("cancel", errors.Throttled("too many"))
    strategy = rests_then(lambda self: self.cancel(1))
    ran(strategy, venue)
    assert statuses(strategy) == ["SUBMITTED", "ACCEPTED", "CANCELED"]
    assert len(venue.called("cancel")) == 3


@pytest.mark.parametrize("fault", [LOST, errors.Throttled("too many", retry_after_ns=1_000_000)], ids=["lost", "late"])
def test_an_order_that_is_taken_back_while_it_is_still_sent_does_not_arrive_afterwards(fault: Exception) -> None:
    """The venue knew nothing of it when it was to be taken back; the next attempt would have left it there for good."""
    venue = FakeExecution(fills="by_hand")
    venue.faults.on("submit", fault, times=3)
    asked: list[int] = []

    def act(self: Any) -> None:
        if self.ticks == 1:
            self.buy(A, 2.0, limit=8.0)
        elif venue.called("submit") and not asked:
            asked.append(self.ticks)
            self.cancel(1)

    strategy = acting(act)
    ran(strategy, venue)
    assert statuses(strategy)[-1] == "CANCELED"
    left = venue.reports.get("r1-0-1")
    assert left is None or left.state == "CANCELED", "it stands at the venue, and nobody knows"


def test_an_order_that_nobody_wants_any_more_is_not_sent_again() -> None:
    venue = FakeExecution()
    venue.faults.on("submit", LOST, times=10**9)

    def act(self: Any) -> None:
        if self.ticks == 1:
            self.buy(A, 2.0)
        elif venue.called("submit"):
            self.cancel(1)

    strategy = acting(act)
    ran(strategy, venue)
    assert strategy.told == [("SUBMITTED", ""), ("CANCELED", away.TAKEN_BACK)]
    assert venue.orders == {}


def test_a_cancel_that_is_refused_says_where_the_order_stands(caplog: pytest.LogCaptureFixture) -> None:
    """The venue has filled it meanwhile, and its report was lost: it is asked, and tells."""
    venue = FakeExecution(fills="by_hand")

    def fill_and_cancel(self: Any) -> None:
        venue.fill("r1-0-1")
        venue._waiting.clear()
        venue.faults.on("cancel", errors.OrderRejected("it is filled", reason="done"))
        self.cancel(1)

    strategy = rests_then(fill_and_cancel)
    ran(strategy, venue)
    assert statuses(strategy)[-1] == "FILLED"
    assert "venue FAKE: order r1-0-1 is not taken back: it is filled" in caplog.text


def test_a_cancel_of_an_order_that_the_venue_does_not_know_is_told_and_may_be_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    venue = FakeExecution(fills="by_hand")
    venue.faults.on("cancel", errors.OrderRejected("no such order"))
    venue.faults.on("status", errors.OrderRejected("no such order"))

    def act(self: Any) -> None:
        if self.ticks == 1:
            self.buy(A, 2.0, limit=8.0)
        elif "is not taken back" in caplog.text or not venue.called("cancel"):
            self.cancel(1)

    strategy = acting(act)
    ran(strategy, venue)
    assert statuses(strategy)[-1] == "CANCELED"
    assert "order r1-0-1 is not taken back: no such order" in caplog.text


def test_an_order_that_ends_while_its_cancel_is_tried_again_needs_none() -> None:
    venue = FakeExecution(fills="by_hand")
    venue.faults.on("cancel", LOST, times=3)

    def fill() -> None:
        if venue.called("cancel") and not venue.reports["r1-0-1"].is_final:
            venue.fill("r1-0-1")

    strategy = rests_then(lambda self: self.cancel(1))
    ran(strategy, venue, meanwhile=fill)
    assert statuses(strategy)[-1] == "FILLED"


def test_one_cancel_goes_out_however_often_it_is_asked_for() -> None:
    held, venue = threading.Event(), FakeExecution(fills="by_hand")

    class Holds(FakeExecution):
        def cancel(self, client_id: str) -> Any:
            assert held.wait(LONG_S)
            return super().cancel(client_id)

    venue = Holds(fills="by_hand")

    def act(self: Any) -> None:
        if self.ticks == 1:
            self.buy(A, 2.0, limit=8.0)
        elif "ACCEPTED" in statuses(self) and not held.is_set():  # later ones would find the first one answered
            self.asked = getattr(self, "asked", 0) + 1
            self.cancel(1)
            if self.asked == 5:
                held.set()

    strategy = acting(act)
    ran(strategy, venue)
    assert statuses(strategy) == ["SUBMITTED", "ACCEPTED", "CANCELED"]
    assert len(venue.called("cancel")) == 1


def test_a_cancel_of_what_has_ended_meanwhile_goes_nowhere() -> None:
    """The fill is on its way to the loop, which is kept by the handler that asks for the cancel."""
    venue = FakeExecution(fills="by_hand")

    def fill_and_cancel(self: Any) -> None:
        venue.fill("r1-0-1")
        venue.deliver()
        names = self.dispatcher._away._orders
        wait_until(lambda: not names)
        self.cancel(1)

    strategy = rests_then(fill_and_cancel)
    run = open_live(strategy, [A], execution={"FAKE": venue}, run_id="r1")
    strategy.dispatcher = run._dispatcher
    with run:
        publish_until(run, lambda: "FILLED" in statuses(strategy), instrument=A, meanwhile=venue.deliver)
    assert statuses(strategy)[-1] == "FILLED"
    assert venue.called("cancel") == []


@pytest.mark.parametrize(
    ("change", "fault", "end"),
    [
        ({"quantity": 3.0}, None, ("ACCEPTED", "")),
        ({"quantity": 3.0}, errors.OrderRejected("too late", reason="late"), ("ACCEPTED", "late")),
        ({"stop": 7.0}, None, ("ACCEPTED", "")),
    ],
    ids=["done", "refused", "its stop"],
)
def test_a_change_is_answered_and_the_order_stands_as_the_venue_has_it(
    impatient: None, change: dict[str, float], fault: Exception | None, end: tuple[str, str]
) -> None:
    venue = FakeExecution(fills="by_hand")
    if fault is not None:
        venue.faults.on("amend", fault)

    def act(self: Any) -> None:
        if self.ticks == 1:
            self.sell(A, 2.0, limit=12.0, stop=8.0)
        elif "ACCEPTED" in statuses(self) and not getattr(self, "acted", False):
            self.acted = True
            self.amend(1, **change)

    strategy = acting(act)
    result = ran(strategy, venue, most=3)
    assert strategy.told == [("SUBMITTED", ""), ("ACCEPTED", ""), end]
    order = venue.orders["r1-0-1"]
    asked = {} if fault else change
    assert (order.quantity, order.limit, order.stop) == (asked.get("quantity", 2.0), 12.0, asked.get("stop", 8.0))
    assert (result.orders["quantity"][0], result.orders["stop"][0]) == (order.quantity, order.stop)


def test_a_stop_is_not_changed_by_an_adapter_that_cannot_and_the_reason_says_so(impatient: None) -> None:
    class Older(FakeExecution):
        def amend(self, client_id: str, *, quantity: float | None = None, limit: float | None = None) -> Any:  # type: ignore[override]
            return super().amend(client_id, quantity=quantity, limit=limit)

    def act(self: Any) -> None:
        if self.ticks == 1:
            self.sell(A, 2.0, stop=8.0)
        elif "ACCEPTED" in statuses(self) and not getattr(self, "acted", False):
            self.acted = True
            self.amend(1, stop=9.0)

    strategy = acting(act)
    venue = Older(fills="by_hand")
    ran(strategy, venue, most=3)
    said = "the stop cannot be changed: 'amend' of the adapter of venue FAKE takes none"
    assert strategy.told == [("SUBMITTED", ""), ("ACCEPTED", ""), ("ACCEPTED", said)]
    assert venue.called("amend") == []


def changes_then(*quantities: float) -> Any:
    def act(self: Any) -> None:
        if self.ticks == 1:
            self.buy(A, 2.0, limit=8.0)
        elif "ACCEPTED" in statuses(self) and not getattr(self, "acted", False):
            self.acted = True
            for quantity in quantities:
                self.amend(1, quantity=quantity)

    return acting(act)


@pytest.mark.parametrize("where", ["amend", "amend:answer"])
def test_a_change_that_is_lost_on_its_way_or_whose_answer_is_lost_is_asked_for_again(
    impatient: None, where: str
) -> None:
    """The run would go on with 2 while the venue has 3, and its limits with it."""
    venue = FakeExecution(fills="by_hand")
    venue.faults.on(where, LOST)
    venue.faults.on(where, errors.Throttled("too many"))
    strategy = changes_then(3.0)
    result = ran(strategy, venue, most=3)
    assert strategy.told == [("SUBMITTED", ""), ("ACCEPTED", ""), ("ACCEPTED", "")]
    assert (venue.orders["r1-0-1"].quantity, result.orders["quantity"].tolist()) == (3.0, [3.0])
    assert len(venue.called("amend")) == 3


def test_a_change_that_never_gets_there_is_refused_in_words(hasty: None, impatient: None) -> None:
    venue = FakeExecution(fills="by_hand")
    venue.faults.on("amend", LOST, times=10**9)
    strategy = changes_then(3.0)
    result = ran(strategy, venue, most=3)
    assert strategy.told[-1] == ("ACCEPTED", "the connection broke")
    assert (venue.orders["r1-0-1"].quantity, result.orders["quantity"].tolist()) == (2.0, [2.0])


def test_a_change_is_not_asked_for_again_where_the_order_is_done() -> None:
    venue = FakeExecution(fills="by_hand")
    venue.faults.on("amend", LOST, times=10**9)

    def fill() -> None:
        if venue.called("amend") and not venue.reports["r1-0-1"].is_final:
            venue.fill("r1-0-1")

    strategy = changes_then(3.0)
    ran(strategy, venue, meanwhile=fill)
    assert statuses(strategy)[-1] == "FILLED"


# ---- answers ---------------------------------------------------------------------------------------------------


def test_answers_for_which_there_is_no_room_wait_and_none_is_lost() -> None:
    """5,000 orders are filled while a handler keeps the loop, more than its lane has room for."""
    count, filled, venue = 5_000, threading.Event(), FakeAsyncExecution(fills="by_hand")
    fake = venue.sync

    def act(self: Any) -> None:
        if self.ticks == 1:
            for _ in range(count):
                self.buy(A, 1.0, limit=8.0)
        elif len(fake.orders) == count and not filled.is_set():
            for name in list(fake.orders):
                fake.fill(name)
            fake.deliver()
            names = self.dispatcher._away._orders
            wait_until(lambda: not names)  # all of them are told, and the lane is full
            assert self.dispatcher._away._waiting, "the lane has had room for all"
            filled.set()

    strategy = acting(act)
    run = open_live(strategy, [A], execution={"FAKE": venue}, run_id="r1")
    strategy.dispatcher = run._dispatcher
    with run:
        result = publish_until(
            run, lambda: filled.is_set() and statuses(strategy).count("FILLED") >= count, instrument=A
        )
    assert statuses(strategy).count("FILLED") == count
    assert len(result.fills) == count
    assert sum(result.fills["quantity"]) == count


# ---- before the first order ------------------------------------------------------------------------------------


class Holds(FakeExecution):
    """A venue that says what is held and open, in the order of ``says``; the last for ever."""

    def __init__(self, *says: Statement, unknown_orders: str = "report") -> None:
        super().__init__()
        self.says, self.unknown_orders = list(says), unknown_orders

    def statement(self) -> Statement:
        self._note("statement")
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]


def test_a_venue_that_cannot_say_what_is_held_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    ran(buys(), FakeExecution())
    assert "venue FAKE: its adapter cannot say what is held; the run begins as if nothing were" in caplog.text


def test_what_is_flat_belongs_to_nobody_and_what_is_lost_is_asked_for_again(hasty: None) -> None:
    venue = Holds(Statement({"B.FAKE": HeldPosition(0.0, float("nan")), A: HeldPosition(3.0, 9.0)}, ()))
    venue.faults.on("statement", LOST)
    venue.faults.on("statement", errors.Throttled("too many"))
    strategy = buys()
    result = ran(strategy, venue)
    assert len(venue.called("statement")) == 3
    assert [position.net for one in result.strategies for position in one.positions] == [5.0]


def test_what_the_run_does_not_know_ends_the_start() -> None:
    venue = Holds(Statement({"B.FAKE": HeldPosition(1.0, 9.0)}, ()))
    with pytest.raises(errors.ExecutionError, match=r"venue FAKE holds 1 B.FAKE, which the run does not know"):
        ran(buys(), venue)
    assert venue.is_closed
    assert venue.called("submit") == []


def test_an_order_of_another_run_that_is_done_before_it_is_taken_back_is_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    there = OrderReport("gone-0-1", "ACCEPTED")
    venue = Holds(Statement({}, (there,)), Statement({}, ()), unknown_orders="cancel")
    venue.faults.on("cancel", errors.OrderRejected("it is filled"))
    strategy = buys()
    result = ran(strategy, venue)
    assert statuses(strategy)[-1] == "FILLED"
    assert result.stats["unknown_orders"] == ["gone-0-1"]
    assert "venue FAKE: order gone-0-1: it is filled" in caplog.text


def test_a_venue_that_never_answers_ends_the_start_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(FakeAsyncExecution):
        async def statement(self) -> Statement:
            await asyncio.sleep(3_600)
            raise AssertionError("unreachable")

    monkeypatch.setattr(away, "RECONCILE_S", 0.05)
    venue = Silent()
    with pytest.raises(errors.ConnectivityError, match=r"venue FAKE did not say within 0.05 s what is held"):
        ran(buys(), venue)
    assert venue.sync.is_closed


def test_an_adapter_that_cannot_be_closed_is_told_and_keeps_nobody(caplog: pytest.LogCaptureFixture) -> None:
    venue = FakeExecution()
    venue.faults.on("close", OSError("no such descriptor"))
    with caplog.at_level(logging.ERROR):
        assert ran(buys(), venue).ok
    assert "venue FAKE could not be closed" in caplog.text
    assert "no such descriptor" in caplog.text
