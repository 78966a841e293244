"""Who closes positions is told what was sent and what the gate refused: programs, operators, the report of an end."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from live_runs import A, in_thread, quotes, wait_until

import tickrail
from tickrail.domain import commands as c
from tickrail.domain.ending import Ending, EndLimits
from tickrail.domain.ticks import QUOTE_DTYPE
from tickrail.errors import FeedClosed, WouldDeadlock
from tickrail.orchestration.control import Requests
from tickrail.orchestration.tick_dispatcher import TickDispatcher
from tickrail.report.shutdown import ShutdownReport

EURUSD = "EURUSD.SIM"
WHY = "the quantity is above the limit max_order_quantity: it would be 5, and 1 is allowed"


class Trader(tickrail.Strategy):
    seen = 0
    act = None

    def on_tick(self, tick: tickrail.Tick) -> None:
        self.seen += 1
        if self.act is not None:
            self.act(self)


def run(act: Callable[[Trader, TickDispatcher], None]) -> TickDispatcher:
    records = np.zeros(20, QUOTE_DTYPE)
    records["ts_event"] = records["ts_init"] = np.arange(1, 21)
    records["kind"] = 1
    records["bid"], records["ask"] = 1.0, 1.5
    records["bid_size"] = records["ask_size"] = 100.0
    dispatcher = TickDispatcher([{"id": EURUSD}])
    dispatcher.feed("feed", tickrail.TickArray.from_records(records, [EURUSD]))
    trader = Trader()
    assert dispatcher.commands  # before the run
    trader.act = lambda self: act(self, dispatcher)  # type: ignore[assignment]
    dispatcher.register(trader, "trader")
    dispatcher.run()
    assert dispatcher.result().ok, dispatcher.result().errors
    return dispatcher


def test_who_closes_is_told_what_was_sent_and_what_the_gate_refused_whoever_asks() -> None:
    """An operator and a program by the same words; a handler, too early to know, by a future."""
    replies: list[str] = []
    answers: list[Any] = []

    def act(trader: Trader, dispatcher: TickDispatcher) -> None:
        bus = dispatcher.commands
        if trader.seen == 3:
            trader.buy(EURUSD, 5.0)
        if trader.seen in (5, 9):
            bus.execute(c.SetLimits(max_order_quantity=1.0 if trader.seen == 5 else None))
            Requests(bus).operate('{"do": "close", "args": {}}', replies.append)
        if trader.seen == 7:
            thread = threading.Thread(target=lambda: answers.append(bus.submit(c.ClosePositions())))
            thread.start()
            thread.join()
            answers.append(bus.execute(c.ClosePositions()))
            with pytest.raises(WouldDeadlock):
                answers[1].result()

    dispatcher = run(act)
    refused = [
        {"orders": 1, "sent": {}, "refused": {"trader": {EURUSD: f"order {number} of -5: {WHY}"}}}
        for number in (2, 3, 4)
    ]
    sent = {"orders": 1, "sent": {"trader": {EURUSD: -5.0}}}
    assert [json.loads(reply)["result"] for reply in replies] == [refused[0], sent]
    assert [answer.result(0) for answer in answers] == [refused[2], refused[1]], "its own order was made first"
    assert dispatcher.result().fills["quantity"].tolist() == [5.0, 5.0]


@pytest.mark.parametrize("halts", [False, True])
def test_a_position_that_an_end_cannot_close_is_reported_with_the_rule_and_its_figures(halts: bool) -> None:
    limits = EndLimits(drain_ns=30_000_000_000, orders_ns=30_000_000_000)
    dispatcher = TickDispatcher([{"id": A}], live="park", end_limits=limits)

    def act(trader: Trader) -> None:
        if trader.seen == 1:
            trader.buy(A, 5.0)
        if trader.seen > 1 and trader.position(A):
            trader.act = None
            held.set()

    held, trader = threading.Event(), Trader()
    trader.act = act  # type: ignore[assignment]
    dispatcher.register(trader, "holder", ending=Ending(positions="close"))
    feed = dispatcher.live_feed("feed")
    bus = dispatcher.commands

    def publish() -> None:
        publisher = feed.publisher()
        with contextlib.suppress(FeedClosed):
            for number in itertools.count():
                publisher.publish(quotes([number]))
                time.sleep(0.002)

    def stop() -> None:
        wait_until(held.is_set)
        bus.execute(c.Halt("drill") if halts else c.SetLimits(max_order_quantity=1.0))
        dispatcher.request_stop()

    joins = [in_thread(publish), in_thread(stop)]
    assert dispatcher.run() == "stopped"
    for join in joins:
        join()
    report = ShutdownReport.of(dispatcher.result())
    why = "trading is halted" if halts else WHY
    assert report.abandoned == (
        f"strategy holder: 5 of {A} are still held; its order 2 to close it was refused: {why}",
    )
    assert report.standing["holder"]["positions"] == {A: 5.0}
